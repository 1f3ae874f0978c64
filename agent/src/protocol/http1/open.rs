//! An exchange between its begin and its end.

use super::call::Mark;
use super::head::RequestHead;
use super::schema::HTTP;
use super::target;
use crate::protocol::Sink;
use crate::protocol::exchange::{Begin, Exchange};
use crate::signal::{Actor, ConnId, Nanos, Role};

/// An open exchange and what is to be remembered of it besides.
#[derive(Debug)]
pub(super) struct Open {
    /// What was found so far. `ended` is the time of the last byte of the response seen.
    pub(super) exchange: Exchange,
    /// Where its request began.
    pub(super) mark: Mark,
    /// Bytes of the response stream seen when its request began.
    pub(super) answer_offset: u64,
    /// Its number by the eyes of the kernel side; 0 when that is not known.
    pub(super) number: u32,
    /// Method HEAD: its answer has no body.
    pub(super) head: bool,
    /// Method CONNECT: an answer of 2xx makes a tunnel.
    pub(super) connect: bool,
    /// The request was seen whole, or nothing more of it will come.
    pub(super) request_done: bool,
    /// The response was seen whole.
    pub(super) response_done: bool,
    /// Bytes of its response were moved and not seen: how it ends cannot be told.
    pub(super) gap: bool,
}

/// The first byte of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    /// When it was moved.
    pub(super) at: Nanos,
    /// By whom.
    pub(super) actor: Actor,
    /// Where it stands.
    pub(super) mark: Mark,
    /// Bytes of the response stream seen by then.
    pub(super) answer_offset: u64,
}

impl Open {
    /// Opens an exchange; `head` as far as it is known.
    pub(super) fn begin(
        (conn, role): (ConnId, Role),
        first: First,
        head: Option<&RequestHead<'_>>,
        out: &mut dyn Sink,
    ) -> Box<Open> {
        let method = head.map_or(&b""[..], |head| head.method);
        let (operation, operation_original) = target::operation(method);
        let (path, named) = head
            .map(|head| target::split(head.method, head.target))
            .unwrap_or_default();
        let fields = head.map(|head| &head.fields);
        let server = named.or_else(|| target::server(fields?.host?));
        let exchange = Exchange {
            id: out.next_id(),
            schema: &HTTP,
            role,
            conn,
            actor: first.actor,
            started: first.at,
            first_byte: None,
            ended: first.at,
            operation,
            operation_original,
            target: path,
            version: head.map_or("1.1", |head| head.version),
            server,
            agent: fields.and_then(|fields| fields.user_agent()),
            status: None,
            error: None,
            request_size: 0,
            response_size: 0,
            request_body: None,
            response_body: None,
            context: fields.and_then(|fields| fields.context()),
            join: out.join_key(conn, first.mark.seq, first.mark.offset),
            srtt_us: 0,
        };
        out.begin(Begin {
            id: exchange.id,
            schema: exchange.schema,
            role,
            conn,
            actor: exchange.actor,
            started: exchange.started,
            operation: exchange.operation.clone(),
            context: exchange.context.clone(),
            join: exchange.join,
        });
        Box::new(Open {
            exchange,
            mark: first.mark,
            answer_offset: first.answer_offset,
            number: 0,
            head: method == b"HEAD",
            connect: method == b"CONNECT",
            request_done: false,
            response_done: false,
            gap: false,
        })
    }

    /// Bytes of heap, about.
    pub(super) fn memory(&self) -> usize {
        let exchange = &self.exchange;
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        size_of::<Open>()
            + exchange.target.len()
            + text(&exchange.operation_original)
            + text(&exchange.agent)
            + exchange.server.as_ref().map_or(0, |(host, _)| host.len())
            + exchange.context.as_ref().map_or(0, |context| text(&context.state))
    }
}
