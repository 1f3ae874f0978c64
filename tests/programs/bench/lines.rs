//! Files to which numbered lines are written at a fixed rate, and which are rotated again and again if that is asked for: those with
//! an even number by renaming, the others by copying and truncating (`copytruncate` of logrotate). Of either, half get names in a chain
//! (`0.log.1` becomes `0.log.2`), half a name for ever (`0.log-000001`, as by `dateext`).
//!
//! Who writes waits while a file is copied and truncated: what is written between the two is lost by the nature of `copytruncate`.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often lines are written.
const TICK: Duration = Duration::from_millis(10);
/// Bytes of a line, its end included.
const LINE: usize = 200;

/// What is asked for.
pub(crate) struct Plan {
    /// Where the files are: `N.log`.
    pub(crate) folder: PathBuf,
    /// How many.
    pub(crate) files: usize,
    /// Lines a second, of all together.
    pub(crate) per_second: f64,
    /// How often each is rotated; zero: never.
    pub(crate) rotate: Duration,
    /// Rotated ones that are kept of each.
    pub(crate) keep: usize,
}

/// Writes until standard input ends; then tells how many lines each file had, and how many rotations there were.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.files > 0 && plan.per_second > 0.0, "no files or no lines");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = scope.spawn(|| write(plan, &over));
        let held = crate::hold(&json!({ "files": plan.files }));
        over.store(true, Ordering::Release);
        let (lines, rotations) = work.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        println!("{}", json!({ "lines": lines, "rotations": rotations }));
        held
    })
}

struct Log {
    number: usize,
    path: PathBuf,
    file: File,
    next: u64,
    rotated: u32,
}

fn write(plan: &Plan, over: &AtomicBool) -> Result<(Vec<u64>, u32)> {
    let mut logs = Vec::with_capacity(plan.files);
    for number in 0..plan.files {
        let path = plan.folder.join(format!("{number}.log"));
        let file = open(&path)?;
        logs.push(Log {
            number,
            path,
            file,
            next: 0,
            rotated: 0,
        });
    }
    let each = plan.per_second / plan.files as f64;
    let started = Instant::now();
    for tick in 1.. {
        let last = over.load(Ordering::Acquire);
        for log in &mut logs {
            // What is due now; each at its own moment of a second.
            let ahead = log.number as f64 / plan.files as f64;
            let due = (started.elapsed().as_secs_f64() * each + ahead) as u64;
            log.write_until(due)?;
            if !plan.rotate.is_zero() && !last {
                let phase = plan.rotate.mul_f64(ahead);
                let due = started.elapsed().saturating_sub(phase).as_nanos() / plan.rotate.as_nanos();
                if due > u128::from(log.rotated) {
                    log.rotate(plan.keep)?;
                }
            }
        }
        if last {
            break;
        }
        std::thread::sleep((TICK * tick).saturating_sub(started.elapsed())); // the rate
    }
    let rotations = logs.iter().map(|log| log.rotated).sum();
    Ok((logs.iter().map(|log| log.next).collect(), rotations))
}

fn open(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| path.display().to_string())
}

impl Log {
    fn write_until(&mut self, due: u64) -> Result<()> {
        if due <= self.next {
            return Ok(());
        }
        let mut text = String::with_capacity(LINE * (due - self.next) as usize);
        for number in self.next..due {
            text.push_str(&line(self.number, number));
        }
        // Writes end within lines.
        let (head, tail) = text.as_bytes().split_at(text.len() - 1 - (due % 90) as usize);
        self.file.write_all(head)?;
        self.file.write_all(tail)?;
        self.next = due;
        Ok(())
    }

    fn rotate(&mut self, keep: usize) -> Result<()> {
        self.rotated += 1;
        let newest = match self.number % 4 / 2 {
            0 => {
                let old = |n: usize| self.path.with_extension(format!("log.{n}"));
                for n in (1..keep).rev() {
                    let _ = fs::rename(old(n), old(n + 1)); // there are not so many at first
                }
                old(1)
            }
            _ => {
                let old = |n: u32| self.path.with_extension(format!("log-{n:06}"));
                if let Some(gone) = self.rotated.checked_sub(keep as u32) {
                    let _ = fs::remove_file(old(gone)); // likewise
                }
                old(self.rotated)
            }
        };
        match self.number % 2 {
            0 => {
                fs::rename(&self.path, newest)?;
                self.file = open(&self.path)?;
            }
            _ => {
                fs::copy(&self.path, newest)?;
                self.file.set_len(0)?;
            }
        }
        Ok(())
    }
}

/// As a structured logger writes it, with the time that it has.
fn line(writer: usize, number: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ writer as u64;
    let mut line = format!(
        "{{\"ts\":{},\"level\":\"info\",\"msg\":\"order accepted\",\"writer\":{writer},\"seq\":{number},\"customer\":\"c-{}\",\
         \"amount\":{}.5,\"path\":\"/api/orders\",\"status\":201,\"note\":\"{mixed:x}",
        now.as_millis(),
        mixed % 99_991,
        mixed % 997,
    );
    while line.len() < LINE - 3 {
        line.push('x');
    }
    line.push_str("\"}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_written_once_whatever_the_rotation() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..4 {
            let path = folder.path().join(format!("{number}.log"));
            let mut log = Log {
                number,
                file: open(&path).unwrap(),
                path,
                next: 0,
                rotated: 0,
            };
            for due in [3, 3, 10, 11] {
                log.write_until(due).unwrap();
                log.rotate(9).unwrap();
            }
            let mut all = String::new();
            for n in 1..=4 {
                let name = match number < 2 {
                    true => format!("{number}.log.{}", 5 - n),
                    false => format!("{number}.log-{n:06}"),
                };
                all += &fs::read_to_string(folder.path().join(name)).unwrap();
            }
            let numbers = all.lines().map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!((line.len() + 1, &value["writer"]), (LINE, &json!(number)));
                value["seq"].as_u64().unwrap()
            });
            assert_eq!(numbers.collect::<Vec<_>>(), (0..11).collect::<Vec<_>>());
        }
    }
}
