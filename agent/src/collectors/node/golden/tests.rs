//! One host in full: the files of `tests/data/host`, written for this, and what all collectors tell of it.
//!
//! It is a small server on a bad day: an array and a bond that lack a device, a table of connections that is nearly full, memory at
//! its end. `cargo insta` or `INSTA_UPDATE=always` writes what is told anew.

use crate::collectors::node::flags::{Settings, Setup};
use crate::collectors::node::{REGISTRY, named};
use crate::export::prometheus::{Format, PrometheusEncoder};
use crate::host::Host;
use std::path::Path;

/// Collectors that ask the kernel, the clock or a service in place of files, or tell when a file was written.
const LIVE: &[&str] = &[
    "cgroup",
    "ethtool",
    "filesystem",
    "logind",
    "network_route",
    "ntp",
    "perf",
    "qdisc",
    "runit",
    "supervisord",
    "systemd",
    "tcpstat",
    "textfile",
    "time",
    "timex",
    "uname",
    "wifi",
];

/// Flags that let collectors read files, and tell all they can.
const FLAGS: &[(&str, &str)] = &[
    ("collector.arp.netlink", "false"),
    ("collector.netdev.netlink", "false"),
    ("collector.netclass.netlink", "false"),
    ("collector.bcache.priorityStats", "true"),
    ("collector.cpu.info", "true"),
    ("collector.cpu.info.flags-include", "^(aes|avx.?)$"),
    ("collector.cpu.info.bugs-include", "^mds$"),
    ("collector.stat.softirq", "true"),
    ("collector.sysctl.include", "kernel.pid_max"),
];

fn host() -> Host {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/host");
    Host {
        proc: folder.join("proc"),
        sys: folder.join("sys"),
        root: folder.join("root"),
        udev: folder.join("udev"),
        own_sys: folder.join("sys"),
    }
}

#[test]
fn the_whole_host() {
    let host = host();
    let given = FLAGS.iter().map(|(flag, value)| (*flag, vec![(*value).to_owned()]));
    let settings = Settings {
        given: given.collect(),
        ..Settings::default()
    };
    let setup = Setup {
        host: &host,
        settings: &settings,
    };
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    let mut errors = Vec::new();
    for collector in REGISTRY.iter().filter(|collector| !LIVE.contains(&collector.name)) {
        let mut made = (collector.make)(&setup).unwrap();
        // The second time is as the first: what is kept of a scrape changes nothing that stands still.
        let _ = made.collect(&mut PrometheusEncoder::new(Format::Text, Vec::new()));
        if let Err(error) = made.collect(&mut encoder) {
            errors.push(format!("{}: {error}\n", collector.name));
        }
    }
    assert_eq!(encoder.refused(), Default::default(), "series twice, or families");
    let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
    let folder = format!("{}/", host.proc.parent().unwrap().display());
    let text = format!("{text}\n{}", errors.concat()).replace(&folder, "");
    insta::with_settings!({
        snapshot_path => "../../../../tests/data",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!("host", text);
    });
}

#[test]
fn what_is_live_are_collectors() {
    for name in LIVE {
        assert!(named(name).is_some(), "{name}");
    }
}
