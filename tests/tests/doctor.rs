//! `onlooker doctor`: its verdicts against what then really attaches, as root, as an ordinary user, before and beside an
//! agent. Takes kernels as it finds them: what is compared is what doctor said with what happened.

use onlooker_tests::agent::{Agent, Options, alone, hooks};
use onlooker_tests::bpf::Loaded;
use onlooker_tests::http::{Target, get};
use onlooker_tests::otlp::Receiver;
use onlooker_tests::probes::alternatives;
use onlooker_tests::process::free_port;
use onlooker_tests::require::{Need, agent_program, say, which};
use onlooker_tests::servers::{Kind, Server};
use onlooker_tests::{need, wait};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// What a run of doctor came to.
struct Said {
    code: i32,
    text: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Runs a command of doctor's to its end.
fn run(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "", "{command:?} says nothing beside the report");
    Said {
        code: output.status.code().unwrap(),
        text,
    }
}

/// `onlooker doctor` with an address that is free unless the arguments name one.
fn doctor(args: &[&str]) -> Command {
    let mut command = Command::new(agent_program().unwrap());
    command.arg("doctor").args(args);
    if !args.iter().any(|arg| arg.starts_with("--web.listen-address")) {
        command.arg(format!("--web.listen-address=127.0.0.1:{}", free_port()));
    }
    command
}

fn report(args: &[&str]) -> Value {
    run(doctor(args).arg("--json")).json()
}

fn list<'a>(report: &'a Value, key: &str) -> &'a [Value] {
    report[key].as_array().unwrap_or_else(|| panic!("no {key} in {report}"))
}

/// The check of this name; several names begin alike (`listen address …`).
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = list(report, "checks");
    let found = checks
        .iter()
        .find(|check| check["name"].as_str().unwrap().starts_with(name));
    found.unwrap_or_else(|| panic!("no check {name} in {report}"))
}

fn names(report: &Value, verdict: &str) -> BTreeSet<String> {
    let of_verdict = list(report, "checks")
        .iter()
        .filter(|check| check["verdict"] == verdict);
    of_verdict
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect()
}

/// (probe, alternative) as doctor foretells them, the alternative empty where none would attach.
fn foretold(report: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let probes = list(report, "probes").iter();
    probes
        .map(|probe| (text(&probe["name"]), text(&probe["alternative"])))
        .collect()
}

/// The code is that of the worst verdict.
fn expect_code(said: &Said, report: &Value) {
    let worst = if !names(report, "FAIL").is_empty() {
        2
    } else {
        i32::from(!names(report, "WARN").is_empty())
    };
    assert_eq!(said.code, worst, "{}", said.text);
    assert_eq!(report["verdict"], ["PASS", "WARN", "FAIL"][worst as usize]);
}

/// Probe by probe and alternative by alternative, an agent with the same settings attaches what doctor foretold; when the
/// agent does not start, doctor said so.
#[test]
fn verdicts_come_true() {
    // Where the agent cannot start, doctor must say so: nothing else is needed.
    need!(Need::AgentProgram);
    let _alone = alone();
    for hooks in hooks().iter().copied().chain(["auto"]) {
        let said = run(doctor(&[&format!("--capture.hooks={hooks}")]).arg("--json"));
        let report = said.json();
        expect_code(&said, &report);
        let ways = foretold(&report);
        let captures = |(probe, way): &(String, String)| matches!(&**probe, "socket" | "syscall") && !way.is_empty();
        let started = Agent::start(&Options {
            hooks: Some(hooks),
            blind: !ways.iter().any(captures),
            ..Options::default()
        });
        let agent = match started {
            Ok(agent) => agent,
            Err(error) => {
                say(&format!(
                    "{hooks}: the agent does not start, as doctor must have said: {error:#}"
                ));
                assert_eq!(said.code, 2, "{hooks}: {}", said.text);
                assert!(ways.iter().all(|(_, way)| way.is_empty()), "{hooks}: {}", said.text);
                continue;
            }
        };
        let scrape = agent.scrape().unwrap();
        let attached: BTreeSet<(String, String)> = scrape
            .select("onlooker_probe_attached", &[])
            .map(|probe| {
                let way = if probe.value == 1.0 {
                    probe.label("alternative")
                } else {
                    ""
                };
                (probe.label("probe").to_owned(), way.to_owned())
            })
            .collect();
        assert_eq!(ways, attached, "{hooks}: {}", said.text);
        say(&format!("{hooks}: {attached:?}"));
        // Whether requests are seen is what the services' part promises.
        let server = Server::raw("promised", "127.0.0.1").unwrap();
        let promised = report_of(&server, &[&format!("--capture.hooks={hooks}")]);
        get(&server.target, "/ok", &[]).unwrap();
        let labels = [("service_name", server.service.as_str())];
        let seen = || -> anyhow::Result<f64> {
            Ok(agent
                .scrape()?
                .sum("http_server_request_duration_seconds_count", &labels))
        };
        if promised == "yes" {
            let as_promised = || match seen()? {
                1.0 => Ok(()),
                count => Err(anyhow::anyhow!("{count} requests")),
            };
            wait::until("the request that doctor promised", wait::SOON, as_promised).unwrap();
        } else {
            agent.settle().unwrap();
            assert_eq!((promised.as_str(), seen().unwrap_or(f64::NAN)), ("no", 0.0), "{hooks}");
        }
    }
}

/// First word of what doctor says of a server's plaintext HTTP.
fn report_of(server: &Server, args: &[&str]) -> String {
    let report = report(args);
    let service = service(&report, server);
    let sight = list(service, "sights")
        .iter()
        .find(|sight| sight["what"] == "plaintext HTTP/1.x");
    let seen = sight.unwrap()["seen"].as_str().unwrap();
    seen.split(':').next().unwrap().to_owned()
}

fn service<'a>(report: &'a Value, server: &Server) -> &'a Value {
    let services = list(report, "services");
    let found = services
        .iter()
        .find(|service| service["name"] == server.service.as_str());
    found.unwrap_or_else(|| panic!("no {} in {report}", server.service))
}

/// Programs and maps of the kernel are the same before and after.
#[test]
fn nothing_stays() {
    need!(Need::Agent, Need::Program("bpftool"));
    let _alone = alone();
    let before = Loaded::now().unwrap();
    run(&mut doctor(&[]));
    wait::until("the kernel to have dropped everything", wait::SOON, || {
        let left = Loaded::now()?.without(&before);
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .unwrap();
}

/// The two forms say the same.
#[test]
fn json_agrees_with_the_text() {
    need!(Need::Agent);
    let _alone = alone();
    let json = run(doctor(&[]).arg("--json"));
    let report = json.json();
    expect_code(&json, &report);
    let text = run(&mut doctor(&[]));
    assert_eq!(json.code, text.code, "{}", text.text);
    let mut lines = text.text.lines();
    for check in list(&report, "checks") {
        let name = check["name"].as_str().unwrap();
        // Ports differ from run to run.
        let name = name.split(':').next().unwrap();
        let line = format!("  {}  {name}", check["verdict"].as_str().unwrap());
        assert!(
            lines.any(|found| found.starts_with(&line)),
            "no {line:?}, in this order, in {}",
            text.text
        );
    }
    let count = |verdict: &str| {
        let of_verdict = list(&report, "checks")
            .iter()
            .filter(|check| check["verdict"] == verdict);
        of_verdict.count()
    };
    let sums = format!(
        "{}: {} failed, {} warned, {} passed\n",
        report["verdict"].as_str().unwrap(),
        count("FAIL"),
        count("WARN"),
        count("PASS")
    );
    assert!(text.text.ends_with(&sums), "{sums} {}", text.text);
    assert!(
        !text.text.contains('\x1b'),
        "no colours outside of a terminal: {}",
        text.text
    );
    assert!(!report["version"].as_str().unwrap().is_empty());
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(report["kernel"], release.trim());
    for check in list(&report, "checks") {
        let bad = check["verdict"] != "PASS";
        assert!(
            check["loses"].is_string() == bad && check["fix"].is_string() == bad,
            "{check}"
        );
    }
}

/// An ordinary user is told what is missing, all of it, and is not told what cannot be known.
#[test]
fn as_an_ordinary_user() {
    need!(Need::Agent, Need::Program("setpriv"));
    let _alone = alone();
    let nobody = Nobody::new();
    let server = Server::raw("hidden", "127.0.0.1").unwrap();
    let Target::Tcp(address) = &server.target else {
        unreachable!("a TCP server")
    };
    let listen = format!("--web.listen-address={address}");
    let report_of_root = report(&[&listen]);
    let said = nobody.doctor("", &listen);
    let report = said.json();
    assert_eq!(said.code, 2, "{}", said.text);
    let failed = names(&report, "FAIL");
    let capabilities = ["CAP_BPF", "CAP_PERFMON"].map(str::to_owned);
    assert!(failed.is_superset(&capabilities.into()), "{failed:?}");
    for (probe, way) in foretold(&report) {
        assert!(
            way.is_empty() && failed.contains(&probe),
            "{probe}: {way}: {}",
            said.text
        );
        let found = check(&report, &probe)["found"].as_str().unwrap().to_owned();
        assert!(found.contains("would try "), "{found}");
    }
    let taken = check(&report, "listen address");
    assert_eq!(taken["verdict"], "FAIL");
    assert!(taken["found"].as_str().unwrap().contains("uid 0"), "{taken}");
    // What fails for root fails for everybody; rights and probes come on top, and before 5.11 the limit that root may raise.
    let for_root = names(&report_of_root, "FAIL");
    assert!(failed.is_superset(&for_root), "{failed:?} without {for_root:?}");
    let own = |name: &&String| !for_root.contains(*name) && !is_probe(&report, name);
    let own: Vec<&String> = failed.iter().filter(own).collect();
    let expected =
        |name: &str| ["CAP_BPF", "CAP_PERFMON", "memlock limit"].contains(&name) || name.starts_with("listen");
    assert!(own.iter().all(|name| expected(name)), "invented: {own:?}");
    assert!(report["hidden_processes"].as_u64().unwrap() > 0, "{}", said.text);
    assert!(
        !said.text.contains(&server.service),
        "whose it is cannot be known: {}",
        said.text
    );
    let unnamed = list(&report, "unnamed_sockets");
    assert!(unnamed.contains(&Value::from(address.to_string())), "{unnamed:?}");
    // With nothing in the way the failures that stay are those of rights.
    let said = nobody.doctor("", &format!("--web.listen-address=127.0.0.1:{}", free_port()));
    assert_eq!(said.code, 2);
    assert_eq!(check(&said.json(), "listen address")["verdict"], "PASS");
}

/// With the two capabilities that doctor calls necessary, and no other, the same is foretold as for root; unless the limit of
/// memory, which it names then, is in the way.
#[test]
fn two_capabilities_are_enough() {
    need!(Need::Agent, Need::Program("setpriv"));
    let _alone = alone();
    let listen = format!("--web.listen-address=127.0.0.1:{}", free_port());
    let said = Nobody::new().doctor(",+bpf,+perfmon", &listen);
    let report = said.json();
    assert_eq!(check(&report, "CAP_BPF")["verdict"], "PASS", "{}", said.text);
    assert_eq!(check(&report, "CAP_SYS_PTRACE")["verdict"], "WARN", "{}", said.text);
    if !names(&report, "FAIL").contains("memlock limit") {
        // tracefs is closed to others than root.
        let next = |(probe, way): (String, String)| match way.starts_with("tp/") {
            true => (probe.clone(), alternatives(&probe)[1].to_owned()),
            false => (probe, way),
        };
        let all = foretold(&self::report(&[&listen]));
        assert_eq!(foretold(&report), all.into_iter().map(next).collect(), "{}", said.text);
    }
}

/// An ordinary user, with a copy of the program where anybody may execute it.
struct Nobody(tempfile::TempDir);

impl Nobody {
    fn new() -> Nobody {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let program = dir.path().join("onlooker");
        std::fs::copy(agent_program().unwrap(), &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Nobody(dir)
    }

    /// `capabilities` as setpriv(1) takes them, behind `-all`.
    fn doctor(&self, capabilities: &str, arg: &str) -> Said {
        let mut command = Command::new(which("setpriv").unwrap());
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(format!("--inh-caps=-all{capabilities}"))
            .arg(format!("--ambient-caps=-all{capabilities}"))
            .arg(self.0.path().join("onlooker"))
            .args(["doctor", "--json", arg])
            .current_dir("/");
        run(&mut command)
    }
}

fn is_probe(report: &Value, name: &str) -> bool {
    foretold(report).iter().any(|(probe, _)| probe == name)
}

/// Who has the address is named; a bad setting is told in the parser's words beside everything else.
#[test]
fn what_keeps_the_agent_from_starting() {
    need!(Need::Agent);
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--web.listen-address={}", listener.local_addr().unwrap());
    let said = run(doctor(&[&address]).arg("--json"));
    let report = said.json();
    let taken = check(&report, "listen address");
    assert_eq!((said.code, &taken["verdict"]), (2, &Value::from("FAIL")), "{taken}");
    let exe = std::env::current_exe().unwrap();
    let holder = format!(
        "taken by {}, pid {}",
        exe.file_name().unwrap().to_string_lossy(),
        std::process::id()
    );
    assert_eq!(taken["found"], holder.as_str());
    drop(listener);
    let said = run(doctor(&["--limits.connections=0", "--series.ttl=soon"]).arg("--json"));
    let report = said.json();
    assert_eq!(said.code, 2);
    let refused = check(&report, "--limits.connections")["found"].as_str().unwrap();
    assert!(refused.contains("is not a whole number from 1"), "{refused}");
    assert_eq!(check(&report, "--series.ttl")["verdict"], "FAIL");
    assert!(
        !foretold(&report).is_empty(),
        "the rest is looked at all the same: {}",
        said.text
    );
}

/// Beside an agent that runs: said as such, and the agent is none the worse.
#[test]
fn beside_an_agent() {
    need!(Need::Agent);
    let _alone = alone();
    let Ok(mut agent) = Agent::start(&Options::default()) else {
        say("no agent starts here; see verdicts_come_true");
        return;
    };
    let before = agent.get("/readyz", &[]).unwrap().text();
    let report = report(&[&format!("--web.listen-address={}", agent.web)]);
    let address = check(&report, "listen address");
    assert_eq!(address["verdict"], "PASS", "{address}");
    let found = address["found"].as_str().unwrap();
    assert!(
        found.contains("an agent is running") && found.contains(&format!("pid {}", agent.program.pid())),
        "{found}"
    );
    agent.check().unwrap();
    assert_eq!(agent.get("/readyz", &[]).unwrap().text(), before);
}

/// A receiver that is there passes; one that is not is a warning that names it, without the password.
#[test]
fn otlp_end_points() {
    need!(Need::Agent);
    let _alone = alone();
    let with = |endpoint: &str| run(doctor(&["--json"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    let receiver = Receiver::start(&[]).unwrap();
    assert_eq!(check(&with(&receiver.endpoint).json(), "OTLP")["verdict"], "PASS");
    let logs = check(&with(&receiver.endpoint).json(), "OTLP logs").clone();
    let found = logs["found"].as_str().unwrap();
    assert!(
        logs["verdict"] == "PASS" && found.contains("/v1/logs: 127.0.0.1:"),
        "{logs}"
    );
    let port = free_port();
    let said = with(&format!("http://user:secret@127.0.0.1:{port}"));
    let report = said.json();
    let dead = check(&report, "OTLP");
    assert_eq!(dead["verdict"], "WARN", "{dead}");
    assert!(
        dead["found"].as_str().unwrap().contains(&format!("127.0.0.1:{port}")),
        "{dead}"
    );
    assert!(said.code >= 1 && !said.text.contains("secret"), "{}", said.text);
    let wrong = with("collector:4318");
    assert_eq!(wrong.code, 2, "the agent does not start with it");
    let report = wrong.json();
    let found = check(&report, "OTEL_EXPORTER_OTLP_ENDPOINT")["found"].as_str().unwrap();
    assert!(found.contains("use e.g. http://"), "{found}");
}

/// What listens is named as the agent names it, with pid, place, and the TLS library that it truly has.
#[test]
fn services_are_named() {
    need!(Need::Agent, Need::Program("python3"), Need::GoProgram);
    let _alone = alone();
    let python = Server::start(Kind::PythonStdlib, "snake").unwrap();
    let unix = Server::python_unix("pipe").unwrap();
    let go = Server::start(Kind::Go, "gopher").unwrap();
    let raw = Server::raw("bare", "127.0.0.1").unwrap();
    let report = report(&[]);
    for server in [&python, &unix, &go, &raw] {
        let service = service(&report, server);
        assert!(
            list(service, "pids").contains(&server.program.pid().into()),
            "{service}"
        );
        let place = match &server.target {
            Target::Tcp(address) => address.to_string(),
            Target::Unix(path) => format!("unix:{}", path.display()),
        };
        // Go listens on all addresses' families or on one: the port is what was asked for.
        let port = place.rsplit(':').next().unwrap();
        let listens = list(service, "listens");
        assert!(
            listens.iter().any(|at| at.as_str().unwrap().ends_with(port)),
            "{place}: {service}"
        );
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.program.pid())).unwrap();
        let tls = list(service, "sights")
            .iter()
            .filter(|sight| sight["what"].as_str().unwrap().starts_with("TLS"));
        let tls: Vec<&Value> = tls.collect();
        assert!(!tls.is_empty(), "{service}");
        let openssl = tls
            .iter()
            .any(|sight| sight["path"].as_str().is_some_and(|path| path.contains("/libssl")));
        assert_eq!(openssl, maps.contains("/libssl"), "{service}");
    }
    let sight = |server: &Server, what: &str| {
        let sights = list(service(&report, server), "sights").iter();
        let found: Vec<&Value> = sights.filter(|sight| sight["what"] == what).collect();
        assert_eq!(found.len(), 1, "{what}: {report}");
        found[0]["seen"].as_str().unwrap().to_owned()
    };
    assert_eq!(sight(&go, "TLS by Go's crypto/tls"), "not yet");
    assert!(sight(&raw, "TLS").starts_with("not known"));
}
