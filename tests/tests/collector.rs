//! What an OpenTelemetry Collector writes down of what the agent sends it: spans, lines and metrics, each with the resource that it is of;
//! and lines that programs wrote while they handled requests, each with the ids of its request or with none.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options, alone, env};
use onlooker_tests::collector::{Collector, Told};
use onlooker_tests::http::{Connection, Target};
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::process::{free_port, unique};
use onlooker_tests::require::{Need, say, source_dir, which};
use onlooker_tests::servers::{Nginx, NginxOptions, Server, go_program, python};
use onlooker_tests::wait;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;
use tempfile::TempDir;

/// An agent that sends to the Collector: spans and lines over HTTP, metrics over gRPC.
fn agent(collector: &Collector, args: Vec<String>) -> Agent {
    let [http, grpc] = [collector.http, collector.grpc].map(|addr| format!("http://{addr}"));
    let options = Options {
        args,
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &http),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &grpc),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// Those of a service.
fn of(service: &str, all: anyhow::Result<Vec<Told>>) -> anyhow::Result<Vec<Told>> {
    Ok(all?.into_iter().filter(|told| told.service() == service).collect())
}

/// Waits until there are so many.
fn enough(what: &str, count: usize, mut look: impl FnMut() -> anyhow::Result<Vec<Told>>) -> Vec<Told> {
    let found = wait::until(what, Duration::from_secs(30), || {
        let found = look()?;
        ensure!(found.len() >= count, "{} of {count}", found.len());
        Ok(found)
    });
    found.unwrap()
}

#[test]
fn the_file_has_spans_lines_and_metrics_with_their_resources() {
    need!(Need::Agent, Need::Program("nginx"), Need::Collector);
    let _alone = alone();
    let collector = Collector::start().unwrap();
    let (folder, shop) = (TempDir::new().unwrap(), unique("shop"));
    let path = folder.path().join("shop.log");
    let lines = (0..50).map(|n| format!("{{\"level\":\"warn\",\"msg\":\"order {n}\",\"n\":{n}}}\n"));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let agent = agent(
        &collector,
        vec![
            format!("--logs.include={}", path.display()),
            format!("--logs.service={shop}={}", path.display()),
            format!("--logs.state-path={}", folder.path().join("state").display()),
            "--logs.start-at=beginning".into(),
        ],
    );
    let nginx = Nginx::start("judged", &NginxOptions::default()).unwrap();
    let service = &nginx.server.service;
    let requests = 300;
    get_many(&nginx.server.target, 4, requests as u64, &["/ok"]).unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();

    let spans = enough("spans", requests, || of(service, collector.spans()));
    assert_eq!(spans.len(), requests);
    for span in &spans {
        assert_eq!(span.item["kind"], 2, "of a server");
        assert_eq!(span.text("name"), "GET /ok");
        assert_eq!((span.text("traceId").len(), span.text("spanId").len()), (32, 16));
        let told = ["http.request.method", "url.path", "http.response.status_code"].map(|name| span.attribute(name));
        assert_eq!(told, ["GET", "/ok", "200"]);
        let pid = &span.resource["process.pid"];
        let workers =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", nginx.server.program.pid())).unwrap();
        assert!(
            workers.split_whitespace().any(|worker| worker == pid),
            "{pid} is none of {workers}"
        );
        assert_eq!(span.resource["host.name"], host.trim());
        assert!(
            span.schema.starts_with("https://opentelemetry.io/schemas/"),
            "{}",
            span.schema
        );
    }

    let records = enough("lines", 50, || of(&shop, collector.records()));
    assert_eq!(records.len(), 50);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(
            (record.body(), record.attribute("n")),
            (format!("order {n}"), n.to_string())
        );
        assert_eq!(
            (&record.item["severityNumber"], record.text("severityText")),
            (&13.into(), "warn".into())
        );
        assert_eq!(record.resource["log.file.path"], path.to_str().unwrap());
        assert_eq!(record.resource["host.name"], host.trim());
    }

    let duration = || {
        let metrics = of(service, collector.metrics())?;
        let is = |told: &Told| told.text("name") == "http.server.request.duration";
        anyhow::Ok(metrics.into_iter().filter(is).collect::<Vec<_>>())
    };
    let counted = |told: &Told| -> u64 {
        let points = told.item["histogram"]["dataPoints"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let counts = points
            .iter()
            .map(|point| point["count"].as_str().unwrap_or("0").parse::<u64>());
        counts.sum::<Result<u64, _>>().unwrap()
    };
    let last = wait::until("metrics", Duration::from_secs(30), || {
        let last = duration()?.pop();
        let last = last.filter(|last| counted(last) >= requests as u64);
        last.ok_or_else(|| anyhow::anyhow!("not yet"))
    });
    let last = last.unwrap();
    assert_eq!(counted(&last), requests as u64);
    assert_eq!(last.text("unit"), "s");
    assert_eq!(last.resource["host.name"], host.trim());
    assert!(
        !last.resource.contains_key("process.pid"),
        "of all processes of the service"
    );
    assert!(
        last.schema.starts_with("https://opentelemetry.io/schemas/"),
        "{}",
        last.schema
    );
    let scopes = [&spans[0], &records[0], &last].map(|told| told.scope.clone());
    assert!(scopes.iter().all(|scope| scope.contains("onlooker")), "{scopes:?}");
    assert!(agent.terminate().unwrap().success());
}

/// Requests that are all open at the same time.
fn at_once(target: &Target, count: usize, path: impl Fn(usize) -> String + Sync) {
    // One connection after the other: servers have short queues of those that wait to be accepted.
    let connections: Vec<Connection> = (0..count).map(|_| Connection::open(target).unwrap()).collect();
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        for (n, mut connection) in connections.into_iter().enumerate() {
            let (barrier, path) = (&barrier, &path);
            let asking = move || {
                barrier.wait();
                assert_eq!(connection.exchange("GET", &path(n), b"").unwrap().status, 200);
            };
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, asking)
                .unwrap();
        }
    });
}

/// A thousand requests at the same time, and some that come alone.
#[test]
fn lines_have_the_ids_of_their_requests_or_none() {
    need!(
        Need::Agent,
        Need::Program("python3"),
        Need::Program("node"),
        Need::GoProgram,
        Need::Collector
    );
    let _alone = alone();
    let collector = Collector::start().unwrap();
    let agent = agent(&collector, vec!["--logs.observe=judged-*".into()]);
    // A thousand take three minutes, most of them to read the Collector's file again and again.
    let given = std::env::var("ONLOOKER_TEST_CONCURRENT").ok();
    let many = given.and_then(|text| text.parse().ok()).unwrap_or(200);
    let node = || {
        let mut command = Command::new(which("node").unwrap());
        command.arg(source_dir().join("programs/node/server.js"));
        command
    };
    let programs: [(&str, Command); 3] = [
        (
            "judged-python",
            python(&source_dir().join("programs/python/lines.py")).unwrap(),
        ),
        ("judged-node", node()),
        ("judged-go", Command::new(go_program().unwrap())),
    ];
    for (case, mut command) in programs {
        command.env("SAY", "1").stdout(Stdio::piped()).stderr(Stdio::null());
        let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut server = Server::start_in(TempDir::new().unwrap(), command, target, case).unwrap();
        let mut out = server.program.stdout().unwrap();
        std::thread::spawn(move || {
            let mut room = [0; 65_536];
            while out.read(&mut room).is_ok_and(|count| count > 0) {}
        });
        for n in 0..20 {
            at_once(&server.target, 1, |_| format!("/sleep/1/alone-{n}"));
        }
        // Those with odd numbers say their line only when others were read since, and sleep once more.
        at_once(&server.target, many, |n| {
            if n % 2 == 0 {
                format!("/sleep/300/{n}")
            } else {
                format!("/late/{}/{n}", 50 + n % 7 * 10)
            }
        });
        let service = &server.service;
        let spans = enough("spans", many + 20, || of(service, collector.spans()));
        let spans: BTreeMap<String, Told> = spans
            .into_iter()
            .map(|span| (span.attribute("url.path"), span))
            .collect();
        let said = |told: &Told| told.body().starts_with("handling ");
        let lines = enough("lines", many + 20, || {
            Ok(of(service, collector.records())?.into_iter().filter(said).collect())
        });
        assert_eq!((spans.len(), lines.len()), (many + 20, many + 20), "{case}");
        let (mut right, mut alone, mut wrong) = (0, 0, Vec::new());
        for line in &lines {
            let body = line.body();
            let path = body.trim_start_matches("handling ");
            let ids = |told: &Told| (told.text("traceId"), told.text("spanId"));
            match ids(line) {
                (trace, _) if trace.is_empty() => {}
                its if its == ids(&spans[path]) => {
                    right += 1;
                    alone += u32::from(path.contains("alone"));
                }
                _ => wrong.push(path.to_owned()),
            }
        }
        say(&format!(
            "{case}: {right} of {} lines have ids, {} wrong ones",
            lines.len(),
            wrong.len()
        ));
        assert_eq!(wrong, [] as [String; 0], "{case}");
        assert_eq!(alone, 20, "{case}: requests that came alone");
        // Threads tell it of each; an event loop does not tell which callback runs, nor a thread which goroutine.
        if case == "judged-python" {
            assert_eq!(right, many + 20, "{case}");
        }
    }
    assert!(agent.terminate_now().unwrap().success());
}
