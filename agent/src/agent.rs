//! The agent as a whole: starts every part in order, and ends them in order.

mod build_info;
mod exporters;
pub(crate) mod kubernetes;
mod logs;
mod observe;
mod push;
mod readings;

use crate::aggregate::{AggregateConfig, MeasuresConfig, SharedAggregate, SharedMeasures, row_bounds};
use crate::attribute::names::Names;
use crate::attribute::process::{Processes, ProcessesConfig};
use crate::budget::{Keeper, Shedding};
use crate::collectors::node::runner::Runner;
use crate::collectors::own::process::ProcessStats;
use crate::collectors::own::{Own, Reading};
use crate::config::{Config, Export, Hooks, LogLevel, Roles};
use crate::cost::{self, Overhead, Stage};
use crate::export::otlp::{OtlpConfig, OtlpSignal};
use crate::health::{Health, ProbeState};
use crate::kernel::fill::RingFill;
use crate::kernel::loader::{self, Kernel};
use crate::kernel::stats::{ProgramStat, ProgramStats};
use crate::logs::events::{Events, EventsConfig};
use crate::metric::Source;
use crate::pipeline::{self, Fresh, Pace, Parts, PipelineCounts};
use crate::privilege;
use crate::probes::{Probe, REGISTRY, Reader, Tools};
use crate::signal::Role;
use crate::trace::clock::Clock;
use crate::trace::sampler::Sampler;
use crate::trace::span::{AttributeValue, Resource};
use crate::trace::{Tracer, TracerConfig};
use crate::tui;
use crate::web::{Sources, Web, WebConfig};
use anyhow::Context;
use build_info::BuildInfo;
use exporters::Exporters;
use readings::{register, register_program};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long exporters may go on after the agent was told to end.
const FLUSH: Duration = Duration::from_secs(5);

/// How long threads for scrapes wait for the next one: most come every 15 s to 60 s.
const IDLE_THREADS: Duration = Duration::from_secs(90);

/// Runs the agent until it is told to end (SIGTERM, SIGINT).
///
/// # Errors
/// What keeps it from starting, in one sentence.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(IDLE_THREADS)
        .on_thread_park(|| cost::lap(Stage::Runtime))
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(config, started));
    // Everything that must end has; a collector that never answers holds nobody up.
    runtime.shutdown_background();
    ended
}

async fn serve(config: &Config, started: Instant) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let health = Arc::new(Health::default());
    let own = Arc::new(Own::new(config.host.clone(), health.clone()));
    let aggregate = SharedAggregate::new(AggregateConfig {
        series_limit: config.limits.series,
        routes_per_service: config.limits.routes_per_service,
        ttl: config.series_ttl,
        ..AggregateConfig::default()
    });
    let measures = SharedMeasures::new(MeasuresConfig {
        limit: config.limits.series,
        ttl: config.series_ttl,
    });
    let pods = kubernetes::start(config, &own)?;
    let processes = Processes::new(
        config.host.clone(),
        ProcessesConfig {
            limit: config.limits.processes,
            host_name: config.host.name(),
            pods: pods.clone(),
            ..ProcessesConfig::default()
        },
    );

    // What can be refused comes first: addresses, exporters, then the kernel.
    let fresh = Arc::new(Fresh::new().context("cannot make an eventfd")?);
    let mut all: Vec<Arc<dyn Source>> = vec![
        fresh.clone(),
        Arc::new(aggregate.clone()),
        Arc::new(measures.clone()),
        processes.counts(),
    ];
    if !config.web.disable_exporter_metrics {
        all.push(own.clone());
    }
    let collectors = Arc::new(Runner::new(&config.host, &config.collectors));
    let pushed = push::sources(&collectors, &all);
    let sources = Sources {
        always: vec![Arc::new(BuildInfo)],
        all,
        collectors,
    };
    let web = Web::bind(web_config(config), sources, health.clone())?;
    let mut exporters = Exporters::start(config)?;
    exporters.register(&own);
    let mut kernel = loader::load(&config.host, &loader_options(config, exporters.has_spans()))?;
    health.set_missing(privilege::missing());
    for capability in health.missing() {
        tracing::warn!(capability = capability.name, loses = capability.loses, "missing");
    }
    for probe in &kernel.probes {
        tell(probe);
    }
    health.set_probes(kernel.probes.clone());
    tracing::info!(
        milliseconds = started.elapsed().as_millis() as u64,
        "all probes were tried"
    );
    for map in &kernel.maps {
        let bytes = map.bytes as f64;
        own.register(
            Reading::gauge(
                "onlooker_map_bytes",
                "bytes",
                "Kernel memory of the agent's maps, in bytes.",
                move || bytes,
            )
            .label("map", map.name.clone()),
        );
    }
    for stats in &kernel.stats {
        register_program(&own, stats);
    }
    let ring_bytes = f64::from(config.limits.ring_bytes);
    own.register(Reading::gauge(
        "onlooker_ring_bytes",
        "bytes",
        "Size of the ring buffer between kernel side and user side, in bytes.",
        move || ring_bytes,
    ));
    let fill = Arc::new(RingFill::new(&kernel.ring).context("cannot read the ring buffer's positions")?);
    let waiting = fill.clone();
    own.register(Reading::gauge(
        "onlooker_ring_waiting_bytes",
        "bytes",
        "Bytes in the ring buffer that wait for the agent now, from the ring's own positions.",
        move || waiting.bytes() as f64,
    ));
    cost::register(&own);
    let names = Names::default();
    names.register(&own);
    let readers = readers(&mut kernel, config, &own)?;
    let lines = logs::lines(config, &own, &exporters.logs.sinks());
    let observer = observe::start(config, &mut kernel, &own, exporters.logs.sinks(), &lines)?;
    let (observer, read) = observer.unzip();

    let counts = Arc::new(PipelineCounts::new(kernel.counters.clone()));
    register(&own, &counts);
    let sinks = exporters.spans.sinks();
    let logs = exporters.logs.sinks();
    let events = Events::new(events_config(config), Clock::system());
    if !logs.is_empty() {
        own.register_events(events.counts());
    }
    let pace = Pace::new(&kernel.ring, &*fresh).context("cannot watch the ring buffer")?;
    let shedding = Shedding::default();
    let mut tracer = Tracer::new(
        TracerConfig {
            sampler: Sampler::ratio(config.sampler.ratio(), config.sampler.parent_based()),
            enabled: !sinks.is_empty(),
            lines: observer.is_some(),
            ..TracerConfig::default()
        },
        Clock::system(),
    );
    tracer.shed_by(shedding.clone());
    aggregate.lock().shed_by(shedding.clone());
    let overhead = overhead(config, &kernel.stats);
    overhead.register(&own);
    let keeper = Keeper::new(config.budget_cpu, !sinks.is_empty(), shedding, overhead, health.clone());
    keeper.register(&own);
    let parts = Parts {
        pace,
        fresh: fresh.clone(),
        keeper,
        processes,
        tracer,
        names,
        aggregate: aggregate.clone(),
        measures,
        readers,
        sinks,
        events,
        logs,
        observer,
        counts: counts.clone(),
        connections: config.limits.connections as usize,
        kernel,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (died, dead) = tokio::sync::oneshot::channel::<()>();
    let pipeline = std::thread::Builder::new()
        .name("pipeline".to_owned())
        .spawn({
            let stop = stop.clone();
            move || {
                let _died = died; // hangs up when the thread ends, however it ends
                pipeline::run(parts, &stop);
            }
        })
        .context("cannot start the pipeline's thread")?;
    fresh.answers(fill);
    let bell = fresh.clone();

    let lines = logs::start(config, &own, exporters.logs.sinks(), lines, pods, read.flatten())?;
    let summary = config
        .shows_summary(std::io::stdout().is_terminal())
        .then(|| {
            tui::start(snapshots(
                config,
                started,
                own.clone(),
                fresh,
                aggregate.clone(),
                counts.clone(),
            ))
        })
        .transpose()
        .context("cannot start the live summary")?;

    exporters.read(pushed);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(web.serve(async {
        let _ = ended.await;
    }));
    cost::lap(Stage::Start);
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = dead => Err(anyhow::anyhow!("the pipeline ended by itself; this is a fault of onlooker, please report it")),
    };
    drop(summary);
    tracing::info!("ending");
    stop.store(true, Ordering::Release);
    bell.wake();
    // The pipeline hands over its last spans, then the exporters send them; then it is known how far logs were read.
    let rest = move || lines.inspect(|lines| lines.rest());
    let lines = tokio::task::spawn_blocking(rest).await.unwrap_or_default();
    let joined = tokio::task::spawn_blocking(move || pipeline.join()).await;
    exporters.close().await;
    if let Some(lines) = lines {
        let _ = tokio::task::spawn_blocking(move || lines.finish()).await;
    }
    let _ = end.send(());
    let _ = server.await;
    if !matches!(joined, Ok(Ok(()))) && outcome.is_ok() {
        anyhow::bail!("the pipeline did not end in order; this is a fault of onlooker, please report it");
    }
    outcome
}

/// Readers of the probes that are attached.
fn readers(kernel: &mut Kernel, config: &Config, own: &Own) -> anyhow::Result<Vec<Box<dyn Reader>>> {
    let Kernel {
        probes,
        tables,
        counters,
        ..
    } = kernel;
    let attached = |probe: &Probe| {
        let mut states = probes.iter();
        states.any(|state| state.probe == probe.name && state.alternative.is_some())
    };
    let makers = REGISTRY.iter().filter(|probe| attached(probe));
    makers
        .filter_map(|probe| probe.reader)
        .map(|make| {
            let mut tools = Tools {
                tables,
                counters,
                config,
                own,
            };
            make(&mut tools).map_err(anyhow::Error::from)
        })
        .collect()
}

/// Logs what became of a probe.
fn tell(state: &ProbeState) {
    let (probe, loses) = (state.probe, state.loses);
    let reason = state.reason.as_deref().unwrap_or_default();
    match (state.alternative, state.replaced_by) {
        (Some(alternative), _) if reason.is_empty() => tracing::info!(probe, alternative, "attached"),
        (Some(alternative), _) => {
            tracing::info!(probe, alternative, loses, reason, "attached, others were refused");
        }
        (None, Some(other)) => tracing::info!(probe, other, reason, "another probe is in its place"),
        (None, None) => tracing::warn!(probe, loses, reason, "not attached"),
    }
}

fn web_config(config: &Config) -> WebConfig {
    WebConfig {
        listen: config.web.listen.iter().map(ToString::to_string).collect(),
        telemetry_path: config.web.telemetry_path.clone(),
        max_requests: config.web.max_requests,
        systemd_socket: config.web.systemd_socket,
        config_file: config.web.config_file.clone(),
        own_metrics: !config.web.disable_exporter_metrics,
        ..WebConfig::default()
    }
}

/// Whether anything takes the spans, in an agent with these settings.
pub(crate) fn exports_spans(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> bool {
    let otlp = || OtlpConfig::from_env(OtlpSignal::Traces, &config.otlp.over(env));
    config.export.contains(&Export::Stdout) || matches!(otlp(), Ok(Some(_)))
}

/// How events become records.
fn events_config(config: &Config) -> EventsConfig {
    let text = |name: &'static str, value: &str| (name.into(), AttributeValue::Text(value.to_owned().into()));
    let host = config.host.name();
    let name = host.iter().map(|name| text("host.name", name));
    EventsConfig {
        interval: config.events.interval,
        kinds: config.limits.events,
        rate: config.events.rate,
        own: config.host.own_pid(),
        host: Arc::new(Resource {
            attributes: name.chain([text("os.type", "linux")]).collect(),
        }),
    }
}

/// What the kernel side is loaded with. `traces`: something takes the spans.
pub(crate) fn loader_options(config: &Config, traces: bool) -> loader::Options {
    loader::Options {
        ring_bytes: config.limits.ring_bytes,
        connections: config.limits.connections,
        tcp_connections: config.limits.tcp_connections,
        capture: match config.hooks {
            Hooks::Auto => None,
            // No probe has the name of `off`.
            only => Some(only.as_str()),
        },
        roles: match config.roles {
            Roles::All => &[Role::Server, Role::Client],
            Roles::Server => &[Role::Server],
            Roles::Client => &[Role::Client],
        },
        hold: !traces,
        trace: config.log.level == LogLevel::Trace,
        choice: observe::choice(config),
        own: config.host.own_pid(),
    }
}

/// Measures what agent and programs take of the host.
fn overhead(config: &Config, programs: &[ProgramStats]) -> Arc<Overhead> {
    let programs = programs.to_vec();
    let nanos = move || {
        programs
            .iter()
            .map(|program| program.read(ProgramStat::RunNanos))
            .sum::<u64>()
    };
    Arc::new(Overhead::new(
        config.host.clone(),
        Box::new(move || nanos() as f64 * 1e-9),
    ))
}

/// What the live summary shows.
fn snapshots(
    config: &Config,
    started: Instant,
    own: Arc<Own>,
    fresh: Arc<Fresh>,
    aggregate: SharedAggregate,
    counts: Arc<PipelineCounts>,
) -> impl Fn() -> tui::Snapshot + Send + 'static {
    let host = config.host.clone();
    move || {
        let stats = ProcessStats::read(&host).ok();
        fresh.wait();
        let rows = aggregate.lock().rows();
        tui::Snapshot {
            uptime: started.elapsed(),
            rows: rows
                .into_iter()
                .map(|row| tui::Row {
                    service: match row.namespace {
                        Some(namespace) => format!("{namespace}/{}", row.service).into(),
                        None => row.service,
                    },
                    role: row.role,
                    count: row.count,
                    errors: row.errors,
                    buckets: row.durations.into_vec(),
                    bounds: row_bounds(),
                    active: row.active,
                })
                .collect(),
            lost: own.lost(),
            cpu_seconds: stats.as_ref().map(|stats| stats.cpu_seconds),
            resident_bytes: stats.as_ref().map(|stats| stats.resident_bytes),
            connections: counts.connections.load(Ordering::Relaxed) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While spans are exported the kernel side holds no request back; records of logs are of no concern to it.
    #[test]
    fn requests_are_held_back_unless_spans_are_exported() {
        let holds = |vars: &[(&str, &str)], export: &[Export]| {
            let config = Config {
                export: export.to_vec(),
                ..Config::default()
            };
            let get = |name: &str| {
                vars.iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            loader_options(&config, exports_spans(&config, &get)).hold
        };
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(holds(&[], &[]));
        assert!(!holds(&[all], &[]));
        assert!(holds(&[all, ("OTEL_TRACES_EXPORTER", "none")], &[Export::Events]));
        assert!(holds(
            &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector:4318/v1/logs")],
            &[]
        ));
        assert!(!holds(&[("OTEL_LOGS_EXPORTER", "none"), all], &[]));
        assert!(!holds(&[], &[Export::Events, Export::Stdout]));
    }
}
