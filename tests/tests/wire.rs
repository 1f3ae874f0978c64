//! HTTP/1.x as it can be on the wire, between a raw server and a raw client that are services of their own. Both ends' spans
//! and metrics must be what both ends' own notes say.

use onlooker_tests::agent::shared;
use onlooker_tests::case::{Role, expect, expect_body_sizes, expect_durations, expect_metrics};
use onlooker_tests::http::{Target, request};
use onlooker_tests::need;
use onlooker_tests::outcome::{get, plain, run, run_at, text};
use onlooker_tests::process::{output, unique};
use onlooker_tests::require::{Need, which};
use onlooker_tests::servers::Server;
use onlooker_tests::steps::Step;
use onlooker_tests::truth::Request;
use onlooker_tests::wait;
use std::process::Command;

/// Requests over one kept connection are exchanges of their own, and the idle time between them is part of none.
#[test]
fn keep_alive_with_idle_gaps() {
    need!(Need::Agent);
    let mut steps = Vec::new();
    for n in 0..4 {
        steps.extend(get(&format!("/ok/{n}")));
        steps.push(Step::Pause(300));
    }
    let outcome = run(&steps, 4);
    outcome.expect_both();
    outcome.each_span(|what, span| assert!(span.seconds < 0.25, "{what}: {} s", span.seconds));
}

/// Several requests in one write, answered one after the other.
#[test]
fn pipelining() {
    need!(Need::Agent);
    let all: String = (0..20).map(|n| plain("GET", &format!("/ok/{n}"))).collect();
    let mut steps = vec![Step::Send(all)];
    steps.extend((0..20).map(|_| Step::Response("GET".into())));
    run(&steps, 20).expect_both();
}

/// Pipelined requests of different methods and bodies, cut into writes at places that have nothing to do with messages.
#[test]
fn pipelining_cut_anywhere() {
    need!(Need::Agent);
    let mut all = String::new();
    let mut methods = Vec::new();
    for n in 0..10 {
        all += &plain("HEAD", &format!("/ok/head{n}"));
        all += &text(request("POST", &format!("/echo/{n}"), &[], &vec![b'G'; n * 37]));
        all += &plain("GET", &format!("/status/{}", [204, 304, 404, 500, 200][n % 5]));
        methods.extend(["HEAD", "POST", "GET"]);
    }
    for piece in [7, 61, 1000] {
        let mut steps = vec![Step::SendPieces {
            text: all.clone(),
            piece,
            pause_ms: 0,
        }];
        steps.extend(methods.iter().map(|method| Step::Response((*method).into())));
        run(&steps, 30).expect_both();
    }
}

/// Heads that come one byte a call, in both directions.
#[test]
fn heads_byte_by_byte() {
    need!(Need::Agent);
    let mut steps = Vec::new();
    for n in 0..3 {
        steps.push(Step::SendPieces {
            text: plain("GET", &format!("/split/{n}")),
            piece: 1,
            pause_ms: 0,
        });
        steps.push(Step::Response("GET".into()));
    }
    let outcome = run(&steps, 3);
    outcome.expect_both();
    expect_body_sizes(&outcome.server.service, Role::Server, &outcome.log);
}

/// A request whose head takes its time: the duration runs from its first byte.
#[test]
fn slow_head() {
    need!(Need::Agent);
    let steps = [
        Step::SendPieces {
            text: plain("GET", "/ok/slow"),
            piece: 5,
            pause_ms: 30,
        },
        Step::Response("GET".into()),
    ];
    let outcome = run(&steps, 1);
    outcome.expect_both();
    assert!(outcome.log[0].seconds.unwrap() > 0.15);
    expect_durations(&outcome.server.service, Role::Server, &outcome.log, 0.02);
}

/// A head beyond what is captured still has its method, path and status.
#[test]
fn long_heads() {
    need!(Need::Agent);
    let mut steps = Vec::new();
    for (n, length) in [3_000, 8_200, 20_000, 60_000].into_iter().enumerate() {
        let cookie = "c".repeat(length);
        let head = request("GET", &format!("/ok/long{n}"), &[("Cookie", &cookie)], b"");
        steps.push(Step::Send(text(head)));
        steps.push(Step::Response("GET".into()));
        steps.extend(get(&format!("/ok/after{n}")));
    }
    run(&steps, 8).expect_both();
}

/// `100 Continue` and `103 Early Hints` are no answers, a refusal of the expectation is one.
#[test]
fn interim_responses() {
    need!(Need::Agent);
    let expecting = |path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        Step::Send(head)
    };
    let mut steps = vec![
        expecting("/echo/expect"),
        Step::Read("HTTP/1.1 100 Continue\r\n\r\n".len()),
        Step::Send("body".into()),
        Step::Response("POST".into()),
    ];
    steps.extend(get("/hints"));
    steps.extend([expecting("/refuse"), Step::Response("POST".into())]);
    steps.extend(get("/ok/after"));
    let outcome = run(&steps, 4);
    assert_eq!(outcome.statuses(), [200, 200, 417, 200]);
    assert_eq!(outcome.answers[1].interim, [103]);
    outcome.expect_both();
}

/// Answers without a body although they announce or allow one: the next exchange on the connection is found.
#[test]
fn head_204_304() {
    need!(Need::Agent);
    let mut steps = Vec::new();
    for n in 0..3 {
        steps.extend(Step::exchange("HEAD", &format!("/bytes/{}", 5000 + n), ""));
        steps.extend(get("/status/204"));
        steps.extend(get("/status/304"));
        steps.extend(get(&format!("/ok/{n}")));
    }
    let outcome = run(&steps, 12);
    outcome.expect_both();
    outcome.each_span(|what, span| {
        if span.method() == "HEAD" {
            assert!(matches!(span.int("http.response.body.size"), None | Some(0)), "{what}");
        }
    });
}

/// Chunked bodies in both directions: one call, many calls, chunk extensions and trailers.
#[test]
fn chunked() {
    need!(Need::Agent);
    let head = "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "5;name=\"v;0\"\r\nhello\r\n10\r\nGET / HTTP/1.1\r\n\r\n0\r\nTrailer: x\r\n\r\n";
    let mut steps = vec![
        Step::Send(format!("POST /echo/one HTTP/1.1\r\n{head}{chunks}")),
        Step::Response("POST".into()),
        Step::SendPieces {
            text: format!("POST /echo/many HTTP/1.1\r\n{head}{chunks}"),
            piece: 3,
            pause_ms: 0,
        },
        Step::Response("POST".into()),
    ];
    steps.extend(get("/chunked"));
    steps.extend(get("/stream/20/1"));
    steps.extend(get("/ok/after"));
    let outcome = run(&steps, 5);
    assert_eq!(outcome.statuses(), [200; 5]);
    outcome.expect_both();
    expect_body_sizes(&outcome.server.service, Role::Server, &outcome.log);
}

/// After `101 Switching Protocols` the exchange is over and the connection is left alone, even if HTTP comes along it.
#[test]
fn upgrade() {
    need!(Need::Agent);
    let inside = plain("GET", "/inside");
    let head = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let steps = [
        Step::Send(head.into()),
        Step::Response("GET".into()),
        Step::Pause(300),
        Step::Send(inside.clone()),
        Step::Read(inside.len()),
        Step::Close,
    ];
    let outcome = run(&steps, 1);
    assert_eq!(outcome.statuses(), [101]);
    outcome.expect_both();
    outcome.each_span(|what, span| assert!(span.seconds < 0.25, "{what}: {} s", span.seconds));
}

/// A tunnel by `CONNECT` is one exchange; what goes through it is not looked at.
#[test]
fn connect() {
    need!(Need::Agent);
    let inside = plain("GET", "/inside");
    let steps = [
        Step::Send("CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n".into()),
        Step::Response("CONNECT".into()),
        Step::Send(inside.clone()),
        Step::Read(inside.len()),
        Step::Close,
    ];
    let outcome = run(&steps, 1);
    for agent in shared() {
        expect_metrics(agent, &outcome.server.service, Role::Server, &outcome.log).unwrap();
        expect_metrics(agent, &outcome.client, Role::Client, &outcome.log).unwrap();
    }
}

/// Any method token and every form of the request target.
#[test]
fn methods_and_targets() {
    need!(Need::Agent);
    let mut steps = Vec::new();
    for method in [
        "TRACE",
        "PROPFIND",
        "MKCOL",
        "REPORT",
        "M-SEARCH",
        "PURGE",
        "X!#$%&'*+.^_`|~9",
    ] {
        steps.extend(Step::exchange(method, &format!("/ok/{}", method.len()), ""));
    }
    steps.extend(Step::exchange("OPTIONS", "*", ""));
    steps.extend(get("http://example.test:8080/ok/absolute?q=1"));
    steps.extend(get("/ok/query?a=b&c=/d/e"));
    let outcome = run(&steps, 10);
    assert_eq!(outcome.statuses(), [200; 10]);
    expect(&outcome.server.service, Role::Server, &outcome.log);
    // The target URI of `*` is the authority without a path (RFC 9110, 7.1): that is what `url.full` of a client can say.
    let truth: Vec<Request> = outcome
        .log
        .iter()
        .map(|request| match request.path.as_str() {
            "*" => Request::new(&request.method, "", request.status),
            _ => request.clone(),
        })
        .collect();
    expect(&outcome.client, Role::Client, &truth);
}

/// A body that ends with the connection is whole, and its size is known.
#[test]
fn close_delimited() {
    need!(Need::Agent);
    let outcome = run(
        &[Step::Send(plain("GET", "/close/70000")), Step::Response("GET".into())],
        1,
    );
    assert_eq!(outcome.answers[0].body_bytes, 70_000);
    outcome.expect_both();
    expect_body_sizes(&outcome.server.service, Role::Server, &outcome.log);
    outcome.each_span(|what, span| assert_eq!(span.text("error.type"), "", "{what}"));
}

/// A slow stream of events: the duration is that of the stream, the time to first byte that of its head.
#[test]
fn slow_stream() {
    need!(Need::Agent);
    let outcome = run(&get("/stream/10/40"), 1);
    outcome.expect_both();
    assert!(outcome.log[0].seconds.unwrap() >= 0.4);
    expect_durations(&outcome.server.service, Role::Server, &outcome.log, 0.01);
    for agent in shared() {
        let scrape = agent.scrape().unwrap();
        let labels = [("service_name", outcome.server.service.as_str())];
        let name = "onlooker_http_server_time_to_first_byte_seconds";
        assert_eq!(scrape.sum(&format!("{name}_count"), &labels), 1.0, "{}", agent.hooks);
        let reported = scrape.sum(&format!("{name}_sum"), &labels);
        let truth = outcome.log[0].first_byte_seconds.unwrap();
        assert!(
            (reported - truth).abs() < 0.01 * f64::from(wait::slow()),
            "{}: {reported} s, truth {truth} s",
            agent.hooks
        );
    }
}

/// Durations of both ends of 300 exchanges, each against that end's own measure.
#[test]
fn durations_of_both_ends() {
    need!(Need::Agent);
    let steps: Vec<Step> = (0..300).flat_map(|n| get(&format!("/sleep/2/{n}"))).collect();
    let outcome = run(&steps, 300);
    outcome.expect_both();
    expect_durations(&outcome.server.service, Role::Server, &outcome.log, 0.000_3);
    let mut client = outcome.log.clone();
    for (request, answer) in client.iter_mut().zip(&outcome.answers) {
        request.seconds = Some(answer.seconds);
    }
    expect_durations(&outcome.client, Role::Client, &client, 0.000_3);
}

/// An upload of megabytes is counted, not copied: its size and the exchange after it are right.
#[test]
fn large_upload() {
    need!(Need::Agent);
    // The arguments of a process are bounded, so the steps are run by the test itself and only the server is compared.
    shared();
    let server = Server::raw("upload", "127.0.0.1").unwrap();
    let steps: Vec<Step> = [
        Step::exchange("POST", "/echo/large", &"u".repeat(5_000_000)),
        Step::exchange("POST", "/echo/small", "u"),
    ]
    .concat();
    onlooker_tests::steps::run(&server.target, &steps).unwrap();
    let log = server.log.wait(2).unwrap();
    expect(&server.service, Role::Server, &log);
    expect_body_sizes(&server.service, Role::Server, &log);
}

/// TCP over IPv6.
#[test]
fn ipv6() {
    need!(Need::Agent, Need::Ipv6);
    let steps: Vec<Step> = (0..10).flat_map(|n| get(&format!("/ok/{n}"))).collect();
    run_at(Server::raw("six", "[::1]").unwrap(), &steps, 10).expect_both();
}

/// Unix stream sockets between raw programs.
#[test]
fn unix() {
    need!(Need::Agent);
    let path = std::env::temp_dir().join(format!("{}.sock", unique("onlooker-test")));
    let steps: Vec<Step> = (0..10).flat_map(|n| get(&format!("/ok/{n}"))).collect();
    run_at(Server::raw_at("unix", Target::Unix(path)).unwrap(), &steps, 10).expect_both();
}

/// Unix stream sockets between Python and curl.
#[test]
fn unix_python_curl() {
    need!(Need::Agent, Need::Program("python3"), Need::Program("curl"));
    shared();
    let server = Server::python_unix("unixpython").unwrap();
    let Target::Unix(path) = &server.target else {
        unreachable!("it was started on a Unix socket")
    };
    let client = unique("curl");
    for status in [200, 404, 503] {
        let mut command = Command::new(which("curl").unwrap());
        command
            .args(["-s", "-o", "/dev/null", "--unix-socket"])
            .arg(path)
            .arg(format!("http://test.local/status/{status}"))
            .env("OTEL_SERVICE_NAME", &client);
        output(command).unwrap();
    }
    let log = server.log.wait(3).unwrap();
    expect(&server.service, Role::Server, &log);
    expect(&client, Role::Client, &log);
}

/// The histograms of body sizes hold exactly what was sent, on both ends, and reach 64 MiB.
#[test]
fn body_size_metrics() {
    need!(Need::Agent);
    let lengths = [1usize, 100, 5000];
    let steps: Vec<Step> = lengths
        .iter()
        .flat_map(|length| Step::exchange("POST", "/echo", &"b".repeat(*length)))
        .collect();
    let outcome = run(&steps, 3);
    outcome.expect_both();
    for agent in shared() {
        let scrape = agent.scrape().unwrap();
        for (service, role) in [(&outcome.server.service, Role::Server), (&outcome.client, Role::Client)] {
            for what in ["request", "response"] {
                let name = format!("{}_{what}_body_size_bytes", role.prefix());
                let labels = [("service_name", service.as_str())];
                let sum = scrape.sum(&format!("{name}_sum"), &labels);
                let count = scrape.sum(&format!("{name}_count"), &labels);
                assert_eq!((sum, count), (5101.0, 3.0), "{} {name}", agent.hooks);
                let largest = scrape
                    .select(&format!("{name}_bucket"), &labels)
                    .filter_map(|sample| sample.label("le").parse().ok())
                    .filter(|bound: &f64| bound.is_finite())
                    .fold(0.0, f64::max);
                assert_eq!(largest, 67_108_864.0, "{} {name}", agent.hooks);
            }
        }
    }
}

/// A request that is not yet answered is open, and no longer when its connection is gone.
#[test]
fn active_requests() {
    need!(Need::Agent);
    shared();
    let server = Server::raw("active", "127.0.0.1").unwrap();
    let open = |want: f64| {
        for agent in shared() {
            onlooker_tests::wait::until("open requests", onlooker_tests::wait::SOON, || {
                let labels = [("service_name", server.service.as_str())];
                let open = agent.scrape()?.sum("http_server_active_requests", &labels);
                anyhow::ensure!(open == want, "{}: {open} instead of {want}", agent.hooks);
                Ok(())
            })
            .unwrap();
        }
    };
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut connection = onlooker_tests::http::Connection::open(&server.target).unwrap();
        connection.send(&request("GET", "/hang", &[], b"")).unwrap();
        connections.push(connection);
    }
    open(3.0);
    connections.pop();
    open(2.0);
    drop(connections);
    open(0.0);
}
