//! One case: a service, what truly happened to it, and whether every agent says the same.

use crate::agent::{Agent, Span, shared};
use crate::metrics::Scrape;
use crate::require::say;
use crate::truth::{Counts, Request, canonical_method, count, difference, median};
use crate::wait;
use anyhow::{Context, Result, ensure};

/// Role of a service in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers requests.
    Server,
    /// Sends requests.
    Client,
}

impl Role {
    /// Kind of its spans.
    pub fn kind(self) -> &'static str {
        match self {
            Role::Server => "SERVER",
            Role::Client => "CLIENT",
        }
    }
    /// Prefix of its metrics.
    pub fn prefix(self) -> &'static str {
        match self {
            Role::Server => "http_server",
            Role::Client => "http_client",
        }
    }
    /// Family of its durations.
    pub fn durations(self) -> String {
        format!("{}_request_duration_seconds", self.prefix())
    }
}

/// Every shared agent must report exactly these exchanges for the service, by span and by metric, and none still open.
///
/// # Panics
/// With the differences when one does not, and when the truth is empty.
pub fn expect(service: &str, role: Role, truth: &[Request]) {
    for agent in shared() {
        if let Err(error) = expect_of(agent, service, role, truth) {
            panic!("--capture.hooks={}: {error:#}", agent.hooks);
        }
    }
}

/// [`expect`] of one agent that exports spans.
pub fn expect_of(agent: &Agent, service: &str, role: Role, truth: &[Request]) -> Result<()> {
    ensure!(!truth.is_empty(), "nothing happened: the case is empty");
    agent.settle()?;
    wait::until(&format!("report of {service}"), wait::SOON, || {
        let spans = difference(
            &count(truth.iter().map(Request::key)),
            &agent.span_counts(service, role.kind()),
        );
        ensure!(spans.is_empty(), "spans differ:\n{spans}");
        Ok(())
    })?;
    expect_metrics(agent, service, role, truth)?;
    // A second look after everything has settled: nothing may be counted twice.
    agent.settle()?;
    let spans = difference(
        &count(truth.iter().map(Request::key)),
        &agent.span_counts(service, role.kind()),
    );
    ensure!(spans.is_empty(), "spans differ at the second look:\n{spans}");
    Ok(())
}

/// Counts of the duration histogram by method and status must be those of the truth, and no request still open.
pub fn expect_metrics(agent: &Agent, service: &str, role: Role, truth: &[Request]) -> Result<()> {
    let truth = count(truth.iter().map(|request| {
        let status = request.status.map(|status| status.to_string()).unwrap_or_default();
        (canonical_method(&request.method).to_string(), status)
    }));
    wait::until(&format!("metrics of {service}"), wait::SOON, || {
        let difference = difference(&truth, &metric_counts(&agent.scrape()?, service, role));
        ensure!(difference.is_empty(), "metrics differ:\n{difference}");
        if role == Role::Server {
            let scrape = agent.scrape()?;
            let open = scrape.sum("http_server_active_requests", &[("service_name", service)]);
            ensure!(open == 0.0, "{open} requests still open");
        }
        Ok(())
    })
}

/// Counts of the duration histogram by method and status.
pub fn metric_counts(scrape: &Scrape, service: &str, role: Role) -> Counts<(String, String)> {
    let name = format!("{}_count", role.durations());
    let mut counts = Counts::new();
    for sample in scrape.select(&name, &[("service_name", service)]) {
        let key = (
            sample.label("http_request_method").to_string(),
            sample.label("http_response_status_code").to_string(),
        );
        *counts.entry(key).or_insert(0) += sample.value as u64;
    }
    counts
}

/// One end of the exchanges of an overload, whose answers are known by status alone.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// Service name.
    pub service: &'a str,
    /// Its role.
    pub role: Role,
    /// Answers by status.
    pub answers: &'a Counts<u16>,
    /// Requests that may have been given up before their answer came.
    pub given_up: u64,
}

/// The agent must report exactly these answers, as the sum of all series of a service, role and status, and must not add
/// to them later. Buckets and counts must agree.
pub fn expect_answers(agent: &Agent, ends: &[End<'_>]) -> Result<()> {
    let look = || {
        let scrape = agent.scrape()?;
        let wrong: Vec<String> = ends
            .iter()
            .filter_map(|end| end.wrong(&scrape).err())
            .map(|error| error.to_string())
            .collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    };
    wait::until("answers by status", wait::SOON, look)?;
    agent.balanced()?;
    look().context("second look")
}

impl End<'_> {
    fn wrong(&self, scrape: &Scrape) -> Result<()> {
        let what = format!("{} as {:?}", self.service, self.role);
        let mut answers = Counts::new();
        let mut given_up = 0;
        for ((_, status), count) in metric_counts(scrape, self.service, self.role) {
            match status.parse() {
                Ok(status) => *answers.entry(status).or_insert(0) += count,
                Err(_) => given_up += count,
            }
        }
        let difference = difference(self.answers, &answers);
        ensure!(difference.is_empty(), "{what}: status\n{difference}");
        ensure!(
            given_up <= self.given_up,
            "{what}: {given_up} without an answer, at most {}",
            self.given_up
        );
        scrape.histogram(&self.role.durations(), &[("service_name", self.service)])?;
        Ok(())
    }
}

/// Spans of a service in the order of their paths, each beside the truth of the same path. Paths must be unique.
pub fn pairs(agent: &Agent, service: &str, role: Role, truth: &[Request]) -> Vec<(Request, Span)> {
    let mut spans: std::collections::BTreeMap<String, Span> = agent
        .spans(service, role.kind())
        .into_iter()
        .map(|span| (span.path(), span))
        .collect();
    truth
        .iter()
        .filter_map(|request| Some((request.clone(), spans.remove(&request.key().path)?)))
        .collect()
}

/// Median difference between the durations reported and those that the program measured, over requests with unique paths.
///
/// # Panics
/// When a request has no span, or the median is above the limit (times [`wait::slow`]).
pub fn expect_durations(service: &str, role: Role, truth: &[Request], limit_seconds: f64) {
    for agent in shared() {
        let pairs = pairs(agent, service, role, truth);
        assert_eq!(
            pairs.len(),
            truth.len(),
            "--capture.hooks={}: spans with their truth",
            agent.hooks
        );
        let errors: Vec<f64> = pairs
            .iter()
            .filter_map(|(request, span)| Some((span.seconds - request.seconds?).abs()))
            .collect();
        assert!(!errors.is_empty(), "the program measured nothing");
        let median = median(errors);
        let limit_seconds = limit_seconds * f64::from(wait::slow());
        say(&format!(
            "{service}, --capture.hooks={}: median error of {} durations {:.1} us",
            agent.hooks,
            truth.len(),
            median * 1e6
        ));
        assert!(
            median < limit_seconds,
            "--capture.hooks={}: median error {median} s",
            agent.hooks
        );
    }
}

/// Body sizes of spans, where they carry them, must be those of the log; at least one must carry one.
///
/// # Panics
/// With the first difference, or when no span carries a size.
pub fn expect_body_sizes(service: &str, role: Role, truth: &[Request]) {
    for agent in shared() {
        let mut compared = 0;
        for (request, span) in pairs(agent, service, role, truth) {
            let sizes = [
                ("http.response.body.size", request.response_body),
                ("http.request.body.size", request.request_body),
            ];
            for (name, truth) in sizes {
                if let (Some(truth), Some(reported)) = (truth, span.int(name)) {
                    assert_eq!(
                        reported, truth,
                        "--capture.hooks={}: {name} of {} {}",
                        agent.hooks, request.method, request.path
                    );
                    compared += 1;
                }
            }
        }
        assert!(
            compared > 0,
            "--capture.hooks={}: no span carries a body size",
            agent.hooks
        );
    }
}
