use super::super::QueueLimits;
use super::*;
use crate::export::queue::tests::{Log, ledger, span};
use crate::trace::span::Span;
use bytes::Bytes;
use std::sync::Mutex;

/// Answers as scripted (then accepts), and notes when it was asked.
struct Script {
    outcomes: Mutex<Vec<Outcome>>,
    asked: Mutex<Vec<Instant>>,
}

impl Transport for Arc<Script> {
    async fn send(&self, _: Bytes) -> Outcome {
        self.asked.lock().unwrap().push(Instant::now());
        let mut outcomes = self.outcomes.lock().unwrap();
        if outcomes.is_empty() {
            Outcome::Accepted {
                rejected: 0,
                message: String::new(),
            }
        } else {
            outcomes.remove(0)
        }
    }
    fn pack(&self, request: Vec<u8>) -> Bytes {
        request.into()
    }
    fn target(&self) -> &str {
        "script"
    }
}

fn retry(after: Option<u64>) -> Outcome {
    Outcome::Retry {
        after: after.map(Duration::from_secs),
        why: "busy".to_owned(),
    }
}

/// Runs an exporter on these outcomes with `spans` spans in one batch, closing after `close` with 10 s to go. Returns the queue
/// and the seconds at which a request was sent.
async fn run(outcomes: Vec<Outcome>, spans: u64, close: Duration) -> (Arc<Queue<Span>>, Vec<f64>) {
    let limits = QueueLimits {
        delay: Duration::ZERO,
        ..QueueLimits::default()
    };
    let queue = Arc::new(Queue::new(limits));
    let script = Arc::new(Script {
        outcomes: Mutex::new(outcomes),
        asked: Mutex::default(),
    });
    let begin = Instant::now();
    (0..spans).for_each(|n| queue.offer(span(n)));
    let exporter = Exporter::new(queue.clone(), script.clone(), Backoff::default());
    let close = async {
        tokio::time::sleep(close).await;
        ledger(&queue.counts());
        queue.close(Instant::now() + Duration::from_secs(10));
    };
    tokio::join!(exporter.run(), close);
    let asked = script
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|at| (*at - begin).as_secs_f64())
        .collect();
    (queue, asked)
}

const LATE: Duration = Duration::from_secs(1000);

#[tokio::test(start_paused = true)]
async fn backs_off_exponentially_with_jitter() {
    let (queue, asked) = run((0..8).map(|_| retry(None)).collect(), 3, LATE).await;
    assert_eq!(ledger(&queue.counts()), (3, 0, vec![]));
    let pauses: Vec<f64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 8);
    for (pause, full) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
        assert!((full * 0.5..=full + 0.01).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_least_that_is_waited() {
    let (_, asked) = run(vec![retry(Some(77)), retry(Some(0))], 1, LATE).await;
    assert!((77.0..77.1).contains(&asked[1]), "{asked:?}");
    assert!(asked[2] - asked[1] >= 1.0, "no hot loop: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn gives_up_in_the_end_and_goes_on_with_the_next() {
    let (queue, asked) = run((0..100).map(|_| retry(None)).collect(), 2, LATE).await;
    assert_eq!(ledger(&queue.counts()), (0, 0, vec![("retries_exhausted", 2)]));
    assert!(*asked.last().unwrap() <= 300.0, "{asked:?}");
    let (queue, _) = run(vec![retry(Some(301))], 2, LATE).await;
    assert_eq!(ledger(&queue.counts()), (0, 0, vec![("retries_exhausted", 2)]));
}

#[tokio::test(start_paused = true)]
async fn refused_and_rejected_are_not_tried_again() {
    let refused = Outcome::Refused {
        loss: Loss::Refused4xx,
        why: "bad".to_owned(),
    };
    let (queue, asked) = run(vec![refused], 5, LATE).await;
    assert_eq!(
        (ledger(&queue.counts()), asked.len()),
        ((0, 0, vec![("refused_4xx", 5)]), 1)
    );
    let partial = |rejected| Outcome::Accepted {
        rejected,
        message: "too old".to_owned(),
    };
    let (queue, asked) = run(vec![partial(2)], 5, LATE).await;
    assert_eq!(
        (ledger(&queue.counts()), asked.len()),
        ((3, 0, vec![("rejected", 2)]), 1)
    );
    // A receiver that counts more than it was given.
    let (queue, _) = run(vec![partial(9)], 5, LATE).await;
    assert_eq!(ledger(&queue.counts()), (0, 0, vec![("rejected", 5)]));
}

#[tokio::test(start_paused = true)]
async fn closing_tries_at_once_and_keeps_its_deadline() {
    let close = Duration::from_secs(5);
    let (queue, asked) = run(vec![retry(Some(100))], 1, close).await;
    assert_eq!((ledger(&queue.counts()), asked), ((1, 0, vec![]), vec![0.0, 5.0]));
    let begin = Instant::now();
    let (queue, asked) = run((0..100).map(|_| retry(None)).collect(), 1, close).await;
    assert_eq!(ledger(&queue.counts()), (0, 0, vec![("shutdown", 1)]));
    assert!(asked.len() < 10 && begin.elapsed() <= Duration::from_millis(15_010));
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_once() {
    let (log, _guard) = Log::capture();
    run((0..8).map(|_| retry(None)).collect(), 3, LATE).await;
    assert_eq!((log.count("exporting spans fails"), log.count("works again")), (1, 1));
}
