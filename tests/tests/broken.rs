//! Exchanges that do not go as they should: what is not known is not invented, and both ends say what went wrong.

use onlooker_tests::agent::shared;
use onlooker_tests::case::{Role, expect};
use onlooker_tests::need;
use onlooker_tests::outcome::{plain, run};
use onlooker_tests::process::unique;
use onlooker_tests::require::Need;
use onlooker_tests::servers::{Server, ask};
use onlooker_tests::steps::Step;
use onlooker_tests::truth::Request;

/// An answer before the body was sent whole has its status, once.
#[test]
fn early_response() {
    need!(Need::Agent);
    let head = "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n";
    let steps = [
        Step::Send(head.into()),
        Step::Response("POST".into()),
        Step::Send("x".repeat(20_000)),
        Step::Close,
    ];
    let outcome = run(&steps, 1);
    assert_eq!(outcome.statuses(), [413]);
    outcome.expect_both();
}

/// A client that gives up: no status on either end, and both say why.
#[test]
fn client_abort() {
    need!(Need::Agent);
    for end in [Step::Close, Step::Reset] {
        let steps = [Step::Send(plain("GET", "/hang")), Step::Pause(50), end];
        let outcome = run(&steps, 1);
        assert_eq!(outcome.log[0].status, None);
        outcome.expect_both();
        outcome.each_span(|what, span| {
            assert_eq!(span.status(), None, "{what}");
            assert_ne!(span.text("error.type"), "", "{what}");
        });
    }
}

/// A server that closes without an answer: no status is invented.
#[test]
fn no_answer() {
    need!(Need::Agent);
    let steps = [Step::Send(plain("GET", "/silent")), Step::ReadToEnd];
    let outcome = run(&steps, 1);
    outcome.expect_both();
    outcome.each_span(|what, span| assert_ne!(span.text("error.type"), "", "{what}"));
}

/// A server that dies in the middle of a body: the status that was sent, and an error on both ends.
#[test]
fn server_crash() {
    need!(Need::Agent);
    shared();
    let mut server = Server::raw("crash", "127.0.0.1").unwrap();
    let client = unique("client");
    let steps = [Step::Send(plain("GET", "/crash")), Step::ReadToEnd];
    ask(&client, &server.target, &steps).unwrap();
    server.program.wait(onlooker_tests::wait::SOON).unwrap();
    let truth = [Request::new("GET", "/crash", Some(200))];
    expect(&server.service, Role::Server, &truth);
    expect(&client, Role::Client, &truth);
    for agent in shared() {
        for (service, kind) in [(&server.service, "SERVER"), (&client, "CLIENT")] {
            let span = &agent.spans(service, kind)[0];
            assert_ne!(span.text("error.type"), "", "{} {kind}", agent.hooks);
        }
    }
}

/// A body that ends before its announced length: the status that was sent, and an error on both ends.
#[test]
fn short_body() {
    need!(Need::Agent);
    let outcome = run(&[Step::Send(plain("GET", "/short")), Step::ReadToEnd], 1);
    outcome.expect_both();
    outcome.each_span(|what, span| assert_ne!(span.text("error.type"), "", "{what}"));
}

/// An answer that is not HTTP: no status, an error.
#[test]
fn garbage_answer() {
    need!(Need::Agent);
    let outcome = run(&[Step::Send(plain("GET", "/garbage")), Step::ReadToEnd], 1);
    assert_eq!(outcome.log[0].status, None);
    outcome.expect_both();
    outcome.each_span(|what, span| assert_ne!(span.text("error.type"), "", "{what}"));
}

/// A client that finishes sending and then reads has a whole answer and no error.
#[test]
fn half_close() {
    need!(Need::Agent);
    let steps = [
        Step::Send(plain("GET", "/late/50")),
        Step::FinishSending,
        Step::Response("GET".into()),
    ];
    let outcome = run(&steps, 1);
    assert_eq!(outcome.statuses(), [200]);
    outcome.expect_both();
    outcome.each_span(|what, span| assert_eq!(span.text("error.type"), "", "{what}"));
}
