//! `bpftrace` as an independent second opinion of what the kernel did: changes of TCP states by port, and errors of system calls.

use anyhow::{Context, Result, ensure};
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::need;
use onlooker_tests::netns::NetNs;
use onlooker_tests::process::Program;
use onlooker_tests::require::{Need, say, which};
use onlooker_tests::tcp::{Driver, errors, exactly, number, one};
use onlooker_tests::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};

/// Ports that no other test uses: the tracepoints tell of the whole host.
const PORT: &str = "21206";
const NOBODY: &str = "21207";

/// A `bpftrace` that counts.
struct Counting {
    program: Program,
    lines: Receiver<String>,
}

impl Counting {
    /// Starts it and waits until it counts. None: it cannot here, and says why.
    fn start(script: &str) -> Result<Option<Counting>> {
        let mut command = Command::new(which("bpftrace").context("bpftrace")?);
        command.args(["-f", "json", "-B", "line", "-e", script]);
        command.stdout(Stdio::piped());
        let mut program = Program::start("bpftrace", command)?;
        let stdout = program.stdout().context("standard output")?;
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let ready = wait::until("bpftrace", 3 * wait::SOON, || {
            if program.ended()?.is_some() {
                return Ok(false);
            }
            ensure!(lines.try_iter().any(|line| line.contains("counting")), "not yet");
            Ok(true)
        })?;
        if !ready {
            say(&format!("bpftrace cannot trace here: {}", program.last_words()));
            return Ok(None);
        }
        Ok(Some(Counting { program, lines }))
    }

    /// Ends it and gives what it counted, by the name of each map.
    fn end(mut self) -> Result<BTreeMap<String, u64>> {
        // A signal that comes before it waits is forgotten by it.
        wait::until("end of bpftrace", wait::SOON, || {
            self.program.signal(libc::SIGINT);
            self.program.ended()?.context("still running")
        })?;
        let mut all = BTreeMap::new();
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            let value: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            if value["type"] == "map" {
                for (name, count) in value["data"].as_object().context("data")? {
                    all.insert(name.clone(), count.as_u64().with_context(|| line.clone())?);
                }
            }
        }
        Ok(all)
    }
}

#[test]
fn bpftrace_agrees() {
    need!(Need::Agent, Need::Program("ip"), Need::Program("bpftrace"));
    let n = u64::from(wait::eased(700));
    let agent = Agent::start(&Options {
        about: &["errors", "tcp", "tcp_open"],
        ..Options::default()
    })
    .unwrap();
    let ns = NetNs::new("second", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (pid, connect, refused) = (client.talker.program.pid(), libc::SYS_connect, -libc::ECONNREFUSED);
    let script = format!(
        "tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {{ \
           if (args->dport == {PORT} && args->oldstate == 2 && args->newstate == 1) {{ @connected = count(); }} \
           if (args->sport == {PORT} && args->oldstate == 3 && args->newstate == 1) {{ @accepted = count(); }} \
           if (args->dport == {PORT} && args->newstate == 7) {{ @clients_closed = count(); }} \
           if (args->sport == {PORT} && args->newstate == 7 && args->oldstate != 10) {{ @servers_closed = count(); }} \
           if (args->dport == {NOBODY} && args->oldstate == 2 && args->newstate == 7) {{ @refused = count(); }} }} \
         tracepoint:raw_syscalls:sys_exit /pid == {pid} && args->id == {connect} && args->ret == {refused}/ \
           {{ @errors = count(); }} \
         BEGIN {{ printf(\"counting\\n\"); }}"
    );
    let Some(counting) = Counting::start(&script).unwrap() else {
        return;
    };
    server.ask(&format!("listen 127.0.0.1:{PORT} 128 serve"));
    let done = client.ask(&format!("connect 127.0.0.1:{PORT} {n} 10 10 close"));
    assert_eq!(number(&done, "connected"), n);
    let done = client.ask(&format!("connect 127.0.0.1:{NOBODY} {n} 0 0 close"));
    assert_eq!(number(&done["errors"], "ECONNREFUSED"), n);
    server.served(n);
    one(&agent, "connections", |scrape| {
        let both = [("opened_total", n), ("closed_total", n)];
        exactly(scrape, &client.service, &both)?;
        exactly(scrape, &server.service, &both)?;
        let found = errors(scrape, &client.service);
        ensure!(found == [("ECONNREFUSED".to_owned(), n)], "{found:?}");
        let of = [
            ("service_name", &*client.service),
            ("syscall", "connect"),
            ("errno", "ECONNREFUSED"),
        ];
        let found = scrape.sum("onlooker_syscall_errors_total", &of) as u64;
        ensure!(found == n, "{found} errors of connect");
        Ok(())
    });
    let counted = counting.end().unwrap();
    let expect = [
        "accepted",
        "clients_closed",
        "connected",
        "errors",
        "refused",
        "servers_closed",
    ];
    let expect: BTreeMap<String, u64> = expect.iter().map(|name| (format!("@{name}"), n)).collect();
    assert_eq!(counted, expect);
    say(&format!("agent and driver say {n}, bpftrace {counted:?}"));
}
