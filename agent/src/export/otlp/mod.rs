//! OTLP over gRPC or HTTP (<https://opentelemetry.io/docs/specs/otlp/>): takes spans and records of logs, sends them in
//! batches, tries again where the protocol says so, and counts what became of each.
//!
//! [`new`] gives two ends: the [`OtlpSink`] that any thread may offer items to, and the [`OtlpTask`] that somebody runs on a
//! tokio runtime. The task knows how to send only through the trait `Transport`. What differs by signal is in
//! [`OtlpItem`] and [`OtlpSignal`].

mod client;
mod compression;
mod config;
mod encode;
mod grpc;
mod http;
mod json;
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

use super::queue::{Loss, Queue, QueueCounts};
use super::{Item, ItemSink, QueueLimits};
use crate::cost::{self, Stage};
use client::Link;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use transport::OtlpTransport;

/// An item that OTLP has a service for.
pub trait OtlpItem: Item {
    /// The signal that it belongs to.
    const SIGNAL: OtlpSignal;
    /// The bytes of a request that holds these items.
    fn encode(items: Vec<Self>) -> Vec<u8>;
    /// How many items a response rejects, and why. `None`: none, or it is no response of the protocol.
    fn partial(body: &[u8]) -> Option<(i64, String)>;
}

/// Makes an exporter. Nothing is sent before [`OtlpTask::run`] is polled; a receiver that cannot be reached is no error here.
pub fn new<I: OtlpItem>(
    config: OtlpConfig,
    clients: &mut OtlpClients,
) -> Result<(Arc<OtlpSink<I>>, OtlpTask<I>), OtlpSetupError> {
    let queue = Arc::new(Queue::new(config.queue));
    let transport = OtlpTransport::new::<I>(&config, clients)?;
    let exporter = retry::Exporter::new(queue.clone(), transport, config.backoff);
    Ok((Arc::new(OtlpSink { queue }), OtlpTask { exporter }))
}

/// Where items go in.
#[derive(Debug)]
pub struct OtlpSink<I> {
    queue: Arc<Queue<I>>,
}

impl<I: OtlpItem> OtlpSink<I> {
    /// Takes nothing more in; [`OtlpTask::run`] sends what waits and returns, at the latest after this time. What could not be
    /// sent until then is counted as lost.
    pub fn close(&self, within: Duration) {
        self.queue.close(Instant::now() + within);
    }
}

impl<I: OtlpItem> ItemSink<I> for OtlpSink<I> {
    fn accept(&self, item: I) {
        self.queue.offer(item);
    }
    fn counts(&self) -> QueueCounts {
        self.queue.counts()
    }
}

/// Sends the items.
#[derive(Debug)]
pub struct OtlpTask<I: OtlpItem> {
    exporter: retry::Exporter<I, OtlpTransport>,
}

impl<I: OtlpItem> OtlpTask<I> {
    /// Runs until [`OtlpSink::close`]. Afterwards nothing is pending.
    pub async fn run(self) {
        cost::counted(Stage::Otlp, self.exporter.run()).await;
    }
}

#[cfg(test)]
mod tests;
