//! With a receiver that answers as scripted, on real files.

mod live;

use super::*;
use crate::export::QueueLimits;
use crate::export::otlp::retry::Outcome;
use crate::export::queue::QueueCounts;
use crate::export::queue::disk::tests::faults::{Faults, Faulty};
use crate::export::queue::disk::{Disk, tests::SIGNAL};
use crate::export::queue::tests::{Log, ledger, span};
use crate::logs::{Acknowledge, LogRecord, Severity};
use crate::trace::span::Span;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use tempfile::TempDir;

/// What arrives is noted as numbers of spans; while it is down nothing is taken.
#[derive(Default)]
struct Receiver {
    down: AtomicBool,
    arrived: Mutex<Vec<u64>>,
    tries: Mutex<Vec<Instant>>,
    /// Packs requests in a way of its own, not with gzip.
    plain: bool,
    refuses: AtomicBool,
    /// Milliseconds that it takes for each request.
    slow: AtomicU64,
}

impl Transport for Arc<Receiver> {
    async fn send(&self, request: Bytes) -> Outcome {
        self.tries.lock().unwrap().push(Instant::now());
        // A receiver is not asked and answered in one step.
        tokio::task::yield_now().await;
        sleep(Duration::from_millis(self.slow.load(Ordering::Relaxed))).await;
        if self.down.load(Ordering::Relaxed) {
            return Outcome::Retry {
                after: None,
                why: "down".to_owned(),
            };
        }
        if self.refuses.load(Ordering::Relaxed) {
            return Outcome::Refused {
                loss: Loss::Refused4xx,
                why: "bad".to_owned(),
            };
        }
        let request = match self.plain {
            true => request.to_vec(),
            false => unpack(&request).unwrap(),
        };
        let request = ExportTraceServiceRequest::decode(request.as_slice()).unwrap();
        let scopes = request
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        let numbers = spans.map(|span| u64::from_be_bytes(span.span_id.try_into().unwrap()));
        self.arrived.lock().unwrap().extend(numbers);
        Outcome::Accepted {
            rejected: 0,
            message: String::new(),
        }
    }
    fn pack(&self, request: Vec<u8>) -> Bytes {
        if self.plain {
            return request.into();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&request).unwrap();
        encoder.finish().unwrap().into()
    }
    fn packs_gzip(&self) -> bool {
        !self.plain
    }
    fn target(&self) -> &str {
        "receiver"
    }
}

impl Receiver {
    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
    fn arrived(&self) -> Vec<u64> {
        self.arrived.lock().unwrap().clone()
    }
}

/// An agent's exporter in a folder.
struct Life {
    queue: Arc<Queue<Span>>,
    shown: Showing,
    faults: Arc<Faults>,
    task: tokio::task::JoinHandle<()>,
}

const LIMIT: u64 = 64 << 20;
const BATCH: u64 = 10;

impl Life {
    fn begin(path: &Path, receiver: &Arc<Receiver>, limit: u64) -> Life {
        let faults = Faults::none();
        let files = Faulty::new(path, &faults);
        let (disk, found) = Disk::open(Arc::new(files), SIGNAL, limit).unwrap();
        let queue = Arc::new(Queue::new(QueueLimits {
            batch: BATCH as usize,
            delay: Duration::ZERO,
            items: 50,
            ..QueueLimits::default()
        }));
        let disk = Durable::new(disk, found.items, queue.clone());
        let exporter = Exporter::new(queue.clone(), receiver.clone(), Backoff::default(), disk);
        let shown = exporter.shown.clone();
        let task = tokio::spawn(exporter.run());
        Life {
            queue,
            shown,
            faults,
            task,
        }
    }

    /// Offers spans of these numbers, batch by batch, as fast as they are taken.
    async fn offer(&self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            self.queue.offer(span(number));
            if number % BATCH == 0 {
                until(|| self.queue.counts().waiting == 0).await;
            }
        }
    }

    async fn end(self) -> (QueueCounts, QueueCounts) {
        self.queue.close(Instant::now() + Duration::from_secs(5));
        self.task.await.unwrap();
        (self.queue.counts(), self.shown.counts().former)
    }

    fn own(&self) -> (u64, u64, Vec<(&'static str, u64)>) {
        ledger(&self.queue.counts())
    }
}

/// Until it is so. Time goes on meanwhile, for an hour at most.
async fn until(so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(3600), wait).await.unwrap();
}

fn start() -> (TempDir, Arc<Receiver>) {
    (tempfile::tempdir().unwrap(), Arc::default())
}

fn all(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[tokio::test(start_paused = true)]
async fn what_the_receiver_takes_leaves_nothing_behind() {
    let (folder, receiver) = start();
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    life.offer(1..=500).await;
    until(|| life.own().0 == 500).await;
    assert_eq!(life.shown.counts().batches, 0);
    let (own, former) = life.end().await;
    assert_eq!((ledger(&own), ledger(&former)), ((500, 0, vec![]), (0, 0, vec![])));
    assert_eq!(receiver.arrived(), all(500));
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_nothing_and_what_comes_after_it_does_not_wait() {
    let (folder, receiver) = start();
    let (log, _guard) = Log::capture();
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    receiver.set_down(true);
    life.offer(1..=40_000).await;
    // Far longer than a batch in memory is tried.
    sleep(Duration::from_secs(2000)).await;
    assert_eq!(life.own(), (0, 40_000, vec![]));
    assert!(life.shown.counts().batches > 3990);
    receiver.set_down(false);
    until(|| receiver.arrived().len() > 100).await;
    let begin = Instant::now();
    life.offer(40_001..=40_100).await;
    until(|| (40_001..=40_100).all(|number| receiver.arrived().contains(&number))).await;
    assert!(receiver.arrived().len() < 20_000, "new ones do not wait for old ones");
    until(|| life.own().0 == 40_100).await;
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "20,000 a second: {:?}",
        begin.elapsed()
    );
    let mut arrived = receiver.arrived();
    assert!(
        arrived.iter().filter(|number| **number <= 40_000).is_sorted(),
        "oldest first"
    );
    arrived.sort_unstable();
    assert_eq!(arrived, all(40_100));
    assert_eq!((log.count("exporting spans fails"), log.count("works again")), (1, 1));
    assert_eq!(ledger(&life.end().await.0), (40_100, 0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn killed_twice_in_an_outage() {
    for plain in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Arc::new(Receiver {
            plain,
            ..Receiver::default()
        });
        let life = Life::begin(folder.path(), &receiver, LIMIT);
        life.offer(1..=100).await;
        until(|| life.own().0 == 100).await;
        receiver.set_down(true);
        life.offer(101..=300).await;
        until(|| life.shown.counts().batches == 20).await;
        // No end of any sort, as by SIGKILL: what is in memory is gone.
        life.task.abort();
        until(|| life.task.is_finished()).await;
        assert_eq!(life.own(), (100, 200, vec![]), "what is on the disk is not lost");
        let life = Life::begin(folder.path(), &receiver, LIMIT);
        life.offer(301..=400).await;
        until(|| life.shown.counts().batches == 30).await;
        assert_eq!(ledger(&life.shown.counts().former), (0, 200, vec![]));
        life.task.abort();
        until(|| life.task.is_finished()).await;
        receiver.set_down(false);
        let life = Life::begin(folder.path(), &receiver, LIMIT);
        life.offer(401..=410).await;
        until(|| life.shown.counts().batches == 0 && life.own().0 == 10).await;
        assert_eq!(ledger(&life.shown.counts().former), (300, 0, vec![]));
        let mut arrived = receiver.arrived();
        arrived.sort_unstable();
        assert_eq!(arrived, all(410));
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_was_not_taken_stays_for_the_next_life() {
    let (folder, receiver) = start();
    receiver.set_down(true);
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    life.offer(1..=20).await;
    // Not even written.
    (21..=25).for_each(|number| life.queue.offer(span(number)));
    let begin = Instant::now();
    let (own, _) = life.end().await;
    assert_eq!(ledger(&own), (0, 25, vec![]));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "a receiver that is down is not waited for"
    );
    receiver.set_down(false);
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    until(|| receiver.arrived().len() == 25).await;
    let (own, former) = life.end().await;
    assert_eq!((ledger(&own), ledger(&former)), ((0, 0, vec![]), (25, 0, vec![])));
    assert_eq!(receiver.arrived(), all(25));
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_the_oldest_are_lost_and_counted() {
    let (folder, receiver) = start();
    receiver.set_down(true);
    let life = Life::begin(folder.path(), &receiver, 1 << 20);
    let mut last = 0;
    while life.own().2.is_empty() {
        life.offer(last + 1..=last + 1000).await;
        last += 1000;
        assert!(life.shown.counts().bytes <= 1 << 20);
    }
    let (delivered, pending, lost) = life.own();
    assert_eq!((delivered, lost[0].0, pending + lost[0].1), (0, "queue_full", last));
    receiver.set_down(false);
    until(|| life.own().1 == 0).await;
    let mut arrived = receiver.arrived();
    arrived.sort_unstable();
    assert_eq!(arrived.len() as u64, pending);
    // The batch that was tried all the time, and the newest.
    let rest = arrived
        .iter()
        .filter(|number| **number > BATCH)
        .copied()
        .collect::<Vec<_>>();
    assert_eq!(rest, (last + 1 - rest.len() as u64..=last).collect::<Vec<_>>());
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_as_no_disk_until_there_is_room() {
    let (folder, receiver) = start();
    let (log, _guard) = Log::capture();
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    life.faults.set_room(0);
    life.offer(1..=1000).await;
    until(|| life.own().0 == 1000).await;
    assert!(!life.shown.counts().works && life.shown.counts().errors > 0);
    // Down as well: what memory holds waits, the rest is lost.
    receiver.set_down(true);
    sleep(Duration::from_secs(2)).await;
    for number in 1001..=1200 {
        life.queue.offer(span(number));
        tokio::task::yield_now().await;
    }
    let (_, pending, lost) = life.own();
    assert_eq!((lost[0].0, pending + lost[0].1), ("queue_full", 200));
    assert!(pending < 120, "{pending}");
    receiver.set_down(false);
    until(|| life.own().1 == 0).await;
    life.faults.set_room(i64::MAX);
    sleep(Duration::from_secs(2)).await;
    receiver.set_down(true);
    life.offer(1201..=1500).await;
    until(|| life.shown.counts().batches == 30).await;
    assert!(life.shown.counts().works);
    receiver.set_down(false);
    until(|| life.own().1 == 0).await;
    assert_eq!((log.count("wait in memory"), log.count("on the disk again")), (1, 1));
    assert_eq!(ledger(&life.end().await.0).1, 0);
}

#[tokio::test(start_paused = true)]
async fn refused_is_dropped_from_the_disk_too() {
    let (folder, receiver) = start();
    receiver.set_down(true);
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    life.offer(1..=100).await;
    receiver.refuses.store(true, Ordering::Relaxed);
    receiver.set_down(false);
    until(|| life.own().1 == 0).await;
    assert_eq!(life.own(), (0, 0, vec![("refused_4xx", 100)]));
    assert_eq!(receiver.arrived(), [] as [u64; 0]);
    assert_eq!(life.shown.counts().batches, 0);
    life.end().await;
}

/// Counts receipts that come back.
#[derive(Default)]
struct Source(Mutex<Vec<u64>>);

impl Acknowledge for Source {
    fn settled(&self, place: u64) {
        self.0.lock().unwrap().push(place);
    }
}

/// Accepts or not, and looks at nothing.
struct Blind(AtomicBool);

impl Transport for Arc<Blind> {
    async fn send(&self, _: Bytes) -> Outcome {
        match self.0.load(Ordering::Relaxed) {
            true => Outcome::Accepted {
                rejected: 0,
                message: String::new(),
            },
            false => Outcome::Retry {
                after: None,
                why: "down".to_owned(),
            },
        }
    }
    fn pack(&self, request: Vec<u8>) -> Bytes {
        request.into()
    }
    fn target(&self) -> &str {
        "blind"
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_come_back_when_the_batch_is_safe() {
    let folder = tempfile::tempdir().unwrap();
    let (faults, source) = (Faults::none(), Arc::new(Source::default()));
    let (disk, _) = Disk::open(Arc::new(Faulty::new(folder.path(), &faults)), SIGNAL, LIMIT).unwrap();
    let queue = Arc::new(Queue::new(QueueLimits {
        delay: Duration::ZERO,
        ..QueueLimits::default()
    }));
    let transport = Arc::new(Blind(AtomicBool::new(false)));
    let disk = Durable::new(disk, 0, queue.clone());
    let task = tokio::spawn(Exporter::new(queue.clone(), transport.clone(), Backoff::default(), disk).run());
    let offer = |place: u64| {
        queue.offer(LogRecord {
            timestamp: 1,
            observed: 1,
            severity: Severity::INFO,
            event_name: None,
            body: "a line".to_owned(),
            attributes: Vec::new(),
            resource: span(1).resource,
            span: None,
            severity_text: None,
            receipt: Some(Receipt::new(source.clone(), place)),
        });
    };
    let settled = |count: usize| {
        let source = source.clone();
        move || source.0.lock().unwrap().len() == count
    };
    // Down: when the medium has it.
    let begin = Instant::now();
    offer(1);
    until(settled(1)).await;
    assert!(begin.elapsed() >= SYNC_AFTER);
    // The medium fails: when the receiver has it.
    faults.fail_syncs(true);
    offer(2);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(*source.0.lock().unwrap(), [1]);
    transport.0.store(true, Ordering::Relaxed);
    until(settled(2)).await;
    // Nor disk nor receiver: not at all, so that it is read again.
    faults.set_room(0);
    transport.0.store(false, Ordering::Relaxed);
    offer(3);
    sleep(Duration::from_secs(3)).await;
    queue.close(Instant::now() + Duration::from_secs(5));
    task.await.unwrap();
    assert_eq!(*source.0.lock().unwrap(), [1, 2]);
    assert_eq!(ledger(&queue.counts()), (2, 0, vec![("shutdown", 1)]));
}
