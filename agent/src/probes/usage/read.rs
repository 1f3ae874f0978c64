//! Readings of living processes from `/proc`. Few calls, one buffer, paths from a descriptor of `/proc` on; own parsing, for
//! `procfs` parses 52 fields and copies.

use onlooker_common::usage;
use rustix::fs::{AtFlags, Mode, OFlags};
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Nanoseconds of a clock tick in `/proc/PID/stat`: `USER_HZ` is 100 on every architecture that is built for.
pub(super) const TICK: u64 = 10_000_000;
/// `PF_KTHREAD` in `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// Counters of a process.
pub(super) const COUNTERS: usize = 8;

/// What only grows while a process lives: nanoseconds of user and system time, minor and major page faults, voluntary and
/// involuntary context switches, bytes read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals(pub [u64; COUNTERS]);

impl Totals {
    /// What the kernel summed up, by index of `onlooker_common::usage`. The scheduler's time is split by user and system time as
    /// sampled by ticks, as `cputime_adjust` does.
    pub(super) fn of(used: &[u64; usage::WORDS]) -> Totals {
        let (runtime, user, system) = (used[usage::RUNTIME], used[usage::USER], used[usage::SYSTEM]);
        let sampled = u128::from(user) + u128::from(system);
        let system = match sampled {
            0 => 0,
            _ => (u128::from(runtime) * u128::from(system) / sampled) as u64,
        };
        Totals([
            runtime - system,
            system,
            used[usage::MINOR],
            used[usage::MAJOR],
            used[usage::VOLUNTARY],
            used[usage::INVOLUNTARY],
            used[usage::READ],
            used[usage::WRITTEN],
        ])
    }

    /// What came since an earlier reading. User and system time may be split otherwise by then: their sum is what counts.
    pub(super) fn since(&self, earlier: &Totals) -> Totals {
        let mut fresh: [u64; COUNTERS] = std::array::from_fn(|n| self.0[n].saturating_sub(earlier.0[n]));
        let time = (self.0[0].saturating_add(self.0[1])).saturating_sub(earlier.0[0].saturating_add(earlier.0[1]));
        fresh[0] = fresh[0].min(time);
        fresh[1] = time - fresh[0];
        Totals(fresh)
    }

    /// Context switches, of the text of `status`.
    fn take_switches(&mut self, text: &[u8]) {
        self.0[4] = field(text, b"voluntary_ctxt_switches:").unwrap_or_default();
        self.0[5] = field(text, b"nonvoluntary_ctxt_switches:").unwrap_or_default();
    }

    /// Bytes read and written, of the text of `io`.
    fn take_bytes(&mut self, text: &[u8]) {
        self.0[6] = field(text, b"read_bytes:").unwrap_or_default();
        self.0[7] = field(text, b"write_bytes:").unwrap_or_default();
    }

    /// With what came since.
    pub(super) fn and(&self, fresh: &Totals) -> Totals {
        Totals(std::array::from_fn(|n| self.0[n].saturating_add(fresh.0[n])))
    }
}

/// What a process is and has at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// Start, ticks since boot.
    pub start: u64,
    /// `R`, `S`, `D`, `Z`, …
    pub state: u8,
    /// Threads.
    pub threads: u64,
    /// Bytes of address space.
    pub size: u64,
    /// Bytes in memory.
    pub resident: u64,
    /// Bytes swapped out.
    pub swapped: u64,
    /// Bytes in memory and swapped out, what is shared divided by those who share it; `None` when not to be read.
    pub proportional: Option<(u64, u64)>,
    /// Open file descriptors, `None` when not to be read.
    pub files: Option<u64>,
    /// What only grows.
    pub totals: Totals,
}

impl Reading {
    /// Whether nothing shows that it ran since an earlier reading: CPU time (to the tick), page faults, state, threads and memory
    /// are as they were.
    pub(super) fn rested(&self, earlier: &Reading) -> bool {
        let fresh = self.totals.since(&earlier.totals).0;
        let what = |of: &Reading| (of.state, of.threads, of.size, of.resident);
        fresh[..4] == [0; 4] && what(self) == what(earlier)
    }
}

/// Reads `/proc`.
pub(super) struct ProcReader {
    proc: PathBuf,
    /// The directory; `None`: it cannot be opened.
    dir: Option<OwnedFd>,
    buffer: Vec<u8>,
    page: u64,
    /// The size of the directory `fd` is the number of its entries (Linux 6.2).
    counted: bool,
    /// The kernel counts bytes read and written (`CONFIG_TASK_IO_ACCOUNTING`), here as in `signal_struct.ioac`.
    pub(super) accounted: bool,
}

impl ProcReader {
    pub(super) fn new(proc: &Path) -> ProcReader {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        ProcReader {
            proc: proc.to_owned(),
            dir: rustix::fs::open(proc, flags, Mode::empty()).ok(),
            buffer: vec![0; 16 << 10],
            page: procfs::page_size(),
            counted: std::fs::metadata(proc.join("self/fd")).is_ok_and(|fd| fd.len() > 0),
            accounted: ["self/io", "1/io"].iter().any(|file| proc.join(file).exists()),
        }
    }

    /// Pids of all processes.
    pub(super) fn pids(&self) -> Vec<u32> {
        numbers(&self.proc)
    }

    /// Reads `stat` of a process, the cheapest that tells whether it runs; `None` when it is gone or a thread of the kernel's.
    pub(super) fn stat(&mut self, pid: u32) -> Option<Reading> {
        let page = self.page;
        stat(self.file(pid, "stat")?, page)
    }

    /// Adds bytes moved and the number of files.
    pub(super) fn add_files(&mut self, pid: u32, reading: &mut Reading) {
        // What a zombie has left stands in `stat`.
        if self.accounted
            && let Some(text) = self.file(pid, "io")
        {
            reading.totals.take_bytes(text);
        }
        reading.files = match self.counted {
            true => self.size(pid, "fd"),
            false => std::fs::read_dir(self.proc.join(format!("{pid}/fd")))
                .ok()
                .map(|entries| entries.count() as u64),
        };
    }

    /// Adds context switches and swapped memory: of all files `status` costs most.
    pub(super) fn add_status(&mut self, pid: u32, reading: &mut Reading) {
        if let Some(text) = self.file(pid, "status") {
            reading.swapped = field(text, b"VmSwap:").unwrap_or_default().saturating_mul(1024);
            reading.totals.take_switches(text);
        }
    }

    /// Adds memory by its share. The kernel walks all pages of the process for it.
    pub(super) fn add_shares(&mut self, pid: u32, reading: &mut Reading) {
        reading.proportional = self.file(pid, "smaps_rollup").and_then(|text| {
            let bytes = |name: &[u8]| Some(field(text, name)?.saturating_mul(1024));
            Some((bytes(b"Pss:")?, bytes(b"SwapPss:").unwrap_or_default()))
        });
    }

    /// Threads of a process.
    pub(super) fn tids(&self, pid: u32) -> Vec<u32> {
        numbers(&self.proc.join(format!("{pid}/task")))
    }

    /// Name and reading of a thread: CPU time, page faults, context switches, bytes; `None` when it is gone.
    pub(super) fn thread(&mut self, pid: u32, tid: u32) -> Option<(Box<str>, Reading)> {
        let page = self.page;
        let text = self.file(pid, &format!("task/{tid}/stat"))?;
        let mut reading = stat(text, page)?;
        let name = comm(text)?.into();
        if let Some(text) = self.file(pid, &format!("task/{tid}/status")) {
            reading.totals.take_switches(text);
        }
        if self.accounted
            && let Some(text) = self.file(pid, &format!("task/{tid}/io"))
        {
            reading.totals.take_bytes(text);
        }
        Some((name, reading))
    }

    /// How many files a process may have open.
    pub(super) fn most_files(&mut self, pid: u32) -> Option<u64> {
        field(self.file(pid, "limits")?, b"Max open files")
    }

    fn file(&mut self, pid: u32, name: &str) -> Option<&[u8]> {
        let mut room = [0; PATH];
        let file = rustix::fs::openat(
            self.dir.as_ref()?,
            path(&mut room, pid, name)?,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        // The kernel gives each of these files whole in one read.
        let length = rustix::io::read(file.ok()?, &mut self.buffer).ok()?;
        Some(&self.buffer[..length])
    }

    fn size(&self, pid: u32, name: &str) -> Option<u64> {
        let mut room = [0; PATH];
        let path = path(&mut room, pid, name)?;
        let stat = rustix::fs::statat(self.dir.as_ref()?, path, AtFlags::empty());
        u64::try_from(stat.ok()?.st_size).ok()
    }
}

/// Longest path below `/proc`: ten digits, `/task/` and ten more, a name, and NUL.
const PATH: usize = 40;

/// Entries of a directory that are numbers.
fn numbers(dir: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The name in a line of `stat`; it may hold parentheses itself, and bytes that are no text.
fn comm(text: &[u8]) -> Option<String> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    Some(String::from_utf8_lossy(text.get(open + 1..close)?).into_owned())
}

fn path<'a>(room: &'a mut [u8; PATH], pid: u32, name: &str) -> Option<&'a CStr> {
    write!(&mut room[..], "{pid}/{name}\0").ok()?;
    CStr::from_bytes_until_nul(room).ok()
}

/// The first number behind a name at the start of a line.
fn field(text: &[u8], name: &[u8]) -> Option<u64> {
    let line = text
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(name))?;
    std::str::from_utf8(line)
        .ok()?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

/// See proc_pid_stat(5). The name may hold anything, parentheses too.
fn stat(text: &[u8], page: u64) -> Option<Reading> {
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    let mut state = 0;
    // By the manual's numbers.
    let mut numbers = [0u64; 25];
    for (n, word) in (3..25).zip(rest.split_ascii_whitespace()) {
        if n == 3 {
            state = *word.as_bytes().first()?;
        } else {
            // Some are negative; none that is wanted.
            numbers[n] = word.parse().unwrap_or_default();
        }
    }
    if state == 0 || numbers[20] == 0 || numbers[9] & KERNEL_THREAD != 0 {
        return None;
    }
    let mut totals = Totals::default();
    totals.0[0] = numbers[14].saturating_mul(TICK);
    totals.0[1] = numbers[15].saturating_mul(TICK);
    totals.0[2] = numbers[10];
    totals.0[3] = numbers[12];
    Some(Reading {
        start: numbers[22],
        state,
        threads: numbers[20],
        size: numbers[23],
        resident: numbers[24].saturating_mul(page),
        totals,
        ..Reading::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line() {
        let text = b"7 (a) b) S 1 7 7 0 -1 4194560 100 5 3 1 250 50 0 0 20 0 4 0 4711 8192 2 99";
        let reading = stat(text, 4096).unwrap();
        assert_eq!((reading.state, reading.threads, reading.start), (b'S', 4, 4711));
        assert_eq!((reading.size, reading.resident), (8192, 8192));
        assert_eq!(reading.totals.0[..4], [2_500_000_000, 500_000_000, 100, 3]);
        for cut in 0..30 {
            stat(&text[..cut], 4096);
        }
        assert_eq!(
            stat(
                b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0",
                4096
            ),
            None
        );
    }

    #[test]
    fn the_name_in_a_stat_line() {
        assert_eq!(comm(b"7 (a) b) S 1").as_deref(), Some("a) b"));
        assert_eq!(comm(b"7 () S 1").as_deref(), Some(""));
        assert_eq!((comm(b"7 )( S 1"), comm(b"7 S")), (None, None));
    }

    #[test]
    fn fields_of_other_files() {
        let text = b"VmSwap:\t  12 kB\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n";
        assert_eq!(field(text, b"VmSwap:"), Some(12));
        assert_eq!(field(text, b"voluntary_ctxt_switches:"), Some(5));
        assert_eq!(field(text, b"read_bytes:"), None);
        let limits = b"Max open files            1024                 524288               files     \n";
        assert_eq!(field(limits, b"Max open files"), Some(1024));
    }

    #[test]
    fn time_is_split_as_sampled_and_never_goes_back() {
        let mut used = [0; usage::WORDS];
        used[usage::RUNTIME] = 900;
        assert_eq!(Totals::of(&used).0[..2], [900, 0]);
        (used[usage::USER], used[usage::SYSTEM]) = (10, 20);
        let last = Totals::of(&used);
        assert_eq!(last.0[..2], [300, 600]);
        let mut before = Totals::default();
        (before.0[0], before.0[1]) = (320, 400);
        assert_eq!(last.since(&before).0[..2], [0, 180]);
        before.0[0] = 800;
        assert_eq!(last.since(&before).0[..2], [0, 0]);
    }

    #[test]
    fn this_process() {
        let mut reader = ProcReader::new(Path::new("/proc"));
        let pid = std::process::id();
        let mut reading = reader.stat(pid).unwrap();
        reader.add_files(pid, &mut reading);
        reader.add_status(pid, &mut reading);
        assert!(
            reading.resident > 0 && reading.threads > 0 && reading.files > Some(2),
            "{reading:?}"
        );
        assert!(reading.totals.0[4] > 0 || reading.totals.0[5] > 0, "{reading:?}");
        assert!(reader.most_files(pid).is_some() && reader.pids().contains(&pid));
        assert_eq!(reader.stat(u32::MAX), None);
    }

    #[test]
    fn one_that_rests() {
        let before = Reading {
            state: b'S',
            files: Some(7),
            totals: Totals([10, 20, 3, 0, 5, 6, 700, 800]),
            ..Reading::default()
        };
        // Split otherwise, no more of it.
        let mut now = Reading {
            files: None,
            totals: Totals([12, 18, 3, 0, 0, 0, 0, 0]),
            ..before
        };
        assert!(now.rested(&before));
        let fresh = now.totals.since(&before.totals);
        assert_eq!(before.totals.and(&fresh), before.totals);
        now.totals.0[1] = 19;
        assert!(!now.rested(&before));
        let fresh = now.totals.since(&before.totals);
        assert_eq!(before.totals.and(&fresh).0[..2], [11, 20]);
        now.totals.0[1] = 18;
        now.state = b'D';
        assert!(!now.rested(&before));
    }

    /// What reading costs, file by file. Run by hand: `cargo test --release -p onlooker what_reading_costs -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn what_reading_costs() {
        const PROCESSES: usize = 5000;
        let mut sleepers: Vec<_> = (0..PROCESSES)
            .map(|_| std::process::Command::new("sleep").arg("1000").spawn().unwrap())
            .collect();
        let pids: Vec<u32> = sleepers.iter().map(std::process::Child::id).collect();
        let mut reader = ProcReader::new(Path::new("/proc"));
        let mut cost = |name: &str, read: &mut dyn FnMut(&mut ProcReader, u32)| {
            let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            let mut spent = |rounds: u32| {
                let before = cpu();
                for _ in 0..rounds {
                    pids.iter().for_each(|pid| read(&mut reader, *pid));
                }
                let after = cpu();
                let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
                nanos as f64 / f64::from(rounds) / PROCESSES as f64
            };
            let _first = spent(1);
            eprintln!("{name}: {:.2} us a process", spent(3) / 1000.0);
        };
        cost("stat", &mut |reader, pid| {
            reader.stat(pid).unwrap();
        });
        cost("io, fd", &mut |reader, pid| {
            reader.add_files(pid, &mut Reading::default())
        });
        cost("status", &mut |reader, pid| {
            reader.add_status(pid, &mut Reading::default())
        });
        for sleeper in &mut sleepers {
            sleeper.kill().unwrap();
            sleeper.wait().unwrap();
        }
    }
}
