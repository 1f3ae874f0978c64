//! OTLP/HTTP: what the response to a POST means (<https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>).

use super::Loss;
use super::retry::Outcome;
use super::status::Status;
use super::text::{clean, with_message};
use super::transport::Partial;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// Bytes of a response that are read; a partial success' message is short.
pub(super) const RESPONSE_LIMIT: usize = 64 << 10;
/// No batch waits longer than this, whatever the receiver asks for.
pub(super) const RETRY_LIMIT: Duration = Duration::from_secs(86_400);

pub(super) async fn judge(response: Response, partial: impl Fn(&[u8]) -> Partial) -> Outcome {
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
    let kind = response.headers().get(CONTENT_TYPE).cloned();
    let detail = body(response).await.unwrap_or_default();
    // The body of an error is a `google.rpc.Status` or text of some sort; the readable part of either is of use.
    let status = kind
        .filter(|kind| kind.as_bytes().starts_with(b"application/x-protobuf"))
        .and_then(|_| Status::read(&detail));
    let message = status.map_or_else(
        || String::from_utf8_lossy(&detail).into_owned(),
        |status| status.message,
    );
    Outcome::Refused {
        loss,
        why: with_message(why, &message),
    }
}

/// A success may be partial. The items are with the receiver even when its words are not understood.
async fn accepted(response: Response, partial: impl Fn(&[u8]) -> Partial) -> Outcome {
    let body = body(response).await.unwrap_or_default();
    taken(partial(&body))
}

/// What was taken, but for what was rejected.
pub(super) fn taken(partial: Partial) -> Outcome {
    let (rejected, message) = partial.unwrap_or_default();
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
}
