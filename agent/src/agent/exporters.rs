//! The exporters that were asked for, of spans and of records of logs.

use super::FLUSH;
use crate::collectors::own::events::{EventCount, EventCounts};
use crate::collectors::own::{Own, Reading};
use crate::config::{Config, Export};
use crate::export::otlp::{self, OtlpClients, OtlpConfig, OtlpItem, OtlpSink};
use crate::export::stdout::{Line, StdoutSink};
use crate::export::{ItemSink, QueueLimits};
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
    stdout: &'static str,
    queue: &'static str,
    queue_help: &'static str,
}

const SPANS: Names = Names {
    otlp: "span_otlp",
    stdout: "span_stdout",
    queue: "onlooker_export_queue_spans",
    queue_help: "Spans in the queue of an exporter now; those being sent are in onlooker_events_pending.",
};

const LOGS: Names = Names {
    otlp: "log_otlp",
    stdout: "log_stdout",
    queue: "onlooker_export_queue_records",
    queue_help: "Records of logs in the queue of an exporter now; those being sent are in onlooker_events_pending.",
};

impl Exporters {
    /// Starts what settings and environment ask for.
    pub(super) fn start(config: &Config) -> anyhow::Result<Exporters> {
        let mut clients = OtlpClients::default();
        let to_stdout = |word| config.export.contains(&word);
        Ok(Exporters {
            spans: Exporter::start(SPANS, config, to_stdout(Export::Stdout), &mut clients)?,
            logs: Exporter::start(LOGS, config, to_stdout(Export::Events), &mut clients)?,
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

/// Exporters of one sort of item.
pub(super) struct Exporter<T: OtlpItem> {
    names: Names,
    otlp: Option<(Arc<OtlpSink<T>>, tokio::task::JoinHandle<()>)>,
    stdout: Option<Arc<StdoutSink<T>>>,
}

impl<T: OtlpItem + Line> Exporter<T> {
    fn start(names: Names, config: &Config, stdout: bool, clients: &mut OtlpClients) -> anyhow::Result<Exporter<T>> {
        let env = |name: &str| std::env::var(name).ok();
        let otlp = match OtlpConfig::from_env(T::SIGNAL, &config.otlp.over(&env))? {
            Some(settings) => {
                let (sink, task) = otlp::new(settings, clients)?;
                Some((sink, tokio::spawn(task.run())))
            }
            None => None,
        };
        let stdout = stdout
            .then(|| StdoutSink::start(QueueLimits::default()))
            .transpose()
            .with_context(|| format!("cannot write {} to standard output", T::PLURAL))?;
        Ok(Exporter { names, otlp, stdout })
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
        let counts = self.sink.counts();
        vec![EventCount {
            kind: self.kind,
            seen: counts.seen,
            delivered: counts.delivered,
            lost: counts.lost,
        }]
    }
}
