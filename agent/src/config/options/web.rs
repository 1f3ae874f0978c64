//! Options of the web server, and what else a command line of node_exporter has.

use super::{BASE, Opt, Set};
use crate::collectors::node::flags;
use crate::config::value::{ListenAddress, count, telemetry_path};

/// In the order of the help.
pub(super) static WEB: &[Opt] = &[
    Opt {
        name: "web.listen-address",
        value: "ADDRESS",
        help: "Address to serve on: HOST:PORT, [IPV6]:PORT, or :PORT for all addresses of the host. Repeatable.",
        default: &["127.0.0.1:9100"],
        repeatable: true,
        set: Set::Field(|config, value| {
            config.web.listen.push(value.parse::<ListenAddress>()?);
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "web.telemetry-path",
        value: "PATH",
        help: "Path under which metrics are served.",
        default: &["/metrics"],
        set: checked!(telemetry_path, web.telemetry_path),
        ..BASE
    },
    Opt {
        name: "web.max-requests",
        value: "N",
        help: "Scrapes served at the same time; more are answered with 503. 0: no limit.",
        default: &["40"],
        set: checked!(|value| count(value, 0, 100_000), web.max_requests),
        ..BASE
    },
    Opt {
        name: "web.config.file",
        value: "FILE",
        help: "File with TLS, passwords and headers, as Prometheus' exporters have it (\"web configuration\").",
        set: Set::Field(|config, value| {
            // Empty, as node_exporter takes it: none.
            config.web.config_file = (!value.is_empty()).then(|| value.into());
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "web.systemd-socket",
        value: "BOOL",
        help: "Serve on the sockets that systemd passes (a .socket unit) instead of the addresses.",
        default: &["false"],
        switch: true,
        set: checked!(flags::boolean, web.systemd_socket),
        ..BASE
    },
    Opt {
        name: "web.disable-exporter-metrics",
        value: "BOOL",
        help: "Leave out what the agent tells of itself: process_*, promhttp_*, and onlooker_* about its events, probes and cost.",
        default: &["false"],
        switch: true,
        set: checked!(flags::boolean, web.disable_exporter_metrics),
        ..BASE
    },
    Opt {
        name: "runtime.gomaxprocs",
        value: "N",
        help: "Taken from command lines of node_exporter; without effect.",
        hidden: true,
        set: Set::Field(|_, value| count::<u32>(value, 0, 1 << 20).map(drop)),
        ..BASE
    },
];
