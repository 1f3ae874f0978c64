//! Overload: a ring far too small, or an agent that does not run. Counts by service, role and status stay exact; only routes
//! and spans thin out.

use onlooker_tests::agent::{Agent, Options, alone};
use onlooker_tests::case::{End, Role, expect_answers};
use onlooker_tests::load::Load;
use onlooker_tests::need;
use onlooker_tests::process::unique;
use onlooker_tests::require::{Need, say};
use onlooker_tests::servers::{Kind, Nginx, Server, ask, drive};
use onlooker_tests::steps::{Answer, Step};
use onlooker_tests::truth::{Counts, count, statuses};
use onlooker_tests::wait;
use onlooker_tests::wrk::{self, Wrk, expect_logged};
use std::time::Duration;

/// Each case once per way to capture.
macro_rules! both_hooks {
    ($($(#[$doc:meta])* $name:ident: $($need:expr),*;)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;
            /// By the socket tracepoints.
            #[test]
            fn socket() {
                need!(Need::Agent, $($need),*);
                let _alone = alone();
                super::$name("socket");
            }
            /// By the exit of system calls.
            #[test]
            fn syscall() {
                need!(Need::Agent, $($need),*);
                let _alone = alone();
                super::$name("syscall");
            }
        }
    )*};
}

both_hooks! {
    /// Keep-alive at full speed.
    keep_alive: Need::Program("nginx"), Need::Program("wrk");
    /// A connection for each request.
    connection_per_request: Need::Program("nginx");
    /// Spans take another way through the agent: they thin out, the counts do not.
    with_spans: Need::Program("nginx");
    /// The agent is stopped for three seconds, and load goes on after it.
    stopped_in_between: Need::Program("nginx"), Need::Program("wrk");
    /// The load ends while the agent is stopped.
    stopped_at_the_end: Need::Program("nginx"), Need::Program("wrk");
    /// Go, beside a flood that keeps the ring full.
    go: Kind::Go.need(), Need::Program("nginx"), Need::Program("wrk");
    /// Python, which sends head and body separately, beside the flood.
    python: Kind::PythonStdlib.need(), Need::Program("nginx"), Need::Program("wrk");
    /// Answers that take their time after their head, beside the flood.
    slow_answers: Need::Program("nginx"), Need::Program("wrk");
    /// The same while the agent is stopped and the ring is full: none of them is seen by it.
    slow_answers_unseen: Need::Program("nginx"), Need::Program("wrk");
}

/// The smallest ring there is.
const TINY: &str = "--limits.ring-bytes=64KiB";
/// Bounds are compared with durations that the ends measured themselves, which sees less, or more, than the kernel does. The
/// durations of the cases are further than this from every bound.
const CLOCKS_SECONDS: f64 = 0.04;

fn agent(hooks: &'static str, args: &[&str], spans: bool) -> Agent {
    let options = Options {
        hooks: Some(hooks),
        spans,
        args: args.iter().map(|arg| (*arg).into()).collect(),
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// Records of requests and answers that found no room in the ring.
fn ring_full(agent: &Agent) -> f64 {
    let scrape = agent.scrape().unwrap();
    let of = |kind| scrape.sum("onlooker_events_lost_total", &[("kind", kind), ("reason", "ring_full")]);
    of("payload") + of("answer")
}

/// Exchanges of a server with and without a route.
fn routed(agent: &Agent, service: &str) -> (f64, f64) {
    let scrape = agent.scrape().unwrap();
    let name = format!("{}_count", Role::Server.durations());
    let all = scrape.sum(&name, &[("service_name", service)]);
    let without = scrape.sum(&name, &[("service_name", service), ("http_route", "")]);
    (all - without, without)
}

/// The two ends of a load, each with the answers that its own truth tells.
fn ends<'a>(server: (&'a str, &'a Counts<u16>), client: (&'a str, &'a Counts<u16>), given_up: u64) -> [End<'a>; 2] {
    [(server, Role::Server), (client, Role::Client)].map(|((service, answers), role)| End {
        service,
        role,
        answers,
        given_up,
    })
}

/// The proof of a case: there was an overload, all is counted nevertheless, and some of it by the kernel alone.
fn expect_exact(agent: &mut Agent, ends: &[End<'_>; 2]) {
    let (hooks, lost) = (agent.hooks, ring_full(agent));
    say(&format!("{hooks}: {lost} records found the ring full; {ends:?}"));
    assert!(lost > 0.0, "{hooks}: no overload");
    expect_answers(agent, ends).unwrap();
    let (with, without) = routed(agent, ends[0].service);
    say(&format!("{hooks}: {with} exchanges have a route, {without} have none"));
    assert!(without > 0.0, "{hooks}: no exchange was counted by the kernel alone");
    agent.check().unwrap();
}

/// Waits for the end of wrk; the server's truth is its log.
fn expect_exact_wrk(agent: &mut Agent, nginx: &Nginx, wrk: &mut Wrk) {
    let read = wrk.finish().unwrap();
    let logged = statuses(&nginx.server.whole_log().unwrap());
    expect_logged(&read, &logged);
    assert!(logged.values().sum::<u64>() > 10_000, "{logged:?}");
    agent.resume();
    let ends = ends(
        (&nginx.server.service, &logged),
        (&wrk.service, &read),
        wrk::CONNECTIONS,
    );
    expect_exact(agent, &ends);
}

/// Runs a load every request of which is answered, as the log must say too. The client's name and the answers.
fn drive_all(server: &Server, connections: usize, total: u64, paths: &[&str], close: bool) -> (String, Counts<u16>) {
    let load = Load {
        connections,
        total,
        paths: paths.iter().map(|path| (*path).into()).collect(),
        close,
    };
    let client = unique("client");
    let answers = drive(&client, &server.target, &load).unwrap();
    assert_eq!(answers, statuses(&server.whole_log().unwrap()), "driver and log");
    (client, answers)
}

fn keep_alive(hooks: &'static str) {
    let mut agent = agent(hooks, &[TINY], false);
    let nginx = Nginx::mixed("keepalive", "").unwrap();
    let mut wrk = Wrk::start(&nginx.server.target, 3, &Nginx::MIXED, false).unwrap();
    expect_exact_wrk(&mut agent, &nginx, &mut wrk);
}

fn connection_per_request(hooks: &'static str) {
    let mut agent = agent(hooks, &[TINY], false);
    let server = Nginx::mixed("perrequest", "").unwrap().server;
    let (client, answers) = agent.starve(|| drive_all(&server, 32, 20_000, &Nginx::MIXED, true));
    expect_exact(&mut agent, &ends((&server.service, &answers), (&client, &answers), 0));
}

fn with_spans(hooks: &'static str) {
    let mut agent = agent(hooks, &[TINY], true);
    let server = Nginx::mixed("spans", "").unwrap().server;
    let (client, answers) = agent.starve(|| drive_all(&server, 64, 30_000, &Nginx::MIXED, false));
    expect_exact(&mut agent, &ends((&server.service, &answers), (&client, &answers), 0));
    for (service, kind) in [(&server.service, "SERVER"), (&client, "CLIENT")] {
        let spans = agent.spans(service, kind).len();
        say(&format!("{hooks}: {spans} {kind} spans"));
        assert!(spans > 0 && spans < 30_000, "{hooks}: {spans} {kind} spans");
    }
}

fn stopped_in_between(hooks: &'static str) {
    let (mut agent, nginx, mut wrk) = stopped(hooks, 4);
    std::thread::sleep(Duration::from_secs(3)); // what the case is about
    assert!(wrk.program.ended().unwrap().is_none(), "no load is left for the agent");
    agent.resume();
    expect_exact_wrk(&mut agent, &nginx, &mut wrk);
}

fn stopped_at_the_end(hooks: &'static str) {
    let (mut agent, nginx, mut wrk) = stopped(hooks, 3);
    expect_exact_wrk(&mut agent, &nginx, &mut wrk);
}

/// An agent with the usual ring that was stopped when wrk, which goes on for so many seconds, was at work.
fn stopped(hooks: &'static str, seconds: u64) -> (Agent, Nginx, Wrk) {
    let agent = agent(hooks, &[], false);
    let nginx = Nginx::mixed("stopped", "").unwrap();
    let wrk = Wrk::start(&nginx.server.target, seconds, &Nginx::MIXED, false).unwrap();
    nginx.server.log.wait(1000).unwrap();
    agent.pause().unwrap();
    (agent, nginx, wrk)
}

/// Starts a load on another nginx that goes on until it is dropped, and waits until it has filled the ring.
fn flood(agent: &Agent) -> (Wrk, Nginx) {
    let before = ring_full(agent);
    let nginx = Nginx::mixed("flood", "access_log off;").unwrap();
    let wrk = Wrk::start(&nginx.server.target, 60, &Nginx::MIXED, false).unwrap();
    wait::until_true("a full ring", wait::SOON, || ring_full(agent) > before).unwrap();
    (wrk, nginx)
}

fn go(hooks: &'static str) {
    beside_a_flood(hooks, Kind::Go, 10_000);
}

fn python(hooks: &'static str) {
    beside_a_flood(hooks, Kind::PythonStdlib, 2_000);
}

fn beside_a_flood(hooks: &'static str, kind: Kind, total: u64) {
    let mut agent = agent(hooks, &[TINY], false);
    let server = Server::start(kind, "beside").unwrap();
    let flood = flood(&agent);
    let paths = ["/ok", "/ok", "/status/404", "/ok", "/status/500"];
    let (client, answers) = agent.starve(|| drive_all(&server, 16, total, &paths, false));
    drop(flood);
    expect_exact(&mut agent, &ends((&server.service, &answers), (&client, &answers), 0));
}

fn slow_answers(hooks: &'static str) {
    slow(hooks, false);
}

fn slow_answers_unseen(hooks: &'static str) {
    slow(hooks, true);
}

/// Answers in several sends, 160, 350 and 600 ms long: in the middle of buckets. The clients are known to the agent before
/// the overload begins, since it cannot read the name of a process that came and went meanwhile.
fn slow(hooks: &'static str, unseen: bool) {
    let mut agent = agent(hooks, &[TINY], false);
    let server = Server::raw("slow", "127.0.0.1").unwrap();
    let client = unique("client");
    let signal = server.dir.path().join("go");
    let paths = ["/late/160", "/late/350", "/stream/6/100"];
    let steps = |path: &str| {
        let mut steps = Step::exchange("GET", "/ok", "");
        steps.push(Step::AwaitFile(signal.clone()));
        steps.extend((0..3).flat_map(|_| Step::exchange("GET", path, "")));
        steps
    };
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let clients = paths.map(|path| [path; 2]).concat();
        let first = Counts::from([(200, clients.len() as u64)]);
        let running: Vec<_> = clients
            .into_iter()
            .map(|path| scope.spawn(|| ask(&client, &server.target, &steps(path)).unwrap()))
            .collect();
        let seen = expect_answers(&agent, &ends((&server.service, &first), (&client, &first), 0));
        let flood = flood(&agent);
        let go_on = || {
            std::fs::write(&signal, "").unwrap();
            running.into_iter().flat_map(|client| client.join().unwrap()).collect()
        };
        let answers = if unseen {
            agent.pause().unwrap();
            go_on()
        } else {
            agent.starve(go_on)
        };
        drop(flood);
        agent.resume();
        seen.unwrap();
        answers
    });
    let log = server.whole_log().unwrap();
    let truth = count(answers.iter().map(|answer| answer.status));
    assert_eq!(truth, statuses(&log), "driver and log");
    expect_exact(&mut agent, &ends((&server.service, &truth), (&client, &truth), 0));
    let at_server: Vec<f64> = log.iter().filter_map(|request| request.seconds).collect();
    expect_buckets(&agent, &server.service, Role::Server, &at_server);
    let at_client: Vec<f64> = answers.iter().map(|answer| answer.seconds).collect();
    expect_buckets(&agent, &client, Role::Client, &at_client);
}

/// Every bucket holds what the end itself measured, but for durations so near to a bound that the clocks may disagree.
fn expect_buckets(agent: &Agent, service: &str, role: Role, seconds: &[f64]) {
    let scrape = agent.scrape().unwrap();
    let histogram = scrape
        .histogram(&role.durations(), &[("service_name", service)])
        .unwrap();
    let below = |bound: f64| seconds.iter().filter(|duration| **duration <= bound).count() as f64;
    let what = format!("{} {role:?} {histogram:?}, truth {seconds:?}", agent.hooks);
    assert_eq!(histogram.count, seconds.len() as f64, "{what}");
    for (bound, reported) in &histogram.buckets {
        let (least, most) = (below(bound - CLOCKS_SECONDS), below(bound + CLOCKS_SECONDS));
        assert!(
            (least..=most).contains(reported),
            "le {bound}: {least} to {most}: {what}"
        );
    }
    let sum: f64 = seconds.iter().sum();
    let error = (histogram.sum - sum).abs();
    assert!(error <= CLOCKS_SECONDS * histogram.count, "sum {sum}: {what}");
}
