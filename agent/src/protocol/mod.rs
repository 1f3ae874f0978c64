//! Protocols: from the bytes of a connection to exchanges. One file (or folder) a protocol and one line in [`REGISTRY`].

pub mod dns;
pub mod exchange;
pub mod http1;
pub mod memo;

use crate::aggregate::Handle;
use crate::signal::{ConnId, FlowSignal, Nanos, PayloadSignal, Role};
use exchange::{Begin, Exchange, JoinKey};
use memo::{Known, Memo};

/// All protocols, asked in this order.
pub static REGISTRY: &[&dyn Protocol] = &[&http1::Http1];

/// Does a stream look like a protocol's requests?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is not, whatever follows.
    No,
    /// Too early to tell.
    Maybe,
    /// It is.
    Yes,
}

/// A protocol.
pub trait Protocol: Sync {
    /// Short name.
    fn name(&self) -> &'static str;
    /// Looks at the first bytes of the request direction.
    fn recognise(&self, first: &[u8]) -> Match;
    /// Looks at the first bytes of a response.
    fn recognise_answer(&self, first: &[u8]) -> Match;
    /// Begins to follow a connection.
    fn follow(&self, conn: ConnId, role: Role) -> Box<dyn Conversation>;
}

/// One connection as a protocol follows it. Memory is bounded by constants of the protocol.
pub trait Conversation: Send {
    /// Bytes moved. Offsets may jump where records were lost.
    fn payload(&mut self, payload: &PayloadSignal<'_>, out: &mut dyn Sink);
    /// The connection changed.
    fn flow(&mut self, flow: &FlowSignal, out: &mut dyn Sink);
    /// About once a second while exchanges are open, later where little happens: hands over what need not wait any longer.
    fn tick(&mut self, now: Nanos, out: &mut dyn Sink);
    /// The connection is forgotten (table full, agent ends): open exchanges are given up as lost.
    fn abandon(&mut self, out: &mut dyn Sink);
    /// Exchanges open now.
    fn open(&self) -> usize;
    /// Bytes of heap in use, about.
    fn memory(&self) -> usize;
}

/// Where a conversation puts what it found.
pub trait Sink {
    /// A fresh id.
    fn next_id(&mut self) -> exchange::ExchangeId;
    /// Unix sockets have no sequence numbers: a key for the request that starts at `offset` of `conn`'s request stream.
    fn join_key(&mut self, conn: ConnId, seq: Option<(u32, u32)>, offset: u64) -> Option<JoinKey>;
    /// An exchange began. Every `begin` is followed by one `end` or one `lost` with the same id.
    fn begin(&mut self, begin: Begin);
    /// An exchange ended.
    fn end(&mut self, exchange: Exchange);
    /// An exchange that was whole when it was first heard of: the same as a `begin` and an `end`. Returns where it was
    /// counted, if the next one like it may be counted there too.
    fn whole(&mut self, exchange: Exchange) -> Option<Handle> {
        self.begin(Begin::of(&exchange));
        self.end(exchange);
        None
    }
    /// Another exchange like one before, byte for byte: counted without being read. `false`: it has to be read.
    fn again(&mut self, _known: &Known, _started: Nanos, _ended: Nanos) -> bool {
        false
    }
    /// Exchanges that were seen before; `None` where each has to be read.
    fn memo(&mut self) -> Option<&mut Memo> {
        None
    }
    /// Whether anybody wants to know more than the metrics: who was asked (`server`, `agent`), and the trace context.
    fn wants_detail(&self) -> bool {
        true
    }
    /// An exchange began but its end will not be known.
    fn lost(&mut self, id: exchange::ExchangeId, reason: LostExchange);
    /// This connection carries nothing (more) that the protocol reads: leave it alone from now on.
    fn ignore(&mut self, conn: ConnId, reason: Ignored);
}

/// Why an exchange was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LostExchange {
    /// More requests waited for an answer on one connection than the limit allows.
    Pipeline,
    /// Records were lost in the middle of it.
    Gap,
    /// The connection was forgotten.
    Forgotten,
    /// No loss: its answer could not be reported, so the kernel side counted it, without its route.
    Counted,
}

impl LostExchange {
    /// As a label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            LostExchange::Pipeline => "pipeline_limit",
            LostExchange::Gap => "gap",
            LostExchange::Forgotten => "forgotten",
            LostExchange::Counted => "counted",
        }
    }
    /// All that are losses, for counters.
    pub const ALL: [LostExchange; 3] = [LostExchange::Pipeline, LostExchange::Gap, LostExchange::Forgotten];
}

/// Why a connection is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// No protocol of ours.
    Unrecognised,
    /// Became something else (websocket, tunnel).
    Upgraded,
}
