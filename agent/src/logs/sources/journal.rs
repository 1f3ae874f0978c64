//! The journal of systemd, read from a `journalctl` of the host that follows it: it knows all of the journal's formats and
//! compressions, which libsystemd would have to be linked for.

mod entry;
mod format;

use super::counts::SourceCounts;
use super::sender::Sender;
use super::settings::{Journal, Settings, StartAt};
use super::thread::Order;
use super::tracker::{Open, Tracker};
use crate::logs::Receipt;
use entry::{Entry, Sources};
use format::Parser;
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
    /// Reads until told otherwise; `cursor`: where to begin.
    pub(super) fn run(&mut self, mut cursor: Option<String>) {
        let begun = Instant::now();
        let mut sources = Sources::new(&self.settings);
        let mut pause = RESTART;
        let mut told = false;
        while self.order.reads() {
            let before = cursor.clone();
            let error = self.follow(&mut cursor, &mut sources, begun).err();
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
            pause = if cursor == before {
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
    fn follow(&mut self, cursor: &mut Option<String>, sources: &mut Sources, begun: Instant) -> io::Result<()> {
        let arguments = arguments(&self.settings, cursor.as_deref(), self.fresh);
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
            if !waits_for(&output)? {
                continue;
            }
            let count = output.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let entries = parser.push(buffer.get(..count).unwrap_or_default());
            self.sender.counts.cut_bytes.add(std::mem::take(&mut parser.cut));
            if !self.hand_on(entries, cursor, sources, begun) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands entries on; `false`: the agent ends.
    fn hand_on(
        &mut self,
        entries: Vec<Entry>,
        cursor: &mut Option<String>,
        sources: &mut Sources,
        begun: Instant,
    ) -> bool {
        if entries.is_empty() {
            return true;
        }
        self.sender.turn(begun.elapsed());
        while self.unsettled.load(Ordering::Relaxed) >= self.settings.limits.unsettled {
            self.sender.counts.waits_for_settling.add(1);
            if !self.rests() {
                return false;
            }
        }
        let place = self.tracker.begin();
        let mut sent = 0;
        for entry in entries {
            let counts: &SourceCounts = &self.sender.counts;
            counts.lines.add(1);
            counts.bytes.add(entry.bytes);
            let source = (!sources.is_mine(&entry)).then(|| sources.of(&entry));
            while source.is_some() && !self.sender.has_room(entry.message.len()) {
                self.sender.counts.waits_for_room.add(1);
                if !self.rests() {
                    self.tracker.end(sent, cursor.clone());
                    return false;
                }
            }
            if let Some(source) = source {
                let receipt = Receipt::new(self.tracker.clone(), place);
                let mut about = self.sender.about(None, entry.time);
                about.severity = entry.severity();
                let went = self.sender.send(&source, about, &entry.message, receipt);
                sent += u32::from(went);
            }
            *cursor = entry.cursor.or(cursor.take());
        }
        self.tracker.end(sent, cursor.clone());
        true
    }

    /// Waits a little; `false`: the agent ends.
    fn rests(&self) -> bool {
        std::thread::sleep(FULL);
        self.order.reads()
    }
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
