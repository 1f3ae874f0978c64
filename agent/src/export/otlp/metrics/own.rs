//! Families of the agent's own making under the names of the semantic conventions, where the rule of [`super::names`] does not give
//! them: processes (<https://opentelemetry.io/docs/specs/semconv/system/process-metrics/>) and HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>).

use super::table::{By, Metric, Of, Shape, Term, term};
use Shape::{Counter, UpDown};

const READ: &[(&str, &str)] = &[("disk.io.direction", "read")];
const WRITE: &[(&str, &str)] = &[("disk.io.direction", "write")];
const MAJOR: &[(&str, &str)] = &[("system.paging.fault.type", "major")];
const MINOR: &[(&str, &str)] = &[("system.paging.fault.type", "minor")];

/// Labels that name a service; see [`super::resource`].
const SERVICE: &[(&str, &str)] = &[];
const ACTIVE: &[(&str, &str)] = &[
    ("http_request_method", "http.request.method"),
    ("url_scheme", "url.scheme"),
];

const fn metric(
    name: &'static str,
    unit: &'static str,
    shape: Shape,
    help: &'static str,
    terms: &'static [Term],
) -> Metric {
    Metric {
        name,
        unit,
        shape,
        help,
        by: By::Semconv,
        of: Of::Samples(terms),
    }
}

/// Memory of one kind.
const fn memory(kind: &'static [(&'static str, &'static str)]) -> Term {
    Term {
        words: Some(("memtype", kind)),
        ..term("namedprocess_namegroup_memory_bytes", &[], SERVICE)
    }
}

/// All of them.
pub(super) static OWN: &[Metric] = &[
    metric(
        "http.server.active_requests",
        "{request}",
        UpDown,
        "Number of active HTTP server requests.",
        &[term("http_server_active_requests", &[], ACTIVE)],
    ),
    metric(
        "http.client.active_requests",
        "{request}",
        UpDown,
        "Number of active HTTP client requests.",
        &[term("http_client_active_requests", &[], ACTIVE)],
    ),
    metric(
        "process.cpu.time",
        "s",
        Counter,
        "CPU time of the processes of a service, by mode.",
        &[term(
            "namedprocess_namegroup_cpu_seconds_total",
            &[],
            &[("mode", "cpu.mode")],
        )],
    ),
    metric(
        "process.memory.usage",
        "By",
        UpDown,
        "Physical memory of the processes of a service.",
        &[memory(&[("resident", "")])],
    ),
    metric(
        "process.memory.virtual",
        "By",
        UpDown,
        "Virtual memory of the processes of a service.",
        &[memory(&[("virtual", "")])],
    ),
    metric(
        "process.disk.io",
        "By",
        Counter,
        "Bytes that the processes of a service read from and wrote to storage.",
        &[
            term("namedprocess_namegroup_read_bytes_total", READ, SERVICE),
            term("namedprocess_namegroup_write_bytes_total", WRITE, SERVICE),
        ],
    ),
    metric(
        "process.thread.count",
        "{thread}",
        UpDown,
        "Threads of the processes of a service.",
        &[term("namedprocess_namegroup_num_threads", &[], SERVICE)],
    ),
    metric(
        "process.unix.file_descriptor.count",
        "{file_descriptor}",
        UpDown,
        "File descriptors that the processes of a service have open.",
        &[term("namedprocess_namegroup_open_filedesc", &[], SERVICE)],
    ),
    metric(
        "process.context_switches",
        "{context_switch}",
        Counter,
        "Context switches of the processes of a service.",
        &[Term {
            words: Some((
                "ctxswitchtype",
                &[("voluntary", "voluntary"), ("nonvoluntary", "involuntary")],
            )),
            ..term(
                "namedprocess_namegroup_context_switches_total",
                &[],
                &[("ctxswitchtype", "process.context_switch.type")],
            )
        }],
    ),
    metric(
        "process.paging.faults",
        "{fault}",
        Counter,
        "Page faults of the processes of a service.",
        &[
            term("namedprocess_namegroup_minor_page_faults_total", MINOR, SERVICE),
            term("namedprocess_namegroup_major_page_faults_total", MAJOR, SERVICE),
        ],
    ),
    Metric {
        by: By::Own,
        ..metric(
            "onlooker.process.count",
            "{process}",
            UpDown,
            "Processes of a service.",
            &[term("namedprocess_namegroup_num_procs", &[], SERVICE)],
        )
    },
];
