//! Traces: whose child a span is, what it carries, and how it leaves by OTLP.

use onlooker_tests::agent::{Agent, Options, Span, alone, shared};
use onlooker_tests::case::{Role, expect, expect_metrics};
use onlooker_tests::http::get;
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::otlp::{Receiver, attribute};
use onlooker_tests::process::unique;
use onlooker_tests::require::Need;
use onlooker_tests::servers::{Kind, Server, ask};
use onlooker_tests::steps::Step;
use onlooker_tests::wait;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn with_context(path: &str, flags: &str) -> Vec<Step> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: vendor=value\r\n\r\n"
    );
    vec![Step::Send(head), Step::Response("GET".into())]
}

/// A `traceparent` that came with the request is the parent of the server's span; ids are well-formed and no two the same.
#[test]
fn traceparent_is_honoured() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("context", "127.0.0.1").unwrap();
    let client = unique("client");
    ask(&client, &server.target, &with_context("/ok", "01")).unwrap();
    let log = server.log.wait(1).unwrap();
    expect(&server.service, Role::Server, &log);
    expect(&client, Role::Client, &log);
    for agent in shared() {
        let own = &agent.spans(&server.service, "SERVER")[0];
        let asking = &agent.spans(&client, "CLIENT")[0];
        for span in [own, asking] {
            assert_eq!(span.trace_id, TRACE, "{}", agent.hooks);
            assert_eq!(span.span_id.len(), 16, "{}", agent.hooks);
        }
        assert_ne!(own.span_id, asking.span_id, "{}", agent.hooks);
        // Either the header's span, or the client span of the same host, whose parent then is the header's.
        let parents = [PARENT, asking.span_id.as_str()];
        assert!(parents.contains(&own.parent_id.as_str()), "{}: {own:?}", agent.hooks);
    }
}

/// A malformed `traceparent` is no parent.
#[test]
fn malformed_traceparent_is_ignored() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("malformed", "127.0.0.1").unwrap();
    let bad = [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "nonsense",
    ];
    for value in bad {
        get(&server.target, "/ok", &[("traceparent", value)]).unwrap();
    }
    let log = server.log.wait(bad.len()).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        for span in agent.spans(&server.service, "SERVER") {
            assert_ne!(span.trace_id.to_lowercase(), TRACE, "{}", agent.hooks);
            assert_ne!(span.parent_id, PARENT, "{}", agent.hooks);
            assert_ne!(span.trace_id, "0".repeat(32), "{}", agent.hooks);
        }
    }
}

/// The client's and the server's span of one exchange are parent and child although no header says so, for each of many
/// exchanges on one connection.
#[test]
fn both_ends_are_joined() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("joined", "127.0.0.1").unwrap();
    let client = unique("client");
    let steps: Vec<Step> = (0..50)
        .flat_map(|n| Step::exchange("GET", &format!("/ok/{n}"), ""))
        .collect();
    ask(&client, &server.target, &steps).unwrap();
    let log = server.log.wait(50).unwrap();
    expect(&server.service, Role::Server, &log);
    expect(&client, Role::Client, &log);
    for agent in shared() {
        let clients = agent.spans(&client, "CLIENT");
        for span in agent.spans(&server.service, "SERVER") {
            let asking = clients.iter().find(|other| other.path() == span.path()).unwrap();
            assert_eq!(span.trace_id, asking.trace_id, "{} {}", agent.hooks, span.path());
            assert_eq!(span.parent_id, asking.span_id, "{} {}", agent.hooks, span.path());
            assert_eq!(asking.parent_id, "", "{} {}", agent.hooks, span.path());
        }
        let mut traces: Vec<&str> = clients.iter().map(|span| span.trace_id.as_str()).collect();
        traces.sort_unstable();
        traces.dedup();
        assert_eq!(
            traces.len(),
            50,
            "{}: every exchange is a trace of its own",
            agent.hooks
        );
    }
}

/// Both ends of a Unix socket are joined too.
#[test]
fn unix_ends_are_joined() {
    need!(Need::Agent);
    shared();
    let path = std::env::temp_dir().join(format!("{}.sock", unique("onlooker-test")));
    let server = Server::raw_at("joinedunix", onlooker_tests::http::Target::Unix(path)).unwrap();
    let client = unique("client");
    ask(&client, &server.target, &Step::exchange("GET", "/ok", "")).unwrap();
    let log = server.log.wait(1).unwrap();
    expect(&server.service, Role::Server, &log);
    expect(&client, Role::Client, &log);
    for agent in shared() {
        let asking = &agent.spans(&client, "CLIENT")[0];
        let answering = &agent.spans(&server.service, "SERVER")[0];
        assert_eq!(answering.trace_id, asking.trace_id, "{}", agent.hooks);
        assert_eq!(answering.parent_id, asking.span_id, "{}", agent.hooks);
    }
}

/// Calls that a thread makes while it handles a request are children of that request, down a chain of three services, with
/// many requests at the same time.
fn chain(kind: Kind) {
    need!(Need::Agent, kind.need());
    shared();
    let front = Server::start(kind, "front").unwrap();
    let back = Server::raw("back", "127.0.0.1").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (front, back) = (&front, &back);
            scope.spawn(move || {
                for n in 0..10 {
                    let path = format!("/call?url={}/sleep/5/{thread}-{n}", back.url());
                    assert_eq!(get(&front.target, &path, &[]).unwrap().status, 200);
                }
            });
        }
    });
    let log = front.log.wait(40).unwrap();
    let behind = back.log.wait(40).unwrap();
    expect(&front.service, Role::Server, &log);
    expect(&front.service, Role::Client, &behind);
    expect(&back.service, Role::Server, &behind);
    for agent in shared() {
        let handled = agent.spans(&front.service, "SERVER");
        let called = agent.spans(&front.service, "CLIENT");
        let parent_of = |span: &Span, among: &[Span]| {
            let found = among
                .iter()
                .find(|other| other.span_id == span.parent_id && other.trace_id == span.trace_id);
            assert!(found.is_some(), "{}: {span:?} has no parent", agent.hooks);
        };
        for span in &called {
            parent_of(span, &handled);
        }
        for span in agent.spans(&back.service, "SERVER") {
            parent_of(&span, &called);
        }
        let mut parents: Vec<&str> = called.iter().map(|span| span.parent_id.as_str()).collect();
        parents.sort_unstable();
        parents.dedup();
        assert_eq!(
            parents.len(),
            40,
            "{}: every call has a request of its own",
            agent.hooks
        );
    }
}

/// Python's standard library, a thread a connection.
#[test]
fn calls_of_python() {
    chain(Kind::PythonStdlib);
}

/// Flask under werkzeug's threads.
#[test]
fn calls_of_werkzeug() {
    chain(Kind::Werkzeug);
}

/// Flask under gunicorn's pool of threads.
#[test]
fn calls_of_gunicorn() {
    chain(Kind::Gunicorn);
}

/// Spans are named and attributed by OpenTelemetry's conventions.
#[test]
fn conventions() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("conventions", "127.0.0.1").unwrap();
    let client = unique("client");
    let mut steps = Step::exchange("GET", "/ok/12345?secret=1", "");
    steps.extend(Step::exchange("PROPFIND", "/ok", ""));
    ask(&client, &server.target, &steps).unwrap();
    let log = server.log.wait(2).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        let spans = agent.spans(&server.service, "SERVER");
        let span = spans.iter().find(|span| span.method() == "GET").unwrap();
        assert_eq!(span.text("url.scheme"), "http", "{}", agent.hooks);
        assert_eq!(span.text("network.protocol.version"), "1.1", "{}", agent.hooks);
        assert!(span.name.starts_with("GET "), "{}: {}", agent.hooks, span.name);
        let route = span.text("http.route");
        assert!(
            route.starts_with("/ok/") && !route.contains("12345"),
            "{}: {route}",
            agent.hooks
        );
        assert!(!format!("{span:?}").contains("secret"), "{}", agent.hooks);
    }
}

/// OpenMetrics exemplars carry the trace id of a span that exists.
#[test]
fn exemplars() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("exemplar", "127.0.0.1").unwrap();
    for _ in 0..5 {
        get(&server.target, "/ok", &[]).unwrap();
    }
    let log = server.log.wait(5).unwrap();
    expect(&server.service, Role::Server, &log);
    for agent in shared() {
        let accept = [("Accept", "application/openmetrics-text;version=1.0.0")];
        let answer = agent.get("/metrics", &accept).unwrap();
        let scrape = Scrape::parse(&answer.text()).unwrap();
        let labels = [("service_name", server.service.as_str())];
        let exemplars: Vec<&str> = scrape
            .select("http_server_request_duration_seconds_bucket", &labels)
            .filter_map(|sample| sample.exemplar.as_deref())
            .collect();
        assert!(!exemplars.is_empty(), "{}", agent.hooks);
        let spans = agent.spans(&server.service, "SERVER");
        for exemplar in exemplars {
            assert!(
                spans.iter().any(|span| exemplar.contains(&span.trace_id)),
                "{}: {exemplar}",
                agent.hooks
            );
        }
    }
}

/// Spans arrive by OTLP/HTTP in gzip with the headers asked for, also after the receiver refused for a while, and each once.
#[test]
fn otlp_with_refusals() {
    need!(Need::Agent);
    let _alone = alone();
    let receiver = Receiver::start(&[503, 429]).unwrap();
    let options = Options {
        env: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), receiver.endpoint.clone()),
            ("OTEL_EXPORTER_OTLP_HEADERS".into(), "x-test=present".into()),
        ],
        ..Options::default()
    };
    let mut agent = Agent::start(&options).unwrap();
    let server = Server::raw("otlp", "127.0.0.1").unwrap();
    let client = unique("client");
    let steps: Vec<Step> = (0..20)
        .flat_map(|n| Step::exchange("GET", ["/ok", "/status/500"][n % 2], ""))
        .chain(with_context("/ok/context", "01"))
        .collect();
    ask(&client, &server.target, &steps).unwrap();
    server.log.wait(21).unwrap();
    wait::until("spans by OTLP", wait::SOON * 2, || {
        let have = receiver.spans(&server.service).len();
        anyhow::ensure!(have >= 21, "{have} of 21 spans; {:?}", receiver.received().errors);
        Ok(())
    })
    .unwrap();
    let spans = receiver.spans(&server.service);
    assert_eq!(spans.len(), 21, "each once");
    for span in &spans {
        assert_eq!(span.kind, 2, "SPAN_KIND_SERVER");
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        assert!(
            now.abs_diff(span.start_time_unix_nano) < 600_000_000_000,
            "wall-clock time"
        );
        assert!(attribute(&span.attributes, "http.response.status_code").is_some());
    }
    let failed = spans
        .iter()
        .filter(|span| attribute(&span.attributes, "http.response.status_code").as_deref() == Some("500"));
    let errors: Vec<i32> = failed
        .map(|span| span.status.as_ref().map_or(0, |status| status.code))
        .collect();
    assert_eq!(errors, [2; 10], "STATUS_CODE_ERROR");
    let with_state = spans.iter().filter(|span| span.trace_state == "vendor=value").count();
    assert_eq!(with_state, 1);
    {
        let received = receiver.received();
        assert_eq!(received.refused, 2);
        assert!(received.gzip > 0);
        assert!(received.headers.iter().all(|value| value == "present"));
        assert!(received.errors.is_empty(), "{:?}", received.errors);
    }
    agent.check().unwrap();
    assert!(agent.terminate().unwrap().success());
}

/// A receiver that is gone does no harm: the counts stay exact and the agent ends in good order.
#[test]
fn otlp_without_receiver() {
    need!(Need::Agent);
    let _alone = alone();
    let port = onlooker_tests::process::free_port();
    let options = Options {
        env: vec![("OTEL_EXPORTER_OTLP_ENDPOINT".into(), format!("http://127.0.0.1:{port}"))],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let server = Server::raw("gone", "127.0.0.1").unwrap();
    for _ in 0..10 {
        get(&server.target, "/ok", &[]).unwrap();
    }
    let log = server.log.wait(10).unwrap();
    expect_metrics(&agent, &server.service, Role::Server, &log).unwrap();
    assert!(agent.terminate_now().unwrap().success());
}

/// A sampling ratio of 0 leaves only what the caller sampled, and the metrics complete.
#[test]
fn sampling() {
    need!(Need::Agent);
    let _alone = alone();
    let options = Options {
        spans: true,
        env: vec![
            ("OTEL_TRACES_SAMPLER".into(), "parentbased_traceidratio".into()),
            ("OTEL_TRACES_SAMPLER_ARG".into(), "0".into()),
        ],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let server = Server::raw("sampled", "127.0.0.1").unwrap();
    for n in 0..20 {
        get(&server.target, &format!("/ok/{n}"), &[]).unwrap();
    }
    let fields = format!("00-{TRACE}-{PARENT}-01");
    get(&server.target, "/ok/asked", &[("traceparent", &fields)]).unwrap();
    let fields = format!("00-{TRACE}-{PARENT}-00");
    get(&server.target, "/ok/unasked", &[("traceparent", &fields)]).unwrap();
    let log = server.log.wait(22).unwrap();
    expect_metrics(&agent, &server.service, Role::Server, &log).unwrap();
    wait::until_true("the sampled span", wait::SOON, || {
        !agent.spans(&server.service, "SERVER").is_empty()
    })
    .unwrap();
    agent.settle().unwrap();
    let paths: Vec<String> = agent.spans(&server.service, "SERVER").iter().map(Span::path).collect();
    assert_eq!(paths, ["/ok/asked"]);
}
