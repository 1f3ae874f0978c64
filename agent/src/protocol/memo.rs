//! Exchanges that were seen before, byte for byte: the same request of the same process, answered by the same head. Polls,
//! health checks and load tests are of that kind. Such an exchange need not be read again; it is counted where the one before
//! it was. All bytes are compared, so a wrong hit is impossible.

use crate::aggregate::Handle;
use crate::recent::Recent;
use crate::signal::{ProcessKey, Role};
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Places.
const PLACES: usize = 4096;
/// Longest head of an answer that is remembered, bytes. (A request is as long as the kernel side lets it wait.)
const HEAD: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct Memo(Recent<Slot>);

/// What is remembered of an exchange.
#[derive(Clone, Debug)]
pub struct Known {
    /// Where it was counted.
    pub handle: Handle,
    /// As [`super::exchange::Exchange::request_body`].
    pub request_body: u64,
    /// As [`super::exchange::Exchange::response_body`].
    pub response_body: u64,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    process: ProcessKey,
    role: Option<Role>,
    total: u64,
    known: Option<Known>,
    /// The request, and behind it the head of its answer.
    bytes: Vec<u8>,
    /// Length of the request.
    request: usize,
}

impl Default for Memo {
    fn default() -> Memo {
        Memo(Recent::new(PLACES))
    }
}

impl Memo {
    /// An exchange with this request, whose answer began with `answer` and had `total` bytes.
    pub fn find(&self, process: ProcessKey, role: Role, request: &[u8], answer: &[u8], total: u64) -> Option<Known> {
        let slot = self.0.get(hash(process, request))?;
        if slot.process != process || slot.role != Some(role) || slot.total != total || slot.request != request.len() {
            return None;
        }
        let (known, head) = slot.bytes.split_at(slot.request);
        let same = known == request && answer.starts_with(head);
        slot.known.clone().filter(|_| same)
    }

    /// Remembers an exchange by its request and the head of its answer.
    pub fn put(&mut self, process: ProcessKey, role: Role, request: &[u8], head: &[u8], total: u64, known: Known) {
        if head.len() > HEAD {
            return;
        }
        let slot = self.0.place(hash(process, request));
        slot.process = process;
        slot.role = Some(role);
        slot.total = total;
        slot.known = Some(known);
        slot.request = request.len();
        slot.bytes.clear();
        slot.bytes.reserve_exact(request.len() + head.len());
        slot.bytes.extend_from_slice(request);
        slot.bytes.extend_from_slice(head);
    }
}

fn hash(process: ProcessKey, request: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(process.pid);
    hasher.write(request);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_exchange_is_found() {
        let mut memo = Memo::default();
        let (a, b) = (ProcessKey { pid: 1, start: 2 }, ProcessKey { pid: 1, start: 3 });
        let known = Known {
            handle: Handle::default(),
            request_body: 1,
            response_body: 2,
        };
        memo.put(a, Role::Server, b"GET /", b"200", 5, known);
        let found = |process, role, request: &[u8], answer: &[u8], total| {
            memo.find(process, role, request, answer, total).is_some()
        };
        assert!(found(a, Role::Server, b"GET /", b"200ok", 5));
        assert!(!found(b, Role::Server, b"GET /", b"200ok", 5), "another process");
        assert!(!found(a, Role::Client, b"GET /", b"200ok", 5), "another role");
        assert!(!found(a, Role::Server, b"GET /x", b"200ok", 5), "another request");
        assert!(!found(a, Role::Server, b"GET /", b"201ok", 5), "another answer");
        assert!(!found(a, Role::Server, b"GET /", b"200ok", 6), "a longer answer");
    }

    #[test]
    fn long_heads_are_not_kept() {
        let mut memo = Memo::default();
        let process = ProcessKey::default();
        let known = Known {
            handle: Handle::default(),
            request_body: 0,
            response_body: 0,
        };
        let head = [b'x'; HEAD + 1];
        memo.put(process, Role::Server, b"GET /", &head, 600, known);
        assert!(memo.find(process, Role::Server, b"GET /", &head, 600).is_none());
    }
}
