//! Probes taken away, alternative by alternative, while real traffic goes on: the next one takes over, what is left stays
//! exact, and the agent says what went, why, and what is lost by it. The switch is the agent's `ONLOOKER_TEST_REFUSE`.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options, alone, hooks};
use onlooker_tests::case::{Role, expect_metrics};
use onlooker_tests::load::{Load, get_many};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::probes::{CAPTURE, Chain, DIVIDED, PROCESS, TCP_STATE, names, preempts_programs};
use onlooker_tests::require::{Need, say};
use onlooker_tests::servers::{Nginx, syscall_pair};
use onlooker_tests::truth::Request;
use onlooker_tests::wait::{self, eased};
use std::collections::BTreeMap;

fn refusing(words: &[&str], hooks: &'static str, blind: bool) -> Agent {
    let options = Options {
        hooks: Some(hooks),
        env: vec![("ONLOOKER_TEST_REFUSE".into(), words.join(","))],
        blind,
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// The alternative of each probe that the agent names, empty where it is not attached.
fn attached(scrape: &Scrape) -> BTreeMap<String, String> {
    let samples = scrape.select("onlooker_probe_attached", &[]);
    samples
        .map(|sample| {
            let alternative = sample.label("alternative").to_string();
            assert_eq!(sample.value, f64::from(u8::from(!alternative.is_empty())), "{sample:?}");
            (sample.label("probe").to_string(), alternative)
        })
        .collect()
}

fn ready(agent: &Agent) -> (u16, String) {
    let answer = agent.get("/readyz", &[]).unwrap();
    (answer.status, answer.text())
}

/// What `/readyz` says of a probe.
fn line<'t>(text: &'t str, probe: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("{probe}: ")));
    found.unwrap_or_else(|| panic!("no line of {probe} in {text}"))
}

/// So many requests over connections that stay, and so many over one each.
fn loads() -> (u64, u64) {
    (eased(1000).into(), eased(200).into())
}

/// Keep-alive and connections of their own, good and bad answers; gives what nginx logged.
fn traffic(nginx: &Nginx, before: usize) -> Vec<Request> {
    let close = Load {
        connections: 4,
        total: loads().1,
        paths: Nginx::MIXED.map(String::from).to_vec(),
        close: true,
    };
    get_many(&nginx.server.target, 4, loads().0, &Nginx::MIXED).unwrap();
    close.run(&nginx.server.target).unwrap();
    let log = nginx
        .server
        .log
        .wait(before + (loads().0 + loads().1) as usize)
        .unwrap();
    log[before..].to_vec()
}

fn words(refused: &[String]) -> Vec<&str> {
    refused.iter().map(String::as_str).collect()
}

/// Takes one alternative after the other, until none is left.
fn take_away(chain: &Chain) {
    let _alone = alone();
    let others = |scrape: &Scrape| {
        let mut all = attached(scrape);
        all.retain(|probe, _| chain.links.iter().all(|(link, ..)| link != probe));
        all
    };
    let whole = refusing(&[], "auto", false);
    let untouched = others(&whole.scrape().unwrap());
    drop(whole);
    let mut refused: Vec<String> = vec![];
    let mut seen: Vec<&str> = vec![];
    let mut next = 0;
    while next < chain.links.len() {
        let agent = refusing(&words(&refused), "auto", false);
        let scrape = agent.scrape().unwrap();
        let (status, text) = ready(&agent);
        let have = attached(&scrape);
        let at = (chain.links.iter())
            .position(|(probe, alternative, _)| have.get(*probe).is_some_and(|name| name == alternative))
            .unwrap_or_else(|| panic!("none of {refused:?} and those after it: {have:?}"));
        let (probe, alternative, mut loses) = chain.links[at];
        let has_better = chain.links[0].1.starts_with("tp/") && preempts_programs();
        if loses.is_empty() && has_better && !alternative.starts_with("tp/") {
            loses = DIVIDED;
        }
        say(&format!("without {refused:?}: {probe} by {alternative}"));
        assert!(at >= next, "{refused:?} were refused, {alternative} is attached");
        assert_eq!(others(&scrape), untouched, "the others are as they were");
        assert_eq!(status, 200, "{text}");
        let said = line(&text, probe);
        assert!(said.starts_with(&format!("attached ({alternative})")), "{said}");
        assert_eq!(
            said.contains(&format!("; not seen: {loses}")),
            !loses.is_empty(),
            "{said}"
        );
        assert_eq!(text.starts_with("ready\n"), loses.is_empty(), "{text}");
        // Those for kernels that preempt programs are not even tried elsewhere.
        let tried = |link: &&(&str, &str, &str)| preempts_programs() || !link.1.starts_with("tp/");
        for (before, gone, _) in chain.links[..at].iter().filter(tried) {
            let said = line(&text, before);
            let how = if *before == probe {
                "; refused were: ".to_string()
            } else {
                format!("not attached, {probe} is in its place: ")
            };
            assert!(said.contains(&how) && !said.contains(chain.loses), "{said}");
            // What the kernel does not have is not refused by the switch.
            let switch = format!("ONLOOKER_TEST_REFUSE={before}:{gone}");
            assert!(said.contains(&switch) || !seen.contains(gone), "{said}");
        }
        seen.push(alternative);
        exact(&agent);
        refused = chain.links[..=at]
            .iter()
            .map(|(probe, alternative, _)| format!("{probe}:{alternative}"))
            .collect();
        next = at + 1;
    }

    // None is left.
    assert!(!seen.is_empty());
    let captures = chain.loses == CAPTURE.loses;
    let agent = refusing(&words(&refused), "auto", captures);
    let (status, text) = ready(&agent);
    let scrape = agent.scrape().unwrap();
    assert_eq!(others(&scrape), untouched);
    for (probe, ..) in chain.links {
        assert_eq!(attached(&scrape)[*probe], "");
        let said = line(&text, probe);
        let lost = said.ends_with(&format!("; not seen: {}", chain.loses));
        assert!(lost && said.starts_with("not attached: "), "{said}");
        wait::until("warning", wait::SOON, || {
            let log = agent.program.stderr();
            let warned = log
                .lines()
                .find(|line| line.contains("not attached") && line.contains(&format!("probe={probe}")));
            ensure!(
                warned.is_some_and(|line| line.contains("level=warn") && line.contains(chain.loses)),
                "{log}"
            );
            Ok(())
        })
        .unwrap();
    }
    if captures {
        assert!(
            status == 503 && text.starts_with("not ready: no request is seen\n"),
            "{text}"
        );
        let nginx = Nginx::mixed("blind", "").unwrap();
        traffic(&nginx, 0);
        let labels = [("service_name", nginx.server.service.as_str())];
        let scrape = agent.scrape().unwrap();
        assert!(!scrape.has("http_server_request_duration_seconds_count", &labels));
        assert!(agent.terminate_now().unwrap().success());
    } else {
        assert!(
            status == 200 && text.starts_with("ready, but something is missing\n"),
            "{text}"
        );
        exact(&agent);
    }
}

/// Counts of real traffic by status have no difference.
fn exact(agent: &Agent) {
    let nginx = Nginx::mixed("without", "").unwrap();
    let log = traffic(&nginx, 0);
    expect_metrics(agent, &nginx.server.service, Role::Server, &log).unwrap();
}

/// Captures by every alternative there is, then by none.
#[test]
fn without_capture() {
    need!(Need::Agent, Need::Program("nginx"));
    take_away(&CAPTURE);
}

/// The end of connections.
#[test]
fn without_tcp_state() {
    need!(Need::Agent, Need::Program("nginx"));
    take_away(&TCP_STATE);
}

/// The begin and end of processes.
#[test]
fn without_process() {
    need!(Need::Agent, Need::Program("nginx"));
    take_away(&PROCESS);
}

/// Each way to capture with nothing beside it.
#[test]
fn capture_alone() {
    need!(Need::Agent, Need::Program("nginx"));
    let _alone = alone();
    for &hooks in hooks() {
        let agent = refusing(&["tcp_state", "process"], hooks, false);
        assert!(ready(&agent).1.starts_with("ready, but something is missing\n"));
        exact(&agent);
    }
}

/// A program that is refused behind another of its alternative: the first is taken back, and the next alternative is whole.
#[test]
fn half_an_alternative_is_taken_back() {
    need!(Need::Agent, Need::Program("nginx"));
    let _alone = alone();
    let agent = refusing(&["tcp_destroy_btf", "process_exit_btf"], "auto", false);
    let scrape = agent.scrape().unwrap();
    let have = attached(&scrape);
    assert!(
        have["tcp_state"].starts_with("raw_tp/") && have["process"].starts_with("raw_tp/"),
        "{have:?}"
    );
    for (program, loaded) in [
        ("tcp_state_btf", false),
        ("tcp_state_raw", true),
        ("process_fork_btf", false),
        ("process_exit_raw", true),
    ] {
        let labels = [("program", program)];
        assert_eq!(
            scrape.has("onlooker_program_misses_total", &labels),
            loaded,
            "{program}"
        );
    }
    exact(&agent);
}

/// Calls that nobody sees move bytes all the same: those are passed over where they stood, and told.
#[test]
fn without_reads_by_splice() {
    need!(Need::Agent);
    let _alone = alone();
    if !hooks().contains(&"socket") {
        return say("this kernel captures at the exit of calls alone, which sees reads by splice");
    }
    let agent = refusing(&["tcp_rcv_space_adjust"], "socket", false);
    let pair = syscall_pair("splice", 100).unwrap();
    let log = pair.server.log.wait(100).unwrap();
    expect_metrics(&agent, &pair.server.service, Role::Server, &log).unwrap();
    expect_metrics(&agent, &pair.client, Role::Client, &pair.asked).unwrap();
    let skipped = [("kind", "payload"), ("reason", "skipped")];
    let lost = agent.scrape().unwrap().sum("onlooker_events_lost_total", &skipped);
    // Both ends of each exchange read a body so; the last one of a connection ends without a call that would show it.
    assert!(lost >= 199.0, "{lost}");
}

/// A second copy of a program that is refused, on kernels that have them: the probe stays as it is, and says what it may miss.
#[test]
fn without_a_second_copy() {
    need!(Need::Agent, Need::Program("nginx"));
    let _alone = alone();
    let refused = ["sys_exit_cast_again", "sock_send_length_again", "tcp_state_btf_again"];
    let agent = refusing(&refused, "auto", false);
    let scrape = agent.scrape().unwrap();
    let (status, text) = ready(&agent);
    let missed = format!("; not seen: {DIVIDED}");
    let copies = preempts_programs();
    assert_eq!(status, 200, "{text}");
    assert_eq!(text.starts_with("ready\n"), !copies, "{text}");
    for (probe, way, copy) in [("socket", "tp/", refused[1]), ("tcp_state", "tp_btf/", refused[2])] {
        if copies {
            let said = line(&text, probe);
            let reason = format!("; refused were: {copy}: refused by ONLOOKER_TEST_REFUSE={copy}{missed}");
            let attached = format!("attached ({way}");
            assert!(said.starts_with(&attached) && said.ends_with(&reason), "{said}");
        }
        assert!(
            !scrape.has("onlooker_program_misses_total", &[("program", copy)]),
            "{copy}"
        );
    }
    let other = [("program", "sock_recv_length_again")];
    assert_eq!(scrape.has("onlooker_program_misses_total", &other), copies);
}

/// Without any probe, and with a switch that names nothing, the agent does not start and says why in one line.
#[test]
fn nothing_left() {
    need!(Need::Agent);
    let all = names().join(",");
    for (refuse, expect) in [
        (
            all.as_str(),
            ["no probe can be attached: ", "refused by ONLOOKER_TEST_REFUSE=process"],
        ),
        ("sockets", ["ONLOOKER_TEST_REFUSE: ", "\"sockets\" is no probe"]),
    ] {
        let options = Options {
            env: vec![("ONLOOKER_TEST_REFUSE".into(), refuse.into())],
            ..Options::default()
        };
        let said = format!("{:#}", Agent::start(&options).unwrap_err());
        let mut lines = said.lines().filter(|line| line.contains("onlooker: "));
        let last = lines.next_back().unwrap_or_default();
        assert!(expect.iter().all(|words| last.contains(words)), "{said}");
    }
}
