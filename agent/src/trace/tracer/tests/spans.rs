//! What spans say.

use super::*;
use crate::protocol::exchange::ErrorType;
use crate::trace::span::{AttributeValue, SpanKind};

fn texts(span: &Span) -> String {
    let lines = span.attributes.iter().map(|(name, value)| match value {
        AttributeValue::Text(text) => format!("{name}={text}"),
        AttributeValue::Int(number) => format!("{name}:{number}"),
        other => panic!("{other:?}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn built(exchange: &Exchange, peer: &Peer) -> Span {
    let mut bench = Bench::new(TracerConfig::default());
    bench.begin(exchange);
    bench.end(exchange, peer).span.unwrap()
}

#[test]
fn server_span() {
    let mut one = exchange(1, Role::Server, 1);
    one.agent = Some("curl/8".into());
    one.request_body = Some(0);
    one.response_body = Some(5);
    let span = built(&one, &remote());
    assert_eq!(
        (span.name.as_str(), span.kind, span.error),
        ("GET /a/{id}", SpanKind::Server, false)
    );
    assert_eq!((span.start, span.end), (1_000 * SECOND, 1_001 * SECOND));
    let expect = "http.request.method=GET\nhttp.response.status_code:200\nurl.scheme=http\nnetwork.protocol.version=1.1\n\
        url.path=/a/7\nhttp.route=/a/{id}\nserver.address=shop.example\nserver.port:80\nclient.address=192.0.2.9\n\
        network.peer.address=192.0.2.9\nnetwork.peer.port:40000\nnetwork.local.address=192.0.2.1\n\
        network.local.port:80\nuser_agent.original=curl/8\nhttp.request.body.size:0\nhttp.response.body.size:5";
    assert_eq!(texts(&span), expect);
}

#[test]
fn client_span() {
    let mut one = exchange(1, Role::Client, 1);
    one.server = Some(("[2001:db8::1]".into(), Some(8080)));
    one.operation = "_OTHER".into();
    one.operation_original = Some("BREW".into());
    one.status = Some(404);
    let span = built(&one, &Peer::Unix);
    assert_eq!(
        (span.name.as_str(), span.kind, span.error),
        ("HTTP", SpanKind::Client, true)
    );
    let expect = "http.request.method=_OTHER\nhttp.request.method_original=BREW\nhttp.response.status_code:404\n\
        error.type=400\nurl.scheme=http\nnetwork.protocol.version=1.1\nnetwork.transport=unix\n\
        url.full=http://[2001:db8::1]:8080/a/7\nserver.address=2001:db8::1\nserver.port:8080";
    assert_eq!(texts(&span), expect);
}

#[test]
fn urls() {
    let check = |server: Option<(&str, Option<u16>)>, target: &str, expect: Option<&str>| {
        let mut one = exchange(1, Role::Client, 1);
        one.server = server.map(|(host, port)| (host.into(), port));
        one.target = target.into();
        let span = built(&one, &remote());
        let url = span
            .attributes
            .iter()
            .find(|(name, _)| name == "url.full")
            .map(|(_, value)| value.clone());
        assert_eq!(url, expect.map(|url| AttributeValue::Text(url.to_owned().into())));
    };
    check(Some(("shop.example", None)), "/", Some("http://shop.example/"));
    check(Some(("2001:db8::1", Some(81))), "/x", Some("http://[2001:db8::1]:81/x"));
    check(None, "/x", Some("http://192.0.2.9:40000/x"));
    check(Some(("shop.example", None)), "*", None);
    check(Some(("shop.example", None)), "shop.example:443", None);
}

#[test]
fn errors() {
    let check = |role, status, error, expect: (bool, Option<&str>)| {
        let mut one = exchange(1, role, 1);
        (one.status, one.error) = (status, error);
        let span = built(&one, &remote());
        let kind = span
            .attributes
            .iter()
            .find(|(name, _)| name == "error.type")
            .map(|(_, value)| value.clone());
        let text = expect.1.map(|text| AttributeValue::Text(text.to_owned().into()));
        assert_eq!((span.error, kind), (expect.0, text));
    };
    check(Role::Server, Some(404), None, (false, None));
    check(Role::Server, Some(500), None, (true, Some("500")));
    check(Role::Client, Some(404), None, (true, Some("400")));
    check(
        Role::Server,
        None,
        Some(ErrorType::Reset),
        (true, Some("connection_reset")),
    );
    check(
        Role::Client,
        Some(200),
        Some(ErrorType::PeerClosed),
        (true, Some("peer_closed")),
    );
    // Our own blindness is no error of the program.
    check(
        Role::Client,
        None,
        Some(ErrorType::NotCaptured),
        (false, Some("not_captured")),
    );
}

#[test]
fn routes_in_names() {
    let check = |role, route: &str, expect: &str| {
        let mut bench = Bench::new(TracerConfig::default());
        let one = exchange(1, role, 1);
        let span = bench.tracer.end(&one, &bench.service, route, None).span.unwrap();
        assert_eq!(span.name, expect);
    };
    check(Role::Server, "/a", "GET /a");
    check(Role::Server, "", "GET");
    check(Role::Server, "_OTHER", "GET");
    check(Role::Client, "/a", "GET");
}
