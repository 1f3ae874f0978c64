//! How long threads are off the CPU and why, against what the kernel itself traces, and what drivers measure (`programs/stalling.rs`).
//! Each way to see it that this kernel has is compared.

use anyhow::{Context, Result, ensure};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::process::{Program, unique};
use onlooker_tests::require::{Need, own_program, say};
use onlooker_tests::trace::{Trace, events};
use onlooker_tests::wait::{self, allowed};
use onlooker_tests::ways::of_offcpu as agents;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The agent reads its tables once a second.
const TWO_LOOKS: Duration = Duration::from_millis(2_500);

const OFFCPU: &str = "onlooker_offcpu_duration_seconds";

/// A driver that has said its numbers and now does nothing, and what the kernel traced of its life.
struct Driver {
    service: String,
    said: serde_json::Value,
    program: Program,
    trace: Option<Trace>,
}

/// Times by reason, and their sum in seconds.
type Times = BTreeMap<&'static str, Sum>;
/// How many, and seconds.
type Sum = (f64, f64);
/// What the kernel traced: the least that an agent may tell, and the most.
type Traced = [Times; 2];

const REASONS: [&str; 5] = ["sleep", "disk", "stopped", "preempted", "other"];

impl Driver {
    fn start(args: &[&str]) -> Driver {
        agents();
        let trace = Trace::of(&["sched/sched_switch", "sched/sched_process_exec"], "");
        let service = unique(args[0]);
        let mut command = Command::new(own_program("stalling"));
        command
            .args(args)
            .env("OTEL_SERVICE_NAME", &service)
            .stdout(Stdio::piped());
        let mut program = Program::start(args[0], command).unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout().unwrap()).read_line(&mut line).unwrap();
        let said =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}{}", program.last_words()));
        Driver {
            service,
            said,
            program,
            trace,
        }
    }

    fn said(&self, what: &str) -> f64 {
        self.said[what].as_f64().unwrap()
    }

    /// Its threads.
    fn living(&self) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.program.pid()))? {
            all.push(task?.file_name().to_str().context("a number")?.parse()?);
        }
        Ok(all)
    }

    /// Its threads, and its children, which have ended.
    fn threads(&self) -> Result<Vec<u32>> {
        let mut all = self.living()?;
        let children = self.said["children"].as_array().into_iter().flatten();
        all.extend(children.filter_map(|pid| pid.as_u64()).map(|pid| pid as u32));
        Ok(all)
    }

    /// How often its threads left the CPU, as the kernel counts it. All are waiting now: for each one of these times is not over.
    fn switches(&self) -> Result<f64> {
        let mut all = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.program.pid()))? {
            let text = fs::read_to_string(task?.path().join("status"))?;
            for line in text.lines().filter(|line| line.contains("voluntary_ctxt_switches:")) {
                let number = line.rsplit(|c: char| !c.is_ascii_digit()).next();
                all += number.context("a count of switches")?.parse::<f64>()?;
            }
            all -= 1.0;
        }
        Ok(all)
    }

    /// What the kernel traced, where it traced all. A trace was seen that had half of the switches, 103 of 202 that the kernel counted, and said
    /// nothing of those it lacked: such a one is no truth.
    fn traced(&self) -> Result<Option<Traced>> {
        let Some(trace) = &self.trace else {
            return Ok(None);
        };
        let text = trace.text()?;
        let (living, counted) = (self.times(&text, &self.living()?)?, self.switches()?);
        let had: f64 = living[1].values().map(|time| time.0).sum();
        if had < 0.95 * counted - 2.0 {
            say(&format!(
                "{}: the trace has {had} of {counted} switches and is no truth",
                self.service
            ));
            return Ok(None);
        }
        Ok(Some(self.times(&text, &self.threads()?)?))
    }

    /// Times off the CPU in a trace: from each switch away from one of these threads to the next to it. Those before the process became
    /// the driver are its parent's, if the agent looked in between, as it may where a machine is slow: without them, and with them.
    fn times(&self, text: &str, threads: &[u32]) -> Result<Traced> {
        let mut times: Times = REASONS.iter().map(|reason| (*reason, (0.0, 0.0))).collect();
        let mut all = times.clone();
        let mut away = BTreeMap::new();
        let number = |text: &str, name: &str| {
            let rest = text.split_once(name)?.1;
            rest.split(' ').next()?.parse::<u32>().ok()
        };
        for event in events(text) {
            if event.name == "sched_process_exec" {
                if event.tid == self.program.pid() {
                    times.values_mut().for_each(|time| *time = (0.0, 0.0));
                }
                continue;
            }
            let (from, to) = event.arguments.split_once(" ==> ").context("a switch")?;
            let (Some(from_tid), Some(to_tid)) = (number(from, " prev_pid="), number(to, " next_pid=")) else {
                continue;
            };
            if threads.contains(&from_tid) {
                let state = from.split_once(" prev_state=").context("a state")?.1;
                let reason = match state.as_bytes().first() {
                    Some(b'R') => "preempted",
                    Some(b'S') => "sleep",
                    Some(b'D') => "disk",
                    Some(b'T' | b't') => "stopped",
                    _ => "other",
                };
                away.insert(from_tid, (event.at, reason));
            }
            if let Some((at, reason)) = away.remove(&to_tid) {
                for times in [&mut times, &mut all] {
                    let time = times.entry(reason).or_default();
                    *time = (time.0 + 1.0, time.1 + event.at - at);
                }
            }
        }
        Ok([times, all])
    }

    fn told(&self, scrape: &Scrape) -> Result<Times> {
        let each = REASONS.iter().map(|reason| {
            let of = [("service_name", &*self.service), ("onlooker_offcpu_reason", *reason)];
            let have = scrape.histogram(OFFCPU, &of)?;
            Ok((*reason, (have.count, have.sum)))
        });
        each.collect()
    }

    /// Waits until each way has told what the kernel traced, and shows it.
    fn agrees(&self, each: impl Fn(&str, &Times)) {
        for (way, agent) in agents() {
            let mut last = (Instant::now(), Times::new());
            let (told, truth) = wait::until(&format!("{way}: what the kernel traced"), wait::SOON, || {
                let (scrape, truth) = (agent.scrape()?, self.traced()?);
                let told = self.told(&scrape)?;
                same(&told, truth.as_ref(), way)?;
                if truth.is_none() {
                    // By what the kernel counted of those that live, all is told that comes; of the ended too, once no more does.
                    let (all, counted) = (told.values().map(|time| time.0).sum::<f64>(), self.switches()?);
                    ensure!(all >= 0.9 * counted, "{all} of {counted}");
                    if told != last.1 {
                        last = (Instant::now(), told.clone());
                    }
                    ensure!(last.0.elapsed() > TWO_LOOKS, "still growing: {told:?}");
                }
                ensure!(
                    scrape.sum("onlooker_events_lost_total", &[("kind", "offcpu")]) == 0.0,
                    "lost"
                );
                Ok((told, truth))
            })
            .unwrap();
            say(&format!(
                "{way}: {}: {told:?}; the kernel traced {truth:?} and counted {}, the driver says {}",
                self.service,
                self.switches().unwrap(),
                self.said
            ));
            each(way, &told);
        }
    }
}

/// Are the counts those of the trace, and the sums but for what the clocks of both differ in? Of a count a few may be told that the
/// trace lacks, never the other way round.
fn same(told: &Times, truth: Option<&Traced>, way: &str) -> Result<()> {
    let Some([least, most]) = truth else {
        return Ok(());
    };
    // By the state in the task a reason may be unknown that the trace knows.
    let by_state = way.contains("+state");
    let all = |times: &Times| {
        times
            .values()
            .fold((0.0, 0.0), |sum, time| (sum.0 + time.0, sum.1 + time.1))
    };
    let mut compared: Vec<(&str, [Sum; 3])> = vec![("all", [all(told), all(least), all(most)])];
    let reasons = REASONS.iter().filter(|reason| !by_state || **reason == "preempted");
    compared.extend(reasons.map(|reason| (*reason, [told[reason], least[reason], most[reason]])));
    for (reason, [told, least, most]) in compared {
        let more = told.0 - most.0;
        // One that the trace lacks may be of any length.
        let range = least.1 - allowed(least.1, least.0)..=most.1 + allowed(most.1, most.0);
        let close = more > 0.0 || range.contains(&told.1);
        ensure!(
            told.0 >= least.0 && more <= (0.05 * most.0).max(2.0) && close,
            "{reason}: {told:?}, the kernel traced {least:?} to {most:?}"
        );
    }
    Ok(())
}

/// A thread that sleeps so often and so long.
#[test]
fn sleeps() {
    need!(Need::Agent);
    let n = 200;
    let driver = Driver::start(&["nap", &n.to_string(), "5"]);
    let slept = driver.said("slept");
    driver.agrees(|way, told| {
        let (count, sum) = told["sleep"];
        // On a busy machine a thread is preempted on its way to sleep now and then; and what the kernel does not trace is missing.
        assert!(count >= 0.9 * f64::from(n), "{way}: {count}");
        assert!(
            sum <= slept && sum >= 0.9 * 0.005 * f64::from(n),
            "{way}: {sum} and {slept}"
        );
        // The kernel counts those switches too that it does not trace.
        let all: f64 = told.values().map(|time| time.0).sum();
        let counted = driver.switches().unwrap();
        assert!(all <= counted && all >= 0.9 * counted, "{way}: {all} of {counted}");
    });
}

/// Threads that want one CPU: each is off it while the others have it.
#[test]
fn contention() {
    need!(Need::Agent);
    let driver = Driver::start(&["contend", "3", "2"]);
    driver.agrees(|way, told| {
        let (count, sum) = told["preempted"];
        let waited = driver.said("waited");
        assert!(count > 10.0, "{way}: {count}");
        assert!(
            (sum - waited).abs() <= 2.0 * allowed(waited, count),
            "{way}: {sum} and {waited}"
        );
    });
}

/// Waits that no signal ends, and a program that is stopped: those of children are their service's too.
#[test]
fn blocked_and_stopped() {
    need!(Need::Agent);
    let n = 20;
    let driver = Driver::start(&["blocked", &n.to_string(), "20"]);
    driver.agrees(|way, told| {
        for (reason, what) in [("disk", "held"), ("stopped", "stopped")] {
            let ((count, sum), most) = (told[reason], driver.said(what));
            let times = f64::from(n);
            assert!(count >= 0.9 * times, "{way}: {reason} {count}");
            // The program's own pages may have come from a disk too.
            let more = 0.05 * (count - times).max(0.0);
            assert!(
                sum >= 0.9 * 0.02 * times && sum <= most + more,
                "{way}: {reason} {sum}, at most {most}"
            );
        }
    });
}
