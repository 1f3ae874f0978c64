//! The configuration: from raw arguments, environment variables and a YAML file to one validated [`Config`].
//!
//! [`options::OPTIONS`] is the one table of what can be set; flags, file keys, defaults and help all come from it. For
//! each option the first source that gives it wins: flag, environment, file, default. All mistakes are found in one go.

pub mod file;
mod logs;
pub mod options;
mod otlp;
mod setting;
pub mod value;

use crate::collectors::node::flags::Settings;
use crate::collectors::node::runner;
use crate::host::Host;
use crate::probes::Choice;
use crate::web::guard;
use file::Entry;
pub use logs::{Events, Logs};
use options::{OPTIONS, Opt};
pub use otlp::Otlp;
pub use setting::{Origin, Setting};
use std::path::{Path, PathBuf};
use std::time::Duration;
use value::ListenAddress;

/// Everything the operator can set, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The HTTP server.
    pub web: Web,
    /// Where the host's file systems are.
    pub host: Host,
    /// Collectors of the host's metrics.
    pub collectors: Settings,
    /// The agent's own log.
    pub log: Log,
    /// How payload is captured.
    pub hooks: Hooks,
    /// Whose ends of connections are followed.
    pub roles: Roles,
    /// Probes that are attached or not, whatever their default.
    pub probes: Choice,
    /// How expected errors of system calls are counted.
    pub expected: Expected,
    /// Names of the system calls whose durations are measured; none: all.
    pub latency: Vec<String>,
    /// What is told of processes beyond the usual.
    pub usage: Vec<UsageDetail>,
    /// Bounds of memory.
    pub limits: Limits,
    /// CPU that the agent may use before it gives up detail, in cores (0.01: one percent of one core); `None`: no budget.
    pub budget_cpu: Option<f64>,
    /// A series that saw nothing for this long is dropped.
    pub series_ttl: Duration,
    /// Exporters named with `--export`.
    pub export: Vec<Export>,
    /// The OTLP exporter.
    pub otlp: Otlp,
    /// Where batches of OTLP wait.
    pub otlp_queue: OtlpQueue,
    /// Which families are pushed over OTLP.
    pub metric_families: MetricFamilies,
    /// Records of events.
    pub events: Events,
    /// Logs that are read.
    pub logs: Logs,
    /// The Kubernetes API.
    pub kubernetes: Kubernetes,
    /// Which traces are kept.
    pub sampler: Sampler,
    /// When the live summary is shown.
    pub summary: Summary,
}

/// Settings of the HTTP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// Addresses to listen on, at least one.
    pub listen: Vec<ListenAddress>,
    /// Path of the metrics, begins with `/`.
    pub telemetry_path: String,
    /// Scrapes served at the same time; 0: no limit.
    pub max_requests: usize,
    /// TLS, passwords and the like: a file in the format of Prometheus' exporter toolkit.
    pub config_file: Option<PathBuf>,
    /// Serve on the sockets that systemd passes, not on the addresses.
    pub systemd_socket: bool,
    /// Nothing is told of the agent itself.
    pub disable_exporter_metrics: bool,
}

/// Settings of the agent's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Least severity that is written.
    pub level: LogLevel,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Bounds of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Connections followed at the same time: entries of the kernel's socket table and of the table beside it.
    pub connections: u32,
    /// TCP connections whose numbers are told at the same time: entries of the kernel's table.
    pub tcp_connections: u32,
    /// Bytes of the ring buffer: a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Processes remembered at the same time.
    pub processes: usize,
    /// Series held at the same time.
    pub series: usize,
    /// Route templates per service; further ones become `_OTHER`.
    pub routes_per_service: usize,
    /// Kinds of events known at the same time.
    pub events: usize,
}

/// Declares an enum whose variants are words of the configuration.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }
        impl $name {
            /// All words, in the order of the help.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
            /// The variant of a word.
            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
            /// The word of the variant.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }
    };
}

mod kubernetes;
mod queue;
pub use kubernetes::Kubernetes;
pub use queue::{OtlpQueue, QueueKind};

words! {
    /// What is read of processes on demand only.
    UsageDetail {
        /// Their threads, by name.
        Threads = "threads",
        /// Memory by its share, which the kernel walks all pages for.
        Smaps = "smaps",
    }
}

words! {
    /// Severities of the log.
    LogLevel {
        /// Everything, the kernel side's own messages too.
        Trace = "trace",
        /// What helps to find a fault of the agent.
        Debug = "debug",
        /// What an operator may want to know.
        Info = "info",
        /// Something is missing, the rest goes on.
        Warn = "warn",
        /// The agent cannot do its job.
        Error = "error",
    }
}

words! {
    /// Shapes of a log line.
    LogFormat {
        /// `ts=… level=… msg=… key=value`.
        Logfmt = "logfmt",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// Points of the kernel at which payload is captured.
    Hooks {
        /// The socket tracepoints where the kernel has them, `sys_exit` elsewhere.
        Auto = "auto",
        /// `sock_send_length` and `sock_recv_length` (Linux 6.3).
        Socket = "socket",
        /// `sys_exit`.
        Syscall = "syscall",
        /// Nowhere: no byte of a request or response is read.
        Off = "off",
    }
}

words! {
    /// Whose ends of connections are followed.
    Roles {
        /// Those of servers and of clients.
        All = "all",
        /// Those that receive requests.
        Server = "server",
        /// Those that send requests.
        Client = "client",
    }
}

words! {
    /// How expected errors of system calls are counted.
    Expected {
        /// By themselves, by call and error.
        Apart = "apart",
        /// As any other error, by process.
        Together = "together",
    }
}

words! {
    /// Exporters that are switched on by name.
    Export {
        /// Spans as lines on standard output.
        Stdout = "stdout",
        /// Events as lines on standard output.
        Events = "events",
    }
}

words! {
    /// Families that are pushed over OTLP.
    MetricFamilies {
        /// Those of the agent, and of the host those that OpenTelemetry has names for.
        Semconv = "semconv",
        /// All of the host's too.
        All = "all",
    }
}

words! {
    /// When the live summary is shown.
    Summary {
        /// When standard output is a terminal and nothing else is written to it.
        Auto = "auto",
        /// Always; without a terminal as plain lines.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

words! {
    /// Samplers, as `OTEL_TRACES_SAMPLER` names them
    /// (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration>).
    SamplerKind {
        /// Every trace.
        AlwaysOn = "always_on",
        /// No trace.
        AlwaysOff = "always_off",
        /// A share of the traces, by trace id.
        Ratio = "traceidratio",
        /// As the parent says; without one every trace.
        ParentAlwaysOn = "parentbased_always_on",
        /// As the parent says; without one no trace.
        ParentAlwaysOff = "parentbased_always_off",
        /// As the parent says; without one a share of the traces.
        ParentRatio = "parentbased_traceidratio",
    }
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The rule.
    pub kind: SamplerKind,
    /// The argument of the ratio rules, 0 to 1.
    pub arg: f64,
}

impl Sampler {
    /// A parent's decision is followed where there is one.
    pub const fn parent_based(self) -> bool {
        use SamplerKind::{ParentAlwaysOff, ParentAlwaysOn, ParentRatio};
        matches!(self.kind, ParentAlwaysOn | ParentAlwaysOff | ParentRatio)
    }
    /// Share of the traces that are kept where no parent decides, 0 to 1.
    pub const fn ratio(self) -> f64 {
        match self.kind {
            SamplerKind::AlwaysOn | SamplerKind::ParentAlwaysOn => 1.0,
            SamplerKind::AlwaysOff | SamplerKind::ParentAlwaysOff => 0.0,
            SamplerKind::Ratio | SamplerKind::ParentRatio => self.arg,
        }
    }
}

impl Config {
    /// Before any option was applied. Not a valid configuration: every option of the table has a default or may be empty.
    fn blank() -> Config {
        Config {
            web: Web::default(),
            host: Host::default(),
            collectors: Settings::default(),
            log: Log {
                level: LogLevel::Info,
                format: LogFormat::Logfmt,
            },
            hooks: Hooks::Auto,
            roles: Roles::All,
            probes: Choice::default(),
            expected: Expected::Apart,
            latency: Vec::new(),
            usage: Vec::new(),
            limits: Limits::default(),
            budget_cpu: None,
            series_ttl: Duration::ZERO,
            export: Vec::new(),
            otlp: Otlp::default(),
            otlp_queue: OtlpQueue {
                kind: QueueKind::Disk,
                path: PathBuf::new(),
                max_bytes: 0,
            },
            metric_families: MetricFamilies::Semconv,
            events: Events::default(),
            logs: Logs::none(),
            kubernetes: Kubernetes::default(),
            sampler: Sampler {
                kind: SamplerKind::ParentAlwaysOn,
                arg: 1.0,
            },
            summary: Summary::Auto,
        }
    }

    /// Whether the live summary is shown. An exporter that writes to standard output has it for itself.
    pub fn shows_summary(&self, stdout_is_terminal: bool) -> bool {
        match self.summary {
            Summary::Always => true,
            Summary::Never => false,
            Summary::Auto => stdout_is_terminal && self.export.is_empty(),
        }
    }
}

impl Default for Config {
    /// The defaults of the table.
    fn default() -> Config {
        let mut config = Config::blank();
        for option in OPTIONS.iter().filter(|option| !option.is_of_collector()) {
            for value in option.default {
                // A default that its own option refuses is found by the tests of the table.
                let _ = option.set(&mut config, value);
            }
        }
        config
    }
}

/// One mistake: where, what, how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Problem {
    /// `--flag`, `VARIABLE` or `file:line: key`.
    pub place: String,
    /// What is wrong and what would be right.
    pub what: String,
}

/// All mistakes of a configuration, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

/// Values of the command line: name of the option (without dashes) and value, in the order given.
pub type Flags = Vec<(&'static str, String)>;

/// Settles every option. `flags` may hold `config.file`, the path of the file.
///
/// # Errors
/// Every value that its option refuses, every unknown key of the file, and a file that cannot be read.
pub fn load(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<(Config, Vec<Setting>), ConfigError> {
    let (config, settings, problems) = load_leniently(flags, env);
    if problems.is_empty() {
        Ok((config, settings))
    } else {
        Err(ConfigError(problems))
    }
}

/// Settles every option as [`load`] does, and takes the default of those whose value is refused. For `doctor`, which has
/// more to say than that.
pub fn load_leniently(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> (Config, Vec<Setting>, Vec<Problem>) {
    let mut problems = Vec::new();
    let path = flags.iter().rev().find(|(name, _)| *name == options::CONFIG_FILE);
    let entries = match path {
        None => Vec::new(),
        Some((name, path)) => match file::read(Path::new(path)) {
            Ok(entries) => entries,
            Err(file::FileError::Unreadable(error)) => {
                problems.push(Problem {
                    place: format!("--{name}"),
                    what: format!("cannot read {path:?}: {error}"),
                });
                Vec::new()
            }
            Err(file::FileError::Malformed(found)) => {
                problems.extend(found);
                Vec::new()
            }
        },
    };
    let mut config = Config::blank();
    let mut settings = Vec::with_capacity(OPTIONS.len());
    for option in OPTIONS.iter() {
        let given = settle(option, flags, env, &entries);
        let mut accepted = given.is_empty();
        for (value, origin) in &given {
            // What nobody gave of a collector is known to it.
            if option.is_of_collector() && *origin == Origin::Default {
                accepted = true;
                continue;
            }
            match option.set(&mut config, value) {
                Ok(()) => accepted = true,
                Err(what) => problems.push(Problem {
                    place: place(option, origin),
                    what: format!("{value:?} {what}"),
                }),
            }
        }
        if !accepted && !option.is_of_collector() {
            for value in option.default {
                let _ = option.set(&mut config, value);
            }
        }
        let origin = given.first().map_or(Origin::Default, |(_, origin)| origin.clone());
        if option.hidden {
            continue;
        }
        settings.push(Setting {
            name: option.name,
            values: given.into_iter().map(|(value, _)| option.shown(value)).collect(),
            origin,
        });
    }
    let refused = runner::refused(&config.host, &config.collectors);
    problems.extend(refused.into_iter().map(|(collector, what)| Problem {
        place: format!("collector {collector}"),
        what,
    }));
    let file = config.web.config_file.iter();
    problems.extend(file.flat_map(|path| guard::problems(path)));
    problems.extend(otlp::refused(&config, env, &settings));
    (config, settings, problems)
}

/// The values of an option from the first source that has it.
fn settle(
    option: &Opt,
    flags: &Flags,
    env: &dyn Fn(&str) -> Option<String>,
    entries: &[Entry],
) -> Vec<(String, Origin)> {
    let flagged = flags.iter().filter(|(name, _)| *name == option.name);
    let given: Vec<_> = flagged.map(|(_, value)| (value.clone(), Origin::Flag)).collect();
    if !given.is_empty() {
        return given;
    }
    // OpenTelemetry: an empty variable is an unset one.
    if let Some((name, value)) = option
        .env
        .and_then(|name| env(name).map(|value| (name, value)))
        .filter(|(_, value)| !value.is_empty())
    {
        return vec![(value, Origin::Environment(name))];
    }
    let filed = entries.iter().filter(|entry| entry.option.name == option.name);
    let given: Vec<_> = filed
        .map(|entry| (entry.value.clone(), Origin::File(entry.path.clone(), entry.line)))
        .collect();
    if !given.is_empty() {
        return given;
    }
    option
        .default
        .iter()
        .map(|value| (value.to_string(), Origin::Default))
        .collect()
}

fn place(option: &Opt, origin: &Origin) -> String {
    match origin {
        Origin::Flag => format!("--{}", option.name),
        Origin::Environment(name) => name.to_string(),
        Origin::File(path, line) => format!("{}:{line}: {}", path.display(), option.name),
        Origin::Default => format!("default of --{}", option.name),
    }
}

#[cfg(test)]
mod tests;
