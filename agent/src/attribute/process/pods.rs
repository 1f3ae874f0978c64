//! Processes follow what the Kubernetes API tells of their pods, later than they were seen and whenever it changes.

use super::Processes;
use std::sync::Arc;

impl Processes {
    /// Services of pods of which something else is known than when they were named. What is not known any longer names nobody anew.
    pub(super) fn follow_pods(&mut self) {
        let Some(pods) = &self.config.pods else { return };
        let changes = pods.changes();
        if std::mem::replace(&mut self.pod_changes, changes) == changes {
            return;
        }
        for (key, entry) in self.table.iter_mut().filter(|(_, entry)| !entry.ended) {
            if let (Some(service), Some(facts)) = (&entry.service, &entry.facts)
                && let Some(pod) = facts.pod(pods)
            {
                let new = facts.service(*key, self.config.host_name.as_ref(), Some(&pod));
                if new != **service {
                    self.renamed |= (&new.name, &new.namespace) != (&service.name, &service.namespace);
                    entry.service = Some(Arc::new(new));
                }
            }
        }
    }
}
