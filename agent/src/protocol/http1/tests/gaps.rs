//! Records that were lost, repeated, or came in another order: what is missing is said, nothing is invented.

use super::*;

const NOT_FOUND: &str = "HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n";

#[test]
fn rest_of_an_earlier_response_is_skipped() {
    check(
        &[
            rx(1, GET),
            tx(2, "the rest of something"),
            tx(3, OK),
            rx(4, GET),
            tx(5, OK),
        ],
        &["GET /a 200 1-3-3 28/0 43/5", "GET /a 200 4-5-5 28/0 43/5"],
    );
}

#[test]
fn lost_response() {
    let next = [rx(3, GET), tx(4, NOT_FOUND), rx(5, GET), tx(6, OK)];
    check(
        &[&[rx(1, GET), Unseen(TX, 43)], &next[..]].concat(),
        &[
            "lost counted",
            "GET /a 404 3-4-4 28/0 37/0",
            "GET /a 200 5-6-6 28/0 43/5",
        ],
    );
    // Only its beginning, or only its end.
    check(
        &[&[rx(1, GET), Unseen(TX, 38), tx(2, "hello")], &next[..]].concat(),
        &[
            "lost counted",
            "GET /a 404 3-4-4 28/0 37/0",
            "GET /a 200 5-6-6 28/0 43/5",
        ],
    );
    check(
        &[&[rx(1, GET), tx(2, &OK[..40]), Unseen(TX, 3)], &next[..]].concat(),
        &[
            "GET /a 200 1-2-2 28/0 40/?",
            "GET /a 404 3-4-4 28/0 37/0",
            "GET /a 200 5-6-6 28/0 43/5",
        ],
    );
    // It never shows, but the next request tells: no fault of the peer.
    check(
        &[rx(1, GET), Unseen(TX, 43), rx(3, GET), Closed(5, 0)],
        &["lost counted", "GET /a ? 3-?-5 28/0 0/? connection_closed"],
    );
}

#[test]
fn lost_request() {
    check(
        &[
            rx(1, GET),
            tx(2, OK),
            Unseen(RX, 28),
            tx(4, OK),
            rx(5, GET),
            tx(6, NOT_FOUND),
        ],
        &["GET /a 200 1-2-2 28/0 43/5", "GET /a 404 5-6-6 28/0 37/0"],
    );
    check(
        &[
            rx(1, GET),
            tx(2, OK),
            Unseen(RX, 28),
            Unseen(TX, 43),
            rx(5, GET),
            tx(6, NOT_FOUND),
        ],
        &["GET /a 200 1-2-2 28/0 43/5", "GET /a 404 5-6-6 28/0 37/0"],
    );
}

#[test]
fn doubtful_answers_after_a_lost_request() {
    // The request before it went unseen and no answer was moved since: the next answer may be that one's. What is lost is
    // counted with the record.
    check(
        &[
            rx(1, GET),
            tx(2, OK),
            Unseen(RX, 28),
            rx(3, GET),
            tx(4, NOT_FOUND),
            tx(5, OK),
            rx(6, GET),
            tx(7, OK),
        ],
        &["GET /a 200 1-2-2 28/0 43/5", "GET /a 200 6-7-7 28/0 43/5"],
    );
}

#[test]
fn losses_among_pipelined_requests_leave_no_guess() {
    let requests = [GET, GET, GET].concat();
    let lines = ["lost gap", "lost gap", "lost gap", "lost gap"];
    check(
        &[
            rx(1, &requests),
            Unseen(TX, 43),
            tx(3, OK),
            tx(4, NOT_FOUND),
            rx(5, GET),
            tx(6, OK),
        ],
        &lines,
    );
    // A lost request among them: those before it are sure.
    check(
        &[
            rx(1, &requests[..56]),
            Unseen(RX, 28),
            rx(2, GET),
            tx(3, [OK, NOT_FOUND, OK, OK].concat()),
        ],
        &["lost gap", "GET /a 200 1-3-3 28/0 43/5", "GET /a 404 1-3-3 28/0 37/0"],
    );
    // Answers written together, the middle not captured.
    check(
        &[
            rx(1, &requests),
            Cut(2, TX, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 9000, "hello"),
        ],
        &["GET /a 200 1-2-2 28/0 1041/1000", "lost gap", "lost gap"],
    );
}

#[test]
fn gaps_inside_a_body_are_counted_by_its_length() {
    check(
        &[
            rx(1, GET),
            tx(2, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
            Unseen(TX, 300),
            Cut(9, TX, "", 200, ""),
        ],
        &["GET /a 200 1-2-9 28/0 540/500"],
    );
}

#[test]
fn repeated_signals_count_once() {
    let mut notes = Notes::default();
    let mut conversation = Http1.follow(ConnId(7), Server);
    let mut send = |at, direction, offset: u64, bytes: &str| {
        let total = bytes.len() as u64;
        let payload = PayloadSignal {
            prefix: bytes.as_bytes(),
            ..signal(Server, at, direction, offset, total, (0, 0))
        };
        conversation.payload(&payload, &mut notes);
    };
    send(1, RX, 0, GET);
    send(2, RX, 0, GET);
    send(3, TX, 0, &OK[..30]);
    send(4, TX, 20, &OK[20..]);
    send(5, TX, 0, OK);
    assert_eq!(notes.lines, ["GET /a 200 1-3-4 28/0 43/5"]);
}

#[test]
fn response_reported_before_its_request() {
    // Offsets and sequence numbers as the kernel saw them, reports swapped.
    for tcp in [true, false] {
        let mut notes = Notes::default();
        let mut conversation = Http1.follow(ConnId(7), Client);
        let (n, m) = (GET.len() as u64, OK.len() as u64);
        let mut send = |at, direction, offset: u64, bytes: &str, (sent, received): (u64, u64)| {
            let seq = if tcp {
                (1 + sent as u32, 1 + received as u32)
            } else {
                (0, 0)
            };
            let total = bytes.len() as u64;
            let payload = PayloadSignal {
                prefix: bytes.as_bytes(),
                ..signal(Client, at, direction, offset, total, seq)
            };
            conversation.payload(&payload, &mut notes);
        };
        send(1, TX, 0, GET, (n, 0));
        send(2, RX, 0, OK, (n, m));
        send(10, RX, m, &OK[..40], (2 * n, m + 40));
        send(11, RX, m + 40, &OK[40..], (2 * n, 2 * m));
        send(9, TX, n, GET, (2 * n, m));
        send(20, TX, 2 * n, GET, (3 * n, 2 * m));
        send(21, RX, 2 * m, NOT_FOUND, (3 * n, 2 * m + 37));
        let expect = [
            "GET /a 200 1-2-2 28/0 43/5",
            "GET /a 200 9-10-11 28/0 43/5",
            "GET /a 404 20-21-21 28/0 37/0",
        ];
        assert_eq!(notes.lines, expect, "tcp {tcp}");
    }
}

#[test]
fn held_responses_are_bounded() {
    let mut steps = vec![rx(1, GET), tx(2, OK), Unseen(RX, 1000)];
    steps.extend((3..50).map(|at| tx(at, OK)));
    let mut conversation = Http1.follow(ConnId(7), Server);
    let mut notes = Notes::default();
    let (mut sent, mut largest) = (0, 0);
    for step in &steps {
        if let Tx(at, bytes) = step {
            let total = bytes.len() as u64;
            sent += total;
            let seq = (sent as u32, 5000);
            conversation.payload(
                &PayloadSignal {
                    prefix: bytes,
                    ..signal(Server, *at, TX, sent - total, total, seq)
                },
                &mut notes,
            );
        } else if let Rx(at, bytes) = step {
            conversation.payload(
                &PayloadSignal {
                    prefix: bytes,
                    ..signal(Server, *at, RX, 0, 28, (0, 1028))
                },
                &mut notes,
            );
        }
        largest = largest.max(conversation.memory());
    }
    assert!(largest < 2000, "{largest}");
    steps.extend([rx(60, GET), tx(61, NOT_FOUND)]);
    check(&steps, &["GET /a 200 1-2-2 28/0 43/5", "GET /a 404 60-61-61 28/0 37/0"]);
}
