//! Clients as people use them, compared with the log of the server that they asked.

use onlooker_tests::agent::shared;
use onlooker_tests::case::{Role, expect};
use onlooker_tests::http::get;
use onlooker_tests::need;
use onlooker_tests::process::{output, unique};
use onlooker_tests::require::{Need, source_dir, which};
use onlooker_tests::servers::{Server, go_program, python};
use std::process::Command;

/// Runs a client, made by `command` from the server's base URL, and compares with the server's log.
fn check(case: &str, logged: usize, command: impl FnOnce(&str) -> Command) {
    shared();
    let server = Server::raw("asked", "127.0.0.1").unwrap();
    let client = unique(case);
    let mut command = command(&server.url());
    command.env("OTEL_SERVICE_NAME", &client);
    output(command).unwrap();
    let log = server.log.wait(logged).unwrap();
    assert_eq!(log.len(), logged);
    expect(&client, Role::Client, &log);
    expect(&server.service, Role::Server, &log);
}

/// Python's urllib and http.client.
#[test]
fn python_urllib() {
    need!(Need::Agent, Need::Program("python3"));
    check("urllib", 31, |base| {
        let mut command = python(&source_dir().join("programs/python/ask.py")).unwrap();
        command.args([base, "10"]);
        command
    });
}

/// Node's http with a keep-alive agent, several connections at once, and fetch.
#[test]
fn node() {
    need!(Need::Agent, Need::Program("node"));
    check("nodeclient", 50, |base| {
        let mut command = Command::new(which("node").unwrap());
        command
            .arg(source_dir().join("programs/node/ask.js"))
            .args([base, "10"]);
        command
    });
}

/// Go's http.Get over its pool of connections.
#[test]
fn go() {
    need!(Need::Agent, Need::GoProgram);
    check("goclient", 40, |base| {
        let mut command = Command::new(go_program().unwrap());
        command.args([&format!("{base}/bytes/5000"), "40"]);
        command
    });
}

/// curl: several URLs over one connection, uploads with and without `Expect`, HTTP/1.0, HEAD.
#[test]
fn curl() {
    need!(Need::Agent, Need::Program("curl"));
    let curl = |args: Vec<String>| {
        move |_: &str| {
            let mut command = Command::new(which("curl").unwrap());
            command.args(["-s"]).args(args);
            command
        }
    };
    check("curl", 3, |base| {
        let urls = ["/ok/1", "/status/404", "/bytes/100000"].map(|path| format!("{base}{path}"));
        let outputs = ["-o", "/dev/null"].repeat(3);
        curl(urls.into_iter().chain(outputs.into_iter().map(String::from)).collect())(base)
    });
    check("curl", 1, |base| {
        let fields = ["-H", "Expect: 100-continue", "-d", "body", "-o", "/dev/null"].map(String::from);
        curl(fields.into_iter().chain([format!("{base}/echo")]).collect())(base)
    });
    check("curl", 1, |base| {
        let fields = ["-0", "-o", "/dev/null"].map(String::from);
        curl(fields.into_iter().chain([format!("{base}/close/1000")]).collect())(base)
    });
    check("curl", 1, |base| {
        let fields = ["-I", "-o", "/dev/null"].map(String::from);
        curl(fields.into_iter().chain([format!("{base}/bytes/5000")]).collect())(base)
    });
}

/// A test that compares with nothing would pass by accident: a service that nobody asked has no spans and no series.
#[test]
fn silence_is_silence() {
    need!(Need::Agent);
    let nobody = unique("nobody");
    let server = Server::raw("somebody", "127.0.0.1").unwrap();
    shared();
    get(&server.target, "/ok", &[]).unwrap();
    expect(&server.service, Role::Server, &server.log.wait(1).unwrap());
    for agent in shared() {
        assert!(agent.spans(&nobody, "SERVER").is_empty());
        let scrape = agent.scrape().unwrap();
        let labels = [("service_name", nobody.as_str())];
        assert!(!scrape.has("http_server_request_duration_seconds_count", &labels));
    }
}
