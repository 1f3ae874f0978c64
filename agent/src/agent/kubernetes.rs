//! Asking the Kubernetes API, where there is one.

use crate::attribute::kubernetes::{self, ACCOUNT, Api, Asked, Counts, EVENTS, Pods, Reason, Settings};
use crate::collectors::own::{Own, Reading};
use crate::config::Config;
use anyhow::Context;
use std::path::Path;

/// Starts what asks for the pods of this node; `None`: there is no API to ask, or it is not wanted.
pub(super) fn start(config: &Config, own: &Own) -> anyhow::Result<Option<Pods>> {
    let host = config.host.name();
    let asked = asked(config, host.as_deref());
    let env = |name: &str| std::env::var(name).ok();
    let settings = match Settings::settle(&asked, &env) {
        Ok(settings) => settings,
        // Nobody asked for it: what is wrong with the pod's own files must not keep the agent from all else.
        Err(error) if config.kubernetes.api == Api::Auto && asked.token_file.as_os_str().is_empty() => {
            tracing::warn!(%error, "the Kubernetes API is not asked: pods are named by files of the node");
            None
        }
        Err(error) => return Err(error).context("the Kubernetes API cannot be asked"),
    };
    Ok(settings.map(|settings| {
        let (server, node) = (settings.server.as_str(), settings.node.as_str());
        tracing::info!(server, node, "pods of the node come from the Kubernetes API");
        let pods = Pods::new(config.kubernetes.pods);
        register(&pods, own);
        tokio::spawn(kubernetes::watch(settings, pods.clone()));
        pods
    }))
}

/// What the settings say of it. `host`: its name, see [`crate::host::Host::name`].
pub(crate) fn asked<'a>(config: &'a Config, host: Option<&'a str>) -> Asked<'a> {
    Asked {
        api: &config.kubernetes.api,
        node: &config.kubernetes.node,
        token_file: &config.kubernetes.token_file,
        ca_file: &config.kubernetes.ca_file,
        account: Path::new(ACCOUNT),
        host,
        labels: config.kubernetes.service_labels,
    }
}

fn register(pods: &Pods, own: &Own) {
    let counts = |read: fn(&Counts) -> f64| {
        let pods = pods.clone();
        move || read(pods.counts())
    };
    let known = pods.clone();
    for reading in [
        Reading::gauge(
            "onlooker_kubernetes_pods",
            "",
            "Pods of this node that are known from the Kubernetes API now.",
            move || known.len() as f64,
        ),
        Reading::counter(
            "onlooker_kubernetes_pods_refused_total",
            "",
            "Times that a pod was not taken in because --limits.pods was reached.",
            counts(|counts| counts.refusals() as f64),
        ),
        Reading::counter(
            "onlooker_kubernetes_lists_total",
            "",
            "Times that the pods of this node were listed to the end.",
            counts(|counts| counts.lists() as f64),
        ),
        Reading::gauge(
            "onlooker_kubernetes_sync_age_seconds",
            "seconds",
            "Seconds since the Kubernetes API last told of the present pods: by a list, an event or a bookmark.",
            counts(Counts::age),
        ),
    ] {
        own.register(reading);
    }
    for (at, name) in EVENTS.into_iter().enumerate() {
        let pods = pods.clone();
        let read = move || pods.counts().events(at) as f64;
        let help = "Events of the watch of pods, by type.";
        own.register(Reading::counter("onlooker_kubernetes_events_total", "", help, read).label("type", name));
    }
    for reason in Reason::ALL {
        let pods = pods.clone();
        let read = move || pods.counts().errors(reason) as f64;
        let help = "Failures of asking the Kubernetes API, by reason.";
        own.register(
            Reading::counter("onlooker_kubernetes_errors_total", "", help, read).label("reason", reason.as_str()),
        );
    }
}
