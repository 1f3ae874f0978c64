//! The agent's own process: CPU, memory and open files, from `/proc/self`.

use crate::host::Host;
use procfs::process::{LimitValue, Process};
use procfs::{FromBufReadSI, KernelStats, ProcResult};

/// What the kernel says of the agent's own process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessStats {
    /// User and system CPU time so far, seconds (`/proc/self/stat`, clock ticks).
    pub cpu_seconds: f64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Virtual memory, bytes.
    pub virtual_bytes: u64,
    /// Most virtual memory that is allowed, bytes; `None`: no limit.
    pub virtual_max_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Most file descriptors that are allowed; `None`: no limit.
    pub max_fds: Option<u64>,
    /// Start of the process since boot, seconds.
    pub started_after_boot: f64,
}

impl ProcessStats {
    /// Reads the present state.
    ///
    /// # Errors
    /// `/proc/self` cannot be read or understood.
    pub fn read(host: &Host) -> ProcResult<ProcessStats> {
        let process = Process::new_with_root(host.proc.join("self"))?;
        let stat = process.stat()?;
        let limits = process.limits()?;
        let ticks = procfs::ticks_per_second() as f64;
        let soft = |limit: LimitValue| match limit {
            LimitValue::Unlimited => None,
            LimitValue::Value(value) => Some(value),
        };
        Ok(ProcessStats {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            virtual_max_bytes: soft(limits.max_address_space.soft_limit),
            open_fds: process.fd_count()? as u64,
            max_fds: soft(limits.max_open_files.soft_limit),
            started_after_boot: stat.starttime as f64 / ticks,
        })
    }
}

/// When the host started, Unix time in seconds (`btime` of `/proc/stat`).
///
/// # Errors
/// `/proc/stat` cannot be read or understood.
pub fn boot_time(host: &Host) -> ProcResult<u64> {
    let file = std::fs::File::open(host.proc.join("stat"))?;
    let stats = KernelStats::from_buf_read(std::io::BufReader::new(file), procfs::current_system_info())?;
    Ok(stats.btime)
}
