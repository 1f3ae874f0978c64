//! What programs write to their standard output and error.

use super::{Actor, Nanos};

/// Where a program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Value of OpenTelemetry's `log.iostream`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What takes what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Behind {
    /// A pipe.
    Pipe,
    /// A terminal, `/dev/null` and their like.
    Device,
    /// A Unix socket.
    Socket,
}

/// See [`super::Signal::Write`]: bytes of one call, or a piece of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSignal<'a> {
    /// When the call was over.
    pub at: Nanos,
    /// Who wrote.
    pub actor: Actor,
    /// Where.
    pub stream: Stream,
    /// What is behind it.
    pub behind: Behind,
    /// Bytes of this stream that were not told before these: the ring was full, or they were too many or not readable. Both only grow.
    pub lost: (u64, u64),
    /// The bytes; none when they could not be read.
    pub bytes: &'a [u8],
}
