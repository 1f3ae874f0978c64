//! Lines that programs write where no file takes them, seen from the kernel: each arrives once, with the ids of the request for which it
//! was written.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options, alone, env};
use onlooker_tests::http::{Target, get};
use onlooker_tests::need;
use onlooker_tests::otlp::{Receiver, attribute, body};
use onlooker_tests::process::{Program, free_port, unique};
use onlooker_tests::require::{Need, say, source_dir, which};
use onlooker_tests::servers::{Server, go_program, python};
use onlooker_tests::wait;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// An agent that observes these services and exports spans and records.
fn observe(services: &[&str], receiver: &Receiver, more: &[&str]) -> Agent {
    let observed = services.iter().map(|service| format!("--logs.observe={service}"));
    let options = Options {
        args: observed.chain(more.iter().map(|arg| (*arg).to_owned())).collect(),
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        about: &["writes"],
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// Records of a service that are lines.
fn lines(receiver: &Receiver, service: &str) -> Vec<LogRecord> {
    let received = receiver.received();
    let its = received.logs.iter().filter(|(resource, record)| {
        record.event_name.is_empty() && attribute(&resource.attributes, "service.name").as_deref() == Some(service)
    });
    its.map(|(_, record)| record.clone()).collect()
}

/// Waits for so many lines of a service, and sees to it that they are no more.
fn all_lines(agent: &Agent, receiver: &Receiver, service: &str, count: usize) -> Vec<LogRecord> {
    let enough = || {
        let lines = lines(receiver, service);
        let bodies = || lines.iter().map(body).collect::<Vec<_>>();
        ensure!(lines.len() >= count, "{} of {count}: {:?}", lines.len(), bodies());
        Ok(())
    };
    wait::until(&format!("lines of {service}"), Duration::from_secs(60), enough).unwrap();
    agent.settle().unwrap();
    let lines = lines(receiver, service);
    let bodies = || lines.iter().map(body).collect::<Vec<_>>();
    assert_eq!(lines.len(), count, "{:?}", bodies());
    lines
}

fn stream(record: &LogRecord) -> String {
    attribute(&record.attributes, "log.iostream").unwrap_or_default()
}

/// Where standard output goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Out {
    Pipe,
    Terminal,
    Null,
}

/// Standard output of a command goes there; what has to be kept for that.
fn to(command: &mut Command, out: Out) -> Option<File> {
    match out {
        Out::Pipe => {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
            command.stdout(write);
            Some(drained(File::from(read)))
        }
        Out::Terminal => {
            let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&pty).unwrap();
            unlockpt(&pty).unwrap();
            let name = ptsname(&pty, Vec::new()).unwrap().into_string().unwrap();
            let end = File::options().read(true).write(true).open(name).unwrap();
            command.stdout(end);
            Some(drained(File::from(pty)))
        }
        Out::Null => {
            command.stdout(File::options().write(true).open("/dev/null").unwrap());
            None
        }
    }
}

/// What comes out is read by somebody, so that the writer does not wait.
fn drained(end: File) -> File {
    let mut reader = end.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut room = [0; 4096];
        while reader.read(&mut room).is_ok_and(|count| count > 0) {}
    });
    end
}

/// Starts a server whose standard output goes there.
fn serve(mut command: Command, case: &str, out: Out) -> (Server, Option<File>) {
    let kept = to(&mut command, out);
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], free_port())));
    let server = Server::start_in(TempDir::new().unwrap(), command, target, case).unwrap();
    (server, kept)
}

fn path(span: &Span) -> String {
    attribute(&span.attributes, "url.path").unwrap_or_default()
}

/// Spans of a service's requests by path, once there are so many.
fn spans(receiver: &Receiver, service: &str, count: usize) -> BTreeMap<String, Span> {
    let all = wait::until("spans", Duration::from_secs(30), || {
        let spans = receiver.spans(service);
        ensure!(spans.len() >= count, "{} of {count}", spans.len());
        Ok(spans)
    });
    let all = all.unwrap();
    assert_eq!(all.len(), count);
    all.into_iter().map(|span| (path(&span), span)).collect()
}

/// Sees to it that a record has the ids of this span.
fn is_of(record: &LogRecord, span: &Span) {
    let what = body(record);
    assert_eq!(record.trace_id, span.trace_id, "{what}");
    assert_eq!(record.span_id, span.span_id, "{what}");
    assert_eq!(record.flags & 1, 1, "sampled: {what}");
    let within = span.start_time_unix_nano..=span.end_time_unix_nano;
    assert!(within.contains(&record.time_unix_nano), "{what}: {within:?}");
}

/// Requests by four clients at the same time; each thread of the server handles one of them.
#[test]
fn each_line_has_the_ids_of_its_request_wherever_it_goes() {
    need!(Need::Agent, Need::Program("python3"));
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let agent = observe(&["observed-*"], &receiver, &[]);
    for (out, case) in [
        (Out::Pipe, "observed-pipe"),
        (Out::Terminal, "observed-terminal"),
        (Out::Null, "observed-null"),
    ] {
        let script = python(&source_dir().join("programs/python/lines.py")).unwrap();
        let (server, _kept) = serve(script, case, out);
        std::thread::scope(|scope| {
            for client in 0..4 {
                let target = &server.target;
                scope.spawn(move || {
                    for n in 0..10 {
                        let answer = get(target, &format!("/sleep/10/{client}-{n}"), &[]).unwrap();
                        assert_eq!(answer.status, 200);
                    }
                });
            }
        });
        let spans = spans(&receiver, &server.service, 40);
        let all = all_lines(&agent, &receiver, &server.service, 81);
        let mut said = Vec::new();
        let mut logged = 0;
        for record in &all {
            let text = body(record);
            if text == "begin" {
                assert_eq!(
                    (record.trace_id.len(), record.span_id.len()),
                    (0, 0),
                    "nothing was asked yet"
                );
                continue;
            }
            if stream(record) == "stdout" {
                let path = text.strip_prefix("handling ").unwrap();
                is_of(record, &spans[path]);
                said.push(path.to_owned());
            } else {
                // The line that http.server writes of itself, an access log.
                let (_, span) = spans.iter().find(|(path, _)| text.contains(path.as_str())).unwrap();
                is_of(record, span);
                logged += 1;
            }
            let thread = attribute(&record.attributes, "thread.id").unwrap();
            assert_ne!(
                thread.parse::<u32>().unwrap(),
                server.program.pid(),
                "each request has a thread"
            );
        }
        said.sort_unstable();
        assert_eq!(said, spans.keys().cloned().collect::<Vec<_>>(), "{out:?}");
        assert_eq!(logged, 40, "{out:?}");
    }
    let scrape = agent.scrape().unwrap();
    for kind in ["write", "observed_write", "observed_line"] {
        assert_eq!(
            scrape.sum("onlooker_events_lost_total", &[("kind", kind)]),
            0.0,
            "{kind}"
        );
    }
    assert_eq!(scrape.sum("onlooker_observed_lines_correlated_total", &[]), 240.0);
}

/// Programs whose threads are not those of requests: one after the other each line is of its request, and of many at the same time none
/// is of another one.
fn one_thread_for_many(command: Command, case: &str) {
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let agent = observe(&[case], &receiver, &[]);
    let mut command = command;
    command.env("SAY", "1");
    let (server, _kept) = serve(command, case, Out::Pipe);
    let mut paths = Vec::new();
    for n in 0..20 {
        paths.push(format!("/sleep/2/alone-{n}"));
        get(&server.target, &paths[n], &[]).unwrap();
    }
    std::thread::scope(|scope| {
        for client in 0..8 {
            let target = &server.target;
            scope.spawn(move || {
                for n in 0..10 {
                    get(target, &format!("/sleep/3/{client}-{n}"), &[]).unwrap();
                }
            });
        }
    });
    let spans = spans(&receiver, &server.service, 100);
    let all = all_lines(&agent, &receiver, &server.service, 100);
    let mut with_ids = 0;
    for record in &all {
        let text = body(record);
        let path = text.strip_prefix("handling ").unwrap();
        if path.contains("alone") || !record.trace_id.is_empty() {
            is_of(record, &spans[path]);
            with_ids += 1;
        }
    }
    say(&format!(
        "{with_ids} of 100 lines have ids, 20 of requests that came alone"
    ));
}

#[test]
fn lines_of_node_are_of_their_requests_or_of_none() {
    need!(Need::Agent, Need::Program("node"));
    let mut command = Command::new(which("node").unwrap());
    command.arg(source_dir().join("programs/node/server.js"));
    one_thread_for_many(command, "observed-node*");
}

#[test]
fn lines_of_go_are_of_their_requests_or_of_none() {
    need!(Need::Agent, Need::GoProgram);
    one_thread_for_many(Command::new(go_program().unwrap()), "observed-go*");
}

/// A program in C that writes what its buffer holds, whatever lines there are: 4,096 bytes at a time. Nothing of a service that nobody
/// asked for, nor of one whose output is a file.
#[test]
fn ten_thousand_lines_arrive_each_once() {
    need!(Need::Agent, Need::Program("seq"));
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let (service, other) = (unique("observed-seq"), unique("other-seq"));
    let agent = observe(&["observed-*"], &receiver, &[]);
    let folder = TempDir::new().unwrap();
    let run = |service: &str, out: Stdio| {
        let mut command = Command::new(which("seq").unwrap());
        command
            .args(["-f", "line %g of many", "10000"])
            .env("OTEL_SERVICE_NAME", service);
        let program = Program::start(service, {
            command.stdout(out);
            command
        });
        program.unwrap()
    };
    let count = 10_000;
    for (service, file) in [(&other, false), (&service, true), (&service, false)] {
        let out = match file {
            true => Stdio::from(File::create(folder.path().join("lines")).unwrap()),
            false => Stdio::piped(),
        };
        let mut program = run(service, out);
        if let Some(out) = program.stdout() {
            let mut text = String::new();
            { out }.read_to_string(&mut text).unwrap();
            assert_eq!(text.lines().count(), count);
        }
        assert!(program.wait(wait::SOON).unwrap().success());
    }
    let all = all_lines(&agent, &receiver, &service, count);
    let mut bodies: Vec<_> = all.iter().map(body).collect();
    let mut expect: Vec<_> = (1..=count).map(|n| format!("line {n} of many")).collect();
    assert_eq!(bodies, expect, "in their order");
    bodies.sort_unstable();
    expect.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies, expect);
    assert_eq!(lines(&receiver, &other).len(), 0);
    let scrape = agent.scrape().unwrap();
    assert_eq!(scrape.sum("onlooker_observed_lines_total", &[]), count as f64);
    assert_eq!(scrape.sum("onlooker_observed_lost_bytes_total", &[]), 0.0);
    assert_eq!(scrape.sum("onlooker_observed_parts_total", &[]), 0.0);
}

const CUT: &str = r#"
import os, time
for part in [b"pass", b"word=hunter2 and", b" more\n"]:
    os.write(1, part)
for part in [b"Traceback (most recent call last):\n  File \"a.py\", ", b"line 3, in sell\n",
             b"    return stock[name]\nKeyError: 'pears'\n", b"Name: "]:
    os.write(2, part)
    time.sleep(0.02)
os.writev(2, [b"by ", b"writev", b"\n", b"", b"x" * 5000 + b"\n"])
"#;

/// Lines are put together from what was written, whatever the writes; secrets go, traces are one record, as in files.
#[test]
fn lines_are_whole_and_read_as_those_of_files() {
    need!(Need::Agent, Need::Program("python3"));
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let service = unique("observed-cut");
    let agent = observe(&[&service], &receiver, &[]);
    let mut command = python(std::path::Path::new("-c")).unwrap();
    // Else it would be this test's own, which may be a file.
    command
        .arg(CUT)
        .env("OTEL_SERVICE_NAME", &service)
        .stdout(Stdio::null());
    let mut program = Program::start(&service, command).unwrap();
    assert!(program.wait(wait::SOON).unwrap().success());
    let all = all_lines(&agent, &receiver, &service, 4);
    let (out, error): (Vec<_>, Vec<_>) = all.iter().partition(|record| stream(record) == "stdout");
    let bodies = |records: &[&LogRecord]| records.iter().map(|record| body(record)).collect::<Vec<_>>();
    assert_eq!(bodies(&out).len(), 1);
    let secret = &bodies(&out)[0];
    assert!(
        secret.contains("[redacted:secret]") && !secret.contains("hunter2"),
        "{secret}"
    );
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 3, in sell\n    return stock[name]\nKeyError: 'pears'";
    assert_eq!(bodies(&error), [trace, "Name: by writev", &"x".repeat(5000)]);
    assert_eq!(
        attribute(&error[0].attributes, "exception.type").as_deref(),
        Some("KeyError")
    );
}

/// A ring that is full costs lines, and says how many bytes: what is seen and what is lost is what was written, and no line is put
/// together over what is missing.
#[test]
fn what_the_ring_has_no_room_for_is_counted() {
    need!(Need::Agent, Need::Program("python3"));
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let service = unique("observed-burst");
    let agent = observe(
        &[&service],
        &receiver,
        &["--limits.ring-bytes=128KiB", "--logs.multiline=false"],
    );
    let mut command = python(&source_dir().join("programs/python/burst.py")).unwrap();
    command.env("OTEL_SERVICE_NAME", &service);
    command.stdout(Stdio::piped());
    let mut program = Program::talking(&service, command).unwrap();
    let (mut orders, mut out) = (program.stdin().unwrap(), program.stdout().unwrap());
    let came = Arc::new(AtomicU64::new(0));
    let reader = came.clone();
    std::thread::spawn(move || {
        let mut room = [0; 4096];
        while let Ok(count @ 1..) = out.read(&mut room) {
            reader.fetch_add(count as u64, Ordering::Relaxed);
        }
    });
    let line = "order 000000\n".len() as f64;
    let burst = 20_000;
    writeln!(orders, "1").unwrap();
    all_lines(&agent, &receiver, &service, 1);
    agent.pause().unwrap();
    writeln!(orders, "{burst}").unwrap();
    let done = || came.load(Ordering::Relaxed) as f64 == f64::from(burst + 1) * line;
    wait::until_true("the burst", Duration::from_secs(60), done).unwrap();
    agent.resume();
    writeln!(orders, "1").unwrap();
    let written = f64::from(burst + 2) * line;
    let scrape = wait::until("all bytes", Duration::from_secs(60), || {
        let scrape = agent.scrape()?;
        let seen = scrape.sum("onlooker_observed_bytes_total", &[]);
        let lost = scrape.sum("onlooker_observed_lost_bytes_total", &[]);
        ensure!(seen + lost == written, "{seen} seen and {lost} lost of {written}");
        Ok(scrape)
    });
    let scrape = scrape.unwrap();
    let lost = scrape.sum("onlooker_observed_lost_bytes_total", &[("reason", "ring_full")]);
    let refused = scrape.sum(
        "onlooker_events_lost_total",
        &[("kind", "write"), ("reason", "ring_full")],
    );
    assert!(lost > 0.0 && refused > 0.0, "{lost} bytes of {refused} writes");
    agent.settle().unwrap();
    let all = lines(&receiver, &service);
    let numbers: Vec<u32> = all
        .iter()
        .map(|record| body(record).strip_prefix("order ").unwrap().parse().unwrap())
        .collect();
    assert!(
        numbers.is_sorted() && numbers.windows(2).all(|two| two[0] < two[1]),
        "each once"
    );
    assert_eq!(numbers.last(), Some(&(burst + 1)));
    assert_eq!(numbers.len() as f64 * line + lost, written);
    say(&format!("{} of {} lines came", numbers.len(), burst + 2));
}

/// Where nobody asks for it nothing of it is in the kernel.
#[test]
fn nothing_is_attached_unless_asked_for() {
    need!(Need::Agent);
    let _alone = alone();
    let receiver = Receiver::start(&[]).unwrap();
    let agent = observe(&[], &receiver, &[]);
    let scrape = agent.scrape().unwrap();
    assert_eq!(scrape.sum("onlooker_probe_attached", &[("probe", "writes")]), 0.0);
    assert!(!scrape.has("onlooker_program_runs_total", &[("program", "sys_writes")]));
    assert!(!scrape.has("onlooker_observed_lines_total", &[]));
}
