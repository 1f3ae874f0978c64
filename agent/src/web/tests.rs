//! The server over real connections on loopback.

use super::*;
use crate::export::prometheus::{Format, checker};
use crate::health::ProbeState;
use crate::metric::{Encoder, Family, Kind};
use flate2::read::GzDecoder;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

mod late;
pub(crate) mod pki;
mod secure;

const NUMBER: Family = Family::new("test_number", "", "A number.", Kind::Gauge);

struct One;
impl Source for One {
    fn collect(&self, out: &mut dyn Encoder) {
        out.family(&NUMBER);
        out.number(&[("label", "value")], 7.0);
    }
}

/// A server on a thread of its own; stops when dropped.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    health: Arc<Health>,
}

impl Running {
    fn start(change: impl FnOnce(&mut WebConfig), sources: Vec<Arc<dyn Source>>) -> Running {
        Running::start_with(change, sources.into())
    }

    fn start_with(change: impl FnOnce(&mut WebConfig), sources: Sources) -> Running {
        let mut config = WebConfig {
            listen: vec!["127.0.0.1:0".to_owned()],
            ..WebConfig::default()
        };
        change(&mut config);
        let health = Arc::new(Health::default());
        let web = Web::bind(config, sources, health.clone()).expect("a free port");
        let address = web.addresses()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let served = runtime.block_on(web.serve(async {
                let _ = stopped.await;
            }));
            served.expect("served");
        });
        Running {
            address,
            stop: Some(stop),
            thread: Some(thread),
            health,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("connected")
    }

    /// Sends a request that asks to close, and reads everything: status line and headers, body.
    fn request(&self, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
        exchange(self.connect(), method, path, headers).expect("answered")
    }

    #[track_caller]
    fn check(&self, method: &str, path: &str, status: u16, body: &str) -> String {
        let (head, answer) = self.request(method, path, "");
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{method} {path}: {head}"
        );
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(body), "{method} {path}: {answer}");
        head
    }
}

/// A request that asks to close, and its answer: status line and headers, body.
fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &str,
) -> std::io::Result<(String, Vec<u8>)> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let head = String::from_utf8(answer[..end].to_vec())
        .expect("a head of ASCII")
        .to_lowercase();
    let body = match head.contains("transfer-encoding: chunked") {
        true => unchunk(&answer[end..]),
        false => answer[end..].to_vec(),
    };
    Ok((head, body))
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let joined = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(joined, Some(Ok(()))));
    }
}

/// Whole chunks, ended by the empty one.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|bytes| bytes == b"\r\n")
            .expect("length of a chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).expect("ASCII"), 16).expect("hex");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
    }
}

#[test]
fn paths_and_methods() {
    let web = Running::start(|_| (), vec![Arc::new(One)]);
    web.check("GET", "/", 200, "<a href=\"/metrics\">");
    web.check("GET", "/healthz", 200, "ok\n");
    web.check("GET", "/metrics", 200, "test_number{label=\"value\"} 7\n");
    web.check("GET", "/metrics?x=y", 200, "test_number");
    web.check("POST", "/metrics", 200, "test_number");
    web.check("GET", "/nothing", 404, "Not found");
    web.check("GET", "/metrics/", 404, "Not found");
    assert!(
        web.check("DELETE", "/metrics", 405, "")
            .contains("allow: get, head, post")
    );
    assert!(web.check("POST", "/", 405, "").contains("allow: get, head\r\n"));
    for path in ["/", "/metrics"] {
        let (head, body) = web.request("HEAD", path, "");
        assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{path}");
    }
}

#[test]
fn formats_and_encodings() {
    let web = Running::start(|_| (), vec![Arc::new(One)]);
    let (head, body) = web.request("GET", "/metrics", "");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    checker::read(Format::Text, std::str::from_utf8(&body).expect("UTF-8"));
    let (head, body) = web.request(
        "GET",
        "/metrics",
        "Accept: application/openmetrics-text;version=1.0.0\r\nAccept: text/plain;q=0.5\r\nAccept-Encoding: gzip\r\n",
    );
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).expect("gzip");
    let samples = checker::read(Format::OpenMetrics, &text);
    let scrapes = samples
        .iter()
        .find(|sample| sample.name == "promhttp_metric_handler_requests_total");
    assert_eq!(scrapes.expect("counted").value, 1.0);
}

#[test]
fn readiness_names_every_probe() {
    let web = Running::start(|_| (), Vec::new());
    web.check("GET", "/readyz", 503, "no probe was tried yet");
    let state = |probe, alternative, reason: Option<&str>, loses| ProbeState {
        probe,
        group: None,
        alternative,
        replaced_by: None,
        loses,
        reason: reason.map(str::to_owned),
    };
    let no_socket = ProbeState {
        group: Some("capture"),
        ..state("socket", None, Some("no\nBTF"), "connections")
    };
    let process = state("process", Some("tp_btf"), None, "");
    let lesser = state("tcp_state", Some("raw_tp"), Some("tp_btf: too old"), "ends");
    let line = "socket: not attached: no BTF; not seen: connections\n";
    web.health.set_probes(vec![no_socket.clone(), process.clone()]);
    web.check("GET", "/readyz", 503, "not ready: no request is seen\n");
    web.check("GET", "/readyz", 503, line);
    let replaced = ProbeState {
        replaced_by: Some("syscall"),
        ..no_socket
    };
    web.health.set_probes(vec![replaced.clone(), process.clone()]);
    web.check("GET", "/readyz", 200, "ready\n");
    web.check(
        "GET",
        "/readyz",
        200,
        "socket: not attached, syscall is in its place: no BTF\n",
    );
    web.check("GET", "/readyz", 200, "process: attached (tp_btf)\n");
    web.health.set_probes(vec![replaced, process, lesser]);
    let line = "tcp_state: attached (raw_tp); refused were: tp_btf: too old; not seen: ends\n";
    web.check("GET", "/readyz", 200, line);
    web.check("GET", "/readyz", 200, "ready, but something is missing\n");
    web.health.set_missing(vec![&crate::privilege::NEEDED[2]]);
    web.check(
        "GET",
        "/readyz",
        200,
        "CAP_SYS_PTRACE is missing; not seen: service names",
    );
    web.health.set_shedding(Some("span detail".to_owned()));
    web.check("GET", "/readyz", 200, "\nabove the CPU budget: gives up span detail;");
}

#[test]
fn another_telemetry_path() {
    let web = Running::start(|config| config.telemetry_path = "/own".to_owned(), vec![Arc::new(One)]);
    web.check("GET", "/own", 200, "test_number");
    web.check("GET", "/metrics", 404, "");
    web.check("GET", "/", 200, "href=\"/own\"");
}

#[test]
fn addresses_that_do_not_do_are_named() {
    let bind = |address: &str| {
        let config = WebConfig {
            listen: vec![address.to_owned()],
            ..WebConfig::default()
        };
        Web::bind(config, Sources::default(), Arc::default())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let error = bind(&address);
    assert!(
        error.contains(&address) && error.contains("in use") && error.contains("--web.listen-address"),
        "{error}"
    );
    assert!(bind("nonsense").contains("--web.listen-address=nonsense"));
    // A network that is for documentation only.
    assert!(bind("192.0.2.1:1").contains("cannot listen on 192.0.2.1:1"));
    assert_eq!(bind("127.0.0.1:0"), "");
    assert_eq!(bind(":0"), "");
    let config = WebConfig {
        listen: Vec::new(),
        ..WebConfig::default()
    };
    assert!(matches!(
        Web::bind(config, Sources::default(), Arc::default()),
        Err(WebError::NoAddress)
    ));
    let config = WebConfig {
        telemetry_path: "metrics".to_owned(),
        ..WebConfig::default()
    };
    assert!(matches!(
        Web::bind(config, Sources::default(), Arc::default()),
        Err(WebError::Path { .. })
    ));
}

/// Says that it was entered and waits to be let go.
struct Gate {
    entered: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Source for Gate {
    fn collect(&self, _: &mut dyn Encoder) {
        let _ = self.entered.lock().expect("not poisoned").send(());
        let _ = self.go.lock().expect("not poisoned").recv();
    }
}

#[test]
fn more_scrapes_than_allowed_are_turned_away() {
    let (entered, was_entered) = channel();
    let (go, gate) = channel();
    let gate = Gate {
        entered: Mutex::new(entered),
        go: Mutex::new(gate),
    };
    let web = Running::start(|config| config.max_requests = 1, vec![Arc::new(gate)]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| web.request("GET", "/metrics", ""));
        was_entered.recv().expect("entered");
        web.check(
            "GET",
            "/metrics",
            503,
            "Limit of concurrent requests reached (1), try again later.",
        );
        web.check("GET", "/healthz", 200, "ok");
        go.send(()).expect("waiting");
        assert!(first.join().expect("answered").0.starts_with("http/1.1 200"));
    });
    go.send(()).expect("waiting");
    let text = web.request("GET", "/metrics", "").1;
    let samples = checker::read(Format::Text, std::str::from_utf8(&text).expect("UTF-8"));
    let by_code = |code: &str| {
        let name = "promhttp_metric_handler_requests_total";
        samples
            .iter()
            .find(|s| s.name == name && s.labels["code"] == code)
            .expect("a code")
            .value
    };
    assert_eq!((by_code("200"), by_code("503"), by_code("500")), (1.0, 1.0, 0.0));
    let in_flight = samples
        .iter()
        .find(|s| s.name == "promhttp_metric_handler_requests_in_flight");
    assert_eq!(in_flight.expect("a gauge").value, 1.0);
}

#[test]
fn more_connections_than_allowed_are_turned_away() {
    let web = Running::start(|config| config.max_connections = 1, vec![Arc::new(One)]);
    let mut first = web.connect();
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    let mut some = [0; 12];
    first.read_exact(&mut some).expect("an answer");
    let mut text = String::new();
    web.connect().read_to_string(&mut text).expect("an answer");
    assert!(
        text.starts_with("HTTP/1.1 503 ") && text.ends_with("\r\n\r\nToo many connections.\n"),
        "{text}"
    );
    // The first one still works.
    first
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut text = String::new();
    first.read_to_string(&mut text).expect("an answer");
    assert!(text.contains("onlooker_web_connections_refused_total 1\n"), "{text}");
}

#[test]
fn slow_and_large_heads_are_cut_off() {
    let web = Running::start(|config| config.header_timeout = Duration::from_millis(50), Vec::new());
    let mut slow = web.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").expect("sent");
    let mut answer = Vec::new();
    // Ends, instead of waiting for more.
    let _ = slow.read_to_end(&mut answer);
    let mut large = web.connect();
    let _ = large.write_all(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(4 * HEAD_LIMIT)).as_bytes());
    let mut answer = Vec::new();
    let _ = large.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    web.check("GET", "/healthz", 200, "ok");
}

/// Far more than socket buffers take, then says that it is through.
struct Flood(Mutex<Sender<()>>);

impl Source for Flood {
    fn collect(&self, out: &mut dyn Encoder) {
        out.family(&NUMBER);
        let filler = "x".repeat(16 * 1024);
        for index in 0..2_000 {
            out.number(&[("index", &index.to_string()), ("filler", &filler)], 1.0);
        }
        let _ = self.0.lock().expect("not poisoned").send(());
    }
}

#[test]
fn a_reader_that_stops_holds_nothing() {
    let (through, was_through) = channel();
    let flood = Flood(Mutex::new(through));
    let web = Running::start(
        |config| config.write_timeout = Duration::from_millis(50),
        vec![Arc::new(flood)],
    );
    let mut stopped = web.connect();
    stopped
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    was_through.recv().expect("the scrape ends although nobody reads");
    drop(stopped);
    // One that reads gets all of it.
    assert!(web.request("GET", "/metrics", "").1.len() > 32_000_000);
}

struct Panics;
impl Source for Panics {
    fn collect(&self, out: &mut dyn Encoder) {
        out.family(&NUMBER);
        panic!("a broken source");
    }
}

/// Scrapes with a source that panics behind others, and gives what came.
fn broken(mut sources: Vec<Arc<dyn Source>>) -> String {
    sources.push(Arc::new(Panics));
    let web = Running::start(|_| (), sources);
    let mut stream = web.connect();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    web.check("GET", "/healthz", 200, "ok");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_source_that_panics_fails_its_scrape_visibly() {
    let answer = broken(vec![Arc::new(One)]);
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let (told, _) = channel();
    let answer = broken(vec![Arc::new(Flood(Mutex::new(told)))]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "the beginning was sent");
    assert!(!answer.ends_with("0\r\n\r\n"), "the answer must not look whole");
}

#[test]
fn a_short_scrape_has_its_length() {
    let web = Running::start(|_| (), vec![Arc::new(One)]);
    for accepted in ["", "Accept-Encoding: gzip\r\n"] {
        let (head, _) = web.request("GET", "/metrics", accepted);
        assert!(head.to_lowercase().contains("content-length: "), "{head}");
    }
}
