//! Connections that begin, change and end, or that nobody reads.

use super::{Aggregate, CoreSink, Pipeline};
use crate::protocol::Ignored;
use crate::protocol::http1::by_kernel;
use crate::signal::{ConnId, Endpoints, FlowEvent, FlowSignal, Last, Nanos};
use std::sync::atomic::Ordering;

impl Pipeline {
    /// Handles one signal. `false`: the connection is refused.
    pub(super) fn flow(&mut self, flow: FlowSignal, series: &mut Aggregate) -> bool {
        let (at, conn) = (flow.at, flow.conn);
        if let FlowEvent::Open(open) = flow.event {
            let taken = self.connections.insert(conn, at, open);
            self.count_connections();
            return taken;
        }
        let Some(connection) = self.connections.get(conn) else {
            // Its end, after it was given up or left alone: nobody waits for it.
            return true;
        };
        connection.last = at;
        if let Some(conversation) = &mut connection.conversation {
            let mut sink = CoreSink {
                core: &mut self.core,
                series,
                open: &connection.open,
            };
            conversation.flow(&flow, &mut sink);
            self.core.ignored = None;
        }
        match flow.event {
            FlowEvent::Closed { .. } => {
                self.connections.remove(conn);
                self.count_connections();
            }
            FlowEvent::Eof { .. } if connection.open.endpoints == Endpoints::Unix => {
                connection.eof = true;
                let open = connection.open.clone();
                let peer = self.connections.peer(&open);
                // Unix sockets have no states: that the peer finished sending shows when this end reads it.
                if let Some(peer) = peer {
                    let state = self.sockets.get(open.peer_sock, peer);
                    let flow = FlowSignal {
                        at,
                        conn: peer,
                        last: state.as_ref().map(by_kernel::last_seen).unwrap_or_default(),
                        event: FlowEvent::LocalFin,
                    };
                    self.flow(flow, series);
                }
                self.close_finished(conn, at, series);
            }
            _ => (),
        }
        true
    }

    /// A Unix connection whose reader saw the end and that owes no answer is over, on both ends.
    pub(super) fn close_finished(&mut self, conn: ConnId, at: Nanos, series: &mut Aggregate) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        if !connection.eof || connection.open_exchanges() > 0 {
            return;
        }
        let open = connection.open.clone();
        let peer = self.connections.peer(&open);
        for (id, sock) in [(Some(conn), open.sock), (peer, open.peer_sock)] {
            let Some(id) = id else { continue };
            let last = self.forget(sock, id, series);
            self.closed(at, id, last, series);
        }
    }

    /// A connection is over, and nothing more is known of its end.
    pub(super) fn closed(&mut self, at: Nanos, conn: ConnId, last: Last, series: &mut Aggregate) {
        let event = FlowEvent::Closed { errno: 0, srtt_us: 0 };
        self.flow(FlowSignal { at, conn, last, event }, series);
    }

    fn count_connections(&self) {
        let counter = &self.core.counts.connections;
        counter.store(self.connections.len(), Ordering::Relaxed);
    }

    /// Nobody reads this connection (any more).
    pub(super) fn ignore(&mut self, conn: ConnId, why: Ignored) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        let (sock, fresh) = (connection.open.sock, connection.open.fresh);
        let counter = match why {
            Ignored::Unrecognised => &self.core.counts.unrecognised,
            Ignored::Upgraded => &self.core.counts.upgraded,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        // In the middle of a connection that is older than we are, anything may look like a request: look again later.
        if why == Ignored::Unrecognised && !fresh {
            self.sockets.forget(sock, conn);
        } else {
            self.sockets.ignore(sock, conn);
        }
        // It stays in the table until it is gone from the kernel's: records are still on their way.
        if let Some(connection) = self.connections.get(conn) {
            connection.ignored = true;
            connection.conversation = None;
        }
    }
}
