//! What a receiver says, as it may stand in the log.

/// Characters of a receiver's message that reach the log.
const MESSAGE_LIMIT: usize = 300;

/// A sentence with the receiver's own words behind it, where it has any.
pub(super) fn with_message(text: String, message: &str) -> String {
    let message = clean(message);
    if message.is_empty() {
        text
    } else {
        format!("{text}: {message}")
    }
}

/// One line of bounded length without control characters.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER)
        .take(MESSAGE_LIMIT)
        .collect()
}

/// An error and what caused it, without the URL (it may hold a password).
pub(super) fn causes(error: &reqwest::Error) -> String {
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
