//! What keeps processes waiting, against what drivers measure themselves (`programs/stalling.rs`) and what the kernel counts elsewhere.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::cgroup::{group, of_memory};
use onlooker_tests::disk::{disk, folder};
use onlooker_tests::metrics::{Histogram, Scrape};
use onlooker_tests::need;
use onlooker_tests::process::unique;
use onlooker_tests::require::{Need, own_program, say};
use onlooker_tests::trace::Trace;
use onlooker_tests::wait::{self, allowed};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const BLOCK: &str = "onlooker_block_io_duration_seconds";
const FAULT: &str = "onlooker_page_fault_duration_seconds";
const SYNC: &str = "onlooker_file_sync_duration_seconds";
const RUNQUEUE: &str = "onlooker_runqueue_wait_seconds";
const RECLAIM: &str = "onlooker_memory_reclaim_duration_seconds";

fn agent(enable: &str) -> Agent {
    let args = (!enable.is_empty()).then(|| format!("--probes.enable={enable}"));
    Agent::start(&Options {
        args: args.into_iter().chain(["--collector.cgroup".into()]).collect(),
        about: &["block", "reclaim"],
        ..Options::default()
    })
    .unwrap()
}

fn command(service: &str, args: &[&str]) -> Command {
    let mut command = Command::new(own_program("stalling"));
    command.args(args).env("OTEL_SERVICE_NAME", service);
    command
}

/// Runs the driver and gives the numbers it said.
fn run(command: &mut Command) -> serde_json::Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until a service has so many observations, and gives them.
fn observed(agent: &Agent, family: &str, labels: &[(&str, &str)], count: f64) -> Histogram {
    wait::until("all observations", wait::SOON, || {
        let have = agent.scrape()?.histogram(family, labels)?;
        ensure!(have.count == count, "{family}{labels:?}: {} of {count}", have.count);
        Ok(have)
    })
    .unwrap()
}

/// Direct writes and reads of a device of its own: requests, bytes and times are the kernel's own, and the driver
/// measured no less.
#[test]
fn block_io() {
    need!(Need::Agent, Need::Program("losetup"));
    let Some(device) = disk(8 << 20) else {
        return;
    };
    let agent = agent("");
    let service = unique("blocks");
    let before = device.stat().unwrap();
    let (n, bytes) = (500, 16_384);
    let path = device.path();
    let said = run(&mut command(
        &service,
        &["io", path, &n.to_string(), &bytes.to_string()],
    ));
    let after = device.stat().unwrap();
    let of = |operation| [("device", device.name()), ("operation", operation)];
    for (operation, place) in [("read", 0), ("write", 3)] {
        let [requests, sectors, millis] = [0, 1, 2].map(|n| (after[place + n] - before[place + n]) as f64);
        let all = observed(&agent, BLOCK, &of(operation), requests);
        let scrape = agent.scrape().unwrap();
        assert_eq!(
            scrape.sum("onlooker_block_io_bytes_total", &of(operation)),
            sectors * 512.0
        );
        let mine = [of(operation).as_slice(), &[("service_name", &service)]].concat();
        let have = scrape.histogram(BLOCK, &mine).unwrap();
        let truth = said[operation].as_f64().unwrap();
        say(&format!(
            "{operation}: {requests} requests in {:.6} s, {millis} ms says the kernel; {} of them the driver's own in {:.6} s, it \
             measured {truth:.6} s with its own waits for a CPU",
            all.sum, have.count, have.sum
        ));
        assert_eq!(have.count, f64::from(n));
        assert!(have.sum <= truth);
        // Whole milliseconds.
        assert!((all.sum - millis / 1e3).abs() <= allowed(millis / 1e3, requests) + 1e-3);
        let sizes = scrape.histogram("onlooker_block_io_size_bytes", &mine).unwrap();
        let at = |bound: f64| sizes.buckets.iter().find(|(le, _)| *le == bound).unwrap().1;
        assert_eq!((at(16_384.0), at(8_192.0)), (f64::from(n), 0.0));
    }
    assert_eq!(
        agent
            .scrape()
            .unwrap()
            .sum("onlooker_events_lost_total", &[("kind", "block_io")]),
        0.0
    );
}

/// Calls of fsync and fdatasync, each measured by the driver too.
#[test]
fn syncs() {
    need!(Need::Agent);
    let agent = agent("sync");
    let (dir, service, n) = (TempDir::new().unwrap(), unique("syncs"), 200);
    let file = dir.path().join("file");
    let said = run(&mut command(
        &service,
        &["sync", file.to_str().unwrap(), &n.to_string()],
    ));
    for call in ["fsync", "fdatasync"] {
        let have = observed(
            &agent,
            SYNC,
            &[("service_name", &service), ("syscall", call)],
            f64::from(n),
        );
        let truth = said[call].as_f64().unwrap();
        say(&format!("{call}: {:.6} s, the driver measured {truth:.6} s", have.sum));
        assert!((have.sum - truth).abs() <= allowed(truth, f64::from(n)));
    }
}

/// Touches of pages that are on the device alone, by the program and by the kernel for it: as many as `getrusage` says, as long as
/// the driver measured. What the program's own pages took before is in neither: it is a service of its own once it is warm.
#[test]
fn page_faults() {
    need!(Need::Agent, Need::Program("losetup"));
    let pages = 2000;
    let Some(device) = disk(8 << 20) else {
        return;
    };
    let agent = agent("faults");
    let args = ["faults", device.path(), &pages.to_string()];
    // Its own pages are in memory afterwards.
    run(&mut command(&unique("warming"), &args));
    let service = unique("faulting");
    let said = run(&mut command(&service, &args));
    let (count, truth) = (said["faults"].as_f64().unwrap(), said["seconds"].as_f64().unwrap());
    assert!(count >= f64::from(pages) * 0.9, "{said}: the pages were in memory");
    let have = observed(&agent, FAULT, &[("service_name", &service)], count);
    say(&format!(
        "{count} faults in {:.6} s, the driver measured {truth:.6} s",
        have.sum
    ));
    assert!(have.sum <= truth);
    assert!(truth - have.sum <= allowed(truth, count));
    let lost = agent
        .scrape()
        .unwrap()
        .sum("onlooker_events_lost_total", &[("kind", "fault")]);
    assert_eq!(lost, 0.0);
}

/// More processes than the table has room for, alive at once: those that found none are counted as other's, and none is lost.
#[test]
fn more_syncs_than_room() {
    need!(Need::Agent);
    let agent = agent("sync");
    let (dir, service, n) = (TempDir::new().unwrap(), unique("swarm"), 700);
    let path = dir.path().join("file");
    run(&mut command(
        &service,
        &["swarm", path.to_str().unwrap(), &n.to_string()],
    ));
    let all = |scrape: &Scrape| {
        let of = |service| scrape.histogram(SYNC, &[("service_name", service), ("syscall", "fdatasync")]);
        anyhow::Ok((of(&service)?.count, of("_OTHER")?.count))
    };
    let (own, other) = wait::until("all calls", wait::SOON, || {
        let (own, other) = all(&agent.scrape()?)?;
        ensure!(own + other >= f64::from(n), "{own} and {other}");
        Ok((own, other))
    })
    .unwrap();
    say(&format!("{own} calls by process, {other} beyond the table"));
    assert!(other > 0.0);
    // Other programs of the host may be among those without room, none among the service's.
    assert!(own <= f64::from(n));
    assert_eq!(
        agent
            .scrape()
            .unwrap()
            .sum("onlooker_events_lost_total", &[("kind", "sync")]),
        0.0
    );
}

/// Threads that want one CPU: the kernel's own count of their waits.
#[test]
fn waits_for_a_cpu() {
    need!(Need::Agent);
    if !Path::new("/proc/self/schedstat").exists() {
        say("skipped: this kernel does not count waits");
        return;
    }
    let agent = agent("runqueue");
    let service = unique("spinners");
    let said = run(&mut command(&service, &["spin", "4", "2"]));
    let truth = said["waited"].as_f64().unwrap();
    let labels = [("service_name", service.as_str())];
    let have = wait::until("all waits", wait::SOON, || {
        let have = agent.scrape()?.histogram(RUNQUEUE, &labels)?;
        let allowed = allowed(truth, said["runs"].as_f64().unwrap());
        ensure!(
            (have.sum - truth).abs() <= allowed,
            "{} s, the kernel says {truth} s",
            have.sum
        );
        Ok(have)
    })
    .unwrap();
    say(&format!(
        "{} waits of {:.6} s, the kernel counted {} of {truth:.6} s",
        have.count, have.sum, said["runs"]
    ));
    assert!(truth > 1.0, "nobody waited");
}

/// A cgroup with a quota, and a thread that wants more.
#[test]
fn throttling() {
    need!(Need::Agent);
    let quota = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "20000")];
    let Some(group) = group("cpu", &[("cpu.max", "20000 100000")], &quota) else {
        return;
    };
    let agent = agent("");
    let args = ["spin", "1", "2"];
    run(&mut group.command(&own_program("stalling"), &unique("throttled"), &args));
    let name = format!("/{}", group.path().file_name().unwrap().to_str().unwrap());
    let truth = || {
        let seconds = if group.path().join("cpu.max").exists() {
            group.number("cpu.stat", "throttled_usec ") / 1e6
        } else {
            group.number("cpu.stat", "throttled_time ") / 1e9
        };
        [
            group.number("cpu.stat", "nr_periods "),
            group.number("cpu.stat", "nr_throttled "),
            seconds,
        ]
    };
    // A period may end between the look at the file and the scrape, until the group has rested for one.
    let told = wait::until("what the kernel says", wait::SOON, || {
        let truth = truth();
        let scrape = agent.scrape()?;
        let have = ["periods_total", "throttled_periods_total", "throttled_seconds_total"]
            .map(|what| scrape.sum(&format!("onlooker_cgroup_cpu_{what}"), &[("cgroup", &name)]));
        say(&format!(
            "periods, throttled, seconds: {have:?}, the kernel says {truth:?}"
        ));
        anyhow::ensure!(have == truth, "{have:?} and {truth:?}");
        Ok(truth)
    });
    let truth = told.unwrap();
    assert!(truth[1] > 0.0 && truth[2] > 0.0);
}

/// A file larger than the memory of a cgroup: how often and how long it made room is what the kernel's own trace says.
#[test]
fn reclaim() {
    need!(Need::Agent);
    let Some(group) = of_memory(32 << 20) else {
        return;
    };
    let Some(trace) = Trace::of_reclaim("stalling") else {
        return;
    };
    let agent = agent("");
    let Some(dir) = folder(128 << 20) else {
        return;
    };
    let service = unique("squeezed");
    let file = dir.path().join("file");
    fs::write(&file, vec![3; 128 << 20]).unwrap();
    let written = fs::File::open(&file).unwrap();
    written.sync_all().unwrap();
    // Out of the page cache, so that who reads it is charged for it.
    rustix::fs::fadvise(&written, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let args = ["reclaim", file.to_str().unwrap()];
    let said = run(&mut group.command(&own_program("stalling"), &service, &args));
    let labels = [("service_name", service.as_str()), ("reason", "cgroup")];
    let (count, seconds) = trace.reclaims().unwrap();
    assert!(count > 0.0);
    let have = observed(&agent, RECLAIM, &labels, count);
    say(&format!(
        "made room {} times in {:.6} s; the kernel traced {count} in {seconds:.6} s, the driver ran {} s",
        have.count, have.sum, said["seconds"]
    ));
    assert!((have.sum - seconds).abs() <= allowed(seconds, count));
    assert!(have.sum <= said["seconds"].as_f64().unwrap());
}
