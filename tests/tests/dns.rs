//! Lookups of names by real resolvers, against a name server of ours that writes down every question. Each way to see them that this
//! kernel has is compared.

use anyhow::{Context, Result, ensure};
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::netns::NetNs;
use onlooker_tests::process::{Program, output, unique};
use onlooker_tests::require::{Need, own_program, say, source_dir, target_dir, which};
use onlooker_tests::wait;
use onlooker_tests::ways::of_dns as agents;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tempfile::TempDir;

const DELAY_MS: u64 = 50;

/// Written by a test whose agent's ring must not be filled by the lookups of others.
static ALONE: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Type, name, code (`-`: no answer), transport.
type Lookup = (String, String, String, String);

/// A namespace with a name server.
struct Bed {
    ns: NetNs,
    log: PathBuf,
    _server: Program,
    _dir: TempDir,
}

impl Bed {
    fn new() -> Bed {
        let ns = NetNs::new("dns", "127.0.0.1").unwrap();
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("log");
        let mut command = ns.command(own_program("nameserver"));
        command.arg("127.0.0.1:53").arg(&log).arg(DELAY_MS.to_string());
        let server = Program::start("nameserver", command).unwrap();
        let bed = Bed {
            ns,
            log,
            _server: server,
            _dir: dir,
        };
        // It answers, over both transports, before anything is counted.
        wait::until("name server", wait::SOON, || {
            let mut dig = bed.ns.command("python3");
            dig.args([
                "-c",
                "import socket; socket.create_connection(('127.0.0.1', 53)).close()",
            ]);
            output(dig)
        })
        .unwrap();
        bed
    }

    /// Runs a program to its end as a service of this name.
    fn run(&self, service: &str, program: &str, args: &[&str]) -> String {
        let mut command = self.ns.command(program);
        command.args(args).env("OTEL_SERVICE_NAME", service);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Questions about names below a domain, and the server's own nanoseconds for them.
    fn asked(&self, domain: &str) -> (BTreeMap<Lookup, u64>, u64) {
        let (mut counts, mut nanos) = (BTreeMap::new(), 0);
        for line in std::fs::read_to_string(&self.log).unwrap().lines() {
            let [transport, kind, name, code, took] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            if !name.ends_with(domain) {
                continue;
            }
            let kind = match kind {
                "1" => "A",
                "12" => "PTR",
                "16" => "TXT",
                "28" => "AAAA",
                "33" => "SRV",
                other => panic!("type {other}"),
            };
            let name = if name.ends_with(".in-addr.arpa") {
                "{ip}.in-addr.arpa"
            } else {
                name
            };
            let lookup = (kind.into(), name.into(), code.into(), transport.into());
            *counts.entry(lookup).or_default() += 1;
            nanos += took.parse::<u64>().unwrap();
        }
        (counts, nanos)
    }
}

/// What an agent counted for a service, in the same form.
fn counted(agent: &Agent, service: &str) -> Result<BTreeMap<Lookup, u64>> {
    let scrape = agent.scrape()?;
    let of = [("service_name", service)];
    let answered = scrape.select("dns_lookup_duration_seconds_count", &of).map(|sample| {
        let code = sample.label("dns_response_code");
        let error = if code == "NOERROR" { "" } else { code };
        assert_eq!(sample.label("error_type"), error);
        (sample, code)
    });
    let unanswered = scrape.select("onlooker_dns_unanswered_total", &of).map(|sample| {
        assert_eq!(sample.label("error_type"), "timeout");
        (sample, "-")
    });
    Ok(answered
        .chain(unanswered)
        .map(|(sample, code)| {
            let label = |name| sample.label(name).to_owned();
            let lookup = (
                label("dns_question_type"),
                label("dns_question_name"),
                code.to_owned(),
                label("network_transport"),
            );
            (lookup, sample.value as u64)
        })
        .collect())
}

/// Every agent counted exactly this, and so many questions sent again.
fn expect(service: &str, lookups: &BTreeMap<Lookup, u64>, retries: u64) {
    assert!(!lookups.is_empty(), "{service}: the server was asked nothing");
    for (way, agent) in agents() {
        wait::until(&format!("{way}: lookups of {service}"), Duration::from_secs(20), || {
            let found = counted(agent, service)?;
            ensure!(found == *lookups, "found {found:?}\nexpected {lookups:?}");
            Ok(())
        })
        .unwrap();
        let scrape = agent.scrape().unwrap();
        let of = [("service_name", service)];
        assert_eq!(
            scrape.sum("onlooker_dns_retries_total", &of),
            retries as f64,
            "{way}: {service}"
        );
        for none in [
            "onlooker_dns_unmatched_answers_total",
            "onlooker_dns_unreadable_messages_total",
        ] {
            assert_eq!(scrape.sum(none, &of), 0.0, "{way}: {service}: {none}");
        }
    }
    let n: u64 = lookups.values().sum();
    say(&format!(
        "{n} lookups of {service} counted by {} agents, difference 0",
        agents().len()
    ));
}

fn script(name: &str) -> String {
    source_dir()
        .join("programs/dns")
        .join(name)
        .to_string_lossy()
        .into_owned()
}

/// getent and Python's getaddrinfo: connected sockets, A and AAAA by one `sendmmsg`.
#[test]
fn the_c_library() {
    need!(Need::Agent, Need::Program("ip"), Need::Program("python3"));
    let _beside = beside_others();
    agents();
    let bed = Bed::new();
    let service = unique("getent");
    for name in [
        "ok.getent.test",
        "nx.getent.test",
        "refused.getent.test",
        "alias.getent.test",
    ] {
        bed.run(&service, "getent", &["ahosts", name]);
    }
    expect(&service, &bed.asked("getent.test").0, 0);

    let service = unique("python");
    bed.run(
        &service,
        "python3",
        &[&script("lookup.py"), "1", "2", "both", "ok.py.test", "fail.py.test"],
    );
    expect(&service, &bed.asked("py.test").0, 0);

    // What it sends again after 5 s is one lookup, whose time runs from the first.
    let service = unique("again");
    bed.run(
        &service,
        "python3",
        &[&script("lookup.py"), "1", "1", "A", "once.again.test"],
    );
    let (mut asked, _) = bed.asked("again.test");
    asked.retain(|lookup, _| lookup.2 != "-");
    expect(&service, &asked, 1);
    for (way, agent) in agents() {
        let lookups = agent.scrape().unwrap();
        let lookups = lookups
            .histogram("dns_lookup_duration_seconds", &[("service_name", &service)])
            .unwrap();
        assert!(lookups.sum >= 5.0, "{way}: {lookups:?}");
    }
}

/// dig and host: every type, both transports, answers that are cut, answers that never come.
#[test]
fn dig_and_host() {
    need!(
        Need::Agent,
        Need::Program("ip"),
        Need::Program("python3"),
        Need::Program("dig"),
        Need::Program("host")
    );
    let _beside = beside_others();
    agents();
    let bed = Bed::new();
    let service = unique("dig");
    for args in [
        &["ok.dig.test", "A"][..],
        &["ok.dig.test", "AAAA", "+noedns"],
        &["_http._tcp.dig.test", "SRV"],
        &["txt.dig.test", "TXT", "+tcp"],
        &["nx.dig.test", "A"],
        // Cut over UDP, whole over TCP.
        &["big.dig.test", "A"],
    ] {
        bed.run(&service, "dig", args);
    }
    expect(&service, &bed.asked("dig.test").0, 0);
    for (way, agent) in agents() {
        let scrape = agent.scrape().unwrap();
        let cut = scrape.sum("onlooker_dns_truncated_total", &[("service_name", &service)]);
        assert_eq!(cut, 1.0, "{way}");
    }
    let service = unique("reverse");
    bed.run(&service, "host", &["192.0.2.7"]);
    bed.run(&service, "dig", &["-x", "192.0.2.8"]);
    expect(&service, &bed.asked("in-addr.arpa").0, 0);

    let service = unique("drop");
    bed.run(&service, "dig", &["drop.drop.test", "A", "+tries=3", "+timeout=1"]);
    let (asked, _) = bed.asked("drop.test");
    assert_eq!(asked.values().sum::<u64>(), 3);
    let one = asked.into_keys().map(|lookup| (lookup, 1)).collect();
    expect(&service, &one, 2);
}

/// Go's own resolver: connected sockets, read and write.
#[test]
fn go() {
    need!(
        Need::Agent,
        Need::Program("ip"),
        Need::Program("python3"),
        Need::Program("go")
    );
    let _beside = beside_others();
    agents();
    let bed = Bed::new();
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("golookup");
    let mut build = Command::new(which("go").unwrap());
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(script("lookup.go"))
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=mod")
        .env("GOCACHE", target_dir().join("test-programs/go-cache"));
    output(build).unwrap();
    let program = program.to_string_lossy().into_owned();
    let service = unique("go");
    bed.run(&service, &program, &["A", "ok.go.test.", "nx.go.test.", "big.go.test."]);
    bed.run(&service, &program, &["TXT", "txt.go.test."]);
    expect(&service, &bed.asked("go.test").0, 0);
}

/// Node's `dns.resolve`, which is c-ares.
#[test]
fn c_ares() {
    need!(
        Need::Agent,
        Need::Program("ip"),
        Need::Program("python3"),
        Need::Program("node")
    );
    let _beside = beside_others();
    agents();
    let bed = Bed::new();
    let service = unique("node");
    for (kind, names) in [
        ("A", &["ok.node.test", "nx.node.test", "big.node.test"][..]),
        ("SRV", &["_x._tcp.node.test"]),
        ("AAAA", &["six.node.test"]),
    ] {
        bed.run(&service, "node", &[&[&script("lookup.js"), kind][..], names].concat());
    }
    expect(&service, &bed.asked("node.test").0, 0);
}

/// The time of a lookup lies between what the server took for it by its own clock, and what the call of the client took by its own.
#[test]
fn durations() {
    need!(Need::Agent, Need::Program("ip"), Need::Program("python3"));
    let _beside = beside_others();
    agents();
    let bed = Bed::new();
    let service = unique("slow");
    let client = bed.run(
        &service,
        "python3",
        &[&script("lookup.py"), "1", "20", "A", "slow.slow.test"],
    );
    let client: f64 = client.trim().parse().unwrap();
    let (asked, nanos) = bed.asked("slow.test");
    let server = nanos as f64 * 1e-9;
    expect(&service, &asked, 0);
    for (way, agent) in agents() {
        let scrape = agent.scrape().unwrap();
        let found = scrape
            .histogram("dns_lookup_duration_seconds", &[("service_name", &service)])
            .unwrap();
        let [low, mean, high] = [server, found.sum, client].map(|sum| sum / found.count * 1e3);
        say(&format!(
            "{way}: server {low:.3} ms, lookup {mean:.3} ms, client {high:.3} ms"
        ));
        assert!(
            server <= found.sum && found.sum <= client,
            "{way}: {server} {} {client}",
            found.sum
        );
    }
}

/// 4,000 calls from 16 threads, each with an A and an AAAA question, of 40 names.
#[test]
fn many() {
    need!(Need::Agent, Need::Program("ip"), Need::Program("python3"));
    let _beside = beside_others();
    agents();
    let bed = Bed::new();
    let service = unique("many");
    let names: Vec<String> = (0..40)
        .map(|n| format!("{}{n}.many.test", ["ok", "nx"][n % 2]))
        .collect();
    let threads = wait::eased(16).max(2);
    let rounds = wait::eased(4000_u32.div_ceil(40 * 16)).max(1).to_string();
    let script = script("lookup.py");
    let head = [&script[..], &threads.to_string(), &rounds, "both"].map(str::to_owned);
    let args: Vec<&str> = head.iter().chain(&names).map(String::as_str).collect();
    bed.run(&service, "python3", &args);
    let (asked, _) = bed.asked("many.test");
    expect(&service, &asked, 0);
}

/// Where nobody listens, that is told instead of a timeout, if the client asks its socket. (The C library does not.)
#[test]
fn nobody_listens() {
    need!(Need::Agent, Need::Program("ip"), Need::Program("dig"));
    let _beside = beside_others();
    agents();
    let ns = NetNs::new("none", "127.0.0.1").unwrap();
    let service = unique("none");
    let mut command = ns.command("dig");
    command
        .args(["some.none.test", "A", "+tries=1"])
        .env("OTEL_SERVICE_NAME", &service);
    assert!(output(command).is_err(), "somebody answered");
    for (way, agent) in agents() {
        let found = wait::until(&format!("{way}: given up"), Duration::from_secs(20), || {
            let scrape = agent.scrape()?;
            let of = [("service_name", &*service)];
            let found = scrape.select("onlooker_dns_unanswered_total", &of).next().cloned();
            found.context("nothing yet")
        });
        let found = found.unwrap();
        assert_eq!((found.label("error_type"), found.value), ("ECONNREFUSED", 1.0), "{way}");
        assert_eq!(found.label("dns_question_name"), "some.none.test");
    }
}

/// Where messages were lost between kernel and agent, no question is said to have been left without an answer.
#[test]
fn lost_messages() {
    need!(Need::Agent, Need::Program("ip"), Need::Program("python3"));
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let bed = Bed::new();
    let options = Options {
        args: vec!["--limits.ring-bytes=524288".into()],
        about: &["dns", "udp_drops"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let service = unique("lossy");
    // Several times as many messages as the ring has room for, on a slow machine too.
    let (rounds, count) = (wait::eased(20).min(3), wait::eased(2000).min(300));
    let names: Vec<String> = (0..count).map(|n| format!("ok{n}.lossy.test")).collect();
    let mut command = bed.ns.command("python3");
    command
        .args([&script("lookup.py"), "16", &rounds.to_string(), "both"])
        .args(&names)
        .env("OTEL_SERVICE_NAME", &service);
    let mut client = Program::start("lookups", command).unwrap();
    // Threads of it wait for answers whenever the ring is full.
    wait::until("the first lookups", wait::SOON, || {
        let seen = agent
            .scrape()?
            .sum("onlooker_events_seen_total", &[("kind", "message")]);
        ensure!(seen > 100.0, "{seen}");
        Ok(())
    })
    .unwrap();
    agent.pause().unwrap();
    client.wait(Duration::from_secs(60)).unwrap();
    agent.resume();
    // Whose they were may be lost too.
    let of_these = |scrape: &Scrape, name: &str| {
        let all = scrape.select(name, &[]);
        let these = all.filter(|sample| sample.label("dns_question_name").ends_with(".lossy.test"));
        these.map(|sample| sample.value).sum::<f64>()
    };
    let lost = wait::until("what is lost", Duration::from_secs(20), || {
        let scrape = agent.scrape()?;
        let lost = scrape.sum(
            "onlooker_events_lost_total",
            &[("kind", "message"), ("reason", "ring_full")],
        );
        ensure!(lost > 0.0, "nothing was lost");
        // The last question that came through is given up too.
        let gap = scrape.sum("onlooker_dns_lookups_lost_total", &[("reason", "gap")]);
        ensure!(gap > 0.0, "{lost} lost");
        // The agent may be amid what the ring held.
        let answered = of_these(&scrape, "dns_lookup_duration_seconds_count");
        ensure!(
            answered > 0.0,
            "{lost} lost, the end of {gap} lookups is not known, none was answered"
        );
        Ok((scrape, lost, gap, answered))
    });
    let (scrape, lost, gap, answered) = lost.unwrap();
    say(&format!(
        "{lost} messages lost; {answered} lookups answered, {gap} of which the end is not known"
    ));
    assert_eq!(of_these(&scrape, "onlooker_dns_unanswered_total"), 0.0);
    assert!(answered + gap < 2.0 * 16.0 * f64::from(rounds * count));
}
