//! Facts of a living process, read from `/proc`: `stat`, `cmdline`, `environ`, `cgroup` and the link `exe`.
//!
//! A pid is reused sooner or later, so `stat` is read before the other files and once more after them: what was read
//! belongs to the process that was asked for only when its start time stands in both. Own parsing where `procfs` has some:
//! its `Stat` converts 52 fields and copies, three are wanted here on a path that an exec storm reaches; `cgroup` is read
//! as text.

use super::super::container::place::Places;
use super::super::service::Facts;
use super::super::service::declared::Declared;
use super::super::service::program::Program;
use super::super::service::text;
use crate::host::Host;
use crate::signal::ProcessKey;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Nanoseconds of a clock tick in `/proc/PID/stat`: `USER_HZ` is 100 on every architecture that is built for.
pub const TICK: u64 = 10_000_000;
/// Bytes of `cmdline` that are read: a class path comes before the class.
const CMDLINE_MAX: u64 = 64 << 10;
/// Bytes of `environ` that are read.
const ENVIRON_MAX: u64 = 256 << 10;
/// Bytes of `cgroup` and `stat` that are read.
const TEXT_MAX: u64 = 16 << 10;

/// What became of looking at a process.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It lives; its facts and its parent's pid.
    Facts(Facts, u32),
    /// It is gone, or its pid is another process' now. A zombie has its `comm` left.
    Gone(Option<Box<str>>),
    /// `/proc` did not say (no permission, hidden).
    Failed,
}

/// Reads `/proc`, with its buffer kept.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    errors: u64,
}

impl Reader {
    /// Files that could not be read although their process lives.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Whether the process lives, `None` when `/proc` does not say. A zombie lives no more.
    pub fn lives(&mut self, host: &Host, key: ProcessKey) -> Option<bool> {
        let path = host.proc.join(key.pid.to_string()).join("stat");
        match self.read(path, TEXT_MAX) {
            Ok(()) => Some(stat(&self.buffer).is_some_and(|stat| stat.is(key) && stat.lives)),
            Err(error) => is_gone(&error).then_some(false),
        }
    }

    /// Whether the process lives and runs another executable than `exe`, a path as [`Program`] keeps it.
    pub fn runs_other(&mut self, host: &Host, key: ProcessKey, exe: &str) -> bool {
        let link = std::fs::read_link(host.proc.join(key.pid.to_string()).join("exe"));
        link.is_ok_and(|link| Program::new(link.as_os_str().as_bytes(), b"", || None).exe.as_deref() != Some(exe))
            && self.lives(host, key) == Some(true)
    }

    /// Looks at a process. `cgroup` is its version 2 cgroup id, 0 when not known.
    pub fn look(&mut self, host: &Host, places: &mut Places, key: ProcessKey, cgroup: u64) -> Look {
        let dir = host.proc.join(key.pid.to_string());
        let (comm, parent) = match self.read(dir.join("stat"), TEXT_MAX) {
            Ok(()) => match stat(&self.buffer).filter(|stat| stat.is(key)) {
                Some(stat) => {
                    let comm = text::clean(stat.comm).map(String::into_boxed_str);
                    if !stat.lives {
                        return Look::Gone(comm);
                    }
                    (comm, stat.parent)
                }
                None => return Look::Gone(None),
            },
            Err(error) if is_gone(&error) => return Look::Gone(None),
            Err(_) => {
                self.errors += 1;
                return Look::Failed;
            }
        };
        let exe = self.optional(std::fs::read_link(dir.join("exe")));
        let exe = exe.unwrap_or_default();
        let mut program = Program::default();
        if self.whole(dir.join("cmdline"), CMDLINE_MAX) {
            let cwd = || {
                Some(
                    std::fs::read_link(dir.join("cwd"))
                        .ok()?
                        .as_os_str()
                        .as_bytes()
                        .to_vec(),
                )
            };
            program = Program::new(exe.as_os_str().as_bytes(), &self.buffer, cwd);
        }
        let mut declared = None;
        if self.whole(dir.join("environ"), ENVIRON_MAX) {
            declared = Declared::parse(&self.buffer);
        }
        let mut place = None;
        if self.whole(dir.join("cgroup"), TEXT_MAX) {
            place = Some(places.of(host, &String::from_utf8_lossy(&self.buffer), cgroup));
        }
        if self.lives(host, key) == Some(false) {
            return Look::Gone(comm);
        }
        let facts = Facts {
            comm,
            program,
            declared,
            place,
        };
        Look::Facts(facts, parent)
    }

    /// Who has a pid now; its start time is that of `/proc`, to the tick.
    pub fn key(&mut self, host: &Host, pid: u32) -> Option<ProcessKey> {
        self.read(host.proc.join(pid.to_string()).join("stat"), TEXT_MAX).ok()?;
        let start = stat(&self.buffer)?.start.checked_mul(TICK)?;
        Some(ProcessKey { pid, start })
    }

    fn whole(&mut self, path: PathBuf, limit: u64) -> bool {
        let read = self.read(path, limit);
        self.optional(read).is_some()
    }

    fn optional<T>(&mut self, read: io::Result<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                // A kernel thread has no `exe`; anything else that is gone is found out by the second `stat`.
                self.errors += u64::from(!is_gone(&error));
                None
            }
        }
    }

    fn read(&mut self, path: PathBuf, limit: u64) -> io::Result<()> {
        self.buffer.clear();
        // A huge environment must not stay.
        self.buffer.shrink_to(TEXT_MAX as usize);
        File::open(path)?.take(limit).read_to_end(&mut self.buffer).map(drop)
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

struct Stat<'a> {
    comm: &'a [u8],
    lives: bool,
    parent: u32,
    start: u64,
}

impl Stat<'_> {
    /// Within one tick: the kernel rounds down, and a time namespace may shift by less than one.
    fn is(&self, key: ProcessKey) -> bool {
        (key.start / TICK).abs_diff(self.start) <= 1
    }
}

/// `pid (comm) state ppid …`, threads in field 20 (a leader that ended before its threads is a zombie that lives), start time in field 22 (proc_pid_stat(5)). The name may hold anything, parentheses too.
fn stat(text: &[u8]) -> Option<Stat<'_>> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let comm = text.get(open + 1..close)?;
    let mut fields = std::str::from_utf8(&text[close + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let threads: u64 = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        comm,
        lives: !matches!(state, "Z" | "X" | "x") || threads > 1,
        parent,
        start: fields.nth(1)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_files() {
        let rest = "9 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let check = |text: String, comm: &[u8], lives: bool| {
            let stat = stat(text.as_bytes()).expect("a stat line");
            assert_eq!(
                (stat.comm, stat.lives, stat.parent, stat.start),
                (comm, lives, 9, 4711),
                "{text}"
            );
        };
        check(format!("42 (shop) S {rest}"), b"shop", true);
        check(format!("42 (a) R (b) S {rest}\n"), b"a) R (b", true);
        check(format!("42 () Z {rest}"), b"", false);
        check(format!("42 () Z {}", rest.replace("20 0 1 0", "20 0 2 0")), b"", true);
        for broken in [
            "",
            "42",
            "42 (",
            "42 )(",
            "42 (shop) S 1 2 3",
            &format!("42 (x) S {}", rest.replace("4711", "x")),
        ] {
            assert!(stat(broken.as_bytes()).is_none(), "{broken}");
        }
    }

    #[test]
    fn start_times_agree_within_a_tick() {
        let stat = Stat {
            comm: b"",
            lives: true,
            parent: 1,
            start: 100,
        };
        let key = |start| ProcessKey { pid: 1, start };
        assert!(stat.is(key(100 * TICK + 9_999_999)));
        assert!(stat.is(key(99 * TICK)));
        assert!(!stat.is(key(102 * TICK)));
        assert!(!stat.is(key(98 * TICK + 9_999_999)));
    }
}
