//! What a span says of an exchange, in the words of its schema
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>).

use super::clock::Clock;
use super::peer::Peer;
use super::span::{Attribute, AttributeValue, Span, SpanKind};
use crate::attribute::service::Service;
use crate::protocol::exchange::{ErrorType, Exchange};
use crate::signal::Role;
use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

/// What stands for a value beyond a limit or a known list.
const OTHER: &str = "_OTHER";

/// How much a span says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// All that is known.
    Full,
    /// What the semantic conventions require, always or on a condition, and what is a constant. What they recommend has to be
    /// written for every span (addresses) or copied (the user agent), and goes first when the agent is above its CPU budget.
    Required,
}

/// The span of an exchange; its ids are still zero. `route`: empty when there is none.
pub(super) fn build(
    exchange: &Exchange,
    service: &Arc<Service>,
    route: &str,
    peer: Option<&Peer>,
    clock: &Clock,
    detail: Detail,
) -> Span {
    let server = exchange.role == Role::Server;
    let route = if server && route != OTHER { route } else { "" };
    let start = clock.unix(exchange.started);
    let mut attributes = Attributes(Vec::with_capacity(if detail == Detail::Full { 20 } else { 10 }));
    describe(&mut attributes, exchange, route, peer, detail);
    Span {
        trace_id: [0; 16],
        span_id: [0; 8],
        parent: None,
        state: None,
        flags: 0,
        name: name(exchange, route),
        kind: if server { SpanKind::Server } else { SpanKind::Client },
        start,
        end: start + exchange.ended.saturating_sub(exchange.started),
        attributes: attributes.0,
        error: exchange.error_type().is_some() && exchange.error != Some(ErrorType::NotCaptured),
        resource: service.resource.clone(),
    }
}

/// `{operation} {route}`; an operation that is not known is called by the protocol's name (semconv: `HTTP`).
fn name(exchange: &Exchange, route: &str) -> String {
    let mut name = String::with_capacity(exchange.operation.len() + 1 + route.len());
    if &*exchange.operation == OTHER {
        name.extend(exchange.schema.protocol.chars().map(|c| c.to_ascii_uppercase()));
    } else {
        name.push_str(&exchange.operation);
    }
    if !route.is_empty() {
        name.push(' ');
        name.push_str(route);
    }
    name
}

fn describe(out: &mut Attributes, exchange: &Exchange, route: &str, peer: Option<&Peer>, detail: Detail) {
    let schema = exchange.schema;
    out.text(schema.operation, exchange.operation.to_string());
    if let Some(original) = &exchange.operation_original {
        out.text(schema.operation_original, original.to_string());
    }
    if let Some(status) = exchange.status {
        out.int(schema.status, status.into());
    }
    if let Some(error) = exchange.error_type() {
        out.text("error.type", error);
    }
    out.text(schema.scheme.0, schema.scheme.1);
    out.text(schema.version, exchange.version);
    if detail == Detail::Required && exchange.role == Role::Server {
        out.text(schema.target, exchange.target.to_string());
        return out.text(schema.route, route.to_owned());
    }
    let inet = match peer {
        Some(&Peer::Inet { local, remote }) => Some((local, remote)),
        Some(Peer::Unix) => {
            out.text("network.transport", "unix");
            None
        }
        None => None,
    };
    // Who the request was addressed to: as it says itself, and the connection's own end where it says nothing.
    let asked = inet.map(|(local, remote)| if exchange.role == Role::Server { local } else { remote });
    let (host, port) = match &exchange.server {
        Some((host, port)) => (Some(Cow::Borrowed(&**host)), *port),
        None => (asked.map(|(address, _)| Cow::Owned(address.to_string())), None),
    };
    if exchange.role == Role::Server {
        out.text(schema.target, exchange.target.to_string());
        out.text(schema.route, route.to_owned());
    } else if let Some(url) = url(exchange, host.as_deref(), port, asked.map(|(_, port)| port)) {
        out.text(schema.target_full, url);
    }
    if let Some(host) = host {
        out.text("server.address", host.trim_matches(['[', ']']).to_owned());
        if let Some(port) = port.or(asked.map(|(_, port)| port)) {
            out.int("server.port", port.into());
        }
    }
    if detail == Detail::Required {
        return;
    }
    if let Some((local, remote)) = inet {
        if exchange.role == Role::Server {
            out.address("client.address", remote.0);
        }
        out.address("network.peer.address", remote.0);
        out.int("network.peer.port", remote.1.into());
        out.address("network.local.address", local.0);
        out.int("network.local.port", local.1.into());
    }
    if let Some(agent) = &exchange.agent {
        out.text(schema.agent, agent.to_string());
    }
    if let Some(size) = exchange.request_body {
        out.int(schema.request_body, size as i64);
    }
    if let Some(size) = exchange.response_body {
        out.int(schema.response_body, size as i64);
    }
}

/// `scheme://host[:port]path`. The query is not captured, so it is not there; targets that are no path (`*`, an authority)
/// have no such form. The connection's port stands in only where its address does.
fn url(exchange: &Exchange, host: Option<&str>, port: Option<u16>, connected: Option<u16>) -> Option<String> {
    let host = host.filter(|_| exchange.target.starts_with('/') && !exchange.schema.target_full.is_empty())?;
    let port = port.or(if exchange.server.is_none() { connected } else { None });
    let scheme = exchange.schema.scheme.1;
    let mut url = String::with_capacity(scheme.len() + host.len() + exchange.target.len() + 12);
    url.push_str(scheme);
    url.push_str("://");
    let bare_v6 = host.contains(':') && !host.starts_with('[');
    for part in if bare_v6 { ["[", host, "]"] } else { ["", host, ""] } {
        url.push_str(part);
    }
    if let Some(port) = port {
        // Writing to a String does not fail.
        let _ = write!(url, ":{port}");
    }
    url.push_str(&exchange.target);
    Some(url)
}

/// Attributes being collected. An empty name or an empty text is left out: the protocol has no such thing.
struct Attributes(Vec<Attribute>);

impl Attributes {
    fn text(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        let value = value.into();
        if !name.is_empty() && !value.is_empty() {
            self.0.push((Cow::Borrowed(name), AttributeValue::Text(value)));
        }
    }
    fn int(&mut self, name: &'static str, value: i64) {
        if !name.is_empty() {
            self.0.push((Cow::Borrowed(name), AttributeValue::Int(value)));
        }
    }
    fn address(&mut self, name: &'static str, value: IpAddr) {
        self.text(name, value.to_string());
    }
}
