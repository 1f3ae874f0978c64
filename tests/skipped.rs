//! Linux 7.0 and later preempt programs, and may skip both copies of one for a call (`agent-ebpf/src/again.rs`), or one that has no
//! second copy: at a plain tracepoint while a call of bpf() is preempted on its CPU. A test that fails there says how often that
//! happened: `cargo xtask vm` then runs it once more, and says so.

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
            let scrapes = scrapes();
            let runs: f64 = scrapes.iter().map(both).sum();
            if runs > 0.0 {
                eprintln!("the kernel skipped both copies of programs, at most {runs} times");
            }
            let single: Vec<String> = scrapes
                .iter()
                .flat_map(single)
                .map(|(name, n)| format!("{name} {n}"))
                .collect();
            if !single.is_empty() {
                eprintln!(
                    "the kernel skipped programs without a second copy: {}",
                    single.join(", ")
                );
            }
        }));
    });
    if let Ok(mut agents) = AGENTS.lock() {
        agents.push(web.clone());
    }
}

/// What each agent says that still answers.
fn scrapes() -> Vec<Scrape> {
    let agents = AGENTS.try_lock().map(|agents| agents.clone()).unwrap_or_default();
    agents.iter().filter_map(|web| scrape_of(web).ok()).collect()
}

const MISSES: &str = "onlooker_program_misses_total";

fn misses(scrape: &Scrape, program: &str) -> f64 {
    scrape.sum(MISSES, &[("program", program)])
}

/// The most calls that an agent can have missed by skipped pairs: of each program the lesser of its own misses and those of its
/// second copy. The first may be that at what the tracepoint records.
fn both(scrape: &Scrape) -> f64 {
    let samples = scrape.select(MISSES, &[]);
    samples
        .filter_map(|sample| sample.label("program").strip_suffix("_again"))
        .map(|program| {
            let first = misses(scrape, program) + misses(scrape, &format!("{program}_tp"));
            first.min(misses(scrape, &format!("{program}_again")))
        })
        .sum()
}

/// Programs that were skipped and have no second copy, and how often.
fn single(scrape: &Scrape) -> Vec<(String, f64)> {
    let again = |program: &str| scrape.has(MISSES, &[("program", &format!("{program}_again"))]);
    let samples = scrape.select(MISSES, &[]).filter(|sample| sample.value > 0.0);
    samples
        .map(|sample| (sample.label("program"), sample.value))
        .filter(|(program, _)| {
            let base = program.strip_suffix("_tp").unwrap_or(program);
            !program.ends_with("_again") && !again(program) && !again(base)
        })
        .map(|(program, n)| (program.to_owned(), n))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_copies_the_lesser_counts_and_of_one_all() {
        let line = |program: &str, n: u32| format!("onlooker_program_misses_total{{program=\"{program}\"}} {n}\n");
        let text = line("a", 5) + &line("a_again", 2) + &line("b", 9) + &line("c", 0) + &line("c_again", 4);
        let text = text + &line("d_tp", 3) + &line("d_again", 8);
        let scrape = Scrape::parse(&text).unwrap();
        assert_eq!(both(&scrape), 5.0);
        assert_eq!(single(&scrape), [("b".to_owned(), 9.0)]);
    }
}
