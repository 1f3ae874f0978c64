//! nginx, unmodified, compared with its own access log.

use onlooker_tests::agent::shared;
use onlooker_tests::case::{Role, expect, expect_body_sizes};
use onlooker_tests::http::{Connection, request};
use onlooker_tests::need;
use onlooker_tests::require::Need;
use onlooker_tests::servers::{Nginx, NginxOptions, Server};
use onlooker_tests::truth::Request;
use onlooker_tests::wait;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

fn start(case: &str, server: &str) -> Nginx {
    shared();
    let options = NginxOptions {
        server: server.into(),
        ..NginxOptions::default()
    };
    Nginx::start(case, &options).unwrap()
}

/// Static files of many sizes, with this setting of sendfile.
fn static_files(sendfile: &str) {
    let nginx = start(
        "static",
        &format!("sendfile {sendfile}; tcp_nopush {sendfile}; location / {{ }}"),
    );
    let sizes = [0usize, 1, 1000, 32_768, 65_537, 1_000_000, 8_000_000];
    for size in sizes {
        std::fs::write(nginx.root.join(format!("file{size}")), vec![b'f'; size]).unwrap();
    }
    let mut connection = Connection::open(&nginx.server.target).unwrap();
    for size in sizes {
        let answer = connection.exchange("GET", &format!("/file{size}"), b"").unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, size));
    }
    let log = nginx.server.log.wait(sizes.len()).unwrap();
    expect(&nginx.server.service, Role::Server, &log);
    expect_body_sizes(&nginx.server.service, Role::Server, &log);
}

/// Bodies by sendfile.
#[test]
fn files_by_sendfile() {
    need!(Need::Agent, Need::Program("nginx"));
    static_files("on");
}

/// Bodies by read and writev.
#[test]
fn files_without_sendfile() {
    need!(Need::Agent, Need::Program("nginx"));
    static_files("off");
}

/// Conditional requests, ranges, HEAD, missing files, refused methods and malformed requests.
#[test]
fn statuses() {
    need!(Need::Agent, Need::Program("nginx"));
    let nginx = start(
        "statuses",
        "location / { } location /old { return 301 /new; } location /teapot { return 418; }",
    );
    std::fs::write(nginx.root.join("page"), vec![b'p'; 10_000]).unwrap();
    let target = &nginx.server.target;
    let mut connection = Connection::open(target).unwrap();
    let page = connection.exchange("GET", "/page", b"").unwrap();
    let etag = page.head.field("etag").unwrap().to_string();
    let none: &[(&str, &str)] = &[];
    let cases = [
        ("GET", "/page", &[("If-None-Match", etag.as_str())][..], 304),
        ("GET", "/page", &[("Range", "bytes=0-99")][..], 206),
        ("GET", "/page", &[("Range", "bytes=99999-")][..], 416),
        ("HEAD", "/page", none, 200),
        ("GET", "/missing", none, 404),
        ("GET", "/old", none, 301),
        ("GET", "/teapot", none, 418),
        ("DELETE", "/page", none, 405),
    ];
    for (method, path, fields, status) in cases {
        connection.send(&request(method, path, fields, b"")).unwrap();
        assert_eq!(connection.response(method).unwrap().status, status, "{method} {path}");
    }
    let log = nginx.server.log.wait(9).unwrap();
    expect(&nginx.server.service, Role::Server, &log);
}

/// A proxy: nginx is a server and a client, the upstream a server, and each is reported as the logs say.
#[test]
fn proxy() {
    need!(Need::Agent, Need::Program("nginx"));
    shared();
    let upstream = Server::raw("upstream", "127.0.0.1").unwrap();
    let nginx = start(
        "proxy",
        &format!(
            "location / {{ proxy_pass {}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}",
            upstream.url()
        ),
    );
    let mut connection = Connection::open(&nginx.server.target).unwrap();
    for n in 0..30 {
        let path = ["/ok/a", "/status/404", "/status/503", "/chunked", "/bytes/100000"][n % 5];
        connection.exchange("GET", path, b"").unwrap();
    }
    connection.exchange("POST", "/echo", &vec![b'p'; 50_000]).unwrap();
    let log = nginx.server.log.wait(31).unwrap();
    let behind = upstream.log.wait(31).unwrap();
    expect(&nginx.server.service, Role::Server, &log);
    expect(&nginx.server.service, Role::Client, &behind);
    expect(&upstream.service, Role::Server, &behind);
}

/// An upstream that refuses connections gives 502 without a client exchange that has a status.
#[test]
fn proxy_without_upstream() {
    need!(Need::Agent, Need::Program("nginx"));
    let port = onlooker_tests::process::free_port();
    let nginx = start(
        "nobody",
        &format!("location / {{ proxy_pass http://127.0.0.1:{port}; }}"),
    );
    let mut connection = Connection::open(&nginx.server.target).unwrap();
    assert_eq!(connection.exchange("GET", "/x", b"").unwrap().status, 502);
    let log = nginx.server.log.wait(1).unwrap();
    expect(&nginx.server.service, Role::Server, &log);
    for agent in shared() {
        assert!(
            agent.spans(&nginx.server.service, "CLIENT").is_empty(),
            "{}",
            agent.hooks
        );
    }
}

/// 100 MB by sendfile to a reader that takes its time: the duration is that of the download, the time to first byte that of
/// the first byte.
#[test]
fn throttled_download() {
    need!(Need::Agent, Need::Program("nginx"));
    let nginx = start("download", "sendfile on; location / { }");
    let size = 100_000_000;
    std::fs::write(nginx.root.join("large"), vec![b'd'; size]).unwrap();
    let mut connection = Connection::open(&nginx.server.target).unwrap();
    let buffer: libc::c_int = 256 << 10;
    // SAFETY: the descriptor is open, and the option value is a live integer of the length given.
    let result = unsafe {
        libc::setsockopt(
            connection.stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const buffer).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    let started = Instant::now();
    connection.send(&request("GET", "/large", &[], b"")).unwrap();
    let head = connection.head().unwrap();
    let first_byte = started.elapsed();
    assert_eq!(head.content_length(), Some(size));
    let mut left = size - connection.ahead();
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let most = left.min(buffer.len());
        let got = connection.stream.read(&mut buffer[..most]).unwrap();
        assert!(got > 0);
        left -= got;
        std::thread::sleep(Duration::from_millis(4)); // the throttle
    }
    let download = started.elapsed();
    let log = nginx.server.log.wait(1).unwrap();
    expect(&nginx.server.service, Role::Server, &log);
    expect_body_sizes(&nginx.server.service, Role::Server, &log);
    let own = log[0].seconds.unwrap();
    assert!(own > 1.0, "the reader was not slow: {own} s");
    for agent in shared() {
        let span = &agent.spans(&nginx.server.service, "SERVER")[0];
        // nginx's clock has milliseconds and is read once per round of its event loop.
        assert!(
            (span.seconds - own).abs() < 0.02,
            "{}: {} s, nginx says {own} s",
            agent.hooks,
            span.seconds
        );
        assert!(
            span.seconds <= download.as_secs_f64() + 0.02 * f64::from(wait::slow()),
            "{}",
            agent.hooks
        );
        let scrape = agent.scrape().unwrap();
        let labels = [("service_name", nginx.server.service.as_str())];
        let name = "onlooker_http_server_time_to_first_byte_seconds";
        assert_eq!(scrape.sum(&format!("{name}_count"), &labels), 1.0, "{}", agent.hooks);
        let reported = scrape.sum(&format!("{name}_sum"), &labels);
        assert!(
            reported <= first_byte.as_secs_f64() + 0.01,
            "{}: {reported} s to the first byte, the driver waited {first_byte:?}",
            agent.hooks
        );
    }
}

/// A head beyond nginx's limits is refused with 400 or 414, and counted as such.
#[test]
fn refused_heads() {
    need!(Need::Agent, Need::Program("nginx"));
    let nginx = start("heads", "location / { return 200 \"ok\\n\"; }");
    let long = "x".repeat(40_000);
    for (path, fields, status) in [
        (format!("/{long}"), vec![], 414),
        ("/cookie".to_string(), vec![("Cookie", long.as_str())], 400),
    ] {
        let mut connection = Connection::open(&nginx.server.target).unwrap();
        connection.send(&request("GET", &path, &fields, b"")).unwrap();
        assert_eq!(connection.response("GET").unwrap().status, status);
    }
    let log = nginx.server.log.wait(2).unwrap();
    // nginx logs the target as empty where it refused to read it, so methods and statuses alone are compared.
    let truth: Vec<Request> = log
        .iter()
        .map(|line| Request::new("GET", &line.path, line.status))
        .collect();
    for agent in shared() {
        agent.settle().unwrap();
        onlooker_tests::case::expect_metrics(agent, &nginx.server.service, Role::Server, &truth).unwrap();
    }
}
