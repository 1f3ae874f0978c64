//! The table of options. A new option is one field of [`Config`] and one row here: its flag, its file key
//! (the same name, nested at the dots), its help, its default and its check follow.

use super::value::{bytes, count, cpu_budget, duration, path, ring_bytes};
use super::{Config, Expected, Export, Hooks, LogFormat, LogLevel, Roles, SamplerKind, Summary, UsageDetail};
use crate::collectors::node::flags::{self, Flag, Form};
use crate::collectors::node::{Collector, REGISTRY};
use crate::probes::{measurable, switchable};
use std::sync::LazyLock;
use std::time::Duration;

/// Name of the flag that gives the configuration file. It is no key of that file.
pub const CONFIG_FILE: &str = "config.file";

/// One thing that can be set.
#[derive(Clone, Debug)]
pub struct Opt {
    /// Name of the flag (behind `--`).
    pub name: &'static str,
    /// Split at the dots, path of the file key; empty: as the name.
    pub path: &'static str,
    /// Placeholder of the value in the help.
    pub value: &'static str,
    /// One sentence for the help.
    pub help: &'static str,
    /// The standard environment variable, where there is one.
    pub env: Option<&'static str>,
    /// Values when nobody gives one. More than one: only for repeatable options.
    pub default: &'static [&'static str],
    /// May be given more than once (in the file: a list).
    pub repeatable: bool,
    /// The allowed values, when it is a choice.
    pub words: &'static [&'static str],
    /// On or off: `--NAME` and `--no-NAME`.
    pub switch: bool,
    /// Taken, so that a command line of node_exporter does, and told nowhere.
    pub hidden: bool,
    /// Its values may hold a password: those that do are not shown.
    pub secret: bool,
    /// Other names, which are taken and not shown.
    pub also: &'static [&'static str],
    /// Checks one value and puts it in its place.
    pub set: Set,
}

/// What a value is for.
#[derive(Clone, Copy, Debug)]
pub enum Set {
    /// A field of the configuration.
    Field(fn(&mut Config, &str) -> Result<(), String>),
    /// Whether a collector runs.
    Collector(&'static Collector),
    /// A flag of a collector.
    Flag(&'static Flag),
}

impl Opt {
    /// Checks one value and puts it in its place.
    ///
    /// # Errors
    /// What is wrong and what would be right, as the end of a sentence that begins with the value.
    pub fn set(&self, config: &mut Config, value: &str) -> Result<(), String> {
        match self.set {
            Set::Field(set) => set(config, value),
            Set::Collector(collector) => {
                let on = flags::boolean(value)?;
                config.collectors.switched.insert(collector.name, on);
                Ok(())
            }
            Set::Flag(flag) => {
                flag.form.check(value)?;
                let given = config.collectors.given.entry(flag.name).or_default();
                given.push(value.to_owned());
                Ok(())
            }
        }
    }

    /// A value as `check-config` tells it: without a password of a URL, and without what a header says.
    pub fn shown(&self, value: String) -> String {
        match self.secret && value.contains(['@', '?', '=']) {
            true => "(not shown)".to_owned(),
            false => value,
        }
    }

    /// Split at the dots, path of the file key.
    pub fn key(&self) -> &'static str {
        if self.path.is_empty() { self.name } else { self.path }
    }

    /// Is it of a collector?
    pub fn is_of_collector(&self) -> bool {
        !matches!(self.set, Set::Field(_))
    }
}

const BASE: Opt = Opt {
    name: "",
    path: "",
    switch: false,
    hidden: false,
    secret: false,
    also: &[],
    value: "",
    help: "",
    env: None,
    default: &[],
    repeatable: false,
    words: &[],
    set: Set::Field(|_, _| Ok(())),
};

/// Puts a word of a choice in its place.
macro_rules! choice {
    ($type:ident, $($field:ident).+) => {
        Set::Field(|config, value| {
            config.$($field).+ = $type::from_word(value).ok_or_else(|| one_of($type::WORDS, value))?;
            Ok(())
        })
    };
}

/// Puts a checked value in its place.
macro_rules! checked {
    ($check:expr, $($field:ident).+) => {
        Set::Field(|config, value| {
            config.$($field).+ = $check(value)?;
            Ok(())
        })
    };
}

mod kubernetes;
mod logs;
mod otlp;
mod queue;
mod web;

/// All options, in the order of the help: those of the agent, of OTLP, of logs, then those of collectors.
pub static OPTIONS: LazyLock<Vec<Opt>> = LazyLock::new(|| {
    let mut options: Vec<Opt> = web::WEB
        .iter()
        .chain(AGENT)
        .chain(otlp::OTLP.iter().flatten())
        .chain(queue::QUEUE)
        .chain(logs::LOGS)
        .chain(kubernetes::KUBERNETES)
        .cloned()
        .collect();
    for collector in REGISTRY {
        options.push(Opt {
            name: leaked(format!("collector.{}", collector.name)),
            path: leaked(format!("collector.{}.enabled", collector.name)),
            value: "BOOL",
            help: leaked(format!("Collector {}: {}.", collector.name, collector.about)),
            default: if collector.default { &["true"] } else { &["false"] },
            switch: true,
            set: Set::Collector(collector),
            ..BASE
        });
    }
    let flags = REGISTRY.iter().flat_map(|collector| collector.flags);
    options.extend(flags.clone().map(|flag| {
        let group = |other: &&&Flag| {
            other
                .name
                .strip_prefix(flag.name)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        Opt {
            name: flag.name,
            path: match flags.clone().any(|other| group(&other)) {
                true => leaked(format!("{}.enabled", flag.name)),
                false => "",
            },
            value: flag.form.placeholder(),
            help: flag.help,
            default: flag.default,
            repeatable: flag.repeatable,
            switch: flag.form == Form::Switch,
            also: flag.also,
            set: Set::Flag(flag),
            ..BASE
        }
    }));
    options
});

/// Made once, as long as the program runs.
fn leaked(text: String) -> &'static str {
    text.leak()
}

/// The agent's own options, but for those of its web server.
static AGENT: &[Opt] = &[
    Opt {
        name: "path.procfs",
        value: "DIR",
        help: "Where the host's proc file system is mounted.",
        default: &["/proc"],
        set: checked!(path, host.proc),
        ..BASE
    },
    Opt {
        name: "path.sysfs",
        value: "DIR",
        help: "Where the host's sys file system is mounted.",
        default: &["/sys"],
        set: checked!(path, host.sys),
        ..BASE
    },
    Opt {
        name: "path.rootfs",
        value: "DIR",
        help: "Where the host's root file system is mounted.",
        default: &["/"],
        set: checked!(path, host.root),
        ..BASE
    },
    Opt {
        name: "path.udev.data",
        value: "DIR",
        help: "Where udev keeps what it knows of devices.",
        default: &["/run/udev/data"],
        set: checked!(path, host.udev),
        ..BASE
    },
    Opt {
        name: "collector.disable-defaults",
        value: "BOOL",
        help: "Run only those collectors that are switched on.",
        default: &["false"],
        switch: true,
        set: checked!(flags::boolean, collectors.disable_defaults),
        ..BASE
    },
    Opt {
        name: "log.level",
        value: "LEVEL",
        help: "Least severity that is logged.",
        default: &["info"],
        words: LogLevel::WORDS,
        set: choice!(LogLevel, log.level),
        ..BASE
    },
    Opt {
        name: "log.format",
        value: "FORMAT",
        help: "Shape of a log line.",
        default: &["logfmt"],
        words: LogFormat::WORDS,
        set: choice!(LogFormat, log.format),
        ..BASE
    },
    Opt {
        name: "capture.hooks",
        value: "HOOKS",
        help: "Where the kernel is watched for requests: the socket tracepoints (Linux 6.3), the exit of system calls, what \
               fits, or nowhere.",
        default: &["auto"],
        words: Hooks::WORDS,
        set: choice!(Hooks, hooks),
        ..BASE
    },
    Opt {
        name: "capture.roles",
        value: "ROLES",
        help: "Whose ends of connections are followed: those of all programs, of servers alone, of clients alone.",
        default: &["all"],
        words: Roles::WORDS,
        set: choice!(Roles, roles),
        ..BASE
    },
    Opt {
        name: "probes.enable",
        value: "PROBE",
        help: "Also attach this probe, which is off by default (docs/metrics.md lists them with what they cost). Repeatable.",
        repeatable: true,
        set: Set::Field(|config, value| {
            config.probes.on.push(probe(value)?);
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "probes.disable",
        value: "PROBE",
        help: "Do not attach this probe: what it measures is not there. Repeatable.",
        repeatable: true,
        set: Set::Field(|config, value| {
            config.probes.off.push(probe(value)?);
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "syscalls.expected",
        value: "HOW",
        help: "Errors of system calls that are expected (docs/syscall-errors.md) are counted apart from the others, or together with them.",
        default: &["apart"],
        words: Expected::WORDS,
        set: choice!(Expected, expected),
        ..BASE
    },
    Opt {
        name: "syscalls.latency",
        value: "CALL",
        help: "System call whose durations are measured (with --probes.enable=latency); without any: all. Repeatable.",
        repeatable: true,
        set: Set::Field(|config, value| {
            if !measurable(value) {
                return Err("is no system call that can be measured: use names as in the manual, e.g. fsync".into());
            }
            config.latency.push(value.into());
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "usage.detail",
        value: "WHAT",
        help: "Also tell what threads use, by name (threads), or memory by its share (smaps: PSS). Repeatable.",
        repeatable: true,
        words: UsageDetail::WORDS,
        set: Set::Field(|config, value| {
            let detail = UsageDetail::from_word(value).ok_or_else(|| one_of(UsageDetail::WORDS, value))?;
            if !config.usage.contains(&detail) {
                config.usage.push(detail);
            }
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "limits.connections",
        value: "N",
        help: "Connections followed at the same time; further ones are counted as lost.",
        default: &["8192"],
        set: checked!(|value| count(value, 1, 1 << 20), limits.connections),
        ..BASE
    },
    Opt {
        name: "limits.tcp-connections",
        value: "N",
        help: "TCP connections whose numbers are told at the same time; further ones are counted as lost.",
        default: &["8192"],
        set: checked!(|value| count(value, 1, 1 << 20), limits.tcp_connections),
        ..BASE
    },
    Opt {
        name: "limits.ring-bytes",
        value: "BYTES",
        help: "Size of the ring between kernel and agent: a power of two, e.g. 4MiB or 8M.",
        default: &["8MiB"],
        set: checked!(|value| ring_bytes(bytes(value)?), limits.ring_bytes),
        ..BASE
    },
    Opt {
        name: "limits.processes",
        value: "N",
        help: "Processes remembered at the same time.",
        default: &["8192"],
        set: checked!(|value| count(value, 1, 1 << 22), limits.processes),
        ..BASE
    },
    Opt {
        name: "limits.series",
        value: "N",
        help: "Series held at the same time; what is beyond them is counted under _OTHER.",
        default: &["10000"],
        set: checked!(|value| count(value, 1, 10_000_000), limits.series),
        ..BASE
    },
    Opt {
        name: "limits.routes-per-service",
        value: "N",
        help: "Route templates per service; further ones become _OTHER.",
        default: &["100"],
        set: checked!(|value| count(value, 0, 100_000), limits.routes_per_service),
        ..BASE
    },
    Opt {
        name: "limits.events",
        value: "N",
        help: "Kinds of events known at the same time; events of further ones are counted as lost.",
        default: &["1024"],
        set: checked!(|value| count(value, 1, 1 << 20), limits.events),
        ..BASE
    },
    Opt {
        name: "budget.cpu",
        value: "PERCENT",
        help: "CPU the agent may use, in percent of one core, e.g. 1%; above it spans lose detail, then spans thin out, then \
               routes of new targets go; counts and durations stay whole. off: no budget.",
        env: Some("ONLOOKER_BUDGET_CPU"),
        default: &["off"],
        set: checked!(cpu_budget, budget_cpu),
        ..BASE
    },
    Opt {
        name: "series.ttl",
        value: "DURATION",
        help: "A series that saw nothing for this long is dropped, e.g. 90s, 5m, 1h30m.",
        default: &["5m"],
        set: checked!(|value| duration(value, Duration::from_secs(1)), series_ttl),
        ..BASE
    },
    Opt {
        name: "export",
        value: "EXPORTER",
        help: "Also write spans (stdout) or events (events) to standard output, one line each. Repeatable.",
        repeatable: true,
        words: Export::WORDS,
        set: Set::Field(|config, value| {
            let export = Export::from_word(value).ok_or_else(|| one_of(Export::WORDS, value))?;
            if !config.export.contains(&export) {
                config.export.push(export);
            }
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "events.interval",
        value: "DURATION",
        help: "The same event of a service is told once in this time, with its count.",
        default: &["1m"],
        set: checked!(|value| duration(value, Duration::from_secs(1)), events.interval),
        ..BASE
    },
    Opt {
        name: "events.rate",
        value: "N",
        help: "Events told a minute and service; further ones are counted as lost.",
        default: &["10"],
        set: checked!(|value| count(value, 1, 100_000), events.rate),
        ..BASE
    },
    Opt {
        name: "traces.sampler",
        value: "SAMPLER",
        help: "Which traces are kept.",
        env: Some("OTEL_TRACES_SAMPLER"),
        default: &["parentbased_always_on"],
        words: SamplerKind::WORDS,
        set: choice!(SamplerKind, sampler.kind),
        ..BASE
    },
    Opt {
        name: "traces.sampler-arg",
        value: "RATIO",
        help: "Share of traces that the traceidratio samplers keep, 0 to 1.",
        env: Some("OTEL_TRACES_SAMPLER_ARG"),
        default: &["1"],
        set: checked!(super::value::ratio, sampler.arg),
        ..BASE
    },
    Opt {
        name: "summary",
        value: "WHEN",
        help: "Show the live summary; auto: when standard output is a terminal.",
        default: &["auto"],
        words: Summary::WORDS,
        set: choice!(Summary, summary),
        ..BASE
    },
];

/// The name among `names` that is most like `given`: by letters changed, added, left out or swapped, or because the one
/// begins with the other. `None` when none is like it.
pub fn nearest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let begins = |a: &str, b: &str| a.len() > 2 && b.starts_with(a);
    let likeness = |name: &str| match begins(given, name) || begins(name, given) {
        true => 1.0,
        false => strsim::normalized_damerau_levenshtein(given, name),
    };
    let found = names
        .map(|name| (likeness(name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    found.filter(|(likeness, _)| *likeness > 0.5).map(|(_, name)| name)
}

/// The probe of this name, when it can be switched.
fn probe(value: &str) -> Result<&'static str, String> {
    let names: Vec<&'static str> = switchable().collect();
    let found = names.iter().find(|name| **name == value);
    found.copied().ok_or_else(|| one_of(&names, value))
}

fn one_of(words: &[&str], given: &str) -> String {
    let list = words.join(", ");
    let given = given.to_ascii_lowercase();
    match nearest(&given, words.iter().copied()) {
        Some(word) => format!("is not a choice: use one of {list} (did you mean {word}?)"),
        None => format!("is not a choice: use one of {list}"),
    }
}
