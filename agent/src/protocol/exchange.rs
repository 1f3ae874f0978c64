//! The third waist: one request and its answer, in words that fit every protocol. A [`Schema`] beside each parser gives the
//! OpenTelemetry names for them, so that aggregation, spans and exporters never name a protocol.

use crate::metric::Family;
use crate::signal::{Actor, ConnId, Nanos, Role};
use crate::trace::context::TraceContext;
use std::sync::Arc;

/// Names an open exchange from its begin to its end; unique within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId(pub u64);

/// The head of a request is known: the exchange is open. (Its clock runs since `started`.)
#[derive(Clone, Debug)]
pub struct Begin {
    /// Names the exchange.
    pub id: ExchangeId,
    /// Names of things.
    pub schema: &'static Schema,
    /// Role of the observed side.
    pub role: Role,
    /// Connection.
    pub conn: ConnId,
    /// Who read (server) or wrote (client) the first byte of the request.
    pub actor: Actor,
    /// First byte of the request read or written.
    pub started: Nanos,
    /// Method, verb, command, in canonical form; `_OTHER` when the protocol does not know it.
    pub operation: Arc<str>,
    /// Trace context that the request carried.
    pub context: Option<TraceContext>,
    /// Names the same request on both ends of the connection; see [`JoinKey`].
    pub join: Option<JoinKey>,
}

impl Begin {
    /// The beginning of a finished exchange.
    pub fn of(exchange: &Exchange) -> Self {
        Begin {
            id: exchange.id,
            schema: exchange.schema,
            role: exchange.role,
            conn: exchange.conn,
            actor: exchange.actor,
            started: exchange.started,
            operation: exchange.operation.clone(),
            context: exchange.context.clone(),
            join: exchange.join,
        }
    }
}

/// Where in the connection's two streams a request begins: (position in the request stream, position in the response
/// stream), TCP sequence numbers for TCP; for Unix sockets the lower and higher socket key mixed with the stream offset.
/// Equal on both ends, and on no other exchange that is open at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JoinKey(pub u64, pub u64);

/// One request and its answer, finished.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The same as in its [`Begin`].
    pub id: ExchangeId,
    /// Names of things.
    pub schema: &'static Schema,
    /// Role of the observed side.
    pub role: Role,
    /// Connection.
    pub conn: ConnId,
    /// Who read (server) or wrote (client) the first byte of the request.
    pub actor: Actor,
    /// First byte of the request read (server) or written (client).
    pub started: Nanos,
    /// First byte of the response written (server) or read (client); `None` when there was none.
    pub first_byte: Option<Nanos>,
    /// Last byte of the response written or read; when there was none, or it was cut short, the moment that became known.
    pub ended: Nanos,
    /// Method, verb, command, in canonical form; `_OTHER` when the protocol does not know it.
    pub operation: Arc<str>,
    /// The operation's original text where it differs.
    pub operation_original: Option<Box<str>>,
    /// What was asked for, without anything secret: for HTTP the path without the query. Not yet a route.
    pub target: Box<str>,
    /// Protocol version, e.g. `1.1`.
    pub version: &'static str,
    /// Who the request was addressed to, as the request says (HTTP: host of `Host` or of the absolute form).
    pub server: Option<(Box<str>, Option<u16>)>,
    /// `User-Agent` and the like.
    pub agent: Option<Box<str>>,
    /// The answer's status; `None` when no answer was seen. Never invented.
    pub status: Option<u16>,
    /// What went wrong on the way: see [`ErrorType`]. The status' own meaning (HTTP 500) is not repeated here.
    pub error: Option<ErrorType>,
    /// Bytes of the request on the connection: head and body.
    pub request_size: u64,
    /// Bytes of the response on the connection: final head and body (interim responses included).
    pub response_size: u64,
    /// Bytes of the request's body alone (payload, without chunk framing where that is known).
    pub request_body: Option<u64>,
    /// Bytes of the response's body alone.
    pub response_body: Option<u64>,
    /// Trace context that the request carried.
    pub context: Option<TraceContext>,
    /// See [`Begin::join`].
    pub join: Option<JoinKey>,
    /// Smoothed round trip time at the end, microseconds, 0 when not known.
    pub srtt_us: u32,
}

impl Exchange {
    /// Seconds from first byte of the request to last byte of the response.
    pub fn duration(&self) -> f64 {
        self.ended.saturating_sub(self.started) as f64 * 1e-9
    }
    /// Seconds to the first byte of the response.
    pub fn time_to_first_byte(&self) -> Option<f64> {
        self.first_byte.map(|at| at.saturating_sub(self.started) as f64 * 1e-9)
    }
    /// Value of `error.type`: what went wrong on the way, else the status where the schema calls it an error for this role.
    pub fn error_type(&self) -> Option<&'static str> {
        if let Some(error) = self.error {
            return Some(error.as_str());
        }
        (self.schema.status_error)(self.role, self.status?)
    }
}

/// Exchanges of one kind that were counted elsewhere, since the last time.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Names of things.
    pub schema: &'static Schema,
    /// Role of the observed side.
    pub role: Role,
    /// As [`Exchange::operation`].
    pub operation: Arc<str>,
    /// As [`Exchange::version`].
    pub version: &'static str,
    /// The answer's status.
    pub status: u16,
    /// Exchanges by duration, in the buckets of `onlooker_common::fallback`.
    pub durations: [u64; 15],
    /// Sum of the durations, nanoseconds.
    pub sum: u64,
}

/// What kept an exchange from a whole answer. Values of `error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// The peer finished sending or closed before the answer (client), or before it took the whole answer (server).
    PeerClosed,
    /// `ECONNRESET` or `EPIPE`.
    Reset,
    /// `ETIMEDOUT`.
    Timeout,
    /// This side closed before the answer was whole.
    Closed,
    /// What was sent is no message of the protocol.
    Invalid,
    /// Bytes of the answer's head were not captured (lost records, a head beyond the limit): no fault of the program.
    NotCaptured,
}

impl ErrorType {
    /// As the value of `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorType::PeerClosed => "peer_closed",
            ErrorType::Reset => "connection_reset",
            ErrorType::Timeout => "timeout",
            ErrorType::Closed => "connection_closed",
            ErrorType::Invalid => "invalid_message",
            ErrorType::NotCaptured => "not_captured",
        }
    }
}

/// OpenTelemetry's names for what an exchange of a protocol holds. All attribute names in dotted form
/// (`http.request.method`); exporters that need underscores replace the dots. An empty name: the protocol has no such thing.
#[derive(Debug)]
pub struct Schema {
    /// Short name of the protocol in `onlooker_*` labels, e.g. `http`.
    pub protocol: &'static str,
    /// Attribute of [`Exchange::operation`], e.g. `http.request.method`.
    pub operation: &'static str,
    /// Attribute of [`Exchange::operation_original`], span only.
    pub operation_original: &'static str,
    /// Attribute of [`Exchange::target`], span only, e.g. `url.path`.
    pub target: &'static str,
    /// Attribute of scheme, server and target in one, on client spans in place of `target`, e.g. `url.full`.
    pub target_full: &'static str,
    /// Attribute of the target's template, e.g. `http.route`.
    pub route: &'static str,
    /// Attribute of [`Exchange::status`], e.g. `http.response.status_code`.
    pub status: &'static str,
    /// Attribute of [`Exchange::version`] and its constant companion name, e.g. `network.protocol.version`.
    pub version: &'static str,
    /// Attribute and constant value of the scheme, e.g. (`url.scheme`, `http`).
    pub scheme: (&'static str, &'static str),
    /// Attribute of [`Exchange::agent`], span only, e.g. `user_agent.original`.
    pub agent: &'static str,
    /// Attribute of [`Exchange::request_body`], span only, e.g. `http.request.body.size`.
    pub request_body: &'static str,
    /// Attribute of [`Exchange::response_body`], span only, e.g. `http.response.body.size`.
    pub response_body: &'static str,
    /// `error.type` of a status, by role: for HTTP 5xx on servers, 4xx and 5xx on clients; the status' digits as text.
    pub status_error: fn(Role, u16) -> Option<&'static str>,
    /// Metrics of the server side.
    pub server: RoleSchema,
    /// Metrics of the client side.
    pub client: RoleSchema,
}

impl Schema {
    /// Metrics of a role.
    pub fn role(&self, role: Role) -> &RoleSchema {
        match role {
            Role::Server => &self.server,
            Role::Client => &self.client,
        }
    }
}

/// Metric families of one role. Histograms of durations use `bounds_seconds`, of sizes `bounds_bytes`.
#[derive(Debug)]
pub struct RoleSchema {
    /// Duration.
    pub duration: Family,
    /// Time to first byte.
    pub first_byte: Family,
    /// Body of the request.
    pub request_body: Family,
    /// Body of the response.
    pub response_body: Family,
    /// Exchanges open now (gauge).
    pub active: Family,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        std::ptr::eq(self, other)
    }
}
