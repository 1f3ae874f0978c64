//! The agent as an ordinary user with the capabilities that the README names and no others; and what breaks without each.

use onlooker_tests::agent::{Agent, HOOKS, ORDINARY, Options, alone};
use onlooker_tests::case::{Role, expect_metrics};
use onlooker_tests::http::Target;
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::process::{copy_as, free_port, unique};
use onlooker_tests::require::{Need, own_program, say};
use onlooker_tests::servers::{Nginx, Server};
use onlooker_tests::truth::Request;
use std::net::SocketAddr;
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
    /// Named by its executable, whose name is longer than the 15 bytes that a process has for its own.
    nginx: Nginx,
    /// Named by `OTEL_SERVICE_NAME`.
    declared: Server,
    /// Its executable's name.
    program: String,
}

impl Services {
    fn start() -> Services {
        let dir = TempDir::new().unwrap();
        let program = unique("undeclared");
        let copy = copy_as(&own_program("rawhttp"), dir.path(), &program).unwrap();
        let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut command = Command::new(copy);
        command
            .args(["serve", &target.to_string()])
            .arg(dir.path().join("access.log"));
        Services {
            nginx: Nginx::mixed("longer-than-a-process-name", "").unwrap(),
            declared: Server::start_in(dir, command, target, "declared").unwrap(),
            program,
        }
    }

    /// Real traffic to both; what their logs say.
    fn traffic(&self) -> [Vec<Request>; 2] {
        get_many(&self.nginx.server.target, 4, 1000, &Nginx::MIXED).unwrap();
        get_many(&self.declared.target, 4, 500, &["/ok", "/status/404"]).unwrap();
        [&self.nginx.server, &self.declared].map(|server| server.log.wait(500).unwrap())
    }

    /// Compares the agent's counts with the logs, under these names.
    fn expect(&self, agent: &Agent, names: [&str; 2]) {
        for (service, log) in names.into_iter().zip(self.traffic()) {
            if !service.is_empty() {
                expect_metrics(agent, service, Role::Server, &log).unwrap();
            }
        }
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
    for hooks in HOOKS {
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
        assert!(ready.starts_with("ready\n"), "{hooks}: {ready}");
        for (name, _) in NEEDED {
            assert_eq!(held(&agent, &format!("CAP_{}", name.to_uppercase())), 1.0, "{name}");
        }
        services.expect(&agent, [&services.nginx.server.service, &services.declared.service]);
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
        let log = agent.program.stderr();
        assert!(
            log.lines()
                .any(|line| line.contains("level=warn") && line.contains(&name)),
            "{log}"
        );
        assert_eq!(held(&agent, &name), 0.0);
        let nginx = services.nginx.server.service.as_str();
        // Of the environment newer kernels tell whoever has CAP_PERFMON.
        let names = if missing == "sys_ptrace" {
            [&nginx[..15], ""]
        } else {
            [nginx, services.program.as_str()]
        };
        services.expect(&agent, names);
        // What starts now is named as ever: the kernel side saw it begin.
        let fresh = Services::start();
        fresh.expect(&agent, [&fresh.nginx.server.service, &fresh.declared.service]);
    }
}
