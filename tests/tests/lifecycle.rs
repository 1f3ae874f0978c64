//! The agent's own life: start, readiness, web surface, end, and what it leaves behind.

use onlooker_tests::agent::{Agent, Options, alone, hooks};
use onlooker_tests::bpf::Loaded;
use onlooker_tests::case::{Role, expect_metrics, expect_of};
use onlooker_tests::http::{Connection, Target, get};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::require::{Need, agent_program, say};
use onlooker_tests::servers::{Nginx, NginxOptions, Server};
use onlooker_tests::{process, wait};
use std::io::Read;
use std::process::Command;
use std::time::Duration;

fn agent(hooks: &'static str) -> Agent {
    let options = Options {
        hooks: Some(hooks),
        spans: true,
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// All probes are attached once it is ready, each by an alternative that it names, and `/readyz` says so. (How long that takes
/// the benchmark `start` measures.)
#[test]
fn ready_with_all_probes() {
    need!(Need::Agent);
    let _alone = alone();
    for hooks in hooks().iter().copied().chain(["auto"]) {
        let agent = agent(hooks);
        say(&format!("--capture.hooks={hooks}: ready after {:?}", agent.ready_after));
        let scrape = agent.scrape().unwrap();
        let probes: Vec<_> = scrape.select("onlooker_probe_attached", &[]).collect();
        assert!(!probes.is_empty(), "{hooks}");
        for probe in probes {
            say(&format!("{hooks}: {probe:?}"));
            assert_ne!(probe.label("probe"), "", "{hooks}");
        }
        let attached = scrape
            .select("onlooker_probe_attached", &[])
            .filter(|probe| probe.value == 1.0)
            .count();
        assert!(attached > 0, "{hooks}");
    }
}

/// The capture that was asked for is the one attached.
#[test]
fn hooks_are_chosen() {
    need!(Need::Agent);
    let _alone = alone();
    let alternatives = |hooks| {
        let scrape = agent(hooks).scrape().unwrap();
        let mut names: Vec<String> = scrape
            .select("onlooker_probe_attached", &[])
            .filter(|probe| probe.value == 1.0)
            .map(|probe| format!("{} {}", probe.label("probe"), probe.label("alternative")))
            .collect();
        names.sort();
        names
    };
    if hooks().len() < 2 {
        say("this kernel has one way to capture");
        return;
    }
    let (socket, syscall) = (alternatives("socket"), alternatives("syscall"));
    assert_ne!(socket, syscall);
    assert!(socket.iter().any(|name| name.contains("sock_")), "{socket:?}");
    assert!(syscall.iter().any(|name| name.contains("sys_exit")), "{syscall:?}");
}

/// A new service is on `/metrics` within two seconds of its first answer.
#[test]
fn seen_within_two_seconds() {
    need!(Need::Agent);
    let _alone = alone();
    for &hooks in hooks() {
        let agent = agent(hooks);
        let server = Server::raw("fresh", "127.0.0.1").unwrap();
        get(&server.target, "/ok", &[]).unwrap();
        wait::until("the service on /metrics", Duration::from_secs(2), || {
            let scrape = agent.scrape()?;
            let labels = [("service_name", server.service.as_str())];
            let count = scrape.sum("http_server_request_duration_seconds_count", &labels);
            anyhow::ensure!(count == 1.0, "count {count}");
            Ok(())
        })
        .unwrap();
    }
}

/// A connection that was opened, and used, before the agent started is seen from its next request on, at both ends.
#[test]
fn older_connections() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("python3"));
    let _alone = alone();
    for &hooks in hooks() {
        let server = Server::start(onlooker_tests::servers::Kind::PythonStdlib, "older").unwrap();
        let nginx = Nginx::start("oldernginx", &NginxOptions::default()).unwrap();
        let mut to_server = Connection::open(&server.target).unwrap();
        let mut to_nginx = Connection::open(&nginx.server.target).unwrap();
        to_server.exchange("GET", "/ok/before", b"").unwrap();
        to_nginx.exchange("GET", "/ok/before", b"").unwrap();
        let agent = agent(hooks);
        for n in 0..5 {
            to_server.exchange("GET", &format!("/ok/after{n}"), b"").unwrap();
            to_nginx.exchange("GET", &format!("/ok/after{n}"), b"").unwrap();
        }
        let after = |server: &Server| -> Vec<_> {
            let log = server.log.wait(6).unwrap();
            log.into_iter().filter(|line| line.path.contains("after")).collect()
        };
        expect_of(&agent, &server.service, Role::Server, &after(&server)).unwrap();
        expect_of(&agent, &nginx.server.service, Role::Server, &after(&nginx.server)).unwrap();
    }
}

/// An agent that starts in the middle of an exchange invents nothing about it and is right about the next one.
#[test]
fn starts_in_the_middle() {
    need!(Need::Agent);
    let _alone = alone();
    for &hooks in hooks() {
        let server = Server::raw("middle", "127.0.0.1").unwrap();
        let mut connection = Connection::open(&server.target).unwrap();
        // The body looks like a request, and the part that the agent sees begins in the middle of it.
        let body = "GET /inside HTTP/1.1\r\nHost: inside\r\n\r\n";
        let head = format!(
            "POST /echo/cut HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.send(format!("{head}{}", &body[..15]).as_bytes()).unwrap();
        let agent = agent(hooks);
        connection.send(&body.as_bytes()[15..]).unwrap();
        assert_eq!(connection.response("POST").unwrap().body, body.as_bytes());
        drop(connection);
        let mut next = Connection::open(&server.target).unwrap();
        next.exchange("GET", "/ok/next", b"").unwrap();
        let labels = [("service_name", server.service.as_str())];
        wait::until("the next exchange", wait::SOON, || {
            agent.settle()?;
            let spans = agent.spans(&server.service, "SERVER");
            anyhow::ensure!(spans.iter().any(|span| span.path() == "/ok/next"), "{spans:?}");
            Ok(())
        })
        .unwrap();
        for span in agent.spans(&server.service, "SERVER") {
            assert!(!span.path().contains("inside"), "{hooks}: {span:?}");
        }
        let count = agent
            .scrape()
            .unwrap()
            .sum("http_server_request_duration_seconds_count", &labels);
        assert!(count <= 2.0, "{hooks}: {count}");
    }
}

/// `kill -9` leaves no program, map or pin behind.
#[test]
fn kill_leaves_nothing() {
    need!(Need::Agent, Need::Program("bpftool"));
    let _alone = alone();
    for &hooks in hooks() {
        let before = Loaded::now().unwrap();
        let mut agent = agent(hooks);
        let own = Loaded::now().unwrap().without(&before);
        assert!(!own.programs.is_empty() && !own.maps.is_empty(), "{hooks}: {own:?}");
        agent.program.signal(libc::SIGKILL);
        agent.program.wait(wait::SOON).unwrap();
        Loaded::expect_nothing_since(&before).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        if mounts.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf")) {
            let pins = std::fs::read_dir("/sys/fs/bpf").unwrap().map_while(Result::ok);
            let ours: Vec<_> = pins
                .filter(|entry| entry.file_name().to_string_lossy().contains("onlooker"))
                .collect();
            assert!(ours.is_empty(), "{ours:?}");
        }
    }
}

/// SIGTERM and SIGINT end it in good order, with what was captured last still exported.
#[test]
fn orderly_end() {
    need!(Need::Agent, Need::Program("bpftool"));
    let _alone = alone();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let before = Loaded::now().unwrap();
        let mut agent = agent("auto");
        let server = Server::raw("last", "127.0.0.1").unwrap();
        for n in 0..50 {
            get(&server.target, &format!("/ok/{n}"), &[]).unwrap();
        }
        server.log.wait(50).unwrap();
        agent.program.signal(signal);
        let status = agent.program.wait(wait::SOON).unwrap();
        assert!(status.success(), "{status}: {}", agent.program.stderr());
        wait::until("the last spans", wait::SOON, || {
            let have = agent.spans(&server.service, "SERVER").len();
            anyhow::ensure!(have == 50, "{have} of 50");
            Ok(())
        })
        .unwrap();
        Loaded::expect_nothing_since(&before).unwrap();
    }
}

/// `/`, `/healthz`, `/readyz`, `/metrics` answer, other paths are 404, other methods are refused.
#[test]
fn web_surface() {
    need!(Need::Agent);
    let _alone = alone();
    let mut agent = agent("auto");
    for (path, status) in [
        ("/", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/metrics/", 404),
        ("/nothing", 404),
        ("/../etc/passwd", 404),
    ] {
        assert_eq!(agent.get(path, &[]).unwrap().status, status, "{path}");
    }
    let mut connection = Connection::open(&agent.web).unwrap();
    let refused = connection.exchange("DELETE", "/metrics", b"").unwrap();
    assert_eq!(refused.status, 405);
    agent.check().unwrap();
}

/// Text 0.0.4 by default, OpenMetrics where it is asked for, gzip where it is accepted; all say the same families.
#[test]
fn formats() {
    need!(Need::Agent);
    let _alone = alone();
    let agent = agent("auto");
    let server = Server::raw("formats", "127.0.0.1").unwrap();
    get(&server.target, "/ok", &[]).unwrap();
    let log = server.log.wait(1).unwrap();
    expect_metrics(&agent, &server.service, Role::Server, &log).unwrap();
    let text = agent
        .get("/metrics", &[("Accept", "text/plain;version=0.0.4")])
        .unwrap();
    let kind = text.head.field("content-type").unwrap().to_string();
    assert!(
        kind.starts_with("text/plain") && kind.contains("version=0.0.4"),
        "{kind}"
    );
    assert!(!text.text().contains("# EOF"));
    let accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.2";
    let open = agent.get("/metrics", &[("Accept", accept)]).unwrap();
    let kind = open.head.field("content-type").unwrap().to_string();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(open.text().ends_with("# EOF\n"));
    let zipped = agent.get("/metrics", &[("Accept-Encoding", "gzip")]).unwrap();
    assert_eq!(zipped.head.field("content-encoding"), Some("gzip"));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(zipped.body.as_slice())
        .read_to_string(&mut plain)
        .unwrap();
    for body in [text.text(), open.text(), plain] {
        let scrape = Scrape::parse(&body).unwrap();
        let labels = [
            ("service_name", server.service.as_str()),
            ("http_request_method", "GET"),
            ("http_response_status_code", "200"),
            ("network_protocol_version", "1.1"),
            ("url_scheme", "http"),
        ];
        let name = "http_server_request_duration_seconds";
        assert_eq!(scrape.sum(&format!("{name}_count"), &labels), 1.0);
        let infinite: f64 = scrape
            .select(&format!("{name}_bucket"), &labels)
            .filter(|sample| sample.label("le") == "+Inf")
            .map(|sample| sample.value)
            .sum();
        assert_eq!(infinite, 1.0);
        assert_eq!(scrape.types[name], "histogram");
        // The boundaries of the semantic conventions.
        let mut bounds: Vec<f64> = scrape
            .select(&format!("{name}_bucket"), &labels)
            .filter_map(|sample| sample.label("le").parse().ok())
            .filter(|bound: &f64| bound.is_finite())
            .collect();
        bounds.sort_by(f64::total_cmp);
        assert_eq!(
            bounds,
            [
                0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0
            ]
        );
    }
}

/// promtool, where it is installed, finds nothing to object to.
#[test]
fn promtool_agrees() {
    need!(Need::Agent, Need::Program("promtool"));
    let _alone = alone();
    let agent = agent("auto");
    let server = Server::raw("lint", "127.0.0.1").unwrap();
    get(&server.target, "/ok", &[]).unwrap();
    agent.settle().unwrap();
    let text = agent.get("/metrics", &[]).unwrap().body;
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &text).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let result = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(file)
        .output()
        .unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}

/// More scrapes at once than allowed are refused with 503, and the next is served again.
#[test]
fn scrape_limit() {
    need!(Need::Agent);
    let _alone = alone();
    let options = Options {
        args: vec!["--web.max-requests=2".into()],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    // Scrapes in flight end quickly, so many threads ask until one is refused.
    let refused = std::sync::atomic::AtomicBool::new(false);
    wait::until_true("a refused scrape", wait::SOON, || {
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    let status = agent.get("/metrics", &[]).unwrap().status;
                    assert!(status == 200 || status == 503, "{status}");
                    if status == 503 {
                        refused.store(true, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        refused.load(std::sync::atomic::Ordering::Relaxed)
    })
    .unwrap();
    assert_eq!(agent.get("/metrics", &[]).unwrap().status, 200);
}

/// For every kind of event, what was seen is delivered, lost with a reason, or on its way, at any moment of a load.
#[test]
fn events_balance() {
    need!(Need::Agent);
    let _alone = alone();
    let count = u64::from(wait::eased(5000));
    for &hooks in hooks() {
        let agent = agent(hooks);
        let server = Server::raw("balance", "127.0.0.1").unwrap();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| onlooker_tests::load::get_many(&server.target, 4, count, &["/ok"]).unwrap());
            while !load.is_finished() {
                balanced(&agent);
            }
        });
        balanced(&agent);
        let seen = agent
            .scrape()
            .unwrap()
            .sum("onlooker_events_seen_total", &[("kind", "payload")]);
        assert!(seen >= 2.0 * count as f64, "{hooks}: {seen}");
    }
}

fn balanced(agent: &Agent) {
    let scrape = agent.scrape().unwrap();
    for sample in scrape.select("onlooker_events_seen_total", &[]) {
        let labels = [("kind", sample.label("kind"))];
        let sum = [
            "onlooker_events_delivered_total",
            "onlooker_events_lost_total",
            "onlooker_events_pending",
        ]
        .map(|name| scrape.sum(name, &labels));
        assert_eq!(
            sum.iter().sum::<f64>(),
            sample.value,
            "{} {labels:?} {sum:?}",
            agent.hooks
        );
    }
}

/// The port that is taken, an unknown flag and a wrong value each end the start with one clear message.
#[test]
fn bad_starts() {
    need!(Need::Agent);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = format!("--web.listen-address=127.0.0.1:{port}");
    for (arg, word) in [
        (taken.as_str(), port.to_string()),
        ("--capture.hook=socket", "capture.hooks".to_string()),
        ("--capture.hooks=nonsense", "nonsense".to_string()),
        ("--config.file=/nonexistent.toml", "/nonexistent.toml".to_string()),
    ] {
        let result = Command::new(agent_program().unwrap())
            .args(["run", "--summary=never", arg])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(!result.status.success(), "{arg}");
        assert!(said.contains(&word), "{arg}: {said}");
        assert!(!said.contains("panicked"), "{arg}: {said}");
    }
}

/// Listens on loopback unless told otherwise.
#[test]
fn loopback_by_default() {
    need!(Need::Agent);
    let _alone = alone();
    let help = process::output({
        let mut command = Command::new(agent_program().unwrap());
        command.args(["run", "--help"]);
        command
    })
    .unwrap();
    assert!(help.contains("127.0.0.1"), "{help}");
    let agent = agent("auto");
    let Target::Tcp(addr) = &agent.web else {
        unreachable!("the agent listens on TCP")
    };
    assert!(addr.ip().is_loopback());
}
