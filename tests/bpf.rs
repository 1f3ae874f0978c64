//! What the kernel holds of eBPF, as bpftool lists it.

use crate::process::output;
use crate::require::which;
use crate::wait;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Ids of loaded programs, maps and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Programs.
    pub programs: BTreeSet<u64>,
    /// Maps.
    pub maps: BTreeSet<u64>,
    /// Links: programs attached to their hooks.
    pub links: BTreeSet<u64>,
}

impl Loaded {
    /// What is loaded now.
    pub fn now() -> Result<Loaded> {
        Ok(Loaded {
            programs: ids(&show("prog")?),
            maps: ids(&show("map")?),
            links: ids(&show("link")?),
        })
    }
    /// What is here and not there.
    pub fn without(&self, other: &Loaded) -> Loaded {
        Loaded {
            programs: self.programs.difference(&other.programs).copied().collect(),
            maps: self.maps.difference(&other.maps).copied().collect(),
            links: self.links.difference(&other.links).copied().collect(),
        }
    }
    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.maps.is_empty() && self.links.is_empty()
    }
    /// What living processes hold by their descriptors, with the maps of the programs that they hold: whatever else the host
    /// runs.
    pub fn held() -> Result<Loaded> {
        let mut held = Loaded::default();
        for process in std::fs::read_dir("/proc")?.flatten() {
            // Processes that end meanwhile hold nothing.
            let Ok(files) = std::fs::read_dir(process.path().join("fdinfo")) else {
                continue;
            };
            for file in files.flatten() {
                let text = std::fs::read_to_string(file.path()).unwrap_or_default();
                for line in text.lines() {
                    let Some((key, id)) = line.split_once(':') else {
                        continue;
                    };
                    let set = match key {
                        "prog_id" => &mut held.programs,
                        "map_id" => &mut held.maps,
                        "link_id" => &mut held.links,
                        _ => continue,
                    };
                    set.extend(id.trim().parse::<u64>());
                }
            }
        }
        for program in show("prog")? {
            if program["id"].as_u64().is_some_and(|id| held.programs.contains(&id)) {
                let maps = program["map_ids"].as_array().into_iter().flatten();
                held.maps.extend(maps.filter_map(Value::as_u64));
            }
        }
        Ok(held)
    }
    /// Waits until nothing is loaded that was not there before, and that no process holds: the kernel takes a moment to drop
    /// what a process leaves.
    ///
    /// # Errors
    /// What is left.
    pub fn expect_nothing_since(before: &Loaded) -> Result<()> {
        wait::until("the kernel's release of programs, maps and links", wait::SOON, || {
            let mut left = Loaded::now()?.without(before);
            if !left.is_empty() {
                left = left.without(&Loaded::held()?);
            }
            anyhow::ensure!(left.is_empty(), "left are {left:?}");
            Ok(())
        })
    }
}

/// Kernel memory of these maps, bytes.
pub fn map_bytes(ids: &BTreeSet<u64>) -> Result<u64> {
    Ok(show("map")?
        .iter()
        .filter(|map| map["id"].as_u64().is_some_and(|id| ids.contains(&id)))
        .filter_map(|map| map["bytes_memlock"].as_u64())
        .sum())
}

fn ids(list: &[Value]) -> BTreeSet<u64> {
    list.iter().filter_map(|entry| entry["id"].as_u64()).collect()
}

fn show(what: &str) -> Result<Vec<Value>> {
    let mut command = Command::new(which("bpftool").context("bpftool")?);
    command.args(["-j", what, "show"]);
    let text = output(command)?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("bpftool {what} show"))?;
    Ok(value.as_array().cloned().unwrap_or_default())
}
