//! The Helm chart: rendered to plain manifests, and refusing bad values by its schema.

use anyhow::Result;

use super::{Findings, files, same, yaml};
use crate::shell::Run;

const CHART: &str = "deploy/helm/onlooker";
const MANIFESTS: &str = "deploy/kubernetes";

/// Plain manifests, and the values that the chart gives them for.
const VARIANTS: [(&str, &[&str]); 2] = [
    ("onlooker.yaml", &[]),
    ("onlooker-privileged.yaml", &["securityContext.privileged=true"]),
];

/// Values that the schema must refuse, one of each kind of mistake.
const BAD: [&str; 11] = [
    "image.pullPolicy=Sometimes",
    "securityContext.privileged=perhaps",
    "securityContext.capabilities={BPF,NO_SUCH}",
    "kubernetes.api=perhaps",
    "web.port=0",
    "web.port=70000",
    "otlp.endpoint=collector:4318",
    "noSuchValue=1",
    "resources.limits.memory=[]",
    "podMonitor.interval=soon",
    "tolerations=all",
];

/// Lints the chart, compares the manifests with what it gives, and tries bad values.
pub(super) fn check(write: bool, findings: &mut Findings) -> Result<()> {
    let Some(helm) = findings.find("helm") else {
        return Ok(());
    };
    findings.tool(
        CHART,
        Run::new(&helm).args(["lint", "--strict", CHART]).read().map(drop),
    );
    let template = |values: &[&str]| {
        let set = values.iter().flat_map(|value| ["--set", value]);
        Run::new(&helm)
            .args(["template", "onlooker", CHART, "--namespace", "onlooker"])
            // A helm that was built from its module thinks of an old one.
            .args(["--kube-version", "1.30.0"])
            .args(set)
            .read()
    };
    for (name, values) in VARIANTS {
        match template(values) {
            Ok(made) => {
                yaml::documents(&made)?;
                let path = format!("{MANIFESTS}/{name}");
                same(&path, &format!("{}\n{made}", head(values)), write, findings)?;
            }
            Err(error) => findings.add(CHART, format!("{error:#}")),
        }
    }
    for path in files(MANIFESTS, &[".yaml"])? {
        if !VARIANTS.iter().any(|(name, _)| path == format!("{MANIFESTS}/{name}")) {
            findings.add(&path, "is not rendered from the chart");
        }
    }
    for value in BAD {
        if template(&[value]).is_ok() {
            findings.add(CHART, format!("takes the bad value {value}"));
        }
    }
    Ok(())
}

fn head(values: &[&str]) -> String {
    let set: String = values.iter().map(|value| format!(" --set {value}")).collect();
    format!("# Made by `cargo xtask deploy --write`: helm template onlooker {CHART} --namespace onlooker{set}")
}
