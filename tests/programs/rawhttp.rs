//! An HTTP/1.1 server and client without a library between them and the socket, for exact control of what goes over the
//! wire and exact times of it: `rawhttp serve ADDRESS LOG`, `rawhttp ask ADDRESS STEPS-AS-JSON`,
//! `rawhttp load ADDRESS LOAD-AS-JSON`, and `rawhttp alone LOG`, which asks itself once in a network namespace of its own.

use anyhow::{Context, Result, anyhow, bail, ensure};
use onlooker_tests::http::{Connection, Head, Stream, Target};
use onlooker_tests::load::Load;
use onlooker_tests::steps::{self, Step};
use rustix::thread::UnshareFlags;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["serve", target, log] => serve(&target.parse()?, log),
        ["ask", target, steps] => {
            let steps: Vec<Step> = serde_json::from_str(steps)?;
            let answers = steps::run(&target.parse()?, &steps)?;
            println!("{}", serde_json::to_string(&answers)?);
            Ok(())
        }
        ["load", target, load] => {
            let load: Load = serde_json::from_str(load)?;
            println!("{}", serde_json::to_string(&load.run(&target.parse()?)?)?);
            Ok(())
        }
        ["alone", log] => alone(log),
        _ => bail!(
            "usage: rawhttp serve ADDRESS LOG | rawhttp ask ADDRESS STEPS | rawhttp load ADDRESS LOAD | rawhttp alone LOG"
        ),
    }
}

/// One exchange with itself over the loopback of a new network namespace, which ends with this process.
fn alone(log: &str) -> Result<()> {
    // SAFETY: no thread but this one exists, and the kernel object is this process' alone.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.context("a new network namespace")?;
    loopback_up().context("loopback of the new namespace")?;
    let listener = TcpListener::bind("127.0.0.1:80")?;
    let target = Target::Tcp(listener.local_addr()?);
    let log = File::options().create(true).append(true).open(log)?;
    std::thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<()> {
            connection(Connection::of(Stream::Tcp(listener.accept()?.0)), &log);
            Ok(())
        });
        let answers = steps::run(&target, &Step::exchange("GET", "/ok", ""))?;
        ensure!(answers.iter().map(|answer| answer.status).eq([200]), "{answers:?}");
        server.join().map_err(|_| anyhow!("the server panicked"))?
    })
}

/// What `ip link set lo up` does.
fn loopback_up() -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: every bit pattern of an ifreq is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is valid while the call reads it, and it is written by nobody.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if done != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}

fn serve(target: &Target, log: &str) -> Result<()> {
    let log = Arc::new(File::options().create(true).append(true).open(log)?);
    let spawn = |stream: Stream| {
        let log = log.clone();
        std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || connection(Connection::of(stream), &log))
            .map(drop)
    };
    match target {
        Target::Tcp(addr) => {
            for stream in TcpListener::bind(addr)?.incoming() {
                let stream = stream?;
                stream.set_nodelay(true)?;
                spawn(Stream::Tcp(stream))?;
            }
        }
        Target::Unix(path) => {
            for stream in UnixListener::bind(path)?.incoming() {
                spawn(Stream::Unix(stream?))?;
            }
        }
    }
    Ok(())
}

/// What is written down about one exchange.
#[derive(Default)]
struct Line {
    status: Option<u16>,
    request_body: usize,
    response_body: usize,
    first_byte: Option<Instant>,
    last_byte: Option<Instant>,
}

/// What becomes of the connection after an exchange.
#[derive(PartialEq)]
enum Next {
    Keep,
    End,
}

fn connection(mut connection: Connection, log: &File) {
    loop {
        let Ok(head) = connection.head() else { return };
        let started = connection.head_started();
        let mut line = Line::default();
        let next = answer(&mut connection, &head, &mut line);
        let end = line.last_byte.unwrap_or_else(Instant::now);
        let text = json!({
            "method": head.word(0),
            "path": head.word(1),
            "status": line.status,
            "request_body": line.request_body,
            "response_body": line.response_body,
            "seconds": (end - started).as_secs_f64(),
            "first_byte_seconds": line.first_byte.map(|at| (at - started).as_secs_f64()),
        });
        let _ = (&mut &*log).write_all(format!("{text}\n").as_bytes());
        if !matches!(next, Ok(Next::Keep)) {
            return;
        }
    }
}

/// Sends bytes in one call and notes the times.
fn send(connection: &mut Connection, line: &mut Line, bytes: &[u8]) -> Result<()> {
    connection.send(bytes)?;
    let now = Instant::now();
    line.first_byte.get_or_insert(now);
    line.last_byte = Some(now);
    Ok(())
}

/// Sends a response with `Content-Length` in one call.
fn respond(connection: &mut Connection, line: &mut Line, method: &str, status: u16, body: &[u8]) -> Result<()> {
    line.status = Some(status);
    let mut bytes = match status {
        204 | 304 => format!("HTTP/1.1 {status} Text\r\n\r\n").into_bytes(),
        _ => format!("HTTP/1.1 {status} Text\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(),
    };
    if method != "HEAD" && !matches!(status, 204 | 304) {
        bytes.extend_from_slice(body);
        line.response_body = body.len();
    }
    send(connection, line, &bytes)
}

/// Sends bytes back as they come, even where they look like HTTP, until the peer ends the stream.
fn tunnel(connection: &mut Connection) -> Next {
    while let Ok(bytes) = connection.some() {
        if bytes.is_empty() || connection.send(&bytes).is_err() {
            break;
        }
    }
    Next::End
}

fn read_body(connection: &mut Connection, head: &Head, line: &mut Line) -> Result<Vec<u8>> {
    let body = if head.chunked() {
        connection.chunked()?
    } else {
        connection.exactly(head.content_length().unwrap_or(0))?
    };
    line.request_body = body.len();
    Ok(body)
}

fn answer(connection: &mut Connection, head: &Head, line: &mut Line) -> Result<Next> {
    let method = head.word(0).to_string();
    let target = head.word(1).to_string();
    let path = target.split('?').next().unwrap_or("").to_string();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let number = |n: usize| parts.get(n).and_then(|part| part.parse::<u64>().ok()).unwrap_or(0);
    let continues = head.field("expect").is_some();
    match *parts.first().unwrap_or(&"") {
        // An answer before the body was read.
        "early" => {
            respond(connection, line, &method, 413, b"too large\n")?;
            let until = line.last_byte;
            let _ = read_body(connection, head, line);
            line.last_byte = until;
            connection.stream.shutdown(Shutdown::Write)?;
            return Ok(Next::End);
        }
        // A final answer to `Expect: 100-continue`, without the body.
        "refuse" => {
            respond(connection, line, &method, 417, b"no\n")?;
            return Ok(Next::Keep);
        }
        "upgrade" => {
            line.status = Some(101);
            let text = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
            send(connection, line, text.as_bytes())?;
            return Ok(tunnel(connection));
        }
        _ if method == "CONNECT" => {
            line.status = Some(200);
            send(connection, line, b"HTTP/1.1 200 Connected\r\n\r\n")?;
            return Ok(tunnel(connection));
        }
        // Ends without an answer.
        "silent" => {
            read_body(connection, head, line)?;
            return Ok(Next::End);
        }
        // Never answers; ends when the peer does.
        "hang" => {
            let _ = connection.to_end();
            return Ok(Next::End);
        }
        _ => {}
    }
    if continues {
        send(connection, line, b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = read_body(connection, head, line)?;
    match *parts.first().unwrap_or(&"") {
        "echo" => respond(connection, line, &method, 200, &body)?,
        "status" => respond(connection, line, &method, number(1) as u16, b"status\n")?,
        "bytes" => respond(connection, line, &method, 200, &vec![b'x'; number(1) as usize])?,
        "sleep" => {
            std::thread::sleep(Duration::from_millis(number(1)));
            respond(connection, line, &method, 200, b"slept\n")?;
        }
        "hints" => {
            send(connection, line, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")?;
            respond(connection, line, &method, 200, b"hinted\n")?;
        }
        // The response's head in one-byte writes.
        "split" => {
            line.status = Some(200);
            line.response_body = 3;
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" {
                send(connection, line, &[*byte])?;
            }
        }
        // A head alone, the body later.
        "late" => {
            line.status = Some(200);
            line.response_body = 4;
            send(connection, line, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
            std::thread::sleep(Duration::from_millis(number(1)));
            send(connection, line, b"late")?;
        }
        // So many chunks, one call each, so many milliseconds apart.
        "stream" => {
            line.status = Some(200);
            send(
                connection,
                line,
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            for n in 0..number(1) {
                std::thread::sleep(Duration::from_millis(number(2)));
                let event = format!("data: {n}\n\n");
                line.response_body += event.len();
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                send(connection, line, chunk.as_bytes())?;
            }
            send(connection, line, b"0\r\nTrailer: yes\r\n\r\n")?;
        }
        // Chunked, all in one call.
        "chunked" => {
            line.status = Some(200);
            line.response_body = 11;
            send(
                connection,
                line,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
            )?;
        }
        // Delimited by the end of the connection, as HTTP/1.0 does it.
        "close" => {
            line.status = Some(200);
            send(connection, line, b"HTTP/1.0 200 OK\r\n\r\n")?;
            line.response_body = number(1) as usize;
            send(connection, line, &vec![b'c'; number(1) as usize])?;
            return Ok(Next::End);
        }
        // The process ends in the middle of the body. The line is written by nobody.
        "crash" => {
            send(connection, line, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")?;
            // SAFETY: no memory is touched; the process ends here without any clean-up, as a crash would.
            unsafe { libc::_exit(1) };
        }
        // Says that more comes, and ends the connection.
        "short" => {
            line.status = Some(200);
            line.response_body = 4;
            send(connection, line, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")?;
            return Ok(Next::End);
        }
        // Not HTTP.
        "garbage" => {
            send(connection, line, b"\x00\x01\x02\xff\xfe no http here \r\n\r\n")?;
            return Ok(Next::End);
        }
        _ => {
            let status = if parts.first() == Some(&"ok") || target == "*" || target.starts_with("http://") {
                200
            } else {
                404
            };
            respond(connection, line, &method, status, b"ok\n").context("answer")?;
        }
    }
    Ok(Next::Keep)
}
