//! Connections that may carry requests: which protocol follows each, and when one may be forgotten. Bounded: idle
//! connections are given up before the table is full; the next request on one of them begins a new entry, in the kernel and
//! here, so nothing is lost by that.

use crate::protocol::{Conversation, Match, REGISTRY};
use crate::signal::{Asked, ConnId, Endpoints, FlowOpen, Nanos, PayloadSignal};
use rustc_hash::FxHashMap;

/// A connection.
pub struct Connection {
    /// What is known of it.
    pub open: FlowOpen,
    /// Who follows it; `None` until its first bytes came, or when nobody reads it.
    pub conversation: Option<Box<dyn Conversation>>,
    /// Nobody reads it (any more).
    pub ignored: bool,
    /// This side has read the end of the peer's stream.
    pub eof: bool,
    /// When it last changed.
    pub last: Nanos,
}

impl Connection {
    /// Finds who follows this connection by its first bytes; an early guess is enough, a protocol that was wrong says so.
    pub fn follow(&mut self, first: &PayloadSignal<'_>) {
        if self.conversation.is_none() && !self.ignored {
            self.conversation = REGISTRY
                .iter()
                .find(|protocol| {
                    let found = match &first.asked {
                        None => protocol.recognise(first.prefix),
                        Some(Asked {
                            bytes: Some(request), ..
                        }) => protocol.recognise(request),
                        // Its request was lost.
                        Some(_) => protocol.recognise_answer(first.prefix),
                    };
                    found != Match::No
                })
                .map(|protocol| protocol.follow(first.conn, self.open.role));
        }
    }
    /// Exchanges open on it.
    pub fn open_exchanges(&self) -> usize {
        self.conversation.as_ref().map_or(0, |conversation| conversation.open())
    }
}

/// The table.
#[derive(Default)]
pub struct Connections {
    table: FxHashMap<ConnId, Connection>,
    /// Unix sockets by their kernel key, so that one end finds the other.
    unix: FxHashMap<u64, ConnId>,
    limit: usize,
}

impl Connections {
    /// A table that gives up idle connections when it holds more than three quarters of `limit`.
    pub fn new(limit: usize) -> Connections {
        Connections {
            limit,
            ..Connections::default()
        }
    }
    /// A connection was first seen. `false`: refused, the table holds twice its limit (ends of connections were lost, and
    /// were not yet missed).
    pub fn insert(&mut self, conn: ConnId, at: Nanos, open: FlowOpen) -> bool {
        if self.table.len() >= self.limit.saturating_mul(2) {
            return false;
        }
        if open.endpoints == Endpoints::Unix {
            self.unix.insert(open.sock, conn);
        }
        let connection = Connection {
            open,
            conversation: None,
            ignored: false,
            eof: false,
            last: at,
        };
        self.table.insert(conn, connection);
        true
    }
    /// The table holds more than the kernel's can: ends of connections were lost.
    pub fn overfull(&self) -> bool {
        self.table.len() > self.limit
    }
    /// A connection.
    pub fn get(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.table.get_mut(&conn)
    }
    /// Forgets a connection.
    pub fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        let connection = self.table.remove(&conn)?;
        if self.unix.get(&connection.open.sock) == Some(&conn) {
            self.unix.remove(&connection.open.sock);
        }
        Some(connection)
    }
    /// The other end of a Unix connection, when it is followed.
    pub fn peer(&self, open: &FlowOpen) -> Option<ConnId> {
        if open.peer_sock == 0 {
            None
        } else {
            self.unix.get(&open.peer_sock).copied()
        }
    }
    /// Connections held.
    pub fn len(&self) -> usize {
        self.table.len()
    }
    /// Holds none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
    /// All of them, e.g. at the end.
    pub fn ids(&self) -> Vec<ConnId> {
        self.table.keys().copied().collect()
    }
    /// Those with an open exchange.
    pub fn waiting(&self) -> Vec<(ConnId, FlowOpen)> {
        let open = self.table.iter().filter(|(_, c)| c.open_exchanges() > 0);
        open.map(|(id, c)| (*id, c.open.clone())).collect()
    }
    /// Those that did nothing since `since`.
    pub fn quiet(&self, since: Nanos) -> Vec<(ConnId, u64)> {
        self.table
            .iter()
            .filter(|(_, c)| c.last < since)
            .map(|(id, c)| (*id, c.open.sock))
            .collect()
    }
    /// When the table is fuller than it should be: the connections to give up, longest idle first. None with an open
    /// exchange, none that did something since `since`.
    pub fn surplus(&self, since: Nanos) -> Vec<(ConnId, u64)> {
        if self.table.len() <= self.limit / 4 * 3 {
            return vec![];
        }
        let mut idle: Vec<(Nanos, ConnId, u64)> = self
            .table
            .iter()
            .filter(|(_, c)| c.last < since && c.open_exchanges() == 0)
            .map(|(id, c)| (c.last, *id, c.open.sock))
            .collect();
        idle.sort_unstable();
        idle.truncate(self.table.len() - self.limit / 2);
        idle.into_iter().map(|(_, id, sock)| (id, sock)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{Actor, Role};

    fn open(sock: u64, peer_sock: u64) -> FlowOpen {
        FlowOpen {
            sock,
            peer_sock,
            role: Role::Server,
            actor: Actor::default(),
            endpoints: Endpoints::Unix,
            netns: 0,
            fresh: false,
        }
    }

    #[test]
    fn ends_of_a_unix_connection_find_each_other() {
        let mut table = Connections::new(8);
        table.insert(ConnId(1), 0, open(10, 20));
        table.insert(ConnId(2), 0, open(20, 10));
        assert_eq!(table.peer(&open(10, 20)), Some(ConnId(2)));
        // A new socket at a reused address belongs to the newer connection.
        table.insert(ConnId(3), 0, open(20, 10));
        assert!(table.remove(ConnId(2)).is_some());
        assert_eq!(table.peer(&open(10, 20)), Some(ConnId(3)));
        assert!(table.remove(ConnId(3)).is_some());
        assert_eq!(table.peer(&open(10, 20)), None);
    }

    #[test]
    fn beyond_twice_its_limit_a_table_takes_no_more() {
        let mut table = Connections::new(2);
        let taken = (0..5).filter(|i| table.insert(ConnId(*i), *i, open(*i, 0))).count();
        assert_eq!((taken, table.len(), table.overfull()), (4, 4, true));
        table.remove(ConnId(0));
        assert!(table.insert(ConnId(9), 9, open(9, 0)));
    }

    #[test]
    fn a_full_table_gives_up_what_is_idle_longest() {
        let mut table = Connections::new(8);
        for i in 0..6 {
            table.insert(ConnId(i), i, open(i, 0));
        }
        assert_eq!(table.surplus(100), [], "three quarters are fine");
        table.insert(ConnId(6), 6, open(6, 0));
        let ids: Vec<u64> = table.surplus(100).into_iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [0, 1, 2], "down to half");
        let ids: Vec<u64> = table.surplus(2).into_iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [0, 1], "but none that is in use");
    }
}
