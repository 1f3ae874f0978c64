//! Loads: exact counts, no losses, bounded memory.

use onlooker_tests::agent::{Agent, Options, alone, hooks};
use onlooker_tests::bpf::{Loaded, map_bytes};
use onlooker_tests::case::{Role, expect_metrics};
use onlooker_tests::http::{Connection, get};
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::process::output;
use onlooker_tests::require::{Need, say, which};
use onlooker_tests::servers::{Kind, Nginx, Server};
use onlooker_tests::wait;
use std::process::Command;

const RESIDENT_LIMIT: u64 = 40 << 20;
const MAPS_LIMIT: u64 = 16 << 20;

fn agent(hooks: &'static str, args: &[&str]) -> Agent {
    let options = Options {
        hooks: Some(hooks),
        args: args.iter().map(|arg| (*arg).into()).collect(),
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// Plays a load, which gives the number of its requests, up to three times until one lost nothing; counts by status equal the access
/// log each time. A virtual machine whose host gives one of its processors to somebody else makes any reader late, and what
/// finds the ring full meanwhile is told as lost.
fn nothing_lost(agent: &Agent, server: &Server, load: impl Fn() -> usize) {
    let mut requests = 0;
    let mut lost = vec![0.0];
    while lost.len() <= 3 {
        requests += load();
        let log = server.log.wait(requests).unwrap();
        assert_eq!(log.len(), requests);
        agent.settle().unwrap();
        expect_metrics(agent, &server.service, Role::Server, &log).unwrap();
        lost.push(agent.lost().unwrap());
        if lost[lost.len() - 1] == lost[lost.len() - 2] {
            return;
        }
        say(&format!("{}: {lost:?} lost so far", agent.hooks));
    }
    panic!("{}: each load lost something: {lost:?}", agent.hooks);
}

/// Exactly 100,000 requests over 64 keep-alive connections to nginx: counts by status equal the access log, nothing is lost,
/// and memory stays within its limits.
#[test]
fn nginx_100k_exact() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("bpftool"));
    let _alone = alone();
    for &hooks in hooks() {
        let before = Loaded::now().unwrap();
        let mut agent = agent(hooks, &[]);
        let own = Loaded::now().unwrap().without(&before);
        let at_start = agent.program.resident_bytes().unwrap();
        let nginx = Nginx::mixed("load", "").unwrap();
        nothing_lost(&agent, &nginx.server, || {
            get_many(&nginx.server.target, 64, 100_000, &Nginx::MIXED).unwrap();
            100_000
        });
        agent.check().unwrap();
        let resident = agent.program.resident_bytes().unwrap();
        let maps = map_bytes(&own.maps).unwrap();
        say(&format!(
            "{hooks}: resident {at_start} at start, {resident} after the load; maps {maps} bytes"
        ));
        assert!(
            at_start < RESIDENT_LIMIT && resident < RESIDENT_LIMIT,
            "{hooks}: {at_start}, {resident}"
        );
        assert!(maps > 0 && maps < MAPS_LIMIT, "{hooks}: {maps}");
    }
}

/// wrk with 64 connections at full speed: counts by status equal the access log. Of detail some may be lost: the ring holds some
/// 25 ms of this load, and a host on which something else runs keeps the reader waiting for longer.
#[test]
fn nginx_wrk() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("wrk"));
    let _alone = alone();
    for &hooks in hooks() {
        let mut agent = agent(hooks, &[]);
        let nginx = Nginx::mixed("wrk", "").unwrap();
        let mut command = Command::new(which("wrk").unwrap());
        command
            .args(["-t2", "-c64", "-d4s"])
            .arg(format!("{}/ok", nginx.server.url()));
        let said = output(command).unwrap();
        let log = nginx.server.whole_log().unwrap();
        say(&format!("{hooks}: {} requests logged; wrk says: {said}", log.len()));
        assert!(log.len() > 10_000, "{said}");
        agent.settle().unwrap();
        expect_metrics(&agent, &nginx.server.service, Role::Server, &log).unwrap();
        let lost = agent.lost().unwrap();
        say(&format!("{hooks}: {lost} records found the ring full"));
        assert!(lost < 0.2 * log.len() as f64, "{hooks}: {lost} of {}", log.len());
        let resident = agent.program.resident_bytes().unwrap();
        assert!(resident < RESIDENT_LIMIT, "{hooks}: {resident}");
        agent.check().unwrap();
    }
}

/// The other servers at their own pace: counts by status equal the access log, nothing is lost.
fn at_own_pace(kind: Kind, total: u64) {
    need!(Need::Agent, kind.need());
    let _alone = alone();
    for &hooks in hooks() {
        let agent = agent(hooks, &[]);
        let server = Server::start(kind, "pace").unwrap();
        nothing_lost(&agent, &server, || {
            get_many(&server.target, 64, total, &["/ok", "/status/404", "/ok", "/status/500"]).unwrap();
            total as usize
        });
    }
}

/// Python's standard library.
#[test]
fn python() {
    at_own_pace(Kind::PythonStdlib, 5_000);
}

/// Flask under gunicorn.
#[test]
fn gunicorn() {
    at_own_pace(Kind::Gunicorn, 3_000);
}

/// aiohttp.
#[test]
fn aiohttp() {
    at_own_pace(Kind::Aiohttp, 5_000);
}

/// Node.
#[test]
fn node() {
    at_own_pace(Kind::Node, 20_000);
}

/// Go.
#[test]
fn go() {
    at_own_pace(Kind::Go, 50_000);
}

/// 10,000 connections at once: memory stays within its limits, and what a full table refuses is counted; with room for all,
/// all are seen.
#[test]
fn ten_thousand_connections() {
    need!(Need::Agent, Need::Program("nginx"));
    let _alone = alone();
    for &hooks in hooks() {
        for limit in [None, Some(1000), Some(32768)] {
            ten_thousand(hooks, limit);
        }
    }
}

fn ten_thousand(hooks: &'static str, limit: Option<u32>) {
    let options = ["connections", "tcp-connections"].map(|name| limit.map(|limit| format!("--limits.{name}={limit}")));
    let options: Vec<&str> = options.iter().flatten().map(String::as_str).collect();
    let mut agent = agent(hooks, &options);
    let nginx = Nginx::mixed("many", "").unwrap();
    let mut connections = Vec::new();
    for _ in 0..10_000 {
        let mut connection = Connection::open(&nginx.server.target).unwrap();
        assert_eq!(connection.exchange("GET", "/ok", b"").unwrap().status, 200);
        connections.push(connection);
    }
    let log = nginx.server.log.wait(10_000).unwrap();
    agent.settle().unwrap();
    agent.check().unwrap();
    let scrape = agent.scrape().unwrap();
    let refused = scrape.sum("onlooker_events_lost_total", &[("reason", "table_full")]);
    let resident = agent.program.resident_bytes().unwrap();
    say(&format!(
        "{hooks}, {limit:?}: {refused} refused, {resident} bytes resident"
    ));
    match limit {
        Some(32768) => {
            assert_eq!(agent.lost().unwrap(), 0.0, "{hooks}");
            expect_metrics(&agent, &nginx.server.service, Role::Server, &log).unwrap();
        }
        // Both ends of every connection are on this host: more than a default table holds.
        _ => {
            assert!(refused > 0.0, "{hooks}");
            assert!(resident < RESIDENT_LIMIT, "{hooks}: {resident}");
        }
    }
    // With the connections gone there is room again, and the next one is seen.
    drop(connections);
    let labels = [
        ("service_name", nginx.server.service.as_str()),
        ("http_response_status_code", "503"),
    ];
    wait::until("room in the table", wait::SOON, || {
        get(&nginx.server.target, "/bad", &[])?;
        let count = agent
            .scrape()?
            .sum("http_server_request_duration_seconds_count", &labels);
        anyhow::ensure!(count > 0.0, "not seen");
        Ok(())
    })
    .unwrap();
}
