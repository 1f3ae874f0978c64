//! Which collectors a scrape is for: `collect[]` and `exclude[]` of its query, as node_exporter has them.

use crate::collectors::node::runner::Runner;
use percent_encoding::percent_decode_str;
use rustc_hash::FxHashSet;

/// What a scrape is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Everything.
    All,
    /// These collectors and nothing else.
    Only(FxHashSet<&'static str>),
    /// Everything but these collectors.
    Without(FxHashSet<&'static str>),
}

impl Selection {
    /// By the query of a scrape's address.
    ///
    /// # Errors
    /// Both were given, or a name that is none of a collector that runs.
    pub(crate) fn of(query: Option<&str>, collectors: &Runner) -> Result<Selection, String> {
        let (mut only, mut without) = (Vec::new(), Vec::new());
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match &*decoded(name) {
                "collect[]" => only.push(decoded(value)),
                "exclude[]" => without.push(decoded(value)),
                _ => {}
            }
        }
        if !only.is_empty() && !without.is_empty() {
            return Err("collect[] and exclude[] exclude each other: leave one of the two out.\n".to_owned());
        }
        if only.is_empty() && without.is_empty() {
            return Ok(Selection::All);
        }
        let known: FxHashSet<&'static str> = collectors.names().collect();
        let find = |name: &String| {
            let found = known.get(name.as_str()).copied();
            found.ok_or_else(|| match crate::collectors::node::named(name) {
                Some(_) => format!("Collector {name} is switched off: --collector.{name} switches it on.\n"),
                None => format!("There is no collector {name}.\n"),
            })
        };
        Ok(match without.is_empty() {
            true => Selection::Only(only.iter().map(find).collect::<Result<_, _>>()?),
            false => Selection::Without(without.iter().map(find).collect::<Result<_, _>>()?),
        })
    }

    /// Is a collector among them?
    pub(crate) fn has(&self, collector: &str) -> bool {
        match self {
            Selection::All => true,
            Selection::Only(names) => names.contains(collector),
            Selection::Without(names) => !names.contains(collector),
        }
    }
}

/// As forms have them: `%5B` is a bracket, `+` a space.
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::flags::Settings;
    use crate::host::Host;

    #[test]
    fn queries_as_node_exporter_takes_them() {
        let mut settings = Settings::default();
        settings.switched.insert("time", false);
        let runner = Runner::new(&Host::default(), &settings);
        let of = |query| Selection::of(query, &runner);
        assert_eq!(of(None), Ok(Selection::All));
        assert_eq!(of(Some("x=y&collect")), Ok(Selection::All));
        let only = Selection::Only(FxHashSet::from_iter(["loadavg"]));
        assert_eq!(of(Some("collect[]=loadavg")), Ok(only.clone()));
        assert_eq!(of(Some("collect%5B%5D=loadavg")), Ok(only.clone()));
        assert!(only.has("loadavg") && !only.has("stat"));
        let without = of(Some("exclude[]=loadavg")).unwrap();
        assert!(!without.has("loadavg") && without.has("stat"));
        assert!(of(Some("exclude[]=loadavg&collect[]=loadavg")).is_err());
        assert_eq!(
            of(Some("collect[]=nothing")).unwrap_err(),
            "There is no collector nothing.\n"
        );
    }
}
