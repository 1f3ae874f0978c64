//! Spans as lines of JSON on standard output (`--export stdout`). A thread of its own writes, so that a reader who does not read
//! stops nobody; a reader who goes away ends the export, not the agent.

use super::queue::{Loss, SpanQueue};
use super::{QueueLimits, SpanCounts, SpanSink};
use crate::cost::{self, Stage};
use crate::trace::context::Hex;
use crate::trace::span::{Attribute, AttributeValue, Span, SpanKind};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Writes spans as lines.
#[derive(Debug)]
pub struct StdoutSink {
    queue: Arc<SpanQueue>,
    /// Hangs up when the thread is done.
    done: Mutex<Receiver<()>>,
}

impl StdoutSink {
    /// Begins to write to standard output.
    pub fn start(limits: QueueLimits) -> io::Result<Arc<StdoutSink>> {
        StdoutSink::start_with(io::stdout(), limits)
    }

    /// Begins to write to something else. Errors: the thread cannot be made.
    pub fn start_with(writer: impl Write + Send + 'static, limits: QueueLimits) -> io::Result<Arc<StdoutSink>> {
        let queue = Arc::new(SpanQueue::new(QueueLimits {
            delay: Duration::ZERO,
            ..limits
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (alive, done) = mpsc::channel();
        let lines = queue.clone();
        std::thread::Builder::new()
            .name("onlooker-stdout".to_owned())
            .spawn(move || {
                runtime.block_on(write(&lines, writer));
                drop::<mpsc::Sender<()>>(alive);
            })?;
        Ok(Arc::new(StdoutSink {
            queue,
            done: Mutex::new(done),
        }))
    }

    /// Takes no more spans and waits until those that wait are written, at most for this time; the others count as lost.
    pub fn close(&self, within: Duration) {
        self.queue.close(Instant::now() + within);
        let done = self.done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if done.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
            self.queue.end(Loss::Shutdown);
        }
    }
}

impl SpanSink for StdoutSink {
    fn accept(&self, span: Span) {
        self.queue.offer(span);
    }
    fn counts(&self) -> SpanCounts {
        self.queue.counts()
    }
}

async fn write(queue: &SpanQueue, mut writer: impl Write) {
    let mut lines = Vec::new();
    while let Some(spans) = queue.take().await {
        lines.clear();
        for span in &spans {
            // Writing to a Vec fails only when a Serialize says so, and ours does not.
            let _ = serde_json::to_writer(&mut lines, &Line(span));
            lines.push(b'\n');
        }
        if let Err(error) = writer.write_all(&lines).and_then(|()| writer.flush()) {
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::warn!("writing spans to standard output ends: {error}");
            }
            return queue.end(Loss::Closed);
        }
        queue.settle(spans.len(), 0, Loss::Closed);
        cost::lap(Stage::Stdout);
    }
}

/// A span as one JSON object.
struct Line<'a>(&'a Span);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.0;
        let service = span.resource.attributes.iter().find(|(name, _)| name == "service.name");
        let start = SystemTime::UNIX_EPOCH + Duration::from_nanos(span.start);
        let kind = match span.kind {
            SpanKind::Server => "SERVER",
            SpanKind::Client => "CLIENT",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("trace_id", &Hex(&span.trace_id).to_string())?;
        map.serialize_entry("span_id", &Hex(&span.span_id).to_string())?;
        map.serialize_entry("parent_id", &span.parent.map(|id| Hex(&id).to_string()))?;
        map.serialize_entry("service", &service.map(|(_, value)| Plain(value)))?;
        map.serialize_entry("name", &span.name)?;
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("start", &humantime::format_rfc3339_nanos(start).to_string())?;
        map.serialize_entry("duration_ms", &(span.end.saturating_sub(span.start) as f64 / 1e6))?;
        map.serialize_entry("status", if span.error { "error" } else { "unset" })?;
        map.serialize_entry("attributes", &Attributes(&span.attributes))?;
        map.end()
    }
}

struct Attributes<'a>(&'a [Attribute]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Plain(value))))
    }
}

struct Plain<'a>(&'a AttributeValue);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            AttributeValue::Text(text) => serializer.serialize_str(text),
            AttributeValue::Int(number) => serializer.serialize_i64(*number),
            AttributeValue::Double(number) => serializer.serialize_f64(*number),
            AttributeValue::Bool(truth) => serializer.serialize_bool(*truth),
            AttributeValue::Texts(texts) => texts.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests;
