//! Probes: what attaches where, and what its records mean. One file a probe (its kernel side has the same name in
//! `agent-ebpf/src/probes`) and one line in [`REGISTRY`].

mod block;
mod decode;
mod dns;
mod errors;
mod faults;
mod latency;
mod offcpu;
mod oom;
mod process;
mod reclaim;
mod runqueue;
mod socket;
mod stall;
mod sync;
mod syscall;
mod tcp;
mod tcp_accept;
mod tcp_open;
mod tcp_state;
mod udp_drops;
mod usage;
mod writes;

pub use decode::{DecodeError, Room, decode};

use crate::collectors::own::Own;
use crate::config::Config;
use crate::kernel::maps::KernelCounters;
use crate::kernel::tables::{TableError, Tables};
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, ProcessSignal, Signal, Who};
use onlooker_common::layout;
use std::time::Duration;

pub(crate) use latency::measurable;
pub use writes::{NAME as WRITES, Writers};

/// All probes. Of a group only the first that attaches is used.
pub static REGISTRY: &[&Probe] = &[
    &socket::PROBE,
    &syscall::PROBE,
    &tcp_state::PROBE,
    &process::PROBE,
    &errors::PROBE,
    &latency::PROBE,
    &dns::PROBE,
    &udp_drops::PROBE,
    &block::PROBE,
    &reclaim::PROBE,
    &sync::PROBE,
    &faults::PROBE,
    &runqueue::PROBE,
    &offcpu::PROBE,
    &usage::PROBE,
    &oom::PROBE,
    &tcp_open::PROBE,
    &tcp::PROBE,
    &tcp_accept::PROBE,
    &writes::PROBE,
];

/// One probe.
#[derive(Debug)]
pub struct Probe {
    /// Name in metrics, health and messages.
    pub name: &'static str,
    /// Probes of one group replace each other, in the order of the registry.
    pub group: Option<&'static str>,
    /// What is not seen without it, in human words.
    pub loses: &'static str,
    /// Ways to attach it, the best first.
    pub alternatives: &'static [Alternative],
    /// Whether it is attached when the operator does not say (`--probes.enable`, `--probes.disable`).
    pub default: bool,
    /// Its own maps in the eBPF object: they are made as small as can be while it is not wanted.
    pub maps: &'static [&'static str],
    /// What it costs, as measured: `161 ns a change of state`. A part of `docs/metrics.md`; empty: it measures nothing.
    pub cost: &'static str,
    /// On which kernels it works, and what is missing on some: `5.8 and later`. Likewise.
    pub since: &'static str,
    /// What it measures.
    pub instruments: &'static [&'static Instrument],
    /// Makes the reader of its maps, once it is attached; `None`: it has none.
    pub reader: Option<MakeReader>,
}

/// Makes a [`Reader`].
pub type MakeReader = fn(&mut Tools<'_>) -> Result<Box<dyn Reader>, TableError>;

/// What a reader is made with.
pub struct Tools<'a> {
    /// The kernel side's maps.
    pub tables: &'a mut Tables,
    /// Records seen and lost in the kernel.
    pub counters: &'a KernelCounters,
    /// Settings.
    pub config: &'a Config,
    /// Takes numbers about the reader itself.
    pub own: &'a Own,
}

/// What most readers wait for a reader of series, where nothing happens: the interval of most scrapes.
pub const REST: Duration = Duration::from_secs(15);

/// Reads what the kernel side of a probe keeps, and tells it as signals. Owned by the pipeline's thread.
pub trait Reader: Send {
    /// Longest time until the next look where nothing happens; a second at least.
    fn rest(&self) -> Duration {
        REST
    }
    /// Reads what came since the last look. `at`: now; all that was sent through the ring before has been handled. `gone`: whether
    /// a process has ended, so that nothing more is counted for it.
    fn look(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>));
    /// A process began, became another program, or ended.
    fn process(&mut self, _signal: &ProcessSignal<'_>, _tell: &mut dyn FnMut(Signal<'_>)) {}
}

impl Probe {
    /// What most probes have: attached by default, no maps of its own, nothing to read.
    const BASE: Probe = Probe {
        name: "",
        group: None,
        loses: "",
        alternatives: &[],
        default: true,
        maps: &[],
        cost: "",
        since: "",
        instruments: &[],
        reader: None,
    };
}

/// Tells more of a counter.
fn add(
    at: Nanos,
    instrument: &'static Instrument,
    who: Who,
    labels: &[Label<'_>],
    amount: f64,
    tell: &mut dyn FnMut(Signal<'_>),
) {
    tell(Signal::Measure(MeasureSignal {
        at,
        instrument,
        who,
        labels,
        amount: Amount::Add(amount),
    }));
}

/// Names of probes that the operator switched on and off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// `--probes.enable`.
    pub on: Vec<&'static str>,
    /// `--probes.disable`; it wins.
    pub off: Vec<&'static str>,
}

impl Choice {
    /// Is a probe to be attached?
    pub fn wants(&self, probe: &Probe) -> bool {
        !self.off.contains(&probe.name) && (probe.default || self.on.contains(&probe.name))
    }
}

/// Names of the probes that may be switched on and off: all but those that replace each other.
pub fn switchable() -> impl Iterator<Item = &'static str> {
    REGISTRY
        .iter()
        .filter(|probe| probe.group.is_none())
        .map(|probe| probe.name)
}

impl Probe {
    /// The ways that are tried on a kernel that preempts programs, or does not, in their order.
    pub fn ways(&self, preemptible: bool) -> impl Iterator<Item = &'static Alternative> {
        let all = self.alternatives.iter();
        all.filter(move |way| preemptible || !way.undivided)
    }
}

/// One way to attach a probe: all its programs or none, second copies apart.
#[derive(Debug)]
pub struct Alternative {
    /// Name in metrics, health and messages.
    pub name: &'static str,
    /// Programs of the eBPF object and the hooks they go to.
    pub programs: &'static [Program],
    /// Second copies of programs, attached behind them on kernels that preempt programs: they deal with what the first were
    /// skipped for. One that is refused leaves the rest as it is.
    pub again: &'static [Program],
    /// Members of kernel structs that the programs read, lists of indices of `onlooker_common::layout`.
    pub needs: &'static [&'static [usize]],
    /// Whether the programs call the kernel's `bpf_rdonly_cast`.
    pub casts: bool,
    /// Whether it is only for kernels that preempt programs; elsewhere it is not even tried.
    pub undivided: bool,
    /// What is not seen by it and is by a better one, in human words; empty: nothing.
    pub loses: &'static str,
}

impl Alternative {
    /// Nothing but what most of them are; the name, the programs and what they need are each one's own.
    const BASE: Alternative = Alternative {
        name: "",
        programs: &[],
        again: &[],
        needs: &[],
        casts: false,
        undivided: false,
        loses: "",
    };

    /// Its programs, second copies included.
    pub fn all(&self) -> impl Iterator<Item = &'static Program> {
        self.programs.iter().chain(self.again)
    }
}

/// Members that programs at `sys_enter` and `sys_exit` read: who makes the call, and by which ABI.
const CALL: &[usize] = &[
    layout::TASK_LEADER,
    layout::TASK_START,
    #[cfg(target_arch = "x86_64")]
    layout::TASK_STATUS,
];

/// What is not seen when a second copy is refused.
pub const WITHOUT_AGAIN: &str = "now and then a call of a task that runs while another is preempted in a program";

/// A program and its hook.
#[derive(Debug)]
pub struct Program {
    /// Symbol in the eBPF object.
    pub name: &'static str,
    /// Where it goes.
    pub hook: Hook,
}

/// Where a program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tracepoint with typed arguments.
    BtfTracepoint(&'static str),
    /// A raw tracepoint.
    RawTracepoint(&'static str),
    /// What a tracepoint records for perf: group and name.
    Tracepoint(&'static str, &'static str),
    /// The software event of perf that counts page faults which waited for storage (`PERF_COUNT_SW_PAGE_FAULTS_MAJ`), on each CPU
    /// that is online.
    MajorFaults,
    /// What the kernel lets programs iterate over (`bpf_iter_NAME`): runs when a [`Reader`] reads it.
    Iterator(&'static str),
}

impl Hook {
    /// Name of the tracepoint, of the event, or of what is iterated over.
    pub fn point(self) -> &'static str {
        match self {
            Hook::BtfTracepoint(name)
            | Hook::RawTracepoint(name)
            | Hook::Tracepoint(_, name)
            | Hook::Iterator(name) => name,
            Hook::MajorFaults => "major-faults",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// First cells of the rows of a table, so many of them, below the line that starts with its head.
    fn rows(document: &str, head: &str, cells: usize) -> BTreeSet<Vec<String>> {
        let lines = document.lines().skip_while(|line| !line.starts_with(head)).skip(2);
        let rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
            let all = line.split('|').skip(1).map(|cell| cell.trim().to_owned());
            all.take(cells).collect()
        });
        rows.collect()
    }

    /// What was tried on other kernels is what there is.
    #[test]
    fn the_table_of_kernels_has_every_alternative_and_program() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/kernels.md");
        let document = std::fs::read_to_string(file).unwrap();
        let alternatives = REGISTRY.iter().flat_map(|probe| {
            let names = probe.alternatives.iter().map(|alternative| alternative.name);
            names.map(|name| vec![probe.name.to_owned(), name.to_owned()])
        });
        let programs = REGISTRY.iter().flat_map(|probe| probe.alternatives);
        let programs = programs.flat_map(|alternative| alternative.programs);
        let again = "docs/kernels.md is stale: `cargo xtask vm all` writes it anew";
        assert_eq!(
            rows(&document, "| Probe | Alternative |", 2),
            alternatives.collect(),
            "{again}"
        );
        // Second copies (`…_again`) exist on some kernels alone.
        let mut written = rows(&document, "| Program | Limit |", 1);
        written.retain(|row| !row[0].ends_with("_again"));
        assert_eq!(
            written,
            programs.map(|program| vec![program.name.to_owned()]).collect(),
            "{again}"
        );
    }
}
