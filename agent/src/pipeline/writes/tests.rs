//! Tests of [`super`].

use super::*;
use crate::attribute::process::ProcessesConfig;
use crate::collectors::own::events::EventCounts;
use crate::host::Host;
use crate::logs::observed::Pattern;
use crate::signal::{Actor, Behind};
use crate::trace::TracerConfig;
use std::sync::Mutex;
use std::time::Duration;

const SECOND: Nanos = 1_000_000_000;

/// A process and whether it is wanted; `None`: that is not known any more.
type Verdict = (u32, Option<bool>);

/// What the kernel side is told.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<Verdict>>>);

impl Verdicts for Told {
    fn judge(&mut self, process: ProcessKey, wanted: bool) {
        self.0.lock().unwrap().push((process.pid, Some(wanted)));
    }
    fn forget(&mut self, process: ProcessKey) {
        self.0.lock().unwrap().push((process.pid, None));
    }
    fn lost(&mut self, _: ProcessKey, stream: Stream) -> (u64, u64) {
        match stream {
            Stream::Stdout => (10, 1),
            Stream::Stderr => (0, 0),
        }
    }
}

struct Bench {
    observer: Observer,
    processes: Processes,
    tracer: Tracer,
    told: Told,
    queue: Arc<Queue>,
    counts: Arc<ObservedCounts>,
    _proc: tempfile::TempDir,
}

impl Bench {
    /// Of a host without processes: each that writes is the service `unknown`.
    fn new(services: &[&str], limit: usize) -> Bench {
        let proc = tempfile::tempdir().unwrap();
        let host = Host {
            proc: proc.path().to_owned(),
            ..Host::default()
        };
        let services: Vec<Pattern> = services.iter().map(|text| text.parse().unwrap()).collect();
        let judge = Judge::new(services, host.clone(), false, &[], false);
        let (told, queue) = (Told::default(), Arc::new(Queue::new(limit)));
        let counts = Arc::new(ObservedCounts::default());
        Bench {
            observer: Observer::new(judge, Box::new(told.clone()), queue.clone(), None, counts.clone()),
            processes: Processes::new(host, ProcessesConfig::default()),
            tracer: Tracer::new(TracerConfig::default(), Clock::system()),
            told,
            queue,
            counts,
            _proc: proc,
        }
    }
    fn write(&mut self, pid: u32, lost: (u64, u64), bytes: &[u8]) {
        let write = WriteSignal {
            at: SECOND,
            actor: Actor {
                process: ProcessKey { pid, start: 1 },
                tid: pid,
            },
            stream: Stream::Stdout,
            behind: Behind::Pipe,
            lost,
            bytes,
        };
        self.observer.write(&write, &mut self.processes, &mut self.tracer);
    }
    fn process(&mut self, pid: u32, event: ProcessEvent<'_>) {
        let signal = ProcessSignal {
            at: SECOND,
            process: ProcessKey { pid, start: 1 },
            event,
        };
        self.observer.process(&signal, &mut self.tracer);
    }
    fn release(&mut self) {
        self.observer.release(2 * SECOND, &mut self.tracer);
    }
    /// What was handed over: text and whether there was a gap, or `ended`.
    fn handed(&mut self) -> Vec<(String, bool)> {
        self.release();
        let messages = self.queue.take(Duration::ZERO).unwrap_or_default();
        let text = |message: Message| match message {
            Message::Written(_, written) => (String::from_utf8_lossy(&written.text).into_owned(), written.gap),
            Message::Ended(_) | Message::Read(..) => ("ended".to_owned(), false),
        };
        messages.into_iter().map(text).collect()
    }
    fn told(&self) -> Vec<Verdict> {
        std::mem::take(&mut self.told.0.lock().unwrap())
    }
    /// Seen, delivered, lost.
    fn writes(&self) -> (u64, u64, u64) {
        let events = self.counts.events();
        let writes = events.iter().find(|count| count.kind == "observed_write").unwrap();
        (writes.seen, writes.delivered, writes.lost[0].1)
    }
}

fn whole(text: &str) -> (String, bool) {
    (text.to_owned(), false)
}

#[test]
fn what_is_wanted_is_handed_over_and_the_kernel_told_once() {
    let mut bench = Bench::new(&["unknown"], usize::MAX);
    bench.write(7, (0, 0), b"sold\n");
    bench.write(7, (0, 0), b"again\n");
    assert_eq!(bench.told(), [(7, Some(true))]);
    assert_eq!(bench.handed(), [whole("sold\n"), whole("again\n")]);
    assert_eq!(bench.writes(), (2, 2, 0));
    bench.process(
        7,
        ProcessEvent::Fork {
            parent: ProcessKey { pid: 1, start: 1 },
        },
    );
    assert_eq!(bench.told(), []);
    bench.process(7, ProcessEvent::Exit { code: 0 });
    assert_eq!((bench.told(), bench.handed()), (vec![(7, None)], vec![whole("ended")]));
    // Nothing came of it after its last byte that was seen.
    assert_eq!((bench.counts.lost_ring.get(), bench.counts.lost_cut.get()), (10, 1));
}

#[test]
fn what_is_not_wanted_is_told_to_the_kernel_and_not_seen() {
    let mut bench = Bench::new(&["shop-*"], usize::MAX);
    bench.write(7, (9, 9), b"sold\n");
    bench.write(7, (9, 9), b"sold\n");
    assert_eq!(bench.told(), [(7, Some(false))]);
    bench.observer.renew();
    bench.process(7, ProcessEvent::Exit { code: 0 });
    assert_eq!((bench.handed(), bench.writes()), (Vec::new(), (0, 0, 0)));
    assert_eq!(bench.counts.lost_ring.get(), 0);
    assert_eq!(bench.told(), [(7, None)], "judged anew when it writes again");
}

#[test]
fn what_the_kernel_lost_is_a_gap_and_counted_once() {
    let mut bench = Bench::new(&["*"], usize::MAX);
    bench.write(7, (0, 0), b"a");
    bench.write(7, (5, 0), b"b");
    bench.write(7, (5, 0), b"c");
    bench.write(7, (5, 3), b"");
    assert_eq!(
        bench.handed(),
        [whole("a"), ("b".to_owned(), true), whole("c"), (String::new(), true)]
    );
    assert_eq!((bench.counts.lost_ring.get(), bench.counts.lost_cut.get()), (5, 3));
}

#[test]
fn what_finds_no_room_is_counted_and_leaves_a_gap() {
    let mut bench = Bench::new(&["*"], 500);
    bench.write(7, (0, 0), &[b'x'; 250]);
    bench.write(7, (0, 0), &[b'y'; 250]);
    bench.release();
    assert_eq!((bench.writes(), bench.counts.lost_queue.get()), ((2, 1, 1), 250));
    assert_eq!(bench.handed().len(), 1);
    bench.write(7, (0, 0), b"z");
    bench.write(7, (0, 0), b"z");
    assert_eq!(bench.handed(), [("z".to_owned(), true), whole("z")]);
    // Nor is there room without end for what waits to be handed over.
    let mut bench = Bench::new(&["*"], usize::MAX);
    let writes = WAITING / 4096 + 1;
    for _ in 0..writes {
        bench.write(7, (0, 0), &[b'x'; 4096]);
    }
    bench.release();
    let (seen, delivered, lost) = bench.writes();
    assert_eq!((seen, delivered + lost), (writes as u64, writes as u64));
    assert!(lost > 0 && bench.counts.lost_queue.get() == lost * 4096);
    bench.write(7, (0, 0), b"z");
    assert_eq!(bench.handed().last(), Some(&("z".to_owned(), true)));
}

#[test]
fn processes_that_wrote_longest_ago_are_forgotten() {
    let mut bench = Bench::new(&["shop"], usize::MAX);
    for pid in 1..=WRITERS as u32 + 1 {
        bench.write(pid, (0, 0), b"x");
    }
    assert!(bench.observer.known.len() <= WRITERS);
    assert!(bench.told().contains(&(1, None)));
    assert!(bench.observer.known.contains_key(&ProcessKey {
        pid: WRITERS as u32 + 1,
        start: 1
    }));
}

#[test]
fn another_program_is_judged_anew() {
    let mut bench = Bench::new(&["*"], usize::MAX);
    bench.write(7, (0, 0), b"half");
    let exec = ProcessEvent::Exec {
        ppid: 1,
        uid: 0,
        cgroup: 0,
        comm: b"b",
        filename: b"/bin/b",
        args: b"b",
        environ: b"",
    };
    bench.process(7, exec);
    bench.write(7, (0, 0), b"and");
    assert_eq!(bench.told(), [(7, Some(true)), (7, None), (7, Some(true))]);
    assert_eq!(bench.handed(), [whole("half"), whole("ended"), whole("and")]);
}
