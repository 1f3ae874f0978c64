//! What processes use, by group: the name of the service they speak for.

use super::read::{ProcReader, Reading, TICK, Totals};
use super::threads::{Owner, Threads};
use crate::config::UsageDetail;
use crate::kernel::clock::nanos;
use crate::probes::add;
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Shape, Signal, Who};
use aya::maps::{Array, MapData};
use onlooker_common::usage::WORDS;
use rustc_hash::FxHashMap;
use rustix::time::ClockId;
use std::path::Path;
use std::time::Duration;

/// Groups that are held at a time.
const GROUPS: usize = 1000;

instruments! { GROUPS * 5;
    PROCESSES = "namedprocess_namegroup_num_procs" "" Gauge ["groupname"] "Processes." "`/proc`";
    THREADS = "namedprocess_namegroup_num_threads" "" Gauge ["groupname"] "Threads." "`/proc/PID/stat`";
    STATES = "namedprocess_namegroup_states" "" Gauge ["groupname", "state"] "Processes by state of their first thread." "`/proc/PID/stat`";
    CPU = "namedprocess_namegroup_cpu_seconds_total" "seconds" Counter ["groupname", "mode"] "CPU time."
        "`/proc/PID/stat`, and at `sched_process_free` the sums in `signal_struct`";
    MEMORY = "namedprocess_namegroup_memory_bytes" "bytes" Gauge ["groupname", "memtype"] "Memory." "`/proc/PID/stat`, `VmSwap` of `/proc/PID/status`; with `--usage.detail=smaps` also `proportionalResident` and \
        `proportionalSwapped` of `/proc/PID/smaps_rollup`";
    READ = "namedprocess_namegroup_read_bytes_total" "bytes" Counter ["groupname"] "Bytes read from storage."
        "`/proc/PID/io`, at the end `signal_struct.ioac`";
    WRITTEN = "namedprocess_namegroup_write_bytes_total" "bytes" Counter ["groupname"] "Bytes written to storage."
        "`/proc/PID/io`, at the end `signal_struct.ioac`";
    FILES = "namedprocess_namegroup_open_filedesc" "" Gauge ["groupname"] "Open file descriptors." "`/proc/PID/fd`";
    WORST = "namedprocess_namegroup_worst_fd_ratio" "" Gauge ["groupname"]
        "Open file descriptors as a part of the limit, of the process with the largest part." "`/proc/PID/fd`, `/proc/PID/limits`";
    OLDEST = "namedprocess_namegroup_oldest_start_time_seconds" "seconds" Gauge ["groupname"] "When the oldest process started, Unix time."
        "`/proc/PID/stat`";
    SWITCHES = "namedprocess_namegroup_context_switches_total" "" Counter ["groupname", "ctxswitchtype"]
        "Context switches: of the first thread while a process lives, the rest at its end."
        "`/proc/PID/status`, at the end `signal_struct`";
    MINOR = "namedprocess_namegroup_minor_page_faults_total" "" Counter ["groupname"] "Page faults without a read from storage."
        "`/proc/PID/stat`, at the end `signal_struct`";
    MAJOR = "namedprocess_namegroup_major_page_faults_total" "" Counter ["groupname"] "Page faults with a read from storage."
        "`/proc/PID/stat`, at the end `signal_struct`";
}

/// Not of a group.
pub(super) static REFUSED: Instrument = Instrument {
    name: "onlooker_usage_unread_total",
    unit: "",
    help: "Times that a living process was not read because too many are.",
    shape: Shape::Counter,
    labels: &[],
    limit: 1,
    source: "the table of processes, 65,536 entries",
};

/// Seconds in which every process is read once.
const ROUND: usize = 15;
/// Processes that one look may be worth: more are read by shares, a look each.
const AT_ONCE: usize = 512;
/// Rounds between two whole readings of a process that rests, and between two of `status` of any.
const WHOLE: u64 = 4;
/// Living processes that are followed.
const LIMIT: usize = 65_536;
const SECOND: Nanos = 1_000_000_000;
/// By then the record of a process that was made has been handled, nanoseconds.
const MOMENT: u64 = 5_000_000_000;
pub(super) const OTHER: &str = "_OTHER";

/// A process that is read.
struct Life {
    key: ProcessKey,
    now: Reading,
    /// Files that it may have open.
    most: Option<u64>,
    /// Number of the round in which it was read.
    round: u64,
}

/// All that is read.
pub(super) struct Group {
    rest: Array<MapData, [u64; WORDS]>,
    reader: ProcReader,
    /// Memory by its share is read too.
    shares: bool,
    /// Where threads are told too.
    threads: Option<Threads>,
    lives: FxHashMap<(u32, u64), Life>,
    /// Start of processes that were told of and not read yet, nanoseconds: `/proc` has it in ticks.
    starts: FxHashMap<(u32, u64), u64>,
    /// Still to be read in this round, and how many for each second that passed.
    due: Vec<u32>,
    share: usize,
    /// The last look.
    looked: Nanos,
    round: u64,
    limit: usize,
    /// Processes that started later count from nothing, nanoseconds since boot.
    since: u64,
    /// Ticks since boot at the end of the last round and of the one before: what started earlier and was not read is gone.
    begun: u64,
    forgotten: u64,
    /// Unix time of boot, seconds.
    boot: f64,
    /// What was told of the map.
    told: [u64; WORDS],
    /// What was counted of processes whose end was not told: the map has it too.
    counted: [u64; 8],
}

impl Group {
    pub(super) fn new(rest: Array<MapData, [u64; WORDS]>, proc: &Path, detail: &[UsageDetail]) -> Group {
        let (since, wall) = (boottime(), nanos(ClockId::Realtime));
        Group {
            told: rest.get(&0, 0).unwrap_or([0; WORDS]),
            rest,
            reader: ProcReader::new(proc),
            shares: detail.contains(&UsageDetail::Smaps),
            threads: detail.contains(&UsageDetail::Threads).then(Threads::new),
            lives: FxHashMap::default(),
            starts: FxHashMap::default(),
            due: Vec::new(),
            share: usize::MAX,
            looked: 0,
            round: 0,
            limit: LIMIT,
            since,
            begun: 0,
            forgotten: 0,
            boot: wall.saturating_sub(since) as f64 / 1e9,
            counted: [0; 8],
        }
    }

    /// A process was told of: it is known by this key from now on.
    pub(super) fn learn(&mut self, key: ProcessKey) {
        let at = (key.pid, key.start / TICK);
        if let Some(life) = self.lives.get_mut(&at) {
            life.key = key;
        } else if self.starts.len() < self.limit {
            self.starts.insert(at, key.start);
        }
    }

    /// The key by which a process was asked for first. Of one that is older than the agent it was read from `/proc`, to the
    /// tick, while it lived; asked for by its exact key after its end, it would be unknown.
    pub(super) fn alias(&self, key: ProcessKey) -> ProcessKey {
        let life = self.lives.get(&(key.pid, key.start / TICK));
        life.map_or(key, |life| life.key)
    }

    /// Longest time until the next look: what is to be read in it grows with the time.
    pub(super) fn rest(&self) -> Duration {
        let seconds = AT_ONCE.div_ceil(self.share.max(1)).min(ROUND);
        Duration::from_secs(seconds.max(1) as u64)
    }

    /// Reads the next processes. The first time all of them.
    pub(super) fn look(&mut self, at: Nanos, tell: &mut dyn FnMut(Signal<'_>)) {
        if self.due.is_empty() {
            self.round += 1;
            self.due = self.reader.pids();
            self.share = match self.round {
                1 => self.due.len(),
                _ => self.due.len().div_ceil(ROUND),
            };
        }
        let passed = at.saturating_sub(std::mem::replace(&mut self.looked, at));
        // A look may come a little early.
        let seconds = (passed + SECOND / 2) / SECOND;
        let share = self.share.saturating_mul(seconds.max(1) as usize);
        let from = self.due.len().saturating_sub(share);
        for pid in self.due.split_off(from) {
            self.read(at, pid, tell);
        }
        if self.due.is_empty() {
            self.end_of_round(at, tell);
        }
    }

    fn read(&mut self, at: Nanos, pid: u32, tell: &mut dyn FnMut(Signal<'_>)) {
        let Some(mut now) = self.reader.stat(pid) else {
            return;
        };
        let (round, since) = (self.round, self.since);
        let bytes = self.reader.accounted;
        let how = |at, all| Telling { at, all, bytes };
        let full = self.lives.len() >= self.limit;
        if let Some(life) = self.lives.get_mut(&(pid, now.start)) {
            let whole = (round + u64::from(pid)).is_multiple_of(WHOLE);
            let moved = whole || !now.rested(&life.now);
            match moved {
                true => self.reader.add_files(pid, &mut now),
                false => now.files = life.now.files,
            }
            match whole {
                true => self.reader.add_status(pid, &mut now),
                false => now.swapped = life.now.swapped,
            }
            match whole && self.shares {
                true => self.reader.add_shares(pid, &mut now),
                false => now.proportional = life.now.proportional,
            }
            // A file that was not read this time, and time that was split otherwise, go not back.
            let fresh = now.totals.since(&life.now.totals);
            now.totals = life.now.totals.and(&fresh);
            life.now = now;
            life.round = round;
            let (key, start) = (life.key, now.start);
            counters(how(at, whole), Label::Service(key), &fresh, tell);
            if let Some(threads) = self.threads.as_mut().filter(|_| moved) {
                threads.read(at, Owner { key, start, since }, &mut self.reader, tell);
            }
            return;
        }
        if full {
            add(at, &REFUSED, Who::Host, &[], 1.0, tell);
            return;
        }
        let start = self.starts.remove(&(pid, now.start));
        // Made a moment ago, and the record of it is still to come: it is not known yet whose it is.
        let fresh = now.start.saturating_mul(TICK).saturating_add(MOMENT);
        if start.is_none() && now.start.saturating_mul(TICK) > since && fresh > boottime() {
            return;
        }
        self.reader.add_files(pid, &mut now);
        self.reader.add_status(pid, &mut now);
        if self.shares {
            self.reader.add_shares(pid, &mut now);
        }
        let start = start.unwrap_or_else(|| now.start.saturating_mul(TICK));
        let key = ProcessKey { pid, start };
        // Rounded down to a tick.
        let fresh = if key.start + TICK > since {
            now.totals
        } else {
            Totals::default()
        };
        counters(how(at, true), Label::Service(key), &fresh, tell);
        if let Some(threads) = &mut self.threads {
            let start = now.start;
            threads.read(at, Owner { key, start, since }, &mut self.reader, tell);
        }
        let most = self.reader.most_files(pid);
        let life = Life { key, now, most, round };
        self.lives.insert((pid, now.start), life);
    }

    /// A process is over; `used`: in its whole life.
    pub(super) fn freed(&mut self, at: Nanos, key: ProcessKey, used: &[u64; WORDS], tell: &mut dyn FnMut(Signal<'_>)) {
        let tick = key.start / TICK;
        // A time namespace may shift by less than a tick.
        let near = [tick, tick.saturating_sub(1), tick + 1];
        let life = near.iter().find_map(|tick| self.lives.remove(&(key.pid, *tick)));
        self.starts.remove(&(key.pid, tick));
        let named = life.as_ref().map_or(key, |life| life.key);
        let before = match life {
            Some(life) => life.now.totals,
            None if key.start + TICK > self.since => Totals::default(),
            // Older than the agent, and never read.
            None => return,
        };
        let fresh = Totals::of(used).since(&before);
        counters(self.telling(at, false), Label::Service(named), &fresh, tell);
    }

    fn end_of_round(&mut self, at: Nanos, tell: &mut dyn FnMut(Signal<'_>)) {
        let (round, counted) = (self.round, &mut self.counted);
        self.lives.retain(|_, life| {
            // One round more: its end may be on its way.
            let keep = life.round + 1 >= round;
            if !keep {
                for (counted, more) in counted.iter_mut().zip(life.now.totals.0) {
                    *counted = counted.saturating_add(more);
                }
            }
            keep
        });
        // Those that live were read in this round, or will be in the next.
        self.starts.retain(|_, start| *start / TICK >= self.forgotten);
        self.forgotten = self.begun;
        self.begun = boottime() / TICK;
        self.tell_rest(at, tell);
        for life in self.lives.values().filter(|life| life.round == round) {
            gauges(at, life, self.boot, tell);
        }
        if let Some(threads) = &mut self.threads {
            let read = |process: &(u32, u64)| self.lives.get(process).filter(|life| life.round == round);
            threads.end_of_round(at, |process| read(process).map(|life| life.key), tell);
        }
    }

    fn telling(&self, at: Nanos, all: bool) -> Telling {
        let bytes = self.reader.accounted;
        Telling { at, all, bytes }
    }

    /// What found no room in the ring.
    fn tell_rest(&mut self, at: Nanos, tell: &mut dyn FnMut(Signal<'_>)) {
        let Ok(now) = self.rest.get(&0, 0) else { return };
        if now == self.told {
            self.counted = [0; 8];
            return;
        }
        let fresh = std::array::from_fn(|n| now[n].saturating_sub(self.told[n]));
        self.told = now;
        let all = Totals::of(&fresh);
        let left = all.since(&Totals(self.counted));
        self.counted = Totals(self.counted).since(&all).0;
        counters(self.telling(at, false), Label::Text(OTHER), &left, tell);
    }
}

fn boottime() -> u64 {
    nanos(ClockId::Boottime)
}

/// How counters are told.
#[derive(Clone, Copy)]
struct Telling {
    at: Nanos,
    /// Also that nothing came, which keeps a series that is to be forgotten else (`--series.ttl`).
    all: bool,
    /// Bytes read and written are known.
    bytes: bool,
}

/// Tells what came.
fn counters(how: Telling, group: Label<'_>, fresh: &Totals, tell: &mut dyn FnMut(Signal<'_>)) {
    let Telling { at, all, bytes } = how;
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let [user, system, minor, major, voluntary, involuntary, read, written] = fresh.0;
    let mut add = |instrument, kind: Option<&str>, amount: f64| {
        if amount == 0.0 && !all {
            return;
        }
        let labels = [group, Label::Text(kind.unwrap_or_default())];
        let labels = &labels[..1 + usize::from(kind.is_some())];
        add(at, instrument, Who::Host, labels, amount, tell);
    };
    add(&CPU, Some("user"), seconds(user));
    add(&CPU, Some("system"), seconds(system));
    add(&MINOR, None, minor as f64);
    add(&MAJOR, None, major as f64);
    add(&SWITCHES, Some("voluntary"), voluntary as f64);
    add(&SWITCHES, Some("nonvoluntary"), involuntary as f64);
    if bytes {
        add(&READ, None, read as f64);
        add(&WRITTEN, None, written as f64);
    }
}

fn gauges(at: Nanos, life: &Life, boot: f64, tell: &mut dyn FnMut(Signal<'_>)) {
    let now = &life.now;
    let state = match now.state {
        b'R' => "Running",
        b'S' => "Sleeping",
        b'D' => "Waiting",
        b'Z' => "Zombie",
        _ => "Other",
    };
    let mut set = |instrument, kind: Option<&str>, amount| {
        let labels = [Label::Service(life.key), Label::Text(kind.unwrap_or_default())];
        tell(Signal::Measure(MeasureSignal {
            at,
            instrument,
            who: Who::Host,
            labels: &labels[..1 + usize::from(kind.is_some())],
            amount,
        }));
    };
    set(&PROCESSES, None, Amount::Set(1.0));
    set(&THREADS, None, Amount::Set(now.threads as f64));
    set(&STATES, Some(state), Amount::Set(1.0));
    set(&MEMORY, Some("resident"), Amount::Set(now.resident as f64));
    set(&MEMORY, Some("virtual"), Amount::Set(now.size as f64));
    set(&MEMORY, Some("swapped"), Amount::Set(now.swapped as f64));
    if let Some((resident, swapped)) = now.proportional {
        set(&MEMORY, Some("proportionalResident"), Amount::Set(resident as f64));
        set(&MEMORY, Some("proportionalSwapped"), Amount::Set(swapped as f64));
    }
    if let Some(files) = now.files {
        set(&FILES, None, Amount::Set(files as f64));
        if let Some(most) = life.most.filter(|most| *most > 0) {
            set(&WORST, None, Amount::Most(files as f64 / most as f64));
        }
    }
    let start = boot + now.start as f64 * TICK as f64 / 1e9;
    set(&OLDEST, None, Amount::Least(start));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(all: bool, bytes: bool) -> Vec<&'static str> {
        let (mut names, how) = (Vec::new(), Telling { at: 1, all, bytes });
        let totals = Totals([0, 0, 0, 0, 0, 0, 700, 0]);
        counters(how, Label::Text("shop"), &totals, &mut |signal| {
            if let Signal::Measure(measure) = signal {
                names.push(measure.instrument.name);
            }
        });
        names
    }

    #[test]
    fn what_the_kernel_does_not_count_is_not_told() {
        assert_eq!(told(false, true), [READ.name]);
        assert_eq!(told(false, false), [""; 0]);
        assert!(told(true, true).contains(&WRITTEN.name));
        assert!(!told(true, false).contains(&WRITTEN.name) && told(true, false).contains(&CPU.name));
    }
}
