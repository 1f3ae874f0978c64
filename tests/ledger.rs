//! The agent's ledger of events: `seen = delivered + lost`, for every kind.

use crate::metrics::Scrape;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;

/// One kind of event.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Entry {
    seen: f64,
    /// Delivered or lost.
    done: f64,
}

/// All kinds at one moment.
#[derive(Clone, Debug)]
pub struct Ledger(BTreeMap<String, Entry>);

impl Ledger {
    /// Reads it.
    ///
    /// # Errors
    /// There is none.
    pub fn of(scrape: &Scrape) -> Result<Ledger> {
        let seen = scrape.select("onlooker_events_seen_total", &[]);
        let entries: BTreeMap<String, Entry> = seen
            .map(|sample| {
                let kind = sample.label("kind");
                let of = |name| scrape.sum(name, &[("kind", kind)]);
                let entry = Entry {
                    seen: sample.value,
                    done: of("onlooker_events_delivered_total") + of("onlooker_events_lost_total"),
                };
                (kind.to_string(), entry)
            })
            .collect();
        ensure!(!entries.is_empty(), "no onlooker_events_seen_total");
        Ok(Ledger(entries))
    }

    /// Everything that an earlier one had seen is delivered or lost.
    ///
    /// # Errors
    /// A kind of which something is missing.
    pub fn expect_done(&self, earlier: &Ledger) -> Result<()> {
        for (kind, before) in &earlier.0 {
            let done = self.entry(kind).done;
            ensure!(done >= before.seen, "{kind}: {} seen, {done} done", before.seen);
        }
        Ok(())
    }

    /// Nothing is on its way.
    ///
    /// # Errors
    /// The kinds that are not in balance.
    pub fn expect_balance(&self) -> Result<()> {
        let open: Vec<_> = self.open().collect();
        ensure!(open.is_empty(), "{open:?}");
        Ok(())
    }

    /// Whether each kind that is not in balance is so because new events keep coming: since the earlier ledger, those that
    /// were on their way then are done, and more.
    pub fn moves(&self, earlier: &Ledger) -> bool {
        self.open().all(|(kind, now)| {
            let before = earlier.entry(kind);
            (before.seen..=now.seen).contains(&now.done) && now.done > before.done
        })
    }

    fn open(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.0.iter().filter(|(_, entry)| entry.seen != entry.done)
    }

    fn entry(&self, kind: &str) -> Entry {
        self.0.get(kind).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(seen: u32, delivered: u32, lost: u32) -> Ledger {
        let text = format!(
            "onlooker_events_seen_total{{kind=\"a\"}} {seen}\nonlooker_events_delivered_total{{kind=\"a\"}} {delivered}\n\
             onlooker_events_lost_total{{kind=\"a\",reason=\"x\"}} {lost}\n\
             onlooker_events_lost_total{{kind=\"a\",reason=\"y\"}} 1\n"
        );
        Ledger::of(&Scrape::parse(&text).unwrap()).unwrap()
    }

    /// Too little and too much done are no balance; all reasons count.
    #[test]
    fn balance() {
        assert!(ledger(10, 7, 2).expect_balance().is_ok());
        assert!(ledger(10, 7, 1).expect_balance().is_err());
        assert!(ledger(10, 7, 3).expect_balance().is_err());
        assert!(ledger(20, 7, 2).expect_done(&ledger(10, 1, 1)).is_ok());
        assert!(ledger(20, 7, 1).expect_done(&ledger(10, 1, 1)).is_err());
        assert!(Ledger::of(&Scrape::default()).is_err());
    }

    /// What stands still, or is more than was seen, is not in motion.
    #[test]
    fn motion() {
        let before = ledger(10, 7, 0);
        assert!(ledger(20, 15, 0).moves(&before));
        assert!(!ledger(20, 8, 0).moves(&before), "what was on its way is not done");
        assert!(!ledger(10, 7, 0).moves(&before), "stands still");
        assert!(!ledger(20, 30, 0).moves(&before), "more than seen");
    }
}
