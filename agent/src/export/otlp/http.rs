//! OTLP/HTTP: one POST per batch, and what its response means
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>).

use super::retry::{Outcome, Transport};
use super::{Loss, OtlpConfig, OtlpItem};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use std::io::Write;
use std::time::{Duration, SystemTime};

/// Bytes of a response that are read; a partial success' message is short.
const RESPONSE_LIMIT: usize = 64 << 10;
/// No batch waits longer than this, whatever the receiver asks for.
const RETRY_LIMIT: Duration = Duration::from_secs(86_400);
/// Characters of a receiver's message that reach the log.
const MESSAGE_LIMIT: usize = 300;

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an HTTP client for {target}: {source}")]
pub struct OtlpSetupError {
    target: String,
    source: reqwest::Error,
}

/// HTTP clients of all exporters: those that go the same way share one, with its connections.
#[derive(Debug, Default)]
pub struct OtlpClients(Vec<(Way, Client)>);

/// What an endpoint asks of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    /// Without TLS.
    plain: bool,
    /// On this host.
    near: bool,
}

impl OtlpClients {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn of(&mut self, endpoint: &Url) -> Result<Client, reqwest::Error> {
        let way = Way {
            plain: endpoint.scheme() == "http",
            near: is_loopback(endpoint),
        };
        if let Some((_, client)) = self.0.iter().find(|(known, _)| *known == way) {
            return Ok(client.clone());
        }
        // An error says that there is a provider already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("OTel-OTLP-Exporter-Rust onlooker/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        if way.plain {
            // No certificates are read from the disk for a connection that has none.
            builder = builder.tls_certs_only([]);
        }
        if way.near {
            builder = builder.no_proxy();
        }
        let client = builder.build()?;
        self.0.push((way, client.clone()));
        Ok(client)
    }
}

pub(super) struct HttpTransport {
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
    timeout: Duration,
    gzip: bool,
    /// The endpoint without user, password and query.
    target: String,
    /// See [`OtlpItem::partial`].
    partial: fn(&[u8]) -> Option<(i64, String)>,
}

impl HttpTransport {
    pub(super) fn new<I: OtlpItem>(
        config: &OtlpConfig,
        clients: &mut OtlpClients,
    ) -> Result<HttpTransport, OtlpSetupError> {
        let endpoint = config.endpoint.clone();
        let target = format!("{}{}", endpoint.origin().ascii_serialization(), endpoint.path());
        let client = clients.of(&endpoint).map_err(|source| OtlpSetupError {
            target: target.clone(),
            source,
        })?;
        let mut headers = config.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if config.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(HttpTransport {
            client,
            endpoint,
            headers,
            timeout: config.timeout,
            gzip: config.gzip,
            target,
            partial: I::partial,
        })
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: Bytes) -> Outcome {
        let request = self
            .client
            .post(self.endpoint.clone())
            .headers(self.headers.clone())
            .timeout(self.timeout)
            .body(request);
        match request.send().await {
            Ok(response) => judge(response, self.partial).await,
            Err(error) if error.is_builder() => Outcome::Refused {
                loss: Loss::RefusedOther,
                why: causes(&error),
            },
            Err(error) => Outcome::Retry {
                after: None,
                why: causes(&error),
            },
        }
    }

    fn pack(&self, request: Vec<u8>) -> Bytes {
        if !self.gzip {
            return request.into();
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(request.len() / 4), Compression::fast());
        // Writing to a Vec does not fail.
        let _ = encoder.write_all(&request);
        encoder.finish().unwrap_or_default().into()
    }

    fn target(&self) -> &str {
        &self.target
    }
}

async fn judge(response: Response, partial: fn(&[u8]) -> Option<(i64, String)>) -> Outcome {
    let status = response.status();
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| retry_after(value, SystemTime::now()));
    if status.is_success() {
        return accepted(response, partial).await;
    }
    let why = format!("the receiver answered {status}");
    let loss = match status.as_u16() {
        429 | 502 | 503 | 504 => return Outcome::Retry { after, why },
        400..=499 => Loss::Refused4xx,
        500..=599 => Loss::Refused5xx,
        _ => Loss::RefusedOther,
    };
    let detail = body(response).await.unwrap_or_default();
    // The body of an error is a protobuf `google.rpc.Status` or text; the readable part of either is of use.
    Outcome::Refused {
        loss,
        why: with_message(why, &String::from_utf8_lossy(&detail)),
    }
}

/// A success may be partial. The items are with the receiver even when its words are not understood.
async fn accepted(response: Response, partial: fn(&[u8]) -> Option<(i64, String)>) -> Outcome {
    let body = body(response).await.unwrap_or_default();
    let (rejected, message) = partial(&body).unwrap_or_default();
    Outcome::Accepted {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message: clean(&message),
    }
}

/// The body, when it comes whole and is not too long.
async fn body(mut response: Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len() + chunk.len() > RESPONSE_LIMIT {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

/// RFC 9110, section 10.2.3: seconds or a date. At most [`RETRY_LIMIT`].
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(RETRY_LIMIT));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default().min(RETRY_LIMIT))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// An error and what caused it, without the URL (it may hold a password).
fn causes(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "timed out".to_owned(),
        error if error.is_connect() => "cannot connect".to_owned(),
        _ => "sending failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.source();
        if next.is_none() {
            text = format!("{text}: {error}");
        }
        cause = next;
    }
    text
}

fn with_message(text: String, message: &str) -> String {
    let message = clean(message);
    if message.is_empty() {
        text
    } else {
        format!("{text}: {message}")
    }
}

/// One line of bounded length without control characters.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER)
        .take(MESSAGE_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |text: &str, expect: Option<u64>| {
            let found = retry_after(&HeaderValue::from_str(text).unwrap(), now);
            assert_eq!(found, expect.map(Duration::from_secs), "{text}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("18446744073709551615", Some(86_400));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400));
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
        check("Sun, 06 Nov 1994 08:49:27 GMT", Some(0));
        check("-1", None);
        check("soon", None);
    }

    #[test]
    fn loopback() {
        let check = |url: &str, expect: bool| assert_eq!(is_loopback(&Url::parse(url).unwrap()), expect, "{url}");
        check("http://localhost:4318/", true);
        check("http://127.3.2.1/", true);
        check("http://[::1]:4318/", true);
        check("http://10.0.0.1/", false);
        check("http://localhost.example/", false);
    }
}
