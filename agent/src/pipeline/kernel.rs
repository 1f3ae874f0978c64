//! What the kernel side keeps by itself, looked at now and then: exchanges that it counted because the ring was full,
//! requests that wait for their answer, ends of connections that found no room in the ring.

use super::{Aggregate, Pipeline};
use crate::protocol::http1::by_kernel;
use crate::signal::{ConnId, FlowEvent, FlowSignal, Last, Nanos};
use onlooker_common::fallback::{FallbackCounts, FallbackKey};
use onlooker_common::socket::phase;

impl Pipeline {
    /// Takes over what the kernel side counted, and looks at the connections that it follows. All records that were sent
    /// before `drained` have been handled.
    pub(super) fn look(&mut self, drained: Nanos, series: &mut Aggregate) {
        let (core, host) = (&mut self.core, &mut self.fallback);
        let processes = &mut core.processes;
        let mut fresh = Vec::new();
        host.fresh(
            core.counts.in_fallback(),
            |key| processes.knows(by_kernel::process(key)),
            |key, counts| fresh.push((*key, *counts)),
        );
        for (key, counts) in &fresh {
            self.count(key, counts, series);
        }
        for id in self.waiting.drain(..) {
            series.lost(id);
        }
        let mut held = Vec::new();
        let looked = self.sockets.sweep(|_, state| {
            if state.held > 0 {
                held.push((state.asker, state.role, state.method, state.started));
            }
        });
        if let Err(error) = looked {
            tracing::warn!(%error, "the kernel's table of connections cannot be read");
        }
        for (asker, role, method, started) in held {
            self.core.next_id += 1;
            let Some(begin) = by_kernel::waiting(self.core.next_id, asker, role, method, started) else {
                continue;
            };
            let service = self.core.processes.service(begin.actor.process);
            series.begin(&service, &begin);
            self.waiting.push(begin.id);
        }
        for (conn, grave) in self.graves.take(drained) {
            let flow = FlowSignal {
                at: grave.at,
                conn,
                last: by_kernel::last_words(&grave),
                event: FlowEvent::Closed {
                    errno: grave.err.into(),
                    srtt_us: 0,
                },
            };
            self.flow(flow, series);
        }
    }

    /// Forgets a connection in the kernel; what was about to be counted there is counted. Returns what was known of it there.
    pub(super) fn forget(&mut self, sock: u64, conn: ConnId, series: &mut Aggregate) -> Last {
        let Some(state) = self.sockets.forget(sock, conn) else {
            return Last::default();
        };
        if state.phase == phase::DARK {
            let (key, counts) = by_kernel::last(&state);
            self.count(&key, &counts, series);
        }
        by_kernel::last_seen(&state)
    }

    fn count(&mut self, key: &FallbackKey, counts: &FallbackCounts, series: &mut Aggregate) {
        let Some(counted) = by_kernel::counted(key, counts) else {
            return;
        };
        let exchanges: u64 = counts.buckets.iter().sum();
        let service = self.core.processes.service(by_kernel::process(key));
        series.add(&service, &counted);
        self.core.counts.exchanges.seen(exchanges);
        self.core.counts.exchanges.delivered(exchanges);
        self.core.counts.by_kernel(exchanges);
    }
}
