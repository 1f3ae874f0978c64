//! What is new beside a backlog, and bursts.

use super::*;

/// A receiver so slow that new batches find no room in memory: they come back from the disk ahead of the backlog, and the backlog goes on
/// beside them.
#[tokio::test(start_paused = true)]
async fn what_finds_no_room_does_not_wait_for_the_backlog() {
    let (folder, receiver) = start();
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    receiver.set_down(true);
    life.offer(1..=40_000).await;
    sleep(Duration::from_secs(100)).await;
    // 20 batches a second.
    receiver.slow.store(50, Ordering::Relaxed);
    receiver.set_down(false);
    until(|| receiver.arrived().len() > 100).await;
    // 12 new ones a second, three at once: more than half of what it takes, less than three quarters.
    let begun = receiver.arrived().len() as u64;
    for burst in 0..200 {
        let first = 40_001 + burst * 6 * BATCH;
        life.offer(first..=first + 6 * BATCH - 1).await;
        sleep(Duration::from_millis(500)).await;
        let new = receiver.arrived().iter().filter(|number| **number > 40_000).count() as u64;
        let waiting = first + 6 * BATCH - 40_001 - new;
        assert!(waiting <= 6 * BATCH, "{waiting} of burst {burst}");
    }
    let arrived = receiver.arrived();
    let (old, new): (Vec<u64>, Vec<u64>) = arrived.iter().partition(|number| **number <= 40_000);
    assert!(old.is_sorted() && new.is_sorted(), "oldest first, each for itself");
    let share = (old.len() as u64 - begun) / BATCH;
    assert!(share >= 400, "the backlog had {share} batches beside 1,200");
    receiver.slow.store(0, Ordering::Relaxed);
    until(|| life.own().0 == 52_000).await;
    let mut arrived = receiver.arrived();
    arrived.sort_unstable();
    assert_eq!(arrived, all(52_000), "each once");
    life.end().await;
}

/// It goes away again while there is a backlog, and the agent is killed: nothing is lost, and little comes twice.
#[tokio::test(start_paused = true)]
async fn trouble_again_while_there_is_a_backlog() {
    let (folder, receiver) = start();
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    receiver.set_down(true);
    life.offer(1..=2000).await;
    receiver.slow.store(50, Ordering::Relaxed);
    for round in 0..4 {
        receiver.set_down(false);
        let before = receiver.arrived().len();
        until(|| receiver.arrived().len() > before).await;
        let first = 2001 + round * 400;
        life.offer(first..=first + 199).await;
        receiver.set_down(true);
        life.offer(first + 200..=first + 399).await;
        sleep(Duration::from_secs(5)).await;
    }
    sleep(Duration::from_secs(1)).await;
    life.task.abort();
    until(|| life.task.is_finished()).await;
    receiver.set_down(false);
    receiver.slow.store(0, Ordering::Relaxed);
    let life = Life::begin(folder.path(), &receiver, LIMIT);
    until(|| life.shown.counts().batches == 0).await;
    let mut arrived = receiver.arrived();
    arrived.sort_unstable();
    let whole = arrived.len();
    arrived.dedup();
    assert_eq!(arrived, all(3600));
    assert!(
        whole - arrived.len() <= BATCH as usize,
        "the one under way at the kill alone"
    );
    life.end().await;
}

/// A burst is taken in whole, however fast it comes.
#[tokio::test]
async fn a_burst_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, _) = Disk::open(Arc::new(Faulty::new(folder.path(), &Faults::none())), SIGNAL, LIMIT).unwrap();
    let limits = crate::export::otlp::before_disk::<Span>(QueueLimits::default());
    let queue = Arc::new(Queue::new(limits));
    let disk = Durable::new(disk, 0, queue.clone());
    let transport = Arc::new(Blind(AtomicBool::new(false)));
    let exporter = Exporter::new(queue.clone(), transport, Backoff::default(), disk);
    let shown = exporter.shown.clone();
    let task = tokio::spawn(exporter.run());
    let burst = queue.clone();
    let offered = tokio::task::spawn_blocking(move || (1..=20_000).for_each(|number| burst.offer(span(number))));
    offered.await.unwrap();
    until(|| shown.own_items() == 20_000).await;
    assert_eq!(ledger(&queue.counts()), (0, 20_000, vec![]));
    queue.close(Instant::now() + Duration::from_secs(5));
    task.await.unwrap();
}
