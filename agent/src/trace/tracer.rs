//! The tracer: told of every begin and end of an exchange, it gives each its place in a trace, and builds the span of those
//! that are sampled. One thread uses it.
//!
//! Without an exporter of spans (`enabled: false`) it keeps no table and makes no ids: an id nobody can look up is of no use.
//! Exemplars then exist only for requests that carried a sampled `traceparent`, and name the caller's span.

use super::build::{Detail, build};
use super::clock::Clock;
use super::context::TraceContext;
use super::lines::Lines;
use super::links::{End, Ids, LinkCounts, Links};
use super::peer::{Peer, same_host};
use super::sampler::Sampler;
use super::span::Span;
use crate::attribute::service::Service;
use crate::budget::{Shedding, What};
use crate::protocol::exchange::{Begin, Exchange, ExchangeId};
use crate::signal::Nanos;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// How long the span of a server exchange waits for the begin of its request's client exchange.
pub(super) const DEFER: Nanos = 200_000_000;

/// Settings of a [`Tracer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracerConfig {
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// Somebody takes spans.
    pub enabled: bool,
    /// Exchanges in the table of open ones. About 300 bytes each.
    pub open_limit: usize,
    /// Ended client exchanges that wait for their server exchange.
    pub linger_limit: usize,
    /// Spans of server exchanges that wait for their client exchange. About 2 KiB each.
    pub defer_limit: usize,
    /// Somebody asks what threads are handling while they write lines.
    pub lines: bool,
}

impl Default for TracerConfig {
    fn default() -> TracerConfig {
        TracerConfig {
            sampler: Sampler::default(),
            enabled: true,
            open_limit: 32_768,
            linger_limit: 4_096,
            defer_limit: 1_024,
            lines: false,
        }
    }
}

/// What a tracer says of one exchange that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id: the exchange's own span, or the caller's when this agent exports none.
    pub span_id: [u8; 8],
    /// Somebody recorded this trace: the ids may stand in an exemplar. `false` also when the place in the trace is not known
    /// yet; the span then comes out of [`Tracer::expire`].
    pub sampled: bool,
    /// The span to export.
    pub span: Option<Span>,
}

impl Traced {
    const NOTHING: Traced = Traced {
        trace_id: [0; 16],
        span_id: [0; 8],
        sampled: false,
        span: None,
    };

    /// (trace id, span id) when they may stand in an exemplar.
    pub fn exemplar(&self) -> Option<([u8; 16], [u8; 8])> {
        self.sampled.then_some((self.trace_id, self.span_id))
    }
    /// The caller's span, when it says that it was recorded.
    fn caller(context: Option<&TraceContext>) -> Traced {
        match context {
            Some(context) if context.sampled() => Traced {
                trace_id: context.trace_id,
                span_id: context.span_id,
                sampled: true,
                span: None,
            },
            _ => Traced::NOTHING,
        }
    }
}

/// What was counted since the start, and the sizes of the tables now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracerCounts {
    /// How exchanges were tied together.
    pub links: LinkCounts,
    /// Spans built.
    pub built: u64,
    /// Exchanges that were not sampled.
    pub unsampled: u64,
    /// Server spans that had to wait for their request's client exchange.
    pub deferred: u64,
    /// Of these, given up early because too many waited.
    pub defer_evicted: u64,
    /// Exchanges in the table now.
    pub open: usize,
    /// Spans waiting now.
    pub waiting: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Tracer {
    pub(super) config: TracerConfig,
    clock: Clock,
    pub(super) links: Links,
    /// Spans of server exchanges without their ids, and the order in which they came.
    deferred: FxHashMap<ExchangeId, Span>,
    order: VecDeque<(Nanos, ExchangeId)>,
    ready: Vec<Span>,
    pub(super) lines: Lines,
    counts: TracerCounts,
    shedding: Shedding,
}

impl Tracer {
    /// Begins with nothing known.
    pub fn new(config: TracerConfig, clock: Clock) -> Tracer {
        Tracer {
            links: Links::new(config.sampler, config.open_limit, config.linger_limit, config.lines),
            lines: Lines::new(config.open_limit),
            config,
            clock,
            deferred: FxHashMap::default(),
            order: VecDeque::new(),
            ready: Vec::new(),
            counts: TracerCounts::default(),
            shedding: Shedding::default(),
        }
    }

    /// Gives up spans and their detail when that says so.
    pub fn shed_by(&mut self, shedding: Shedding) {
        self.shedding = shedding;
    }

    /// An exchange began.
    pub fn begin(&mut self, begin: &Begin) {
        if self.config.enabled
            && let Some(waiting) = self.links.begin(begin)
        {
            self.settle(waiting, begin.started);
        }
    }

    /// An exchange ended. `route`: template of its target, empty when there is none.
    pub fn end(&mut self, exchange: &Exchange, service: &Arc<Service>, route: &str, peer: Option<&Peer>) -> Traced {
        if !self.config.enabled {
            return Traced::caller(exchange.context.as_ref());
        }
        self.clock.refresh(exchange.ended);
        // The kernel can let a server read, work and answer before the client's own call, which wrote the request, returns.
        let may_wait = peer.is_some_and(same_host);
        let (ids, state) = match self.links.end(exchange.id, exchange.ended, may_wait) {
            End::Known(ids, state) => {
                self.lines.settle(exchange.id, &ids);
                (ids, state)
            }
            End::Suspended => {
                let span = self.build(exchange, service, route, peer);
                self.defer(exchange, span);
                return Traced::NOTHING;
            }
            End::Unknown => {
                let context = exchange.context.as_ref();
                let state = context.and_then(|c| c.state.as_deref().map(Arc::from));
                (self.links.stranger(context), state)
            }
        };
        if !ids.sampled {
            self.counts.unsampled += 1;
            return Traced::caller(exchange.context.as_ref());
        }
        if self.sheds(&ids) {
            return Traced::caller(exchange.context.as_ref());
        }
        let mut span = self.build(exchange, service, route, peer);
        self.counts.built += 1;
        place(&mut span, &ids, state.as_deref());
        Traced {
            trace_id: ids.trace_id,
            span_id: ids.span_id,
            sampled: true,
            span: Some(span),
        }
    }

    /// An exchange began but its end will not be known.
    pub fn lost(&mut self, id: ExchangeId) {
        if self.config.enabled {
            self.links.lost(id);
        }
    }

    /// Hands over the spans that waited. To be called several times a second; with `Nanos::MAX` at the end.
    pub fn expire(&mut self, now: Nanos, emit: &mut dyn FnMut(Span)) {
        self.links.tidy(now);
        self.lines.tidy(now);
        while let Some(&(since, id)) = self.order.front()
            && (now.saturating_sub(since) >= DEFER || !self.deferred.contains_key(&id))
        {
            self.order.pop_front();
            self.settle(id, now);
        }
        self.ready.drain(..).for_each(emit);
    }

    /// Counts and table sizes.
    pub fn counts(&self) -> TracerCounts {
        TracerCounts {
            links: self.links.counts,
            open: self.links.len(),
            waiting: self.deferred.len() + self.ready.len(),
            ..self.counts
        }
    }

    fn build(&self, exchange: &Exchange, service: &Arc<Service>, route: &str, peer: Option<&Peer>) -> Span {
        let detail = match self.shedding.level().sheds_span_detail() {
            true => {
                self.shedding.count(What::SpanDetail);
                Detail::Required
            }
            false => Detail::Full,
        };
        build(exchange, service, route, peer, &self.clock, detail)
    }

    /// The span is given up to keep the CPU budget.
    fn sheds(&self, ids: &Ids) -> bool {
        let sheds = self.shedding.sheds_trace(&ids.trace_id);
        if sheds {
            self.shedding.count(What::Span);
        }
        sheds
    }

    fn defer(&mut self, exchange: &Exchange, span: Span) {
        self.counts.deferred += 1;
        self.deferred.insert(exchange.id, span);
        self.order.push_back((exchange.ended, exchange.id));
        while self.order.len() > self.config.defer_limit
            && let Some((since, id)) = self.order.pop_front()
        {
            self.counts.defer_evicted += u64::from(self.deferred.contains_key(&id));
            self.settle(id, since);
        }
    }

    /// The span of a suspended exchange waits no longer.
    fn settle(&mut self, id: ExchangeId, now: Nanos) {
        let Some(mut span) = self.deferred.remove(&id) else {
            return;
        };
        let End::Known(ids, state) = self.links.end(id, now, false) else {
            return;
        };
        self.lines.settle(id, &ids);
        if !ids.sampled {
            self.counts.unsampled += 1;
            return;
        }
        if self.sheds(&ids) {
            return;
        }
        place(&mut span, &ids, state.as_deref());
        self.counts.built += 1;
        self.ready.push(span);
    }
}

fn place(span: &mut Span, ids: &Ids, state: Option<&str>) {
    span.trace_id = ids.trace_id;
    span.span_id = ids.span_id;
    span.parent = ids.parent;
    span.state = state.map(Box::from);
    span.flags = ids.flags();
}

#[cfg(test)]
mod tests;
