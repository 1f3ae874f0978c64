//! The agent as a whole: starts every part in order, and ends them in order.

use crate::aggregate::{AggregateConfig, SharedAggregate, row_bounds};
use crate::attribute::process::{Processes, ProcessesConfig};
use crate::budget::{Keeper, Shedding};
use crate::collectors::own::events::{EventCount, EventCounts};
use crate::collectors::own::process::ProcessStats;
use crate::collectors::own::{Own, Reading};
use crate::config::{Config, Export, Hooks, LogLevel, Roles};
use crate::cost::{self, Overhead, Stage};
use crate::export::otlp::{self, OtlpConfig};
use crate::export::stdout::StdoutSink;
use crate::export::{QueueLimits, SpanSink};
use crate::health::{Health, ProbeState};
use crate::kernel::fill::RingFill;
use crate::kernel::loader;
use crate::kernel::stats::{ProgramStat, ProgramStats};
use crate::metric::Source;
use crate::pipeline::{self, Pace, Parts, PipelineCounts};
use crate::privilege;
use crate::signal::Role;
use crate::trace::clock::Clock;
use crate::trace::sampler::Sampler;
use crate::trace::{Tracer, TracerConfig};
use crate::tui;
use crate::web::{Web, WebConfig};
use anyhow::Context;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long exporters may go on after the agent was told to end.
const FLUSH: Duration = Duration::from_secs(5);

/// Runs the agent until it is told to end (SIGTERM, SIGINT).
///
/// # Errors
/// What keeps it from starting, in one sentence.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(|| cost::lap(Stage::Runtime))
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(config, started))
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
    let processes = Processes::new(
        config.host.clone(),
        ProcessesConfig {
            limit: config.limits.processes,
            host_name: config.host.name(),
            ..ProcessesConfig::default()
        },
    );

    // What can be refused comes first: addresses, exporters, then the kernel.
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(aggregate.clone()), processes.counts(), own.clone()];
    let web = Web::bind(web_config(config), sources, health.clone())?;
    let mut exporters = Exporters::start(config)?;
    for (kind, sink) in exporters.named() {
        register_queue(&own, kind, &sink);
        own.register_events(Arc::new(Spans { kind, sink }));
    }
    let kernel = loader::load(&config.host.sys, &loader_options(config, !exporters.named().is_empty()))?;
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
    let fill = RingFill::new(&kernel.ring).context("cannot read the ring buffer's positions")?;
    own.register(Reading::gauge(
        "onlooker_ring_waiting_bytes",
        "bytes",
        "Bytes in the ring buffer that wait for the agent now, from the ring's own positions.",
        move || fill.bytes() as f64,
    ));
    cost::register(&own);

    let counts = Arc::new(PipelineCounts::new(kernel.counters.clone()));
    register(&own, &counts);
    let sinks = exporters.sinks();
    let pace = Pace::new(&kernel.ring).context("cannot watch the ring buffer")?;
    let shedding = Shedding::default();
    let mut tracer = Tracer::new(
        TracerConfig {
            sampler: Sampler::ratio(config.sampler.ratio(), config.sampler.parent_based()),
            enabled: !sinks.is_empty(),
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
        keeper,
        processes,
        tracer,
        aggregate: aggregate.clone(),
        sinks,
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

    let summary = config
        .shows_summary(std::io::stdout().is_terminal())
        .then(|| {
            tui::start(snapshots(
                config,
                started,
                own.clone(),
                aggregate.clone(),
                counts.clone(),
            ))
        })
        .transpose()
        .context("cannot start the live summary")?;

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
    // The pipeline hands over its last spans, then the exporters send them.
    let joined = tokio::task::spawn_blocking(move || pipeline.join()).await;
    exporters.close().await;
    let _ = end.send(());
    let _ = server.await;
    if !matches!(joined, Ok(Ok(()))) && outcome.is_ok() {
        anyhow::bail!("the pipeline did not end in order; this is a fault of onlooker, please report it");
    }
    outcome
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
        ..WebConfig::default()
    }
}

/// Whether anything takes the spans, in an agent with these settings.
pub(crate) fn exports_spans(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> bool {
    config.export.contains(&Export::Stdout) || matches!(OtlpConfig::from_env(env), Ok(Some(_)))
}

/// What the kernel side is loaded with. `traces`: something takes the spans.
pub(crate) fn loader_options(config: &Config, traces: bool) -> loader::Options {
    loader::Options {
        ring_bytes: config.limits.ring_bytes,
        connections: config.limits.connections,
        capture: match config.hooks {
            Hooks::Auto => None,
            Hooks::Socket => Some("socket"),
            Hooks::Syscall => Some("syscall"),
        },
        roles: match config.roles {
            Roles::All => &[Role::Server, Role::Client],
            Roles::Server => &[Role::Server],
            Roles::Client => &[Role::Client],
        },
        hold: !traces,
        trace: config.log.level == LogLevel::Trace,
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

/// How full the queue of an exporter is.
fn register_queue(own: &Own, exporter: &'static str, sink: &Arc<dyn SpanSink>) {
    let (spans, bytes) = (sink.clone(), sink.clone());
    for reading in [
        Reading::gauge(
            "onlooker_export_queue_spans",
            "",
            "Spans in the queue of an exporter now; those being sent are in onlooker_events_pending.",
            move || spans.counts().waiting as f64,
        ),
        Reading::gauge(
            "onlooker_export_queue_bytes",
            "bytes",
            "Memory of the spans in the queue of an exporter now, about, in bytes.",
            move || bytes.counts().waiting_bytes as f64,
        ),
    ] {
        own.register(reading.label("kind", exporter));
    }
}

/// What the kernel tells of one program.
fn register_program(own: &Own, stats: &ProgramStats) {
    let read = |stat: ProgramStat, scale: f64| {
        let stats = stats.clone();
        move || stats.read(stat) as f64 * scale
    };
    let misses = "Runs skipped by the kernel because the program was running on that CPU already. What a program with a second copy \
                  (PROGRAM_again, Linux 7.0 and later) was skipped for the copy deals with: of these at most the lesser of both \
                  numbers is lost, of all others every one.";
    let runs = "Runs of a program, while kernel.bpf_stats_enabled is 1.";
    let seconds = "Time spent in a program, in seconds, while kernel.bpf_stats_enabled is 1.";
    let verified = "Instructions that the verifier walked.";
    for reading in [
        Reading::counter(
            "onlooker_program_misses_total",
            "",
            misses,
            read(ProgramStat::Misses, 1.0),
        ),
        Reading::counter("onlooker_program_runs_total", "", runs, read(ProgramStat::Runs, 1.0)),
        Reading::counter(
            "onlooker_program_run_seconds_total",
            "seconds",
            seconds,
            read(ProgramStat::RunNanos, 1e-9),
        ),
        Reading::gauge(
            "onlooker_program_verified_instructions",
            "",
            verified,
            read(ProgramStat::Verified, 1.0),
        ),
    ] {
        own.register(reading.label("program", stats.name));
    }
}

/// Numbers of the pipeline that have no family of their own elsewhere.
fn register(own: &Own, counts: &Arc<PipelineCounts>) {
    type Read = fn(&PipelineCounts) -> u64;
    let gauges: [(&'static str, &'static str, Read); 1] = [(
        "onlooker_connections",
        "Connections in the table now, those left alone included.",
        |counts| counts.connections.load(Ordering::Relaxed) as u64,
    )];
    let counters: [(&'static str, &'static str, Read); 9] = [
        (
            "onlooker_connections_given_up_total",
            "Idle connections forgotten because the table was filling; their next request is seen again.",
            |counts| counts.given_up.load(Ordering::Relaxed),
        ),
        (
            "onlooker_connections_unrecognised_total",
            "Connections that looked like a request at first and were left alone.",
            |counts| counts.unrecognised.load(Ordering::Relaxed),
        ),
        (
            "onlooker_connections_upgraded_total",
            "Connections left alone after an upgrade or a tunnel began.",
            |counts| counts.upgraded.load(Ordering::Relaxed),
        ),
        (
            "onlooker_exchanges_counted_by_kernel_total",
            "Exchanges counted in the kernel because the ring was full: in the metrics, without route and span.",
            |counts| counts.by_kernel.load(Ordering::Relaxed),
        ),
        (
            "onlooker_payload_without_data_total",
            "Calls counted without their bytes, because the program's memory could not be read.",
            PipelineCounts::without_data,
        ),
        (
            "onlooker_trace_joined_total",
            "Server exchanges that were joined to the client exchange of the same request on this host.",
            |counts| counts.tracer().links.joined,
        ),
        (
            "onlooker_trace_thread_children_total",
            "Client exchanges that became children of what their thread was answering.",
            |counts| counts.tracer().links.linked,
        ),
        (
            "onlooker_trace_ambiguous_total",
            "Client exchanges without parent because their thread was answering several requests.",
            |counts| counts.tracer().links.ambiguous,
        ),
        (
            "onlooker_trace_unsampled_total",
            "Exchanges whose trace was not sampled.",
            |counts| counts.tracer().unsampled,
        ),
    ];
    for (name, help, read) in gauges {
        let counts = counts.clone();
        own.register(Reading::gauge(name, "", help, move || read(&counts) as f64));
    }
    for (name, help, read) in counters {
        let counts = counts.clone();
        own.register(Reading::counter(name, "", help, move || read(&counts) as f64));
    }
    own.register_events(counts.clone());
}

/// What the live summary shows.
fn snapshots(
    config: &Config,
    started: Instant,
    own: Arc<Own>,
    aggregate: SharedAggregate,
    counts: Arc<PipelineCounts>,
) -> impl Fn() -> tui::Snapshot + Send + 'static {
    let host = config.host.clone();
    move || {
        let stats = ProcessStats::read(&host).ok();
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

/// The exporters that were asked for.
struct Exporters {
    otlp: Option<(Arc<otlp::OtlpSink>, tokio::task::JoinHandle<()>)>,
    stdout: Option<Arc<StdoutSink>>,
}

impl Exporters {
    fn start(config: &Config) -> anyhow::Result<Exporters> {
        let env = |name: &str| std::env::var(name).ok();
        let otlp = match OtlpConfig::from_env(&env)? {
            Some(settings) => {
                let (sink, task) = otlp::new(settings)?;
                Some((sink, tokio::spawn(task.run())))
            }
            None => None,
        };
        let stdout = config
            .export
            .contains(&Export::Stdout)
            .then(|| StdoutSink::start(QueueLimits::default()))
            .transpose()
            .context("cannot write spans to standard output")?;
        Ok(Exporters { otlp, stdout })
    }

    fn named(&self) -> Vec<(&'static str, Arc<dyn SpanSink>)> {
        let otlp = self
            .otlp
            .iter()
            .map(|(sink, _)| ("span_otlp", sink.clone() as Arc<dyn SpanSink>));
        let stdout = self
            .stdout
            .iter()
            .map(|sink| ("span_stdout", sink.clone() as Arc<dyn SpanSink>));
        otlp.chain(stdout).collect()
    }

    fn sinks(&self) -> Vec<Arc<dyn SpanSink>> {
        self.named().into_iter().map(|(_, sink)| sink).collect()
    }

    async fn close(&mut self) {
        if let Some((sink, task)) = self.otlp.take() {
            sink.close(FLUSH);
            let _ = task.await;
        }
        if let Some(sink) = self.stdout.take() {
            let _ = tokio::task::spawn_blocking(move || sink.close(FLUSH)).await;
        }
    }
}

/// What became of the spans of one exporter.
struct Spans {
    kind: &'static str,
    sink: Arc<dyn SpanSink>,
}

impl EventCounts for Spans {
    fn events(&self) -> Vec<EventCount> {
        let counts = self.sink.counts();
        vec![EventCount {
            kind: self.kind,
            seen: counts.seen,
            delivered: counts.delivered,
            lost: counts.lost,
        }]
    }
}
