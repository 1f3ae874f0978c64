//! Heads, targets, pipelining, interim responses, upgrades.

use super::*;
use crate::protocol::Match;

#[test]
fn one_exchange_after_another() {
    check(
        &[rx(10, GET), tx(12, OK), rx(90, GET), tx(95, OK)],
        &["GET /a 200 10-12-12 28/0 43/5", "GET /a 200 90-95-95 28/0 43/5"],
    );
}

#[test]
fn methods_and_versions() {
    for (method, name) in [
        ("GET", "GET"),
        ("DELETE", "DELETE"),
        ("QUERY", "QUERY"),
        ("PROPFIND", "_OTHER(PROPFIND)"),
        ("get", "_OTHER(get)"),
        ("M-SEARCH", "_OTHER(M-SEARCH)"),
    ] {
        for version in ["1.0", "1.1"] {
            let request = format!("{method} /x?q=1 HTTP/{version}\r\n\r\n");
            let expect = format!("{name} /x 200 1-2-2 {}/0 43/5", request.len());
            check(&[rx(1, request), tx(2, OK)], &[&expect]);
        }
    }
}

#[test]
fn asterisk_and_line_ends() {
    check(
        &[
            rx(1, "\r\n\r\n"),
            rx(2, "OPTIONS * HTTP/1.1\nHost: h\n\n"),
            tx(3, "HTTP/1.1 204 No Content\n\n"),
        ],
        &["OPTIONS * 204 2-3-3 28/0 25/0"],
    );
}

#[test]
fn details() {
    let request = "GET /x HTTP/1.0\r\nHOST: [::1]:81\r\nuser-agent: curl/8\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    let mut notes = Notes::default();
    let mut conversation = Http1.follow(ConnId(7), Server);
    let total = request.len() as u64 + 2;
    let text = format!("\r\n{request}");
    let seq = (500, 40);
    conversation.payload(
        &PayloadSignal {
            prefix: text.as_bytes(),
            ..signal(Server, 1, RX, 0, total, seq)
        },
        &mut notes,
    );
    let seq = (500 + OK.len() as u32, 40);
    conversation.payload(
        &PayloadSignal {
            prefix: OK.as_bytes(),
            srtt_us: 9,
            ..signal(Server, 2, TX, 0, OK.len() as u64, seq)
        },
        &mut notes,
    );
    let exchange = notes.last.expect("ended");
    assert_eq!(exchange.server, Some(("::1".into(), Some(81))));
    assert_eq!(exchange.agent.as_deref(), Some("curl/8"));
    assert_eq!((exchange.version, exchange.srtt_us), ("1.0", 9));
    assert_eq!(exchange.context.expect("context").span_id[0], 0xb7);
    let first = 40u32.wrapping_sub(request.len() as u32);
    assert_eq!(exchange.join, Some(JoinKey(first.into(), 500)));
}

#[test]
fn both_ends_join_alike() {
    // The client writes at once what the server reads in two calls.
    let join = |role, calls: &[(Direction, &[u8], (u32, u32))]| {
        let mut notes = Notes::default();
        let mut conversation = super::super::conversation::Http1Conversation::new(ConnId(7), role);
        let mut offset = 0;
        for (direction, prefix, seq) in calls {
            let total = prefix.len() as u64;
            conversation.payload(
                &PayloadSignal {
                    prefix,
                    ..signal(role, 1, *direction, offset, total, *seq)
                },
                &mut notes,
            );
            offset += total;
        }
        conversation
            .queue
            .iter()
            .map(|open| open.exchange.join)
            .collect::<Vec<_>>()
    };
    let both = [GET, GET].concat();
    let (both, n) = (both.as_bytes(), GET.len() as u32);
    let client = join(Client, &[(TX, both, (100 + 2 * n, 70))]);
    let server = join(
        Server,
        &[(RX, &both[..40], (70, 140)), (RX, &both[40..], (70, 100 + 2 * n))],
    );
    assert_eq!(client, server);
    assert_eq!(client, [Some(JoinKey(100, 70)), Some(JoinKey(100 + u64::from(n), 70))]);
}

#[test]
fn head_byte_by_byte() {
    let mut steps: Vec<Step> = GET.bytes().enumerate().map(|(n, byte)| rx(n as u64, [byte])).collect();
    steps.extend(OK.bytes().enumerate().map(|(n, byte)| tx(100 + n as u64, [byte])));
    check(&steps, &["GET /a 200 0-100-142 28/0 43/5"]);
}

#[test]
fn pipelining() {
    let three = [GET, "HEAD /b HTTP/1.1\r\n\r\n", "GET /c HTTP/1.1\r\n\r\n"].concat();
    let two = [
        OK,
        "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nHTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n",
    ]
    .concat();
    check(
        &[rx(1, three), tx(5, two)],
        &[
            "GET /a 200 1-5-5 28/0 43/5",
            "HEAD /b 404 1-5-5 20/0 45/0",
            "GET /c 500 1-5-5 19/0 37/0",
        ],
    );
    let first = &[OK, &OK[..20]].concat();
    check(
        &[
            rx(1, [GET, &GET[..10]].concat()),
            rx(2, &GET[10..]),
            tx(5, first),
            tx(6, &OK[20..]),
        ],
        &["GET /a 200 1-5-5 28/0 43/5", "GET /a 200 1-5-6 28/0 43/5"],
    );
}

#[test]
fn interim_responses() {
    let post = "POST /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    check(
        &[
            rx(1, post),
            tx(2, "HTTP/1.1 100 Continue\r\n\r\n"),
            rx(3, "abc"),
            tx(9, OK),
        ],
        &["POST /u 200 1-9-9 64/3 68/5"],
    );
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n";
    check(
        &[rx(1, GET), tx(2, hints), tx(3, [hints, OK].concat())],
        &["GET /a 200 1-3-3 28/0 131/5"],
    );
}

#[test]
fn body_left_out_after_a_refusal() {
    let post = "POST /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n";
    check(
        &[
            rx(1, post),
            tx(2, "HTTP/1.1 413 L\r\nContent-Length: 0\r\n\r\n"),
            rx(5, GET),
            tx(6, OK),
        ],
        &["POST /u 413 1-2-2 64/0 37/0", "GET /a 200 5-6-6 28/0 43/5"],
    );
}

#[test]
fn upgrades() {
    let upgrade = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02";
    check(
        &[rx(1, upgrade), tx(2, answer), rx(3, GET), tx(4, OK), Closed(9, 0)],
        &["GET /ws 101 1-2-2 61/0 56/0", "ignore Upgraded"],
    );
    check(
        &[
            rx(1, "CONNECT h.example:443 HTTP/1.1\r\n\r\n"),
            rx(2, "\x16\x03\x01"),
            tx(3, "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03"),
            rx(4, "\x17"),
        ],
        &["CONNECT  200 1-3-3 34/0 19/0", "ignore Upgraded"],
    );
    check(
        &[
            rx(1, "CONNECT h.example:443 HTTP/1.1\r\n\r\n"),
            tx(2, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
            rx(3, GET),
            tx(4, OK),
        ],
        &["CONNECT  403 1-2-2 34/0 38/0", "GET /a 200 3-4-4 28/0 43/5"],
    );
}

#[test]
fn other_protocols_are_left_alone_once() {
    for first in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n",
        "\x16\x03\x01",
        "EHLO me\r\n",
        "GET /\r\n",
    ] {
        check(
            &[rx(1, first), tx(2, OK), rx(3, GET), tx(4, OK)],
            &["ignore Unrecognised"],
        );
    }
    let uncaptured: Vec<Step> = (0..20).map(|n| Cut(n, RX, "", 100, "")).collect();
    check(&uncaptured, &["ignore Unrecognised"]);
}

#[test]
fn proxy_protocol_line() {
    let line = "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
    let expect = ["GET /a 200 2-3-3 28/0 43/5"];
    check(&[rx(2, [line, GET].concat()), tx(3, OK)], &expect);
    check(&[rx(1, line), rx(2, GET), tx(3, OK)], &expect);
    check(&[rx(0, &line[..9]), rx(1, &line[9..]), rx(2, GET), tx(3, OK)], &expect);
    check(
        &[rx(0, &line[..9]), rx(2, [&line[9..], GET].concat()), tx(3, OK)],
        &expect,
    );
    check(&[rx(1, "PROXY TCP4 ".repeat(20))], &["ignore Unrecognised"]);
}

#[test]
fn recognise() {
    let check = |bytes: &[u8], expect| assert_eq!(Http1.recognise(bytes), expect, "{:?}", bytes.escape_ascii());
    check(GET.as_bytes(), Match::Yes);
    check(b"\r\nGET / HTTP/1.1\r\n", Match::Yes);
    check(b"GE", Match::Maybe);
    check(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n", Match::Yes);
    check(b"PROXY TCP4 1.2.3.4", Match::Maybe);
    check(b"PRI * HTTP/2.0\r\n\r\n", Match::No);
    check(b"*1\r\n$4\r\nPING\r\n", Match::No);
}

#[test]
fn malformed_request_of_an_http_connection() {
    let bad = "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n";
    check(
        &[
            rx(1, GET),
            tx(2, OK),
            rx(3, "\x01garbage\r\n\r\n"),
            tx(4, bad),
            rx(5, GET),
            tx(6, OK),
        ],
        &[
            "GET /a 200 1-2-2 28/0 43/5",
            "_OTHER  400 3-4-4 12/? 39/0",
            "GET /a 200 5-6-6 28/0 43/5",
        ],
    );
    // The request line stands, a field is broken: httparse refuses it.
    check(
        &[rx(1, "GET /z HTTP/1.1\r\nBad Field: x\r\n\r\n"), tx(2, bad)],
        &["GET /z 400 1-2-2 33/0 39/0"],
    );
}

#[test]
fn answer_to_an_incomplete_head() {
    let timeout = "HTTP/1.1 408 T\r\nContent-Length: 0\r\n\r\n";
    check(
        &[rx(1, "GET /slow HTTP/1.1\r\nHos"), tx(9, timeout), LocalFin(10)],
        &["GET /slow 408 1-9-9 23/? 37/0"],
    );
    check(
        &[rx(1, "GE"), tx(9, timeout), LocalFin(10)],
        &["_OTHER  408 1-9-9 2/? 37/0"],
    );
    // A path that may go on is no path.
    check(&[rx(1, "GET /users/1"), tx(9, timeout)], &["GET  408 1-9-9 12/? 37/0"]);
    // Nothing was asked: a server's timeout of an idle connection is no exchange.
    check(
        &[rx(1, GET), tx(2, OK), tx(60, timeout), Closed(61, 0)],
        &["GET /a 200 1-2-2 28/0 43/5"],
    );
}

#[test]
fn rest_of_a_refused_head() {
    let refusal = "HTTP/1.1 414 T\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let rest = "x".repeat(4096);
    // To the kernel side it looks like the method of a further request.
    check(
        &[
            rx(1, format!("GET /{}", "x".repeat(1019))),
            tx(2, refusal),
            rx(3, &rest),
            rx(4, &rest),
            Closed(5, 0),
        ],
        &["GET  414 1-2-2 1024/? 56/0"],
    );
    // A request that follows it all the same goes without the kernel side's word: it is counted as lost.
    check(
        &[rx(1, "GET /xx"), tx(2, refusal), rx(3, &rest), rx(4, GET), tx(5, OK)],
        &["GET  414 1-2-2 7/? 56/0", "lost gap"],
    );
}

#[test]
fn head_beyond_the_limit() {
    let field = format!("X: {}\r\n", "y".repeat(997));
    let mut steps = vec![rx(1, "GET /big HTTP/1.1\r\n")];
    steps.extend((2..22).map(|at| rx(at, &field)));
    let sent = 19 + 20 * field.len();
    let expect = format!("GET /big 200 1-30-30 {}/? 43/5", sent + 2);
    steps.extend([rx(22, "\r\n"), tx(30, OK)]);
    check(&steps, &[&expect]);
    steps.extend([rx(40, GET), tx(41, OK)]);
    check(&steps, &[&expect, "GET /a 200 40-41-41 28/0 43/5"]);
}

#[test]
fn head_longer_than_the_capture() {
    check(
        &[
            Cut(
                1,
                RX,
                "POST /cut?x HTTP/1.1\r\nHost: h\r\nCookie: aaa",
                9000,
                "tail\r\n\r\n",
            ),
            tx(2, OK),
            rx(3, GET),
            tx(4, OK),
        ],
        &["POST /cut 200 1-2-2 9050/? 43/5", "GET /a 200 3-4-4 28/0 43/5"],
    );
    // Not even the request line was captured whole.
    check(
        &[Cut(1, RX, "GET /cut?aaaa", 9000, "tail\r\n\r\n"), tx(2, OK)],
        &["GET /cut 200 1-2-2 9021/? 43/5"],
    );
}

#[test]
fn pipeline_limit() {
    let steps: Vec<Step> = (0..1030).map(|at| rx(at, GET)).chain([Abandon]).collect();
    let lines = run(Server, &steps);
    assert_eq!(lines.iter().filter(|line| *line == "lost pipeline_limit").count(), 6);
    assert_eq!(lines.iter().filter(|line| *line == "lost forgotten").count(), 1024);
    // Those within the limit get their own answers.
    let answers = (0..1030).map(|at| tx(2000 + at, OK));
    let lines = run(Server, &[&steps[..1030], &answers.collect::<Vec<_>>()].concat());
    assert_eq!(lines.iter().filter(|line| line.contains(" 200 ")).count(), 1024);
    assert_eq!(lines[6], "GET /a 200 0-2000-2000 28/0 43/5");
}

#[test]
fn idle_connections_are_small() {
    let mut conversation = Http1.follow(ConnId(7), Server);
    let mut notes = Notes::default();
    for n in 0..100u64 {
        let many = GET.repeat(40);
        let total = many.len() as u64;
        conversation.payload(
            &PayloadSignal {
                prefix: many.as_bytes(),
                ..signal(Server, 1, RX, n * total, total, (0, 0))
            },
            &mut notes,
        );
        let many = OK.repeat(40);
        let total = many.len() as u64;
        conversation.payload(
            &PayloadSignal {
                prefix: many.as_bytes(),
                ..signal(Server, 1, TX, n * total, total, (0, 0))
            },
            &mut notes,
        );
    }
    assert_eq!(notes.lines.len(), 4000);
    assert!(conversation.memory() < 300, "{}", conversation.memory());
}
