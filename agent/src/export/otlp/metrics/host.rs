//! Families of the host as a whole, its CPUs and its memory, under the names of the semantic conventions for systems
//! (<https://opentelemetry.io/docs/specs/semconv/system/system-metrics/>) and, where these have nothing, of the `hostmetrics` receiver
//! of the OpenTelemetry Collector. All are computed from the readings that `/metrics` tells, so that the numbers agree.

use super::table::{By, Metric, Of, Shape, Term, term};
use By::{Collector, Semconv};
use Shape::{Counter, Gauge, UpDown};

const CPU: &[(&str, &str)] = &[("cpu", "cpu.logical_number")];
const DISK: &[(&str, &str)] = &[("device", "system.device")];
const USED: &[(&str, &str)] = &[("system.memory.state", "used")];
const FREE: &[(&str, &str)] = &[("system.memory.state", "free")];
const BUFFERS: &[(&str, &str)] = &[("system.memory.state", "buffers")];
const CACHED: &[(&str, &str)] = &[("system.memory.state", "cached")];
const SLAB: &str = "system.memory.linux.slab.state";
const PAGED: &[(&str, &str)] = &[("system.paging.state", "used")];
const UNPAGED: &[(&str, &str)] = &[("system.paging.state", "free")];
const MAJOR: &[(&str, &str)] = &[("system.paging.fault.type", "major")];
const MINOR: &[(&str, &str)] = &[("system.paging.fault.type", "minor")];
const IN: &[(&str, &str)] = &[("system.paging.direction", "in"), ("system.paging.fault.type", "major")];
const OUT: &[(&str, &str)] = &[
    ("system.paging.direction", "out"),
    ("system.paging.fault.type", "major"),
];

/// Swap as a whole, where no collector tells of each device.
const fn swap(family: &'static str, fixed: &'static [(&'static str, &'static str)]) -> Term {
    Term {
        unless: Some("node_swap_size_bytes"),
        ..term(family, fixed, &[])
    }
}

/// A metric of the conventions.
pub(super) const fn metric(name: &'static str, unit: &'static str, shape: Shape, help: &'static str, of: Of) -> Metric {
    Metric {
        name,
        unit,
        shape,
        help,
        by: Semconv,
        of,
    }
}

/// One of the Collector's.
pub(super) const fn theirs(name: &'static str, unit: &'static str, shape: Shape, help: &'static str, of: Of) -> Metric {
    Metric {
        by: Collector,
        ..metric(name, unit, shape, help, of)
    }
}

/// All of them.
pub(super) static HOST: &[Metric] = &[
    metric(
        "system.uptime",
        "s",
        Gauge,
        "Time since the boot.",
        Of::Sums(&[
            term("node_time_seconds", &[], &[]),
            term("node_boot_time_seconds", &[], &[]).less(),
        ]),
    ),
    // CPU
    metric(
        "system.cpu.time",
        "s",
        Counter,
        "Time that each CPU spent in each mode.",
        Of::Sums(&[Term {
            words: Some((
                "mode",
                &[
                    ("user", "user"),
                    ("nice", "nice"),
                    ("system", "system"),
                    ("idle", "idle"),
                    ("iowait", "iowait"),
                    ("irq", "interrupt"),
                    ("softirq", "interrupt"),
                    ("steal", "steal"),
                ],
            )),
            labels: &[("cpu", "cpu.logical_number"), ("mode", "cpu.mode")],
            ..term("node_cpu_seconds_total", &[], &[])
        }]),
    ),
    metric(
        "system.cpu.logical.count",
        "{cpu}",
        UpDown,
        "CPUs that are in use.",
        Of::Sums(&[Term {
            words: Some(("mode", &[("user", "user")])),
            ones: true,
            ..term("node_cpu_seconds_total", &[], &[])
        }]),
    ),
    metric(
        "system.cpu.frequency",
        "Hz",
        Gauge,
        "Frequency of each CPU now.",
        Of::Samples(&[term("node_cpu_scaling_frequency_hertz", &[], CPU)]),
    ),
    theirs(
        "system.cpu.load_average.1m",
        "{thread}",
        Gauge,
        "Load average over 1 minute.",
        Of::Samples(&[term("node_load1", &[], &[])]),
    ),
    theirs(
        "system.cpu.load_average.5m",
        "{thread}",
        Gauge,
        "Load average over 5 minutes.",
        Of::Samples(&[term("node_load5", &[], &[])]),
    ),
    theirs(
        "system.cpu.load_average.15m",
        "{thread}",
        Gauge,
        "Load average over 15 minutes.",
        Of::Samples(&[term("node_load15", &[], &[])]),
    ),
    // Memory
    metric(
        "system.memory.usage",
        "By",
        UpDown,
        "Memory by what it is used for. Used is all that is not available, so that states overlap.",
        Of::Sums(&[
            term("node_memory_MemTotal_bytes", USED, &[]),
            term("node_memory_MemAvailable_bytes", USED, &[]).less(),
            term("node_memory_MemFree_bytes", FREE, &[]),
            term("node_memory_Buffers_bytes", BUFFERS, &[]),
            term("node_memory_Cached_bytes", CACHED, &[]),
        ]),
    ),
    metric(
        "system.memory.limit",
        "By",
        UpDown,
        "Memory that the host has.",
        Of::Sums(&[term("node_memory_MemTotal_bytes", &[], &[])]),
    ),
    metric(
        "system.memory.utilization",
        "1",
        Gauge,
        "Memory by what it is used for, as a part of all.",
        Of::Ratio {
            part: "system.memory.usage",
            whole: "system.memory.limit",
            without: "system.memory.state",
        },
    ),
    metric(
        "system.memory.linux.available",
        "By",
        UpDown,
        "Memory that programs can have without swapping, by the kernel's estimate.",
        Of::Samples(&[term("node_memory_MemAvailable_bytes", &[], &[])]),
    ),
    metric(
        "system.memory.linux.shared",
        "By",
        UpDown,
        "Memory that is shared, mostly by tmpfs.",
        Of::Samples(&[term("node_memory_Shmem_bytes", &[], &[])]),
    ),
    metric(
        "system.memory.linux.slab.usage",
        "By",
        UpDown,
        "Memory of the kernel's caches of objects.",
        Of::Samples(&[
            term("node_memory_SReclaimable_bytes", &[(SLAB, "reclaimable")], &[]),
            term("node_memory_SUnreclaim_bytes", &[(SLAB, "unreclaimable")], &[]),
        ]),
    ),
    // Paging
    metric(
        "system.paging.usage",
        "By",
        UpDown,
        "Swap that is used and free; by device when the collector swap runs.",
        Of::Sums(&[
            swap("node_memory_SwapTotal_bytes", PAGED),
            swap("node_memory_SwapFree_bytes", PAGED).less(),
            swap("node_memory_SwapFree_bytes", UNPAGED),
            term("node_swap_used_bytes", PAGED, DISK),
            term("node_swap_size_bytes", UNPAGED, DISK),
            term("node_swap_used_bytes", UNPAGED, DISK).less(),
        ]),
    ),
    metric(
        "system.paging.limit",
        "By",
        UpDown,
        "",
        Of::Hidden(&[
            swap("node_memory_SwapTotal_bytes", &[]),
            term("node_swap_size_bytes", &[], DISK),
        ]),
    ),
    metric(
        "system.paging.utilization",
        "1",
        Gauge,
        "Swap that is used and free, as a part of all.",
        Of::Ratio {
            part: "system.paging.usage",
            whole: "system.paging.limit",
            without: "system.paging.state",
        },
    ),
    metric(
        "system.paging.faults",
        "{fault}",
        Counter,
        "Page faults.",
        Of::Sums(&[
            term("node_vmstat_pgmajfault", MAJOR, &[]),
            term("node_vmstat_pgfault", MINOR, &[]),
            term("node_vmstat_pgmajfault", MINOR, &[]).less(),
        ]),
    ),
    metric(
        "system.paging.operations",
        "{operation}",
        Counter,
        "Pages read from swap and written to it.",
        Of::Samples(&[
            term("node_vmstat_pswpin", IN, &[]),
            term("node_vmstat_pswpout", OUT, &[]),
        ]),
    ),
];
