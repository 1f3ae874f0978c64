//! The task that keeps [`Pods`] true: lists the node's pods, watches from there, and lists again when the server has forgotten where
//! that was. After a failure it waits, longer with each; what is known stays.

use super::client::{Client, Failure, body};
use super::counts::Reason;
use super::lines::Lines;
use super::object::{EventOf, EventType, Meta, PodList, PodObject, Status};
use super::pod::Pod;
use super::pods::Pods;
use super::settings::Settings;
use rand::Rng;
use serde::Deserialize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Bytes of a page of a list. Larger ones are asked for in smaller parts.
const PAGE_MAX: usize = 8 << 20;
/// Pods of a page, to begin with.
const PAGE_PODS: usize = 64;
/// Bytes of a line of a watch, that is of one pod: etcd takes objects up to 1.5 MiB, and JSON is longer than what it stores.
const LINE_MAX: usize = 4 << 20;
/// Failures of the kind that mends itself which are not worth a warning.
const PATIENCE: u32 = 3;

/// Keeps `pods` true for as long as it is polled; never ends.
pub async fn watch(settings: Settings, pods: Pods) {
    let mut watch = Watch {
        client: Client::new(&settings),
        settings,
        pods,
        version: None,
        exact: false,
        failures: 0,
        told: None,
        doubted: false,
    };
    loop {
        if let Err(failure) = watch.turn().await {
            watch.failed(failure).await;
        }
    }
}

struct Watch {
    client: Client,
    settings: Settings,
    pods: Pods,
    /// Where to watch from; `None`: list first.
    version: Option<String>,
    /// The next list must be of the latest state: what the server's cache told last was too old to watch from, or too long.
    exact: bool,
    /// Since something went well.
    failures: u32,
    /// What the log was told of.
    told: Option<Reason>,
    /// It was told that the node may have another name.
    doubted: bool,
}

impl Watch {
    /// A list when needed, then one watch to its end.
    async fn turn(&mut self) -> Result<(), Failure> {
        let from = match self.version.clone() {
            Some(version) => version,
            None => self.list().await?,
        };
        self.version = Some(from.clone());
        self.follow(from).await
    }

    /// Lists all pods of the node and takes them in at once. Gives the version to watch from.
    ///
    /// The first list may come from the server's cache, which finds a node's pods by an index; a list of the latest state makes older
    /// servers go through all pods of the cluster.
    async fn list(&mut self) -> Result<String, Failure> {
        let mut found = Vec::new();
        let mut next = String::new();
        let mut limit = PAGE_PODS;
        loop {
            let text = limit.to_string();
            let mut query = vec![("limit", text.as_str())];
            if !next.is_empty() {
                query.push(("continue", &next));
            } else if !self.exact {
                query.push(("resourceVersion", "0"));
            }
            let wait = self.settings.timing.answer;
            let response = self.client.pods(&self.settings, &query).await;
            let page = match response {
                Ok(response) => body(response, PAGE_MAX, wait).await,
                Err(failure) => Err(failure),
            };
            let page = match page {
                Ok(page) => page,
                Err(failure) if failure.reason == Reason::TooLong && (!self.exact || limit > 1) => {
                    // The cache gives all in one page whatever the limit.
                    if self.exact {
                        limit /= 2;
                    }
                    self.exact = true;
                    self.count(&failure, 1);
                    continue;
                }
                Err(failure) => {
                    self.exact |= failure.reason == Reason::Gone;
                    return Err(failure);
                }
            };
            let page: PodList = parse(&page)?;
            for object in page.items.unwrap_or_default() {
                let Some(pod) = Pod::new(object, self.settings.labels) else {
                    continue;
                };
                if found.len() < self.pods.limit() {
                    found.push(pod);
                } else {
                    self.pods.counts().refused(1);
                }
            }
            next = page.metadata.next.unwrap_or_default();
            if next.is_empty() {
                let version = page.metadata.resource_version.filter(|version| !version.is_empty());
                let version = version.ok_or_else(|| {
                    Failure::new(
                        Reason::Invalid,
                        "a list of the API server does not tell its resourceVersion",
                    )
                })?;
                self.listed(found);
                return Ok(version);
            }
        }
    }

    fn listed(&mut self, found: Vec<Pod>) {
        let none = found.is_empty();
        self.exact = false;
        self.pods.replace(found);
        self.pods.counts().listed();
        let node = &self.settings.node;
        if self.told.take().is_some() {
            tracing::info!(node, "the Kubernetes API tells of pods again");
        }
        if none && !std::mem::replace(&mut self.doubted, true) {
            tracing::warn!(
                node,
                "the Kubernetes API knows no pod of this node: if that is not the node's name, give it by --kubernetes.node"
            );
        }
    }

    /// Watches from a version until the server ends it.
    async fn follow(&mut self, from: String) -> Result<(), Failure> {
        let began = Instant::now();
        let timing = self.settings.timing;
        let watch = timing.watch.as_secs().max(1).to_string();
        let query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", from.as_str()),
            ("timeoutSeconds", watch.as_str()),
        ];
        let mut response = match self.client.pods(&self.settings, &query).await {
            Ok(response) => response,
            Err(failure) => {
                self.forget_version(failure.reason);
                return Err(failure);
            }
        };
        let mut lines = Lines::new(LINE_MAX);
        let mut heard = false;
        loop {
            let piece = match timeout(timing.silence, response.chunk()).await {
                Err(_) => return Err(Failure::new(Reason::Stall, "the watch of pods went silent")),
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(None)) if lines.within() => {
                    return Err(Failure::new(
                        Reason::Cut,
                        "the watch of pods ended in the middle of an event",
                    ));
                }
                Ok(Ok(None)) => break,
                Ok(Ok(Some(piece))) => piece,
            };
            let flow = lines.push(&piece, |line| match self.event(line) {
                Ok(()) => {
                    heard = true;
                    ControlFlow::Continue(())
                }
                Err(failure) => ControlFlow::Break(failure),
            });
            // The event of one pod is lost: what was known of it stays, until its next one or the next list.
            let long = lines.take_too_long();
            if long > 0 {
                self.pods.counts().error(Reason::TooLong, long);
            }
            if let ControlFlow::Break(failure) = flow {
                self.forget_version(failure.reason);
                return Err(failure);
            }
            if heard {
                self.failures = 0;
            }
        }
        // A server that ends each watch at once must not be asked in a circle.
        match heard || began.elapsed() >= timing.pause {
            true => {
                self.failures = 0;
                Ok(())
            }
            false => Err(Failure::new(
                Reason::Cut,
                "the API server ends the watch of pods at once",
            )),
        }
    }

    /// Whatever was missed is found by a list.
    fn forget_version(&mut self, reason: Reason) {
        if matches!(reason, Reason::Gone | Reason::Invalid | Reason::Refused) {
            self.version = None;
            self.exact |= reason == Reason::Gone;
        }
    }

    /// Takes one event in.
    fn event(&mut self, line: &[u8]) -> Result<(), Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let kind = parse::<EventType<'_>>(line)?.kind;
        let at = match &*kind {
            "ADDED" | "MODIFIED" => {
                let object = parse::<EventOf<PodObject>>(line)?.object;
                let version = object.metadata.resource_version.clone();
                let uid = object.metadata.uid.clone();
                match Pod::new(object, self.settings.labels) {
                    Some(pod) => self.pods.put(pod),
                    // It has ended: what ran there is over.
                    None => uid.iter().for_each(|uid| self.pods.remove(uid)),
                }
                self.reached(version);
                if kind == "ADDED" { 0 } else { 1 }
            }
            "DELETED" => {
                let meta = parse::<EventOf<Named>>(line)?.object.metadata;
                meta.uid.iter().for_each(|uid| self.pods.remove(uid));
                self.reached(meta.resource_version);
                2
            }
            "BOOKMARK" => {
                self.reached(parse::<EventOf<Named>>(line)?.object.metadata.resource_version);
                3
            }
            "ERROR" => {
                let status = parse::<EventOf<Status>>(line)?.object;
                self.pods.counts().event(4);
                let code = status.code.unwrap_or(0);
                return Err(Failure::of_status(code, &status.message.unwrap_or_default()));
            }
            _ => {
                return Err(Failure::new(
                    Reason::Invalid,
                    "an event of the API server is of an unknown type",
                ));
            }
        };
        self.pods.counts().event(at);
        Ok(())
    }

    fn reached(&mut self, version: Option<String>) {
        if let Some(version) = version.filter(|version| !version.is_empty()) {
            self.version = Some(version);
        }
    }

    fn count(&self, failure: &Failure, times: u64) {
        self.pods.counts().error(failure.reason, times);
    }

    /// Counts a failure, tells of it when it is news, and waits.
    async fn failed(&mut self, failure: Failure) {
        self.count(&failure, 1);
        self.failures = self.failures.saturating_add(1);
        let why = &failure.why;
        let mends_itself = matches!(
            failure.reason,
            Reason::Gone | Reason::Cut | Reason::Stall | Reason::Timeout | Reason::Busy
        );
        if self.told == Some(failure.reason) || (mends_itself && self.failures < PATIENCE) {
            tracing::debug!(why, "asking the Kubernetes API failed");
        } else {
            self.told = Some(failure.reason);
            let mend = match failure.reason {
                Reason::Unauthorized => {
                    "give the token of a service account of this cluster by --kubernetes.token-file"
                }
                Reason::Forbidden => {
                    "let the agent's service account get, list and watch pods by a ClusterRole and a ClusterRoleBinding, as the \
                     chart does"
                }
                Reason::File => {
                    "make the file readable, or name another by --kubernetes.token-file or --kubernetes.ca-file"
                }
                Reason::Connect => {
                    "see that this host reaches --kubernetes.api and that --kubernetes.ca-file is its authority"
                }
                _ => "it is tried again and again",
            };
            tracing::warn!(
                why,
                mend,
                "the Kubernetes API cannot be asked: pods are named by what is known of them and by files of the node; \
                 --kubernetes.api=off leaves it so"
            );
        }
        let pause = pause(&self.settings, self.failures).max(failure.after.unwrap_or_default());
        sleep(pause).await;
    }
}

/// How long to wait after so many failures: doubling, with a half of it by chance so that a thousand nodes do not come at once.
fn pause(settings: &Settings, failures: u32) -> Duration {
    let timing = &settings.timing;
    let doubled = timing.pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled
        .min(timing.pause_max)
        .mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// An object of which only its name is wanted.
#[derive(Deserialize)]
struct Named {
    metadata: Meta,
}

fn parse<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Failure> {
    serde_json::from_slice(text).map_err(|error| {
        Failure::new(
            Reason::Invalid,
            format!("an answer of the API server cannot be read: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::kubernetes::Timing;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let settings = Settings {
            server: reqwest::Url::parse("http://127.0.0.1:1").expect("a URL"),
            node: "n".into(),
            token_file: None,
            ca_file: None,
            labels: false,
            timing: Timing::default(),
        };
        for (failures, most) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (u32::MAX, 60)] {
            for _ in 0..50 {
                let pause = pause(&settings, failures).as_secs_f64();
                let most = f64::from(most);
                assert!((most / 2.0..=most).contains(&pause), "{failures}: {pause}");
            }
        }
    }
}
