//! Who is it: programs without any configuration of ours are named as an operator would name them.

use onlooker_tests::agent::{Agent, Options, Span, alone, shared};
use onlooker_tests::http::{Target, get};
use onlooker_tests::need;
use onlooker_tests::process::{Program, copy_as, free_port, output, unique};
use onlooker_tests::require::{Need, own_program, source_dir, which};
use onlooker_tests::servers::{Nginx, NginxOptions, Server, go_program, python, wait_listening};
use onlooker_tests::wait;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Waits for spans that satisfy a condition, in every agent, and hands over those of each.
fn each_agent(count: usize, condition: impl Fn(&Span) -> bool, look: impl Fn(&str, &Span)) {
    for agent in shared() {
        let spans = wait::until("spans", wait::SOON, || {
            let spans = agent.spans_where(&condition);
            anyhow::ensure!(spans.len() >= count, "{} of {count}", spans.len());
            Ok(spans)
        })
        .unwrap();
        assert_eq!(spans.len(), count, "{}", agent.hooks);
        for span in &spans {
            look(agent.hooks, span);
        }
    }
}

/// Starts a program that serves on `PORT`, asks it once for a path of its own, and expects the service name.
fn named(command: Command, want: &str) {
    shared();
    named_quietly(command, want, false);
}

fn named_quietly(mut command: Command, want: &str, group_pid: bool) {
    let port = free_port();
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let dir = TempDir::new().unwrap();
    command
        .env("PORT", port.to_string())
        .env("ACCESS_LOG", dir.path().join("access.log"))
        .env_remove("OTEL_SERVICE_NAME");
    let mut program = Program::start(want, command).unwrap();
    wait_listening(&mut program, &target).unwrap();
    let path = format!("/ok/{}", unique("named"));
    get(&target, &path, &[]).unwrap();
    let pid = u64::from(program.pid());
    each_agent(
        1,
        |span| span.kind == "SERVER" && span.path() == path,
        |hooks, span| {
            assert_eq!(span.service, want, "--capture.hooks={hooks}");
            if let Some(reported) = span.int("process.pid")
                && !group_pid
            {
                assert_eq!(reported, pid, "--capture.hooks={hooks}");
            }
        },
    );
}

fn copy_script(from: &str, dir: &Path, name: &str) -> std::path::PathBuf {
    copy_as(&source_dir().join("programs").join(from), dir, name).unwrap()
}

/// `python3 shop.py` is `shop`.
#[test]
fn python_script() {
    need!(Need::Agent, Need::Program("python3"));
    let dir = TempDir::new().unwrap();
    named(
        python(&copy_script("python/stdlib.py", dir.path(), "shop.py")).unwrap(),
        "shop",
    );
}

/// `python3 -u -X dev shop.py` is `shop` too.
#[test]
fn python_script_behind_options() {
    need!(Need::Agent, Need::Program("python3"));
    let dir = TempDir::new().unwrap();
    let script = copy_script("python/stdlib.py", dir.path(), "ledger.py");
    let interpreter = python(&script).unwrap().get_program().to_owned();
    let mut command = Command::new(interpreter);
    command.args(["-u", "-X", "utf8"]).arg(script);
    named(command, "ledger");
}

/// `node billing.js` is `billing`.
#[test]
fn node_script() {
    need!(Need::Agent, Need::Program("node"));
    let dir = TempDir::new().unwrap();
    let mut command = Command::new(which("node").unwrap());
    command.arg(copy_script("node/server.js", dir.path(), "billing.js"));
    named(command, "billing");
}

/// A Go program is named by its executable.
#[test]
fn go_binary() {
    need!(Need::Agent, Need::GoProgram);
    let dir = TempDir::new().unwrap();
    let program = copy_as(&go_program().unwrap(), dir.path(), "inventory").unwrap();
    named(Command::new(program), "inventory");
}

/// A name longer than the 15 bytes that the kernel keeps of a command is whole.
#[test]
fn long_name() {
    need!(Need::Agent, Need::GoProgram);
    let dir = TempDir::new().unwrap();
    let name = "inventory-of-everything-we-have";
    let program = copy_as(&go_program().unwrap(), dir.path(), name).unwrap();
    named(Command::new(program), name);
}

/// `service.name` of `OTEL_RESOURCE_ATTRIBUTES` names a service.
#[test]
fn resource_attributes() {
    need!(Need::Agent, Need::GoProgram);
    let mut command = Command::new(go_program().unwrap());
    let name = unique("attributed");
    command.env(
        "OTEL_RESOURCE_ATTRIBUTES",
        format!("deployment.environment.name=test,service.name={name}"),
    );
    named(command, &name);
}

/// nginx with its workers is `nginx`.
#[test]
fn nginx_workers() {
    need!(Need::Agent, Need::Program("nginx"));
    shared();
    let options = NginxOptions {
        plain_name: true,
        ..NginxOptions::default()
    };
    let nginx = Nginx::start("nginx", &options).unwrap();
    let path = format!("/ok/{}", unique("workers"));
    for _ in 0..10 {
        get(&nginx.server.target, &path, &[]).unwrap();
    }
    each_agent(
        10,
        |span| span.kind == "SERVER" && span.path() == path,
        |hooks, span| assert_eq!(span.service, "nginx", "--capture.hooks={hooks}"),
    );
}

/// Thirty runs of curl, each over before its records are read, are all `curl`.
#[test]
fn short_lived_curl() {
    need!(Need::Agent, Need::Program("curl"));
    shared();
    let server = Server::raw("forcurl", "127.0.0.1").unwrap();
    let path = format!("/ok/{}", unique("curl"));
    for _ in 0..30 {
        let mut command = Command::new(which("curl").unwrap());
        command
            .args(["-s", "-o", "/dev/null"])
            .arg(format!("{}{path}", server.url()))
            .env_remove("OTEL_SERVICE_NAME");
        output(command).unwrap();
    }
    assert_eq!(server.log.wait(30).unwrap().len(), 30);
    each_agent(
        30,
        |span| span.kind == "CLIENT" && span.path() == path,
        |hooks, span| assert_eq!(span.service, "curl", "--capture.hooks={hooks}"),
    );
}

/// Many short-lived processes at once, each with a name of its own, keep their names apart.
#[test]
fn short_lived_with_names() {
    need!(Need::Agent, Need::Program("curl"));
    shared();
    let server = Server::raw("fornames", "127.0.0.1").unwrap();
    let prefix = unique("caller");
    std::thread::scope(|scope| {
        for n in 0..20 {
            let (server, prefix) = (&server, &prefix);
            scope.spawn(move || {
                let mut command = Command::new(which("curl").unwrap());
                command
                    .args(["-s", "-o", "/dev/null"])
                    .arg(format!("{}/ok/{prefix}/{n}", server.url()))
                    .env("OTEL_SERVICE_NAME", format!("{prefix}-{n}"));
                output(command).unwrap();
            });
        }
    });
    let start = format!("/ok/{prefix}/");
    each_agent(
        20,
        |span| span.kind == "CLIENT" && span.path().starts_with(&start),
        |hooks, span| {
            let n = span.path().rsplit('/').next().unwrap().to_string();
            assert_eq!(span.service, format!("{prefix}-{n}"), "--capture.hooks={hooks}");
        },
    );
}

/// A process that becomes another program is that program from then on, on the same listening socket.
#[test]
fn exec_renames() {
    need!(Need::Agent, Need::Program("python3"));
    shared();
    let dir = TempDir::new().unwrap();
    let script = |next: &str| {
        format!(
            r#"
import os, socket, sys
if len(sys.argv) > 1:
    listener = socket.socket(fileno=int(sys.argv[1]))
else:
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
listener.set_inheritable(True)
while True:
    connection, _ = listener.accept()
    asked = connection.recv(4096)
    if asked:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    connection.close()
    if b"/become" in asked:
        os.execv(sys.executable, [sys.executable, "{next}", str(listener.fileno())])
"#
        )
    };
    let (caterpillar, butterfly) = (dir.path().join("caterpillar.py"), dir.path().join("butterfly.py"));
    std::fs::write(&butterfly, script("nothing")).unwrap();
    std::fs::write(&caterpillar, script(butterfly.to_str().unwrap())).unwrap();
    let port = free_port();
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let mut command = python(&caterpillar).unwrap();
    command.env("PORT", port.to_string()).env_remove("OTEL_SERVICE_NAME");
    let mut program = Program::start("caterpillar", command).unwrap();
    wait_listening(&mut program, &target).unwrap();
    let tag = unique("become");
    get(&target, &format!("/become/{tag}"), &[]).unwrap();
    get(&target, &format!("/after/{tag}"), &[]).unwrap();
    for (path, want) in [("become", "caterpillar"), ("after", "butterfly")] {
        let path = format!("/{path}/{tag}");
        each_agent(
            1,
            |span| span.kind == "SERVER" && span.path() == path,
            |hooks, span| assert_eq!(span.service, want, "--capture.hooks={hooks} {path}"),
        );
    }
}

/// A child of fork without exec speaks for its parent's service.
#[test]
fn fork_keeps_the_name() {
    need!(Need::Agent, Need::Program("python3"));
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("prefork.py");
    let text = r#"
import os, signal, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
if os.fork() == 0:
    while True:
        connection, _ = listener.accept()
        if connection.recv(4096):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()
signal.pause()
"#;
    std::fs::write(&script, text).unwrap();
    shared();
    named_quietly(python(&script).unwrap(), "prefork", true);
}

/// A process in a pid namespace of its own is named by what it is, not by what its pid means outside.
#[test]
fn pid_namespace() {
    need!(Need::Agent, Need::Program("unshare"));
    shared();
    let port = free_port();
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let dir = TempDir::new().unwrap();
    let name = unique("namespaced");
    let mut command = Command::new(which("unshare").unwrap());
    command
        .args(["--fork", "--pid", "--kill-child"])
        .arg(own_program("rawhttp"))
        .args(["serve", &target.to_string()])
        .arg(dir.path().join("access.log"))
        .env("OTEL_SERVICE_NAME", &name);
    let mut program = Program::start(&name, command).unwrap();
    wait_listening(&mut program, &target).unwrap();
    let path = format!("/ok/{name}");
    get(&target, &path, &[]).unwrap();
    each_agent(
        1,
        |span| span.kind == "SERVER" && span.path() == path,
        |hooks, span| assert_eq!(span.service, name, "--capture.hooks={hooks}"),
    );
}

/// An agent in a pid namespace of its own does not report what it answers itself.
#[test]
fn the_agent_in_a_pid_namespace() {
    need!(Need::Agent, Need::Program("unshare"));
    let service = unique("watcher");
    let agent = Agent::start(&Options {
        env: vec![("OTEL_SERVICE_NAME".into(), service.clone())],
        own_pids: true,
        ..Options::default()
    })
    .unwrap();
    let server = Server::raw("watched", "127.0.0.1").unwrap();
    const SERVED: &str = "http_server_request_duration_seconds_count";
    wait::until("the other server's request", wait::SOON, || {
        get(&server.target, "/ok", &[])?;
        let scrape = agent.scrape()?;
        let seen = scrape.sum(SERVED, &[("service_name", &server.service)]);
        anyhow::ensure!(seen >= 3.0, "{seen}");
        // By then it has answered as often itself.
        assert_eq!(scrape.sum(SERVED, &[("service_name", &service)]), 0.0);
        Ok(())
    })
    .unwrap();
}

/// A server that runs since before the agent is named as well as one that started later.
#[test]
fn older_than_the_agent() {
    need!(Need::Agent, Need::Program("python3"));
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let port = free_port();
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let mut command = python(&copy_script("python/stdlib.py", dir.path(), "veteran.py")).unwrap();
    command
        .env("PORT", port.to_string())
        .env("ACCESS_LOG", dir.path().join("access.log"))
        .env_remove("OTEL_SERVICE_NAME");
    let mut program = Program::start("veteran", command).unwrap();
    wait_listening(&mut program, &target).unwrap();
    for &hooks in onlooker_tests::agent::hooks() {
        let options = Options {
            hooks: Some(hooks),
            spans: true,
            ..Default::default()
        };
        let agent = Agent::start(&options).unwrap();
        get(&target, "/ok", &[]).unwrap();
        wait::until_true("span of the older server", wait::SOON, || {
            agent.spans("veteran", "SERVER").len() == 1
        })
        .unwrap();
    }
}
