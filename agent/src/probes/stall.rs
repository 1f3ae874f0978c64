//! What the probes of stalls have in common: tables of histograms by process, and who it is.

use super::{Reader, Tools};
use crate::collectors::own::events::Counts;
use crate::kernel::tables::{GrowingTable, TableError};
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Signal, Who};
use aya::maps::{MapData, PerCpuArray};
use onlooker_common::histogram::{self, WORDS};
use onlooker_common::layout::*;
use onlooker_common::stall::{StallKey, whose};
use std::sync::Arc;

/// Members that tell whose a stall is.
pub(super) const WHOSE: &[usize] = &[TASK_LEADER, TASK_START, TASK_PID, TASK_TGID, TASK_FLAGS];

/// Why a stall is lost.
const REASONS: &[&str] = &["table_full"];

/// A table by process, the one that takes what it has no room for, and the count of what found no room there either.
pub(super) struct Stalls<const N: usize> {
    name: &'static str,
    tables: [GrowingTable<StallKey, N>; 2],
    full: PerCpuArray<MapData, u64>,
    lost: u64,
    counts: Arc<Counts>,
}

impl<const N: usize> Stalls<N> {
    /// Takes the maps. `kind` is that of the events in the agent's own numbers.
    pub(super) fn take(
        tools: &mut Tools<'_>,
        kind: &'static str,
        [table, spill, lost]: [&'static str; 3],
    ) -> Result<Stalls<N>, TableError> {
        let counts = Arc::new(Counts::new(kind, REASONS));
        tools.own.register_events(counts.clone());
        Ok(Stalls {
            name: table,
            tables: [tools.tables.growing(table)?, tools.tables.growing(spill)?],
            full: tools.tables.per_cpu_array(lost)?,
            lost: 0,
            counts,
        })
    }

    /// Shows what came since the last look; `each` gives how many events it was.
    pub(super) fn fresh(
        &mut self,
        gone: &mut dyn FnMut(ProcessKey) -> bool,
        each: &mut dyn FnMut(&StallKey, Who, &[u64; N]) -> u64,
    ) {
        let counts = &self.counts;
        for table in &mut self.tables {
            let done = table.fresh(
                &mut |key| key.whose == whose::PROCESS && gone(process(key)),
                &mut |key, fresh| {
                    let who = match key.whose {
                        whose::PROCESS => Who::Process(process(key)),
                        whose::KERNEL => Who::Host,
                        _ => Who::Other,
                    };
                    let events = each(key, who, fresh);
                    counts.seen(events);
                    counts.delivered(events);
                },
            );
            if let Err(error) = done {
                tracing::warn!(%error, table = self.name, "a table of the kernel side cannot be read");
            }
        }
        match self.full.get(&0, 0) {
            Ok(values) => {
                let lost: u64 = values.iter().sum();
                let fresh = lost.saturating_sub(self.lost);
                self.lost = lost;
                counts.seen(fresh);
                counts.lost(0, fresh);
            }
            Err(error) => {
                tracing::warn!(%error, table = self.name, "the kernel's count of what it lost cannot be read")
            }
        }
    }
}

/// A histogram of seconds by process that the kernel side keeps in three maps of its own.
pub(super) struct Times {
    /// Of the events in the agent's own numbers.
    pub(super) kind: &'static str,
    /// As [`Stalls::take`] wants them.
    pub(super) maps: [&'static str; 3],
    /// What is told.
    pub(super) instrument: &'static Instrument,
    /// Values of its label, by the number in the key; none: it has no label.
    pub(super) names: &'static [&'static str],
}

impl Times {
    /// The reader of the maps: a probe's [`MakeReader`](super::MakeReader).
    pub(super) fn reader(&'static self, tools: &mut Tools<'_>) -> Result<Box<dyn Reader>, TableError> {
        let stalls = Stalls::take(tools, self.kind, self.maps)?;
        Ok(Box::new(TimesReader { times: self, stalls }))
    }
}

struct TimesReader {
    times: &'static Times,
    stalls: Stalls<WORDS>,
}

impl Reader for TimesReader {
    fn look(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let Times { instrument, names, .. } = *self.times;
        self.stalls.fresh(gone, &mut |key, who, fresh| {
            let Some((buckets, sum)) = histogram::read(fresh) else {
                return 0;
            };
            let label = (!names.is_empty()).then(|| names.get(key.what as usize).copied().unwrap_or_default());
            tell(Signal::Measure(MeasureSignal {
                at,
                instrument,
                who,
                labels: label.map(Label::Text).as_slice(),
                amount: Amount::Buckets(buckets, sum),
            }));
            buckets.iter().sum()
        });
    }
}

fn process(key: &StallKey) -> ProcessKey {
    ProcessKey {
        pid: key.tgid,
        start: key.start,
    }
}
