//! A host of a few files by its own collectors, as `system.*`.

use super::*;
use crate::collectors::node::flags::Settings;
use crate::collectors::node::runner::Runner;
use crate::collectors::node::testing::Fixture;

const MEMINFO: &str = "MemTotal:       8000 kB\nMemFree:        1000 kB\nMemAvailable:   5000 kB\nBuffers:         300 kB\n\
                       Cached:         2700 kB\nShmem:           120 kB\nSReclaimable:    400 kB\nSUnreclaim:      200 kB\n\
                       SwapTotal:      2000 kB\nSwapFree:       1500 kB\n";
const STAT: &str = "cpu  300 20 100 5000 40 7 3 5 0 0\n\
                    cpu0 100 10 60 2500 30 4 2 5 0 0\n\
                    cpu1 200 10 40 2500 10 3 1 0 0 0\n\
                    intr 99 1 2\nctxt 1234\nbtime 1700000000\nprocesses 4321\nprocs_running 2\nprocs_blocked 0\n";
const NET: &str = "Inter-|   Receive                                                |  Transmit\n \
                   face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
                   eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n";
const DISKS: &str = "   8       0 sda 100 10 2000 500 200 20 4000 900 1 700 1400 0 0 0 0 0 0\n";
const VMSTAT: &str = "pgpgin 10\npgpgout 20\npswpin 3\npswpout 4\npgfault 1000\npgmajfault 50\n";

fn runner(fixture: &Fixture) -> Runner {
    let mut settings = Settings {
        disable_defaults: true,
        ..Settings::default()
    };
    for collector in [
        "cpu",
        "diskstats",
        "hwmon",
        "loadavg",
        "meminfo",
        "netdev",
        "stat",
        "vmstat",
    ] {
        settings.switched.insert(collector, true);
    }
    settings
        .given
        .insert("collector.netdev.netlink", vec!["false".to_owned()]);
    Runner::new(&fixture.host(), &settings)
}

fn fixture() -> Fixture {
    Fixture::new(&[
        ("proc/meminfo", MEMINFO),
        ("proc/stat", STAT),
        ("proc/cpuinfo", ""),
        ("proc/net/dev", NET),
        ("proc/1/net/dev", NET),
        ("proc/diskstats", DISKS),
        ("proc/vmstat", VMSTAT),
        ("proc/loadavg", "0.50 0.25 0.75 1/200 4321\n"),
        ("sys/class/hwmon/hwmon0/name", "coretemp\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "45000\n"),
        ("sys/class/hwmon/hwmon0/fan1_input", "1200\n"),
    ])
}

/// Points without their resource, which is the host's.
fn lines(told: &str) -> String {
    let host = " (host.name=\"web1\" os.type=\"linux\" service.instance.id=\"web1\")";
    let lines = told
        .lines()
        .map(|line| line.strip_suffix(host).unwrap_or_else(|| panic!("{line}")));
    lines.fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", line.replace(&format!(" {BOOT}: "), " boot: "));
        text
    })
}

#[test]
fn a_host_of_a_few_files() {
    let fixture = fixture();
    let mut reader = MetricReader::new(config());
    let collectors: Arc<dyn Source> = Arc::new(runner(&fixture));
    let told = lines(&text(&collect(&mut reader, &[(Origin::Host, collectors)], FIRST)));
    assert_eq!(reader.counts().refused().map(|(_, count)| count), [0, 0, 0]);
    assert_eq!(told, include_str!("host.txt"), "{told}");
}

/// Every number of a direct term is the one that `/metrics` has.
#[test]
fn numbers_agree_with_the_exposition() {
    let fixture = fixture();
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    runner(&fixture).collect(&mut encoder);
    let exposed = String::from_utf8(encoder.finish().expect("written")).expect("text");
    let of = |series: &str| -> f64 {
        let line = exposed
            .lines()
            .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
            .unwrap_or_else(|| panic!("{series} in {exposed}"))
    };
    let collectors: Arc<dyn Source> = Arc::new(runner(&fixture));
    let told = text(&collect(
        &mut MetricReader::new(config()),
        &[(Origin::Host, collectors)],
        FIRST,
    ));
    let point = |begin: &str, attributes: &str| -> f64 {
        let line = told
            .lines()
            .find(|line| line.starts_with(begin) && line.contains(attributes));
        let line = line.unwrap_or_else(|| panic!("{begin} {attributes} in {told}"));
        let value = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{line}"))
    };
    for (series, begin, attributes) in [
        (
            "node_disk_read_bytes_total{device=\"sda\"}",
            "system.disk.io ",
            "\"read\"",
        ),
        (
            "node_disk_io_time_seconds_total{device=\"sda\"}",
            "system.disk.io_time ",
            "",
        ),
        (
            "node_network_transmit_packets_total{device=\"eth0\"}",
            "system.network.packet.count ",
            "\"transmit\"",
        ),
        (
            "node_cpu_seconds_total{cpu=\"1\",mode=\"user\"}",
            "system.cpu.time ",
            "number=1 cpu.mode=\"user\"",
        ),
        ("node_memory_MemFree_bytes", "system.memory.usage ", "\"free\""),
        ("node_vmstat_pgmajfault", "system.paging.faults ", "\"major\""),
        ("node_load15", "system.cpu.load_average.15m ", ""),
    ] {
        assert_eq!(point(begin, attributes), of(series), "{series}");
    }
    let used = of("node_memory_MemTotal_bytes") - of("node_memory_MemAvailable_bytes");
    assert_eq!(point("system.memory.usage ", "\"used\""), used);
    let interrupts =
        of("node_cpu_seconds_total{cpu=\"0\",mode=\"irq\"}") + of("node_cpu_seconds_total{cpu=\"0\",mode=\"softirq\"}");
    assert_eq!(point("system.cpu.time ", "number=0 cpu.mode=\"interrupt\""), interrupts);
}

fn gauge(out: &mut dyn Encoder, name: &'static str, labels: &[(&str, &str)], value: f64) {
    out.family(&Family::new(name, "", "G.", Kind::Gauge));
    out.number(labels, value);
}

#[test]
fn sums_need_all_of_their_terms() {
    let source = says(|out| {
        let root = [
            ("device", "/dev/sda1"),
            ("fstype", "ext4"),
            ("mountpoint", "/"),
            ("device_error", ""),
        ];
        gauge(out, "node_filesystem_size_bytes", &root, 1000.0);
        gauge(out, "node_filesystem_avail_bytes", &root, 300.0);
        gauge(out, "node_filesystem_free_bytes", &root, 400.0);
        gauge(out, "node_memory_MemTotal_bytes", &[], 1000.0);
        gauge(out, "node_memory_MemFree_bytes", &[], 250.0);
        gauge(out, "node_boot_time_seconds", &[], 100.0);
        gauge(out, "node_time_seconds", &[], 250.5);
    });
    let told = lines(&text(&collect(
        &mut MetricReader::new(config()),
        &[(Origin::Host, source)],
        FIRST,
    )));
    let of = "system.device=\"/dev/sda1\" system.filesystem.mountpoint=\"/\" system.filesystem";
    let expect = format!(
        "system.filesystem.limit [By] cumulative updown {{{of}.type=\"ext4\"}} boot: 1000\n\
         system.filesystem.usage [By] cumulative updown {{{of}.state=\"free\" system.filesystem.type=\"ext4\"}} boot: 300\n\
         system.filesystem.usage [By] cumulative updown {{{of}.state=\"reserved\" system.filesystem.type=\"ext4\"}} boot: 100\n\
         system.filesystem.usage [By] cumulative updown {{{of}.state=\"used\" system.filesystem.type=\"ext4\"}} boot: 600\n\
         system.filesystem.utilization [1] gauge {{{of}.state=\"free\" system.filesystem.type=\"ext4\"}} 0: 0.3\n\
         system.filesystem.utilization [1] gauge {{{of}.state=\"reserved\" system.filesystem.type=\"ext4\"}} 0: 0.1\n\
         system.filesystem.utilization [1] gauge {{{of}.state=\"used\" system.filesystem.type=\"ext4\"}} 0: 0.6\n\
         system.memory.limit [By] cumulative updown {{}} boot: 1000\n\
         system.memory.usage [By] cumulative updown {{system.memory.state=\"free\"}} boot: 250\n\
         system.memory.utilization [1] gauge {{system.memory.state=\"free\"}} 0: 0.25\n\
         system.uptime [s] gauge {{}} 0: 150.5\n"
    );
    // Without what is available it is not known what is used.
    assert_eq!(told, expect);
}

#[test]
fn swap_is_told_by_device_or_as_a_whole() {
    let whole = |out: &mut dyn Encoder| {
        gauge(out, "node_memory_SwapTotal_bytes", &[], 100.0);
        gauge(out, "node_memory_SwapFree_bytes", &[], 75.0);
    };
    let told = |source| {
        let told = lines(&text(&collect(
            &mut MetricReader::new(config()),
            &[(Origin::Host, source)],
            FIRST,
        )));
        told.lines()
            .filter(|line| line.contains("used"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let used = "system.paging.state=\"used\"";
    assert_eq!(
        told(says(whole)),
        [
            format!("system.paging.usage [By] cumulative updown {{{used}}} boot: 25"),
            format!("system.paging.utilization [1] gauge {{{used}}} 0: 0.25")
        ]
    );
    let both = says(move |out| {
        whole(out);
        out.family(&Family::new("node_swap_size_bytes", "bytes", "S.", Kind::Gauge));
        out.number(&[("device", "/dev/a"), ("swap_type", "file")], 50.0);
        out.number(&[("device", "/dev/b"), ("swap_type", "file")], 50.0);
        out.family(&Family::new("node_swap_used_bytes", "bytes", "S.", Kind::Gauge));
        out.number(&[("device", "/dev/a"), ("swap_type", "file")], 5.0);
        out.number(&[("device", "/dev/b"), ("swap_type", "file")], 20.0);
    });
    assert_eq!(
        told(both),
        [
            format!("system.paging.usage [By] cumulative updown {{system.device=\"/dev/a\" {used}}} boot: 5"),
            format!("system.paging.usage [By] cumulative updown {{system.device=\"/dev/b\" {used}}} boot: 20"),
            format!("system.paging.utilization [1] gauge {{system.device=\"/dev/a\" {used}}} 0: 0.1"),
            format!("system.paging.utilization [1] gauge {{system.device=\"/dev/b\" {used}}} 0: 0.4"),
        ]
    );
}

/// What tables say must be such as the code reads it.
#[test]
fn tables_are_sound() {
    let mut names = std::collections::HashSet::new();
    for metric in tables::ALL.iter() {
        assert!(names.insert(metric.name), "{} twice", metric.name);
        assert!(metric.of.terms().len() <= 32, "{}: a bit each", metric.name);
        let hidden = matches!(metric.of, table::Of::Hidden(_));
        assert!(hidden || metric.help.ends_with('.'), "{}", metric.name);
        assert!(!metric.unit.is_empty(), "{}", metric.name);
        if let table::Of::Ratio { part, whole, .. } = metric.of {
            for name in [part, whole] {
                let found = tables::ALL.iter().find(|metric| metric.name == name);
                let sums = found.is_some_and(|metric| matches!(metric.of, table::Of::Sums(_) | table::Of::Hidden(_)));
                assert!(sums, "{name} is made of sums");
            }
        }
    }
}
