//! What the kernel tells of the maps and programs of this process, by their file descriptors.

use aya::programs::Program;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// `enum bpf_cmd` in `include/uapi/linux/bpf.h`.
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// `struct { … } info` of `union bpf_attr`.
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// `struct bpf_prog_info`, of which only the end is wanted. A kernel that knows less of it leaves the rest as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct ProgramInfo {
    before: [u64; 24],
    run_nanos: u64,
    runs: u64,
    misses: u64,
    verified: u32,
    attached_to: [u32; 2],
    end: u32,
}

/// Bytes of kernel memory that a map holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSize {
    /// Name of the map.
    pub name: String,
    /// Bytes, as the kernel accounts them.
    pub bytes: u64,
}

/// The kernel accounts a map's memory in the `memlock` line of its file descriptor's information.
pub(super) fn size_of_map(name: &str, map: &aya::maps::Map) -> MapSize {
    use aya::maps::Map;
    let data = match map {
        Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data)
        | Map::Array(data) => Some(data),
        _ => None,
    };
    let bytes = data.map_or(0, |data| fd_info(data.fd().as_fd().as_raw_fd(), "memlock:"));
    MapSize {
        name: name.to_owned(),
        bytes,
    }
}

/// What the kernel tells of an attached program (`bpf_prog_get_info_by_fd`): a call, a fifth of what the text of its descriptor
/// (`fdinfo`) costs.
#[derive(Clone, Debug)]
pub struct ProgramStats {
    /// Symbol in the eBPF object.
    pub name: &'static str,
    fd: i32,
    /// The last answer, for a scrape asks four times of each.
    last: Arc<Mutex<Option<(Instant, ProgramInfo)>>>,
}

/// An answer counts for so long.
const FRESH: Duration = Duration::from_millis(10);

/// A line of [`ProgramStats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramStat {
    /// Runs that the kernel skipped because the program was already running on that CPU: what they would have seen is lost.
    Misses,
    /// Runs. Counted while `kernel.bpf_stats_enabled` is 1.
    Runs,
    /// Nanoseconds of all runs. Counted while `kernel.bpf_stats_enabled` is 1.
    RunNanos,
    /// Instructions that the verifier walked (kernel 5.16 and later).
    Verified,
}

impl ProgramStats {
    pub(super) fn of(name: &'static str, program: &Program) -> Option<ProgramStats> {
        let fd = match program {
            Program::BtfTracePoint(program) => program.fd(),
            Program::RawTracePoint(program) => program.fd(),
            Program::TracePoint(program) => program.fd(),
            Program::Iter(program) => program.fd(),
            Program::PerfEvent(program) => program.fd(),
            _ => return None,
        };
        Some(ProgramStats {
            name,
            fd: fd.ok()?.as_fd().as_raw_fd(),
            last: Arc::default(),
        })
    }

    /// Present value, at most 10 ms old; 0 when the kernel does not tell.
    pub fn read(&self, stat: ProgramStat) -> u64 {
        let Ok(info) = self.info() else { return 0 };
        match stat {
            ProgramStat::Misses => info.misses,
            ProgramStat::Runs => info.runs,
            ProgramStat::RunNanos => info.run_nanos,
            ProgramStat::Verified => info.verified.into(),
        }
    }
}

impl ProgramStats {
    fn info(&self) -> io::Result<ProgramInfo> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, info)) = *last
            && at.elapsed() < FRESH
        {
            return Ok(info);
        }
        let info = program_info(self.fd)?;
        *last = Some((Instant::now(), info));
        Ok(info)
    }
}

fn program_info(fd: i32) -> io::Result<ProgramInfo> {
    let mut info = ProgramInfo::default();
    let mut attributes = InfoByFd {
        fd: fd as u32,
        length: size_of::<ProgramInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes up to `length` bytes to `info`, plain numbers; its lengths of arrays are zero, so it writes no
    // arrays. Both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw mut attributes,
            size_of::<InfoByFd>(),
        )
    };
    match result {
        0 => Ok(info),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A number that the kernel tells of a file descriptor of ours.
fn fd_info(fd: i32, key: &str) -> u64 {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
        })
        .unwrap_or(0)
}
