//! How many files are open: who is let go for whom. What was not read is let go last, since its name may go before it is found again.

use super::super::follow::Follow;
use super::super::mark::FileId;
use super::{Reader, Round};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a removed file that goes on growing is read.
const HELD: Duration = Duration::from_secs(600);
/// How long a file is remembered that is not found any more.
const GONE: Duration = Duration::from_secs(20);
/// Turns that renamed files have at once, so that others find room.
const TURNS: usize = 4;

impl Reader {
    pub(super) fn close(&mut self, id: FileId) {
        self.ring.retain(|other| *other != id);
        if let Some(file) = self.files.get_mut(&id) {
            file.close(&self.counts);
        }
    }

    /// Whether one more file may be opened; closes others for it where that can be.
    pub(super) fn has_room(&mut self, now: Duration) -> bool {
        self.ring.len() < self.settings.limits.open
            || self.let_go() > 0
            || self.read_renamed(now) > 0
            || self.close_idle(now)
    }

    /// Closes renamed files that are read to their end, and found again when they grow; tells how many.
    fn let_go(&mut self) -> usize {
        let read = |file: &Follow| file.tail.is_some() && file.away.is_some() && file.found && file.lag() == 0;
        let before = self.ring.len();
        let (files, sender, counts) = (&mut self.files, &mut self.sender, &self.counts);
        self.ring.retain(|id| {
            let Some(file) = files.get_mut(id).filter(|file| read(file)) else {
                return true;
            };
            // What waits for a further line waits no more.
            let done = file.release(sender);
            if done {
                file.close(counts);
            }
            !done
        });
        before - self.ring.len()
    }

    /// Reads what is open, and lets go what is read then; tells how many. Once and again in a look, until that is of no use.
    fn read_renamed(&mut self, now: Duration) -> usize {
        let unread = |file: &Follow| file.tail.is_some() && file.away.is_some() && file.lag() > 0;
        if self.crowded || !self.files.values().any(unread) {
            return 0;
        }
        for _ in 0..TURNS {
            if self.round(now) != Round::Busy {
                break;
            }
        }
        let gone = self.let_go();
        self.crowded = gone == 0;
        gone
    }

    /// Closes the file that was idle for longest; `false`: there is none.
    fn close_idle(&mut self, now: Duration) -> bool {
        let idle = self.files.iter().filter(|(_, file)| {
            let quiet = now.saturating_sub(file.grew) > Duration::from_secs(1);
            file.tail.is_some()
                && file.found
                && file.lag() == 0
                && quiet
                && !file.feed.holds(Some(Duration::MAX), Some(Duration::MAX))
        });
        match idle.min_by_key(|(_, file)| file.grew).map(|(id, _)| *id) {
            Some(id) => {
                self.close(id);
                true
            }
            None => false,
        }
    }

    /// Files that were not found, and those that are held for too long or too many.
    pub(super) fn part(&mut self, now: Duration) {
        let mut gone = Vec::new();
        let mut held = Vec::new();
        for (id, file) in &mut self.files {
            if !file.found && file.away.is_none() {
                file.away = Some(now);
                self.counts.rotations.add(1);
            }
            match (&file.tail, file.away) {
                // A name that is changed just now can be missed by a look.
                (None, Some(since)) if !file.found && now.saturating_sub(since) > GONE => gone.push(*id),
                (Some(_), Some(since)) => held.push((since, *id, file.found, file.lag() > 0)),
                _ => {}
            }
        }
        for id in gone {
            if let Some(mut file) = self.files.remove(&id) {
                // It grew while nobody held it, or lines of it are held that found no room.
                let taken = file.feed.resume(file.mark);
                self.counts
                    .unread_removed
                    .add(file.stamp.0.saturating_sub(taken.offset));
                self.forget(file.path, file.tracker.settled_to());
            }
        }
        held.sort_by_key(|(since, ..)| *since);
        let most = self.settings.limits.away;
        let mut over = held.len().saturating_sub(most);
        let lost = held.iter().filter(|(_, _, found, unread)| !found && *unread).count();
        let mut lost = lost.saturating_sub(most);
        for (since, id, found, unread) in held {
            let parts = match (found, unread) {
                // Its time will come: how many are open has a limit of its own.
                (true, true) => false,
                (false, true) if lost > 0 => {
                    lost -= 1;
                    true
                }
                (_, false) if over > 0 => true,
                (found, _) => !found && now.saturating_sub(since) > HELD,
            };
            if parts {
                over = over.saturating_sub(1);
                if let Some(file) = self.files.get_mut(&id) {
                    file.release(&mut self.sender);
                }
                self.close(id);
            }
        }
    }

    /// Whether records that are not settled are as many as may be.
    pub(super) fn waits_for_settling(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) >= self.settings.limits.unsettled
    }
}
