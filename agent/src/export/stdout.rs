//! Spans (`--export stdout`) and records of logs (`--export events`) as lines of JSON on standard output. A thread of its own writes
//! each, so that a reader who does not read stops nobody; a reader who goes away ends the export, not the agent.

use super::queue::{Loss, Queue};
use super::{Item, ItemSink, QueueCounts, QueueLimits};
use crate::cost::{self, Stage};
use crate::logs::{LogRecord, Receipt};
use crate::trace::context::Hex;
use crate::trace::span::{Attribute, AttributeValue, Resource, Span, SpanKind};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// An item that can be written as a line.
pub trait Line: Item {
    /// Appends it as one JSON object, without a line feed.
    fn line(&self, to: &mut Vec<u8>);
}

/// Writes items as lines.
#[derive(Debug)]
pub struct StdoutSink<T> {
    queue: Arc<Queue<T>>,
    /// Hangs up when the thread is done.
    done: Mutex<Receiver<()>>,
}

impl<T: Line> StdoutSink<T> {
    /// Begins to write to standard output.
    pub fn start(limits: QueueLimits) -> io::Result<Arc<StdoutSink<T>>> {
        StdoutSink::start_with(io::stdout(), limits)
    }

    /// Begins to write to something else. Errors: the thread cannot be made.
    pub fn start_with(writer: impl Write + Send + 'static, limits: QueueLimits) -> io::Result<Arc<StdoutSink<T>>> {
        let queue = Arc::new(Queue::new(QueueLimits {
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

    /// Takes nothing more in and waits until what waits is written, at most for this time; the rest counts as lost.
    pub fn close(&self, within: Duration) {
        self.queue.close(Instant::now() + within);
        let done = self.done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if done.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
            self.queue.end(Loss::Shutdown);
        }
    }
}

impl<T: Line> ItemSink<T> for StdoutSink<T> {
    fn accept(&self, item: T) {
        self.queue.offer(item);
    }
    fn room(&self) -> (usize, usize) {
        self.queue.room()
    }
    fn counts(&self) -> QueueCounts {
        self.queue.counts()
    }
}

async fn write<T: Line>(queue: &Queue<T>, mut writer: impl Write) {
    let mut lines = Vec::new();
    while let Some(mut items) = queue.take().await {
        lines.clear();
        for item in &items {
            item.line(&mut lines);
            lines.push(b'\n');
        }
        if let Err(error) = writer.write_all(&lines).and_then(|()| writer.flush()) {
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::warn!("writing {} to standard output ends: {error}", T::PLURAL);
            }
            return queue.end(Loss::Closed);
        }
        queue.settle(items.iter().map(T::units).sum(), 0, Loss::Closed);
        let receipts = items.iter_mut().filter_map(T::take_receipt);
        receipts.for_each(Receipt::settle);
        cost::lap(Stage::Stdout);
    }
}

impl Line for Span {
    fn line(&self, to: &mut Vec<u8>) {
        // Writing to a Vec fails only when a Serialize says so, and ours does not.
        let _ = serde_json::to_writer(to, &SpanLine(self));
    }
}

impl Line for LogRecord {
    fn line(&self, to: &mut Vec<u8>) {
        let _ = serde_json::to_writer(to, &RecordLine(self));
    }
}

/// A span as one JSON object.
struct SpanLine<'a>(&'a Span);

impl Serialize for SpanLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.0;
        let kind = match span.kind {
            SpanKind::Server => "SERVER",
            SpanKind::Client => "CLIENT",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("trace_id", &Hex(&span.trace_id).to_string())?;
        map.serialize_entry("span_id", &Hex(&span.span_id).to_string())?;
        map.serialize_entry("parent_id", &span.parent.map(|id| Hex(&id).to_string()))?;
        map.serialize_entry("service", &service(&span.resource))?;
        map.serialize_entry("name", &span.name)?;
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("start", &rfc3339(span.start))?;
        map.serialize_entry("duration_ms", &(span.end.saturating_sub(span.start) as f64 / 1e6))?;
        map.serialize_entry("status", if span.error { "error" } else { "unset" })?;
        map.serialize_entry("attributes", &Attributes(&span.attributes))?;
        map.end()
    }
}

/// A record of a log as one JSON object.
struct RecordLine<'a>(&'a LogRecord);

impl Serialize for RecordLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &rfc3339(record.timestamp))?;
        map.serialize_entry(
            "severity",
            record.severity_text.as_deref().unwrap_or(record.severity.text()),
        )?;
        map.serialize_entry("service", &service(&record.resource))?;
        map.serialize_entry("event", &record.event_name)?;
        map.serialize_entry("body", &record.body)?;
        if let Some(span) = &record.span {
            map.serialize_entry("trace_id", &Hex(&span.trace_id).to_string())?;
            // All zero where only the trace is known.
            if span.span_id != [0; 8] {
                map.serialize_entry("span_id", &Hex(&span.span_id).to_string())?;
            }
        }
        map.serialize_entry("attributes", &Attributes(&record.attributes))?;
        map.end()
    }
}

fn service(resource: &Resource) -> Option<Plain<'_>> {
    let mut attributes = resource.attributes.iter();
    let found = attributes.find(|(name, _)| name == "service.name");
    found.map(|(_, value)| Plain(value))
}

fn rfc3339(unix_nanos: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos);
    humantime::format_rfc3339_nanos(time).to_string()
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
