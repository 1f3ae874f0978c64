//! TLS, passwords and what else `--web.config.file` says, and sockets from systemd.

use super::pki::Pki;
use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// A server with a web configuration file, and an authority beside it.
struct Secure {
    web: Running,
    pki: Pki,
    _folder: TempDir,
}

impl Secure {
    fn start(text: &str) -> Secure {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new(folder.path());
        pki.server("localhost");
        pki.write("web.yml", text);
        let path = pki.path("web.yml");
        let change = |config: &mut WebConfig| {
            config.config_file = Some(path);
            config.header_timeout = Duration::from_secs(5);
        };
        let web = Running::start(change, vec![Arc::new(One)]);
        Secure {
            web,
            pki,
            _folder: folder,
        }
    }

    /// A request over TLS to a server of that name, with the certificate of a client.
    fn get(
        &self,
        name: &str,
        certificate: Option<&str>,
        path: &str,
        headers: &str,
    ) -> std::io::Result<(String, String)> {
        let stream = self.pki.connect(self.web.connect(), name, certificate);
        let (head, body) = exchange(stream, "GET", path, headers)?;
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }

    #[track_caller]
    fn is_let_in(&self, certificate: Option<&str>) -> bool {
        match self.get("localhost", certificate, "/metrics", "") {
            Ok((head, body)) => {
                assert!(
                    head.starts_with("http/1.1 200 ") && body.contains("test_number"),
                    "{head}"
                );
                true
            }
            Err(_) => false,
        }
    }
}

fn users(users: &[(&str, &str)]) -> String {
    let line = |(name, password): &(&str, &str)| format!("  {name}: {}\n", bcrypt::hash(password, 4).expect("a hash"));
    format!("basic_auth_users:\n{}", users.iter().map(line).collect::<String>())
}

fn basic(login: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(login))
}

fn status(answer: &(String, Vec<u8>)) -> &str {
    answer.0.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn metrics_over_tls() {
    let secure = Secure::start(TLS);
    let (head, body) = secure
        .get("localhost", None, "/metrics", "Accept-Encoding: identity\r\n")
        .expect("answered");
    assert!(
        head.starts_with("http/1.1 200 ") && body.contains("test_number{label=\"value\"} 7\n"),
        "{head}"
    );
    assert!(
        secure.get("other", None, "/metrics", "").is_err(),
        "the client looks at the name"
    );
    // Somebody who speaks no TLS is told.
    let (head, body) = exchange(secure.web.connect(), "GET", "/metrics", "").expect("answered");
    assert!(
        head.starts_with("http/1.0 400 ") && body.starts_with(b"This is a server for HTTPS"),
        "{head}"
    );
    let text = secure.get("localhost", None, "/metrics", "").expect("answered").1;
    assert!(text.contains("\nonlooker_web_handshakes_failed_total 2\n"), "{text}");
}

#[test]
fn a_certificate_is_renewed_while_the_server_runs() {
    let secure = Secure::start(TLS);
    assert!(secure.is_let_in(None));
    secure.pki.server("renewed.example");
    assert!(secure.get("renewed.example", None, "/healthz", "").is_ok());
    assert!(secure.get("localhost", None, "/healthz", "").is_err());
    // Half of a renewal: the certificate before goes on.
    secure.pki.write("server.key", "-----BEGIN PRIVATE KEY-----\n");
    assert!(secure.get("renewed.example", None, "/healthz", "").is_ok());
    secure.pki.server("localhost");
    assert!(secure.is_let_in(None));
    secure.pki.write("web.yml", &format!("{TLS}nonsense: 1\n"));
    assert!(secure.is_let_in(None));
    secure.pki.write(
        "web.yml",
        &format!("{TLS}  max_version: TLS12\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"),
    );
    let mut stream = secure.pki.connect(secure.web.connect(), "localhost", None);
    let (head, _) = exchange(&mut stream, "GET", "/healthz", "").expect("answered");
    assert!(head.contains("x-frame-options: deny\r\n"), "{head}");
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    assert_eq!(stream.conn.alpn_protocol(), None, "none was offered");
}

#[test]
fn certificates_of_clients() {
    let with = |text: &str| {
        let secure = Secure::start(&format!("{TLS}{text}"));
        secure.pki.client("known.example");
        secure.pki.client("10.0.0.1");
        // Of another authority.
        let other = tempfile::tempdir().expect("a folder");
        let stranger = Pki::new(other.path());
        stranger.client("stranger.example");
        for end in ["crt", "key"] {
            let name = format!("stranger.example.{end}");
            std::fs::copy(stranger.path(&name), secure.pki.path(&name)).expect("copied");
        }
        let certificates = [None, Some("known.example"), Some("10.0.0.1"), Some("stranger.example")];
        certificates.map(|certificate| secure.is_let_in(certificate))
    };
    let ca = "  client_ca_file: ca.crt\n";
    for (text, expect) in [
        (
            "  client_auth_type: NoClientCert\n".to_owned(),
            [true, true, true, true],
        ),
        (
            "  client_auth_type: RequestClientCert\n".to_owned(),
            [true, true, true, true],
        ),
        (
            "  client_auth_type: RequireAnyClientCert\n".to_owned(),
            [false, true, true, true],
        ),
        (
            format!("{ca}  client_auth_type: VerifyClientCertIfGiven\n"),
            [true, true, true, false],
        ),
        (
            format!("{ca}  client_auth_type: RequireAndVerifyClientCert\n"),
            [false, true, true, false],
        ),
        (
            format!("{ca}  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [x, known.example]\n"),
            [false, true, false, false],
        ),
        (
            "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [10.0.0.1, stranger.example]\n"
                .to_owned(),
            [false, false, true, true],
        ),
        (
            format!("{ca}  client_auth_type: RequireAndVerifyClientCert\n  max_version: TLS12\n"),
            [false, true, true, false],
        ),
    ] {
        assert_eq!(with(&text), expect, "{text}");
    }
}

#[test]
fn who_begins_no_handshake_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::new(folder.path());
    pki.server("localhost");
    pki.write("web.yml", TLS);
    let path = pki.path("web.yml");
    let change = |config: &mut WebConfig| {
        config.config_file = Some(path);
        config.header_timeout = Duration::from_millis(50);
        config.max_connections = 2;
    };
    let web = Running::start(change, Vec::new());
    for begin in [&b""[..], &[22, 3, 1], b"G"] {
        let mut stream = web.connect();
        stream.write_all(begin).expect("sent");
        let mut answer = Vec::new();
        // Ends, instead of waiting for more.
        let _ = stream.read_to_end(&mut answer);
    }
    // Beyond the limit a connection ends without a word.
    let held = [web.connect(), web.connect()];
    let mut answer = Vec::new();
    let _ = web.connect().read_to_end(&mut answer);
    assert!(answer.is_empty() || answer[0] == 21, "an alert at most: {answer:?}");
    drop(held);
}

#[test]
fn a_reader_that_stops_holds_nothing_behind_tls_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::new(folder.path());
    pki.server("localhost");
    pki.write("web.yml", TLS);
    let path = pki.path("web.yml");
    let (through, was_through) = channel();
    let change = |config: &mut WebConfig| {
        config.config_file = Some(path);
        config.write_timeout = Duration::from_millis(50);
    };
    let web = Running::start(change, vec![Arc::new(Flood(Mutex::new(through)))]);
    let mut stopped = pki.connect(web.connect(), "localhost", None);
    stopped
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    was_through.recv().expect("the scrape ends although nobody reads");
    drop(stopped);
    let all = exchange(pki.connect(web.connect(), "localhost", None), "GET", "/metrics", "").expect("answered");
    assert!(all.1.len() > 32_000_000);
}

#[test]
fn passwords_are_asked_for_on_every_path() {
    let secure = Secure::start(&users(&[("alice", "secret")]));
    let web = &secure.web;
    for path in ["/", "/metrics", "/healthz", "/readyz", "/nothing"] {
        let (head, body) = web.request("GET", path, "");
        assert!(
            head.starts_with("http/1.1 401 ") && head.contains("www-authenticate: basic "),
            "{path}: {head}"
        );
        assert_eq!(body, b"Unauthorized.\n");
    }
    for (login, expect) in [("alice:secret", "200"), ("alice:guess", "401"), ("bob:secret", "401")] {
        for _ in 0..2 {
            assert_eq!(
                status(&web.request("GET", "/metrics", &basic(login))),
                expect,
                "{login}"
            );
        }
    }
    assert_eq!(status(&web.request("GET", "/nothing", &basic("alice:secret"))), "404");
    let text = web.request("GET", "/metrics", &basic("alice:secret")).1;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.contains("onlooker_web_requests_turned_away_total{reason=\"login\"} 9\n"),
        "{text}"
    );

    // Another password, without a restart; then a change that would open the door.
    secure
        .pki
        .write("web.yml", &users(&[("alice", "other"), ("bob", "secret")]));
    assert_eq!(status(&web.request("GET", "/metrics", &basic("alice:secret"))), "401");
    assert_eq!(status(&web.request("GET", "/metrics", &basic("alice:other"))), "200");
    assert_eq!(status(&web.request("GET", "/metrics", &basic("bob:secret"))), "200");
    secure.pki.write("web.yml", "");
    assert_eq!(status(&web.request("GET", "/metrics", "")), "401");
}

#[test]
fn many_wrong_passwords_are_turned_away_and_right_ones_go_on() {
    let secure = Secure::start(&users(&[("alice", "secret")]));
    let web = &secure.web;
    assert_eq!(status(&web.request("GET", "/healthz", &basic("alice:secret"))), "200");
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..32)
            .map(|index| scope.spawn(move || web.request("GET", "/healthz", &basic(&format!("alice:{index}"))).0))
            .collect();
        // Known, so not in line.
        assert_eq!(status(&web.request("GET", "/healthz", &basic("alice:secret"))), "200");
        for guess in guesses {
            let head = guess.join().expect("answered");
            assert!(
                head.starts_with("http/1.1 401 ") || head.starts_with("http/1.1 429 "),
                "{head}"
            );
        }
    });
}

#[test]
fn requests_beyond_the_rate_are_turned_away() {
    let secure = Secure::start("rate_limit: {interval: 1h, burst: 2}\n");
    let answers: Vec<_> = (0..3).map(|_| secure.web.request("GET", "/healthz", "")).collect();
    let statuses: Vec<_> = answers.iter().map(status).collect();
    assert_eq!(statuses, ["200", "200", "429"]);
    assert!(answers[2].0.contains("retry-after: 1\r\n"));
}

#[test]
fn a_broken_file_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.yml");
    std::fs::write(&path, "basic_auth_users:\n  bob: hunter2\nnonsense: 1\n").expect("written");
    let config = WebConfig {
        listen: vec!["127.0.0.1:0".to_owned()],
        config_file: Some(path.clone()),
        ..WebConfig::default()
    };
    let error = Web::bind(config, Sources::default(), Arc::default())
        .err()
        .expect("refused");
    let text = error.to_string();
    assert!(
        text.contains(&format!("{}:2: basic_auth_users.bob: ", path.display())),
        "{text}"
    );
    assert!(text.contains(":3: nonsense: is no known key"), "{text}");
}

#[test]
fn nothing_is_told_of_the_server_itself_when_that_is_switched_off() {
    let web = Running::start(|config| config.own_metrics = false, vec![Arc::new(One)]);
    let text = String::from_utf8_lossy(&web.request("GET", "/metrics", "").1).into_owned();
    assert!(text.contains("test_number"), "{text}");
    assert!(!text.contains("promhttp_") && !text.contains("onlooker_"), "{text}");
}

/// Begins with a sample of its own.
struct Build;
impl Source for Build {
    fn collect(&self, out: &mut dyn Encoder) {
        out.family(&Family::new("test_build", "", "Always.", Kind::Gauge));
        out.number(&[], 1.0);
    }
}

#[test]
fn some_sources_are_told_whatever_is_asked_for() {
    let sources = Sources {
        always: vec![Arc::new(Build)],
        all: vec![Arc::new(One)],
        collectors: Arc::new(Runner::new(
            &crate::host::Host::default(),
            &crate::collectors::node::flags::Settings::default(),
        )),
    };
    let web = Running::start_with(|_| (), sources);
    let text = |path: &str| String::from_utf8_lossy(&web.request("GET", path, "").1).into_owned();
    assert!(text("/metrics").contains("test_build 1\n") && text("/metrics").contains("test_number"));
    let one = text("/metrics?collect[]=loadavg");
    assert!(one.contains("test_build 1\n") && !one.contains("test_number"), "{one}");
}

/// Runs in a process of its own, which [`sockets_from_systemd_are_served_on`] starts.
#[test]
#[ignore = "needs a socket that is passed"]
fn serves_on_what_is_passed() {
    let config = WebConfig {
        // Not to be taken.
        listen: vec!["192.0.2.1:1".to_owned()],
        systemd_socket: true,
        ..WebConfig::default()
    };
    let web = match Web::bind(config, Sources::default(), Arc::default()) {
        Ok(web) => web,
        Err(error) => return println!("refused: {error}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let while_tested = async { tokio::time::sleep(Duration::from_secs(60)).await };
    runtime
        .expect("a runtime")
        .block_on(web.serve(while_tested))
        .expect("served");
}

/// This test in a process that was passed something, or nothing, as its third descriptor.
fn passed(what: Option<OwnedFd>, environment: &str) -> Command {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("sh");
    // As systemd does it: descriptors from 3 on, and the process named.
    let line = format!("{environment} exec \"$0\" \"$@\" 3<&0");
    let test = "web::tests::secure::serves_on_what_is_passed";
    command
        .args(["-c", &line])
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture"]);
    command
        .stdin(what.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped());
    command
}

#[test]
fn sockets_from_systemd_are_served_on() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut child = passed(Some(listener.into()), "LISTEN_PID=$$ LISTEN_FDS=1")
        .spawn()
        .expect("started");
    let answer = exchange(TcpStream::connect(address).expect("connected"), "GET", "/healthz", "");
    child.kill().expect("ended");
    child.wait().expect("ended");
    assert_eq!(status(&answer.expect("answered")), "200");
}

#[test]
fn what_systemd_did_not_pass_is_told() {
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    for (what, environment, expect) in [
        (None, "", "systemd passed no socket"),
        (None, "LISTEN_PID=1 LISTEN_FDS=1", "systemd passed no socket"),
        (None, "LISTEN_PID=$$ LISTEN_FDS=1", "none for TCP connections"),
        (
            Some(datagrams.into()),
            "LISTEN_PID=$$ LISTEN_FDS=1",
            "none for TCP connections",
        ),
    ] {
        let output = passed(what, environment).output().expect("ran");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("refused: ") && text.contains(expect),
            "{environment}: {text}"
        );
    }
}
