//! Events as records of a log: what is told, how often, and what becomes of the rest. The truth of processes that a signal ended is
//! what `wait` says of them.

use anyhow::Context;
use onlooker_tests::agent::{Agent, ORDINARY, Options, alone, env};
use onlooker_tests::http::get;
use onlooker_tests::need;
use onlooker_tests::otlp::{Receiver, attribute, body};
use onlooker_tests::process::{Program, copy_as, free_port, unique};
use onlooker_tests::require::{Need, say, which};
use onlooker_tests::servers::Server;
use onlooker_tests::sleeper::Sleeper;
use onlooker_tests::wait;
use serde_json::Value;
use std::fs::{Permissions, set_permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};
use tempfile::TempDir;

const EXIT: &str = "process.exit";

fn count(record: &Value) -> u64 {
    record["attributes"]["onlooker.event.count"].as_u64().unwrap()
}

fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

/// `OTEL_EXPORTER_OTLP_ENDPOINT` alone sends spans and records to one receiver. Every process that a signal ended is in one record:
/// the first at once, the others summed.
#[test]
fn otlp() {
    need!(Need::Agent, Need::Program("sleep"));
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let options = Options {
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-test=present"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        args: vec!["--events.rate=1000".into()],
        ..Options::default()
    };
    let mut agent = Agent::start(&options).unwrap();
    let server = Server::raw("withspans", "127.0.0.1").unwrap();
    get(&server.target, "/ok", &[]).unwrap();
    let sleeper = Sleeper::new().unwrap();
    let begin = unix_nanos();
    let killed = sleeper.killed(libc::SIGKILL, 40).unwrap();
    let terminated = sleeper.killed(libc::SIGTERM, 3).unwrap();
    let counts = |signal: &str| -> Vec<u64> {
        let of = |text: Option<String>| text.unwrap().parse().unwrap();
        let records = receiver.logs(&sleeper.name, EXIT).into_iter();
        records
            .filter(|(_, record)| {
                attribute(&record.attributes, "onlooker.process.exit.signal").as_deref() == Some(signal)
            })
            .map(|(_, record)| of(attribute(&record.attributes, "onlooker.event.count")))
            .collect()
    };
    wait::until_true("all ends", wait::SOON, || {
        counts("SIGKILL").iter().sum::<u64>() >= 40 && counts("SIGTERM").iter().sum::<u64>() >= 3
    })
    .unwrap();
    agent.settle().unwrap();
    let end = unix_nanos();
    say(&format!("40 processes killed, told as {:?}", counts("SIGKILL")));
    assert_eq!((counts("SIGKILL").iter().sum::<u64>(), counts("SIGKILL")[0]), (40, 1));
    assert_eq!(counts("SIGTERM").iter().sum::<u64>(), 3);
    // One at once and one per interval (a second): never one per process.
    let seconds = (end - begin) / 1_000_000_000;
    assert!(
        counts("SIGKILL").len() as u64 <= seconds + 2,
        "{:?} in {seconds} s",
        counts("SIGKILL")
    );
    for (resource, record) in receiver.logs(&sleeper.name, EXIT) {
        let number = |name: &str| attribute(&resource.attributes, name).and_then(|pid| pid.parse::<u32>().ok());
        let pid = number("process.pid").unwrap();
        let signal = attribute(&record.attributes, "onlooker.process.exit.signal").unwrap();
        let (pids, severity) = match signal.as_str() {
            "SIGKILL" => (&killed, 17),
            _ => (&terminated, 9),
        };
        assert!(pids.contains(&pid), "{pid} is none of {pids:?}");
        assert_eq!(record.severity_number, severity, "{signal}");
        let text = format!("{}[{pid}]: ended by signal {signal}", sleeper.name);
        match attribute(&record.attributes, "onlooker.event.count").unwrap().as_str() {
            "1" => assert_eq!(body(&record), text),
            n => {
                let said = body(&record);
                assert!(
                    said.starts_with(&format!("{text} (x{n} in ")) && said.ends_with(" s)"),
                    "{said}"
                );
                assert!(attribute(&record.attributes, "onlooker.event.first_time").is_some());
            }
        }
        let leeway = 1_000_000_000;
        let times = begin - leeway..=end + leeway;
        assert!(times.contains(&record.time_unix_nano) && times.contains(&record.observed_time_unix_nano));
    }
    wait::until_true("the span", wait::SOON, || !receiver.spans(&server.service).is_empty()).unwrap();
    let received = receiver.received();
    assert!(received.headers.iter().all(|value| value == "present") && received.gzip > 0);
    assert!(received.errors.is_empty(), "{:?}", received.errors);
    drop(received);
    agent.check().unwrap();
    assert!(agent.terminate().unwrap().success());
}

/// An endpoint of logs alone starts no export of spans, and what the receiver does not take at first is sent again, once.
#[test]
fn busy_receiver_of_logs_alone() {
    need!(Need::Agent, Need::Program("sleep"));
    let _alone = alone();
    let receiver = Receiver::start(&[503, 429]).unwrap();
    let options = Options {
        env: env(&[
            (
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
                &format!("{}/v1/logs", receiver.endpoint),
            ),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        about: &["errors", "tcp", "tcp_open", "usage", "oom"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let sleeper = Sleeper::new().unwrap();
    let pid = sleeper.killed_by(libc::SIGKILL).unwrap();
    wait::until_true("the record", wait::SOON * 2, || {
        !receiver.logs(&sleeper.name, EXIT).is_empty()
    })
    .unwrap();
    agent.settle().unwrap();
    let records = receiver.logs(&sleeper.name, EXIT);
    let bodies: Vec<String> = records.iter().map(|(_, record)| body(record)).collect();
    assert_eq!(bodies, [format!("{}[{pid}]: ended by signal SIGKILL", sleeper.name)]);
    assert_eq!(receiver.received().refused, 2);
    let scrape = agent.scrape().unwrap();
    assert!(!scrape.has("onlooker_events_seen_total", &[("kind", "span_otlp")]));
    assert!(scrape.has("onlooker_events_seen_total", &[("kind", "event")]));
    assert!(agent.terminate().unwrap().success());
}

/// A receiver that refuses for good: the records are lost, and counted.
#[test]
fn refused_records_are_counted() {
    need!(Need::Agent, Need::Program("sleep"));
    let _alone = alone();
    let receiver = Receiver::start(&[400]).unwrap();
    let options = Options {
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "0"),
        ]),
        about: &["errors", "tcp", "tcp_open", "usage", "oom"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let (lost, seen) = ("onlooker_events_lost_total", "onlooker_events_seen_total");
    let kind = ("kind", "log_otlp");
    Sleeper::new().unwrap().killed_by(libc::SIGKILL).unwrap();
    wait::until_true("the refusal", wait::SOON, || {
        agent
            .scrape()
            .is_ok_and(|scrape| scrape.sum(lost, &[kind, ("reason", "refused_4xx")]) >= 1.0)
    })
    .unwrap();
    // The next one is taken.
    let sleeper = Sleeper::new().unwrap();
    sleeper.killed_by(libc::SIGKILL).unwrap();
    wait::until_true("the record", wait::SOON, || {
        !receiver.logs(&sleeper.name, EXIT).is_empty()
    })
    .unwrap();
    agent.balanced().unwrap();
    let scrape = agent.scrape().unwrap();
    let received = receiver.received().logs.len() as f64;
    assert!(scrape.sum(seen, &[kind]) >= received + scrape.sum(lost, &[kind]));
    assert!(agent.terminate().unwrap().success());
}

/// A receiver that takes connections and says nothing: the queue is full, what finds no room is counted, and the agent ends in time.
#[test]
fn silent_receiver() {
    need!(Need::Agent, Need::Program("sleep"));
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let options = Options {
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "2"),
        ]),
        args: vec!["--events.rate=1000".into()],
        about: &["errors", "tcp", "tcp_open", "usage", "oom"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let sleeper = Sleeper::new().unwrap();
    for n in 0..12 {
        sleeper.killed_by(libc::SIGRTMIN() + n).unwrap();
    }
    let full = [("kind", "log_otlp"), ("reason", "queue_full")];
    wait::until_true("a full queue", wait::SOON, || {
        agent
            .scrape()
            .is_ok_and(|scrape| scrape.sum("onlooker_events_lost_total", &full) >= 8.0)
    })
    .unwrap();
    let scrape = agent.scrape().unwrap();
    assert!(scrape.sum("onlooker_export_queue_records", &[("kind", "log_otlp")]) <= 2.0);
    assert!(agent.terminate_now().unwrap().success());
}

/// One service that has many kinds of events keeps to its share of the table, and to its rate; other services are told of all the
/// same. What is not told is counted, as lines of standard output show.
#[test]
fn limits() {
    need!(Need::Agent, Need::Program("sleep"));
    let _alone = alone();
    let options = Options {
        events: true,
        spans: true,
        args: vec![
            "--limits.events=32".into(),
            "--events.rate=1".into(),
            format!("--events.interval={}s", 2 * wait::slow()),
        ],
        about: &["errors", "tcp", "tcp_open", "usage", "oom"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let begin = Instant::now();
    let (noisy, quiet) = (Sleeper::new().unwrap(), Sleeper::new().unwrap());
    for n in 0..12 {
        noisy.killed_by(libc::SIGRTMIN() + n).unwrap();
    }
    quiet.killed_by(libc::SIGKILL).unwrap();
    agent.balanced().unwrap();
    wait::until_true("the line", wait::SOON, || !agent.events(&quiet.name).is_empty()).unwrap();
    let lost = |reason: &str| {
        let labels = [("kind", "event"), ("reason", reason)];
        agent.scrape().unwrap().sum("onlooker_events_lost_total", &labels)
    };
    let told: u64 = agent.events(&noisy.name).iter().map(count).sum();
    say(&format!(
        "of 12 ends {told} told, lost: {} to the table, {} to the rate",
        lost("table_full"),
        lost("rate_limited")
    ));
    // One at once, and one more every minute since.
    let most = 1 + begin.elapsed().as_secs() / 60;
    assert!((1..=most).contains(&told), "{told} of {most}");
    assert!(told as f64 + lost("table_full") + lost("rate_limited") >= 12.0);
    assert!(lost("table_full") >= 1.0 && lost("rate_limited") >= 1.0);
    let line = &agent.events(&quiet.name)[0];
    assert_eq!(
        (line["severity"].as_str(), line["event"].as_str()),
        (Some("ERROR"), Some(EXIT))
    );
    assert_eq!(line["attributes"]["onlooker.process.exit.signal"], "SIGKILL");
}

/// What waits for its interval is told when the agent ends.
#[test]
fn the_end_tells_what_waits() {
    need!(Need::Agent, Need::Program("sleep"));
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let options = Options {
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_BLRP_SCHEDULE_DELAY", "0"),
        ]),
        args: vec!["--events.interval=1h".into()],
        about: &["errors", "tcp", "tcp_open", "usage", "oom"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let sleeper = Sleeper::new().unwrap();
    sleeper.killed(libc::SIGKILL, 10).unwrap();
    wait::until_true("the first", wait::SOON, || {
        !receiver.logs(&sleeper.name, EXIT).is_empty()
    })
    .unwrap();
    let pending = || {
        agent
            .scrape()
            .map(|scrape| scrape.sum("onlooker_events_pending", &[("kind", "event")]))
    };
    wait::until_true("the others", wait::SOON, || {
        pending().is_ok_and(|pending| pending >= 9.0)
    })
    .unwrap();
    assert_eq!(receiver.logs(&sleeper.name, EXIT).len(), 1);
    assert!(agent.terminate_now().unwrap().success());
    let said: Vec<String> = receiver
        .logs(&sleeper.name, EXIT)
        .iter()
        .map(|(_, record)| body(record))
        .collect();
    assert!(
        said.len() == 2 && said[1].contains("ended by signal SIGKILL (x9 in "),
        "{said:?}"
    );
}

/// Runs a shell as an ordinary user that opens a file it may not read 134 times at once, then three times a second apart. Returns the
/// pid.
fn opens_in_vain(name: &str, key: &Path) -> u32 {
    let dir = TempDir::new().unwrap();
    set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let shell = copy_as(&which("dash").unwrap(), dir.path(), name).unwrap();
    let script = format!(
        "n=0; while [ $n -lt 134 ]; do true < {key}; n=$((n + 1)); done; for n in 1 2 3; do sleep 1.1; true < {key}; done; exit 0",
        key = key.display()
    );
    // One processor: the kernel side tells by processor. No search in folders of others, which may not be read either.
    let mut command = Command::new(which("taskset").unwrap());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .uid(ORDINARY)
        .gid(ORDINARY);
    command.args(["-c", "0"]).arg(shell).args(["-c", &script]);
    let mut program = Program::start(name, command).unwrap();
    let pid = program.pid();
    assert!(program.wait(wait::SOON).unwrap().success());
    assert_eq!(program.last_words().matches("ermission denied").count(), 137);
    pid
}

/// A file that cannot be opened, as the README has it. What the kernel side tells one by one is limited for the whole host, so that
/// on a host where much fails a sum may lack some; of up to three rounds one has them all, and none has more.
#[test]
fn system_call_errors() {
    need!(Need::Agent, Need::Program("dash"), Need::Program("taskset"));
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let options = Options {
        env: env(&[
            (
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
                &format!("{}/v1/logs", receiver.endpoint),
            ),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        args: vec!["--events.interval=5s".into(), "--events.rate=1000".into()],
        about: &["errors", "tcp", "tcp_open", "usage", "oom"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let dir = TempDir::new().unwrap();
    set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let key = dir.path().join("tls.key");
    std::fs::write(&key, "secret").unwrap();
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let told_all = (0..3).any(|_| {
        let name = unique("billing");
        let pid = opens_in_vain(&name, &key);
        wait::until("exact errors", wait::SOON, || {
            let labels = [("service_name", name.as_str()), ("errno", "EACCES")];
            let counted = agent.scrape()?.sum("onlooker_syscall_errors_total", &labels);
            anyhow::ensure!(
                counted == 137.0,
                "{counted} of 137: {:?}",
                agent
                    .scrape()?
                    .select("onlooker_syscall_errors_total", &labels)
                    .collect::<Vec<_>>()
            );
            Ok(())
        })
        .unwrap();
        // First what the kernel side told, then what came of it.
        agent.settle().unwrap();
        agent.balanced().unwrap();
        let records = receiver.logs(&name, "onlooker.syscall.error");
        let of = records
            .iter()
            .filter(|(_, record)| attribute(&record.attributes, "error.type").as_deref() == Some("EACCES"));
        let (mut sum, mut said) = (0, Vec::new());
        for (_, record) in of {
            let count: u64 = attribute(&record.attributes, "onlooker.event.count")
                .unwrap()
                .parse()
                .unwrap();
            sum += count;
            said.push(body(record));
            let text = format!("{name}[{pid}]: openat {}: EACCES", key.display());
            let rest = said[said.len() - 1]
                .strip_prefix(&text)
                .unwrap_or_else(|| panic!("{said:?}"))
                .to_owned();
            match count {
                1 => assert_eq!(rest, ""),
                n => assert!(rest.starts_with(&format!(" (x{n} in ")), "{rest}"),
            }
            assert_eq!(attribute(&record.attributes, "file.path").as_deref(), key.to_str());
            assert_eq!(attribute(&record.attributes, "thread.id"), Some(pid.to_string()));
        }
        say(&format!("137 opens in vain: {said:?}"));
        assert!(sum <= 137 && said.len() <= 3, "{said:?}");
        sum == 137
    });
    assert!(told_all);
    assert!(agent.terminate().unwrap().success());
}

/// A receiver that refuses connections is no event of the agent, for each attempt to tell it would be one more; the same of another
/// program is one.
#[test]
fn refused_connections_of_others_alone() {
    need!(Need::Agent, Need::Program("sleep"));
    let _alone = alone();
    let port = free_port();
    let options = Options {
        events: true,
        env: env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"))]),
        about: &["errors", "tcp", "tcp_open", "usage", "oom"],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    Sleeper::new().unwrap().killed_by(libc::SIGKILL).unwrap();
    let refused = format!("connect 127.0.0.1:{port}: ECONNREFUSED");
    let errors = |service: &str| {
        let labels = [
            ("service_name", service),
            ("errno", "ECONNREFUSED"),
            ("syscall", "connect"),
        ];
        agent
            .scrape()
            .map_or(0.0, |scrape| scrape.sum("onlooker_syscall_errors_total", &labels))
    };
    // Its socket never waits for the connection, so the refusal is no error of the call: the agent's log is the truth.
    wait::until_true("a failed export", wait::SOON, || {
        agent.program.stderr().contains("exporting log records fails")
    })
    .unwrap();
    let own = std::env::current_exe().unwrap();
    let own = own.file_name().unwrap().to_str().unwrap().to_owned();
    let told = wait::until("the event", wait::SOON, || {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        let told = agent.events(&own);
        let mut bodies = told.iter().filter_map(|event| event["body"].as_str());
        bodies
            .find(|body| body.contains(&refused))
            .map(str::to_owned)
            .context("not yet")
    })
    .unwrap();
    assert!(
        told.starts_with(&format!("{own}[{}]: {refused}", std::process::id())),
        "{told}"
    );
    wait::until_true("the error's count", wait::SOON, || errors(&own) >= 1.0).unwrap();
    let of_the_agent = agent.events("onlooker-under-test");
    assert!(of_the_agent.is_empty(), "{of_the_agent:?}");
    assert!(agent.terminate_now().unwrap().success());
}
