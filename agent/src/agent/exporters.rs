//! The exporters that were asked for, of spans and of records of logs.

mod disk;

use super::FLUSH;
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

/// All exporters.
pub(super) struct Exporters {
    pub(super) spans: Exporter<Span>,
    pub(super) logs: Exporter<LogRecord>,
}

/// Names of what exporters of one sort of item count.
struct Names {
    otlp: &'static str,
    /// Of those that the last run of the agent left.
    former: &'static str,
    stdout: &'static str,
    queue: &'static str,
    queue_help: &'static str,
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
            spans: Exporter::start(SPANS, config, to_stdout(Export::Stdout), &mut otlp)?,
            logs: Exporter::start(LOGS, config, to_stdout(Export::Events), &mut otlp)?,
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
    }

    /// Sends what waits, for [`FLUSH`] at most.
    pub(super) async fn close(&mut self) {
        tokio::join!(self.spans.close(), self.logs.close());
    }
}

/// What the OTLP exporters share.
struct Otlp {
    clients: OtlpClients,
    /// Queues are to be on the disk.
    on_disk: bool,
    /// Their folder, if it can be used.
    folder: Option<QueueFolder>,
    /// Bytes of one queue on the disk.
    each: u64,
}

impl Otlp {
    fn new(config: &Config) -> anyhow::Result<Otlp> {
        let mut signals = 0;
        for signal in OtlpSignal::ALL {
            signals += u64::from(OtlpConfig::from_env(signal, &config.otlp.over(&env))?.is_some());
        }
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
            clients: OtlpClients::default(),
            on_disk: path.is_some(),
            folder,
            each: config.otlp_queue.max_bytes / signals.max(1),
        })
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Exporters of one sort of item.
pub(super) struct Exporter<T: OtlpItem> {
    names: Names,
    otlp: Option<(Arc<OtlpSink<T>>, tokio::task::JoinHandle<()>)>,
    stdout: Option<Arc<StdoutSink<T>>>,
    /// Batches of OTLP are to wait on the disk.
    on_disk: bool,
}

impl<T: OtlpItem + Line> Exporter<T> {
    fn start(names: Names, config: &Config, stdout: bool, shared: &mut Otlp) -> anyhow::Result<Exporter<T>> {
        let otlp = match OtlpConfig::from_env(T::SIGNAL, &config.otlp.over(&env))? {
            Some(settings) => {
                let (sink, task) = match &shared.folder {
                    Some(folder) => otlp::on_disk(settings, &mut shared.clients, folder, shared.each)?,
                    None => otlp::new(settings, &mut shared.clients)?,
                };
                Some((sink, tokio::spawn(task.run())))
            }
            None => None,
        };
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
            let (items, bytes) = (sink.clone(), sink.clone());
            let queue = Reading::gauge(self.names.queue, "", self.names.queue_help, move || {
                items.counts().waiting as f64
            });
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
