//! OTLP over HTTP with protobuf (<https://opentelemetry.io/docs/specs/otlp/>): takes spans, sends them in batches, tries again
//! where the protocol says so, and counts what became of each.
//!
//! [`new`] gives two ends: the [`OtlpSink`] that any thread may offer spans to, and the [`OtlpTask`] that somebody runs on a
//! tokio runtime. The task knows how to send only through the trait `Transport`, the seam for gRPC.

mod config;
mod encode;
mod http;
mod retry;

pub use config::{OtlpConfig, OtlpConfigError};
pub use http::OtlpSetupError;
pub use retry::Backoff;

use super::queue::{Loss, SpanCounts, SpanQueue};
use super::{QueueLimits, SpanSink};
use crate::cost::{self, Stage};
use crate::trace::span::Span;
use http::HttpTransport;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Makes an exporter of spans. Nothing is sent before [`OtlpTask::run`] is polled; a receiver that cannot be reached is no error
/// here.
pub fn new(config: OtlpConfig) -> Result<(Arc<OtlpSink>, OtlpTask), OtlpSetupError> {
    let queue = Arc::new(SpanQueue::new(config.queue));
    let transport = HttpTransport::new(&config)?;
    let exporter = retry::Exporter::new(queue.clone(), transport, config.backoff);
    Ok((Arc::new(OtlpSink { queue }), OtlpTask { exporter }))
}

/// Where spans go in.
#[derive(Debug)]
pub struct OtlpSink {
    queue: Arc<SpanQueue>,
}

impl OtlpSink {
    /// Takes no more spans; [`OtlpTask::run`] sends what waits and returns, at the latest after this time. What could not be
    /// sent until then is counted as lost.
    pub fn close(&self, within: Duration) {
        self.queue.close(Instant::now() + within);
    }
}

impl SpanSink for OtlpSink {
    fn accept(&self, span: Span) {
        self.queue.offer(span);
    }
    fn counts(&self) -> SpanCounts {
        self.queue.counts()
    }
}

/// Sends the spans.
#[derive(Debug)]
pub struct OtlpTask {
    exporter: retry::Exporter<HttpTransport>,
}

impl OtlpTask {
    /// Runs until [`OtlpSink::close`]. Afterwards nothing is pending.
    pub async fn run(self) {
        cost::counted(Stage::Otlp, self.exporter.run()).await;
    }
}

#[cfg(test)]
mod tests;
