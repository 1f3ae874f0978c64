//! The kernel's own trace, for a reader of its own: a second opinion of what programs at tracepoints see.

use crate::process::unique;
use crate::require::made;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where tracefs belongs.
const PLACE: &str = "/sys/kernel/tracing";

const RECLAIM: [&str; 2] = ["mm_vmscan_memcg_reclaim_begin", "mm_vmscan_memcg_reclaim_end"];

/// What the kernel traces since this was made; gone when dropped.
#[derive(Debug)]
pub struct Trace(PathBuf);

/// One event: `  NAME-TID  [CPU] FLAGS  SECONDS: EVENT: ARGUMENTS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'t> {
    /// The thread that ran.
    pub tid: u32,
    /// When, in seconds.
    pub at: f64,
    /// Name of the event.
    pub name: &'t str,
    /// Its arguments as the kernel prints them.
    pub arguments: &'t str,
}

impl Trace {
    /// Begins to trace these events (`GROUP/NAME`), each with a filter where it is not empty; `None`, said why, without tracefs.
    ///
    /// # Panics
    /// Under `CI` without tracefs.
    pub fn of(events: &[&str], filter: &str) -> Option<Trace> {
        made("tracefs", Trace::new(events, filter))
    }

    fn new(events: &[&str], filter: &str) -> Result<Trace> {
        let instances = Path::new(PLACE).join("instances");
        if !instances.exists() {
            // Where nobody did yet, as in a container; it stays. Another test may do so in this moment.
            let mount = ["-t", "tracefs", "tracefs", PLACE];
            let output = Command::new("mount").args(mount).output()?;
            let mounted = output.status.success() || instances.exists();
            ensure!(mounted, "{}", String::from_utf8_lossy(&output.stderr));
        }
        let trace = Trace(instances.join(unique("onlooker")));
        fs::create_dir(&trace.0)?;
        fs::write(trace.0.join("trace_clock"), "mono")?;
        // By CPU.
        fs::write(trace.0.join("buffer_size_kb"), "16384")?;
        for event in events {
            let event = trace.0.join("events").join(event);
            if !filter.is_empty() {
                fs::write(event.join("filter"), filter)?;
            }
            fs::write(event.join("enable"), "1")?;
        }
        Ok(trace)
    }

    /// Begins to trace when programs of this name make room in the memory of their cgroup. As [`Trace::of`].
    ///
    /// # Panics
    /// Under `CI` without tracefs.
    pub fn of_reclaim(comm: &str) -> Option<Trace> {
        let events = RECLAIM.map(|name| format!("vmscan/{name}"));
        Trace::of(&events.each_ref().map(String::as_str), &format!("comm == \"{comm}\""))
    }

    /// How often they did, and how long that took in all, seconds.
    ///
    /// # Errors
    /// As [`Trace::text`].
    pub fn reclaims(&self) -> Result<(f64, f64)> {
        Ok(pairs(&self.text()?, RECLAIM[0], RECLAIM[1]))
    }

    /// The trace so far.
    ///
    /// # Errors
    /// It cannot be read, or a part of it was overwritten.
    pub fn text(&self) -> Result<String> {
        let text = fs::read_to_string(self.0.join("trace"))?;
        let head = text
            .lines()
            .find_map(|line| line.strip_prefix("# entries-in-buffer/entries-written: "));
        let (kept, rest) = head.and_then(|head| head.split_once('/')).context("a head")?;
        let written = rest.split_whitespace().next().context("a number")?;
        ensure!(kept == written, "{kept} of {written} events are left");
        Ok(text)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The events of a trace.
pub fn events(text: &str) -> impl Iterator<Item = Event<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        // The name of a thread may hold anything, ` [` and a number of three digits hardly.
        let (thread, rest) = line.split_once(" [")?;
        let tid = thread.trim_end().rsplit('-').next()?.parse().ok()?;
        let mut parts = rest.splitn(3, ": ");
        let at = parts.next()?.rsplit(' ').next()?.parse().ok()?;
        Some(Event {
            tid,
            at,
            name: parts.next()?,
            arguments: parts.next()?,
        })
    })
}

/// How often one event came to its end, and how long it took in all, by the events that begin and end it.
fn pairs(text: &str, begin: &str, end: &str) -> (f64, f64) {
    let (mut count, mut sum, mut begun) = (0.0, 0.0, BTreeMap::new());
    for event in events(text) {
        if event.name == begin {
            begun.insert(event.tid, event.at);
        } else if event.name == end
            && let Some(at) = begun.remove(&event.tid)
        {
            count += 1.0;
            sum += event.at - at;
        }
    }
    (count, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_trace_are_events() {
        let text = "# tracer: nop\n           <...>-27105   [000] d..2. 15576.942006: sched_switch: prev_comm=opt [1] x prev_pid=27105\n";
        let all: Vec<Event<'_>> = events(text).collect();
        assert_eq!(
            all,
            [Event {
                tid: 27105,
                at: 15576.942006,
                name: "sched_switch",
                arguments: "prev_comm=opt [1] x prev_pid=27105"
            }]
        );
    }
}
