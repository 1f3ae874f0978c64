//! OTLP over gRPC or HTTP (<https://opentelemetry.io/docs/specs/otlp/>): takes spans, records of logs and metrics, sends them in
//! batches, tries again where the protocol says so, and counts what became of each.
//!
//! [`new`] and [`on_disk`] give two ends: the [`OtlpSink`] that any thread may offer items to, and the [`OtlpTask`] that somebody runs on a
//! tokio runtime. The task knows how to send only through the trait `Transport`. What differs by signal is in
//! [`OtlpItem`] and [`OtlpSignal`].

mod client;
mod compression;
mod config;
mod durable;
mod encode;
mod grpc;
mod http;
mod json;
pub mod metrics;
mod retry;
mod signal;
mod status;
mod text;
mod transport;

pub use client::{OtlpClients, OtlpSetupError};
pub use compression::OtlpCompression;
pub use config::{OtlpConfig, OtlpConfigError, OtlpProtocol, OtlpTls, Pem};
pub use retry::Backoff;
pub use signal::OtlpSignal;

use super::queue::disk::Disk;
pub use super::queue::durable::DiskCounts;
use super::queue::durable::{Durable, Showing};
use super::queue::{Loss, Queue, QueueCounts, QueueFolder};
use super::{Item, ItemSink, QueueLimits};
use crate::cost::{self, Stage};
use client::Link;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use transport::OtlpTransport;

/// Spans that wait in memory for the disk at most, and their bytes: a burst of 20,000.
const SPANS: usize = 32_768;
const SPANS_BYTES: usize = 24 << 20;

/// An item that OTLP has a service for.
pub trait OtlpItem: Item {
    /// The signal that it belongs to.
    const SIGNAL: OtlpSignal;
    /// The bytes of a request that holds these items.
    fn encode(items: Vec<Self>) -> Vec<u8>;
    /// How many items a response rejects, and why. `None`: none, or it is no response of the protocol.
    fn partial(body: &[u8]) -> Option<(i64, String)>;
}

/// Makes an exporter whose batches wait in memory. Nothing is sent before [`OtlpTask::run`] is polled; a receiver that cannot be
/// reached is no error here.
pub fn new<I: OtlpItem>(
    config: OtlpConfig,
    clients: &mut OtlpClients,
) -> Result<(Arc<OtlpSink<I>>, OtlpTask<I>), OtlpSetupError> {
    let queue = Arc::new(Queue::new(config.queue));
    let transport = OtlpTransport::new::<I>(&config, clients)?;
    let exporter = retry::Exporter::new(queue.clone(), transport, config.backoff);
    let sink = OtlpSink { queue, disk: None };
    Ok((Arc::new(sink), OtlpTask(Exporter::Memory(exporter))))
}

/// Makes an exporter whose batches go to a folder of the disk, `limit` bytes at most, and first what is there. If the disk cannot be
/// used that is logged, and they wait in memory.
pub fn on_disk<I: OtlpItem>(
    config: OtlpConfig,
    clients: &mut OtlpClients,
    folder: &QueueFolder,
    limit: u64,
) -> Result<(Arc<OtlpSink<I>>, OtlpTask<I>), OtlpSetupError> {
    let (name, number) = place_of(I::SIGNAL);
    let path = folder.path().join(name);
    let opened = folder.signal(name).and_then(|files| Disk::open(files, number, limit));
    let (disk, found) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!("{} wait in memory: cannot use {path:?}: {error}", I::PLURAL);
            return new(config, clients);
        }
    };
    if found.batches > 0 {
        tracing::info!("{} {} of the last run wait in {path:?}", found.items, I::PLURAL);
    }
    if found.torn_bytes > 0 {
        let bytes = found.torn_bytes;
        tracing::warn!("{bytes} bytes in {path:?} are dropped: their writing was cut off, or they are spoilt");
    }
    if let Some((files, version)) = found.other_versions {
        tracing::warn!(
            "{files} files in {path:?} are left alone: their format is of another version ({version}) of onlooker; \
             remove them, or let that version send them"
        );
    }
    if let Some((files, why)) = found.unreadable {
        tracing::warn!("{files} files in {path:?} are left alone: {why}");
    }
    let queue = Arc::new(Queue::new(before_disk::<I>(config.queue)));
    let transport = OtlpTransport::new::<I>(&config, clients)?;
    let disk = Durable::new(disk, found.items, queue.clone());
    let sink = OtlpSink {
        queue: queue.clone(),
        disk: Some(disk.shown()),
    };
    let exporter = durable::Exporter::new(queue, transport, config.backoff, disk);
    Ok((Arc::new(sink), OtlpTask(Exporter::Disk(exporter))))
}

/// Spans come in bursts, and nobody can make them wait: none is to be lost while the disk has room and takes a moment. Lines wait in their
/// files, and metrics come at their interval.
fn before_disk<I: OtlpItem>(limits: QueueLimits) -> QueueLimits {
    // Another number was asked for.
    let asked = limits.items != QueueLimits::default().items;
    match I::SIGNAL {
        OtlpSignal::Traces if !asked => QueueLimits {
            items: SPANS,
            bytes: SPANS_BYTES,
            ..limits
        },
        _ => limits,
    }
}

/// Name of a signal's folder, and its number in records. Both are for ever.
fn place_of(signal: OtlpSignal) -> (&'static str, u8) {
    // What the protocol calls it: traces, logs, and so on.
    let path = signal.names().path;
    let name = path.rsplit('/').next().unwrap_or(path);
    (name, name.bytes().next().unwrap_or_default())
}

/// Where items go in.
#[derive(Debug)]
pub struct OtlpSink<I> {
    queue: Arc<Queue<I>>,
    disk: Option<Showing>,
}

impl<I: OtlpItem> OtlpSink<I> {
    /// Takes nothing more in; [`OtlpTask::run`] sends what waits and returns, at the latest after this time. What could not be
    /// sent until then and is not on the disk is counted as lost.
    pub fn close(&self, within: Duration) {
        self.queue.close(Instant::now() + within);
    }

    /// What is on the disk; `None`: batches wait in memory alone.
    pub fn disk(&self) -> Option<DiskCounts> {
        self.disk.as_ref().map(Showing::counts)
    }
}

impl<I: OtlpItem> ItemSink<I> for OtlpSink<I> {
    fn accept(&self, item: I) {
        self.queue.offer(item);
    }
    fn room(&self) -> (usize, usize) {
        self.queue.room()
    }
    fn counts(&self) -> QueueCounts {
        self.queue.counts()
    }
}

/// Sends the items.
#[derive(Debug)]
pub struct OtlpTask<I: OtlpItem>(Exporter<I>);

#[derive(Debug)]
enum Exporter<I: OtlpItem> {
    Memory(retry::Exporter<I, OtlpTransport>),
    Disk(durable::Exporter<I, OtlpTransport>),
}

impl<I: OtlpItem> OtlpTask<I> {
    /// Runs until [`OtlpSink::close`]. Afterwards nothing is pending but what is on the disk.
    pub async fn run(self) {
        match self.0 {
            Exporter::Memory(exporter) => cost::counted(Stage::Otlp, exporter.run()).await,
            Exporter::Disk(exporter) => cost::counted(Stage::Otlp, exporter.run()).await,
        }
    }
}

#[cfg(test)]
mod tests;
