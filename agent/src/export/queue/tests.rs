use super::*;
use crate::trace::span::{AttributeValue, Resource, Span, SpanKind};
use std::sync::{Arc, LazyLock};
use tracing::Dispatch;

/// A span whose ids are made of its number.
pub(in crate::export) fn span(number: u64) -> Span {
    Span {
        trace_id: (u128::from(number) << 64 | 1).to_be_bytes(),
        span_id: number.to_be_bytes(),
        parent: None,
        state: None,
        flags: 3,
        name: "GET /a".to_owned(),
        kind: SpanKind::Server,
        start: 1_700_000_000_000_000_001,
        end: 1_700_000_000_001_500_001,
        attributes: Vec::new(),
        error: false,
        resource: Arc::new(Resource {
            attributes: vec![("service.name".into(), AttributeValue::Text("shop".into()))],
        }),
    }
}

/// Checks the identity and returns (delivered, pending, the losses that are not 0).
pub(in crate::export) fn ledger(counts: &QueueCounts) -> (u64, u64, Vec<(&'static str, u64)>) {
    let lost: u64 = counts.lost.iter().map(|(_, count)| count).sum();
    assert_eq!(counts.seen, counts.delivered + counts.pending + lost, "{counts:?}");
    let lost = counts.lost.iter().copied().filter(|(_, count)| *count > 0).collect();
    (counts.delivered, counts.pending, lost)
}

/// What this thread logs until the guard is dropped.
#[derive(Clone, Default)]
pub(in crate::export) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(in crate::export) fn capture() -> (Log, tracing::subscriber::DefaultGuard) {
        // With one subscriber alone tracing asks that of the thread which comes to an event first whether it is wanted at all,
        // and keeps the answer for everybody; another test's thread has none. With two it asks all of them.
        static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
        LazyLock::force(&OTHER);
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }
    pub(in crate::export) fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(text).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn queue(spans: usize, bytes: usize, batch: usize) -> Queue<Span> {
    Queue::new(QueueLimits {
        items: spans,
        bytes,
        batch,
        delay: Duration::from_secs(1),
    })
}

#[test]
fn limit_of_spans() {
    let queue = queue(2, usize::MAX, 2);
    (0..5).for_each(|n| queue.offer(span(n)));
    assert_eq!(ledger(&queue.counts()), (0, 2, vec![("queue_full", 3)]));
}

#[test]
fn limit_of_bytes() {
    let mut large = span(0);
    large.attributes = vec![("a".into(), AttributeValue::Text("x".repeat(1000).into()))];
    let queue = queue(100, 2 * large.weight(), 2);
    (0..3).for_each(|_| queue.offer(large.clone()));
    assert_eq!(ledger(&queue.counts()), (0, 2, vec![("queue_full", 1)]));
}

#[test]
fn weight_counts_what_is_on_the_heap() {
    let mut one = span(0);
    let bare = one.weight();
    one.state = Some("x".repeat(100).into());
    one.attributes = vec![
        ("a".into(), AttributeValue::Text("x".repeat(1000).into())),
        (
            "b".into(),
            AttributeValue::Texts(vec!["x".repeat(500), "x".repeat(500)]),
        ),
    ];
    assert!(one.weight() >= bare + 2100);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_given_back() {
    let queue = queue(100, 2 * span(0).weight(), 2);
    for _ in 0..3 {
        (0..2).for_each(|n| queue.offer(span(n)));
        assert_eq!(queue.take().await.map(|spans| spans.len()), Some(2));
        queue.settle(2, 0, Loss::Rejected);
    }
    assert_eq!(ledger(&queue.counts()), (6, 0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_the_delay_or_until_it_is_full() {
    let queue = queue(100, usize::MAX, 3);
    let begin = Instant::now();
    queue.offer(span(0));
    assert_eq!(queue.take().await.unwrap().len(), 1);
    assert_eq!(begin.elapsed().as_secs(), 1);
    let begin = Instant::now();
    (0..4).for_each(|n| queue.offer(span(n)));
    assert_eq!(queue.take().await.unwrap().len(), 3);
    assert_eq!(begin.elapsed(), Duration::ZERO);
    // Filled while waiting.
    let (taken, ()) = tokio::join!(queue.take(), async {
        tokio::task::yield_now().await;
        (0..2).for_each(|n| queue.offer(span(n)));
    });
    assert_eq!((taken.unwrap().len(), begin.elapsed()), (3, Duration::ZERO));
    assert_eq!(ledger(&queue.counts()), (0, 7, vec![]));
}

#[tokio::test(start_paused = true)]
async fn closing_hands_over_what_waits_and_refuses_more() {
    let queue = queue(100, usize::MAX, 3);
    queue.offer(span(0));
    queue.close(Instant::now() + Duration::from_secs(9));
    queue.offer(span(1));
    assert_eq!(queue.take().await.unwrap().len(), 1);
    assert_eq!(queue.take().await, None);
    queue.settle(1, 0, Loss::Rejected);
    assert_eq!(ledger(&queue.counts()), (1, 0, vec![("shutdown", 1)]));
}

#[tokio::test(start_paused = true)]
async fn after_the_end_nothing_is_counted_twice() {
    let queue = queue(100, usize::MAX, 1);
    (0..3).for_each(|n| queue.offer(span(n)));
    assert_eq!(queue.take().await.unwrap().len(), 1);
    queue.end(Loss::Closed);
    queue.settle(1, 0, Loss::Rejected);
    queue.offer(span(4));
    assert_eq!(queue.take().await, None);
    assert_eq!(ledger(&queue.counts()), (0, 0, vec![("closed", 4)]));
}
