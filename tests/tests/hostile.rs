//! Input that is no good: the agent neither falls over nor grows, and the good requests beside it are still right.

use onlooker_tests::agent::{Agent, shared};
use onlooker_tests::case::{Role, expect};
use onlooker_tests::http::{Connection, Stream, Target, get, request};
use onlooker_tests::need;
use onlooker_tests::require::Need;
use onlooker_tests::servers::{Nginx, NginxOptions, Server};
use std::io::{Read, Write};
use std::net::TcpListener;

const RESIDENT_LIMIT: u64 = 60 << 20;

/// Bytes that look random and are the same in every run (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut x = seed | 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes.extend_from_slice(&x.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// After whatever happened: alive, small, no panic, and right about a new request.
fn unharmed(case: &str) {
    let server = Server::raw(case, "127.0.0.1").unwrap();
    for n in 0..5 {
        get(&server.target, &format!("/ok/{n}"), &[]).unwrap();
    }
    let log = server.log.wait(5).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        small_and_calm(agent);
    }
}

fn small_and_calm(agent: &Agent) {
    let said = agent.program.stderr();
    assert!(!said.contains("panicked"), "{}: {said}", agent.hooks);
    let resident = agent.program.resident_bytes().unwrap();
    assert!(resident < RESIDENT_LIMIT, "{}: {resident} bytes", agent.hooks);
}

/// Sends bytes to nginx and reads until it closes; how nginx answers is its own affair.
fn pour(target: &Target, bytes: &[u8]) {
    let mut stream = Stream::connect(target).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

/// Random bytes on an HTTP port, 500 connections of it, also behind a valid start.
#[test]
fn random_bytes() {
    need!(Need::Agent, Need::Program("nginx"));
    shared();
    let nginx = Nginx::start("noise", &NginxOptions::default()).unwrap();
    for n in 0..500u64 {
        let mut bytes = match n % 5 {
            0 => Vec::new(),
            1 => b"GET ".to_vec(),
            2 => b"GET /ok HTTP/1.1\r\n".to_vec(),
            3 => b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        };
        bytes.extend(noise(n + 1, (n as usize * 37) % 9000));
        pour(&nginx.server.target, &bytes);
    }
    unharmed("afternoise");
}

/// One megabyte of head, whole and in pieces, and heads of a megabyte that never end.
#[test]
fn megabyte_heads() {
    need!(Need::Agent, Need::Program("nginx"));
    shared();
    let options = NginxOptions {
        http: "large_client_header_buffers 4 2m;".into(),
        ..NginxOptions::default()
    };
    let nginx = Nginx::start("megabyte", &options).unwrap();
    let long = "h".repeat(1 << 20);
    let mut connection = Connection::open(&nginx.server.target).unwrap();
    connection
        .send(&request("GET", "/ok/one", &[("X-Long", &long)], b""))
        .unwrap();
    assert_eq!(connection.response("GET").unwrap().status, 200);
    connection.exchange("GET", "/ok/two", b"").unwrap();
    connection
        .send_pieces(&request("GET", "/ok/three", &[("X-Long", &long)], b""), 10_000)
        .unwrap();
    assert_eq!(connection.response("GET").unwrap().status, 200);
    let log = nginx.server.log.wait(3).unwrap();
    expect(&nginx.server.service, Role::Server, &log);
    for n in 0..20 {
        pour(
            &nginx.server.target,
            format!("GET /{n} HTTP/1.1\r\nX: {long}").as_bytes(),
        );
        pour(&nginx.server.target, format!("GET /{long}").as_bytes());
        pour(&nginx.server.target, long.as_bytes());
    }
    unharmed("aftermegabyte");
}

/// Binary traffic that is not HTTP at all, in both directions, for megabytes: it is dropped cheaply, and no request is seen.
#[test]
fn binary_traffic() {
    need!(Need::Agent);
    shared();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().take(50) {
                let mut stream = stream.unwrap();
                let mut buffer = vec![0; 65_536];
                while let Ok(got) = stream.read(&mut buffer) {
                    if got == 0 || stream.write_all(&buffer[..got]).is_err() {
                        break;
                    }
                }
            }
        });
        for n in 0..50 {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            let bytes = noise(n + 7, 60_000);
            let mut back = vec![0; bytes.len()];
            for _ in 0..4 {
                stream.write_all(&bytes).unwrap();
                stream.read_exact(&mut back).unwrap();
                assert_eq!(back, bytes);
            }
        }
    });
    unharmed("afterbinary");
    for agent in shared() {
        let port = addr.port().to_string();
        let invented = agent.spans_where(|span| {
            span.text("server.port") == port || span.int("server.port") == Some(addr.port().into())
        });
        assert!(invented.is_empty(), "{}: {invented:?}", agent.hooks);
    }
}

/// A peer that sends one byte a second: the exchange is counted when it is whole, and not before.
#[test]
fn one_byte_a_second() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("slow", "127.0.0.1").unwrap();
    let mut connection = Connection::open(&server.target).unwrap();
    // The end of the head comes slowly; the shortest head of all would take as long.
    connection.send(b"GET /ok/slow HTTP/1.1\r\nHost:").unwrap();
    for byte in b" a\r\n\r\n" {
        for agent in shared() {
            let labels = [("service_name", server.service.as_str())];
            let scrape = agent.scrape().unwrap();
            assert_eq!(
                scrape.sum("http_server_request_duration_seconds_count", &labels),
                0.0,
                "{}",
                agent.hooks
            );
        }
        std::thread::sleep(std::time::Duration::from_secs(1)); // the peer's pace
        connection.send(&[*byte]).unwrap();
    }
    assert_eq!(connection.response("GET").unwrap().status, 200);
    let log = server.log.wait(1).unwrap();
    expect(&server.service, Role::Server, &log);
    onlooker_tests::case::expect_durations(&server.service, Role::Server, &log, 0.05);
}

/// Thousands of pipelined requests that nobody reads the answers of: the limit holds, and what it refused is counted.
#[test]
fn endless_pipeline() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("pipeline", "127.0.0.1").unwrap();
    let mut connection = Connection::open(&server.target).unwrap();
    connection.send(&request("GET", "/hang", &[], b"")).unwrap();
    let many = request("GET", "/never", &[], b"").repeat(5000);
    connection.send(&many).unwrap();
    drop(connection);
    server.log.wait(1).unwrap();
    unharmed("afterpipeline");
}

/// Paths without end: the routes of a service are capped, the counts are not.
#[test]
fn endless_routes() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("routes", "127.0.0.1").unwrap();
    let word = |n: u32| -> String {
        let letters = [n / 676 % 26, n / 26 % 26, n % 26];
        letters.iter().map(|l| char::from(b'a' + *l as u8)).collect()
    };
    let mut connection = Connection::open(&server.target).unwrap();
    for n in 0..3000 {
        let path = format!("/ok/{}/{}", word(n), word(n.wrapping_mul(7919)));
        connection.exchange("GET", &path, b"").unwrap();
    }
    let log = server.log.wait(3000).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        let scrape = agent.scrape().unwrap();
        let labels = [("service_name", server.service.as_str())];
        let routes: Vec<&str> = scrape
            .select("http_server_request_duration_seconds_count", &labels)
            .map(|sample| sample.label("http_route"))
            .collect();
        assert!(routes.len() < 1000, "{}: {} routes", agent.hooks, routes.len());
        // Words without end at one place of the path are values, not routes.
        let collapsed = |route: &&str| *route == "_OTHER" || route.contains('{');
        assert!(routes.iter().any(collapsed), "{}: {:?}", agent.hooks, &routes[..3]);
    }
}
