//! The standard environment variables of the OTLP exporter
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>) and of the batch processors of spans and records of logs
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>). The configuration file and the flags set
//! the same variables, see `config::options`.

mod env;
mod tls;

use super::metrics::MetricsConfig;
use super::{Backoff, OtlpCompression, OtlpSignal, QueueLimits};
pub(super) use env::Env;
use env::{parse_headers, parse_target, parse_url};
use reqwest::Url;
use reqwest::header::HeaderMap;
use std::time::Duration;
pub use tls::{OtlpTls, Pem};

/// Settings of the exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where to: the whole URL; of gRPC that of its method.
    pub endpoint: Url,
    /// How it is said.
    pub protocol: OtlpProtocol,
    /// Added to every request. Values are marked sensitive.
    pub headers: HeaderMap,
    /// For one try of one request.
    pub timeout: Duration,
    /// Of requests.
    pub compression: OtlpCompression,
    /// Certificates and key, where the endpoint's scheme is https.
    pub tls: OtlpTls,
    /// Queue and batches.
    pub queue: QueueLimits,
    /// Tries.
    pub backoff: Backoff,
}

/// The protocols of OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC, over HTTP/2.
    Grpc,
    /// HTTP with protobuf.
    #[default]
    HttpProtobuf,
    /// HTTP with JSON, for debugging.
    HttpJson,
}

/// A variable does not make sense. Never holds a header's value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {what}")]
pub struct OtlpConfigError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong and what would be right: the end of a sentence that begins with the name.
    pub what: String,
}

impl OtlpConfigError {
    pub(super) fn new(name: &'static str, what: impl Into<String>) -> OtlpConfigError {
        OtlpConfigError {
            name,
            what: what.into(),
        }
    }

    pub(super) fn unknown(name: &'static str, value: &str, expect: &str) -> OtlpConfigError {
        OtlpConfigError::new(name, format!("{value:?} is not known; use {expect}"))
    }
}

impl OtlpConfig {
    /// The defaults for an endpoint.
    pub fn new(endpoint: Url) -> OtlpConfig {
        OtlpConfig {
            endpoint,
            protocol: OtlpProtocol::default(),
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            compression: OtlpCompression::default(),
            tls: OtlpTls::default(),
            queue: QueueLimits::default(),
            backoff: Backoff::default(),
        }
    }

    /// Reads the variables of a signal, and the files that they name. `None`: it is not to be exported by OTLP, because no endpoint
    /// is set (and `OTEL_{signal}_EXPORTER` does not ask for the default one), or because `OTEL_SDK_DISABLED` or
    /// `OTEL_{signal}_EXPORTER` says so.
    ///
    /// # Errors
    /// The first variable that does not make sense, also when no endpoint is set.
    pub fn from_env(
        signal: OtlpSignal,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<OtlpConfig>, OtlpConfigError> {
        let (env, names) = (Env(get), signal.names());
        if env
            .one("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Ok(None);
        }
        let wanted = match env.one(names.exporter) {
            None => false,
            Some(value) if value.eq_ignore_ascii_case("otlp") => true,
            Some(value) if value.eq_ignore_ascii_case("none") => return Ok(None),
            // They are served at /metrics in any case.
            Some(value) if signal == OtlpSignal::Metrics && value.eq_ignore_ascii_case("prometheus") => {
                return Ok(None);
            }
            Some(value) => return Err(OtlpConfigError::unknown(names.exporter, &value, "otlp or none")),
        };
        let protocol = env.choice(
            &names.protocol,
            &[
                ("grpc", OtlpProtocol::Grpc),
                ("http/protobuf", OtlpProtocol::HttpProtobuf),
                ("http/json", OtlpProtocol::HttpJson),
            ],
            "grpc, http/protobuf or http/json",
        )?;
        let protocol = protocol.unwrap_or_default();
        let insecure = env.choice(&names.insecure, &[("true", true), ("false", false)], "true or false")?;
        let endpoint = match protocol {
            OtlpProtocol::Grpc => grpc_endpoint(&env, signal, insecure.unwrap_or(false), wanted)?,
            OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => http_endpoint(&env, signal, wanted)?,
        };
        // What is set is checked even if nothing is to be sent: it was meant to be of use.
        let nowhere = Url::parse("http://localhost/")
            .map_err(|error| OtlpConfigError::new(names.endpoint[0], error.to_string()))?;
        let mut config = OtlpConfig::new(endpoint.clone().unwrap_or(nowhere));
        config.protocol = protocol;
        if let Some(compression) = env.choice(
            &names.compression,
            &[
                ("gzip", OtlpCompression::Gzip),
                ("zstd", OtlpCompression::Zstd),
                ("none", OtlpCompression::None),
            ],
            "gzip, zstd or none",
        )? {
            config.compression = compression;
        }
        if let Some((name, value)) = env.either(&names.headers) {
            config.headers = parse_headers(name, &value)?;
        }
        if let Some(ms) = env.number(&names.timeout, 1, 3_600_000, "milliseconds")? {
            config.timeout = Duration::from_millis(ms);
        }
        config.tls = OtlpTls::read(
            env.either(&names.certificate),
            env.either(&names.client_certificate),
            env.either(&names.client_key),
        )?;
        if let Some(batches) = &names.batches {
            let queue = &mut config.queue;
            if let Some(ms) = env.number(&[batches.delay], 0, 3_600_000, "milliseconds")? {
                queue.delay = Duration::from_millis(ms);
            }
            let unit = signal.plural();
            if let Some(items) = env.number(&[batches.queue], 1, 1_000_000, unit)? {
                queue.items = items as usize;
                queue.batch = queue.batch.min(queue.items);
            }
            let most = queue.items as u64;
            let unit = format!("{unit} (no more than the queue)");
            if let Some(items) = env.number(&[batches.batch], 1, most, &unit)? {
                queue.batch = items as usize;
            }
        }
        if signal == OtlpSignal::Metrics {
            // A piece of a collection is a request of its own; the reader has no batch processor.
            config.queue.batch = 1;
            config.queue.delay = Duration::ZERO;
            MetricsConfig::from_env(get)?;
        }
        Ok(endpoint.map(|_| config))
    }
}

/// A signal's own URL is taken as it is; the path of the signal is appended to that of all signals.
fn http_endpoint(env: &Env<'_>, signal: OtlpSignal, wanted: bool) -> Result<Option<Url>, OtlpConfigError> {
    let names = signal.names();
    let [own, common] = names.endpoint;
    if let Some(url) = env.one(own) {
        return parse_url(own, &url).map(Some);
    }
    let base = match env.one(common) {
        Some(base) => base,
        None if wanted => "http://localhost:4318".to_owned(),
        None => return Ok(None),
    };
    let mut url = parse_url(common, &base)?;
    let path = format!("{}{}", url.path().trim_end_matches('/'), names.path);
    url.set_path(&path);
    Ok(Some(url))
}

/// gRPC has one path alone, that of its method: a path of the endpoint is of no account.
fn grpc_endpoint(
    env: &Env<'_>,
    signal: OtlpSignal,
    insecure: bool,
    wanted: bool,
) -> Result<Option<Url>, OtlpConfigError> {
    let names = signal.names();
    let (name, target) = match env.either(&names.endpoint) {
        Some(found) => found,
        None if wanted => (names.endpoint[1], "http://localhost:4317".to_owned()),
        None => return Ok(None),
    };
    let mut url = parse_target(name, &target, insecure)?;
    url.set_path(names.method);
    url.set_query(None);
    Ok(Some(url))
}

#[cfg(test)]
mod tests;
