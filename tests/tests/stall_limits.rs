//! More processes and threads than the tables of stalls have entries (`programs/crowd.rs`): what found none is told without its
//! service, or counted as lost, and the sum is what the kernel or the driver says. One at a time: every table is one of the host.

use anyhow::{Result, ensure};
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::cgroup::of_memory;
use onlooker_tests::disk::{Folder, disk, folder, frozen_disk};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::process::{Program, unique};
use onlooker_tests::require::{Need, own_program, say};
use onlooker_tests::trace::Trace;
use onlooker_tests::wait;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by each of these tests.
static ALONE: Mutex<()> = Mutex::new(());

const BLOCK: &str = "onlooker_block_io_duration_seconds";
const RECLAIM: &str = "onlooker_memory_reclaim_duration_seconds";
const SYNC: &str = "onlooker_file_sync_duration_seconds";
const FAULT: &str = "onlooker_page_fault_duration_seconds";
const RUNQUEUE: &str = "onlooker_runqueue_wait_seconds";
const OFFCPU: &str = "onlooker_offcpu_duration_seconds";

/// Entries of the kernel side's tables (`agent-common/src/stall.rs`).
const BLOCK_ENTRIES: f64 = 384.0;
const REQUESTS: f64 = 1024.0;
const RECLAIM_ENTRIES: f64 = 128.0;
const SYNCING: f64 = 1024.0;
const FAULT_ENTRIES: f64 = 256.0;
const FAULTING: f64 = 4096.0;
const SWITCH_ENTRIES: f64 = 4096.0;
const THREADS: f64 = 16_384.0;

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn agent(enable: &[&str]) -> Agent {
    let args = enable.iter().map(|name| format!("--probes.enable={name}"));
    // So that the names of all are known, however many they are.
    let args = args.chain(["--limits.processes=16384".into()]);
    Agent::start(&Options {
        args: args.collect(),
        about: &["block", "reclaim"],
        ..Options::default()
    })
    .unwrap()
}

fn command(service: &str, args: &[&str]) -> Command {
    let mut command = Command::new(own_program("crowd"));
    command.args(args).env("OTEL_SERVICE_NAME", service);
    command
}

/// Runs the driver while the agent does not read its tables, and gives what it said.
fn run(agent: &Agent, mut command: Command) -> serde_json::Value {
    agent.pause().unwrap();
    let output = command.output().unwrap();
    agent.resume();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How many were told of processes of a service, and how many of nobody's. Of those that came and went while the agent did not look, and
/// the ring was full of what others do, the service is not known.
fn told(scrape: &Scrape, family: &str, labels: &[(&str, &str)], service: &str) -> (f64, f64) {
    let name = format!("{family}_count");
    let of = |service| scrape.sum(&name, &[labels, &[("service_name", service)]].concat());
    (of(service) + of("unknown"), of("_OTHER"))
}

fn lost(scrape: &Scrape, kind: &str) -> f64 {
    scrape.sum(
        "onlooker_events_lost_total",
        &[("kind", kind), ("reason", "table_full")],
    )
}

/// Waits until a check passes, and says what it gives.
fn settled(agent: &Agent, what: &str, mut check: impl FnMut(&Scrape) -> Result<String>) {
    let line = wait::until(what, wait::SOON, || check(&agent.scrape()?)).unwrap();
    say(&line);
}

/// More processes than entries read a device.
#[test]
fn processes_that_read_a_device() {
    need!(Need::Agent);
    let _alone = alone();
    let Some(device) = disk(8 << 20) else {
        return;
    };
    let (agent, service) = (agent(&[]), unique("readers"));
    let before = device.stat().unwrap()[0];
    run(&agent, command(&service, &["read", device.path(), "600"]));
    let truth = (device.stat().unwrap()[0] - before) as f64;
    let labels = [("device", device.name()), ("operation", "read")];
    settled(&agent, "all reads", |scrape| {
        let all = scrape.sum(&format!("{BLOCK}_count"), &labels);
        ensure!(all == truth, "{all}, the kernel counted {truth}");
        let (own, other) = told(scrape, BLOCK, &labels, &service);
        ensure!(
            own > 0.0 && own <= BLOCK_ENTRIES && other >= 600.0 - BLOCK_ENTRIES,
            "{own} and {other}"
        );
        ensure!(lost(scrape, "block_io") == 0.0, "some are lost");
        Ok(format!(
            "{truth} reads: {own} of the service, {other} of nobody's: difference 0"
        ))
    });
}

/// More requests under way than are followed to those who made them.
#[test]
fn requests_under_way() {
    need!(Need::Agent);
    let _alone = alone();
    const WRITES: usize = 1400;
    let Some(frozen) = frozen_disk(64 << 20) else {
        return;
    };
    let device = &frozen.disk;
    device.set("scheduler", "mq-deadline").unwrap();
    if let Err(error) = device.set("nr_requests", "2048") {
        // Before Linux 5.14 or so a queue has 256 requests at most: fewer than are followed, so this limit cannot be reached.
        say(&format!(
            "a device takes no more requests here than are followed: {error:#}"
        ));
        return;
    }
    let (agent, service) = (agent(&[]), unique("writers"));
    let before = device.stat().unwrap()[3];
    frozen.freeze().unwrap();
    let mut program = Program::start(
        "crowd",
        command(&service, &["write", device.path(), &WRITES.to_string()]),
    )
    .unwrap();
    waiting(&program, WRITES);
    let under_way = device.under_way().unwrap();
    frozen.thaw().unwrap();
    program.wait(wait::SOON).unwrap();
    if under_way as f64 <= REQUESTS {
        // Some schedulers let only a part of their requests be writes: the others wait for their turn, and nobody follows those yet.
        say(&format!(
            "a device has {under_way} writes under way here: no more than are followed"
        ));
        return;
    }
    let truth = (device.stat().unwrap()[3] - before) as f64;
    let labels = [("device", device.name()), ("operation", "write")];
    settled(&agent, "all writes", |scrape| {
        let all = scrape.sum(&format!("{BLOCK}_count"), &labels);
        ensure!(all == truth, "{all}, the kernel counted {truth}");
        let (own, other) = told(scrape, BLOCK, &labels, &service);
        ensure!(
            own > 0.0 && own <= REQUESTS && other >= WRITES as f64 - REQUESTS,
            "{own} and {other}"
        );
        Ok(format!(
            "{truth} writes: {own} of the service, {other} of nobody's: difference 0"
        ))
    });
}

/// Waits until so many threads of a program wait for a disk.
fn waiting(program: &Program, threads: usize) {
    wait::until("all threads wait", wait::SOON, || {
        let mut count = 0;
        for task in fs::read_dir(format!("/proc/{}/task", program.pid()))? {
            let stat = fs::read_to_string(task?.path().join("stat"))?;
            count += usize::from(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('D')));
        }
        ensure!(count == threads, "{count} of {threads}");
        Ok(())
    })
    .unwrap();
}

/// A file of so many parts, nothing of it written or in memory. `None`: see [`folder`].
fn parts(count: usize) -> Option<(Folder, String)> {
    let dir = folder(0)?;
    let path = dir.path().join("file");
    fs::File::create(&path).unwrap().set_len((count as u64) << 22).unwrap();
    let text = path.to_str().unwrap().to_owned();
    Some((dir, text))
}

/// More processes than entries make room in memory.
#[test]
fn processes_that_reclaim() {
    need!(Need::Agent);
    let _alone = alone();
    const PROCESSES: usize = 200;
    let Some(group) = of_memory(16 << 20) else {
        return;
    };
    let Some(trace) = Trace::of_reclaim("crowd") else {
        return;
    };
    let Some((_dir, file)) = parts(PROCESSES) else {
        return;
    };
    let (agent, service) = (agent(&[]), unique("squeezed"));
    let args = ["touch", &file, &PROCESSES.to_string()];
    run(&agent, group.command(&own_program("crowd"), &service, &args));
    let (truth, _) = trace.reclaims().unwrap();
    settled(&agent, "all reclaim", |scrape| {
        let (own, other) = told(scrape, RECLAIM, &[("reason", "cgroup")], &service);
        ensure!(own + other == truth, "{own} and {other}, the kernel traced {truth}");
        ensure!(own > 0.0 && other > 0.0, "{own} and {other}");
        ensure!(lost(scrape, "reclaim") == 0.0, "some are lost");
        Ok(format!(
            "{truth} times from {PROCESSES} processes for {RECLAIM_ENTRIES} entries: {own} of the service, {other} of nobody's: difference 0"
        ))
    });
}

/// More threads sync at once than are followed.
#[test]
fn threads_that_sync() {
    need!(Need::Agent);
    let _alone = alone();
    const COUNT: usize = 1400;
    let Some(frozen) = frozen_disk(64 << 20) else {
        return;
    };
    let (agent, service) = (agent(&["sync"]), unique("syncers"));
    frozen.freeze().unwrap();
    let args = ["syncs", frozen.disk.path(), &COUNT.to_string()];
    let mut program = Program::start("crowd", command(&service, &args)).unwrap();
    waiting(&program, COUNT);
    frozen.thaw().unwrap();
    program.wait(wait::SOON).unwrap();
    settled(&agent, "all syncs", |scrape| {
        let (own, _) = told(scrape, SYNC, &[("syscall", "fdatasync")], &service);
        let lost = lost(scrape, "sync");
        // Others' calls may be lost too meanwhile.
        ensure!(own + lost >= COUNT as f64, "{own} told, {lost} lost");
        ensure!(
            own > 0.0 && own <= SYNCING && lost >= COUNT as f64 - SYNCING,
            "{own} told, {lost} lost"
        );
        Ok(format!("{COUNT} calls at once: {own} told, {lost} lost"))
    });
}

/// More processes than entries wait for a page.
#[test]
fn processes_with_page_faults() {
    need!(Need::Agent);
    let _alone = alone();
    let Some(device) = disk(8 << 20) else {
        return;
    };
    let (agent, service) = (agent(&["faults"]), unique("faulting"));
    run(&agent, command(&service, &["fault", device.path(), "600"]));
    settled(&agent, "all faults", |scrape| {
        let (own, other) = told(scrape, FAULT, &[], &service);
        ensure!(own + other >= 600.0, "{own} and {other}");
        ensure!(
            own > 0.0 && own <= FAULT_ENTRIES && other >= 600.0 - FAULT_ENTRIES,
            "{own} and {other}"
        );
        ensure!(lost(scrape, "fault") == 0.0, "some are lost");
        Ok(format!("600 faults: {own} by process, {other} beyond the table"))
    });
}

/// More threads wait for a page at once than begins are kept.
#[test]
fn threads_with_page_faults() {
    need!(Need::Agent);
    let _alone = alone();
    const COUNT: usize = 5000;
    let Some(frozen) = frozen_disk(64 << 20) else {
        return;
    };
    let file = frozen.folder().join("pages");
    fs::write(&file, vec![7; COUNT * 4096]).unwrap();
    fs::File::open(&file).unwrap().sync_all().unwrap();
    let (agent, service) = (agent(&["faults"]), unique("stuck"));
    frozen.freeze().unwrap();
    let args = ["faults", file.to_str().unwrap(), &COUNT.to_string()];
    let mut program = Program::start("crowd", command(&service, &args)).unwrap();
    waiting(&program, COUNT);
    frozen.thaw().unwrap();
    program.wait(wait::SOON).unwrap();
    settled(&agent, "all faults", |scrape| {
        let (own, _) = told(scrape, FAULT, &[], &service);
        let lost = lost(scrape, "fault");
        // Those of others may be among them.
        ensure!(own + lost >= COUNT as f64, "{own} told, {lost} lost");
        ensure!(
            own > 0.0 && own <= FAULTING && lost >= COUNT as f64 - FAULTING,
            "{own} told, {lost} lost"
        );
        Ok(format!("{COUNT} faults at once: {own} told, {lost} lost"))
    });
}

/// More processes than entries leave the CPU.
#[test]
fn processes_that_sleep() {
    need!(Need::Agent);
    let _alone = alone();
    const PROCESSES: usize = 5000;
    let (agent, service) = (agent(&["runqueue", "offcpu"]), unique("sleepers"));
    let said = run(&agent, command(&service, &["sleep", &PROCESSES.to_string()]));
    let truth = said["switches"].as_f64().unwrap();
    for (family, kind) in [(OFFCPU, "offcpu"), (RUNQUEUE, "runqueue")] {
        settled(&agent, kind, |scrape| {
            let (own, other) = told(scrape, family, &[], &service);
            // How often they left the CPU on their way out they do not know themselves; and a kernel may not trace every switch
            // (see `offcpu.rs`).
            ensure!(
                own + other >= 0.97 * truth,
                "{own} and {other}, the processes say {truth}"
            );
            // Likewise: of some processes beyond the table no switch may be traced.
            ensure!(other >= (PROCESSES as f64 - SWITCH_ENTRIES) / 2.0, "{own} and {other}");
            ensure!(lost(scrape, kind) == 0.0, "some are lost");
            Ok(format!(
                "{kind}: {truth} switches say the processes: {own} of the service, {other} of nobody's"
            ))
        });
    }
}

/// More threads than are followed leave the CPU.
#[test]
fn threads_that_wait() {
    need!(Need::Agent);
    let _alone = alone();
    const COUNT: usize = 18_000;
    let most = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    if most.trim().parse::<usize>().unwrap() < COUNT + 8000 {
        say(&format!("skipped: no more than {} threads", most.trim()));
        return;
    }
    let (agent, service) = (agent(&["runqueue", "offcpu"]), unique("waiters"));
    let mut command = command(&service, &["wait", &COUNT.to_string(), "3"]);
    command.stdout(Stdio::piped());
    let mut program = Program::start("crowd", command).unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(&COUNT.to_string()), "{line}{}", program.last_words());
    let truth = switches(&program).unwrap();
    let beyond = COUNT as f64 - THREADS;
    for (family, kind, under_way) in [(OFFCPU, "offcpu", THREADS), (RUNQUEUE, "runqueue", 0.0)] {
        settled(&agent, kind, |scrape| {
            let ((own, _), lost) = (told(scrape, family, &[], &service), lost(scrape, kind));
            // What others lose meanwhile is lost too; of threads that are followed the time off the CPU is not over.
            // As above, a few are not traced.
            let least = 0.97 * (truth - under_way);
            ensure!(own < truth && own + lost >= least, "{own} told, {lost} lost of {truth}");
            ensure!(lost >= beyond, "{lost} lost");
            Ok(format!(
                "{kind}: {truth} switches by {COUNT} threads: {own} told, {lost} lost"
            ))
        });
    }
}

/// How often the threads of a program left the CPU, as the kernel counts it.
fn switches(program: &Program) -> Result<f64> {
    let mut all = 0.0;
    for task in fs::read_dir(format!("/proc/{}/task", program.pid()))? {
        let text = fs::read_to_string(task?.path().join("status"))?;
        for line in text.lines().filter(|line| line.contains("voluntary_ctxt_switches:")) {
            all += line
                .rsplit(|c: char| !c.is_ascii_digit())
                .next()
                .unwrap_or_default()
                .parse::<f64>()?;
        }
    }
    Ok(all)
}
