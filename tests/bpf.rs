//! What the kernel holds of eBPF, as bpftool lists it.

use crate::process::output;
use crate::require::which;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Ids of loaded programs and maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Programs.
    pub programs: BTreeSet<u64>,
    /// Maps.
    pub maps: BTreeSet<u64>,
}

impl Loaded {
    /// What is loaded now.
    pub fn now() -> Result<Loaded> {
        Ok(Loaded {
            programs: ids(&show("prog")?),
            maps: ids(&show("map")?),
        })
    }
    /// What is here and not there.
    pub fn without(&self, other: &Loaded) -> Loaded {
        Loaded {
            programs: self.programs.difference(&other.programs).copied().collect(),
            maps: self.maps.difference(&other.maps).copied().collect(),
        }
    }
    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.maps.is_empty()
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
