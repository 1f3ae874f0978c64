//! The CPU budget: above it detail goes, in order; counts stay exact all the while; below it detail comes back.

use anyhow::{Result, ensure};
use onlooker_tests::agent::{Agent, Options, alone, hooks};
use onlooker_tests::case::{Role, expect_metrics, metric_counts};
use onlooker_tests::load::get_many;
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::require::{Need, say};
use onlooker_tests::servers::{Nginx, NginxOptions};
use onlooker_tests::truth::{Counts, difference};
use onlooker_tests::wait;
use std::time::Duration;

/// Each with its status, asked in turn.
const PATHS: [(&str, &str); 4] = [("/ok", "200"), ("/gone", "404"), ("/ok/b", "200"), ("/bad", "503")];
/// Requests between two looks at the counts: about a second's worth.
const ROUND: u64 = 12_000;
/// Targets that are new when routes are given up.
const NEW: u64 = 2_000;
/// Level from which spans thin out, and the one at which routes go.
const SPANS: u8 = 2;
const LAST: u8 = 9;
/// Nine steps of three seconds each way. Whatever else happens on the machine is seen and costs too, and each step back that
/// it undoes doubles the wait for the next.
const PATIENCE: Duration = Duration::from_secs(300);

/// Levels that the agent logged, in order.
fn logged(agent: &Agent) -> Vec<u8> {
    let lines = agent.program.stderr();
    let changes = lines.lines().filter(|line| line.contains("the CPU budget: gives up"));
    changes
        .filter_map(|line| line.split("level=").nth(2)?.split_whitespace().next()?.parse().ok())
        .collect()
}

/// Everything that happened since the start is counted, by status.
fn expect_counts(agent: &Agent, service: &str, rounds: u64, new: u64) -> Result<()> {
    let mut truth: Counts<(String, String)> = Counts::new();
    for (_, status) in PATHS {
        *truth.entry(("GET".into(), status.into())).or_insert(0) += rounds * ROUND / PATHS.len() as u64;
    }
    *truth.entry(("GET".into(), "200".into())).or_insert(0) += new;
    wait::until("counts", wait::SOON, || {
        let difference = difference(&truth, &metric_counts(&agent.scrape()?, service, Role::Server));
        ensure!(difference.is_empty(), "after {rounds} rounds:\n{difference}");
        Ok(())
    })
}

/// What was lost, for the message of a failure.
fn lost(agent: &Agent) -> String {
    let Ok(scrape) = agent.scrape() else {
        return "cannot be scraped".into();
    };
    let lost = scrape
        .select("onlooker_events_lost_total", &[])
        .filter(|sample| sample.value > 0.0);
    lost.map(|sample| format!("{:?}: {}\n", sample.labels, sample.value))
        .collect()
}

/// Counts by route, for the same.
fn routes(scrape: &Scrape, service: &str) -> Vec<(String, f64)> {
    let labels = [("service_name", service)];
    let counts = scrape.select("http_server_request_duration_seconds_count", &labels);
    counts
        .map(|sample| (sample.label("http_route").into(), sample.value))
        .collect()
}

fn shed(scrape: &Scrape, what: &str) -> f64 {
    scrape.sum("onlooker_budget_shed_total", &[("what", what)])
}

/// Both capture ways with a budget far below what they need (10 %, measured) and far above what an idle agent takes (0.1 %, and up
/// to 1.7 % on a virtual machine whose host pages out what was not touched for 100 ms), under one load: the level rises step by step to the last, what
/// is given up comes in the stated order, and after every round the counts by status are those of the driver. Without the
/// load everything comes back.
#[test]
fn detail_goes_in_order_counts_never_and_all_comes_back() {
    need!(Need::Agent, Need::Program("nginx"));
    let _alone = alone();
    let mut agents: Vec<Agent> = hooks()
        .iter()
        .copied()
        .map(|hooks| {
            let options = Options {
                hooks: Some(hooks),
                // Spans go nowhere: this is about what they cost. A round fits into the ring, however busy the machine is.
                args: ["--budget.cpu=4%", "--export=stdout", "--limits.ring-bytes=64MiB"]
                    .map(String::from)
                    .to_vec(),
                ..Options::default()
            };
            Agent::start(&options).unwrap()
        })
        .collect();
    let options = NginxOptions {
        server: "location / { return 200 \"ok\\n\"; } location /gone { return 404; } location /bad { return 503; }"
            .into(),
        ..NginxOptions::default()
    };
    let nginx = Nginx::start("budget", &options).unwrap();
    let service = nginx.server.service.as_str();
    let paths = PATHS.map(|(path, _)| path);

    // Up: load until nothing is left to give up.
    let mut rounds = 0;
    let up = wait::until("everything given up", PATIENCE, || {
        get_many(&nginx.server.target, 8, ROUND, &paths)?;
        rounds += 1;
        let mut levels = Vec::new();
        for agent in &agents {
            if let Err(error) = expect_counts(agent, service, rounds, 0) {
                // No use to go on.
                panic!("{}: {error:#}\n{}", agent.hooks, lost(agent));
            }
            let scrape = agent.scrape()?;
            let level = scrape.sum("onlooker_budget_level", &[]) as u8;
            let highest = logged(agent).into_iter().max().unwrap_or(0).max(level);
            assert!(highest >= SPANS || shed(&scrape, "span") == 0.0, "{}", agent.hooks);
            assert!(highest >= LAST || shed(&scrape, "route") == 0.0, "{}", agent.hooks);
            levels.push(level);
        }
        ensure!(levels.iter().all(|level| *level == LAST), "{levels:?}");
        Ok(())
    });
    if let Err(error) = up {
        let logged: Vec<_> = agents.iter().map(logged).collect();
        panic!("{error:#}: {logged:?}");
    }
    // At the last level new targets have no route; known ones keep theirs.
    let count = |agent: &Agent, route: &str| {
        let labels = [("service_name", service), ("http_route", route)];
        let scrape = agent.scrape().unwrap();
        scrape.sum("http_server_request_duration_seconds_count", &labels)
    };
    let known: Vec<f64> = agents.iter().map(|agent| count(agent, "/ok")).collect();
    let new: Vec<String> = (0..NEW).map(|id| format!("/new/{id}")).collect();
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    get_many(&nginx.server.target, 8, NEW, &new).unwrap();
    get_many(&nginx.server.target, 8, ROUND, &paths).unwrap();
    rounds += 1;
    for (agent, known) in agents.iter().zip(known) {
        expect_counts(agent, service, rounds, NEW).unwrap();
        let scrape = agent.scrape().unwrap();
        for what in ["span_detail", "span", "route"] {
            assert!(shed(&scrape, what) > 0.0, "{}: {what}", agent.hooks);
        }
        // Some of the new ones are learnt; a known one may have been forgotten for what others on this host ask for, and is
        // learnt again.
        let (other, told) = (count(agent, "_OTHER"), count(agent, "/new/{id}"));
        let routes = routes(&scrape, service);
        assert!(
            other > NEW as f64 / 2.0 && told < NEW as f64 / 2.0,
            "{}: {routes:?}",
            agent.hooks
        );
        assert!(
            count(agent, "/ok") > known + (ROUND / 8) as f64,
            "{}: {routes:?}",
            agent.hooks
        );
        assert_eq!(scrape.sum("onlooker_budget_cores", &[]), 0.04);
        let ready = agent.get("/readyz", &[]).unwrap();
        let says = "above the CPU budget: gives up span detail, all but 1 of 128 traces";
        assert!(ready.status == 200 && ready.text().contains(says), "{}", ready.text());
    }

    // Down: nothing happens, and nobody scrapes, which costs too.
    for agent in &agents {
        wait::until("everything taken up again", PATIENCE, || {
            let levels = logged(agent);
            ensure!(levels.last() == Some(&0), "{}: {levels:?}", agent.hooks);
            Ok(())
        })
        .unwrap();
        let levels = logged(agent);
        say(&format!(
            "{}: {rounds} rounds of {ROUND}, levels {levels:?}",
            agent.hooks
        ));
        let steps = std::iter::once(&0).chain(&levels).zip(&levels);
        assert!(steps.clone().all(|(from, to)| from.abs_diff(*to) == 1), "{levels:?}");
    }
    let before: Vec<f64> = agents.iter().map(|agent| count(agent, "/new/{id}")).collect();
    get_many(&nginx.server.target, 1, 1, &["/new/123456"]).unwrap();
    let log = nginx.server.log.wait((rounds * ROUND + NEW) as usize + 1).unwrap();
    for (agent, before) in agents.iter_mut().zip(before) {
        expect_metrics(agent, service, Role::Server, &log).unwrap();
        assert_eq!(
            count(agent, "/new/{id}"),
            before + 1.0,
            "{}: the route is told again",
            agent.hooks
        );
        agent.check().unwrap();
    }
}

/// Without the option nothing is ever given up, and the agent tells its cost by stage: together the stages are what the
/// process took.
#[test]
fn stages_add_up_and_no_budget_gives_nothing_up() {
    need!(Need::Agent, Need::Program("nginx"));
    let _alone = alone();
    let options = Options {
        args: vec!["--export=stdout".into()],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let nginx = Nginx::start("cost", &NginxOptions::default()).unwrap();
    get_many(&nginx.server.target, 8, 20_000, &["/ok"]).unwrap();
    let stages = [
        "start",
        "pipeline_drain",
        "pipeline_wait",
        "runtime",
        "export_stdout",
        "scrape",
    ];
    let scrape = wait::until("time at every stage", wait::SOON, || {
        let scrape = agent.scrape()?;
        for stage in stages {
            let seconds = scrape.sum("onlooker_stage_cpu_seconds_total", &[("stage", stage)]);
            ensure!(seconds > 0.0, "none at {stage}");
        }
        Ok(scrape)
    })
    .unwrap();
    // The process' own time is told in ticks of 10 ms, and after the stages.
    let stages = scrape.sum("onlooker_stage_cpu_seconds_total", &[]);
    let process = scrape.sum("process_cpu_seconds_total", &[]);
    say(&format!("{stages} s by stage of {process} s"));
    assert!(
        stages > process * 0.8 && stages < process + 0.02,
        "{stages} of {process}"
    );
    let ratio = scrape.sum("onlooker_overhead_ratio", &[]);
    assert!(ratio > 0.0 && ratio < 1.0, "{ratio}");
    let cores = scrape.sum("onlooker_overhead_cores", &[("part", "agent")]);
    assert!(cores >= ratio * 0.99, "{cores} cores, {ratio} of all");
    assert!(scrape.has("onlooker_ring_waiting_bytes", &[]));
    assert!(scrape.has("onlooker_export_queue_spans", &[("kind", "span_stdout")]));
    assert!(!scrape.has("onlooker_budget_cores", &[]));
    assert_eq!(scrape.sum("onlooker_budget_level", &[]), 0.0);
    assert_eq!(scrape.sum("onlooker_budget_shed_total", &[]), 0.0);
}
