//! By way of the disk, to a receiver on the loopback.

use super::*;
use crate::export::QueueFolder;

/// A life of the agent with nobody to take what it has.
fn leave<T: Sample>(folder: &QueueFolder, items: u64) {
    let (listener, address) = listen();
    drop(listener);
    let (sink, task) = on_disk::<T>(config(address), &mut OtlpClients::default(), folder, 1 << 20).unwrap();
    (0..items).for_each(|number| sink.accept(T::sample(number)));
    sink.close(Duration::from_secs(60));
    runtime().block_on(task.run());
    assert_eq!(ledger(&sink.counts()), (0, items, vec![]));
}

/// The next one.
fn send<T: Sample>(folder: &QueueFolder, items: u64, change: impl FnOnce(&mut OtlpConfig)) {
    let (listener, address) = listen();
    let requests = receiver(listener, vec![ok()]);
    let mut config = config(address);
    change(&mut config);
    let (sink, task) = on_disk::<T>(config, &mut OtlpClients::default(), folder, 1 << 20).unwrap();
    let former = || ledger(&sink.disk().unwrap().former);
    assert_eq!(former(), (0, items, vec![]));
    runtime().block_on(async {
        let task = tokio::spawn(task.run());
        while former().1 > 0 {
            tokio::task::yield_now().await;
        }
        sink.close(Duration::from_secs(60));
        task.await.unwrap();
    });
    assert_eq!((former(), ledger(&sink.counts())), ((items, 0, vec![]), (0, 0, vec![])));
    assert_eq!(requests.recv().unwrap().count::<T>() as u64, items);
    assert_eq!(sink.disk().unwrap().batches, 0);
}

#[test]
fn what_one_life_left_the_next_one_sends_each_signal_for_itself() {
    let parent = tempfile::tempdir().unwrap();
    let folder = QueueFolder::open(parent.path()).unwrap();
    leave::<Span>(&folder, 5);
    leave::<LogRecord>(&folder, 7);
    send::<Span>(&folder, 5, |_| {});
    // Requests are tied to no compression.
    send::<LogRecord>(&folder, 7, |config| config.compression = OtlpCompression::None);
}

#[test]
fn a_signal_whose_folder_cannot_be_made_is_in_memory() {
    let parent = tempfile::tempdir().unwrap();
    let folder = QueueFolder::open(parent.path()).unwrap();
    std::fs::write(parent.path().join("traces"), "in the way").unwrap();
    let (log, _guard) = Log::capture();
    let (listener, address) = listen();
    let requests = receiver(listener, vec![ok()]);
    let (sink, task) = on_disk::<Span>(config(address), &mut OtlpClients::default(), &folder, 1 << 20).unwrap();
    assert_eq!((sink.disk(), log.count("wait in memory")), (None, 1));
    sink.accept(span(1));
    sink.close(Duration::from_secs(60));
    runtime().block_on(task.run());
    assert_eq!(
        (requests.recv().unwrap().count::<Span>(), ledger(&sink.counts()).0),
        (1, 1)
    );
}
