//! What protocols find goes to series, traces and exporters.

use super::Core;
use super::events::hand_over;
use crate::aggregate::{Aggregate, Handle};
use crate::protocol::exchange::{Begin, Exchange, ExchangeId, JoinKey};
use crate::protocol::memo::{Known, Memo};
use crate::protocol::{Ignored, LostExchange, Sink};
use crate::signal::{ConnId, Endpoints, FlowOpen, Nanos, Role};

/// Takes what a protocol finds on one connection.
pub(super) struct CoreSink<'a> {
    pub(super) core: &'a mut Core,
    pub(super) series: &'a mut Aggregate,
    pub(super) open: &'a FlowOpen,
}

impl Sink for CoreSink<'_> {
    fn next_id(&mut self) -> ExchangeId {
        self.core.next_id += 1;
        ExchangeId(self.core.next_id)
    }

    fn join_key(&mut self, _conn: ConnId, seq: Option<(u32, u32)>, offset: u64) -> Option<JoinKey> {
        match (seq, self.open.endpoints) {
            (Some((request, response)), _) => Some(JoinKey(request.into(), response.into())),
            (None, Endpoints::Unix) if self.open.peer_sock != 0 => {
                let (client, server) = match self.open.role {
                    Role::Client => (self.open.sock, self.open.peer_sock),
                    Role::Server => (self.open.peer_sock, self.open.sock),
                };
                // Kernel addresses have their high bits set: no sequence number looks like one.
                Some(JoinKey(client, server.rotate_left(32) ^ offset))
            }
            _ => None,
        }
    }

    fn begin(&mut self, begin: Begin) {
        let service = self.core.processes.service(begin.actor.process);
        self.series.begin(&service, &begin);
        self.core.tracer.begin(&begin);
    }

    fn whole(&mut self, exchange: Exchange) -> Option<Handle> {
        let service = self.core.processes.service(exchange.actor.process);
        self.series.end(&service, &exchange, |_| None);
        self.core.whole += 1;
        self.series.last()
    }

    fn again(&mut self, known: &Known, started: Nanos, ended: Nanos) -> bool {
        let bodies = (known.request_body, known.response_body);
        let counted = self
            .series
            .again(known.handle, self.open.role, (started, ended), bodies);
        self.core.whole += u64::from(counted);
        counted
    }

    fn memo(&mut self) -> Option<&mut Memo> {
        Some(&mut self.core.memo)
    }

    fn wants_detail(&self) -> bool {
        !self.core.sinks.is_empty()
    }

    fn end(&mut self, exchange: Exchange) {
        let service = self.core.processes.service(exchange.actor.process);
        let (tracer, sinks) = (&mut self.core.tracer, &self.core.sinks);
        let endpoints = &self.open.endpoints;
        self.series.end(&service, &exchange, |route| {
            let traced = tracer.end(&exchange, &service, route, Some(endpoints));
            let exemplar = traced.exemplar();
            if let Some(span) = traced.span {
                hand_over(span, sinks);
            }
            exemplar
        });
        // Here and not at its begin: until it is over, the kernel side may still count it.
        self.core.counts.exchanges.seen(1);
        self.core.counts.exchanges.delivered(1);
    }

    fn lost(&mut self, id: ExchangeId, reason: LostExchange) {
        self.series.lost(id);
        self.core.tracer.lost(id);
        if reason == LostExchange::Counted {
            // Seen by the kernel side, and delivered with its counts.
            return;
        }
        self.core.counts.exchanges.seen(1);
        let index = LostExchange::ALL.iter().position(|other| *other == reason).unwrap_or(0);
        self.core.counts.exchanges.lost(index, 1);
    }

    fn ignore(&mut self, _conn: ConnId, reason: Ignored) {
        self.core.ignored = Some(reason);
    }
}
