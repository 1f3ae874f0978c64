//! A long life: many starts and ends, two agents at once, a host whose cgroups, namespaces and processes come and go. Nothing
//! may be left behind, and nothing may grow.

use anyhow::{Context, Result, ensure};
use onlooker_tests::agent::{Agent, HOOKS, Options, alone};
use onlooker_tests::bpf::{Loaded, map_bytes};
use onlooker_tests::case::{Role, expect_metrics};
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::process::{Program, output, unique};
use onlooker_tests::require::{Need, agent_program, own_program, say};
use onlooker_tests::servers::{Nginx, NginxOptions, Server};
use onlooker_tests::truth::{AccessLog, median};
use onlooker_tests::wait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Starts and ends of the agent (`ONLOOKER_TEST_CYCLES` for another number).
const CYCLES: u32 = 200;
/// Of the points at which it is killed.
const SEED: u64 = 4;
/// Latest of them, after its start: most starts are over by then.
const LATEST_KILL: Duration = Duration::from_millis(700);
/// Control groups that come and go, with a process and a request in each.
const CGROUPS: usize = 200;
/// Network namespaces that come and go, with a request in each.
const NAMESPACES: usize = 100;
/// Processes of a crowded host.
const CROWD: usize = 5_000;
/// As for the load tests (the ring counts twice), with room for the processes that are remembered.
const RESIDENT_LIMIT: u64 = 60 << 20;

fn agent(hooks: &'static str) -> Agent {
    let options = Options {
        hooks: Some(hooks),
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// nginx that keeps no log of what nobody counts.
fn unlogged() -> Nginx {
    let options = NginxOptions {
        server: "access_log off; location /ok { return 200 \"ok\\n\"; }".into(),
        ..NginxOptions::default()
    };
    Nginx::start("aging", &options).unwrap()
}

/// Ends by SIGTERM and by SIGKILL, the latter at any point of the start or later, under load: the kernel holds nothing of the
/// agent afterwards, every time, and the next one works.
#[test]
fn starts_and_ends_leave_nothing() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("bpftool"));
    let _alone = alone();
    let given = std::env::var("ONLOOKER_TEST_CYCLES").ok();
    let cycles = given.map_or(CYCLES, |count| count.parse().unwrap());
    let nginx = unlogged();
    let before = Loaded::now().unwrap();
    let over = AtomicBool::new(false);
    let starts = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                get_many(&nginx.server.target, 2, 200, &["/ok"]).unwrap();
                std::thread::sleep(Duration::from_millis(20)); // bounds the load
            }
        });
        // Also when a cycle fails, or the scope would wait for ever.
        let result = std::panic::catch_unwind(|| all_cycles(cycles, &before));
        over.store(true, Ordering::Relaxed);
        result.unwrap()
    });
    say(&format!(
        "{cycles} starts and ends; {} ready after {:.3} s in the median, {:.3} s at most",
        starts.len(),
        median(starts.clone()),
        starts.iter().copied().fold(0.0, f64::max)
    ));
    // Nothing of them is in the way.
    let nginx = Nginx::mixed("afterwards", "").unwrap();
    let agent = agent("auto");
    get_many(&nginx.server.target, 4, 1000, &Nginx::MIXED).unwrap();
    let log = nginx.server.log.wait(1000).unwrap();
    expect_metrics(&agent, &nginx.server.service, Role::Server, &log).unwrap();
}

/// Starts an agent; one that takes far longer than others shows what it did.
fn timed(hooks: &'static str, starts: &mut Vec<f64>) -> Agent {
    let agent = agent(hooks);
    starts.push(agent.ready_after.as_secs_f64());
    if agent.ready_after > Duration::from_secs(5) {
        say(&format!(
            "ready after {:?}: {}",
            agent.ready_after,
            agent.program.stderr()
        ));
    }
    agent
}

/// Seconds from start to readiness of those that got there.
fn all_cycles(cycles: u32, before: &Loaded) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut starts = Vec::new();
    for cycle in 0..cycles {
        let hooks = HOOKS[cycle as usize % HOOKS.len()];
        let early = random.random_range(Duration::ZERO..LATEST_KILL);
        let how = match random.random_range(0..3) {
            0 => {
                kill_during_start(hooks, early);
                format!("SIGKILL after {early:?}")
            }
            1 => {
                let mut agent = timed(hooks, &mut starts);
                std::thread::sleep(early / 4); // the random point
                agent.program.signal(libc::SIGKILL);
                agent.program.wait(wait::SOON).unwrap();
                "SIGKILL".into()
            }
            _ => {
                let agent = timed(hooks, &mut starts);
                let status = agent.terminate_now().unwrap();
                assert!(status.success(), "cycle {cycle}: {status}");
                "SIGTERM".into()
            }
        };
        if let Err(error) = Loaded::expect_nothing_since(before) {
            panic!("cycle {cycle}, {hooks}, {how}: {error:#}");
        }
    }
    starts
}

fn kill_during_start(hooks: &str, after: Duration) {
    let mut command = Command::new(agent_program().unwrap());
    let port = onlooker_tests::process::free_port();
    command
        .args(["run", "--summary=never"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(format!("--capture.hooks={hooks}"))
        .stdout(Stdio::null());
    let mut program = Program::start("onlooker", command).unwrap();
    std::thread::sleep(after); // the random point
    program.check_alive().unwrap();
    program.signal(libc::SIGKILL);
    program.wait(wait::SOON).unwrap();
}

/// Two agents of the same kind watch the same traffic; both are exact, and the end of one does not touch the other.
#[test]
fn two_agents_side_by_side() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("bpftool"));
    let _alone = alone();
    for hooks in HOOKS {
        let before = Loaded::now().unwrap();
        let agents = [agent(hooks), agent(hooks)];
        let nginx = Nginx::mixed("both", "").unwrap();
        let expect = |agent: &Agent, count: usize| {
            let log = nginx.server.log.wait(count).unwrap();
            assert_eq!(log.len(), count);
            expect_metrics(agent, &nginx.server.service, Role::Server, &log).unwrap();
        };
        get_many(&nginx.server.target, 4, 5000, &Nginx::MIXED).unwrap();
        agents.iter().for_each(|agent| expect(agent, 5000));
        let [first, second] = agents;
        assert!(first.terminate().unwrap().success());
        get_many(&nginx.server.target, 4, 5000, &Nginx::MIXED).unwrap();
        expect(&second, 10_000);
        assert!(second.terminate().unwrap().success());
        Loaded::expect_nothing_since(&before).unwrap();
    }
}

/// A control group of a test. Dropping it removes it.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Below the mount of version 2, or else of a controller of version 1.
    fn new() -> Result<Cgroup> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let of_kind = |kind: &str, option: &str| {
            mounts.lines().find_map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let [_, folder, has, options, ..] = words.as_slice() else {
                    return None;
                };
                let found = *has == kind && (option.is_empty() || options.split(',').any(|word| word == option));
                found.then(|| PathBuf::from(folder))
            })
        };
        let root = of_kind("cgroup2", "").or_else(|| of_kind("cgroup", "pids"));
        let path = root.context("no cgroups are mounted")?.join(unique("onlooker-test"));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Cgroup(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = wait::until("removal of a cgroup", wait::SOON, || Ok(std::fs::remove_dir(&self.0)?));
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// Asks once, as a process in the cgroup.
fn ask_from(cgroup: &Cgroup, service: &str, server: &Server) {
    let steps = serde_json::to_string(&onlooker_tests::steps::Step::exchange("GET", "/ok", "")).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"", "sh"])
        .arg(&cgroup.0)
        .arg(own_program("rawhttp"))
        .args(["ask", &server.target.to_string(), &steps])
        .env("OTEL_SERVICE_NAME", service);
    output(command).unwrap();
}

/// Control groups and network namespaces come, ask once and go: every request is counted, at both ends, and neither the
/// agent nor its maps grow.
#[test]
fn cgroups_and_namespaces_come_and_go() {
    need!(Need::Agent, Need::Program("bpftool"));
    let _alone = alone();
    let before = Loaded::now().unwrap();
    let mut agents = HOOKS.map(agent);
    let own = Loaded::now().unwrap().without(&before);
    let maps = map_bytes(&own.maps).unwrap();
    let server = Server::raw("stays", "127.0.0.1").unwrap();
    let (inside, alone) = (unique("in-cgroup"), unique("in-namespace"));
    let dir = tempfile::TempDir::new().unwrap();
    let log = dir.path().join("access.log");
    let namespace = || {
        let mut command = Command::new(own_program("rawhttp"));
        command.arg("alone").arg(&log).env("OTEL_SERVICE_NAME", &alone);
        output(command).unwrap();
    };
    // A tenth first: what it takes to know such processes at all.
    let resident = |agents: &[Agent; 2]| [0, 1].map(|n: usize| agents[n].program.resident_bytes().unwrap());
    let mut at_first = [0; 2];
    for n in 0..CGROUPS {
        if n == CGROUPS / 10 {
            at_first = resident(&agents);
        }
        ask_from(&Cgroup::new().unwrap(), &inside, &server);
        if n < NAMESPACES {
            namespace();
        }
    }
    let asked = server.log.wait(CGROUPS).unwrap();
    let alone_log = AccessLog::new(&log).wait(NAMESPACES).unwrap();
    assert_eq!((asked.len(), alone_log.len()), (CGROUPS, NAMESPACES));
    for agent in &mut agents {
        for (service, role, log) in [
            (&server.service, Role::Server, &asked),
            (&inside, Role::Client, &asked),
            (&alone, Role::Server, &alone_log),
            (&alone, Role::Client, &alone_log),
        ] {
            expect_metrics(agent, service, role, log).unwrap();
        }
        agent.check().unwrap();
    }
    let at_last = resident(&agents);
    say(&format!(
        "{at_first:?} bytes resident after {} of them, {at_last:?} after all",
        CGROUPS / 10
    ));
    for bytes in at_last {
        assert!(bytes < RESIDENT_LIMIT, "{bytes}");
    }
    assert_eq!(map_bytes(&own.maps).unwrap(), maps, "bytes of maps");
}

/// Processes that do nothing. Dropping it ends them: they wait for the end of its standard input.
struct Crowd(Child);

impl Crowd {
    fn start(count: usize) -> Result<Crowd> {
        let mut child = Command::new(own_program("bench"))
            .args(["sleepers", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("stdout")?;
        let crowd = Crowd(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.contains(&count.to_string()), "the crowd said {line:?}");
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// An agent that was there before 5,000 processes came and one that comes later are both exact, small, and can be scraped;
/// so they are when the crowd is gone.
#[test]
fn crowded_host() {
    need!(Need::Agent, Need::Program("nginx"));
    let _alone = alone();
    let older = agent("auto");
    let crowd = Crowd::start(CROWD).unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter(|entry| Path::new(&entry.file_name()).to_string_lossy().parse::<u32>().is_ok());
    assert!(processes.count() > CROWD);
    let newer = agent("auto");
    say(&format!("ready after {:?} beside {CROWD} processes", newer.ready_after));
    let nginx = Nginx::mixed("crowded", "").unwrap();
    let mut agents = [older, newer];
    let mut look = |when: &str, total: usize| {
        get_many(&nginx.server.target, 4, 1000, &Nginx::MIXED).unwrap();
        let log = nginx.server.log.wait(total).unwrap();
        for agent in &mut agents {
            expect_metrics(agent, &nginx.server.service, Role::Server, &log).unwrap();
            agent.check().unwrap();
            let resident = agent.program.resident_bytes().unwrap();
            say(&format!("{when}: {resident} bytes resident"));
            assert!(resident < RESIDENT_LIMIT, "{when}: {resident}");
        }
    };
    look("in the crowd", 1000);
    drop(crowd);
    look("after it", 2000);
}
