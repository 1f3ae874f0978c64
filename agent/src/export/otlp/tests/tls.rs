//! TLS with an authority of our own, certificates of clients, and a proxy between.

use super::server::{Answer, Server, send, serve, settings, tls, transport};
use super::*;
use crate::export::otlp::client::{Lookup, Means};
use crate::export::otlp::retry::Outcome;
use crate::web::tests::pki::Pki;
use tempfile::TempDir;

const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];

fn pki() -> (TempDir, Pki) {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    pki.server("localhost");
    pki.client("agent");
    (folder, pki)
}

fn server(pki: &Pki, protocol: &str, asks: bool) -> Server {
    let grpc = protocol == "grpc";
    let alpn = if grpc { "h2" } else { "http/1.1" };
    serve(listen().0, grpc, Some(tls(pki, asks, &[alpn])), vec![])
}

/// Sends one span with these settings to `localhost`: what became of it.
fn outcome(server: &Server, protocol: &str, more: &[(&str, &str)]) -> Outcome {
    let endpoint = format!("https://localhost:{}", server.address.port());
    let base = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
    ];
    let config = settings::<Span>(&[&base, more].concat());
    // By whichever family the name is looked up.
    let address = server.address;
    let mut clients = OtlpClients::with(Means {
        lookup: Lookup::new(move |_| Box::pin(async move { Ok(vec![address]) })),
        ..Means::default()
    });
    let transport = transport::<Span>(&config, &mut clients);
    runtime().block_on(send(&transport, vec![Span::sample(1)]))
}

fn untrusted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Retry { why, .. } if why.starts_with("cannot connect"))
}

fn accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted { rejected: 0, .. })
}

#[test]
fn a_server_is_trusted_by_the_certificate_that_was_given() {
    let (_folder, pki) = pki();
    let ca = pki.path("ca.crt").display().to_string();
    for protocol in PROTOCOLS {
        let server = server(&pki, protocol, false);
        let found = outcome(&server, protocol, &[]);
        assert!(untrusted(&found), "no root of the system signed it: {found:?}");
        assert_eq!(server.calls.try_iter().count(), 0);
        for name in [
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        ] {
            let found = outcome(&server, protocol, &[(name, &ca)]);
            assert!(accepted(&found), "{found:?}");
        }
        assert_eq!(server.calls.try_iter().count(), 2);
    }
}

#[test]
fn a_server_that_asks_for_a_certificate_refuses_who_has_none() {
    let (_folder, pki) = pki();
    let path = |name: &str| pki.path(name).display().to_string();
    let (ca, certificate, key) = (path("ca.crt"), path("agent.crt"), path("agent.key"));
    let trusting = ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str());
    let identity = [
        trusting,
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &certificate),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
    ];
    for protocol in PROTOCOLS {
        let server = server(&pki, protocol, true);
        let found = outcome(&server, protocol, &[trusting]);
        assert!(matches!(found, Outcome::Retry { .. }), "{found:?}");
        assert_eq!(server.calls.try_iter().count(), 0);
        let found = outcome(&server, protocol, &identity);
        assert!(accepted(&found), "{found:?}");
        assert_eq!(server.calls.try_iter().count(), 1);
    }
}

/// A proxy that makes one tunnel for `collector.example`, to this address; gives the line and headers it was asked with.
fn proxy(to: SocketAddr) -> (SocketAddr, std::thread::JoinHandle<Vec<String>>) {
    let (listener, address) = listen();
    let proxy = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut lines = Vec::new();
        let mut reader = BufReader::new(client.try_clone().unwrap());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut receiver = std::net::TcpStream::connect(to).unwrap();
        let (mut back, mut forth) = (client.try_clone().unwrap(), receiver.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut forth, &mut back));
        // Nothing was read ahead: the client waits for the answer before it says more.
        let _ = std::io::copy(&mut client, &mut receiver);
        lines
    });
    (address, proxy)
}

#[test]
fn tls_goes_through_the_tunnel_of_a_proxy() {
    let (_folder, pki) = pki();
    pki.server("collector.example");
    let ca = pki.path("ca.crt").display().to_string();
    for protocol in PROTOCOLS {
        let server = server(&pki, protocol, false);
        let (address, proxy) = proxy(server.address);
        let config = settings::<Span>(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4321"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca),
        ]);
        let mut clients = OtlpClients::with(Means {
            proxy: Some(Url::parse(&format!("http://user:pass@{address}")).unwrap()),
            ..Means::default()
        });
        let sender = transport::<Span>(&config, &mut clients);
        let found = runtime().block_on(send(&sender, vec![Span::sample(1)]));
        assert!(accepted(&found), "{found:?}");
        drop((sender, clients));
        let asked = proxy.join().unwrap();
        assert_eq!(asked[0], "CONNECT collector.example:4321 HTTP/1.1");
        let login = asked
            .iter()
            .any(|line| line.eq_ignore_ascii_case("proxy-authorization: Basic dXNlcjpwYXNz"));
        assert!(login, "{asked:?}");
        assert_eq!(server.calls.try_iter().count(), 1);
    }
}

/// Without TLS gRPC goes straight: a proxy would be spoken to by HTTP/2.
#[test]
fn grpc_without_tls_goes_past_a_proxy() {
    let server = serve(listen().0, true, None, vec![Answer::ok()]);
    let port = server.address.port();
    let endpoint = format!("http://collector.example:{port}");
    let config = settings::<Span>(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    let address = server.address;
    let mut clients = OtlpClients::with(Means {
        lookup: Lookup::new(move |_| Box::pin(async move { Ok(vec![address]) })),
        proxy: Some(Url::parse("http://192.0.2.1:9").unwrap()),
        ..Means::default()
    });
    let transport = transport::<Span>(&config, &mut clients);
    let found = runtime().block_on(send(&transport, vec![Span::sample(1)]));
    assert!(accepted(&found), "{found:?}");
}
