//! Bodies: length, chunked, until close, unknown; captured and not.

use super::*;

#[test]
fn request_bodies() {
    let post = "POST /u HTTP/1.1\r\nContent-Length: 10\r\n\r\n";
    check(
        &[rx(1, [post, "0123456789"].concat()), tx(2, OK)],
        &["POST /u 200 1-2-2 50/10 43/5"],
    );
    check(
        &[rx(1, post), rx(2, "01234"), rx(3, "56789"), tx(4, OK)],
        &["POST /u 200 1-4-4 50/10 43/5"],
    );
    // The body's end and the next request in one call.
    check(
        &[
            rx(1, post),
            rx(2, ["0123456789", GET].concat()),
            tx(4, [OK, OK].concat()),
        ],
        &["POST /u 200 1-4-4 50/10 43/5", "GET /a 200 2-4-4 28/0 43/5"],
    );
    let chunked = "POST /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
    check(
        &[
            rx(1, [chunked, "3\r\nabc\r\n0\r\n\r\n", GET].concat()),
            tx(2, [OK, OK].concat()),
        ],
        &["POST /u 200 1-2-2 80/3 43/5", "GET /a 200 1-2-2 28/0 43/5"],
    );
}

#[test]
fn uploads_not_captured() {
    let post = "POST /u HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
    check(
        &[
            Cut(1, RX, post, 4000, "x"),
            Cut(2, RX, "", 95998, "x"),
            tx(3, OK),
            rx(4, GET),
            tx(5, OK),
        ],
        &["POST /u 200 1-3-3 100044/100000 43/5", "GET /a 200 4-5-5 28/0 43/5"],
    );
    // The tail holds the end of the body and a request.
    check(
        &[
            Cut(1, RX, post, 99990, "0123456789GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
            tx(3, [OK, OK].concat()),
        ],
        &["POST /u 200 1-3-3 100044/100000 43/5", "GET /a 200 1-3-3 28/0 43/5"],
    );
    // A part of it was moved by calls nobody saw: the length tells.
    check(
        &[rx(1, post), Unseen(RX, 60000), Cut(2, RX, "", 40000, ""), tx(3, OK)],
        &["POST /u 200 1-3-3 100044/100000 43/5"],
    );
    let chunked = "POST /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(
        &[
            rx(1, chunked),
            Cut(2, RX, "4\r\nabcd\r\n8", 5000, "xyz\r\n0\r\n\r\n"),
            tx(3, OK),
            rx(4, GET),
            tx(5, OK),
        ],
        &["POST /u 200 1-3-3 5068/? 43/5", "GET /a 200 4-5-5 28/0 43/5"],
    );
    // The terminator was not seen: the next request ends it.
    check(
        &[
            rx(1, chunked),
            Cut(2, RX, "4\r\nabcd\r\n8", 5000, "xyz"),
            tx(3, OK),
            rx(4, GET),
            tx(5, OK),
        ],
        &["POST /u 200 1-3-3 5061/? 43/5", "GET /a 200 4-5-5 28/0 43/5"],
    );
}

#[test]
fn lengths_that_are_none() {
    for fields in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: x",
        "Transfer-Encoding: gzip",
    ] {
        let post = format!("POST /u HTTP/1.1\r\n{fields}\r\n\r\n");
        let expect = format!("POST /u 200 1-2-2 {}/? 43/5", post.len() + 3);
        check(
            &[rx(1, post + "abc"), tx(2, OK), rx(3, GET), tx(4, OK)],
            &[&expect, "GET /a 200 3-4-4 28/0 43/5"],
        );
    }
    // A response whose length contradicts itself ends before the next request.
    let odd = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc";
    check(
        &[rx(1, GET), tx(2, odd), tx(5, "d"), rx(9, GET), tx(10, OK)],
        &["GET /a 200 1-2-5 28/0 61/?", "GET /a 200 9-10-10 28/0 43/5"],
    );
}

#[test]
fn responses_without_body() {
    for (method, status, fields) in [
        ("HEAD", "200 OK", "Content-Length: 999\r\n"),
        ("HEAD", "200 OK", "Transfer-Encoding: chunked\r\n"),
        ("GET", "204 No Content", ""),
        ("GET", "304 Not Modified", "Content-Length: 999\r\n"),
        ("GET", "200 OK", "Content-Length: 0\r\n"),
    ] {
        let request = format!("{method} /x HTTP/1.1\r\n\r\n");
        let response = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        let (code, asked, answered) = (&status[..3], request.len(), response.len());
        let first = format!("{method} /x {code} 1-2-2 {asked}/0 {answered}/0");
        check(
            &[rx(1, &request), tx(2, &response), rx(3, GET), tx(4, OK)],
            &[&first, "GET /a 200 3-4-4 28/0 43/5"],
        );
    }
}

#[test]
fn responses_by_length() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    // nginx and sendfile: the head, then calls that nothing is captured of.
    check(
        &[
            rx(1, GET),
            tx(2, head),
            Cut(50, TX, "", 60_000_000, ""),
            Cut(99, TX, "", 40_000_000, ""),
            rx(200, GET),
            tx(201, OK),
        ],
        &[
            "GET /a 200 1-2-99 28/0 100000046/100000000",
            "GET /a 200 200-201-201 28/0 43/5",
        ],
    );
    check(
        &[
            rx(1, GET),
            tx(2, "HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n"),
            rx(3, GET),
            tx(4, &OK[..9]),
            tx(5, &OK[9..39]),
            tx(6, &OK[39..]),
        ],
        &["GET /a 404 1-2-2 28/0 37/0", "GET /a 200 3-4-6 28/0 43/5"],
    );
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn responses_by_chunks() {
    check(
        &[
            rx(1, GET),
            tx(2, CHUNKED),
            tx(3, "5\r\nhello\r\n"),
            tx(9, "0\r\nTrailer: x\r\n\r\n"),
            rx(10, GET),
            tx(11, OK),
        ],
        &["GET /a 200 1-2-9 28/0 74/5", "GET /a 200 10-11-11 28/0 43/5"],
    );
    // Server-sent events: open until the last chunk.
    check(&[rx(1, GET), tx(2, CHUNKED), tx(3, "5\r\nhello\r\n")], &["open 1"]);
    // One chunk that is longer than the capture: its size line tells where it ends.
    check(
        &[
            rx(1, GET),
            Cut(
                2,
                TX,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\nab",
                9997,
                "z\r\n",
            ),
            tx(4, "0\r\n\r\n"),
        ],
        &["GET /a 200 1-2-4 28/0 10060/10000"],
    );
}

#[test]
fn chunk_framing_not_captured() {
    // The terminator ends the body, alone or at the end of a call.
    for (last, at) in [("0\r\n\r\n", 9), ("2\r\nab\r\n0\r\n\r\n", 9)] {
        let size = 5058 + last.len();
        let expect = format!("GET /a 200 1-2-{at} 28/0 {size}/?");
        check(
            &[
                rx(1, GET),
                tx(2, CHUNKED),
                Cut(3, TX, "4\r\nabcd\r\n8", 5000, "z"),
                tx(9, last),
                rx(20, GET),
                tx(21, OK),
            ],
            &[&expect, "GET /a 200 20-21-21 28/0 43/5"],
        );
    }
    check(
        &[
            rx(1, GET),
            tx(2, CHUNKED),
            Cut(3, TX, "4\r\nabcd\r\n8", 5000, "z\r\n0\r\n\r\n"),
        ],
        &["GET /a 200 1-2-3 28/0 5065/?"],
    );
    // Not seen: it ends with the last byte before the next request, or with the connection.
    let lost = [rx(1, GET), tx(2, CHUNKED), Cut(3, TX, "4\r\nabcd\r\n8", 5000, "z")];
    check(
        &[&lost[..], &[rx(20, GET), tx(21, OK)]].concat(),
        &["GET /a 200 1-2-3 28/0 5058/?", "GET /a 200 20-21-21 28/0 43/5"],
    );
    check(
        &[&lost[..], &[PeerFin(8), Closed(9, 0)]].concat(),
        &["GET /a 200 1-2-3 28/0 5058/?"],
    );
}

#[test]
fn responses_until_close() {
    let response = "HTTP/1.0 200 OK\r\n\r\nhello";
    let expect = ["GET /a 200 1-2-3 28/0 29/10"];
    let steps = [rx(1, GET), tx(2, response), tx(3, "world")];
    assert_eq!(run(Server, &[&steps[..], &[LocalFin(9)]].concat()), expect);
    assert_eq!(run(Server, &[&steps[..], &[Closed(9, 0)]].concat()), expect);
    let steps = swapped(&steps);
    assert_eq!(run(Client, &[&steps[..], &[Eof(9)]].concat()), expect);
    assert_eq!(run(Client, &[&steps[..], &[PeerFin(8), Closed(9, 0)]].concat()), expect);
    // There may be more to read after the peer's FIN.
    let late = [&steps[..], &[PeerFin(8), Rx(9, b"!".to_vec()), Eof(10)]].concat();
    assert_eq!(run(Client, &late), ["GET /a 200 1-2-9 28/0 30/11"]);
    // This side did not wait for the end.
    let early = [&steps[..], &[LocalFin(8), Closed(9, 0)]].concat();
    assert_eq!(run(Client, &early), ["GET /a 200 1-2-9 28/0 29/10 connection_closed"]);
}

#[test]
fn response_head_split_and_cut() {
    check(
        &[rx(1, GET), tx(2, &OK[..20]), tx(3, &OK[20..30]), tx(4, &OK[30..])],
        &["GET /a 200 1-2-4 28/0 43/5"],
    );
    check(
        &[
            rx(1, GET),
            Cut(2, TX, "HTTP/1.1 503 Busy\r\nX: ", 20000, "end"),
            rx(7, GET),
            tx(8, OK),
        ],
        &["GET /a 503 1-2-2 28/0 20025/?", "GET /a 200 7-8-8 28/0 43/5"],
    );
    // No status was captured: none is invented.
    check(
        &[rx(1, GET), Cut(2, TX, "", 20000, ""), rx(7, GET), tx(8, OK)],
        &["GET /a ? 1-2-2 28/0 20000/? not_captured", "GET /a 200 7-8-8 28/0 43/5"],
    );
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(20000));
    let expect = format!("GET /a 200 1-2-2 28/0 {}/?", long.len());
    check(&[rx(1, GET), tx(2, long), rx(7, GET)], &[&expect, "open 1"]);
}

#[test]
fn what_is_no_response() {
    check(
        &[
            rx(1, GET),
            tx(2, "HTTP/1.1 100 Continue\r\n\r\n"),
            tx(3, "hello"),
            PeerFin(3),
            LocalFin(4),
            Closed(4, 0),
        ],
        &["GET /a ? 1-3-3 28/0 30/? invalid_message"],
    );
}
