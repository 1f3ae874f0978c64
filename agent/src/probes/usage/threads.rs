//! What the threads of living processes use, by group and by the thread's name. On demand: `--usage.detail=threads`.
//!
//! A thread is read when its process is, once in 15 s; of a process that rests, once in a minute. One that begins and ends between
//! two readings is not told here: what it used is in the figures of its process.

use super::group::OTHER;
use super::read::{ProcReader, Reading, TICK, Totals};
use crate::probes::add;
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Shape, Signal, Who};
use rustc_hash::FxHashMap;

/// Label sets of a family: names of threads by group.
const NAMES: usize = 2000;

instruments! { NAMES * 2;
    COUNT = "namedprocess_namegroup_thread_count" "" Gauge ["groupname", "threadname"]
        "Threads of this name. With `--usage.detail=threads`." "`/proc/PID/task`";
    CPU = "namedprocess_namegroup_thread_cpu_seconds_total" "seconds" Counter ["groupname", "threadname", "mode"]
        "CPU time of threads of this name while they live. With `--usage.detail=threads`." "`/proc/PID/task/TID/stat`";
    BYTES = "namedprocess_namegroup_thread_io_bytes_total" "bytes" Counter ["groupname", "threadname", "iomode"]
        "Bytes that threads of this name read from and wrote to storage. With `--usage.detail=threads`." "`/proc/PID/task/TID/io`";
    MINOR = "namedprocess_namegroup_thread_minor_page_faults_total" "" Counter ["groupname", "threadname"]
        "Page faults without a read from storage. With `--usage.detail=threads`." "`/proc/PID/task/TID/stat`";
    MAJOR = "namedprocess_namegroup_thread_major_page_faults_total" "" Counter ["groupname", "threadname"]
        "Page faults with a read from storage. With `--usage.detail=threads`." "`/proc/PID/task/TID/stat`";
    SWITCHES = "namedprocess_namegroup_thread_context_switches_total" "" Counter ["groupname", "threadname", "ctxswitchtype"]
        "Context switches of threads of this name. With `--usage.detail=threads`." "`/proc/PID/task/TID/status`";
}

/// Not of a group.
pub(super) static REFUSED: Instrument = Instrument {
    name: "onlooker_usage_threads_unread_total",
    unit: "",
    help: "Times that a thread was not read because too many are.",
    shape: Shape::Counter,
    labels: &[],
    limit: 1,
    source: "the table of threads, 16,384 entries, with `--usage.detail=threads`",
};

/// Threads that are followed.
const LIMIT: usize = 16_384;

/// A thread that is read.
struct Thread {
    tid: u32,
    name: Box<str>,
    now: Reading,
}

/// A process whose threads are to be read.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    /// By which it is known.
    pub key: ProcessKey,
    /// Its start, ticks since boot.
    pub start: u64,
    /// Threads that started later count from nothing, nanoseconds since boot.
    pub since: u64,
}

/// All that are read.
pub(super) struct Threads {
    /// By pid and start of their process.
    lives: FxHashMap<(u32, u64), Vec<Thread>>,
    held: usize,
    limit: usize,
}

impl Threads {
    pub(super) fn new() -> Threads {
        Threads {
            lives: FxHashMap::default(),
            held: 0,
            limit: LIMIT,
        }
    }

    /// Reads the threads of a process and tells what came since the last time.
    pub(super) fn read(&mut self, at: Nanos, owner: Owner, reader: &mut ProcReader, tell: &mut dyn FnMut(Signal<'_>)) {
        let pid = owner.key.pid;
        let mut before = self.lives.remove(&(pid, owner.start)).unwrap_or_default();
        self.held -= before.len();
        let mut threads = Vec::with_capacity(before.len());
        for tid in reader.tids(pid) {
            if self.held + threads.len() >= self.limit {
                add(at, &REFUSED, Who::Host, &[], 1.0, tell);
                continue;
            }
            // Gone meanwhile: what is left of it is its process's.
            let Some((name, mut now)) = reader.thread(pid, tid) else {
                continue;
            };
            let known = before
                .iter()
                .position(|thread| thread.tid == tid && thread.now.start == now.start);
            let earlier = match known.map(|known| before.swap_remove(known)) {
                Some(thread) => thread.now.totals,
                None if now.start.saturating_mul(TICK).saturating_add(TICK) > owner.since => Totals::default(),
                None => now.totals,
            };
            let fresh = now.totals.since(&earlier);
            now.totals = earlier.and(&fresh);
            counters(at, owner.key, &name, &fresh, reader.accounted, tell);
            threads.push(Thread { tid, name, now });
        }
        self.held += threads.len();
        if !threads.is_empty() {
            self.lives.insert((pid, owner.start), threads);
        }
    }

    /// Tells how many there are, of each process that is read still; `whose`: its key, by pid and start. Others are forgotten.
    pub(super) fn end_of_round(
        &mut self,
        at: Nanos,
        whose: impl Fn(&(u32, u64)) -> Option<ProcessKey>,
        tell: &mut dyn FnMut(Signal<'_>),
    ) {
        let held = &mut self.held;
        self.lives.retain(|process, threads| {
            let Some(key) = whose(process) else {
                *held -= threads.len();
                return false;
            };
            for thread in threads {
                tell(Signal::Measure(MeasureSignal {
                    at,
                    instrument: &COUNT,
                    who: Who::Host,
                    labels: &[Label::Service(key), Label::Text(&thread.name)],
                    amount: Amount::Set(1.0),
                }));
            }
            true
        });
    }
}

fn counters(at: Nanos, key: ProcessKey, name: &str, fresh: &Totals, bytes: bool, tell: &mut dyn FnMut(Signal<'_>)) {
    let [user, system, minor, major, voluntary, involuntary, read, written] = fresh.0;
    // Threads may call themselves what they like, nothing too.
    let name = if name.is_empty() { OTHER } else { name };
    let mut add = |instrument, kind: Option<&str>, amount: f64| {
        let labels = [
            Label::Service(key),
            Label::Text(name),
            Label::Text(kind.unwrap_or_default()),
        ];
        let labels = &labels[..2 + usize::from(kind.is_some())];
        add(at, instrument, Who::Host, labels, amount, tell);
    };
    add(&CPU, Some("user"), user as f64 / 1e9);
    add(&CPU, Some("system"), system as f64 / 1e9);
    add(&MINOR, None, minor as f64);
    add(&MAJOR, None, major as f64);
    add(&SWITCHES, Some("voluntary"), voluntary as f64);
    add(&SWITCHES, Some("nonvoluntary"), involuntary as f64);
    if bytes {
        add(&BYTES, Some("read"), read as f64);
        add(&BYTES, Some("write"), written as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn own(limit: usize) -> (Threads, Owner, ProcReader) {
        let mut threads = Threads::new();
        threads.limit = limit;
        let mut reader = ProcReader::new(Path::new("/proc"));
        let pid = std::process::id();
        let start = reader.stat(pid).unwrap().start;
        let key = ProcessKey { pid, start };
        let owner = Owner { key, start, since: 0 };
        (threads, owner, reader)
    }

    /// Names that were told of an instrument, and the sum of its amounts.
    fn told(of: &'static str, mut by: impl FnMut(&mut dyn FnMut(Signal<'_>))) -> (Vec<String>, f64) {
        let (mut names, mut sum) = (Vec::new(), 0.0);
        by(&mut |signal| {
            if let Signal::Measure(measure) = signal
                && measure.instrument.name == of
            {
                if let [_, Label::Text(name), ..] = measure.labels {
                    names.push((*name).to_owned());
                }
                if let Amount::Add(amount) | Amount::Set(amount) = measure.amount {
                    sum += amount;
                }
            }
        });
        (names, sum)
    }

    #[test]
    fn threads_of_this_process_by_name_and_gone_ones_forgotten() {
        let (mut threads, owner, mut reader) = own(LIMIT);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (begun, began) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("a (b) c".into())
            .spawn(move || {
                begun.send(()).unwrap();
                let _ = ended.recv();
            })
            .unwrap();
        began.recv().unwrap();
        let (names, _) = told(SWITCHES.name, |tell| threads.read(1, owner, &mut reader, tell));
        assert!(names.iter().any(|name| name == "a (b) c"), "{names:?}");
        let process = (owner.key.pid, owner.start);
        let (names, _) = told(COUNT.name, |tell| {
            threads.end_of_round(2, |found| (*found == process).then_some(owner.key), tell);
        });
        assert_eq!(names.iter().filter(|name| *name == "a (b) c").count(), 1);
        drop(end);
        thread.join().unwrap();
        threads.end_of_round(3, |_| None, &mut |_| ());
        assert_eq!((threads.held, threads.lives.len()), (0, 0));
    }

    #[test]
    fn a_full_table_counts_what_it_refuses() {
        let (mut threads, owner, mut reader) = own(0);
        let (_, refused) = told(REFUSED.name, |tell| threads.read(1, owner, &mut reader, tell));
        assert!(refused >= 1.0);
        assert_eq!(threads.held, 0);
    }
}
