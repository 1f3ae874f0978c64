//! Block IO by device, operation and who asked for it.

use super::stall::{Stalls, WHOSE};
use super::{Alternative, Hook, Probe, Program, Reader, Tools};
use crate::kernel::tables::TableError;
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Shape, Signal};
use onlooker_common::histogram::{SECONDS, WORDS, read};
use onlooker_common::layout::*;
use onlooker_common::stall::{BLOCK_WORDS, SIZE_BOUNDS, SIZES, operation};
use rustc_hash::FxHashMap;
use std::path::PathBuf;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "block",
    loses: "how long block devices take, and for whom",
    alternatives: &[
        Alternative {
            name: "tp_btf/block_rq_insert+issue+complete",
            programs: &[
                Program {
                    name: "block_insert_btf",
                    hook: Hook::BtfTracepoint("block_rq_insert"),
                },
                Program {
                    name: "block_issue_btf",
                    hook: Hook::BtfTracepoint("block_rq_issue"),
                },
                Program {
                    name: "block_complete_btf",
                    hook: Hook::BtfTracepoint("block_rq_complete"),
                },
            ],
            again: &[
                Program {
                    name: "block_insert_btf_again",
                    hook: Hook::BtfTracepoint("block_rq_insert"),
                },
                Program {
                    name: "block_issue_btf_again",
                    hook: Hook::BtfTracepoint("block_rq_issue"),
                },
            ],
            needs: &[WHOSE, NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/block_rq_insert+issue+complete",
            programs: &[
                Program {
                    name: "block_insert_raw",
                    hook: Hook::RawTracepoint("block_rq_insert"),
                },
                Program {
                    name: "block_issue_raw",
                    hook: Hook::RawTracepoint("block_rq_issue"),
                },
                Program {
                    name: "block_complete_raw",
                    hook: Hook::RawTracepoint("block_rq_complete"),
                },
            ],
            needs: &[WHOSE, NEEDS],
            ..Alternative::BASE
        },
    ],
    maps: &["BLOCK_IO", "BLOCK_IO_SPILL", "BLOCK_IO_LOST", "BLOCK_REQUESTS"],
    cost: "1.0 to 1.5 us a request",
    since: "5.8 and later",
    instruments: &[&DURATION, &SIZE, &BYTES, &ERRORS, &UNTIMED],
    reader: Some(make),
    ..Probe::BASE
};

// The disk is a member of the request before 5.15, later of its queue.
const NEEDS: &[usize] = &[
    REQUEST_QUEUE,
    REQUEST_FLAGS,
    REQUEST_BYTES,
    REQUEST_START,
    DISK_MAJOR,
    DISK_MINOR,
];

const LABELS: &[&str] = &["device", "operation"];

static DURATION: Instrument = Instrument {
    name: "onlooker_block_io_duration_seconds",
    unit: "seconds",
    help: "Time from the begin of a request to a block device to its end.",
    shape: Shape::Histogram(&SECONDS),
    labels: LABELS,
    limit: 2000,
    source: "block_rq_complete less request.start_time_ns: time in the queue of the IO scheduler is in it. Service: of who asked \
             first (block_rq_insert or block_rq_issue); what the kernel's own tasks write back has none. A flush that a write asks \
             for is a `flush` of the kernel. Devices without requests of their own (dm, md, zram) are not seen, those below them are.",
};

static SIZE: Instrument = Instrument {
    name: "onlooker_block_io_size_bytes",
    unit: "bytes",
    help: "Sizes of requests to block devices; flushes have none.",
    shape: Shape::Histogram(&SIZE_BOUNDS),
    labels: LABELS,
    limit: 2000,
    source: "block_rq_complete. Of a request that was completed in parts it is the size of the last.",
};

static BYTES: Instrument = Instrument {
    name: "onlooker_block_io_bytes_total",
    unit: "bytes",
    help: "Bytes moved from or to block devices, or discarded.",
    shape: Shape::Counter,
    labels: LABELS,
    limit: 2000,
    source: "block_rq_complete.",
};

static ERRORS: Instrument = Instrument {
    name: "onlooker_block_io_errors_total",
    unit: "",
    help: "Requests to block devices, or parts of them, that failed.",
    shape: Shape::Counter,
    labels: LABELS,
    limit: 2000,
    source: "block_rq_complete with an error.",
};

static UNTIMED: Instrument = Instrument {
    name: "onlooker_block_io_untimed_total",
    unit: "",
    help: "Requests to block devices that are in no histogram of durations: no begin is known.",
    shape: Shape::Counter,
    labels: LABELS,
    limit: 2000,
    source: "block_rq_complete of requests that began before the agent, on devices whose queue/iostats is 0.",
};

struct Block {
    stalls: Stalls<BLOCK_WORDS>,
    /// `/sys/dev/block`.
    devices: PathBuf,
    names: FxHashMap<u32, String>,
}

/// Names of devices that are remembered.
const NAMES: usize = 1024;

fn make(tools: &mut Tools<'_>) -> Result<Box<dyn Reader>, TableError> {
    let devices = tools.config.host.sys.join("dev/block");
    Ok(Box::new(Block {
        stalls: Stalls::take(tools, "block_io", ["BLOCK_IO", "BLOCK_IO_SPILL", "BLOCK_IO_LOST"])?,
        devices,
        names: FxHashMap::default(),
    }))
}

impl Reader for Block {
    fn look(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let Block { stalls, devices, names } = self;
        if names.len() > NAMES {
            names.clear();
        }
        stalls.fresh(gone, &mut |key, who, fresh| {
            let device = names.entry(key.device).or_insert_with(|| name(devices, key.device));
            let labels = [Label::Text(device), Label::Text(operation_name(key.what))];
            let mut tell = |instrument, amount| {
                tell(Signal::Measure(MeasureSignal {
                    at,
                    instrument,
                    who,
                    labels: &labels,
                    amount,
                }));
            };
            let (duration, rest) = fresh.split_at(WORDS);
            let (sizes, rest) = rest.split_at(SIZES + 1);
            let mut requests = 0;
            if let Some((buckets, sum)) = read(duration) {
                requests = buckets.iter().sum::<u64>();
                if requests > 0 {
                    tell(&DURATION, Amount::Buckets(buckets, sum));
                }
            }
            let &[bytes, errors, untimed] = rest else {
                return requests;
            };
            if sizes.iter().any(|count| *count > 0) {
                tell(&SIZE, Amount::Buckets(sizes, bytes as f64));
            }
            for (instrument, count) in [(&BYTES, bytes), (&ERRORS, errors), (&UNTIMED, untimed)] {
                if count > 0 {
                    tell(instrument, Amount::Add(count as f64));
                }
            }
            requests + untimed
        });
    }
}

/// Name of a device by its number, as sysfs has it; its number when it has no name there any more.
fn name(devices: &std::path::Path, number: u32) -> String {
    let (major, minor) = (number >> 20, number & 0xf_ffff);
    if number == 0 {
        return "none".to_owned();
    }
    let text = format!("{major}:{minor}");
    let link = std::fs::read_link(devices.join(&text)).ok();
    let name = link.as_deref().and_then(std::path::Path::file_name);
    // A slash in the name of a device is an exclamation mark in sysfs.
    name.and_then(|name| name.to_str())
        .map_or(text, |name| name.replace('!', "/"))
}

fn operation_name(what: u32) -> &'static str {
    match what {
        operation::READ => "read",
        operation::WRITE => "write",
        operation::FLUSH => "flush",
        operation::DISCARD => "discard",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_those_of_sysfs() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../../devices/virtual/block/cciss!c0d0", dir.path().join("104:0")).unwrap();
        assert_eq!(name(dir.path(), 104 << 20), "cciss/c0d0");
        assert_eq!(name(dir.path(), 8 << 20 | 16), "8:16");
        assert_eq!(name(dir.path(), 0), "none");
    }
}
