//! Caches of the network stack: the files of `proc/net/stat`, each with a line of names and then a line for each CPU.

use super::files::{First, names};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "lnstat",
    about: "caches of the network stack",
    default: false,
    make: |setup| Ok(Box::new(LnStat::new(setup))),
    ..Collector::BASE
};

struct LnStat(PathBuf);

/// Counts by the name of what is counted: of which file, on which CPU, how many.
type Counts<'a> = BTreeMap<String, Vec<(&'a str, usize, u64)>>;

impl LnStat {
    fn new(setup: &Setup<'_>) -> LnStat {
        LnStat(setup.host.proc.join("net/stat"))
    }
}

impl Collect for LnStat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let names = names(&self.0)?;
        let mut first = First::default();
        let mut counts = Counts::new();
        for name in &names {
            let path = self.0.join(name);
            if let Some(text) = first.ok(super::files::text(&path)) {
                first.ok(parse(&path, &text, name, &mut counts));
            }
        }
        for (name, counts) in counts {
            out.family(&Family {
                name: format!("node_lnstat_{name}_total").into(),
                unit: "".into(),
                help: format!("The kernel's counter {name} of caches of the network stack.").into(),
                kind: Kind::Counter,
            });
            for (subsystem, cpu, count) in counts {
                out.number(&[("subsystem", subsystem), ("cpu", &cpu.to_string())], count as f64);
            }
        }
        first.result()
    }
}

/// Adds the counts of a file. Its numbers are hexadecimal.
fn parse<'a>(path: &Path, text: &str, subsystem: &'a str, counts: &mut Counts<'a>) -> Result<(), CollectError> {
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    for (cpu, line) in lines.enumerate() {
        for (head, word) in heads.iter().zip(line.split_ascii_whitespace()) {
            let count = u64::from_str_radix(word, 16)
                .map_err(|error| CollectError::malformed(path, format!("line {}: {word:?}: {error}", cpu + 2)))?;
            let of_name = match counts.get_mut(*head) {
                Some(of_name) => of_name,
                None => counts.entry((*head).to_owned()).or_default(),
            };
            // A name that is there twice is told once.
            if of_name.last().is_none_or(|(of, on, _)| (*of, *on) != (subsystem, cpu)) {
                of_name.push((subsystem, cpu, count));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn every_file_is_told_by_cpu() {
        let fixture = Fixture::new(&[
            (
                "proc/net/stat/arp_cache",
                "entries  allocs entries\n00000014  0000000a 1\n00000014  ffffffff 1\n",
            ),
            ("proc/net/stat/rt_cache", "entries\n00000001 00000002\n"),
        ]);
        let told = "node_lnstat_allocs_total{subsystem=\"arp_cache\",cpu=\"0\"} 10\n\
                    node_lnstat_allocs_total{subsystem=\"arp_cache\",cpu=\"1\"} 4.294967295e+09\n\
                    node_lnstat_entries_total{subsystem=\"arp_cache\",cpu=\"0\"} 20\n\
                    node_lnstat_entries_total{subsystem=\"arp_cache\",cpu=\"1\"} 20\n\
                    node_lnstat_entries_total{subsystem=\"rt_cache\",cpu=\"0\"} 1\n";
        assert_eq!(fixture.text(&COLLECTOR), told);
    }

    #[test]
    fn garbage_costs_its_file_and_is_told() {
        let fixture = Fixture::new(&[
            ("proc/net/stat/a", "entries\nxyz\n"),
            ("proc/net/stat/b", "entries\n2\n"),
        ]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_lnstat_entries_total{subsystem=\"b\",cpu=\"0\"} 2\n");
        let error = result.unwrap_err().to_string();
        assert!(
            error.ends_with("stat/a: line 2: \"xyz\": invalid digit found in string"),
            "{error}"
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
