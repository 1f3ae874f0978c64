//! Which files are followed and which of them is read next: a state machine that is given the time.

mod copy;
mod look;
mod room;

use super::checkpoint::{Checkpoint, Saved};
use super::counts::SourceCounts;
use super::find::Candidate;
use super::follow::{Follow, Step};
use super::mark::{FileId, Mark};
use super::sender::Sender;
use super::settings::Settings;
use super::tracker::Open;
use rustc_hash::FxHashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Pause after a file could not be read.
const FAILED: Duration = Duration::from_secs(1);

/// All files.
#[derive(Debug)]
pub(super) struct Reader {
    settings: Settings,
    sender: Sender,
    counts: Arc<SourceCounts>,
    unsettled: Open,
    files: FxHashMap<FileId, Follow>,
    /// Open files, in the order of their turns.
    ring: Vec<FileId>,
    next: usize,
    buffer: Vec<u8>,
    /// From the checkpoint, not found yet.
    remembered: FxHashMap<FileId, Saved>,
    /// Where files were that are no longer what they were: copies of them may be found.
    forgotten: Vec<(PathBuf, Mark)>,
    /// May turn out to be copies; since when.
    copies: FxHashMap<FileId, (Candidate, File, Duration)>,
    /// By path: from when on files beside it are its own, Unix time in milliseconds.
    since: FxHashMap<PathBuf, u64>,
    /// Nothing was looked for yet.
    first: bool,
    /// There was no checkpoint.
    fresh: bool,
    /// When everything before was looked at, Unix time in milliseconds.
    pub(super) looked: u64,
    /// When the last look began, Unix time in milliseconds.
    wall: u64,
    /// Changes of pods that were followed.
    pod_changes: u64,
    /// Looks since the start.
    looks: u32,
    /// What is open was read in this look, and that made no room.
    crowded: bool,
    /// What walking the folders took at the last look, of the processor and of time. What is found is opened once, and is not of it.
    pub(super) walked: (Duration, Duration),
    /// Another look is wanted soon.
    pub(super) again: bool,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Something was read: there may be more.
    Busy,
    /// Nothing is due before this time.
    Idle(Duration),
    /// Lines wait for room, or for others to be settled.
    Full,
}

impl Reader {
    /// Goes on from a checkpoint. `None`: this is the first start.
    pub(super) fn new(settings: Settings, sender: Sender, unsettled: Open, checkpoint: Option<&Checkpoint>) -> Reader {
        let mut since = FxHashMap::default();
        let saved = checkpoint
            .map(|checkpoint| checkpoint.files.as_slice())
            .unwrap_or_default();
        for saved in saved {
            since.entry(saved.path.clone()).or_insert(saved.since);
        }
        Reader {
            counts: sender.counts.clone(),
            settings,
            sender,
            unsettled,
            files: FxHashMap::default(),
            ring: Vec::new(),
            next: 0,
            buffer: Vec::new(),
            remembered: saved.iter().map(|saved| (saved.id, saved.clone())).collect(),
            forgotten: Vec::new(),
            copies: FxHashMap::default(),
            since,
            first: true,
            fresh: checkpoint.is_none(),
            pod_changes: 0,
            // Former versions wrote every second or so, and not when nothing changed.
            looked: checkpoint.map_or(0, |checkpoint| {
                let written = checkpoint.written.saturating_sub(2000);
                checkpoint.looked.unwrap_or(written)
            }),
            wall: 0,
            looks: 0,
            crowded: false,
            walked: Default::default(),
            again: false,
        }
    }

    /// One turn of each file that is due.
    pub(super) fn round(&mut self, now: Duration) -> Round {
        self.sender.turn(now);
        let mut busy = false;
        let mut due = now + Duration::from_secs(1);
        for _ in 0..self.ring.len() {
            let index = if self.next < self.ring.len() { self.next } else { 0 };
            let Some(id) = self.ring.get(index).copied() else {
                break;
            };
            self.next = index + 1;
            let waits = self.waits_for_settling();
            let Some(file) = self.files.get_mut(&id) else {
                self.ring.remove(index);
                self.next = index;
                continue;
            };
            if file.due > now {
                due = due.min(file.due);
                continue;
            }
            if waits {
                self.counts.waits_for_settling.add(1);
                self.next = index;
                return Round::Full;
            }
            match file.step(&mut self.buffer, &mut self.sender, &self.settings.limits) {
                Ok(Step::Read) => busy = true,
                Ok(Step::Nothing) => due = due.min(file.due),
                Ok(Step::Truncated) => {
                    busy = true;
                    self.again = true;
                }
                Ok(Step::Full) => {
                    self.counts.waits_for_room.add(1);
                    self.next = index;
                    return Round::Full;
                }
                Ok(Step::Closed) => {
                    self.ring.remove(index);
                    self.next = index;
                }
                Err(_) => {
                    self.counts.unreadable.add(1);
                    file.due = now + FAILED;
                }
            }
        }
        match busy {
            true => Round::Busy,
            false => Round::Idle(due),
        }
    }

    /// Hands on the groups of lines that are held, because nothing is read any more; `false`: not all found room.
    pub(super) fn rest(&mut self, now: Duration) -> bool {
        self.sender.turn(now);
        let sender = &mut self.sender;
        let flush = |file: &mut Follow| file.flush(None, Some(Duration::MAX), sender);
        self.files.values_mut().all(flush)
    }

    /// Tells how many files there are and how much is unread.
    pub(super) fn tell(&self) {
        self.counts.known.set(self.files.len() as u64);
        self.counts.lag_bytes.set(self.files.values().map(Follow::lag).sum());
    }

    /// How far all files are settled.
    pub(super) fn saved(&mut self) -> Vec<Saved> {
        self.files.values_mut().for_each(|file| file.told = None);
        let mut saved = self.changed();
        // Not ever more of what is gone: a checkpoint that is too large is not read.
        saved.extend(self.remembered.values().take(self.settings.limits.files).cloned());
        saved.sort_by_key(|saved| saved.id);
        saved
    }

    /// Files that are new or settled further than when they were asked for last.
    pub(super) fn changed(&mut self) -> Vec<Saved> {
        let mut changed = Vec::new();
        for (id, file) in &mut self.files {
            let mark = file.tracker.settled_to();
            if file.told != Some(mark) {
                file.told = Some(mark);
                changed.push(Saved {
                    id: *id,
                    path: file.path.clone(),
                    since: self.since.get(&file.path).copied().unwrap_or(self.looked),
                    mark,
                });
            }
        }
        changed
    }
}
