//! Servers as people run them. What every agent reports must be what the server's own access log says.

use onlooker_tests::agent::shared;
use onlooker_tests::case::{Role, expect, expect_body_sizes, expect_durations, pairs};
use onlooker_tests::http::{Connection, get, request};
use onlooker_tests::load;
use onlooker_tests::need;
use onlooker_tests::require::{Need, have, say};
use onlooker_tests::servers::{Kind, Server};
use onlooker_tests::wait::{eased, slow};

/// The standard mixture: counts by method, path and status.
fn mixture(kind: Kind) {
    shared();
    let server = Server::start(kind, "mixture").unwrap();
    let sent = load::mixture(&server.target).unwrap();
    let log = server.log.wait(sent).unwrap();
    assert_eq!(log.len(), sent);
    expect(&server.service, Role::Server, &log);
}

/// 1,000 requests (less on slow machines) to a handler that sleeps a known time. None takes less than that, and most no more than
/// their client waited: a client may have the last byte before the server's call that sent it is over, and where the server is
/// preempted there, its end is later. On a machine of its own the program's measure of each is compared, too: what frameworks do
/// before and after it is no small time on an emulated processor.
fn durations(kind: Kind, limit_seconds: f64) {
    // A timer of Node may fire a millisecond early.
    const LEAST: f64 = 0.004;
    shared();
    let server = Server::start(kind, "durations").unwrap();
    let count = eased(1000);
    let paths: Vec<String> = (0..count).map(|n| format!("/sleep/5/n{n}")).collect();
    let waited = load::get_timed(&server.target, 4, &paths).unwrap();
    let log = server.log.wait(paths.len()).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        let pairs = pairs(agent, &server.service, Role::Server, &log);
        assert_eq!(pairs.len(), paths.len());
        let least = pairs.iter().map(|(_, span)| span.seconds).fold(f64::MAX, f64::min);
        let later = pairs
            .iter()
            .filter(|(request, span)| span.seconds > waited[&request.path]);
        let later = later.count();
        let figures = format!(
            "--capture.hooks={}: none took less than {least} s, {later} of {} ended after their client's wait",
            agent.hooks,
            pairs.len()
        );
        say(&figures);
        assert!(least >= LEAST && later * 2 < pairs.len(), "{figures}");
    }
    if slow() == 1 {
        expect_durations(&server.service, Role::Server, &log, limit_seconds);
    }
}

/// Sizes of response bodies from nothing to megabytes.
fn sizes(kind: Kind) {
    shared();
    let server = Server::start(kind, "sizes").unwrap();
    let mut connection = Connection::open(&server.target).unwrap();
    for size in [0, 1, 255, 256, 4095, 4096, 16_385, 65_536, 1_000_003, 5_000_000] {
        let path = format!("/bytes/{size}");
        let answer = connection.exchange("GET", &path, b"").unwrap();
        assert_eq!(answer.body.len(), size);
        if answer.closes() {
            connection = Connection::open(&server.target).unwrap();
        }
    }
    let log = server.log.wait(10).unwrap();
    expect(&server.service, Role::Server, &log);
    expect_body_sizes(&server.service, Role::Server, &log);
}

/// A case for one server of each language that is there.
fn each_language(case: impl Fn(Kind)) {
    for kind in Kind::LANGUAGES {
        if have(&[Need::Agent, kind.need()]) {
            shared();
            case(kind);
        }
    }
}

macro_rules! every_server {
    ($($name:ident, $kind:expr, $limit:expr;)*) => {$(
        mod $name {
            use super::*;
            /// Counts equal the access log.
            #[test]
            fn counts() {
                need!(Need::Agent, $kind.need());
                mixture($kind);
            }
            /// Durations equal the program's own.
            #[test]
            fn times() {
                need!(Need::Agent, $kind.need());
                durations($kind, $limit);
            }
            /// Sizes equal what was sent.
            #[test]
            fn sizes() {
                need!(Need::Agent, $kind.need());
                super::sizes($kind);
            }
        }
    )*};
}

// Flask and aiohttp measure inside the framework, after it has read the head and chosen the handler: their own measure is
// shorter by that work, which is part of the duration as it is defined here.
every_server! {
    python_stdlib, Kind::PythonStdlib, 0.000_3;
    werkzeug, Kind::Werkzeug, 0.002;
    gunicorn, Kind::Gunicorn, 0.002;
    aiohttp, Kind::Aiohttp, 0.002;
    node, Kind::Node, 0.000_6;
    go, Kind::Go, 0.000_3;
}

/// HTTP/1.0 without keep-alive: bodies end with the connection, and the version is reported.
#[test]
fn http10() {
    need!(Need::Agent, Need::Program("python3"));
    mixture(Kind::PythonHttp10);
    let server = Server::start(Kind::PythonHttp10, "http10").unwrap();
    let mut connection = Connection::open(&server.target).unwrap();
    connection.send(b"GET /ok HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(connection.response("GET").unwrap().status, 200);
    let log = server.log.wait(1).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        let scrape = agent.scrape().unwrap();
        let labels = [
            ("service_name", server.service.as_str()),
            ("network_protocol_version", "1.0"),
            ("url_scheme", "http"),
        ];
        assert_eq!(
            scrape.sum("http_server_request_duration_seconds_count", &labels),
            1.0,
            "{}",
            agent.hooks
        );
    }
}

/// A body that is announced with `Expect: 100-continue` is one exchange with the final status.
#[test]
fn expect_continue() {
    each_language(|kind| {
        let server = Server::start(kind, "continue").unwrap();
        let mut connection = Connection::open(&server.target).unwrap();
        let all = request("POST", "/echo", &[("Expect", "100-continue")], b"body");
        let (head, body) = all.split_at(all.len() - 4);
        connection.send(head).unwrap();
        let interim = connection.head().unwrap();
        assert_eq!(interim.word(1), "100", "{kind:?}");
        connection.send(body).unwrap();
        assert_eq!(connection.response("POST").unwrap().status, 200, "{kind:?}");
        let log = server.log.wait(1).unwrap();
        expect(&server.service, Role::Server, &log);
    });
}

/// An answer that comes before the body was read has its status, whatever becomes of the body.
#[test]
fn early_answers() {
    each_language(|kind| {
        let server = Server::start(kind, "early").unwrap();
        let mut connection = Connection::open(&server.target).unwrap();
        connection
            .send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\npart")
            .unwrap();
        assert_eq!(connection.response("POST").unwrap().status, 413, "{kind:?}");
        let log = server.log.wait(1).unwrap();
        expect(&server.service, Role::Server, &log);
    });
}

/// Many connections at once, each with requests of its own: nothing is mixed up.
#[test]
fn many_connections() {
    each_language(|kind| {
        let server = Server::start(kind, "many").unwrap();
        let paths = [
            "/ok",
            "/status/404",
            "/status/500",
            "/bytes/20000",
            "/status/204",
            "/chunked",
        ];
        let count = eased(3000);
        load::get_many(&server.target, 32, count.into(), &paths).unwrap();
        let log = server.log.wait(count as usize).unwrap();
        assert_eq!(log.len(), count as usize);
        expect(&server.service, Role::Server, &log);
    });
}

/// 5xx carry `error.type` on a server, 4xx do not; the query of a path is nowhere.
#[test]
fn errors_and_secrets() {
    need!(Need::Agent, Need::Program("node"));
    shared();
    let server = Server::start(Kind::Node, "errors").unwrap();
    for path in ["/status/500?password=hunter2", "/status/404?password=hunter2"] {
        get(
            &server.target,
            path,
            &[("Authorization", "hunter2"), ("Cookie", "hunter2")],
        )
        .unwrap();
    }
    let log = server.log.wait(2).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        for span in agent.spans(&server.service, "SERVER") {
            let wanted = if span.status() == Some(500) { "500" } else { "" };
            assert_eq!(span.text("error.type"), wanted, "{}", agent.hooks);
        }
        let leaked = agent.spans_where(|span| format!("{span:?}").contains("hunter2"));
        assert!(leaked.is_empty(), "{}: {leaked:?}", agent.hooks);
        let text = agent.get("/metrics", &[]).unwrap().text();
        assert!(!text.contains("hunter2"), "{}", agent.hooks);
        let scrape = agent.scrape().unwrap();
        let count = |error: &str| {
            let labels = [("service_name", server.service.as_str()), ("error_type", error)];
            scrape.sum("http_server_request_duration_seconds_count", &labels)
        };
        assert_eq!((count("500"), count("")), (1.0, 1.0), "{}", agent.hooks);
    }
}
