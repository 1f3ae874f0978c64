//! HTTP/1.x (RFC 9110, RFC 9112).

use super::{Conversation, Match, Protocol};
use crate::signal::{ConnId, Role};

/// HTTP/1.0 and HTTP/1.1 in plain text.
#[derive(Debug)]
pub struct Http1;

impl Protocol for Http1 {
    fn name(&self) -> &'static str {
        "http"
    }
    fn recognise(&self, _first: &[u8]) -> Match {
        Match::No
    }
    fn follow(&self, _conn: ConnId, _role: Role) -> Box<dyn Conversation> {
        unreachable!("not yet written")
    }
}
