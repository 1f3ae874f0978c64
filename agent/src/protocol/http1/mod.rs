//! HTTP/1.x (RFC 9110, RFC 9112): payload and flow signals of one connection in, exchanges out.
//!
//! `conversation` holds the connection's state, `request` and `response` follow the two streams, `seen` takes over what the kernel side saw, `ending` knows
//! what the end of a connection means to what is still open.

mod body;
pub mod by_kernel;
mod call;
mod conversation;
mod early;
mod ending;
mod fields;
mod head;
mod open;
mod recognise;
mod request;
mod response;
mod schema;
mod seen;
mod target;
#[cfg(test)]
mod tests;

pub use schema::HTTP;

use super::{Conversation, Match, Protocol};
use crate::signal::{ConnId, Role};

/// HTTP/1.0 and HTTP/1.1 in plain text.
#[derive(Debug)]
pub struct Http1;

/// Requests of one connection that may wait for their answers; further ones are counted as lost.
pub const PIPELINE: usize = 1024;
/// Bytes of an incomplete head that are kept per stream. A longer head counts with what is known of it by then.
pub const HEAD: usize = 16 << 10;

impl Protocol for Http1 {
    fn name(&self) -> &'static str {
        "http"
    }
    fn recognise(&self, first: &[u8]) -> Match {
        recognise::recognise(first)
    }
    fn recognise_answer(&self, first: &[u8]) -> Match {
        match head::may_be_response(first) {
            true => Match::Yes,
            false => Match::No,
        }
    }
    fn follow(&self, conn: ConnId, role: Role) -> Box<dyn Conversation> {
        Box::new(conversation::Http1Conversation::new(conn, role))
    }
}
