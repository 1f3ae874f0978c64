//! Which service a process speaks for: a bounded table from [`ProcessKey`] to [`Service`], fed by the kernel's fork, exec
//! and exit signals and filled from `/proc` at first sight.
//!
//! - **exec** makes another program of a process: what was known goes. The signal alone names it, so that a process that
//!   ended before anybody looked has its name; `/proc` adds environment and cgroup, at once within a budget, else when an
//!   exchange asks.
//! - **fork** gives the child what is known of its parent, so that prefork workers are their master's service although
//!   their title, and with it the environment behind it in memory, was overwritten.
//!   An exec whose record was lost is found when such facts are first used, and by and by for all processes: at once when
//!   records are known to be lost ([`Processes::doubt`]), else each process is held against `/proc` once a minute.
//! - **exit** leaves the facts for a grace time: records of the process may still be on their way.
//!
//! Facts of `/proc` are taken only of a process with the start time that was asked for (see [`reader`]).

pub mod budget;
pub mod counts;
mod pods;
pub mod reader;

#[cfg(test)]
mod tests;

use super::container::place::Places;
use super::kubernetes::Pods;
use super::service::declared::Declared;
use super::service::program::Program;
use super::service::{Facts, Service, text};
use crate::host::Host;
use crate::signal::{Nanos, ProcessEvent, ProcessKey, ProcessSignal};
use budget::Budget;
use counts::ProcessCounts;
use onlooker_common::limits;
use reader::{Look, Reader};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Generations of parents that are asked for facts of a child that is gone.
const ANCESTORS: u32 = 4;

/// Limits of [`Processes`].
#[derive(Clone, Debug)]
pub struct ProcessesConfig {
    /// Processes known at once, those that ended and are kept for a while included (at most a quarter of all).
    pub limit: usize,
    /// How long an ended process is known, nanoseconds.
    pub grace: Nanos,
    /// Reads of `/proc` a second at exec; beyond that a process is read when an exchange asks for it.
    pub exec_reads: u32,
    /// Processes a second that [`Processes::expire`] holds against `/proc` at most, in case an exec or exit was not reported.
    pub sweep: usize,
    /// Seconds in which it does so with all of them, if they are not too many for that. It costs more than all else that an
    /// agent does where nothing happens, so it takes its time while no record is known to be lost.
    pub round: usize,
    /// Cgroups known at once.
    pub places: usize,
    /// `host.name`, see [`Host::name`].
    pub host_name: Option<Arc<str>>,
    /// Pods as the Kubernetes API tells them, where it is asked.
    pub pods: Option<Pods>,
}

impl Default for ProcessesConfig {
    fn default() -> ProcessesConfig {
        ProcessesConfig {
            limit: 32_768,
            grace: 30_000_000_000,
            exec_reads: 200,
            sweep: 64,
            round: 60,
            places: 1024,
            host_name: None,
            pods: None,
        }
    }
}

/// The table. Owned by the thread that handles signals; see [`Processes::counts`] for everybody else.
#[derive(Debug)]
pub struct Processes {
    host: Host,
    config: ProcessesConfig,
    table: FxHashMap<ProcessKey, Entry>,
    /// Ended processes by the end of their grace time.
    ended: VecDeque<(Nanos, ProcessKey)>,
    /// Processes whose life is to be checked next, and how many a second.
    sweep: Vec<ProcessKey>,
    share: usize,
    /// When that was done last.
    swept: Nanos,
    /// Records that were lost, and whether some were since the present round of checks began.
    lost: u64,
    doubted: bool,
    places: Places,
    reader: Reader,
    budget: Budget,
    now: Nanos,
    /// Counts uses, the order of eviction.
    uses: u64,
    renamed: bool,
    /// Changes of pods that were followed.
    pod_changes: u64,
    counts: Arc<ProcessCounts>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    service: Option<Arc<Service>>,
    facts: Option<Arc<Facts>>,
    used: u64,
    /// Who made it and how many programs that one had run by then; pid 0 when not known.
    parent: (ProcessKey, u32),
    /// Programs begun while known.
    programs: u32,
    /// Version 2 cgroup id, 0 when not known.
    cgroup: u64,
    /// `/proc` was asked for this program, or for the parent that handed it down.
    looked: bool,
    /// The facts are the parent's and have not been held against this process.
    inherited: bool,
    ended: bool,
}

impl Processes {
    /// An empty table that reads below the host's roots.
    pub fn new(host: Host, config: ProcessesConfig) -> Processes {
        Processes {
            places: Places::new(config.places),
            budget: Budget::new(config.exec_reads),
            host,
            config,
            table: FxHashMap::default(),
            ended: VecDeque::new(),
            sweep: Vec::new(),
            share: 0,
            swept: 0,
            lost: 0,
            doubted: false,
            reader: Reader::default(),
            now: 0,
            uses: 0,
            renamed: false,
            pod_changes: 0,
            counts: Arc::default(),
        }
    }

    /// Numbers of the table, a [`crate::metric::Source`].
    pub fn counts(&self) -> Arc<ProcessCounts> {
        self.counts.clone()
    }

    /// Takes note of a fork, exec or exit. Signals come in the order of their times.
    pub fn signal(&mut self, signal: &ProcessSignal<'_>) {
        self.now = self.now.max(signal.at);
        let key = signal.process;
        match &signal.event {
            ProcessEvent::Fork { parent } => {
                self.sharpen(*parent);
                self.fork(key, *parent);
            }
            ProcessEvent::Exec {
                cgroup,
                comm,
                filename,
                args,
                environ,
                ..
            } => {
                let facts = Facts {
                    comm: text::clean(comm).map(String::into_boxed_str),
                    program: Program::new(executed(filename), args, || None),
                    declared: Declared::parse(environ),
                    place: self.places.by_id(*cgroup),
                };
                let entry = self.entry(key);
                let named = entry.service.take().is_some();
                entry.facts = Some(Arc::new(facts));
                entry.programs = entry.programs.wrapping_add(1);
                entry.cgroup = *cgroup;
                entry.looked = false;
                entry.inherited = false;
                self.renamed |= named;
                if self.budget.take(self.now) {
                    self.facts(key);
                } else {
                    self.counts.deferred();
                }
            }
            ProcessEvent::Exit { .. } => {
                if let Some(rough) = self.sharpen(key) {
                    self.end(rough);
                }
                self.end(key);
            }
            ProcessEvent::Freed { .. } | ProcessEvent::OutOfMemory { .. } => (),
        }
        self.publish();
    }

    /// The service a process speaks for. Once known: one look-up, no allocation, no input or output. At first sight it
    /// reads `stat` (twice), `cmdline`, `environ`, `cgroup` and the link `exe` of `/proc`. A process of which
    /// nothing can be known is the service `unknown`.
    pub fn service(&mut self, key: ProcessKey) -> Arc<Service> {
        self.uses += 1;
        if let Some(entry) = self.table.get_mut(&key) {
            entry.used = self.uses;
            if let Some(service) = &entry.service {
                return service.clone();
            }
        }
        self.first_sight(key)
    }

    /// Whether a process that had a service may speak for another one since this was last asked.
    pub fn take_renamed(&mut self) -> bool {
        std::mem::take(&mut self.renamed)
    }

    /// Whether a process is known and has not ended.
    pub fn knows(&self, key: ProcessKey) -> bool {
        self.table.get(&key).is_some_and(|entry| !entry.ended)
    }

    /// Whether nobody told of a process yet. `/proc` is not asked: of one that is about to end it has a name and no more.
    pub fn is_stranger(&self, key: ProcessKey) -> bool {
        !self.table.contains_key(&key)
    }

    /// Whether a process has ended. Of one that is not known here `/proc` is asked; when that cannot tell, it has not.
    pub fn gone(&mut self, key: ProcessKey) -> bool {
        match self.table.get(&key) {
            Some(entry) => entry.ended,
            None => self.reader.lives(&self.host, key) == Some(false),
        }
    }

    /// What is known of a process: `comm`, executable, container and so on. Costs what [`Processes::service`] costs.
    pub fn facts(&mut self, key: ProcessKey) -> Arc<Facts> {
        if self.entry(key).inherited {
            self.recheck(key);
        }
        self.known(key, ANCESTORS)
    }

    /// So many records of forks, execs and exits were lost so far. After new ones all processes are held against `/proc` as soon
    /// as may be.
    pub fn doubt(&mut self, lost: u64) {
        if std::mem::replace(&mut self.lost, lost) != lost {
            self.doubted = true;
            self.share = self.config.sweep;
        }
    }

    /// Forgets processes whose grace time is over at `now`, and finds some of those that ended or became another program
    /// without a word. To be called about once a second, or after longer rests: for each second it reads up to
    /// [`ProcessesConfig::sweep`] small files.
    pub fn expire(&mut self, now: Nanos) {
        let seconds = (now.saturating_sub(self.swept) / 1_000_000_000).clamp(1, self.config.round.max(1) as u64);
        (self.now, self.swept) = (self.now.max(now), now);
        while let Some((_, key)) = self.ended.pop_front_if(|(until, _)| *until <= self.now) {
            self.table.remove(&key);
        }
        if self.sweep.is_empty() {
            let live = self.table.iter().filter(|(_, entry)| !entry.ended);
            self.sweep.extend(live.map(|(key, _)| *key));
            self.share = match std::mem::take(&mut self.doubted) {
                true => self.config.sweep,
                false => self
                    .sweep
                    .len()
                    .div_ceil(self.config.round.max(1))
                    .min(self.config.sweep),
            };
        }
        for _ in 0..self.share * seconds as usize {
            let Some(key) = self.sweep.pop() else { break };
            if self.table.get(&key).is_none_or(|entry| entry.ended) {
                continue;
            }
            if self.reader.lives(&self.host, key) == Some(false) {
                self.end(key);
            } else {
                self.recheck(key);
            }
        }
        self.follow_pods();
        self.publish();
    }

    #[cold]
    #[inline(never)]
    fn first_sight(&mut self, key: ProcessKey) -> Arc<Service> {
        let facts = self.facts(key);
        let pod = self.config.pods.as_ref().and_then(|pods| facts.pod(pods));
        let service = Arc::new(facts.service(key, self.config.host_name.as_ref(), pod.as_ref()));
        if let Some(entry) = self.table.get_mut(&key) {
            entry.service = Some(service.clone());
        }
        self.publish();
        service
    }

    /// Forgets the facts of a process that runs another executable than they say: its exec was not reported.
    fn recheck(&mut self, key: ProcessKey) {
        let Some(entry) = self.table.get_mut(&key) else { return };
        entry.inherited = false;
        let known = entry.facts.as_ref().filter(|_| entry.looked);
        if let Some(exe) = known.and_then(|facts| facts.program.exe.as_deref())
            && self.reader.runs_other(&self.host, key, exe)
        {
            self.renamed |= entry.service.take().is_some();
            entry.facts = None;
            entry.looked = false;
            entry.parent = Default::default();
        }
    }

    /// A process that is older than the agent may be known by its start of `/proc`, to the tick. By its exact key it is the same:
    /// asked for after its end it would not be known. Gives the key to the tick when there is such a process.
    fn sharpen(&mut self, key: ProcessKey) -> Option<ProcessKey> {
        let start = key.start - key.start % reader::TICK;
        let rough = ProcessKey { start, ..key };
        let known = self.table.get(&rough).filter(|_| rough != key)?;
        if !self.table.contains_key(&key) {
            let same = known.clone();
            *self.entry(key) = same;
        }
        Some(rough)
    }

    fn fork(&mut self, child: ProcessKey, parent: ProcessKey) {
        let mut entry = Entry {
            parent: (parent, 0),
            ..Entry::default()
        };
        if let Some(parent) = self.table.get(&parent) {
            entry.parent.1 = parent.programs;
            entry.facts = parent.facts.clone();
            entry.cgroup = parent.cgroup;
            entry.looked = parent.looked && parent.facts.is_some();
            entry.inherited = entry.looked;
        }
        let known = self.entry(child);
        // A child that was seen before its fork was told has facts of its own.
        if known.facts.is_none() {
            entry.used = known.used;
            entry.ended = known.ended;
            *known = entry;
        }
    }

    fn end(&mut self, key: ProcessKey) {
        let Some(entry) = self.table.get_mut(&key) else { return };
        if std::mem::replace(&mut entry.ended, true) {
            return;
        }
        self.ended.push_back((self.now.saturating_add(self.config.grace), key));
        if self.ended.len() > (self.config.limit / 4).max(1) {
            self.evict_ended();
        }
    }

    /// Facts of a process in the table, from there, from `/proc`, or from its parent, in this order.
    fn known(&mut self, key: ProcessKey, ancestors: u32) -> Arc<Facts> {
        let Some(entry) = self.table.get(&key) else {
            return Arc::default();
        };
        if entry.looked
            && let Some(facts) = &entry.facts
        {
            return facts.clone();
        }
        let (told, parent, cgroup) = (entry.facts.clone(), entry.parent, entry.cgroup);
        let mut gone = false;
        let facts = match self.reader.look(&self.host, &mut self.places, key, cgroup) {
            Look::Facts(read, ppid) => {
                let mut facts = merge(read, told.as_deref());
                if facts.program.spawned && facts.program.script.is_none() {
                    facts.program.script = self.spawner(parent, ppid, ancestors);
                }
                Arc::new(facts)
            }
            look => {
                let told = told.or_else(|| self.inherited(parent, ancestors));
                match look {
                    Look::Gone(comm) => {
                        gone = true;
                        told.unwrap_or_else(|| {
                            Arc::new(Facts {
                                comm,
                                ..Facts::default()
                            })
                        })
                    }
                    _ => told.unwrap_or_default(),
                }
            }
        };
        if let Some(entry) = self.table.get_mut(&key) {
            entry.facts = Some(facts.clone());
            entry.looked = true;
        }
        if gone {
            self.end(key);
        }
        facts
    }

    fn inherited(&mut self, (parent, programs): (ProcessKey, u32), ancestors: u32) -> Option<Arc<Facts>> {
        if parent.pid == 0 || ancestors == 0 {
            return None;
        }
        match self.table.get(&parent) {
            Some(entry) if entry.programs == programs => Some(self.known(parent, ancestors - 1)),
            // Another program by now: what it was is not known.
            Some(_) => None,
            None => match self.reader.look(&self.host, &mut self.places, parent, 0) {
                Look::Facts(facts, _) => Some(Arc::new(facts)),
                Look::Gone(_) | Look::Failed => None,
            },
        }
    }

    /// The script of the process that spawned a worker: of the parent that its fork told, else of the one it has now.
    fn spawner(&mut self, parent: (ProcessKey, u32), ppid: u32, ancestors: u32) -> Option<Box<str>> {
        let parent = match parent.0.pid {
            0 => (self.reader.key(&self.host, ppid)?, 0),
            _ => parent,
        };
        self.inherited(parent, ancestors)?.program.script.clone()
    }

    /// The entry of a process, made when it is not there.
    fn entry(&mut self, key: ProcessKey) -> &mut Entry {
        if self.table.len() >= self.config.limit.max(1) && !self.table.contains_key(&key) {
            self.make_room();
        }
        self.uses += 1;
        let entry = self.table.entry(key).or_default();
        entry.used = self.uses;
        entry
    }

    fn make_room(&mut self) {
        if self.evict_ended() {
            return;
        }
        // A sixteenth at once, so that the search for the least recently used is paid by many.
        let mut uses: Vec<u64> = self.table.values().map(|entry| entry.used).collect();
        let (_, last, _) = uses.select_nth_unstable(self.config.limit / 16);
        let last = *last;
        let before = self.table.len();
        self.table.retain(|_, entry| entry.used > last);
        self.counts.evicted((before - self.table.len()) as u64);
    }

    fn evict_ended(&mut self) -> bool {
        let Some((_, key)) = self.ended.pop_front() else {
            return false;
        };
        self.table.remove(&key);
        self.counts.evicted(1);
        true
    }

    fn publish(&self) {
        let ended = self.ended.len();
        self.counts.set(
            (self.table.len() - ended.min(self.table.len())) as u64,
            ended as u64,
            self.reader.errors(),
            self.places.refused(),
        );
    }
}

/// The executable of an exec, empty when its path does not name it: cut by the record's limit, or a descriptor (fexecve).
fn executed(filename: &[u8]) -> &[u8] {
    let cut = filename.len() >= limits::FILENAME - 1;
    if cut || filename.starts_with(b"/dev/fd/") || filename.starts_with(b"/proc/self/fd/") {
        return b"";
    }
    filename
}

/// What was read, and what was told where nothing could be read. Without its executable (CAP_SYS_PTRACE is missing) a program
/// is known better by what was told at its exec than by what it calls itself.
fn merge(read: Facts, told: Option<&Facts>) -> Facts {
    let Some(told) = told else { return read };
    Facts {
        comm: read.comm.or_else(|| told.comm.clone()),
        program: match (&read.program.exe, &told.program.exe_name) {
            (None, Some(_)) => told.program.clone(),
            _ => read.program,
        },
        declared: read.declared.or_else(|| told.declared.clone()),
        place: read.place.or_else(|| told.place.clone()),
    }
}
