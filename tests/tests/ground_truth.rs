//! The ground truth itself, without the agent: what the driver sent and what each program logged are the same. When one of
//! these fails, the other tests mean nothing.

use onlooker_tests::http::Connection;
use onlooker_tests::need;
use onlooker_tests::require::Need;
use onlooker_tests::servers::{Kind, Nginx, NginxOptions, Server, ask, drive};
use onlooker_tests::steps::Step;
use onlooker_tests::truth::{Counts, statuses};
use onlooker_tests::wrk::{Wrk, expect_logged};
use onlooker_tests::{load, metrics::Scrape, process};

fn check(kind: Kind) {
    need!(kind.need());
    let server = Server::start(kind, "truth").unwrap();
    let sent = load::mixture(&server.target).unwrap();
    let log = server.log.wait(sent).unwrap();
    assert_eq!(log.len(), sent);
    assert!(log.iter().all(|request| request.status.is_some()));
    assert!(log.iter().all(|request| request.seconds.is_some()));
    let echoed = log.iter().filter(|request| request.path == "/echo").count();
    assert_eq!(echoed, 4);
}

/// Python's standard library logs what was sent.
#[test]
fn python_stdlib() {
    check(Kind::PythonStdlib);
}

/// Python's standard library in HTTP/1.0 logs what was sent.
#[test]
fn python_http10() {
    check(Kind::PythonHttp10);
}

/// Flask under werkzeug logs what was sent.
#[test]
fn werkzeug() {
    check(Kind::Werkzeug);
}

/// Flask under gunicorn logs what was sent.
#[test]
fn gunicorn() {
    check(Kind::Gunicorn);
}

/// aiohttp logs what was sent.
#[test]
fn aiohttp() {
    check(Kind::Aiohttp);
}

/// Node logs what was sent.
#[test]
fn node() {
    check(Kind::Node);
}

/// Go logs what was sent.
#[test]
fn go() {
    check(Kind::Go);
}

/// nginx logs what was sent, over many connections.
#[test]
fn nginx() {
    need!(Need::Program("nginx"));
    let nginx = Nginx::start("truth", &NginxOptions::default()).unwrap();
    load::get_many(&nginx.server.target, 8, 1000, &["/ok", "/none"]).unwrap();
    let log = nginx.server.log.wait(1000).unwrap();
    assert_eq!(log.len(), 1000);
    assert_eq!(log.iter().filter(|request| request.status == Some(404)).count(), 500);
}

/// wrk and nginx agree, but for the requests that were on their way when wrk ended; with keep-alive and without.
#[test]
fn wrk() {
    need!(Need::Program("nginx"), Need::Program("wrk"));
    for close in [false, true] {
        let nginx = Nginx::mixed("truth", "").unwrap();
        let mut wrk = Wrk::start(&nginx.server.target, 1, &Nginx::MIXED, close).unwrap();
        let answers = wrk.finish().unwrap();
        assert_eq!(answers.keys().copied().collect::<Vec<_>>(), [200, 404, 503]);
        expect_logged(&answers, &statuses(&nginx.server.whole_log().unwrap()));
    }
}

/// The raw client's own load and nginx agree exactly, with keep-alive and without.
#[test]
fn raw_load() {
    need!(Need::Program("nginx"));
    for close in [false, true] {
        let nginx = Nginx::mixed("truth", "").unwrap();
        let load = load::Load {
            connections: 8,
            total: 1000,
            paths: Nginx::MIXED.map(String::from).to_vec(),
            close,
        };
        let answers = drive("truth-client", &nginx.server.target, &load).unwrap();
        assert_eq!(answers, Counts::from([(200, 600), (404, 200), (503, 200)]));
        assert_eq!(answers, statuses(&nginx.server.whole_log().unwrap()));
    }
}

/// The raw server and the raw client agree about statuses and sizes, and both took the time of a pause. (Which of them took longer
/// depends on who is scheduled after the last byte.)
#[test]
fn raw() {
    let server = Server::raw("truth", "127.0.0.1").unwrap();
    let mut steps = Step::exchange("GET", "/sleep/20", "");
    steps.extend(Step::exchange("POST", "/echo", "body"));
    let answers = ask("truth-client", &server.target, &steps).unwrap();
    assert_eq!(
        answers.iter().map(|answer| answer.status).collect::<Vec<_>>(),
        [200, 200]
    );
    assert_eq!(answers[1].body_bytes, 4);
    let log = server.log.wait(2).unwrap();
    assert_eq!(log[1].request_body, Some(4));
    assert!(log[0].seconds.unwrap() >= 0.02 && answers[0].seconds >= 0.02);
}

/// Every family of system calls carries the same exchanges, as both ends say.
#[test]
fn syscalls() {
    for family in onlooker_tests::servers::FAMILIES {
        let pair = onlooker_tests::servers::syscall_pair(family, 5).unwrap();
        let log = pair.server.log.wait(5).unwrap();
        assert_eq!(log.len(), 5, "{family}");
        assert_eq!(pair.asked.len(), 5, "{family}");
    }
}

/// What a test starts is gone when its guard is dropped.
#[test]
fn guards_kill() {
    let server = Server::raw("truth", "127.0.0.1").unwrap();
    let (target, pid) = (server.target.clone(), server.program.pid());
    Connection::open(&target).unwrap();
    drop(server);
    assert!(Connection::open(&target).is_err());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_ne!(process::unique("a"), process::unique("a"));
}

/// An empty scrape has no samples: comparisons with it cannot pass by accident.
#[test]
fn empty_scrape() {
    let scrape = Scrape::parse("").unwrap();
    assert!(!scrape.has("http_server_request_duration_seconds_count", &[]));
}
