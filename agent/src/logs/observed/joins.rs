//! Lines that are read from the logs of containers, and the requests for which they were written: the same line was seen as it was
//! written.
//!
//! A line and its write are one when container, stream and text are the same, and the time that the runtime took the line at is not far
//! behind that of the write. Where several writes could be meant there is none.

use crate::logs::SpanContext;
use crate::signal::Stream;
use crate::trace::span::{AttributeValue, Resource};
use rustc_hash::{FxHashMap, FxHasher};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// Bytes of a line's beginning that are compared.
const BEGINNING: usize = 256;
/// Nanoseconds after which nobody asks for a write any more.
const KEEP: u64 = 3_000_000_000;
/// Nanoseconds within which a runtime mostly takes a line.
const SOON: u64 = 20_000_000;
/// Nanoseconds by which clocks may be read apart.
const SLACK: u64 = 1_000_000;

/// What a line is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JoinKey(u64);

impl JoinKey {
    /// Of a line (its first one, if it is several) of this container and stream.
    pub fn new(container: u64, stream: Stream, text: &[u8]) -> JoinKey {
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut hasher = FxHasher::default();
        (container, stream, line.get(..BEGINNING).unwrap_or(line)).hash(&mut hasher);
        JoinKey(hasher.finish())
    }
}

/// The container of a resource, as processes and files of logs both know it: of a pod by its uid and the container's name, else by its id.
pub fn container(resource: &Resource) -> Option<u64> {
    let text = |wanted: &str| {
        let mut attributes = resource.attributes.iter();
        attributes.find_map(|(name, value)| match value {
            AttributeValue::Text(text) if name == wanted => Some(&**text),
            _ => None,
        })
    };
    let its = match (text("k8s.pod.uid"), text("k8s.container.name")) {
        (Some(pod), Some(name)) => (pod, name),
        _ => ("", text("container.id")?),
    };
    let mut hasher = FxHasher::default();
    its.hash(&mut hasher);
    Some(hasher.finish())
}

/// Writes whose lines were not read yet.
#[derive(Debug)]
pub(super) struct Joins {
    limit: usize,
    writes: FxHashMap<JoinKey, VecDeque<(u64, Option<SpanContext>)>>,
    order: VecDeque<(u64, JoinKey)>,
    /// Writes that were forgotten early for others.
    pub(super) refused: u64,
}

impl Joins {
    /// For so many writes.
    pub(super) fn new(limit: usize) -> Joins {
        Joins {
            limit,
            writes: FxHashMap::default(),
            order: VecDeque::new(),
            refused: 0,
        }
    }

    /// A line was written: Unix time, nanoseconds.
    pub(super) fn put(&mut self, key: JoinKey, at: u64, span: Option<SpanContext>) {
        if self.order.len() >= self.limit {
            self.refused += 1;
            self.forget_oldest();
        }
        self.writes.entry(key).or_default().push_back((at, span));
        self.order.push_back((at, key));
    }

    /// Whether the write of a line that a runtime took at this time is there for sure: none that comes later can be meant.
    pub(super) fn knows(&self, key: JoinKey, time: u64) -> bool {
        let writes = self.writes.get(&key).into_iter().flatten();
        writes.filter(|(at, _)| is_within(*at, time, SOON)).count() == 1
    }

    /// The span of a line that a runtime took at this time. `None` also when it is not known.
    pub(super) fn take(&mut self, key: JoinKey, time: u64) -> Option<SpanContext> {
        let writes = self.writes.get_mut(&key)?;
        let within = |(at, _): &&(u64, _), most| is_within(*at, time, most);
        let count = |most| writes.iter().filter(|write| within(write, most)).count();
        let most = if count(KEEP) == 1 { KEEP } else { SOON };
        if count(most) != 1 {
            // Several lines of the same text: if all are of one request, it is meant.
            let mut spans = writes.iter().filter(|write| within(write, most)).map(|(_, span)| *span);
            let first = spans.next()?;
            return first.filter(|_| spans.all(|span| span == first));
        }
        let place = writes.iter().position(|write| within(&write, most))?;
        let (_, span) = writes.remove(place)?;
        if writes.is_empty() {
            self.writes.remove(&key);
        }
        span
    }

    /// Forgets writes for which nobody asks any more.
    pub(super) fn tidy(&mut self, now: u64) {
        while self.order.front().is_some_and(|(at, _)| now.saturating_sub(*at) > KEEP) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((at, key)) = self.order.pop_front() else {
            return;
        };
        if let Some(writes) = self.writes.get_mut(&key) {
            // It may have been taken.
            writes.retain(|(its, _)| *its > at);
            if writes.is_empty() {
                self.writes.remove(&key);
            }
        }
    }
}

/// Whether a line that a runtime took at this time may be one that was written so much earlier at most.
fn is_within(at: u64, time: u64, most: u64) -> bool {
    let age = time.saturating_add(SLACK).checked_sub(at);
    age.is_some_and(|age| age <= most + SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn span(id: u8) -> Option<SpanContext> {
        Some(SpanContext {
            trace_id: [id; 16],
            span_id: [id; 8],
            flags: 1,
        })
    }

    fn key(text: &str) -> JoinKey {
        JoinKey::new(1, Stream::Stdout, text.as_bytes())
    }

    #[test]
    fn a_line_finds_its_write_once() {
        let mut joins = Joins::new(10);
        joins.put(key("a"), 100 * MILLI, span(1));
        joins.put(key("b"), 100 * MILLI, None);
        assert!(
            joins.knows(key("a"), 110 * MILLI) && !joins.knows(key("a"), 900 * MILLI),
            "another may come"
        );
        assert_eq!(joins.take(key("a\n  more of it"), 900 * MILLI), span(1));
        assert_eq!(joins.take(key("a"), 900 * MILLI), None);
        assert_eq!(joins.take(key("b"), 101 * MILLI), None, "of no request");
        assert_eq!(joins.take(key("c"), 101 * MILLI), None, "nobody wrote it");
        assert!(joins.writes.is_empty());
    }

    #[test]
    fn other_containers_streams_and_times_are_other_lines() {
        let mut joins = Joins::new(10);
        joins.put(key("a"), 5_000 * MILLI, span(1));
        for (container, stream) in [(2, Stream::Stdout), (1, Stream::Stderr)] {
            assert_eq!(joins.take(JoinKey::new(container, stream, b"a"), 5_000 * MILLI), None);
        }
        assert_eq!(joins.take(key("a"), 4_990 * MILLI), None, "before it was written");
        assert_eq!(joins.take(key("a"), 8_010 * MILLI), None, "long after");
        assert_eq!(joins.take(key("a"), 5_000 * MILLI), span(1));
    }

    #[test]
    fn of_several_writes_of_one_text_the_time_decides_or_nothing_does() {
        let mut joins = Joins::new(10);
        joins.put(key("a"), 100 * MILLI, span(1));
        joins.put(key("a"), 200 * MILLI, span(2));
        joins.put(key("a"), 201 * MILLI, span(3));
        assert_eq!(joins.take(key("a"), 102 * MILLI), span(1));
        assert_eq!(joins.take(key("a"), 203 * MILLI), None, "the second or the third");
        let mut joins = Joins::new(10);
        joins.put(key("a"), 200 * MILLI, span(2));
        joins.put(key("a"), 201 * MILLI, span(2));
        assert_eq!(joins.take(key("a"), 203 * MILLI), span(2), "both are of one request");
    }

    #[test]
    fn writes_are_bounded_and_forgotten() {
        let mut joins = Joins::new(2);
        for n in 0..4u8 {
            joins.put(key(&n.to_string()), u64::from(n) * MILLI, span(n));
        }
        assert_eq!((joins.writes.len(), joins.order.len(), joins.refused), (2, 2, 2));
        assert_eq!(joins.take(key("3"), 4 * MILLI), span(3));
        joins.tidy(KEEP + 3 * MILLI);
        assert_eq!((joins.writes.len(), joins.order.len()), (0, 1));
        joins.tidy(KEEP + 4 * MILLI);
        assert_eq!(joins.order.len(), 0);
    }

    #[test]
    fn containers_are_known_to_both_by_the_same_name() {
        let resource = |pairs: &[(&'static str, &str)]| Resource {
            attributes: pairs
                .iter()
                .map(|(name, value)| ((*name).into(), AttributeValue::Text((*value).to_owned().into())))
                .collect(),
        };
        let process = resource(&[("container.id", "9"), ("k8s.pod.uid", "u"), ("k8s.container.name", "c")]);
        let file = resource(&[
            ("k8s.container.name", "c"),
            ("k8s.pod.uid", "u"),
            ("log.file.path", "p"),
        ]);
        assert_eq!(container(&process), container(&file));
        assert!(container(&file).is_some());
        let docker = resource(&[("container.id", "9")]);
        assert!(container(&docker).is_some() && container(&docker) != container(&process));
        assert_eq!(container(&resource(&[("service.name", "shop")])), None);
    }
}
