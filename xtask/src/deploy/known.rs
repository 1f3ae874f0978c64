//! The families and labels that there are: of `docs/metrics.md`, `docs/collectors.md` and `deploy/families.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::{query, text};
use crate::shell::{root, say};

const FAMILIES: &str = "deploy/families.txt";

/// A family: its labels, and whether it is a histogram.
#[derive(Clone, Debug, Default)]
struct Family {
    labels: BTreeSet<String>,
    histogram: bool,
}

/// All families that queries may name.
#[derive(Debug, Default)]
pub(super) struct Known {
    families: BTreeMap<String, Family>,
}

/// Labels that Prometheus adds to every series.
const TARGET: [&str; 2] = ["instance", "job"];

impl Known {
    /// Reads the documents.
    pub(super) fn read() -> Result<Known> {
        let mut known = Known::default();
        known.metrics(&text("docs/metrics.md")?);
        known.cgroups(&text("docs/collectors.md")?);
        for line in text(FAMILIES)?.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            known.add(name, words, false);
        }
        // Of Prometheus itself: <https://prometheus.io/docs/concepts/jobs_instances/>.
        for name in ["up", "scrape_duration_seconds", "scrape_samples_scraped"] {
            known.add(name, [], false);
        }
        known.add("ALERTS", ["alertname", "alertstate", "severity"], false);
        for needed in [
            "http_server_request_duration_seconds",
            "onlooker_cgroup_tasks",
            "node_load1",
        ] {
            ensure!(
                known.families.contains_key(needed),
                "the documents name no {needed} any more: their form changed"
            );
        }
        Ok(known)
    }

    /// Adds a family, or labels to one.
    pub(super) fn add<'l>(&mut self, name: &str, labels: impl IntoIterator<Item = &'l str>, histogram: bool) {
        let family = self.families.entry(name.to_owned()).or_default();
        family.labels.extend(labels.into_iter().map(str::to_owned));
        family.histogram |= histogram;
    }

    /// Rows of tables whose header names a column `Labels`. Those of what is measured belong to services.
    fn metrics(&mut self, document: &str) {
        let mut header: Vec<&str> = Vec::new();
        for line in document.lines() {
            let Some(row) = line.strip_prefix('|') else {
                header.clear();
                continue;
            };
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            if cells.first() == Some(&"Name") {
                header = cells;
                continue;
            }
            let cell = |title: &str| {
                let at = header.iter().position(|cell| *cell == title)?;
                cells.get(at).copied()
            };
            let (Some(name), Some(labels)) = (cell("Name"), cell("Labels")) else {
                continue;
            };
            let labels = labels.split('`').skip(1).step_by(2);
            let of_service = header
                .contains(&"Unit")
                .then_some(["service_name", "service_namespace"]);
            let labels = labels.chain(of_service.into_iter().flatten());
            self.add(name.trim_matches('`'), labels, cell("Type") == Some("histogram"));
        }
    }

    /// The list of cgroups' families: `onlooker_cgroup_NAME{labels}` and, shortened, `_NAME{labels}`.
    fn cgroups(&mut self, document: &str) {
        const PREFIX: &str = "onlooker_cgroup";
        for word in document.split('`').skip(1).step_by(2) {
            let (name, labels) = word.split_once('{').unwrap_or((word, ""));
            let name = match name.strip_prefix('_') {
                Some(_) => format!("{PREFIX}{name}"),
                None if name.starts_with(PREFIX) => name.to_owned(),
                None => continue,
            };
            let own = labels
                .trim_end_matches('}')
                .split(", ")
                .filter(|label| !label.is_empty());
            let common = ["cgroup", "systemd_unit", "container_id", "k8s_pod_uid"];
            self.add(&name, own.chain(common), false);
        }
    }

    /// Labels of a family, of the series of a histogram, or of a record; `None` when there is no such thing.
    pub(super) fn labels(&self, name: &str) -> Option<BTreeSet<String>> {
        let (family, more) = match self.families.get(name) {
            Some(family) => (family, None),
            None => {
                let part = ["_bucket", "_sum", "_count"]
                    .into_iter()
                    .find(|part| name.ends_with(part))?;
                let family = self.families.get(name.strip_suffix(part)?);
                let family = family.filter(|family| family.histogram)?;
                (family, (part == "_bucket").then_some("le"))
            }
        };
        if more.is_none() && family.histogram && self.families.contains_key(name) {
            // The name of a histogram alone is no series.
            return None;
        }
        let more = TARGET.into_iter().chain(more).map(str::to_owned);
        Some(family.labels.iter().cloned().chain(more).collect())
    }

    /// Checks the names of a query; all labels that its series can have.
    pub(super) fn check(&self, query: &str, problem: &mut dyn FnMut(String)) -> BTreeSet<String> {
        let names = query::names(query);
        let mut all = BTreeSet::new();
        if names.selectors.is_empty() {
            problem(format!("names no family: {query}"));
        }
        for (name, labels) in &names.selectors {
            let Some(there) = self.labels(name) else {
                problem(format!("there is no family {name}, asked for by {query}"));
                continue;
            };
            for label in labels.iter().filter(|label| !there.contains(*label)) {
                problem(format!("{name} has no label {label}, asked for by {query}"));
            }
            all.extend(there);
        }
        for label in names.grouped.iter().filter(|label| !all.contains(*label)) {
            problem(format!("nothing has a label {label}, asked for by {query}"));
        }
        all
    }
}

/// Adds what scrapes hold to the list.
pub(super) fn learn(scrapes: &[PathBuf]) -> Result<()> {
    let old = text(FAMILIES)?;
    let (head, rows): (Vec<&str>, Vec<&str>) = old.lines().partition(|line| line.starts_with('#'));
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let mut words = row.split(' ').map(str::to_owned);
        families
            .entry(words.next().unwrap_or_default())
            .or_default()
            .extend(words);
    }
    for path in scrapes {
        let scrape = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        for line in scrape.lines().filter(|line| line.starts_with("node_")) {
            for (name, labels) in query::names(line.rsplit_once(' ').map_or(line, |(series, _)| series)).selectors {
                families.entry(name).or_default().extend(labels);
            }
        }
    }
    let rows = families.iter().map(|(name, labels)| {
        let labels = labels.iter().map(|label| format!(" {label}"));
        labels.fold(name.clone(), |row, label| row + &label)
    });
    let all: Vec<String> = head.into_iter().map(str::to_owned).chain(rows).collect();
    fs::write(root().join(FAMILIES), all.join("\n") + "\n")?;
    say(format!("{FAMILIES}: {} families", families.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_are_read() {
        let mut known = Known::default();
        known.metrics(
            "| Name | Type | Unit | Labels | What |\n|---|---|---|---|---|\n| `a_seconds` | histogram | seconds | `x`, `y` | z |\n\n\
             | Name | Type | Labels | What |\n|---|---|---|---|\n| `b_total` | counter | `kind` | z |\n",
        );
        known.cgroups("by `cgroup`: `onlooker_cgroup_io_total{device, direction}`, `_tasks`, and `other`");
        let labels = |name: &str| {
            known
                .labels(name)
                .map(|all| all.into_iter().collect::<Vec<_>>().join(" "))
        };
        let bucket = labels("a_seconds_bucket");
        assert_eq!(
            bucket.as_deref(),
            Some("instance job le service_name service_namespace x y")
        );
        assert_eq!(labels("a_seconds"), None, "a histogram by itself is no series");
        assert_eq!(labels("b_total").as_deref(), Some("instance job kind"));
        assert_eq!(labels("b_total_count"), None);
        let cgroup = "cgroup container_id device direction instance job k8s_pod_uid systemd_unit";
        assert_eq!(labels("onlooker_cgroup_io_total").as_deref(), Some(cgroup));
        assert!(labels("onlooker_cgroup_tasks").is_some() && labels("other").is_none());
        let mut problems = Vec::new();
        known.check("sum by (z) (b_total{kind=\"a\", no=\"b\"}) / c", &mut |problem| {
            problems.push(problem)
        });
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
