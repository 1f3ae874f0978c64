//! Who made a pod: `k8s.deployment.name` and its like, from its owner and its labels. No other object is asked for, so no right beyond
//! pods is needed.

use super::object::Labels;

/// Attributes of the workload that made a pod, and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Workload {
    /// `k8s.replicaset.name` and the like, the highest in rank first.
    pub(super) attributes: Vec<(&'static str, String)>,
    /// What names the service; `None`: only the pod's own name does.
    pub(super) name: Option<String>,
}

/// The workload of a pod whose controller is of this kind and name.
///
/// - A ReplicaSet is a Deployment's when its name ends in the pod's label `pod-template-hash`, which the Deployment's controller sets
///   on both. One of Argo Rollouts has a label of its own: it has no Deployment, but its name without the hash is what stays.
/// - A Job is a CronJob's when its name ends in the minute that it was scheduled for (minutes since 1970).
pub(super) fn workload(kind: &str, name: &str, labels: &Labels) -> Workload {
    let mut made = Workload {
        attributes: Vec::new(),
        name: Some(name.to_owned()),
    };
    let mut add = |attribute, name: &str| made.attributes.push((attribute, name.to_owned()));
    match kind {
        "ReplicaSet" => {
            let without = |hash: &Option<String>| {
                let rest = name.strip_suffix(hash.as_deref()?)?.strip_suffix('-')?;
                (!rest.is_empty()).then(|| rest.to_owned())
            };
            let deployment = without(&labels.template_hash);
            if let Some(deployment) = &deployment {
                add("k8s.deployment.name", deployment);
            }
            add("k8s.replicaset.name", name);
            made.name = deployment.or_else(|| without(&labels.rollout_hash)).or(made.name);
        }
        "StatefulSet" => add("k8s.statefulset.name", name),
        "DaemonSet" => add("k8s.daemonset.name", name),
        "Job" => {
            let cron = name
                .rsplit_once('-')
                .filter(|(cron, minute)| !cron.is_empty() && scheduled(minute))
                .map(|(cron, _)| cron.to_owned());
            if let Some(cron) = &cron {
                add("k8s.cronjob.name", cron);
            }
            add("k8s.job.name", name);
            made.name = cron.or(made.name);
        }
        // A static pod's owner is its node; of kinds that others define it is not known what their names stand for.
        _ => made.name = None,
    }
    made
}

/// Minutes since 1970, from 1989 on.
fn scheduled(text: &str) -> bool {
    (8..=10).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads() {
        let check =
            |kind: &str, name: &str, labels: &Labels, attributes: &[(&'static str, &str)], named: Option<&str>| {
                let made = workload(kind, name, labels);
                let found: Vec<_> = made.attributes.iter().map(|(key, value)| (*key, &**value)).collect();
                assert_eq!((&found[..], made.name.as_deref()), (attributes, named), "{kind} {name}");
            };
        let none = Labels::default();
        let hash = Labels {
            template_hash: Some("7d4b9c6f5d".into()),
            ..Labels::default()
        };
        let rollout = Labels {
            rollout_hash: Some("7d4b9c6f5d".into()),
            ..Labels::default()
        };
        let set = ("k8s.replicaset.name", "shop-7d4b9c6f5d");
        check(
            "ReplicaSet",
            "shop-7d4b9c6f5d",
            &hash,
            &[("k8s.deployment.name", "shop"), set],
            Some("shop"),
        );
        check("ReplicaSet", "shop-7d4b9c6f5d", &rollout, &[set], Some("shop"));
        check("ReplicaSet", "shop-7d4b9c6f5d", &none, &[set], Some("shop-7d4b9c6f5d"));
        check(
            "ReplicaSet",
            "shop",
            &hash,
            &[("k8s.replicaset.name", "shop")],
            Some("shop"),
        );
        check(
            "ReplicaSet",
            "-7d4b9c6f5d",
            &hash,
            &[("k8s.replicaset.name", "-7d4b9c6f5d")],
            Some("-7d4b9c6f5d"),
        );
        check(
            "StatefulSet",
            "db",
            &none,
            &[("k8s.statefulset.name", "db")],
            Some("db"),
        );
        check(
            "DaemonSet",
            "proxy",
            &none,
            &[("k8s.daemonset.name", "proxy")],
            Some("proxy"),
        );
        let job = ("k8s.job.name", "backup-28391820");
        check(
            "Job",
            "backup-28391820",
            &none,
            &[("k8s.cronjob.name", "backup"), job],
            Some("backup"),
        );
        check(
            "Job",
            "backup-1",
            &none,
            &[("k8s.job.name", "backup-1")],
            Some("backup-1"),
        );
        check(
            "Job",
            "-28391820",
            &none,
            &[("k8s.job.name", "-28391820")],
            Some("-28391820"),
        );
        check("Node", "node-1", &none, &[], None);
        check("CloneSet", "shop", &none, &[], None);
    }
}
