//! Looking for files: which are new, which were renamed, copied, removed or are known from before.

use super::super::decode::Format;
use super::super::describe::Place;
use super::super::feed::{Feed, Skip};
use super::super::find::{Candidate, find, related, resolve};
use super::super::follow::{Follow, GRACE, stamp};
use super::super::mark::{FileId, Mark};
use super::super::tail::Tail;
use super::Reader;
use super::copy::{Begin, Marks};
use crate::attribute::kubernetes::Pods;
use rustc_hash::FxHashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files that may turn out to be copies at the same time.
const COPIES: usize = 256;
/// How long a file that was there before a restart may be absent (a file system that is mounted later) before it is forgotten.
const ABSENT: Duration = Duration::from_secs(3600);
/// Looks after which it is forgotten if it is absent and another one is in its place. One alone can miss a name that is changed just now.
const LOOKS: u32 = 3;
/// Marks whose files no longer have them.
const FORGOTTEN: usize = 4096;
/// What clocks of file systems may be behind, milliseconds.
const COARSE: u64 = 100;

impl Reader {
    /// Looks which files there are, and tells in which folders others can appear. `wall`: Unix time in milliseconds.
    pub(in crate::logs::sources) fn look(&mut self, now: Duration, wall: u64) -> Vec<PathBuf> {
        self.again = false;
        self.crowded = false;
        self.wall = wall;
        let (processor, begun) = (cpu(), Instant::now());
        self.describe_anew();
        self.sender.turn(now);
        if self.first && self.fresh {
            self.looked = wall;
        }
        let mut found = find(
            &self.settings.host.root,
            &self.settings.globs,
            self.settings.limits.files,
        );
        let refused = self.counts.refused.get();
        self.counts.refused.add(found.refused);
        for file in self.files.values_mut() {
            file.found = false;
        }
        let mut seen = FxHashSet::default();
        let mut unknown = Vec::new();
        let mut paths = FxHashSet::default();
        for candidate in std::mem::take(&mut found.files) {
            if candidate.of.is_none() && !self.remembered.is_empty() {
                paths.insert(candidate.path.clone());
            }
            let real = resolve(&self.settings.host.root, &candidate.path);
            let Ok(metadata) = fs::metadata(&real) else {
                continue; // gone already
            };
            let id = FileId::of(&metadata);
            if !metadata.is_file() || self.is_mine(id, &candidate.path) || !seen.insert(id) {
                continue;
            }
            let origin = candidate.of.as_ref().unwrap_or(&candidate.path);
            if !self.since.contains_key(origin) {
                self.since.insert(origin.clone(), self.looked.saturating_sub(COARSE));
            }
            self.place(&candidate, id, now);
            unknown.push((candidate, real, id, stamp(&metadata)));
        }
        self.walked = (cpu().saturating_sub(processor), begun.elapsed());
        // Only now it is known which of those that are open are still there.
        unknown.retain(|(candidate, _, id, stamp)| !self.known(candidate, *id, *stamp, now));
        unknown.retain(|(candidate, real, id, stamp)| !self.resume(candidate, real, *id, *stamp, now));
        if !unknown.is_empty() || !self.copies.is_empty() {
            let marks = self.marks();
            for (candidate, real, id, stamp) in unknown {
                self.appear(candidate, &real, id, stamp, now, &marks);
            }
            self.decide_copies(&seen, now, &marks);
        }
        self.part(now);
        self.looks = self.looks.saturating_add(1);
        if self.looks >= LOOKS {
            let replaced = self
                .remembered
                .extract_if(|id, saved| !seen.contains(id) && paths.contains(&saved.path));
            for (_, saved) in replaced.collect::<Vec<_>>() {
                self.forget(saved.path, saved.mark);
            }
        }
        let paths: FxHashSet<&PathBuf> = self.files.values().map(|file| &file.path).collect();
        if self.since.len() > self.settings.limits.files {
            let remembered: FxHashSet<&PathBuf> = self.remembered.values().map(|saved| &saved.path).collect();
            self.since
                .retain(|path, _| paths.contains(path) || remembered.contains(path));
        }
        if now > ABSENT {
            self.remembered.clear();
        }
        self.first = false;
        // What was missed or found no room is to be found after a restart too, under whatever name.
        if !self.again && self.counts.refused.get() == refused {
            self.looked = wall;
        }
        self.tell();
        found.folders
    }

    fn is_mine(&self, id: FileId, path: &Path) -> bool {
        let mine = &self.settings.mine;
        let path = self.settings.on_host(path);
        let place = path.to_str().map_or(Place::Plain, Place::of);
        mine.files.contains(&id) || place.is_of(mine.pod.as_deref(), mine.container.as_deref())
    }

    /// Where a file is that is followed already.
    fn place(&mut self, candidate: &Candidate, id: FileId, now: Duration) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        file.found = true;
        let moved = file.path != candidate.path;
        if moved && candidate.of.is_none() && !related(&file.path, &candidate.path) {
            // Renamed for good, and still what is asked for.
            file.path.clone_from(&candidate.path);
            file.away = None;
        } else if moved && file.away.is_none() {
            file.away = Some(now);
            self.counts.rotations.add(1);
        } else if !moved {
            file.away = None;
        }
    }

    /// A file that is followed already: opened again if it has to be.
    fn known(&mut self, candidate: &Candidate, id: FileId, stamp: (u64, i128), now: Duration) -> bool {
        let Some(file) = self.files.get(&id) else {
            return false;
        };
        if file.tail.is_some() || file.stamp == stamp {
            return true;
        }
        // It grew after it was let go, or its inode was given to another one.
        if !self.has_room(now) {
            self.again |= candidate.of.is_some();
            return true;
        }
        let Some(file) = self.files.get_mut(&id) else {
            return true;
        };
        let opened = match open(&resolve(&self.settings.host.root, &candidate.path), id) {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => {
                self.again = true;
                return true;
            }
            Err(error) => Err(error),
        };
        match opened.and_then(|opened| Tail::resume(opened, &file.mark)) {
            Ok(Some(tail)) => {
                file.tail = Some(tail);
                file.size = file.size.max(stamp.0);
                file.due = now;
                self.ring.push(id);
                self.counts.open.add(1);
                true
            }
            Ok(None) => {
                let gone = self.files.remove(&id);
                if let Some(mut gone) = gone {
                    gone.release(&mut self.sender);
                    self.forget(gone.path, gone.tracker.settled_to());
                }
                false
            }
            Err(_) => {
                self.counts.unreadable.add(1);
                true
            }
        }
    }

    /// A file of the checkpoint.
    fn resume(&mut self, candidate: &Candidate, real: &Path, id: FileId, stamp: (u64, i128), now: Duration) -> bool {
        let Some(saved) = self.remembered.get(&id).cloned() else {
            return false;
        };
        // As one that was let go: where rotated files are many, they would keep those with something in them waiting.
        let done = candidate.of.is_some() && stamp.0 == saved.mark.offset && self.age(stamp) >= GRACE;
        if !done && !self.has_room(now) {
            self.counts.refused.add(1);
            self.again |= candidate.of.is_some();
            return true; // at a later look
        }
        let file = match open(real, id) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => {
                self.again = true;
                return true;
            }
            Err(error) => Err(error),
        };
        match file.and_then(|file| Tail::resume(file, &saved.mark)) {
            Ok(Some(tail)) => {
                self.remembered.remove(&id);
                let origin = candidate.of.as_ref().unwrap_or(&candidate.path).clone();
                self.follow(id, origin, candidate.of.is_some(), Begin::at(tail, false), now);
                if done {
                    self.close(id);
                }
                true
            }
            Ok(None) => {
                self.remembered.remove(&id);
                self.forget(saved.path, saved.mark);
                false
            }
            Err(_) => {
                self.counts.unreadable.add(1);
                true // at a later look
            }
        }
    }

    pub(super) fn forget(&mut self, path: PathBuf, mark: Mark) {
        if self.forgotten.len() >= FORGOTTEN {
            self.forgotten.swap_remove(0);
        }
        self.forgotten.push((path, mark));
    }

    /// A file that nobody knows.
    fn appear(
        &mut self,
        candidate: Candidate,
        real: &Path,
        id: FileId,
        stamp: (u64, i128),
        now: Duration,
        marks: &Marks,
    ) {
        let origin = candidate.of.as_ref().unwrap_or(&candidate.path).clone();
        let since = self.since.get(&origin).copied().unwrap_or(self.looked);
        let changed = u64::try_from(stamp.1 / 1_000_000).unwrap_or(0);
        // What was rotated away before the file was followed is history.
        if self.copies.contains_key(&id) || candidate.of.is_some() && (changed < since || stamp.0 == 0) {
            return;
        }
        if self.files.len() >= self.settings.limits.files || !self.has_room(now) {
            self.counts.refused.add(1);
            self.again |= candidate.of.is_some();
            return;
        }
        let file = match open(real, id) {
            Ok(Some(file)) => file,
            Ok(None) => {
                self.again = true;
                return;
            }
            Err(_) => {
                self.counts.unreadable.add(1);
                return;
            }
        };
        let begun = self.begin(&candidate, &file, stamp.0, marks);
        match begun {
            Ok(Some(begin)) => self.follow(id, origin, candidate.of.is_some(), begin, now),
            Ok(None) if self.copies.len() < COPIES => {
                self.copies.insert(id, (candidate, file, now));
                self.again = true;
            }
            Ok(None) => {
                let begin = Begin::at(Tail::begin(file), false);
                self.follow(id, origin, candidate.of.is_some(), begin, now);
            }
            Err(_) => self.counts.unreadable.add(1),
        }
    }

    /// Logs of pods of which something else is known than when they were found: what is read from now on has it.
    fn describe_anew(&mut self) {
        let Some(changes) = self.settings.pods.as_ref().map(Pods::changes) else {
            return;
        };
        if std::mem::replace(&mut self.pod_changes, changes) == changes {
            return;
        }
        for file in self.files.values_mut() {
            let source = self.settings.describe(&file.path);
            if source.format == Format::Container && source.resource != file.feed.source.resource {
                file.feed.source = Arc::new(source);
            }
        }
    }

    pub(super) fn follow(&mut self, id: FileId, path: PathBuf, away: bool, mut begin: Begin, now: Duration) {
        let source = Arc::new(self.settings.describe(&path));
        let mut feed = Feed::new(source, self.counts.clone(), &self.settings);
        feed.skips = begin.within.then_some(Skip::Begun);
        let tracker = Arc::new(begin.tracker(self.unsettled.clone()));
        begin.wait(&tracker);
        let mut tail = begin.tail;
        let mark = tail.mark();
        let stamp = tail.file.metadata().map_or((0, 0), |metadata| stamp(&metadata));
        // A rotated file that nobody wrote to for a while needs not be held as if it were written to now.
        let since = if away { now.saturating_sub(self.age(stamp)) } else { now };
        let file = Follow {
            path,
            feed,
            told: None,
            tracker,
            tail: Some(tail),
            mark,
            past: Vec::new(),
            size: stamp.0.max(mark.offset),
            stamp: (0, 0),
            grew: since,
            due: now,
            away: away.then_some(since),
            found: true,
        };
        self.files.insert(id, file);
        self.ring.push(id);
        self.counts.open.add(1);
    }

    /// How long nobody wrote to a file.
    fn age(&self, stamp: (u64, i128)) -> Duration {
        let changed = u64::try_from(stamp.1 / 1_000_000).unwrap_or(u64::MAX);
        Duration::from_millis(self.wall.saturating_sub(changed))
    }
}

/// Opens the file that was looked at. `None`: another one has its name by now.
fn open(path: &Path, id: FileId) -> io::Result<Option<File>> {
    // A pipe that took its place must not stop everybody.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    Ok((metadata.is_file() && FileId::of(&metadata) == id).then_some(file))
}

/// What this thread had of the processor so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
