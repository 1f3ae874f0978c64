//! The standard environment variables of the OTLP exporter
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>) and of the batch span processor
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use super::{Backoff, QueueLimits};
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

    /// Reads the variables. `None`: no spans are to be exported by OTLP, because no endpoint is set (and `OTEL_TRACES_EXPORTER`
    /// does not ask for the default one), or because `OTEL_SDK_DISABLED` or `OTEL_TRACES_EXPORTER` says so.
    pub fn from_env(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<OtlpConfig>, OtlpConfigError> {
        let env = Env(get);
        if env
            .one("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Ok(None);
        }
        let wanted = match env
            .one("OTEL_TRACES_EXPORTER")
            .map(|value| value.to_ascii_lowercase())
            .as_deref()
        {
            None => false,
            Some("otlp") => true,
            Some("none") => return Ok(None),
            Some(other) => {
                return Err(OtlpConfigError::Unknown {
                    name: "OTEL_TRACES_EXPORTER",
                    value: other.to_owned(),
                    expect: "otlp or none",
                });
            }
        };
        let endpoint = if let Some(url) = env.one("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            parse_url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url)?
        } else if let Some(base) = env.one("OTEL_EXPORTER_OTLP_ENDPOINT") {
            let mut url = parse_url("OTEL_EXPORTER_OTLP_ENDPOINT", &base)?;
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
            url
        } else if wanted {
            parse_url("OTEL_TRACES_EXPORTER", "http://localhost:4318/v1/traces")?
        } else {
            return Ok(None);
        };
        let mut config = OtlpConfig::new(endpoint);
        if let Some((name, value)) = env.either(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"])
        {
            match value.to_ascii_lowercase().as_str() {
                "http/protobuf" => {}
                "grpc" | "http/json" => return Err(OtlpConfigError::ProtocolLater { name, value }),
                _ => {
                    return Err(OtlpConfigError::Unknown {
                        name,
                        value,
                        expect: "http/protobuf",
                    });
                }
            }
        }
        if let Some((name, value)) = env.either(&[
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
        ]) {
            config.gzip = match value.to_ascii_lowercase().as_str() {
                "gzip" => true,
                "none" => false,
                _ => {
                    return Err(OtlpConfigError::Unknown {
                        name,
                        value,
                        expect: "gzip or none",
                    });
                }
            };
        }
        if let Some((name, value)) = env.either(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]) {
            config.headers = parse_headers(name, &value)?;
        }
        let timeouts = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        if let Some(ms) = env.number(&timeouts, 1, 3_600_000, "milliseconds")? {
            config.timeout = Duration::from_millis(ms);
        }
        let queue = &mut config.queue;
        if let Some(ms) = env.number(&["OTEL_BSP_SCHEDULE_DELAY"], 0, 3_600_000, "milliseconds")? {
            queue.delay = Duration::from_millis(ms);
        }
        if let Some(spans) = env.number(&["OTEL_BSP_MAX_QUEUE_SIZE"], 1, 1_000_000, "spans")? {
            queue.spans = spans as usize;
            queue.batch = queue.batch.min(queue.spans);
        }
        let most = queue.spans as u64;
        if let Some(spans) = env.number(
            &["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"],
            1,
            most,
            "spans (no more than the queue)",
        )? {
            queue.batch = spans as usize;
        }
        Ok(Some(config))
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
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Option<OtlpConfig>, OtlpConfigError> {
        OtlpConfig::from_env(&|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn check_endpoint(vars: &[(&str, &str)], expect: Option<&str>) {
        let found = from(vars).unwrap().map(|config| config.endpoint.to_string());
        assert_eq!(found.as_deref(), expect, "{vars:?}");
    }

    #[test]
    fn endpoint() {
        let base = BASE.0;
        let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        check_endpoint(&[], None);
        check_endpoint(&[(base, " ")], None);
        check_endpoint(&[BASE], Some("http://collector:4318/v1/traces"));
        check_endpoint(
            &[(base, "http://collector:4318/")],
            Some("http://collector:4318/v1/traces"),
        );
        check_endpoint(
            &[(base, "https://c.example/otlp")],
            Some("https://c.example/otlp/v1/traces"),
        );
        check_endpoint(
            &[(base, "https://c.example/otlp/")],
            Some("https://c.example/otlp/v1/traces"),
        );
        check_endpoint(&[(traces, "http://t:1/own"), BASE], Some("http://t:1/own"));
        check_endpoint(&[(traces, "http://t:1")], Some("http://t:1/"));
        check_endpoint(
            &[("OTEL_TRACES_EXPORTER", "otlp")],
            Some("http://localhost:4318/v1/traces"),
        );
        check_endpoint(&[("OTEL_TRACES_EXPORTER", "none"), BASE], None);
        check_endpoint(&[("OTEL_SDK_DISABLED", "True"), BASE], None);
        check_endpoint(
            &[("OTEL_SDK_DISABLED", "false"), BASE],
            Some("http://collector:4318/v1/traces"),
        );
    }

    fn check_error(name: &str, value: &str, expect: &str) {
        let error = from(&[(name, value), BASE]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expect), "{error}");
    }

    #[test]
    fn errors() {
        check_error(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "collector",
            "relative URL without a base",
        );
        check_error(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "unix:/run/x",
            "its scheme is \"unix\"",
        );
        check_error(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "grpc comes later; use http/protobuf",
        );
        check_error(
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "http/json",
            "http/json comes later",
        );
        check_error(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "thrift",
            "\"thrift\" is not known; use http/protobuf",
        );
        check_error("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "use gzip or none");
        check_error(
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "10s",
            "is not a whole number of milliseconds from 1 to",
        );
        check_error("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "whole number of milliseconds");
        check_error("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "whole number of spans");
        check_error("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8193", "no more than the queue");
        check_error("OTEL_TRACES_EXPORTER", "zipkin", "use otlp or none");
        for (headers, entry) in [("secret", 1), ("a=b,=secret", 2), ("a b=secret", 1), ("a=secret%0a", 1)] {
            check_error("OTEL_EXPORTER_OTLP_HEADERS", headers, &format!("entry {entry} is not"));
            let error = from(&[("OTEL_EXPORTER_OTLP_HEADERS", headers), BASE]).unwrap_err();
            assert!(!format!("{error}{error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn values() {
        let config = from(&[BASE]).unwrap().unwrap();
        assert_eq!((config.timeout, config.gzip), (Duration::from_secs(10), true));
        assert_eq!(config.queue, QueueLimits::default());
        let config = from(&[
            BASE,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20x%3D,,X-Tenant = a , k=v=w",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!((config.timeout, config.gzip), (Duration::from_millis(250), false));
        assert_eq!(
            (config.queue.spans, config.queue.batch),
            (100, 100),
            "a batch is never more than the queue"
        );
        assert_eq!(config.queue.delay, Duration::from_millis(200));
        let header = |name: &str| config.headers[name].to_str().unwrap();
        assert_eq!(
            (header("authorization"), header("x-tenant"), header("k")),
            ("Bearer x=", "a", "v=w")
        );
        assert!(!format!("{config:?}").contains("Bearer"), "secrets stay out of the log");
        let only = from(&[
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "b=2"),
            BASE,
        ]);
        assert!(!only.unwrap().unwrap().headers.contains_key("b"));
    }
}
