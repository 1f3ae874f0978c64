//! Errors of system calls against a driver that makes them and counts what was returned to it (`programs/failing.rs`).

use anyhow::{Result, ensure};
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::failing::{Counts, command, counts, run, run_unread};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::process::unique;
use onlooker_tests::require::{Need, own_program, say, which};
use onlooker_tests::wait;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const ERRORS: &str = "onlooker_syscall_errors_total";
const EXPECTED: &str = "onlooker_syscall_errors_expected_total";

/// The tests that fill tables run without the others: every agent's tables are as full as those of its own.
static ALONE: RwLock<()> = RwLock::new(());

fn alone() -> RwLockWriteGuard<'static, ()> {
    ALONE.write().unwrap_or_else(PoisonError::into_inner)
}

fn beside_others() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// What an agent has of a service.
fn of(scrape: &Scrape, service: &str, abi: &str) -> Counts {
    let samples = scrape
        .select(ERRORS, &[])
        .filter(|sample| sample.label("service_name") == service && sample.label("abi") == abi);
    samples
        .map(|sample| {
            let key = (sample.label("syscall").to_string(), sample.label("errno").to_string());
            (key, sample.value as u64)
        })
        .collect()
}

/// Waits until the agent has counted exactly what the driver did for a service, neither more nor less.
fn expect(agent: &Agent, service: &str, abi: &str, truth: &Counts) {
    let same = wait::until("the same counts", wait::SOON, || {
        let scrape = agent.scrape()?;
        let have = of(&scrape, service, abi);
        let others = || -> Vec<String> {
            let kinds = truth.keys().filter(|key| have.get(*key) != truth.get(*key));
            kinds
                .flat_map(|(call, errno)| {
                    let kind = [("syscall", call.as_str()), ("errno", errno.as_str())];
                    let same = scrape.select(ERRORS, &kind);
                    same.map(|sample| format!("{}: {}", sample.label("service_name"), sample.value))
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        ensure!(
            have == *truth,
            "agent: {have:?}, driver: {truth:?}; of all services: {:?}",
            others()
        );
        Ok(())
    });
    same.unwrap();
}

fn agent() -> Agent {
    Agent::start(&Options {
        about: &["errors", "latency"],
        ..Options::default()
    })
    .unwrap()
}

/// A million errors (fewer on a slow machine) of each of four kinds by four threads at once: every single one is counted.
#[test]
fn a_million_errors_in_four_threads() {
    need!(Need::Agent);
    let _beside = beside_others();
    let agent = agent();
    let service = unique("storm");
    let each = wait::eased(250_000);
    let truth = run(&service, &["storm", "4", &each.to_string()]);
    assert_eq!(truth.values().copied().collect::<Vec<_>>(), [4 * u64::from(each); 4]);
    expect(&agent, &service, "", &truth);
}

/// Many kinds of error of many calls.
#[test]
fn many_kinds() {
    need!(Need::Agent);
    let _beside = beside_others();
    let agent = agent();
    let service = unique("kinds");
    let truth = run(&service, &["kinds", "100"]);
    assert!(truth.len() > 20, "{truth:?}");
    expect(&agent, &service, "", &truth);
}

/// Processes that live for a moment: their errors are their service's.
#[test]
fn short_lived_processes() {
    need!(Need::Agent);
    let _beside = beside_others();
    let agent = agent();
    let service = unique("brief");
    let truth = run(&service, &["brief", "600", "3"]);
    assert_eq!(truth.values().sum::<u64>(), 1800);
    expect(&agent, &service, "", &truth);
    // Programs of their own.
    let service = unique("briefer");
    let all: Vec<Counts> = (0..wait::eased(200).min(50))
        .map(|_| run(&service, &["brief", "0", "0"]))
        .collect();
    assert!(all.iter().all(Counts::is_empty));
    let one = run(&service, &["kinds", "1"]);
    expect(&agent, &service, "", &one);
}

/// 32-bit calls have the names of their own table, and say so.
#[test]
#[cfg(target_arch = "x86_64")]
fn calls_of_32_bits() {
    need!(Need::Agent);
    let _beside = beside_others();
    let service = unique("compat");
    let output = command(&service, &["compat", "1"]).output().unwrap();
    if !output.status.success() {
        say("this kernel refuses 32-bit calls (CONFIG_IA32_EMULATION): not tested");
        return;
    }
    let agent = agent();
    let truth = run(&service, &["compat", "1000"]);
    assert_eq!(truth.values().copied().collect::<Vec<_>>(), [1000; 2]);
    expect(&agent, &service, "i386", &truth);
}

/// Errors that are answers are counted by call and error alone; the service has none of them.
#[test]
fn expected_errors_are_apart() {
    need!(Need::Agent);
    let _beside = beside_others();
    let agent = agent();
    let before = agent.scrape().unwrap();
    let service = unique("expected");
    let truth = run(&service, &["expected", "1000"]);
    // The whole host counts here, so there may be more.
    let apart = |scrape: &Scrape| -> BTreeMap<(String, String), u64> {
        let keys = truth.keys().cloned();
        keys.map(|(call, errno)| {
            let count = scrape.sum(EXPECTED, &[("syscall", &call), ("errno", &errno)]);
            ((call, errno), count as u64)
        })
        .collect()
    };
    let before = apart(&before);
    wait::until("expected errors", wait::SOON, || {
        let now = apart(&agent.scrape()?);
        for (key, count) in &truth {
            let more = now[key] - before[key];
            ensure!(
                more >= *count && more < count + 20_000,
                "{key:?}: {more}, driver: {count}"
            );
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(of(&agent.scrape().unwrap(), &service, ""), Counts::new());
}

/// They are counted with all others when that is asked for.
#[test]
fn expected_errors_together() {
    need!(Need::Agent);
    let _beside = beside_others();
    let options = Options {
        args: vec!["--syscalls.expected=together".into()],
        about: &["errors", "latency"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let service = unique("together");
    let truth = run(&service, &["expected", "1000"]);
    wait::until("all errors", wait::SOON, || {
        let have = of(&agent.scrape()?, &service, "");
        // Its own start has some too.
        for (key, count) in &truth {
            let more = have.get(key).copied().unwrap_or_default();
            ensure!(more >= *count && more < count + 100, "{key:?}: {more}, driver: {count}");
        }
        Ok(())
    })
    .unwrap();
    assert!(!agent.scrape().unwrap().has(EXPECTED, &[]));
}

/// The service of a process that was gone when the agent looked.
const UNKNOWN: &str = "unknown";

/// More kinds of error than all tables hold: first under the service, then under `_OTHER`, then as lost; together they are all.
#[test]
fn full_tables() {
    need!(Need::Agent);
    let _alone = alone();
    let agent = agent();
    let service = unique("any");
    let made: u64 = run_unread(&agent, &service, &["any", "3", "4000"]).values().sum();
    assert_eq!(made, 12_000);
    let lost = [("kind", "syscall_error"), ("reason", "table_full")];
    let calls = ["getppid", "getpgrp", "setsid"];
    let sum = |scrape: &Scrape, services: &[&str]| -> u64 {
        let samples = scrape
            .select(ERRORS, &[])
            .filter(|sample| services.contains(&sample.label("service_name")));
        let ours =
            samples.filter(|sample| calls.contains(&sample.label("syscall")) || sample.label("syscall") == "_OTHER");
        ours.map(|sample| sample.value as u64).sum()
    };
    let parts = wait::until("all errors", wait::SOON, || {
        let scrape = agent.scrape()?;
        let (own, other) = (sum(&scrape, &[&service, UNKNOWN]), sum(&scrape, &["_OTHER"]));
        let lost = scrape.sum("onlooker_events_lost_total", &lost) as u64;
        // EINTR and what interrupts a call are expected of any.
        let ruled: f64 = calls
            .iter()
            .map(|call| scrape.sum(EXPECTED, &[("syscall", call)]))
            .sum();
        let counted = own + other + ruled as u64;
        // Programs that run meanwhile find no room either: the tests beside this one make some thousands.
        let (least, most) = (made - counted, made - counted + 20_000);
        ensure!(
            (least..most).contains(&lost),
            "{own} + {other} + {ruled}, lost {lost}, made {made}"
        );
        Ok((own, other, lost))
    });
    let (own, other, lost) = parts.unwrap();
    say(&format!("by process {own}, by call {other}, lost {lost}"));
    assert!(own > 3000 && own <= 4096 && lost > 6000);
    // The table by call is the host's: a kind in it counts for programs beside this one too.
    assert!((400..=1024).contains(&other));
}

/// `perf trace -s` as an independent second opinion.
#[test]
fn perf_agrees() {
    need!(Need::Agent, Need::Program("perf"));
    let _beside = beside_others();
    let agent = agent();
    let service = unique("perf");
    let mut perf = Command::new(which("perf").unwrap());
    perf.args(["trace", "--summary", "--errno-summary", "--output"]);
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("summary");
    perf.arg(&file).arg("env").arg(format!("OTEL_SERVICE_NAME={service}"));
    perf.arg(own_program("failing"))
        .args(["kinds", &wait::eased(1000).to_string()]);
    let output = perf.output().unwrap();
    let summary = std::fs::read_to_string(&file).unwrap_or_default();
    if !output.status.success() || !summary.contains("Summary of events") {
        say(&format!(
            "perf cannot trace here: {} {summary}",
            String::from_utf8_lossy(&output.stderr)
        ));
        return;
    }
    let truth = counts(&output).unwrap();
    say(&summary);
    expect(&agent, &service, "", &truth);
    // Errors by call: `close  1000  1000 …`, calls and errors.
    let mut told: BTreeMap<&str, u64> = BTreeMap::new();
    for line in summary.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [call, calls, errors, ..] = words[..]
            && let (Ok(_), Ok(errors)) = (calls.parse::<u64>(), errors.parse::<u64>())
        {
            *told.entry(call).or_default() += errors;
        }
    }
    if told.is_empty() {
        say("perf names no system call here (it is of another kernel): no second opinion");
        return;
    }
    // perf loses records when it is slow; it never has more than there were.
    for call in ["close", "dup", "fsync", "lseek", "unlinkat", "chdir"] {
        let driver: u64 = truth
            .iter()
            .filter(|((name, _), _)| name == call)
            .map(|(_, count)| count)
            .sum();
        let perf = told.get(call).copied().unwrap_or_default();
        assert!(
            perf <= driver && perf * 100 >= driver * 95,
            "{call}: perf {perf}, driver {driver}: {summary}"
        );
    }
}

/// Durations of calls, on demand: as many as were made, none shorter than it was to sleep. Only those that were chosen.
#[test]
fn durations_on_demand() {
    need!(Need::Agent);
    let _beside = beside_others();
    const DURATIONS: &str = "onlooker_syscall_duration_seconds";
    let options = Options {
        args: ["--probes.enable=latency", "--syscalls.latency=clock_nanosleep"]
            .map(String::from)
            .into(),
        about: &["errors", "latency"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let service = unique("slow");
    let output = command(&service, &["slow", "100", "20000"]).output().unwrap();
    let truth = counts(&output).unwrap();
    assert_eq!(truth.values().copied().collect::<Vec<_>>(), [100]);
    let labels = [("service_name", service.as_str()), ("syscall", "clock_nanosleep")];
    let histogram = wait::until("durations", wait::SOON, || {
        let histogram = agent.scrape()?.histogram(DURATIONS, &labels)?;
        ensure!(histogram.count == 100.0, "{histogram:?}");
        Ok(histogram)
    });
    let histogram = histogram.unwrap();
    say(&format!("{histogram:?}"));
    // 16.8 ms is a bound; each call slept 20 ms at least.
    assert!(histogram.sum >= 2.0, "{histogram:?}");
    let scrape = agent.scrape().unwrap();
    let other = scrape.select("onlooker_syscall_duration_seconds_count", &[]);
    assert!(
        other
            .into_iter()
            .all(|sample| sample.label("syscall") == "clock_nanosleep")
    );
    let short = scrape.select("onlooker_syscall_duration_seconds_bucket", &labels);
    for bucket in short.filter(|bucket| bucket.label("le").parse::<f64>().unwrap() < 0.017) {
        assert_eq!(bucket.value, 0.0, "{bucket:?}");
    }
}

/// An agent that measures durations of some calls, or of all.
fn measuring(calls: &[&str]) -> Agent {
    let chosen = calls.iter().map(|call| format!("--syscalls.latency={call}"));
    let options = Options {
        args: ["--probes.enable=latency".into()].into_iter().chain(chosen).collect(),
        about: &["errors", "latency"],
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// Durations that an agent has of a service, and those that it lost for a reason.
fn measured(agent: &Agent, service: &str, why: &str) -> Result<(u64, u64)> {
    let scrape = agent.scrape()?;
    let count = scrape.sum("onlooker_syscall_duration_seconds_count", &[("service_name", service)]);
    let lost = [("kind", "syscall_duration"), ("reason", why)];
    Ok((count as u64, scrape.sum("onlooker_events_lost_total", &lost) as u64))
}

/// Every call of two busy threads has its duration.
#[test]
fn every_call_has_a_duration() {
    need!(Need::Agent);
    let _beside = beside_others();
    let agent = measuring(&["setpriority"]);
    let service = unique("fast");
    let each = wait::eased(50_000);
    run(&service, &["storm", "2", &each.to_string()]);
    wait::until("durations of failing calls", wait::SOON, || {
        let (count, lost) = measured(&agent, &service, "table_full")?;
        ensure!((count, lost) == (2 * u64::from(each), 0), "{count}, lost {lost}");
        Ok(())
    })
    .unwrap();
}

/// More histograms than there is room for: what finds none is counted as lost, nothing else is. Every call fails, so the table of
/// errors is full too.
#[test]
fn more_histograms_than_there_is_room_for() {
    need!(Need::Agent);
    let _alone = alone();
    let agent = measuring(&[]);
    let service = unique("numbers");
    let truth: u64 = run_unread(&agent, &service, &["numbers", "40"]).values().sum();
    assert_eq!(truth, 4000);
    let sums = wait::until("durations", wait::SOON, || {
        let scrape = agent.scrape()?;
        let ours = scrape.select("onlooker_syscall_duration_seconds_count", &[]);
        let ours = ours.filter(|sample| {
            let call = sample.label("syscall");
            [&*service, UNKNOWN].contains(&sample.label("service_name"))
                && (call.starts_with("syscall_5") || call == "_OTHER")
        });
        let count: u64 = ours.map(|sample| sample.value as u64).sum();
        let (_, lost) = measured(&agent, &service, "table_full")?;
        ensure!(count + lost >= truth, "{count} + {lost}");
        Ok((count, lost))
    });
    let (count, lost) = sums.unwrap();
    say(&format!("{count} measured, {lost} lost"));
    assert!(count > 500 && lost > 0);
    // On a slow machine entries of processes that ended make room for others meanwhile.
    assert!(wait::slow() > 1 || count <= 2048);
}

/// More calls under way than there is room for.
#[test]
fn more_calls_under_way_than_there_is_room_for() {
    need!(Need::Agent);
    let _beside = beside_others();
    const THREADS: u64 = 4400;
    let agent = measuring(&["read"]);
    let service = unique("waiting");
    let output = command(&service, &["waiting", &THREADS.to_string()]).output().unwrap();
    if !output.status.success() {
        say(&format!(
            "not so many threads here: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
        return;
    }
    let sums = wait::until("durations", wait::SOON, || {
        let (count, lost) = measured(&agent, &service, "starts_full")?;
        ensure!(count + lost >= THREADS, "{count} + {lost}");
        Ok((count, lost))
    });
    let (count, lost) = sums.unwrap();
    say(&format!("{count} measured, {lost} lost"));
    // Its start reads some files.
    assert!(count <= 4096 + 200 && lost >= THREADS - 4096);
}
