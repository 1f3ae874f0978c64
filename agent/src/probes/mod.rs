//! Probes: what attaches where, and what its records mean. One file a probe (its kernel side has the same name in
//! `agent-ebpf/src/probes`) and one line in [`REGISTRY`].

mod decode;
mod process;
mod socket;
mod syscall;
mod tcp_state;

pub use decode::{DecodeError, decode};

/// All probes. Of a group only the first that attaches is used.
pub static REGISTRY: &[&Probe] = &[&socket::PROBE, &syscall::PROBE, &tcp_state::PROBE, &process::PROBE];

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
    /// Its programs, second copies included.
    pub fn all(&self) -> impl Iterator<Item = &'static Program> {
        self.programs.iter().chain(self.again)
    }
}

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
}

impl Hook {
    /// Name of the tracepoint.
    pub fn point(self) -> &'static str {
        match self {
            Hook::BtfTracepoint(name) | Hook::RawTracepoint(name) | Hook::Tracepoint(_, name) => name,
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
