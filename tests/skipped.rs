//! Linux 7.0 and later preempt programs, and may skip both copies of one for a call (`agent-ebpf/src/again.rs`). A test that
//! fails there says how often that happened: `cargo xtask vm` then runs it once more, and says so.

use crate::agent::scrape_of;
use crate::http::Target;
use crate::metrics::Scrape;
use std::sync::{Mutex, Once};

/// Where agents were started by this test binary; those that ended do not answer.
static AGENTS: Mutex<Vec<Target>> = Mutex::new(Vec::new());

/// An agent was started: where it serves `/metrics`.
pub(crate) fn watch(web: &Target) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            let runs = both();
            if runs > 0.0 {
                eprintln!("the kernel skipped both copies of programs, at most {runs} times");
            }
        }));
    });
    if let Ok(mut agents) = AGENTS.lock() {
        agents.push(web.clone());
    }
}

/// The most calls that agents can have missed so.
fn both() -> f64 {
    let agents = AGENTS.try_lock().map(|agents| agents.clone()).unwrap_or_default();
    agents
        .iter()
        .filter_map(|web| scrape_of(web).ok())
        .map(|scrape| of(&scrape))
        .sum()
}

/// Of one agent: of each program the lesser of its own misses and those of its second copy. The first may be that at what the
/// tracepoint records.
fn of(scrape: &Scrape) -> f64 {
    let misses = |program: &str| scrape.sum("onlooker_program_misses_total", &[("program", program)]);
    let samples = scrape.select("onlooker_program_misses_total", &[]);
    samples
        .filter_map(|sample| sample.label("program").strip_suffix("_again"))
        .map(|program| {
            let first = misses(program) + misses(&format!("{program}_tp"));
            first.min(misses(&format!("{program}_again")))
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lesser_of_both_copies_counts() {
        let line = |program: &str, n: u32| format!("onlooker_program_misses_total{{program=\"{program}\"}} {n}\n");
        let text = line("a", 5) + &line("a_again", 2) + &line("b", 9) + &line("c", 0) + &line("c_again", 4);
        let text = text + &line("d_tp", 3) + &line("d_again", 8);
        assert_eq!(of(&Scrape::parse(&text).unwrap()), 5.0);
    }
}
