//! What programs write to their standard output and error where no file takes it: terminals, pipes, `/dev/null`, Unix sockets.

use super::{Alternative, CALL, Hook, Probe, Program};
use crate::kernel::tables::{TableError, Tables};
use crate::signal::{ProcessKey, Stream};
use aya::maps::{HashMap, MapData};
use onlooker_common::layout::*;
use onlooker_common::writes::{Lost, STDERR, STDOUT, StreamKey, WriterKey, verdict};

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: NAME,
    loses: "what programs write to terminals, pipes and /dev/null",
    default: false,
    alternatives: &[
        Alternative {
            name: "tp/sys_exit",
            programs: &[Program {
                name: "sys_writes_tp",
                hook: Hook::Tracepoint("raw_syscalls", "sys_exit"),
            }],
            again: &[AGAIN],
            needs: &[CALL, NEEDS, &[EXIT_RET]],
            undivided: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sys_exit",
            programs: &[Program {
                name: "sys_writes",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            again: &[AGAIN],
            needs: &[CALL, NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sys_exit",
            programs: &[Program {
                name: "sys_writes_raw",
                hook: Hook::RawTracepoint("sys_exit"),
            }],
            needs: &[CALL, NEEDS],
            ..Alternative::BASE
        },
    ],
    maps: &["WRITERS", "WRITES_LOST"],
    since: "5.8 and later",
    ..Probe::BASE
};

/// Name of the probe.
pub const NAME: &str = "writes";

const AGAIN: Program = Program {
    name: "sys_writes_again",
    hook: Hook::BtfTracepoint("sys_exit"),
};

const NEEDS: &[usize] = &[
    TASK_FILES,
    FILES_FDT,
    FDT_FD,
    FDT_MAX,
    FILE_INODE,
    INODE_MODE,
    FILE_PRIVATE,
    SOCKET_SK,
    SK_FAMILY,
];

/// The kernel side's tables of writers.
pub struct Writers {
    wanted: HashMap<MapData, WriterKey, u32>,
    lost: HashMap<MapData, StreamKey, Lost>,
}

impl Writers {
    /// Takes them.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn take(tables: &mut Tables) -> Result<Writers, TableError> {
        Ok(Writers {
            wanted: tables.hash("WRITERS")?,
            lost: tables.hash("WRITES_LOST")?,
        })
    }

    /// From now on writes of a process are told, or not. Where the kernel refuses to note it they are told, as those of unknown processes.
    pub fn judge(&mut self, process: ProcessKey, wanted: bool) {
        let verdict = if wanted { verdict::TELL } else { verdict::PASS };
        if let Err(error) = self.wanted.insert(writer(process), verdict, 0) {
            tracing::debug!(%error, process.pid, "whether writes of a process are wanted cannot be told to the kernel side");
        }
    }

    /// It is not known any more whether writes of a process are wanted: it is another program now, or ended.
    pub fn forget(&mut self, process: ProcessKey) {
        let _ = self.wanted.remove(&writer(process)); // it may have been evicted
    }

    /// Bytes of a stream that were not told in its life, which is over: why, as [`Lost`] has it.
    pub fn lost(&mut self, process: ProcessKey, stream: Stream) -> Lost {
        let key = StreamKey {
            start: process.start,
            tgid: process.pid,
            fd: match stream {
                Stream::Stdout => STDOUT,
                Stream::Stderr => STDERR,
            },
        };
        let lost = self.lost.get(&key, 0).unwrap_or_default();
        if lost != Lost::NONE {
            let _ = self.lost.remove(&key);
        }
        lost
    }
}

fn writer(process: ProcessKey) -> WriterKey {
    WriterKey {
        start: process.start,
        tgid: process.pid,
        pad: 0,
    }
}
