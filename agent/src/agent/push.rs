//! Metrics pushed over OTLP: all sources are read at an interval, on a thread of the runtime's pool, and once more at the end.

use super::FLUSH;
use super::exporters::{Names, Otlp, disk};
use crate::collectors::node::runner::Runner;
use crate::collectors::own::process::boot_time;
use crate::collectors::own::{Own, Reading};
use crate::config::{Config, MetricFamilies};
use crate::cost::{self, Stage};
use crate::export::ItemSink;
use crate::export::otlp::OtlpSink;
use crate::export::otlp::metrics::{self, Families, MetricBatch, MetricReader, MetricsConfig, Origin, ReaderConfig};
use crate::metric::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Sources, and whose their numbers are.
pub(super) type Pushed = Vec<(Origin, Arc<dyn Source>)>;

/// While more than this waits in the queue, the next piece of a collection waits too, bytes.
const CROWDED: usize = 4 << 20;
/// How long it waits until it looks again.
const PAUSE: Duration = Duration::from_millis(20);

const NAMES: Names = Names {
    otlp: "metric_otlp",
    former: "metric_otlp_replayed",
    // Metrics are served, not written.
    stdout: "",
    queue: "onlooker_export_queue_pieces",
    queue_help: "Pieces of collections of metrics in the queue of an exporter now, of at most 2000 data points each.",
};

/// All that is pushed: the host's collectors, then what the agent counts.
pub(super) fn sources(collectors: &Arc<Runner>, own: &[Arc<dyn Source>]) -> Pushed {
    let collectors: Arc<dyn Source> = collectors.clone();
    let own = own.iter().map(|source| (Origin::Agent, source.clone()));
    std::iter::once((Origin::Host, collectors)).chain(own).collect()
}

/// The push of metrics.
pub(super) struct Push {
    sink: Arc<OtlpSink<MetricBatch>>,
    task: JoinHandle<()>,
    /// Pieces are to wait on the disk.
    on_disk: bool,
    settings: MetricsConfig,
    /// Until it begins to read.
    reader: Option<MetricReader>,
    reading: Option<JoinHandle<()>>,
    /// Ends the reading.
    stop: Option<oneshot::Sender<()>>,
    stopping: Arc<AtomicBool>,
}

impl Push {
    /// Makes the exporter when the environment asks for it; nothing is read yet.
    pub(super) fn start(config: &Config, otlp: &mut Otlp) -> anyhow::Result<Option<Push>> {
        let Some((sink, task)) = otlp.start()? else {
            return Ok(None);
        };
        let settings = MetricsConfig::from_env(&|name| otlp.variable(name))?;
        let boot = boot_time(&config.host).ok();
        let reader = MetricReader::new(ReaderConfig {
            temporality: settings.temporality,
            families: match config.metric_families {
                MetricFamilies::Semconv => Families::Semconv,
                MetricFamilies::All => Families::All,
            },
            host: config.host.name(),
            started: now(),
            boot: boot.map(|seconds| seconds.saturating_mul(1_000_000_000)),
            limit: metrics::LIMIT,
        });
        Ok(Some(Push {
            sink,
            task,
            on_disk: otlp.on_disk(),
            settings,
            reader: Some(reader),
            reading: None,
            stop: None,
            stopping: Arc::default(),
        }))
    }

    /// Tells what becomes of data points.
    pub(super) fn register(&self, own: &Own) {
        NAMES.register(own, NAMES.otlp, self.sink.clone() as Arc<dyn ItemSink<MetricBatch>>);
        if self.on_disk {
            disk::register(own, &NAMES, &self.sink);
        }
        let Some(counts) = self.reader.as_ref().map(MetricReader::counts) else {
            return;
        };
        let streams = counts.clone();
        own.register(Reading::gauge(
            "onlooker_otlp_metrics_series",
            "",
            "Counters and histograms whose start is remembered for the push of metrics.",
            move || streams.streams() as f64,
        ));
        for (index, (reason, _)) in counts.refused().into_iter().enumerate() {
            let counts = counts.clone();
            let reading = Reading::counter(
                "onlooker_otlp_metrics_refused_total",
                "",
                "Samples that were left out of the push of metrics: no room, told twice, or not well formed.",
                move || counts.refused().get(index).map_or(0.0, |(_, count)| *count as f64),
            );
            own.register(reading.label("reason", reason));
        }
    }

    /// Begins to read these sources.
    pub(super) fn read(&mut self, sources: Pushed) {
        let Some(reader) = self.reader.take() else { return };
        let (stop, stopped) = oneshot::channel();
        let place = Place {
            sink: self.sink.clone(),
            sources: sources.into(),
            timeout: self.settings.timeout,
            stopping: self.stopping.clone(),
        };
        self.stop = Some(stop);
        self.reading = Some(tokio::spawn(run(reader, place, self.settings.interval, stopped)));
    }

    /// Reads once more, and sends what waits, for [`FLUSH`] at most.
    pub(super) async fn close(mut self) {
        self.stopping.store(true, Ordering::Release);
        drop(self.stop.take());
        if let Some(reading) = self.reading.take() {
            // What is not read by then is not sent; the rest of the time is for sending.
            let _ = tokio::time::timeout(FLUSH / 2, reading).await;
        }
        self.sink.close(FLUSH / 2);
        let _ = self.task.await;
    }
}

/// Where a collection comes from and goes to.
#[derive(Clone)]
struct Place {
    sink: Arc<OtlpSink<MetricBatch>>,
    sources: Arc<[(Origin, Arc<dyn Source>)]>,
    timeout: Duration,
    stopping: Arc<AtomicBool>,
}

impl Place {
    fn collect(&self, reader: &mut MetricReader) {
        let until = Instant::now() + self.timeout;
        reader.collect(&self.sources, now(), &mut |piece| {
            // A queue that is full for longer loses it, and counts that.
            while self.sink.counts().waiting_bytes > CROWDED
                && Instant::now() < until
                && !self.stopping.load(Ordering::Acquire)
            {
                std::thread::sleep(PAUSE);
            }
            self.sink.accept(piece);
        });
        cost::lap(Stage::Scrape);
    }
}

/// One collection an interval, and one at the end.
async fn run(mut reader: MetricReader, place: Place, interval: Duration, mut stopped: oneshot::Receiver<()>) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            _ = &mut stopped => true,
        };
        let here = place.clone();
        let read = tokio::task::spawn_blocking(move || {
            here.collect(&mut reader);
            reader
        });
        match read.await {
            Ok(back) if !last => reader = back,
            _ => return,
        }
    }
}

/// Unix time, nanoseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
