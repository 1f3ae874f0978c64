//! OTLP/gRPC: unary calls of gRPC over HTTP/2 (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>), and what their
//! status means (<https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-response>).

use super::http::{RESPONSE_LIMIT, taken};
use super::retry::Outcome;
use super::status;
use super::text::with_message;
use super::transport::Partial;
use super::{Loss, OtlpCompression};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Response};
use std::time::Duration;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A message as it stands in the body of a call.
pub(super) fn frame(compression: OtlpCompression, message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(PREFIX + message.len() / 2);
    frame.extend_from_slice(&[0; PREFIX]);
    let mut frame = compression.append(message, frame);
    let length = u32::try_from(frame.len().saturating_sub(PREFIX)).unwrap_or(u32::MAX);
    if let Some((prefix, _)) = frame.split_first_chunk_mut::<PREFIX>() {
        let [a, b, c, d] = length.to_be_bytes();
        *prefix = [u8::from(compression != OtlpCompression::None), a, b, c, d];
    }
    frame
}

/// The message of a body that holds one that is not compressed (no compression was said to be understood).
fn unframe(body: &[u8]) -> Option<&[u8]> {
    let (&[compressed, a, b, c, d], message) = body.split_first_chunk::<PREFIX>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (compressed == 0 && message.len() == length).then_some(message)
}

/// The value of `grpc-timeout`: at most eight digits, and a unit.
pub(super) fn timeout(timeout: Duration) -> HeaderValue {
    let text = match timeout.as_millis() {
        millis @ 0..=99_999_999 => format!("{millis}m"),
        millis => format!("{}S", (millis / 1000).min(99_999_999)),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("10S"))
}

/// What the answer means. An error: it did not come whole.
pub(super) async fn judge(response: Response, partial: fn(&[u8]) -> Partial) -> Result<Outcome, reqwest::Error> {
    let status = response.status();
    if status.as_u16() != 200 {
        // From something between, which does not speak gRPC (doc/http-grpc-status-mapping.md of gRPC).
        let why = format!("the receiver answered {status} and not by gRPC");
        return Ok(match status.as_u16() {
            429 | 502 | 503 | 504 => Outcome::Retry { after: None, why },
            400..=499 => refused(Loss::Refused4xx, why),
            500..=599 => refused(Loss::Refused5xx, why),
            _ => refused(Loss::RefusedOther, why),
        });
    }
    let (head, mut body) = hyper::Response::<Body>::from(response).into_parts();
    // An answer without a message has all in its head.
    if let Some(status) = Status::of(&head.headers) {
        return Ok(status.judge(None));
    }
    let kind = head
        .headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    if !kind.starts_with(b"application/grpc") {
        let kind = String::from_utf8_lossy(kind);
        let why = with_message("the receiver does not speak gRPC, it answered".to_owned(), &kind);
        return Ok(refused(Loss::RefusedOther, why));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if bytes.len() + data.len() > RESPONSE_LIMIT => {
                let why = format!("the receiver answered with more than {RESPONSE_LIMIT} bytes");
                return Ok(refused(Loss::RefusedOther, why));
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => {
                let status = frame.into_trailers().ok().and_then(|trailers| Status::of(&trailers));
                return Ok(status.map_or_else(without_status, |status| status.judge(unframe(&bytes).and_then(partial))));
            }
        }
    }
    Ok(without_status())
}

/// gRPC takes it as `UNKNOWN`, which is not to be tried again.
fn without_status() -> Outcome {
    refused(
        Loss::RefusedOther,
        "the receiver answered without a status of gRPC".to_owned(),
    )
}

fn refused(loss: Loss, why: String) -> Outcome {
    Outcome::Refused { loss, why }
}

/// What trailers say of a call.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    code: u16,
    message: String,
    /// The pause that RetryInfo asks for.
    retry: Option<Duration>,
}

impl Status {
    /// `None`: nothing.
    fn of(headers: &HeaderMap) -> Option<Status> {
        let text = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let code = std::str::from_utf8(text("grpc-status")?).ok();
        let message = text("grpc-message").and_then(|text| std::str::from_utf8(text).ok());
        let message = message.map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
        let retry = text("grpc-status-details-bin").and_then(|text| {
            // With its padding or without; of several values the first.
            let text = text.split(|byte| *byte == b',').next().unwrap_or_default();
            let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
            let bytes = STANDARD_NO_PAD.decode(text.get(..end)?.trim_ascii()).ok()?;
            status::Status::read(&bytes)?.retry()
        });
        Some(Status {
            code: code.and_then(|code| code.trim().parse().ok()).unwrap_or(UNKNOWN),
            message: message.unwrap_or_default(),
            retry,
        })
    }

    fn judge(self, partial: Partial) -> Outcome {
        if self.code == OK {
            return taken(partial);
        }
        let (name, worth) = CODES
            .get(usize::from(self.code))
            .copied()
            .unwrap_or(("a code that gRPC does not have", Worth::Refused(Loss::RefusedOther)));
        let why = with_message(format!("the receiver answered {name} ({})", self.code), &self.message);
        match worth {
            Worth::Retry => Outcome::Retry { after: self.retry, why },
            Worth::RetryIfAsked if self.retry.is_some() => Outcome::Retry { after: self.retry, why },
            Worth::RetryIfAsked => refused(Loss::Refused4xx, why),
            Worth::Refused(loss) => refused(loss, why),
        }
    }
}

const OK: u16 = 0;
const UNKNOWN: u16 = 2;

/// Whether a request that failed is worth another try.
#[derive(Clone, Copy)]
enum Worth {
    Retry,
    /// With RetryInfo alone.
    RetryIfAsked,
    Refused(Loss),
}

/// The codes of gRPC: their names, and what OTLP makes of them. What is refused is counted by the status of HTTP that google/rpc/code.proto
/// gives each.
const CODES: [(&str, Worth); 17] = [
    ("OK", Worth::Retry),
    ("CANCELLED", Worth::Retry),
    ("UNKNOWN", Worth::Refused(Loss::Refused5xx)),
    ("INVALID_ARGUMENT", Worth::Refused(Loss::Refused4xx)),
    ("DEADLINE_EXCEEDED", Worth::Retry),
    ("NOT_FOUND", Worth::Refused(Loss::Refused4xx)),
    ("ALREADY_EXISTS", Worth::Refused(Loss::Refused4xx)),
    ("PERMISSION_DENIED", Worth::Refused(Loss::Refused4xx)),
    ("RESOURCE_EXHAUSTED", Worth::RetryIfAsked),
    ("FAILED_PRECONDITION", Worth::Refused(Loss::Refused4xx)),
    ("ABORTED", Worth::Retry),
    ("OUT_OF_RANGE", Worth::Retry),
    ("UNIMPLEMENTED", Worth::Refused(Loss::Refused5xx)),
    ("INTERNAL", Worth::Refused(Loss::Refused5xx)),
    ("UNAVAILABLE", Worth::Retry),
    ("DATA_LOSS", Worth::Retry),
    ("UNAUTHENTICATED", Worth::Refused(Loss::Refused4xx)),
];

#[cfg(test)]
mod tests;
