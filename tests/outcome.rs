//! An exchange between the raw server and the raw client, each a service of its own, as both ends tell it.

use crate::agent::{Span, shared};
use crate::case::{Role, expect};
use crate::http::request;
use crate::process::unique;
use crate::servers::{Server, ask};
use crate::steps::{Answer, Step};
use crate::truth::Request;

/// What became of the steps.
#[derive(Debug)]
pub struct Outcome {
    /// The server.
    pub server: Server,
    /// Service name of the client.
    pub client: String,
    /// What the client was answered.
    pub answers: Vec<Answer>,
    /// What the server logged.
    pub log: Vec<Request>,
}

/// Runs the steps against a raw server of their own and waits for its log.
///
/// # Panics
/// When a step fails or the log has another number of lines.
pub fn run(steps: &[Step], logged: usize) -> Outcome {
    run_at(Server::raw("wire", "127.0.0.1").expect("raw server"), steps, logged)
}

/// [`run`] with a server that is there already.
///
/// # Panics
/// As [`run`].
pub fn run_at(server: Server, steps: &[Step], logged: usize) -> Outcome {
    shared();
    let client = unique("client");
    let answers = ask(&client, &server.target, steps).expect("steps");
    let log = server.log.wait(logged).expect("access log");
    assert_eq!(log.len(), logged);
    Outcome {
        server,
        client,
        answers,
        log,
    }
}

impl Outcome {
    /// Both ends are reported as the server's log says.
    ///
    /// # Panics
    /// When one is not.
    pub fn expect_both(&self) {
        expect(&self.server.service, Role::Server, &self.log);
        expect(&self.client, Role::Client, &self.log);
    }
    /// Statuses that the client was answered with.
    pub fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }
    /// Looks at the spans of both ends, one agent after the other.
    ///
    /// # Panics
    /// When an end has no span.
    pub fn each_span(&self, mut look: impl FnMut(&str, &Span)) {
        for agent in shared() {
            for (service, kind) in [(&self.server.service, "SERVER"), (&self.client, "CLIENT")] {
                let spans = agent.spans(service, kind);
                assert!(!spans.is_empty(), "{} {kind}", agent.hooks);
                for span in &spans {
                    look(&format!("--capture.hooks={} {kind} {}", agent.hooks, span.path()), span);
                }
            }
        }
    }
}

/// A `GET` and its answer.
pub fn get(path: &str) -> Vec<Step> {
    Step::exchange("GET", path, "")
}

/// Bytes as text, for steps.
pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request without a body.
pub fn plain(method: &str, target: &str) -> String {
    text(request(method, target, &[], b""))
}
