//! The standard environment variables of the OTLP exporter
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>) and of the batch processors of spans and records of logs
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use super::{Backoff, OtlpSignal, QueueLimits};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// Settings of the exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where to: the whole URL.
    pub endpoint: Url,
    /// Added to every request. Values are marked sensitive.
    pub headers: HeaderMap,
    /// For one try of one request.
    pub timeout: Duration,
    /// Requests are compressed with gzip.
    pub gzip: bool,
    /// Queue and batches.
    pub queue: QueueLimits,
    /// Tries.
    pub backoff: Backoff,
}

/// A variable does not make sense. Never holds a header's value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpConfigError {
    /// Not a URL of the web.
    #[error("{name}: not an http:// or https:// URL: {why}")]
    Endpoint {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Another protocol of OTLP.
    #[error("{name}: {value} comes later; use http/protobuf (the receiver's port is usually 4318)")]
    ProtocolLater {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Not one of the values it can have.
    #[error("{name}: {value:?} is not known; use {expect}")]
    Unknown {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// The values it can have.
        expect: &'static str,
    },
    /// Not a number, or one that cannot be.
    #[error("{name}: {value:?} is not {expect}")]
    Number {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it has to be.
        expect: String,
    },
    /// Not a list of `key=value`.
    #[error("{name}: entry {entry} is not `key=value` (values percent-encoded, entries separated by commas)")]
    Header {
        /// The variable.
        name: &'static str,
        /// Position in the list, from 1.
        entry: usize,
    },
}

impl OtlpConfig {
    /// The defaults for an endpoint.
    pub fn new(endpoint: Url) -> OtlpConfig {
        OtlpConfig {
            endpoint,
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            gzip: true,
            queue: QueueLimits::default(),
            backoff: Backoff::default(),
        }
    }

    /// Reads the variables of a signal. `None`: it is not to be exported by OTLP, because no endpoint is set (and
    /// `OTEL_{signal}_EXPORTER` does not ask for the default one), or because `OTEL_SDK_DISABLED` or `OTEL_{signal}_EXPORTER` says so.
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
        let wanted = match env
            .one(names.exporter)
            .map(|value| value.to_ascii_lowercase())
            .as_deref()
        {
            None => false,
            Some("otlp") => true,
            Some("none") => return Ok(None),
            Some(other) => return Err(unknown(names.exporter, other, "otlp or none")),
        };
        let endpoint = if let Some(url) = env.one(names.endpoint) {
            parse_url(names.endpoint, &url)?
        } else if let Some(base) = env.one("OTEL_EXPORTER_OTLP_ENDPOINT") {
            let mut url = parse_url("OTEL_EXPORTER_OTLP_ENDPOINT", &base)?;
            let path = format!("{}{}", url.path().trim_end_matches('/'), names.path);
            url.set_path(&path);
            url
        } else if wanted {
            parse_url(names.exporter, names.default)?
        } else {
            return Ok(None);
        };
        let mut config = OtlpConfig::new(endpoint);
        if let Some((name, value)) = env.either(&names.protocol) {
            match value.to_ascii_lowercase().as_str() {
                "http/protobuf" => {}
                "grpc" | "http/json" => return Err(OtlpConfigError::ProtocolLater { name, value }),
                _ => return Err(unknown(name, &value, "http/protobuf")),
            }
        }
        if let Some((name, value)) = env.either(&names.compression) {
            config.gzip = match value.to_ascii_lowercase().as_str() {
                "gzip" => true,
                "none" => false,
                _ => return Err(unknown(name, &value, "gzip or none")),
            };
        }
        if let Some((name, value)) = env.either(&names.headers) {
            config.headers = parse_headers(name, &value)?;
        }
        if let Some(ms) = env.number(&names.timeout, 1, 3_600_000, "milliseconds")? {
            config.timeout = Duration::from_millis(ms);
        }
        let queue = &mut config.queue;
        if let Some(ms) = env.number(&[names.delay], 0, 3_600_000, "milliseconds")? {
            queue.delay = Duration::from_millis(ms);
        }
        let unit = signal.plural();
        if let Some(items) = env.number(&[names.queue], 1, 1_000_000, unit)? {
            queue.items = items as usize;
            queue.batch = queue.batch.min(queue.items);
        }
        let most = queue.items as u64;
        if let Some(items) = env.number(&[names.batch], 1, most, &format!("{unit} (no more than the queue)"))? {
            queue.batch = items as usize;
        }
        Ok(Some(config))
    }
}

fn unknown(name: &'static str, value: &str, expect: &'static str) -> OtlpConfigError {
    OtlpConfigError::Unknown {
        name,
        value: value.to_owned(),
        expect,
    }
}

/// Variables; empty is as unset, spaces around are not meant.
struct Env<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    fn one(&self, name: &str) -> Option<String> {
        (self.0)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }
    fn either(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names.iter().find_map(|&name| Some((name, self.one(name)?)))
    }
    fn number(
        &self,
        names: &[&'static str],
        least: u64,
        most: u64,
        unit: &str,
    ) -> Result<Option<u64>, OtlpConfigError> {
        let Some((name, value)) = self.either(names) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let expect = format!("a whole number of {unit} from {least} to {most}");
                Err(OtlpConfigError::Number { name, value, expect })
            }
        }
    }
}

fn parse_url(name: &'static str, text: &str) -> Result<Url, OtlpConfigError> {
    let wrong = |why: String| OtlpConfigError::Endpoint { name, why };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(wrong(format!("its scheme is {other:?}"))),
    }
}

/// `key1=value1,key2=value2`, as W3C Baggage has it, values percent-encoded.
fn parse_headers(name: &'static str, text: &str) -> Result<HeaderMap, OtlpConfigError> {
    let mut headers = HeaderMap::new();
    let entries = text
        .split(',')
        .enumerate()
        .filter(|(_, entry)| !entry.trim().is_empty());
    for (index, entry) in entries {
        let parsed = entry.split_once('=').and_then(|(key, value)| {
            let key = HeaderName::try_from(key.trim()).ok()?;
            let value: Vec<u8> = percent_decode_str(value.trim()).collect();
            let mut value = HeaderValue::from_bytes(&value).ok()?;
            value.set_sensitive(true);
            Some((key, value))
        });
        let (key, value) = parsed.ok_or(OtlpConfigError::Header { name, entry: index + 1 })?;
        headers.append(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
