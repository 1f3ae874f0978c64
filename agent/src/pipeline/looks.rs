//! When the pipeline looks around: takes over what tables of the kernel side hold, reads `/proc`, forgets what is old.
//!
//! A look costs some milliseconds on a host where nothing else happens, for all that it touches has left the caches. So it is taken
//! each second only while there is a reason to: much happens, series are read again and again, something waits for the next one. Else it waits
//! for the next reader of series, who is told what is true then, or for [`Reader::rest`](crate::probes::Reader::rest).

use crate::signal::Nanos;

/// Between two looks at least, nanoseconds.
pub(super) const STEP: Nanos = 1_000_000_000;
/// Those who read series twice in such a time will again.
const OFTEN: Nanos = 2 * STEP;
/// Longest time between two looks where records are sent somewhere: some are made by a look.
const SENT: Nanos = 2 * STEP;
/// Weight of records from which a second look is due soon: 1,000 about processes and connections, each of which may have filled
/// entries of tables with some thousand. Exchanges fill none: a hundred thousand records of them are as much.
const MUCH: usize = 100_000;
/// Weight of a record about a process or connection; one with bytes of a connection weighs 1.
pub(super) const HEAVY: usize = 100;
/// Weight of one about an event. Of errors a CPU tells 32 new kinds a second at most, whatever their number: so many may have filled
/// their table.
pub(super) const EVENT: usize = MUCH / 32;

/// When the next look is due.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// The last one.
    last: Nanos,
    /// Weight of the records that came since.
    weight: usize,
    /// When series were asked for, the last two times.
    asked: [Nanos; 2],
    /// Longest time until the next.
    rest: Nanos,
}

impl Looks {
    /// Records were handled.
    pub(super) fn heard(&mut self, weight: usize) {
        self.weight = self.weight.saturating_add(weight);
    }

    /// Somebody asked for series.
    pub(super) fn asked(&mut self, now: Nanos) {
        self.asked = [self.asked[1], now];
    }

    /// A look is taken. `rest`: the longest time until the next, from what it found; `sends`: records are sent somewhere.
    pub(super) fn taken(&mut self, now: Nanos, rest: Nanos, sends: bool) {
        let most = if sends { SENT } else { Nanos::MAX };
        (self.last, self.weight, self.rest) = (now, 0, rest.min(most));
    }

    /// Whether a look is due. `waits`: somebody waits for it.
    pub(super) fn due(&self, now: Nanos, waits: bool) -> bool {
        now >= self.last.saturating_add(if waits { STEP } else { self.step(now) })
    }

    /// Until the next look.
    pub(super) fn left(&self, now: Nanos) -> Nanos {
        self.last.saturating_add(self.step(now)).saturating_sub(now)
    }

    /// Time between the last look and the next.
    fn step(&self, now: Nanos) -> Nanos {
        let [before, last] = self.asked;
        let often = before > 0 && last - before < OFTEN && now.saturating_sub(last) < OFTEN;
        match often || self.weight >= MUCH {
            true => STEP,
            false => self.rest.max(STEP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Nanos = 100 * STEP;

    fn looks() -> Looks {
        let mut looks = Looks::default();
        assert!(looks.due(START, false), "the first at once");
        looks.taken(START, 15 * STEP, false);
        looks
    }

    #[test]
    fn where_nothing_happens_it_rests() {
        let looks = looks();
        assert_eq!(looks.left(START + STEP), 14 * STEP);
        assert!(!looks.due(START + 15 * STEP - 1, false));
        assert!(looks.due(START + 15 * STEP, false));
    }

    #[test]
    fn who_asks_is_waited_for_but_once_a_second() {
        let mut looks = looks();
        assert!(!looks.due(START + STEP - 1, true));
        looks.asked(START + STEP);
        assert!(looks.due(START + STEP, true));
        looks.taken(START + STEP, 15 * STEP, false);
        assert_eq!(looks.left(START + STEP), 15 * STEP, "one scrape is no reason for more");
        looks.asked(START + STEP + OFTEN - 1);
        let now = START + STEP + OFTEN;
        assert!(looks.due(now, false), "asked for again and again");
        looks.taken(now, 15 * STEP, false);
        assert_eq!(looks.left(now), STEP);
        assert_eq!(looks.left(now + OFTEN), 15 * STEP - OFTEN, "and no longer");
    }

    #[test]
    fn much_is_looked_at_each_second() {
        let mut looks = looks();
        looks.heard(MUCH - 1);
        assert!(!looks.due(START + STEP, false));
        looks.heard(1);
        assert!(looks.due(START + STEP, false));
        looks.taken(START + STEP, 15 * STEP, false);
        assert_eq!(looks.left(START + STEP), 15 * STEP);
    }

    #[test]
    fn what_is_sent_and_what_readers_want_bound_the_rest() {
        let mut looks = looks();
        looks.taken(START, 15 * STEP, true);
        assert_eq!(looks.left(START), SENT);
        looks.taken(START, 0, true);
        assert_eq!(looks.left(START), STEP);
    }
}
