//! gRPC: what a call looks like, and what its answer means.

use super::server::{Answer, Call, End, Server, send, serve, settings, transport};
use super::*;
use crate::export::otlp::client::{Lookup, Means};
use crate::export::otlp::retry::Outcome;
use crate::export::otlp::status::tests::asks;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use std::sync::Mutex;

fn config<T: OtlpItem>(address: SocketAddr) -> OtlpConfig {
    let endpoint = format!("http://{address}/ignored?k=1");
    let mut config = settings::<T>(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    let quick = super::config(address);
    (config.queue, config.backoff) = (quick.queue, quick.backoff);
    config
}

fn server(answers: Vec<Answer>) -> Server {
    serve(listen().0, true, None, answers)
}

/// Sends one span: what its answer means.
fn outcome_with(answer: Answer, change: impl FnOnce(&mut OtlpConfig)) -> Outcome {
    let server = server(vec![answer]);
    let mut config = config::<Span>(server.address);
    change(&mut config);
    let transport = transport::<Span>(&config, &mut OtlpClients::default());
    runtime().block_on(send(&transport, vec![Span::sample(1)]))
}

fn outcome(answer: Answer) -> Outcome {
    outcome_with(answer, |_| {})
}

/// The message of a call's body.
fn message(call: &Call) -> Vec<u8> {
    let (prefix, packed) = call.body.split_at(5);
    assert_eq!(
        u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize,
        packed.len()
    );
    let mut plain = Vec::new();
    match (prefix[0], call.header("grpc-encoding")) {
        (0, None) => plain.extend_from_slice(packed),
        (1, Some("gzip")) => drop(GzDecoder::new(packed).read_to_end(&mut plain).unwrap()),
        (1, Some("zstd")) => {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).unwrap();
            decoder.read_to_end(&mut plain).unwrap();
        }
        other => panic!("{other:?}"),
    }
    plain
}

fn call_as_the_protocol_wants_it<T: Sample>() {
    let service = match T::SIGNAL {
        OtlpSignal::Traces => "trace.v1.TraceService",
        OtlpSignal::Metrics => "metrics.v1.MetricsService",
        OtlpSignal::Logs => "logs.v1.LogsService",
    };
    for compression in [OtlpCompression::Gzip, OtlpCompression::Zstd, OtlpCompression::None] {
        let server = server(vec![]);
        let mut config = config::<T>(server.address);
        config.compression = compression;
        config.headers.insert("x-tenant", "a".parse().unwrap());
        let sink = run::<T>(config, |sink| (0..300).for_each(|n| sink.accept(T::sample(n))));
        assert_eq!(ledger(&sink.counts()), (300, 0, vec![]));
        let call = server.calls.recv().unwrap();
        assert_eq!(call.version, hyper::Version::HTTP_2);
        assert_eq!(call.path, format!("/opentelemetry.proto.collector.{service}/Export"));
        assert_eq!(
            (
                call.header("content-type"),
                call.header("te"),
                call.header("grpc-timeout")
            ),
            (Some("application/grpc"), Some("trailers"), Some("10000m"))
        );
        assert_eq!(
            (call.header("x-tenant"), call.header("content-encoding")),
            (Some("a"), None)
        );
        assert!(call.header("user-agent").unwrap().contains("onlooker/"));
        assert_eq!(T::count(&message(&call)), 300);
    }
}

#[test]
fn call_of_spans() {
    call_as_the_protocol_wants_it::<Span>();
}

#[test]
fn call_of_records() {
    call_as_the_protocol_wants_it::<LogRecord>();
}

#[test]
fn every_status_is_judged_as_the_specification_says() {
    for code in 0..=17 {
        let text = code.to_string();
        // In trailers, behind a message, and in the head without one.
        let status = [("grpc-status", text.as_str()), ("grpc-message", "so%20%C3%BC%0a")];
        let head = Answer::head(200, &[("content-type", "application/grpc"), status[0], status[1]]);
        let found = outcome(Answer::grpc(&[], &status));
        assert_eq!(outcome(head), found, "{code}");
        match (code, found) {
            (0, Outcome::Accepted { rejected: 0, .. }) => {}
            (1 | 4 | 10 | 11 | 14 | 15, Outcome::Retry { after: None, why }) => {
                assert!(why.ends_with(&format!("({code}): so ü")), "{why}")
            }
            (
                3 | 5..=9 | 16,
                Outcome::Refused {
                    loss: Loss::Refused4xx, ..
                },
            ) => {}
            (
                2 | 12 | 13,
                Outcome::Refused {
                    loss: Loss::Refused5xx, ..
                },
            ) => {}
            (
                17,
                Outcome::Refused {
                    loss: Loss::RefusedOther,
                    ..
                },
            ) => {}
            (_, found) => panic!("{code}: {found:?}"),
        }
    }
    let wrong = outcome(Answer::grpc(&[], &[("grpc-status", "fine")]));
    assert!(
        matches!(
            wrong,
            Outcome::Refused {
                loss: Loss::Refused5xx,
                ..
            }
        ),
        "{wrong:?}"
    );
}

#[test]
fn retry_info_says_when() {
    for (code, details, expect) in [
        (
            "14",
            STANDARD.encode(asks(14, 3, 500_000_000)),
            Some(Duration::from_millis(3500)),
        ),
        (
            "14",
            STANDARD_NO_PAD.encode(asks(14, 7, 0)),
            Some(Duration::from_secs(7)),
        ),
        (
            "8",
            STANDARD_NO_PAD.encode(asks(8, 60, 0)),
            Some(Duration::from_secs(60)),
        ),
        ("14", "!garbage!".to_owned(), None),
        ("14", STANDARD.encode(b"\xff\xff"), None),
    ] {
        let trailers = [("grpc-status", code), ("grpc-status-details-bin", details.as_str())];
        match outcome(Answer::grpc(&[], &trailers)) {
            Outcome::Retry { after, .. } => assert_eq!(after, expect, "{code} {details}"),
            other => panic!("{other:?}"),
        }
    }
    let trailers = [("grpc-status", "8"), ("grpc-status-details-bin", "AA")];
    let exhausted = outcome(Answer::grpc(&[], &trailers));
    assert!(matches!(exhausted, Outcome::Refused { .. }), "for good: {exhausted:?}");
    let known = [
        ("grpc-status", "3"),
        ("grpc-status-details-bin", &STANDARD.encode(asks(3, 1, 0))),
    ];
    let invalid = outcome(Answer::grpc(&[], &known));
    assert!(
        matches!(invalid, Outcome::Refused { .. }),
        "asked for or not: {invalid:?}"
    );
}

#[test]
fn busy_then_taken_and_partly_rejected() {
    let trailers = [("grpc-status", "0")];
    let partial = Answer::grpc(&<Span as Sample>::rejects(2, "too old"), &trailers);
    let server = server(vec![Answer::head(200, &[("grpc-status", "14")]), partial]);
    let sink = run::<Span>(config::<Span>(server.address), |sink| {
        (0..5).for_each(|n| sink.accept(Span::sample(n)));
    });
    assert_eq!(ledger(&sink.counts()), (3, 0, vec![("rejected", 2)]));
    assert_eq!(server.calls.try_iter().count(), 2, "not tried again");
}

#[test]
fn answers_that_are_none_of_grpc() {
    let html = || Answer::head(200, &[("content-type", "text/html")]);
    let grpc = || Answer::head(200, &[("content-type", "application/grpc")]);
    let refused = |answer: Answer| match outcome(answer) {
        Outcome::Refused { loss, why } => (loss, why),
        other => panic!("{other:?}"),
    };
    assert!(
        refused(html())
            .1
            .contains("does not speak gRPC, it answered: text/html")
    );
    assert!(refused(html().ending(End::Endless)).1.contains("does not speak gRPC"));
    assert!(refused(grpc()).1.contains("without a status"));
    assert!(refused(grpc().ending(End::Endless)).1.contains("more than 65536 bytes"));
    assert_eq!(refused(Answer::head(404, &[])).0, Loss::Refused4xx);
    assert_eq!(refused(Answer::head(500, &[])).0, Loss::Refused5xx);
    assert_eq!(refused(Answer::head(302, &[("location", "/x")])).0, Loss::RefusedOther);
    for answer in [429, 502, 503, 504].map(|status| Answer::head(status, &[])) {
        assert!(matches!(outcome(answer), Outcome::Retry { .. }));
    }
    // Broken off: whether it was taken is not known.
    let broken = outcome(grpc().ending(End::Broken));
    assert!(matches!(broken, Outcome::Retry { .. }), "{broken:?}");
    // A message that is shorter than it says, and one that is compressed though nobody said it is understood.
    for garbage in [b"\0\0\0\0\x09abc".as_slice(), b"\x01\0\0\0\0", b"\0"] {
        let mut answer = Answer::ok();
        answer.frames[0] = hyper::body::Frame::data(garbage.into());
        assert!(matches!(outcome(answer), Outcome::Accepted { rejected: 0, .. }));
    }
}

#[test]
fn no_http2_at_all_is_tried_again() {
    let (listener, address) = listen();
    let speaker = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-nothing of the sort\r\n\r\n").unwrap();
    });
    let transport = transport::<Span>(&config::<Span>(address), &mut OtlpClients::default());
    let found = runtime().block_on(send(&transport, vec![Span::sample(1)]));
    assert!(matches!(found, Outcome::Retry { .. }), "{found:?}");
    speaker.join().unwrap();
}

/// A connection whose requests are not answered is left.
#[test]
fn silence_times_out_and_the_next_try_has_its_own_connection() {
    let server = server(vec![
        Answer::head(200, &[("content-type", "application/grpc")]).ending(End::Never),
    ]);
    let mut config = config::<Span>(server.address);
    config.timeout = Duration::from_millis(100);
    let transport = transport::<Span>(&config, &mut OtlpClients::default());
    runtime().block_on(async {
        match send(&transport, vec![Span::sample(1)]).await {
            Outcome::Retry { why, .. } => assert!(why.contains("timed out"), "{why}"),
            other => panic!("{other:?}"),
        }
        // As long as it takes: that a second try comes in time is not what is tested.
        while !matches!(send(&transport, vec![Span::sample(1)]).await, Outcome::Accepted { .. }) {}
    });
    let connections: Vec<_> = server.calls.try_iter().map(|call| call.connection).collect();
    assert!(connections[0] == 1 && connections.last() > Some(&1), "{connections:?}");
}

/// All signals go over one connection, and a new one when that is broken.
#[test]
fn one_connection_serves_all_until_it_breaks() {
    let first = server(vec![]);
    let address = first.address;
    let mut clients = OtlpClients::default();
    let spans = transport::<Span>(&config::<Span>(address), &mut clients);
    let records = transport::<LogRecord>(&config::<LogRecord>(address), &mut clients);
    runtime().block_on(async {
        let accepted = |outcome| assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
        accepted(send(&spans, vec![Span::sample(1)]).await);
        accepted(send(&records, vec![LogRecord::sample(1)]).await);
        accepted(send(&spans, vec![Span::sample(2)]).await);
        let connections: Vec<_> = first.calls.try_iter().map(|call| call.connection).collect();
        assert_eq!(connections, [1, 1, 1]);
        drop(first);
        // Until the port is free.
        let listener = loop {
            match TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let second = serve(listener, true, None, vec![]);
        while !matches!(send(&spans, vec![Span::sample(3)]).await, Outcome::Accepted { .. }) {}
        assert!(second.calls.try_iter().count() > 0);
    });
}

/// The name of the receiver comes to mean another address: the connection to the old one, which works on, is left.
#[test]
fn a_name_that_moves_is_followed() {
    let old = server(vec![]);
    let new = serve(
        TcpListener::bind(("127.0.0.2", old.address.port())).unwrap(),
        true,
        None,
        vec![],
    );
    let means = Arc::new(Mutex::new(vec![old.address]));
    let asked = means.clone();
    let mut clients = OtlpClients::with(Means {
        lookup: Lookup::new(move |name| {
            assert_eq!(name, "collector.example");
            let found = asked.lock().unwrap().clone();
            Box::pin(async move { Ok(found) })
        }),
        follow_every: Duration::ZERO,
        proxy: None,
    });
    let mut config = config::<Span>(old.address);
    config.endpoint.set_host(Some("collector.example")).unwrap();
    let (transport, runtime) = (transport::<Span>(&config, &mut clients), runtime());
    let sent = |addresses: &[SocketAddr]| {
        *means.lock().unwrap() = addresses.to_vec();
        let outcome = runtime.block_on(send(&transport, vec![Span::sample(1)]));
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
        (
            old.calls.try_iter().map(|call| call.connection).collect::<Vec<_>>(),
            new.calls.try_iter().map(|call| call.connection).collect::<Vec<_>>(),
        )
    };
    assert_eq!(sent(&[old.address]), (vec![1], vec![]));
    assert_eq!(
        sent(&[new.address, old.address]),
        (vec![1], vec![]),
        "still one of its addresses"
    );
    assert_eq!(sent(&[]), (vec![1], vec![]), "a name without an answer has not moved");
    assert_eq!(sent(&[new.address]), (vec![], vec![1]));
    assert_eq!(sent(&[new.address]), (vec![], vec![1]));
}
