//! Requests to the API server: who asks, and what an answer that is no success means.

use super::counts::Reason;
use super::object::Status;
use super::settings::Settings;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Response, StatusCode, Url};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an answer that tells an error.
const ERROR_MAX: usize = 16 << 10;
/// Characters of the server's words that reach the log.
const MESSAGE_MAX: usize = 300;
/// No server is waited for longer than this, whatever it asks for.
const AFTER_MAX: Duration = Duration::from_secs(300);

/// A request, or a watch, that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// For the log; never holds the token.
    pub(super) why: String,
    /// How long the server asks to be left alone.
    pub(super) after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(reason: Reason, why: impl Into<String>) -> Failure {
        Failure {
            reason,
            why: why.into(),
            after: None,
        }
    }

    /// What an error that the server tells stands for.
    pub(super) fn of_status(code: u16, message: &str) -> Failure {
        let reason = match code {
            401 => Reason::Unauthorized,
            403 => Reason::Forbidden,
            410 => Reason::Gone,
            429 | 503 => Reason::Busy,
            504 => Reason::Timeout,
            _ => Reason::Refused,
        };
        let message: String = message
            .chars()
            .filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER)
            .take(MESSAGE_MAX)
            .collect();
        let why = match message.is_empty() {
            true => format!("the API server answers {code}"),
            false => format!("the API server answers {code}: {message}"),
        };
        Failure::new(reason, why)
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Failure {
        let reason = match &error {
            error if error.is_timeout() => Reason::Timeout,
            error if error.is_connect() => Reason::Connect,
            error if error.is_builder() => Reason::File,
            _ => Reason::Cut,
        };
        // The innermost cause says most; the URL around it says nothing new.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Failure::new(reason, format!("cannot talk to the API server: {cause}"))
    }
}

/// Asks, with the token and the certificates of now.
#[derive(Debug)]
pub(super) struct Client {
    http: Option<reqwest::Client>,
    /// What `http` trusts.
    roots: Option<Vec<u8>>,
    pods: Url,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Client {
        let mut pods = settings.server.clone();
        let path = format!("{}/api/v1/pods", pods.path().trim_end_matches('/'));
        pods.set_path(&path);
        Client {
            http: None,
            roots: None,
            pods,
        }
    }

    /// Asks for pods. Only the head of the answer is waited for.
    pub(super) async fn pods(&mut self, settings: &Settings, query: &[(&str, &str)]) -> Result<Response, Failure> {
        let unread = |file: &str, error| Failure::new(Reason::File, format!("cannot use the {file}: {error}"));
        let token = settings.token().map_err(|error| unread("token", error))?;
        let roots = settings.roots().map_err(|error| unread("certificates", error))?;
        let http = match &self.http {
            Some(http) if self.roots == roots => http,
            _ => {
                let made = make(settings, roots.as_deref())?;
                self.roots = roots;
                self.http.insert(made)
            }
        };
        let mut url = self.pods.clone();
        url.query_pairs_mut()
            .append_pair("fieldSelector", &format!("spec.nodeName={}", settings.node))
            .extend_pairs(query);
        let mut request = http
            .get(url)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| Failure::new(Reason::File, "the token cannot be sent"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = timeout(settings.timing.answer, request.send()).await.map_err(late)??;
        match response.status() {
            StatusCode::OK => Ok(response),
            _ => Err(refused(response, settings.timing.answer).await),
        }
    }
}

/// The whole body of an answer.
pub(super) async fn body(mut response: Response, limit: usize, wait: Duration) -> Result<Vec<u8>, Failure> {
    let read = async {
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if bytes.len().saturating_add(piece.len()) > limit {
                let why = format!("an answer of the API server has more than {limit} bytes");
                return Err(Failure::new(Reason::TooLong, why));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    timeout(wait, read).await.map_err(late)?
}

fn late(_: tokio::time::error::Elapsed) -> Failure {
    Failure::new(Reason::Timeout, "the API server does not answer in time")
}

async fn refused(response: Response, wait: Duration) -> Failure {
    let code = response.status().as_u16();
    // Kubernetes tells seconds.
    let after = response.headers().get(RETRY_AFTER);
    let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = body(response, ERROR_MAX, wait).await.unwrap_or_default();
    let status: Status = serde_json::from_slice(&body).unwrap_or_default();
    let mut failure = Failure::of_status(code, &status.message.unwrap_or_default());
    failure.after = after.map(|seconds| Duration::from_secs(seconds).min(AFTER_MAX));
    failure
}

fn make(settings: &Settings, roots: Option<&[u8]>) -> Result<reqwest::Client, reqwest::Error> {
    // An error says that there is a provider already: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A redirect or a proxy would carry the token to somebody else.
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("onlooker/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .connect_timeout(settings.timing.connect)
        .tcp_keepalive(settings.timing.answer)
        // A watch has a connection for itself; what is kept beside it is for the next list.
        .pool_max_idle_per_host(1);
    if settings.server.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    } else if let Some(roots) = roots {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(roots)?);
    }
    builder.build()
}
