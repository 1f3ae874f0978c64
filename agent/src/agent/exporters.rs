//! The exporters that were asked for, of spans, of records of logs and of metrics.

pub(super) mod disk;

use super::FLUSH;
use super::push::{Push, Pushed};
use crate::collectors::own::events::{EventCount, EventCounts};
use crate::collectors::own::{Own, Reading};
use crate::config::{Config, Export};
use crate::export::otlp::{self, OtlpClients, OtlpConfig, OtlpItem, OtlpSignal, OtlpSink};
use crate::export::stdout::{Line, StdoutSink};
use crate::export::{ItemSink, QueueCounts, QueueFolder, QueueLimits};
use crate::logs::LogRecord;
use crate::trace::span::Span;
use anyhow::Context;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// All exporters.
pub(super) struct Exporters {
    pub(super) spans: Exporter<Span>,
    pub(super) logs: Exporter<LogRecord>,
    metrics: Option<Push>,
}

/// Names of what exporters of one sort of item count.
pub(super) struct Names {
    pub(super) otlp: &'static str,
    /// Of those that the last run of the agent left.
    pub(super) former: &'static str,
    pub(super) stdout: &'static str,
    pub(super) queue: &'static str,
    pub(super) queue_help: &'static str,
}

impl Names {
    /// Tells what waits in a sink, and what became of its items.
    pub(super) fn register<T: OtlpItem>(&self, own: &Own, kind: &'static str, sink: Arc<dyn ItemSink<T>>) {
        let (items, bytes) = (sink.clone(), sink.clone());
        let queue = Reading::gauge(self.queue, "", self.queue_help, move || items.counts().waiting as f64);
        let memory = Reading::gauge(
            "onlooker_export_queue_bytes",
            "bytes",
            "Memory of what is in the queue of an exporter now, about, in bytes.",
            move || bytes.counts().waiting_bytes as f64,
        );
        for reading in [queue, memory] {
            own.register(reading.label("kind", kind));
        }
        own.register_events(Arc::new(Exported { kind, sink }));
    }
}

const SPANS: Names = Names {
    otlp: "span_otlp",
    former: "span_otlp_replayed",
    stdout: "span_stdout",
    queue: "onlooker_export_queue_spans",
    queue_help: "Spans in the queue of an exporter now; those being sent are in onlooker_events_pending.",
};

const LOGS: Names = Names {
    otlp: "log_otlp",
    former: "log_otlp_replayed",
    stdout: "log_stdout",
    queue: "onlooker_export_queue_records",
    queue_help: "Records of logs in the queue of an exporter now; those being sent are in onlooker_events_pending.",
};

impl Exporters {
    /// Starts what settings and environment ask for.
    pub(super) fn start(config: &Config) -> anyhow::Result<Exporters> {
        let mut otlp = Otlp::new(config)?;
        let to_stdout = |word| config.export.contains(&word);
        Ok(Exporters {
            spans: Exporter::start(SPANS, to_stdout(Export::Stdout), &mut otlp)?,
            logs: Exporter::start(LOGS, to_stdout(Export::Events), &mut otlp)?,
            metrics: Push::start(config, &mut otlp)?,
        })
    }

    /// Whether anything takes spans.
    pub(super) fn has_spans(&self) -> bool {
        !self.spans.sinks().is_empty()
    }

    /// Tells what becomes of spans and records.
    pub(super) fn register(&self, own: &Own) {
        self.spans.register(own);
        self.logs.register(own);
        if let Some(push) = &self.metrics {
            push.register(own);
        }
    }

    /// Begins to push metrics, where they are to be pushed.
    pub(super) fn read(&mut self, sources: Pushed) {
        if let Some(push) = &mut self.metrics {
            push.read(sources);
        }
    }

    /// Sends what waits, for [`FLUSH`] at most.
    pub(super) async fn close(&mut self) {
        let metrics = self.metrics.take();
        let metrics = async {
            if let Some(push) = metrics {
                push.close().await;
            }
        };
        tokio::join!(self.spans.close(), self.logs.close(), metrics);
    }
}

/// What the OTLP exporters share.
pub(super) struct Otlp {
    /// Exporters that were asked for and are not started yet.
    wanted: Vec<(OtlpSignal, OtlpConfig)>,
    settings: crate::config::Otlp,
    clients: OtlpClients,
    /// Queues are to be on the disk.
    on_disk: bool,
    /// Their folder, if it can be used.
    folder: Option<QueueFolder>,
    /// Bytes of one queue on the disk.
    each: u64,
}

/// A sink and the task that sends what goes in there.
pub(super) type Started<T> = (Arc<OtlpSink<T>>, JoinHandle<()>);

impl Otlp {
    fn new(config: &Config) -> anyhow::Result<Otlp> {
        let settings = config.otlp.clone();
        let mut wanted = Vec::new();
        for signal in OtlpSignal::ALL {
            let config = OtlpConfig::from_env(signal, &settings.over(&env))?;
            wanted.extend(config.map(|config| (signal, config)));
        }
        let signals = wanted.len() as u64;
        // Without a receiver no folder is made.
        let path = config.otlp_queue.folder().filter(|_| signals > 0);
        let folder = path.and_then(|path| match QueueFolder::open(path) {
            Ok(folder) => Some(folder),
            Err(error) => {
                tracing::warn!("batches wait in memory and do not outlive the agent: {error}");
                None
            }
        });
        Ok(Otlp {
            wanted,
            settings,
            clients: OtlpClients::default(),
            on_disk: path.is_some(),
            folder,
            each: config.otlp_queue.max_bytes / signals.max(1),
        })
    }

    /// Whether queues are to be on the disk.
    pub(super) fn on_disk(&self) -> bool {
        self.on_disk
    }

    /// A standard variable, whoever set it.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.settings.over(&env)(name)
    }

    /// Starts the exporter of one sort of item, if there is a receiver for it.
    pub(super) fn start<T: OtlpItem>(&mut self) -> anyhow::Result<Option<Started<T>>> {
        let Some(place) = self.wanted.iter().position(|(signal, _)| *signal == T::SIGNAL) else {
            return Ok(None);
        };
        let (_, config) = self.wanted.swap_remove(place);
        let (sink, task) = match &self.folder {
            Some(folder) => otlp::on_disk(config, &mut self.clients, folder, self.each)?,
            None => otlp::new(config, &mut self.clients)?,
        };
        Ok(Some((sink, tokio::spawn(task.run()))))
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Exporters of one sort of item.
pub(super) struct Exporter<T: OtlpItem> {
    names: Names,
    otlp: Option<Started<T>>,
    stdout: Option<Arc<StdoutSink<T>>>,
    /// Batches of OTLP are to wait on the disk.
    on_disk: bool,
}

impl<T: OtlpItem + Line> Exporter<T> {
    fn start(names: Names, stdout: bool, shared: &mut Otlp) -> anyhow::Result<Exporter<T>> {
        let otlp = shared.start()?;
        let stdout = stdout
            .then(|| StdoutSink::start(QueueLimits::default()))
            .transpose()
            .with_context(|| format!("cannot write {} to standard output", T::PLURAL))?;
        Ok(Exporter {
            names,
            otlp,
            stdout,
            on_disk: shared.on_disk,
        })
    }

    fn named(&self) -> Vec<(&'static str, Arc<dyn ItemSink<T>>)> {
        let otlp = self.otlp.iter().map(|(sink, _)| sink.clone() as Arc<dyn ItemSink<T>>);
        let stdout = self.stdout.iter().map(|sink| sink.clone() as Arc<dyn ItemSink<T>>);
        let otlp = otlp.map(|sink| (self.names.otlp, sink));
        otlp.chain(stdout.map(|sink| (self.names.stdout, sink))).collect()
    }

    /// Where items go.
    pub(super) fn sinks(&self) -> Vec<Arc<dyn ItemSink<T>>> {
        self.named().into_iter().map(|(_, sink)| sink).collect()
    }

    fn register(&self, own: &Own) {
        for (kind, sink) in self.named() {
            self.names.register(own, kind, sink);
        }
        if let Some((sink, _)) = self.otlp.iter().find(|_| self.on_disk) {
            disk::register(own, &self.names, sink);
        }
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

/// What became of the items of one exporter.
struct Exported<T> {
    kind: &'static str,
    sink: Arc<dyn ItemSink<T>>,
}

impl<T: OtlpItem> EventCounts for Exported<T> {
    fn events(&self) -> Vec<EventCount> {
        vec![event_count(self.kind, self.sink.counts())]
    }
}

fn event_count(kind: &'static str, counts: QueueCounts) -> EventCount {
    EventCount {
        kind,
        seen: counts.seen,
        delivered: counts.delivered,
        lost: counts.lost,
    }
}
