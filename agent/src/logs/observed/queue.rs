//! Between the pipeline's thread and the one that makes lines.

use super::joins::JoinKey;
use crate::logs::sources::Described;
use crate::logs::{LogRecord, SpanContext};
use crate::signal::{ProcessKey, Stream};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of memory of a message beside its text, about.
const OVERHEAD: usize = 192;
/// Records that were read have this part of the room, beside the writes.
const READ: usize = 4;

/// Bytes that a program wrote by one call, or a piece of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The process.
    pub process: ProcessKey,
    /// Its stream.
    pub stream: Stream,
    /// The thread.
    pub tid: u32,
    /// When: Unix time, nanoseconds.
    pub at: u64,
    /// Something before them in the stream was lost.
    pub gap: bool,
    /// The span of the request that the thread was handling.
    pub span: Option<SpanContext>,
    /// Its lines are read from the log of this container (see [`super::container`]): only who wrote them for which request is wanted.
    pub container: Option<u64>,
    /// The bytes.
    pub text: Box<[u8]>,
}

/// A process will write no more, or is another program from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The process.
    pub process: ProcessKey,
}

/// What the pipeline hands over, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// A process of this source wrote.
    Written(Arc<Described>, Written),
    /// A process ended.
    Ended(Ended),
    /// A record of a line that was read from the log of a container, by what its write is found, and when the runtime took it (Unix time,
    /// nanoseconds).
    Read(Box<LogRecord>, JoinKey, u64),
}

impl Message {
    /// Bytes of memory, about.
    pub fn weight(&self) -> usize {
        OVERHEAD
            + match self {
                Message::Written(_, written) => written.text.len(),
                Message::Ended(_) => 0,
                Message::Read(record, ..) => size_of::<LogRecord>() + record.body.len(),
            }
    }
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Of records that were read.
    read_bytes: usize,
    closed: bool,
}

/// A bounded queue of one writer and one reader.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    limit: usize,
}

impl Queue {
    /// For so many bytes.
    pub fn new(limit: usize) -> Queue {
        Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            limit,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts messages in, with one wake-up for all; gives back those for which there is no room. The end of a process always finds room:
    /// there is one for each that wrote.
    pub fn put(
        &self,
        messages: impl Iterator<Item = Message>,
        mut refused: impl FnMut(Message),
        mut taken: impl FnMut(),
    ) {
        let mut state = self.state();
        for message in messages {
            let weight = message.weight();
            match &message {
                Message::Written(..) if state.bytes + weight > self.limit => refused(message),
                Message::Written(..) => {
                    state.bytes += weight;
                    state.messages.push_back(message);
                    taken();
                }
                Message::Ended(_) | Message::Read(..) => state.messages.push_back(message),
            }
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Puts in a record of a line that was read. It is found when the reader looks next.
    ///
    /// # Errors
    /// There is no room, or nobody reads any more: the record.
    pub(super) fn put_read(&self, record: LogRecord, key: JoinKey, time: u64) -> Result<(), Box<LogRecord>> {
        let message = Message::Read(Box::new(record), key, time);
        let weight = message.weight();
        let mut state = self.state();
        if (state.closed || state.read_bytes + weight > self.limit / READ)
            && let Message::Read(record, ..) = message
        {
            return Err(record);
        }
        state.read_bytes += weight;
        state.messages.push_back(message);
        Ok(())
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }

    /// Whether nothing comes any more.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Takes all that waits, as long as something comes within this time. `None`: it is closed and empty.
    pub(crate) fn take(&self, within: Duration) -> Option<VecDeque<Message>> {
        let state = self.state();
        let empty = |state: &mut State| state.messages.is_empty() && !state.closed;
        let waited = self.filled.wait_timeout_while(state, within, empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.messages.is_empty() && state.closed {
            return None;
        }
        (state.bytes, state.read_bytes) = (0, 0);
        Some(std::mem::take(&mut state.messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::sources::Format;

    fn message(bytes: usize) -> Message {
        let source = Described {
            format: Format::Plain,
            resource: Arc::default(),
            service: "shop".into(),
        };
        let written = Written {
            process: ProcessKey::default(),
            stream: Stream::Stdout,
            tid: 1,
            at: 1,
            gap: false,
            span: None,
            container: None,
            text: vec![b'x'; bytes].into(),
        };
        Message::Written(Arc::new(source), written)
    }

    #[test]
    fn what_finds_no_room_is_given_back() {
        let queue = Queue::new(3 * (OVERHEAD + 100));
        let (mut refused, mut taken) = (0, 0);
        let ended = Message::Ended(Ended {
            process: ProcessKey::default(),
        });
        let messages = (0..5).map(|_| message(100)).chain([ended]);
        queue.put(messages, |_| refused += 1, || taken += 1);
        assert_eq!((refused, taken), (2, 3));
        assert_eq!(queue.take(Duration::ZERO).map(|all| all.len()), Some(4));
        assert_eq!(queue.take(Duration::ZERO).map(|all| all.len()), Some(0));
        queue.put([message(100)].into_iter(), |_| refused += 1, || taken += 1);
        queue.close();
        assert_eq!((refused, taken, queue.is_closed()), (2, 4, true));
        assert_eq!(
            queue.take(Duration::MAX).map(|all| all.len()),
            Some(1),
            "what waited is taken"
        );
        assert!(queue.take(Duration::MAX).is_none());
    }
}
