//! Secrets that the agent is given (headers, a password in a URL, hashes, the token of a service account) stand in nothing that it says:
//! log, metrics, states, `check-config`, `doctor`, what a crash leaves.

use onlooker_tests::agent::{Agent, Options, env};
use onlooker_tests::need;
use onlooker_tests::process::free_port;
use onlooker_tests::require::{Need, agent_program};
use onlooker_tests::wait;
use std::fs;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What all that is secret here holds, and some of it as it goes over the wire.
const SECRETS: [&str; 4] = ["hunter2", "aHVudGVyMg", "swordfish", "$2y$10$"];

fn tells_none(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} tells {secret}: {text}");
    }
}

/// All that is secret, as variables.
fn given(receiver: u16) -> Vec<(String, String)> {
    env(&[
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("http://me:hunter2@127.0.0.1:{receiver}/in?key=swordfish"),
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20hunter2,x-key=swordfish",
        ),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
    ])
}

/// A running agent whose receiver is not there, at the log's finest level, until it crashes.
#[test]
fn of_a_running_agent() {
    need!(Need::Agent);
    let nobody = free_port();
    let options = Options {
        args: vec!["--log.level=trace".to_owned()],
        env: given(nobody),
        ..Options::default()
    };
    let mut agent = Agent::start(&options).unwrap();
    wait::until_true("a request that failed in the log", wait::SOON * 3, || {
        let said = agent.program.stderr();
        said.lines()
            .any(|line| line.contains(" fails: ") && line.contains(&nobody.to_string()))
    })
    .unwrap();
    for path in ["/metrics", "/readyz", "/healthz", "/"] {
        tells_none(path, &agent.get(path, &[]).unwrap().text());
    }
    agent.program.signal(libc::SIGABRT);
    agent.program.wait(wait::SOON).unwrap();
    tells_none("the log", &agent.program.stderr());
}

/// Commands that tell of settings: good ones, and bad ones, whose mistakes are shown.
#[test]
fn of_commands() {
    need!(Need::AgentProgram);
    let dir = TempDir::new().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "swordfish").unwrap();
    let web = dir.path().join("web.yml");
    let hash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
    fs::write(&web, format!("basic_auth_users: {{me: '{hash}'}}\n")).unwrap();
    let broken = dir.path().join("broken.yml");
    fs::write(&broken, format!("basic_auth_users: {{me: '{hash}x', you: hunter2}}\n")).unwrap();
    let file = dir.path().join("onlooker.yaml");
    fs::write(&file, "otlp: {headers: [\"authorization=Bearer%20hunter2\"]}\n").unwrap();
    let nobody = free_port();
    let words = |words: &[String]| -> (String, bool) {
        let mut command = Command::new(agent_program().unwrap());
        command.args(words).envs(given(nobody)).stdin(Stdio::null());
        let output = command.output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&all).into_owned(), output.status.success())
    };
    let shared = [
        format!("--config.file={}", file.display()),
        format!("--kubernetes.api=http://127.0.0.1:{nobody}"),
        format!("--kubernetes.token-file={}", token.display()),
        "--kubernetes.node=here".to_owned(),
    ];
    let of = |command: &str, more: &[String]| words(&[&[command.to_owned()], &shared[..], more].concat());
    let good = [format!("--web.config.file={}", web.display())];
    let (told, valid) = of("check-config", &good);
    assert!(valid && told.contains("otlp.headers"), "{told}");
    tells_none("check-config", &told);
    let bad = [
        format!("--web.config.file={}", broken.display()),
        "--otlp.headers=hunter2".to_owned(),
    ];
    let (told, valid) = of("check-config", &bad);
    assert!(!valid, "{told}");
    tells_none("check-config of mistakes", &told);
    let (told, _) = of("doctor", &good);
    assert!(told.contains(&format!("127.0.0.1:{nobody}")), "{told}");
    tells_none("doctor", &told);
}
