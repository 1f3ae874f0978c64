//! The Kubernetes API: does it tell of this node's pods?

use super::{Finding, Patient};
use crate::agent::kubernetes::asked;
use crate::attribute::kubernetes::{Settings, has_pods};

/// What is lost without it, and it is not much.
const LOSES: &str = "names and labels of workloads: pods are named by files of the node";

/// Asks once, as the agent would.
pub(super) fn api(patient: &Patient<'_>) -> Vec<Finding> {
    const NAME: &str = "Kubernetes API";
    let host = patient.config.host.name();
    let settings = match Settings::settle(&asked(patient.config, host.as_deref()), patient.env) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            let found = "not asked: this is no pod with a token of its own, or --kubernetes.api is off";
            return vec![Finding::pass(NAME, found)];
        }
        Err(error) => {
            let fix = "correct that option, or set --kubernetes.api=off";
            return vec![Finding::warn(NAME, error.to_string(), LOSES, fix)];
        }
    };
    let (server, node) = (&settings.server, &settings.node);
    vec![match has_pods(&settings) {
        Ok(true) => Finding::pass(NAME, format!("{server} tells of the pods of {node}")),
        Ok(false) => Finding::warn(
            NAME,
            format!("{server} knows no pod on a node {node}"),
            LOSES,
            "give the node's name as the cluster has it with --kubernetes.node (spec.nodeName of the agent's own pod)",
        ),
        Err(why) => Finding::warn(
            NAME,
            format!("{server}: {why}"),
            LOSES,
            "let the agent's service account list and watch pods (the chart's ClusterRole), and let it reach the server",
        ),
    }]
}
