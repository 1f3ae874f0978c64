//! Logs of files, by an agent that is killed while they are rotated and while the receiver takes nothing.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options, alone, env};
use onlooker_tests::need;
use onlooker_tests::otlp::{Receiver, attribute};
use onlooker_tests::require::{Need, say};
use onlooker_tests::wait;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Lines between two rotations.
const TURN: u64 = 250;

/// An agent that reads `*.log` of a folder and remembers in another one.
fn options(folder: &Path, state: &Path, receiver: &Receiver) -> Options {
    let place = |name: &str| state.join(name).display().to_string();
    Options {
        args: vec![
            format!("--logs.include={}", folder.join("*.log").display()),
            format!("--logs.state-path={}", place("logs.json")),
            format!("--otlp.queue.path={}", place("queue")),
            "--logs.start-at=beginning".into(),
        ],
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        ..Options::default()
    }
}

/// Writes lines 0 to `count` as a program does, renames its file every [`TURN`] lines and begins a new one.
fn write(folder: &Path, count: u64, written: &AtomicU64) {
    let path = folder.join("orders.log");
    let mut file = File::create(&path).unwrap();
    for number in 0..count {
        if number > 0 && number % TURN == 0 {
            let to = |turn: u64| folder.join(format!("orders.log.{turn}"));
            for turn in (1..number / TURN).rev() {
                fs::rename(to(turn), to(turn + 1)).unwrap();
            }
            fs::rename(&path, to(1)).unwrap();
            file = File::create(&path).unwrap();
        }
        let line = format!("{{\"level\":\"warn\",\"msg\":\"line\",\"n\":{number},\"password\":\"hunter2\"}}\n");
        file.write_all(line.as_bytes()).unwrap();
        written.store(number + 1, Ordering::Release);
        // A pace, so that kills fall between lines: nothing is waited for.
        sleep(Duration::from_micros(300));
    }
}

fn number(record: &LogRecord) -> Option<u64> {
    attribute(&record.attributes, "n")?.parse().ok()
}

/// How often each line came.
fn arrived(receiver: &Receiver) -> BTreeMap<u64, u32> {
    let mut counts = BTreeMap::new();
    for (_, record) in &receiver.received().logs {
        if let Some(number) = number(record) {
            *counts.entry(number).or_default() += 1;
        }
    }
    counts
}

/// The receiver refuses at first, the agent is killed twice, the file is rotated: every line arrives, read to what it says, without
/// its secret.
#[test]
fn every_line_arrives_through_rotation_kills_and_a_receiver_that_refuses() {
    need!(Need::Agent);
    let _alone = alone();
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(&[503; 8]).unwrap();
    let options = options(folder.path(), state.path(), &receiver);
    let count: u64 = (wait::eased(10_000) as u64).max(4 * TURN);
    let written = AtomicU64::new(0);
    let mut agent = Agent::start(&options).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| write(folder.path(), count, &written));
        for share in [3, 2] {
            let reached = || written.load(Ordering::Acquire) >= count / share;
            wait::until_true("lines", Duration::from_secs(60), reached).unwrap();
            agent.program.signal(libc::SIGKILL);
            agent.program.wait(wait::SOON).unwrap();
            agent = Agent::start(&options).unwrap();
        }
    });
    let all = wait::until("all lines", Duration::from_secs(60), || {
        let counts = arrived(&receiver);
        ensure!(counts.len() as u64 == count, "{} of {count}", counts.len());
        Ok(counts)
    });
    let all = all.unwrap();
    assert_eq!(all.keys().next_back(), Some(&(count - 1)), "no line that nobody wrote");
    let more: u32 = all.values().map(|times| times - 1).sum();
    say(&format!("{count} lines arrived, {more} of them again after a kill"));
    let received = receiver.received();
    assert_eq!(received.errors, [] as [String; 0]);
    assert!(received.refused >= 8);
    for (resource, record) in received.logs.iter().filter(|(_, record)| number(record).is_some()) {
        assert_eq!(
            attribute(&resource.attributes, "service.name").as_deref(),
            Some("orders")
        );
        assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "warn"));
        let body = record.body.as_ref().and_then(|body| body.value.clone());
        assert_eq!(body, Some(Value::StringValue("line".into())));
        assert_eq!(
            attribute(&record.attributes, "password").as_deref(),
            Some("[redacted:secret]")
        );
    }
    drop(received);
    let scrape = agent.scrape().unwrap();
    assert!(scrape.sum("onlooker_log_redacted_total", &[("kind", "secret")]) >= 1.0);
    assert_eq!(scrape.sum("onlooker_events_lost_total", &[("kind", "log_line")]), 0.0);
}

/// A line that says which request it belongs to is a record of that span.
#[test]
fn ids_of_traces_in_lines_are_those_of_their_records() {
    need!(Need::Agent);
    let _alone = alone();
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(&[]).unwrap();
    let line = "level=info msg=paid trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331 n=1\n";
    fs::write(folder.path().join("shop.log"), line).unwrap();
    let agent = Agent::start(&options(folder.path(), state.path(), &receiver)).unwrap();
    let record = wait::until("the line", Duration::from_secs(30), || {
        let received = receiver.received();
        let mut records = received.logs.iter().map(|(_, record)| record);
        let found = records.find(|record| number(record) == Some(1)).cloned();
        found.ok_or_else(|| anyhow::anyhow!("not yet"))
    });
    let record = record.unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&record.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&record.span_id), "b7ad6b7169203331");
    drop(agent);
}

const JAVA: &str = "Exception in thread \"main\" java.lang.IllegalStateException: none left of order 7
\tat com.example.shop.Cart.sell(Cart.java:12)
\tat com.example.shop.Main.main(Main.java:5)
Caused by: java.io.IOException: connection to jdbc:postgresql://shop:hunter2@db.example.com/shop lost
\tat com.example.shop.Store.read(Store.java:40)
\t... 2 more
";

const GO: &str = "panic: runtime error: index out of range [3] with length 2

goroutine 1 [running]:
main.(*Cart).Sell(0xc000012120, {0x4b2f3a, 0x5})
\t/srv/shop/cart.go:12 +0x1d
main.main()
\t/srv/shop/main.go:9 +0x85
exit status 2
";

/// What Python itself writes when it ends by an exception that was raised while another one was handled.
const PYTHON: &str = "
def sell(stock, name):
    try:
        return stock[name]
    except KeyError:
        raise ValueError('none left of ' + name)

sell({}, 'pears')
";

/// A trace is one record, however its lines come, and what is in it is redacted. Lines are counted: each is a record or was joined.
#[test]
fn traces_of_three_languages_are_one_record_each() {
    need!(Need::Agent, Need::Program("python3"));
    let _alone = alone();
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(&[]).unwrap();
    let agent = Agent::start(&options(folder.path(), state.path(), &receiver)).unwrap();
    let path = |name: &str| folder.path().join(format!("{name}.log"));
    let status = Command::new("python3")
        .args(["-c", PYTHON])
        .stderr(File::create(path("python")).unwrap())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    let python = fs::read_to_string(path("python")).unwrap();
    assert!(python.lines().count() > 8, "{python}");
    for (name, text) in [("java", JAVA), ("go", GO)] {
        let mut file = File::create(path(name)).unwrap();
        for part in text.as_bytes().chunks(50) {
            file.write_all(part).unwrap();
            // The reader is to see some of the pieces one by one: nothing is waited for.
            sleep(Duration::from_millis(20));
        }
    }
    let expect = [
        ("python", python.clone(), Some("ValueError")),
        (
            "java",
            JAVA.replace("hunter2", "[redacted:url-password]"),
            Some("java.lang.IllegalStateException"),
        ),
        ("go", GO.to_owned(), None),
    ];
    let all = wait::until("the traces", Duration::from_secs(30), || {
        let logs = receiver.received().logs.clone();
        let of = |name: &str| {
            let its = |resource: &Resource| attribute(&resource.attributes, "service.name").as_deref() == Some(name);
            let records = logs.iter().filter(|(resource, _)| its(resource));
            records.map(|(_, record)| record.clone()).collect::<Vec<_>>()
        };
        let all: Vec<_> = expect.iter().map(|(name, ..)| of(name)).collect();
        ensure!(
            all.iter().all(|its| !its.is_empty()),
            "{} of 3",
            all.iter().filter(|its| !its.is_empty()).count()
        );
        Ok(all)
    });
    for ((name, text, kind), records) in expect.iter().zip(all.unwrap()) {
        let bodies: Vec<_> = records
            .iter()
            .map(|record| record.body.clone().and_then(|body| body.value))
            .collect();
        assert_eq!(bodies, [Some(Value::StringValue(text.trim_end().to_owned()))], "{name}");
        assert_eq!(attribute(&records[0].attributes, "exception.type").as_deref(), *kind);
    }
    let lines = [&python, JAVA, GO]
        .map(|text| text.lines().count())
        .iter()
        .sum::<usize>() as f64;
    let scrape = agent.scrape().unwrap();
    assert_eq!(scrape.sum("onlooker_log_lines_total", &[]), lines);
    assert_eq!(
        scrape.sum("onlooker_log_lines_joined_total", &[("of", "event")]),
        lines - 3.0
    );
    assert_eq!(scrape.sum("onlooker_events_lost_total", &[("kind", "log_line")]), 0.0);
    assert_eq!(scrape.sum("onlooker_log_group_bytes", &[]), 0.0);
}
