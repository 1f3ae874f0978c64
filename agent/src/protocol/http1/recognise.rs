//! The first bytes of a request: whether they are one, and what may come before it.

use super::conversation::Life;
use super::head;
use crate::protocol::Match;

/// Bytes of a request line after which it is looked at again only when it is whole.
pub(super) const LINE: usize = 512;
/// Longest PROXY protocol line (version 1).
const PROXY: usize = 107;

/// Looks at the first bytes of a connection's request stream.
pub(super) fn recognise(first: &[u8]) -> Match {
    let first = &first[blank(first)..];
    match proxy(first) {
        Some(0) => Match::Maybe,
        Some(end) => head::request_line(&first[end..]),
        None if first.starts_with(b"PROXY ") => Match::No,
        None => head::request_line(first),
    }
}

/// Line ends before a request, which a server passes over (RFC 9112 section 2.2).
pub(super) fn blank(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Whether a call that begins so begins a request. A long target may be cut by the capture.
pub(super) fn begins_request(bytes: &[u8]) -> bool {
    match head::request_line(bytes) {
        // The end of a body may run into a request line: methods in use are capitals.
        Match::Yes => {
            bytes
                .iter()
                .position(|byte| !byte.is_ascii_uppercase() && *byte != b'-')
                == space(bytes)
        }
        Match::No => false,
        Match::Maybe => {
            let space = space(bytes).unwrap_or(bytes.len());
            let known = super::target::operation(&bytes[..space]).1.is_none();
            bytes.len() >= LINE && known && matches!(bytes.get(space + 1), Some(b'/' | b'h' | b'*'))
        }
    }
}

/// Whether a call that begins so may begin a request, however few of its bytes are known.
pub(super) fn may_begin_request(bytes: &[u8]) -> bool {
    match head::request_line(bytes) {
        Match::Yes => true,
        Match::Maybe => bytes.len() < LINE || begins_request(bytes),
        Match::No => false,
    }
}

fn space(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b' ')
}

pub(super) fn recognise_as(life: Life, bytes: &[u8]) -> Match {
    match life {
        Life::New => recognise(bytes),
        _ => head::request_line(bytes),
    }
}

/// Length of the PROXY protocol line (version 1) that `bytes` begin with, 0 while it is not whole.
pub(super) fn proxy(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(b"PROXY ") {
        return None;
    }
    match bytes.iter().take(PROXY).position(|&byte| byte == b'\n') {
        Some(end) => Some(end + 1),
        None => (bytes.len() < PROXY).then_some(0),
    }
}
