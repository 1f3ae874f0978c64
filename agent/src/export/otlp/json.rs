//! OTLP in JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>), for debugging: ids are hexadecimal, integers of
//! 64 bits are texts, enums are numbers, keys are in lower camel case.

use prost::Message;
use serde_json::Value;

/// A request's bytes in protobuf as JSON.
///
/// # Errors
/// They are no such request, or hold what JSON cannot.
pub(super) fn of<T: Message + Default + serde::Serialize>(request: &[u8]) -> Result<Vec<u8>, String> {
    let request = T::decode(request).map_err(|error| error.to_string())?;
    serde_json::to_vec(&request).map_err(|error| error.to_string())
}

/// How many items a response in JSON rejects (`key` names their count), and why. `None`: none, or it is no response of the protocol.
pub(super) fn partial(key: &str, body: &[u8]) -> Option<(i64, String)> {
    let response: Value = serde_json::from_slice(body).ok()?;
    let partial = response.get("partialSuccess")?;
    let rejected = match partial.get(key) {
        Some(Value::String(text)) => text.parse().ok()?,
        Some(number) => number.as_i64()?,
        None => 0,
    };
    let message = partial.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
    Some((rejected, message.to_owned()))
}

#[cfg(test)]
mod tests;
