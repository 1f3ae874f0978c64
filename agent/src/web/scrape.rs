//! One scrape: collectors run and sources are encoded on a blocking thread, and the pieces go through a short channel to the connection. A peer
//! that reads slowly slows down its own thread alone. What is one piece, as most scrapes are, is answered with its length and one write.
//! A collector that is late keeps its thread, and another one finishes the scrape.

use super::handler::State;
use super::selection::Selection;
use crate::collectors::node::runner::{Round, Watch};
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
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Bytes of a piece at most, unless more are written at a time (80 KiB).
const PIECE: usize = 96 << 10;
/// Pieces that may wait for the peer; one more is held back until it is known whether it is the last.
const PIECES: usize = 1;

/// A piece of an answer.
pub(crate) enum Piece {
    /// Others follow.
    More(Bytes),
    /// The end.
    Last(Bytes),
}

/// Body of an answer.
pub(crate) enum AnswerBody {
    /// All there.
    Whole(Bytes),
    /// Comes piece by piece, the first is here. Closed without an end: cut, and the peer must see that.
    Pieces(Bytes, mpsc::Receiver<Piece>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match &mut *self {
            AnswerBody::Whole(bytes) => std::mem::take(bytes),
            AnswerBody::Pieces(first, _) if !first.is_empty() => std::mem::take(first),
            AnswerBody::Pieces(_, pieces) => match ready!(pieces.poll_recv(cx)) {
                Some(Piece::More(bytes)) => bytes,
                Some(Piece::Last(bytes)) => {
                    *self = AnswerBody::Whole(Bytes::new());
                    bytes
                }
                None => return Poll::Ready(Some(Err(io::Error::other("the scrape failed half-way")))),
            },
        };
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, AnswerBody::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Pieces(..) => SizeHint::default(),
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

/// Takes a scrape and gives its body as soon as there is something of it; `None`: a source failed before. Must run on a tokio
/// runtime.
pub(crate) async fn scrape(place: Place, format: Format, gzip: bool, selection: Selection) -> Option<AnswerBody> {
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let held = Vec::new();
    let round = place.0.collectors.round(&|name| selection.has(name)).await;
    let scrape = Arc::new(Scrape {
        round,
        rest: Mutex::new(Some(Rest {
            place,
            format,
            selection,
            out: Out::new(Pieces { sender, held }, gzip),
        })),
    });
    scrape.start();
    // A task of its own: a peer that goes away does not leave a late collector unwatched, which would keep the next scrape from beginning.
    let watcher = tokio::spawn(scrape.watch());
    let first = pieces.recv().await;
    watcher.abort();
    Some(match first? {
        Piece::More(first) => AnswerBody::Pieces(first, pieces),
        Piece::Last(all) => AnswerBody::Whole(all),
    })
}

struct Scrape {
    round: Arc<Round>,
    /// For the thread that the last collector ran on.
    rest: Mutex<Option<Rest>>,
}

impl Scrape {
    /// Has a thread go on where the scrape is.
    fn start(self: &Arc<Scrape>) {
        let scrape = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if scrape.round.run() {
                let rest = scrape.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
                rest.into_iter().for_each(|rest| rest.encode(&scrape.round));
            }
            cost::lap(Stage::Scrape);
        });
    }

    async fn watch(self: Arc<Scrape>) {
        loop {
            match self.round.watch() {
                Watch::Through => return,
                Watch::Until(until) => tokio::time::sleep_until(until.into()).await,
                Watch::Late => self.start(),
            }
        }
    }
}

/// What is left of a scrape when the collectors are through.
struct Rest {
    place: Place,
    format: Format,
    selection: Selection,
    out: Out,
}

impl Rest {
    fn encode(self, round: &Round) {
        let Rest {
            place,
            format,
            selection,
            out,
        } = self;
        let state = place.0.clone();
        let stats = &state.stats;
        // A source that panics fails its scrape, not the agent.
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let mut encoder = PrometheusEncoder::new(format, out);
            round.tell(&mut encoder);
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
                drop(place);
                // An error means that the peer is gone.
                let _ = result.and_then(Pieces::end);
            }
            Err(_) => {
                stats.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!("a scrape failed because a source of metrics panicked");
            }
        }
    }
}

/// Sends what is written as pieces.
struct Pieces {
    sender: mpsc::Sender<Piece>,
    held: Vec<u8>,
}

impl Pieces {
    /// Nothing follows.
    fn end(self) -> io::Result<()> {
        let sent = self.sender.blocking_send(Piece::Last(self.held.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.held.is_empty() && self.held.len() + bytes.len() > PIECE {
            let piece = std::mem::take(&mut self.held);
            let sent = self.sender.blocking_send(Piece::More(piece.into()));
            sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        self.held.extend_from_slice(bytes);
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

    fn finish(self) -> io::Result<Pieces> {
        match self {
            Out::Plain(pieces) => Ok(pieces),
            Out::Gzip(gzip) => gzip.finish(),
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
