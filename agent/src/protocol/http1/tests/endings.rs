//! Aborts, crashes, half-closed connections, early responses.

use super::*;

fn server(steps: &[Step], expect: &[&str]) {
    assert_eq!(run(Server, steps), expect, "{steps:?}");
}
fn client(steps: &[Step], expect: &[&str]) {
    assert_eq!(run(Client, steps), expect, "{steps:?}");
}

#[test]
fn never_answered_server() {
    server(
        &[rx(1, GET), Eof(5), LocalFin(6), Closed(7, 0)],
        &["GET /a ? 1-?-6 28/0 0/? peer_closed"],
    );
    server(
        &[rx(1, GET), PeerFin(5), LocalFin(6)],
        &["GET /a ? 1-?-6 28/0 0/? peer_closed"],
    );
    server(
        &[rx(1, GET), LocalFin(6), Closed(7, 0)],
        &["GET /a ? 1-?-6 28/0 0/? connection_closed"],
    );
    server(
        &[rx(1, GET), Closed(7, libc::ECONNRESET)],
        &["GET /a ? 1-?-7 28/0 0/? connection_reset"],
    );
    server(
        &[rx(1, GET), Fails(5, RX, libc::ECONNRESET), Closed(7, 0)],
        &["GET /a ? 1-?-5 28/0 0/? connection_reset"],
    );
    server(
        &[rx(1, GET), Fails(5, TX, libc::EPIPE)],
        &["GET /a ? 1-?-5 28/0 0/? connection_reset"],
    );
    server(
        &[rx(1, GET), Closed(7, libc::ETIMEDOUT)],
        &["GET /a ? 1-?-7 28/0 0/? timeout"],
    );
    server(&[rx(1, GET), Fails(5, RX, libc::EINTR)], &["open 1"]);
}

#[test]
fn never_answered_client() {
    client(
        &[tx(1, GET), PeerFin(4), Eof(5), LocalFin(6)],
        &["GET /a ? 1-?-5 28/0 0/? peer_closed"],
    );
    client(
        &[tx(1, GET), LocalFin(4), PeerFin(5), Closed(6, 0)],
        &["GET /a ? 1-?-6 28/0 0/? connection_closed"],
    );
    client(
        &[tx(1, GET), PeerFin(4), Closed(6, 0)],
        &["GET /a ? 1-?-6 28/0 0/? peer_closed"],
    );
    client(
        &[tx(1, GET), Fails(5, RX, libc::ETIMEDOUT)],
        &["GET /a ? 1-?-5 28/0 0/? timeout"],
    );
    client(
        &[tx(1, GET), Closed(5, libc::ECONNRESET)],
        &["GET /a ? 1-?-5 28/0 0/? connection_reset"],
    );
    // Sending fails, yet the answer is there to be read.
    client(
        &[tx(1, GET), Fails(2, TX, libc::EPIPE), rx(3, OK)],
        &["GET /a 200 1-3-3 28/0 43/5"],
    );
}

#[test]
fn all_pipelined_requests_end() {
    server(
        &[rx(1, [GET, GET].concat()), tx(2, &OK[..39]), LocalFin(6)],
        &[
            "GET /a 200 1-2-6 28/0 39/1 connection_closed",
            "GET /a ? 1-?-6 28/0 0/? connection_closed",
        ],
    );
}

#[test]
fn answer_cut_short() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc";
    server(
        &[rx(1, GET), tx(2, head), Fails(5, TX, libc::EPIPE)],
        &["GET /a 200 1-2-5 28/0 42/3 connection_reset"],
    );
    server(
        &[rx(1, GET), tx(2, head), LocalFin(5)],
        &["GET /a 200 1-2-5 28/0 42/3 connection_closed"],
    );
    client(
        &[tx(1, GET), rx(2, head), Eof(5)],
        &["GET /a 200 1-2-5 28/0 42/3 peer_closed"],
    );
    client(
        &[tx(1, GET), rx(2, head), Closed(5, libc::ECONNRESET)],
        &["GET /a 200 1-2-5 28/0 42/3 connection_reset"],
    );
    // In the head: the status counts once its line is whole.
    client(
        &[tx(1, GET), rx(2, "HTTP/1.1 502 Bad\r\nCont"), Eof(5)],
        &["GET /a 502 1-2-5 28/0 22/? peer_closed"],
    );
    client(
        &[tx(1, GET), rx(2, "HTTP/1.1 50"), Eof(5)],
        &["GET /a ? 1-2-5 28/0 11/? peer_closed"],
    );
    // An interim response is no answer.
    client(
        &[tx(1, GET), rx(2, "HTTP/1.1 100 Continue\r\n\r\n"), Eof(5)],
        &["GET /a ? 1-?-5 28/0 25/? peer_closed"],
    );
}

#[test]
fn half_closed() {
    server(
        &[rx(1, GET), PeerFin(2), Eof(3), tx(9, OK), LocalFin(10)],
        &["GET /a 200 1-9-9 28/0 43/5"],
    );
    client(
        &[tx(1, GET), LocalFin(2), rx(9, OK), Eof(10)],
        &["GET /a 200 1-9-9 28/0 43/5"],
    );
    let rest = "HTTP/1.0 200 OK\r\n\r\nhello";
    server(
        &[rx(1, GET), Eof(3), tx(9, rest), LocalFin(10)],
        &["GET /a 200 1-9-9 28/0 24/5"],
    );
    client(
        &[tx(1, GET), LocalFin(2), rx(9, rest), Eof(10)],
        &["GET /a 200 1-9-9 28/0 24/5"],
    );
}

#[test]
fn early_responses() {
    let post = "POST /u HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc";
    let full = "HTTP/1.1 413 L\r\nContent-Length: 0\r\n\r\n";
    // It waits for the request, its times are its own.
    check(&[rx(1, post), tx(2, full)], &["open 1"]);
    check(
        &[rx(1, post), tx(2, full), rx(8, "defghij")],
        &["POST /u 413 1-2-2 50/10 37/0"],
    );
    server(
        &[rx(1, post), tx(2, full), LocalFin(3)],
        &["POST /u 413 1-2-2 43/3 37/0"],
    );
    server(&[rx(1, post), tx(2, full), Eof(3)], &["POST /u 413 1-2-2 43/3 37/0"]);
    server(
        &[rx(1, post), tx(2, full), Closed(3, libc::ECONNRESET)],
        &["POST /u 413 1-2-2 43/3 37/0"],
    );
    client(&[tx(1, post), rx(2, full), Eof(3)], &["POST /u 413 1-2-2 43/3 37/0"]);
    // But not for ever: what comes later is skipped, and the next request is another exchange.
    check(&[rx(1, post), tx(2, full), Tick(900)], &["open 1"]);
    let late = [
        rx(1, post),
        tx(2, full),
        Tick(1100),
        rx(8, "defghij"),
        rx(9, GET),
        tx(10, OK),
    ];
    check(&late, &["POST /u 413 1-2-2 43/3 37/0", "GET /a 200 9-10-10 28/0 43/5"]);
    client(
        &[tx(1, post), rx(2, full), LocalFin(3)],
        &["POST /u 413 1-2-2 43/3 37/0"],
    );
}

#[test]
fn unfinished_heads_are_no_exchanges() {
    check(&[rx(1, "GET /a HT"), Eof(2), LocalFin(3), Closed(4, 0)], &[]);
    server(
        &[rx(1, "GET /a HT"), Eof(2), tx(3, "HTTP/1.0 400 B\r\n\r\n"), LocalFin(4)],
        &["GET /a 400 1-3-3 9/? 18/0"],
    );
}

#[test]
fn abandon_gives_up_what_is_open() {
    check(
        &[rx(1, [GET, GET].concat()), Abandon, tx(2, OK)],
        &["lost forgotten", "lost forgotten"],
    );
}
