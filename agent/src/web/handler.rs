//! From a request to its answer.

use super::guard::{Guard, Refusal};
use super::scrape::{AnswerBody, Place, scrape};
use super::selection::Selection;
use super::stats::Stats;
use super::{Sources, WebConfig, page};
use crate::collectors::node::runner::Runner;
use crate::export::prometheus::{accepts_gzip, negotiate};
use crate::health::Health;
use crate::metric::Source;
use bytes::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// What answers are made from.
pub(crate) struct State {
    /// Told by every scrape, and by those that ask for everything.
    pub(crate) always: Vec<Arc<dyn Source>>,
    pub(crate) sources: Vec<Arc<dyn Source>>,
    /// Collectors that may be asked for one by one.
    pub(crate) collectors: Arc<Runner>,
    pub(crate) stats: Stats,
    pub(crate) max_requests: usize,
    pub(crate) own_metrics: bool,
    pub(super) guard: Guard,
    health: Arc<Health>,
    telemetry_path: String,
}

impl State {
    pub(super) fn new(config: &WebConfig, sources: Sources, guard: Guard, health: Arc<Health>) -> State {
        State {
            always: sources.always,
            sources: sources.all,
            collectors: sources.collectors,
            stats: Stats::default(),
            max_requests: config.max_requests,
            own_metrics: config.own_metrics,
            guard,
            health,
            telemetry_path: config.telemetry_path.clone(),
        }
    }

    /// Answers a request, if it is let in: every path, the health checks too, as the toolkit of Prometheus has it.
    pub(super) async fn answer<B>(self: &Arc<State>, request: &Request<B>) -> Response<AnswerBody> {
        let policy = self.guard.policy();
        let mut response = match self.guard.admit(&policy, request.headers()).await {
            Ok(()) => self.handle(request).await,
            Err(refusal) => self.refuse(refusal),
        };
        policy.add_headers(response.headers_mut());
        response
    }

    fn refuse(&self, refusal: Refusal) -> Response<AnswerBody> {
        self.stats.turned_away(refusal);
        let (status, text, name, value) = match refusal {
            Refusal::Login => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized.\n",
                WWW_AUTHENTICATE,
                "Basic realm=\"onlooker\", charset=\"UTF-8\"",
            ),
            Refusal::Busy | Refusal::Rate => (StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n", RETRY_AFTER, "1"),
        };
        let mut response = answer(status, PLAIN, text);
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }

    async fn handle<B>(self: &Arc<State>, request: &Request<B>) -> Response<AnswerBody> {
        let path = request.uri().path();
        let telemetry = path == self.telemetry_path;
        if !telemetry && !matches!(path, "/" | "/healthz" | "/readyz") {
            return answer(StatusCode::NOT_FOUND, PLAIN, "Not found.\n");
        }
        let allowed = match *request.method() {
            Method::GET | Method::HEAD => true,
            Method::POST => telemetry,
            _ => false,
        };
        if !allowed {
            let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "Method not allowed.\n");
            let methods = if telemetry { "GET, HEAD, POST" } else { "GET, HEAD" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
            return response;
        }
        match path {
            _ if telemetry => match Selection::of(request.uri().query(), &self.collectors) {
                Ok(selection) => self.metrics(request.method(), request.headers(), selection).await,
                Err(text) => answer(StatusCode::BAD_REQUEST, PLAIN, text),
            },
            "/healthz" => answer(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" => match page::readiness(&self.health) {
                (true, text) => answer(StatusCode::OK, PLAIN, text),
                (false, text) => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text),
            },
            _ => answer(StatusCode::OK, HTML, page::landing(&self.telemetry_path)),
        }
    }

    async fn metrics(
        self: &Arc<State>,
        method: &Method,
        headers: &HeaderMap,
        selection: Selection,
    ) -> Response<AnswerBody> {
        let Some(place) = Place::take(self) else {
            self.stats.refused.fetch_add(1, Ordering::Relaxed);
            let limit = self.max_requests;
            let text = format!("Limit of concurrent requests reached ({limit}), try again later.\n");
            return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
        };
        let format = negotiate(joined(headers, ACCEPT).as_deref());
        let gzip = accepts_gzip(joined(headers, ACCEPT_ENCODING).as_deref());
        let body = match *method {
            // The headers alone; nothing is collected.
            Method::HEAD => Some(AnswerBody::Whole(Bytes::new())),
            _ => scrape(place, format, gzip, selection).await,
        };
        let Some(body) = body else {
            let text = "A source of metrics failed; the log says more.\n";
            return answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text);
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// All values of a header, as one list.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn answer(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Whole(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
