//! The agent as an ordinary user with the capabilities that the README names and no others; and what breaks without each.

use onlooker_tests::agent::{Agent, ORDINARY, Options, alone, hooks};
use onlooker_tests::case::{Role, expect_metrics};
use onlooker_tests::http::Target;
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::probes::preempts_programs;
use onlooker_tests::process::{Program, copy_as, free_port, unique};
use onlooker_tests::require::{Need, own_program, say};
use onlooker_tests::servers::{Nginx, wait_listening};
use onlooker_tests::truth::AccessLog;
use onlooker_tests::wait::{self, eased};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tempfile::TempDir;

/// What the README's table names, as setpriv does, with their bits in `CapEff`.
const NEEDED: [(&str, u32); 4] = [("bpf", 39), ("perfmon", 38), ("sys_ptrace", 19), ("dac_read_search", 2)];

fn options(hooks: &'static str, without: &str) -> Options {
    let names = NEEDED.map(|(name, _)| name).into_iter();
    Options {
        hooks: Some(hooks),
        capabilities: Some(names.filter(|name| *name != without).collect()),
        ..Options::default()
    }
}

/// Services that are older than the agent, so that it must read `/proc` to name them.
struct Services {
    /// Named by its executable, as it is elsewhere.
    nginx: Nginx,
    /// Named by its executable, although it calls itself something else.
    renamed: Own,
    /// Named by `OTEL_SERVICE_NAME`.
    declared: Own,
}

/// The tests' own server under a name of its own.
struct Own {
    /// Of the executable.
    executable: String,
    /// Its `argv[0]`.
    called: String,
    /// In its environment, where it is declared.
    declared: String,
    target: Target,
    log: AccessLog,
    _program: Program,
    _dir: TempDir,
}

impl Own {
    fn start(declares: bool) -> Own {
        let [executable, called, declared] = ["executable", "called", "declared"].map(unique);
        let dir = TempDir::new().unwrap();
        let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], free_port())));
        let log = dir.path().join("access.log");
        let mut command = Command::new(copy_as(&own_program("rawhttp"), dir.path(), &executable).unwrap());
        command.arg0(&called).args(["serve", &target.to_string()]).arg(&log);
        if declares {
            command.env("OTEL_SERVICE_NAME", &declared);
        }
        let mut program = Program::start(&executable, command).unwrap();
        wait_listening(&mut program, &target).unwrap();
        Own {
            executable,
            called,
            declared,
            target,
            log: AccessLog::new(&log),
            _program: program,
            _dir: dir,
        }
    }
}

impl Services {
    fn start() -> Services {
        Services {
            nginx: Nginx::mixed("ordinary", "").unwrap(),
            renamed: Own::start(false),
            declared: Own::start(true),
        }
    }

    /// Real traffic to those that have a name here; the agent counts what their logs say, under that name.
    fn expect(&self, agent: &Agent, nginx: Option<&str>, renamed: Option<&str>, declared: Option<&str>) {
        if let Some(name) = nginx {
            let count = eased(1000);
            get_many(&self.nginx.server.target, 4, count.into(), &Nginx::MIXED).unwrap();
            let log = self.nginx.server.log.wait(count as usize).unwrap();
            expect_metrics(agent, name, Role::Server, &log).unwrap();
        }
        for (server, name) in [(&self.renamed, renamed), (&self.declared, declared)] {
            let Some(name) = name else { continue };
            let count = eased(500);
            get_many(&server.target, 4, count.into(), &["/ok", "/status/404"]).unwrap();
            let log = server.log.wait(count as usize).unwrap();
            expect_metrics(agent, name, Role::Server, &log).unwrap();
        }
    }

    /// All under their right names.
    fn expect_all(&self, agent: &Agent) {
        let (renamed, declared) = (&self.renamed.executable, &self.declared.declared);
        self.expect(agent, Some(&self.nginx.server.service), Some(renamed), Some(declared));
    }
}

fn held(agent: &Agent, capability: &str) -> f64 {
    let labels = [("capability", capability)];
    agent.scrape().unwrap().sum("onlooker_capability_held", &labels)
}

/// With exactly the documented set everything works, by both ways to capture.
#[test]
fn documented_set_is_enough() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("setpriv"));
    let _alone = alone();
    let bits = NEEDED.iter().fold(0u64, |bits, (_, bit)| bits | 1 << bit);
    for &hooks in hooks() {
        let services = Services::start();
        let agent = Agent::start(&options(hooks, "")).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.program.pid())).unwrap();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .trim()
                .to_string()
        };
        assert!(
            field("Uid:").split_whitespace().all(|id| id == ORDINARY.to_string()),
            "{status}"
        );
        for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), bits, "{status}");
        }
        let ready = agent.get("/readyz", &[]).unwrap().text();
        // Debian's kernels may close plain tracepoints to all but CAP_SYS_ADMIN: then the next alternative is attached.
        let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
        let closed = preempts_programs() && paranoid.trim().parse::<i32>().unwrap() > 2;
        assert_eq!(ready.starts_with("ready\n"), !closed, "{hooks}: {ready}");
        assert_eq!(
            ready.contains("sysctl kernel.perf_event_paranoid=2"),
            closed,
            "{hooks}: {ready}"
        );
        for (name, _) in NEEDED {
            assert_eq!(held(&agent, &format!("CAP_{}", name.to_uppercase())), 1.0, "{name}");
        }
        services.expect_all(&agent);
        // What the agent tells of itself works, too.
        let scrape = agent.scrape().unwrap();
        assert!(scrape.sum("onlooker_map_bytes", &[]) > 0.0 && scrape.sum("process_open_fds", &[]) > 0.0);
    }
}

/// Without what loads and attaches programs there is no start, and the message names what is missing.
#[test]
fn without_a_vital_one_there_is_no_start() {
    need!(Need::Agent, Need::Program("setpriv"));
    let _alone = alone();
    for missing in ["bpf", "perfmon"] {
        let said = format!("{:#}", Agent::start(&options("auto", missing)).unwrap_err());
        let last = said.lines().next_back().unwrap_or_default();
        let named = format!(
            "CAP_{} missing; run the agent as root or give it the capability",
            missing.to_uppercase()
        );
        assert!(said.contains("onlooker: ") && last.contains(&named), "{said}");
        say(last);
    }
}

/// Without what reads other users' processes, counts stay exact, under other names; the agent says which names suffer.
#[test]
fn without_the_others_names_suffer() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("setpriv"));
    let _alone = alone();
    for (missing, loses) in [
        (
            "sys_ptrace",
            "service names of programs that were started before the agent",
        ),
        (
            "dac_read_search",
            "OTEL_SERVICE_NAME of programs that were started before the agent",
        ),
    ] {
        let services = Services::start();
        let agent = Agent::start(&options("auto", missing)).unwrap();
        let name = format!("CAP_{}", missing.to_uppercase());
        let ready = agent.get("/readyz", &[]).unwrap().text();
        let said = ready.lines().find(|line| line.starts_with(&name));
        assert!(ready.starts_with("ready, but something is missing\n"), "{ready}");
        assert!(said.is_some_and(|line| line.contains(loses)), "{ready}");
        wait::until("the warning", wait::SOON, || {
            let log = agent.program.stderr();
            let warned = |line: &str| line.contains("level=warn") && line.contains(&name);
            anyhow::ensure!(log.lines().any(warned), "{log}");
            Ok(())
        })
        .unwrap();
        assert_eq!(held(&agent, &name), 0.0);
        if missing == "sys_ptrace" {
            // Of the environment newer kernels tell whoever has CAP_PERFMON.
            services.expect(&agent, None, Some(&services.renamed.called), None);
        } else {
            let (renamed, declared) = (&services.renamed.executable, &services.declared.executable);
            let nginx = Some(services.nginx.server.service.as_str());
            services.expect(&agent, nginx, Some(renamed), Some(declared));
        }
        // What starts now is named as ever: the kernel side saw it begin.
        Services::start().expect_all(&agent);
    }
}
