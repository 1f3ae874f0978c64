//! One scrape: sources are encoded on a blocking thread, and the pieces go through a short channel to the connection. A peer
//! that reads slowly slows down its own thread alone.

use super::handler::State;
use super::selection::Selection;
use crate::cost::{self, Stage};
use crate::export::prometheus::{Format, PrometheusEncoder};
use crate::metric::Encoder;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame, SizeHint};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Pieces of at most about 80 KiB that may wait for the peer.
const PIECES: usize = 2;

/// A piece, or the end.
type Piece = Option<Bytes>;

/// Body of an answer.
pub(crate) enum AnswerBody {
    /// All there.
    Whole(Bytes),
    /// Comes piece by piece. Closed without an end: cut, and the peer must see that.
    Pieces(mpsc::Receiver<Piece>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match &mut *self {
            AnswerBody::Whole(bytes) => std::mem::take(bytes),
            AnswerBody::Pieces(pieces) => match ready!(pieces.poll_recv(cx)) {
                Some(Some(bytes)) => bytes,
                Some(None) => Bytes::new(),
                None => return Poll::Ready(Some(Err(io::Error::other("the scrape failed half-way")))),
            },
        };
        if bytes.is_empty() {
            *self = AnswerBody::Whole(Bytes::new());
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, AnswerBody::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Pieces(_) => SizeHint::default(),
        }
    }
}

/// A place among the scrapes at a time; given back when dropped.
pub(crate) struct Place(Arc<State>);

impl Place {
    /// Takes a place, if there is one.
    pub(crate) fn take(state: &Arc<State>) -> Option<Place> {
        let before = state.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(state.clone());
        // Dropping gives back what was added.
        (state.max_requests == 0 || before < state.max_requests).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins a scrape and gives its body. Must run on a tokio runtime.
pub(crate) fn scrape(place: Place, format: Format, gzip: bool, selection: Selection) -> AnswerBody {
    let (pieces, body) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let state = place.0.clone();
        let stats = &state.stats;
        let out = Out::new(Pieces(pieces.clone()), gzip);
        // A source that panics fails its scrape, not the agent.
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let mut encoder = PrometheusEncoder::new(format, out);
            state.collectors.collect_some(&|name| selection.has(name), &mut encoder);
            for source in &state.always {
                source.collect(&mut encoder);
            }
            if !matches!(selection, Selection::Only(_)) {
                for source in &state.sources {
                    source.collect(&mut encoder);
                }
                if state.own_metrics {
                    stats.collect(&mut encoder as &mut dyn Encoder);
                }
            }
            stats.kept_out(encoder.refused());
            encoder.finish().and_then(Out::finish)
        }));
        match encoded {
            Ok(result) => {
                stats.ok.fetch_add(1, Ordering::Relaxed);
                // An error means that the peer is gone.
                drop(place);
                if result.is_ok() {
                    let _ = pieces.blocking_send(None);
                }
            }
            Err(_) => {
                stats.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!("a scrape failed because a source of metrics panicked");
            }
        }
        cost::lap(Stage::Scrape);
    });
    AnswerBody::Pieces(body)
}

/// Sends what is written as pieces.
struct Pieces(mpsc::Sender<Piece>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let piece = Some(Bytes::copy_from_slice(bytes));
            self.0.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compressed or not.
enum Out {
    Plain(Pieces),
    Gzip(Box<GzEncoder<Pieces>>),
}

impl Out {
    fn new(pieces: Pieces, gzip: bool) -> Out {
        match gzip {
            true => Out::Gzip(Box::new(GzEncoder::new(pieces, Compression::fast()))),
            false => Out::Plain(pieces),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Out::Plain(_) => Ok(()),
            Out::Gzip(gzip) => gzip.finish().map(drop),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::Plain(out) => out.write(bytes),
            Out::Gzip(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Plain(out) => out.flush(),
            Out::Gzip(out) => out.flush(),
        }
    }
}
