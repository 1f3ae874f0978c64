//! Values of variables.

use super::OtlpConfigError;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Where gRPC is spoken when nobody says which port.
const GRPC_PORT: u16 = 4317;

/// Variables; empty is as unset, spaces around are not meant.
pub(in crate::export::otlp) struct Env<'a>(pub(in crate::export::otlp) &'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    pub(in crate::export::otlp) fn one(&self, name: &str) -> Option<String> {
        (self.0)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    pub(in crate::export::otlp) fn either(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names.iter().find_map(|&name| Some((name, self.one(name)?)))
    }

    /// A word of a choice, in capitals or not; `expect` lists them.
    pub(in crate::export::otlp) fn choice<T: Copy>(
        &self,
        names: &[&'static str],
        words: &[(&str, T)],
        expect: &str,
    ) -> Result<Option<T>, OtlpConfigError> {
        let Some((name, value)) = self.either(names) else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| value.eq_ignore_ascii_case(word));
        let (_, meant) = found.ok_or_else(|| OtlpConfigError::unknown(name, &value, expect))?;
        Ok(Some(*meant))
    }

    pub(in crate::export::otlp) fn number(
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
                let what = format!("{value:?} is not a whole number of {unit} from {least} to {most}");
                Err(OtlpConfigError::new(name, what))
            }
        }
    }
}

/// An absolute URL of the web.
pub(super) fn parse_url(name: &'static str, text: &str) -> Result<Url, OtlpConfigError> {
    let wrong = |why: String| {
        let what = format!("not an http:// or https:// URL: {why}; use e.g. http://collector.example:4318");
        OtlpConfigError::new(name, what)
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(wrong(format!("its scheme is {other:?}"))),
    }
}

/// What gRPC takes: a URL of the web, whose scheme says whether there is TLS, or a host with or without a port, and then `insecure`
/// says so.
pub(super) fn parse_target(name: &'static str, text: &str, insecure: bool) -> Result<Url, OtlpConfigError> {
    if text.contains("://") || text.starts_with("unix:") {
        return parse_url(name, text);
    }
    let scheme = if insecure { "http" } else { "https" };
    let mut url = Url::parse(&format!("{scheme}://{text}")).map_err(|error| {
        let what = format!("neither a host with a port nor a URL: {error}; use e.g. collector.example:4317");
        OtlpConfigError::new(name, what)
    })?;
    // The port that is the scheme's own is not told apart from none by the URL.
    let place = text.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = place
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if !has_port {
        // Fails only without a host, which was refused before.
        let _ = url.set_port(Some(GRPC_PORT));
    }
    Ok(url)
}

/// `key1=value1,key2=value2`, as W3C Baggage has it, values percent-encoded.
pub(super) fn parse_headers(name: &'static str, text: &str) -> Result<HeaderMap, OtlpConfigError> {
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
        let (key, value) = parsed.ok_or_else(|| {
            let entry = index + 1;
            let what =
                format!("entry {entry} is not `key=value` (values percent-encoded, entries separated by commas)");
            OtlpConfigError::new(name, what)
        })?;
        headers.append(key, value);
    }
    Ok(headers)
}
