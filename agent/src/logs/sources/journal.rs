//! The journal of systemd, read from a `journalctl` of the host that follows it: it knows all of the journal's formats and
//! compressions, which libsystemd would have to be linked for.

mod entry;
mod format;
mod groups;

use super::counts::SourceCounts;
use super::feed::Batch;
use super::sender::Sender;
use super::settings::{Journal, Settings, StartAt};
use super::thread::Order;
use super::tracker::{Open, Tracker};
use entry::{Entry, Sources};
use format::Parser;
use groups::Groups;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longest pause: how soon an order to end is heard.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
/// Pause while there is no room.
const FULL: Duration = Duration::from_millis(10);
/// Pause before the program is started again; doubled each time it ends.
const RESTART: Duration = Duration::from_secs(1);
/// The longest such pause.
const RESTART_MAX: Duration = Duration::from_secs(60);

/// The journal's thread.
pub(super) struct Reading {
    pub(super) settings: Settings,
    pub(super) journal: Journal,
    pub(super) sender: Sender,
    pub(super) tracker: Arc<Tracker<Option<String>>>,
    pub(super) unsettled: Open,
    pub(super) order: Arc<Order>,
    pub(super) fresh: bool,
}

/// How far it was read.
struct Place {
    cursor: Option<String>,
    /// What is held of it.
    groups: Groups,
}

/// Arguments of the program. Without a cursor: all there is, or, at the very first start, what comes from now on.
fn arguments(settings: &Settings, cursor: Option<&str>, fresh: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["--output=export", "--follow", "--no-pager", "--quiet"]
        .map(OsString::from)
        .into();
    match cursor {
        Some(cursor) => arguments.extend([format!("--after-cursor={cursor}").into(), "--no-tail".into()]),
        None if fresh && settings.start == StartAt::End => arguments.push("--lines=0".into()),
        None => arguments.push("--no-tail".into()),
    }
    if settings.host.root != Path::new("/") {
        let mut folder = OsString::from("--directory=");
        folder.push(settings.host.root.join("var/log/journal"));
        arguments.push(folder);
    }
    arguments
}

/// Ends with us.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

impl Reading {
    /// Reads until told otherwise; `cursor`: where to begin. In the end what is held is handed on.
    pub(super) fn run(&mut self, cursor: Option<String>) {
        let begun = Instant::now();
        let mut place = Place {
            cursor,
            groups: Groups::new(&self.settings, self.sender.counts.clone()),
        };
        self.read(&mut place, begun);
        self.flush(&mut place, Some(Duration::MAX), begun.elapsed());
        self.order.rested();
    }

    fn read(&mut self, place: &mut Place, begun: Instant) {
        let mut sources = Sources::new(&self.settings);
        let mut pause = RESTART;
        let mut told = false;
        while self.order.reads() {
            let before = place.cursor.clone();
            let error = self.follow(place, &mut sources, begun).err();
            if !self.order.reads() {
                return;
            }
            self.sender.counts.journal_ends.add(1);
            if !std::mem::replace(&mut told, true) {
                let error = error.map_or_else(|| "it ended by itself".to_owned(), |error| error.to_string());
                tracing::warn!(
                    program = %self.journal.program.display(),
                    error,
                    "cannot follow the journal; it is tried again now and then"
                );
            }
            pause = if place.cursor == before {
                (pause * 2).min(RESTART_MAX)
            } else {
                RESTART
            };
            let until = Instant::now() + pause;
            while self.order.reads() && Instant::now() < until {
                std::thread::sleep(FULL);
            }
        }
    }

    /// Follows the journal until the program ends or nobody wants it any more.
    fn follow(&mut self, place: &mut Place, sources: &mut Sources, begun: Instant) -> io::Result<()> {
        let arguments = arguments(&self.settings, place.cursor.as_deref(), self.fresh);
        let mut command = Command::new(&self.journal.program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut program = Program(command.spawn()?);
        let Some(mut output) = program.0.stdout.take() else {
            return Ok(()); // it was asked for
        };
        let mut parser = Parser::new(self.settings.limits.line);
        let mut buffer = vec![0; self.settings.limits.turn];
        while self.order.reads() {
            let now = begun.elapsed();
            self.flush(place, now.checked_sub(place.groups.wait()), now);
            if !waits_for(&output)? {
                continue;
            }
            let count = output.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let entries = parser.push(buffer.get(..count).unwrap_or_default());
            self.sender.counts.cut_bytes.add(std::mem::take(&mut parser.cut));
            if !self.hand_on(entries, place, sources, begun.elapsed()) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands entries on; `false`: the agent ends.
    fn hand_on(&mut self, entries: Vec<Entry>, place: &mut Place, sources: &mut Sources, now: Duration) -> bool {
        if entries.is_empty() {
            return true;
        }
        self.sender.turn(now);
        while self.unsettled.load(Ordering::Relaxed) >= self.settings.limits.unsettled {
            self.sender.counts.waits_for_settling.add(1);
            if !rests(&self.order) {
                return false;
            }
        }
        let Place { cursor, groups } = place;
        let mut batch = Batch {
            place: self.tracker.begin(),
            sender: &mut self.sender,
            tracker: &self.tracker,
            sent: 0,
        };
        let mut reads = true;
        'entries: for entry in entries {
            let counts: &SourceCounts = &batch.sender.counts;
            let source = (!sources.is_mine(&entry)).then(|| sources.of(&entry));
            let (lines, bytes) = (&counts.lines, &counts.bytes);
            lines.add(1);
            bytes.add(entry.bytes);
            while let Some(source) = &source
                && !groups.take(&entry, source, cursor.as_ref(), &mut batch)
            {
                batch.sender.counts.waits_for_room.add(1);
                if !rests(&self.order) {
                    reads = false;
                    break 'entries;
                }
            }
            *cursor = entry.cursor.or(cursor.take());
        }
        let sent = batch.sent;
        self.tracker.end(sent, groups.resume(cursor.as_ref()));
        reads
    }

    /// Hands on the groups to which nothing came since that time, as far as there is room.
    fn flush(&mut self, place: &mut Place, since: Option<Duration>, now: Duration) {
        if !place.groups.holds(since) {
            return;
        }
        self.sender.turn(now);
        let mut batch = Batch {
            place: self.tracker.begin(),
            sender: &mut self.sender,
            tracker: &self.tracker,
            sent: 0,
        };
        place.groups.flush(since, &mut batch);
        let sent = batch.sent;
        self.tracker.end(sent, place.groups.resume(place.cursor.as_ref()));
    }
}

/// Waits a little; `false`: the agent ends.
fn rests(order: &Order) -> bool {
    std::thread::sleep(FULL);
    order.reads()
}

fn waits_for(output: &ChildStdout) -> io::Result<bool> {
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    match poll(&mut fds, Some(&PAUSE)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
