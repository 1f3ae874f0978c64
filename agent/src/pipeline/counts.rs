//! Counters of the pipeline: what became of every record of the kernel side and of every exchange. Written by the pipeline's
//! thread, read by scrapes.

use crate::collectors::own::events::{Counts, EventCount, EventCounts};
use crate::kernel::maps::KernelCounters;
use crate::protocol::LostExchange;
use crate::trace::TracerCounts;
use onlooker_common::{count, count::reason, record::kind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counters of the pipeline.
pub struct PipelineCounts {
    kernel: KernelCounters,
    /// Records that became a signal.
    pub(super) delivered: [AtomicU64; kind::COUNT],
    /// Payload of connections that are not known here: their first record was lost, or they were given up.
    pub(super) unknown: [AtomicU64; kind::COUNT],
    /// Records that could not be decoded.
    pub(super) invalid: [AtomicU64; kind::COUNT],
    /// What became of exchanges.
    pub(super) exchanges: Counts,
    /// Counters of the tracer, as of its last tidying.
    pub(super) tracer: Mutex<TracerCounts>,
    /// Connections followed now.
    pub connections: AtomicUsize,
    /// Connections given up because the table was filling.
    pub given_up: AtomicU64,
    /// Connections left alone: not of a protocol we read.
    pub unrecognised: AtomicU64,
    /// Connections left alone after an upgrade.
    pub upgraded: AtomicU64,
    /// Exchanges that the kernel side counted, because the ring was full.
    pub by_kernel: AtomicU64,
}

const EXCHANGE_REASONS: &[&str] = &[
    LostExchange::ALL[0].as_str(),
    LostExchange::ALL[1].as_str(),
    LostExchange::ALL[2].as_str(),
];

impl PipelineCounts {
    /// Counters at zero.
    pub fn new(kernel: KernelCounters) -> PipelineCounts {
        PipelineCounts {
            kernel,
            delivered: Default::default(),
            unknown: Default::default(),
            invalid: Default::default(),
            exchanges: Counts::new("exchange", EXCHANGE_REASONS),
            tracer: Mutex::default(),
            connections: AtomicUsize::new(0),
            given_up: AtomicU64::new(0),
            unrecognised: AtomicU64::new(0),
            upgraded: AtomicU64::new(0),
            by_kernel: AtomicU64::new(0),
        }
    }
    /// The kernel side counted exchanges.
    pub(super) fn by_kernel(&self, exchanges: u64) {
        self.by_kernel.fetch_add(exchanges, Ordering::Relaxed);
    }
    /// Payload records that went out without their bytes, because user memory could not be read.
    pub fn without_data(&self) -> u64 {
        self.kernel.one(count::lost(kind::PAYLOAD, reason::NO_DATA))
    }
    /// Messages of DNS clients that were lost on their way.
    pub fn lost_messages(&self) -> u64 {
        let lost = |why| self.kernel.one(count::lost(kind::MESSAGE, why));
        let invalid = self.invalid[usize::from(kind::MESSAGE)].load(Ordering::Relaxed);
        lost(reason::RING_FULL) + lost(reason::NO_DATA) + invalid
    }
    /// See [`KernelCounters::in_fallback`].
    pub(super) fn in_fallback(&self) -> u64 {
        self.kernel.in_fallback()
    }
    /// Forks, execs and exits of which nothing is known here.
    pub(super) fn lost_lives(&self) -> u64 {
        let lives = [kind::FORK, kind::EXEC, kind::EXIT];
        let lost =
            lives.map(|kind| self.kernel.without_room(kind) + self.invalid[usize::from(kind)].load(Ordering::Relaxed));
        lost.iter().sum()
    }
    /// Counters of the tracer, as of its last tidying.
    pub fn tracer(&self) -> TracerCounts {
        *self.tracer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl EventCounts for PipelineCounts {
    fn events(&self) -> Vec<EventCount> {
        let load = |counters: &[AtomicU64; kind::COUNT], kind: usize| counters[kind].load(Ordering::Acquire);
        let here: Vec<[u64; 3]> = (0..kind::COUNT)
            .map(|kind| {
                [
                    load(&self.delivered, kind),
                    load(&self.unknown, kind),
                    load(&self.invalid, kind),
                ]
            })
            .collect();
        // The kernel's counters last: what was delivered has been seen.
        let kernel = self.kernel.read();
        let mut events: Vec<EventCount> = here
            .into_iter()
            .enumerate()
            .map(|(kind, [delivered, unknown, invalid])| {
                let lost = |reason| kernel[count::lost(kind as u16, reason) as usize];
                EventCount {
                    kind: kind::NAMES[kind],
                    seen: kernel[count::seen(kind as u16) as usize],
                    delivered,
                    lost: vec![
                        (reason::NAMES[reason::RING_FULL], lost(reason::RING_FULL)),
                        (reason::NAMES[reason::TABLE_FULL], lost(reason::TABLE_FULL)),
                        (reason::NAMES[reason::SKIPPED], lost(reason::SKIPPED)),
                        ("unknown_connection", unknown),
                        ("invalid", invalid),
                    ],
                }
            })
            .collect();
        let refused = kernel[count::FALLBACK_FULL as usize];
        events.extend(self.exchanges.events().into_iter().map(|mut event| {
            event.seen += refused;
            event.lost.push(("fallback_full", refused));
            event
        }));
        events
    }
}
