//! Where spans, events and metrics are sent to by OTLP: can a connection be opened?

use super::{Finding, Patient};
use crate::export::otlp::{OtlpConfig, OtlpSignal};
use reqwest::Url;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// For looking up the name and connecting, all addresses together.
const LIMIT: Duration = Duration::from_secs(2);

/// The end points of the exporters' variables.
pub(super) fn endpoint(patient: &Patient<'_>) -> Vec<Finding> {
    let mut tried: Vec<(String, Result<SocketAddr, String>)> = Vec::new();
    OtlpSignal::ALL
        .into_iter()
        .filter_map(|signal| {
            let (name, what) = match signal {
                OtlpSignal::Traces => ("OTLP", "spans"),
                OtlpSignal::Logs => ("OTLP logs", "events"),
                OtlpSignal::Metrics => ("OTLP metrics", "pushed metrics"),
            };
            let config = match OtlpConfig::from_env(signal, &patient.config.otlp.over(patient.env)) {
                Ok(Some(config)) => config,
                Ok(None) => {
                    let found = format!("no end point is set; {what} are not sent anywhere");
                    return Some(Finding::pass(name, found));
                }
                // Told with the settings.
                Err(_) => return None,
            };
            let url = config.endpoint;
            // Without user and password.
            let shown = format!("{}{}", url.origin().ascii_serialization(), url.path());
            // All signals mostly go to one place, which is asked once.
            let place = url.origin().ascii_serialization();
            let known = tried.iter().find(|(known, _)| *known == place);
            let reached = known.map_or_else(|| reach(&url).map_err(|error| error.to_string()), |(_, reached)| reached.clone());
            tried.push((place, reached.clone()));
            Some(match reached {
                Ok(address) => Finding::pass(name, format!("{shown}: {address} accepts connections")),
                Err(error) => Finding::warn(
                    name,
                    format!("{shown}: {error}{}", proxy(patient, &url)),
                    format!("{what}, once the queue is full; /metrics is not concerned"),
                    "start the receiver there, or correct OTEL_EXPORTER_OTLP_ENDPOINT (usually port 4318, of gRPC 4317)",
                ),
            })
        })
        .collect()
}

/// The exporter's HTTP client heeds the variables of proxies; here the way without one was tried.
fn proxy(patient: &Patient<'_>, url: &Url) -> String {
    let names = match url.scheme() {
        "http" => ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        _ => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let set = |name: &&&str| (patient.env)(name).is_some_and(|value| !value.is_empty());
    match names.iter().find(set) {
        Some(name) => format!(" (by the proxy of {name} it may be reached all the same: not known)"),
        None => String::new(),
    }
}

/// Connects within the limit. The name is looked up in a thread: the resolver has limits of its own.
fn reach(url: &Url) -> io::Result<SocketAddr> {
    let end = Instant::now() + LIMIT;
    let (send, receive) = mpsc::channel();
    let asked = url.clone();
    std::thread::spawn(move || send.send(asked.socket_addrs(|| None)));
    let late = |what: &str| io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {LIMIT:?}"));
    let addresses = receive
        .recv_timeout(LIMIT)
        .map_err(|_| late("its name was not resolved"))??;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late("no connection"));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(address),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_and_a_closed_port_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let url = Url::parse(&format!("http://{address}/v1/traces")).expect("a URL");
        assert_eq!(reach(&url).expect("reached"), address);
        drop(listener);
        assert_eq!(
            reach(&url).expect_err("closed").kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
