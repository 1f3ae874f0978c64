//! Lines that are read from the log of a container have the ids of the request for which they were seen to be written.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options, alone, env};
use onlooker_tests::http::{Target, get};
use onlooker_tests::need;
use onlooker_tests::otlp::{Receiver, attribute, body};
use onlooker_tests::process::free_port;
use onlooker_tests::require::{Need, made, source_dir};
use onlooker_tests::servers::{Server, python};
use onlooker_tests::wait;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What a container's shim does: takes what comes out of a pipe into a file of Docker's `json-file`.
const SHIM: &str = r#"
import datetime, json, sys
with open(sys.argv[1], "a") as log:
    for line in sys.stdin:
        time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        log.write(json.dumps({"log": line, "stream": "stdout", "time": time}) + "\n")
        log.flush()
"#;

const ID: &str = "5f9a0c1b2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c";

/// A cgroup with a name as Docker gives it, removed when dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> anyhow::Result<Group> {
        let root = Path::new("/sys/fs/cgroup");
        // Version 2, or a controller of version 1.
        let unified = root.join("cgroup.controllers").exists();
        let parent = if unified { root.to_owned() } else { root.join("memory") };
        let group = parent.join(format!("docker-{ID}.scope"));
        fs::create_dir(&group)?;
        Ok(Group(group))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let removed = || fs::remove_dir(&self.0).is_ok();
        let _ = wait::until_true("an empty cgroup", wait::SOON, removed); // who was in it may be about to end
    }
}

#[test]
fn lines_of_containers_have_the_ids_of_their_request() {
    need!(Need::Agent, Need::Program("python3"));
    let _alone = alone();
    let Some(group) = made("cgroup", Group::new()) else {
        return;
    };
    let root = TempDir::new().unwrap();
    let folder = root.path().join("var/lib/docker/containers").join(ID);
    fs::create_dir_all(&folder).unwrap();
    let receiver = Receiver::start(&[]).unwrap();
    let state = root.path().join("logs.json");
    let agent = Agent::start(&Options {
        args: vec![
            format!("--path.rootfs={}", root.path().display()),
            format!("--logs.state-path={}", state.display()),
            "--logs.containers".into(),
            "--logs.observe=observed-*".into(),
            "--logs.start-at=beginning".into(),
        ],
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        ..Options::default()
    });
    let agent = agent.unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let script = python(&source_dir().join("programs/python/lines.py")).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
        .arg(group.0.join("cgroup.procs"))
        .arg(script.get_program())
        .args(script.get_args())
        .stdout(write);
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], free_port())));
    let mut shim = python(Path::new("-c")).unwrap();
    shim.arg(SHIM).arg(folder.join(format!("{ID}-json.log")));
    let mut shim = shim.stdin(Stdio::from(read)).spawn().unwrap();
    let server = Server::start_in(TempDir::new().unwrap(), command, target, "observed-container").unwrap();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let target = &server.target;
            scope.spawn(move || {
                for n in 0..10 {
                    get(target, &format!("/sleep/10/{client}-{n}"), &[]).unwrap();
                }
            });
        }
    });
    let records = wait::until("lines", Duration::from_secs(30), || {
        let received = receiver.received();
        let said = |text: &str| text == "begin" || text.starts_with("handling ");
        let lines = received.logs.iter().filter(|(_, record)| said(&body(record)));
        let lines: Vec<_> = lines.cloned().collect();
        ensure!(lines.len() >= 41, "{} of 41", lines.len());
        Ok(lines)
    });
    agent.settle().unwrap();
    let records = records.unwrap();
    assert_eq!(records.len(), 41, "none is told twice");
    let spans = receiver.spans(&server.service);
    assert_eq!(spans.len(), 40);
    for (resource, record) in &records {
        let path = attribute(&resource.attributes, "log.file.path");
        assert!(
            path.is_some_and(|path| path.ends_with("-json.log")),
            "read from the file"
        );
        let text = body(record);
        let asked = text.strip_prefix("handling ");
        let its = |path: &str| {
            let mut spans = spans.iter();
            spans.find(|span| attribute(&span.attributes, "url.path").as_deref() == Some(path))
        };
        let (trace, id) = match asked {
            Some(path) => its(path)
                .map(|span| (span.trace_id.clone(), span.span_id.clone()))
                .unwrap(),
            None => (Vec::new(), Vec::new()),
        };
        assert_eq!((&record.trace_id, &record.span_id), (&trace, &id), "{text}");
    }
    let scrape = agent.scrape().unwrap();
    assert_eq!(scrape.sum("onlooker_log_lines_correlated_total", &[]), 40.0);
    assert_eq!(
        scrape.sum("onlooker_events_seen_total", &[("kind", "observed_line")]),
        0.0
    );
    drop(server);
    shim.wait().unwrap();
}
