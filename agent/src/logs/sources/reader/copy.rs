//! Copies (`copytruncate`): which new files are copies of known ones, and where they are read from.
//!
//! A copy is read from where its original was read, not from where it was settled: else what is under way would come twice at every
//! rotation. What of it is not settled in the original is not settled in the copy either, since after a kill the original may be gone.

use super::super::find::{Candidate, origins};
use super::super::mark::{Beginning, FileId, Mark};
use super::super::settings::StartAt;
use super::super::tail::Tail;
use super::super::tracker::Tracker;
use super::Reader;
use crate::logs::Receipt;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a file beside another may turn out to be a copy that is being made.
const COPYING: Duration = Duration::from_secs(2);

/// Up to where lines of a file were taken, now or before it was truncated.
#[derive(Debug)]
pub(super) struct Taken {
    mark: Mark,
    /// Who knows how far that is settled, and before which chunk all has to be. `None`: it is.
    of: Option<(Arc<Tracker<Mark>>, u64)>,
}

/// By path. Copies have what stood before such a place.
pub(super) type Marks = FxHashMap<PathBuf, Vec<Taken>>;

/// Where a new file is read from.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) tail: Tail,
    /// That is within a line.
    pub(super) within: bool,
    /// Up to where it is settled, where that is not the place it is read from, and whose chunks are to be settled for the rest.
    after: Option<(Mark, Arc<Tracker<Mark>>, u64)>,
}

impl Begin {
    /// At its first byte, or wherever the tail is: all before is settled.
    pub(super) fn at(tail: Tail, within: bool) -> Begin {
        Begin {
            tail,
            within,
            after: None,
        }
    }

    /// How far it is settled, as far as that is known.
    pub(super) fn tracker(&mut self, open: super::Open) -> Tracker<Mark> {
        match &self.after {
            None => Tracker::new(open, self.tail.mark()),
            Some((settled, ..)) => Tracker::new(open, *settled),
        }
    }

    /// Once the tracker is where it stays.
    pub(super) fn wait(&mut self, tracker: &Arc<Tracker<Mark>>) {
        if let Some((_, original, before)) = self.after.take() {
            let place = tracker.begin();
            tracker.end(1, self.tail.mark());
            original.when_settled(before, Receipt::new(tracker.clone(), place));
        }
    }
}

impl Reader {
    /// Up to where lines were taken, by path.
    pub(super) fn marks(&mut self) -> Marks {
        let mut marks = Marks::default();
        let mut add = |path: &PathBuf, mark: Mark, of: Option<(Arc<Tracker<Mark>>, u64)>| {
            if mark.offset > 0 {
                marks.entry(path.clone()).or_default().push(Taken { mark, of });
            }
        };
        for file in self.files.values_mut() {
            // What is held would be lost with the original.
            let taken = file.feed.resume(file.mark);
            let its = |before: u64| Some((file.tracker.clone(), before));
            add(&file.path, taken, its(file.tracker.next()));
            for (mark, before) in &file.past {
                add(&file.path, *mark, its(*before));
            }
        }
        self.remembered
            .values()
            .for_each(|saved| add(&saved.path, saved.mark, None));
        self.forgotten.iter().for_each(|(path, mark)| add(path, *mark, None));
        marks
    }

    /// Where a new file is read from. `None`: it may be a copy that is being made.
    pub(super) fn begin(
        &self,
        candidate: &Candidate,
        file: &File,
        size: u64,
        marks: &Marks,
    ) -> io::Result<Option<Begin>> {
        // A file at the very path of one that was there is no copy of it.
        let name = candidate
            .path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let theirs = origins(name).filter_map(|origin| marks.get(&candidate.path.with_file_name(origin)));
        let mut best: Option<&Taken> = None;
        let mut may_come = false;
        let beginning = Beginning::of(file)?;
        for taken in theirs.flatten() {
            let mark = taken.mark;
            if mark.offset > best.map_or(0, |best| best.mark.offset) && mark.is_behind(&beginning, file)? {
                best = Some(taken);
            }
            may_come |= mark.may_come(&beginning, size);
        }
        if let Some(Taken { mark, of }) = best {
            let Some(tail) = Tail::resume(file.try_clone()?, mark)? else {
                return Ok(None); // it is written just now
            };
            let after = match of {
                Some((original, before)) if !original.is_settled(*before) => {
                    let settled = original.settled_to();
                    // Of what was in the original before, nothing is here.
                    let here = settled.offset <= mark.offset && settled.is_behind(&beginning, file)?;
                    let settled = if here { settled } else { Mark::default() };
                    Some((settled, original.clone(), *before))
                }
                _ => None,
            };
            return Ok(Some(Begin {
                tail,
                within: false,
                after,
            }));
        }
        let very_first = self.first && self.fresh;
        if may_come && !very_first {
            return Ok(None);
        }
        Ok(Some(
            match very_first && self.settings.start == StartAt::End && candidate.of.is_none() {
                true => Tail::at_end(file.try_clone()?).map(|(tail, within)| Begin::at(tail, within))?,
                false => Begin::at(Tail::begin(file.try_clone()?), false),
            },
        ))
    }

    /// Files that might have been copies: by now they are, or are not.
    pub(super) fn decide_copies(&mut self, seen: &FxHashSet<FileId>, now: Duration, marks: &Marks) {
        let ids: Vec<FileId> = self.copies.keys().copied().collect();
        for id in ids {
            let Some((candidate, file, since)) = self.copies.get(&id) else {
                continue;
            };
            let over = !seen.contains(&id) || now - *since >= COPYING;
            let size = file.metadata().map_or(0, |metadata| metadata.len());
            let begun = match self.begin(candidate, file, size, marks) {
                Ok(None) if over => file.try_clone().map(|file| Some(Begin::at(Tail::begin(file), false))),
                begun => begun,
            };
            match begun {
                Ok(None) => self.again = true,
                Ok(Some(begin)) => {
                    if let Some((candidate, ..)) = self.copies.remove(&id) {
                        let beside = candidate.of.is_some();
                        let origin = candidate.of.unwrap_or(candidate.path);
                        self.follow(id, origin, beside, begin, now);
                        if let Some(file) = self.files.get_mut(&id) {
                            file.found = seen.contains(&id);
                        }
                    }
                }
                Err(_) => {
                    self.copies.remove(&id);
                    self.counts.unreadable.add(1);
                }
            }
        }
    }
}
