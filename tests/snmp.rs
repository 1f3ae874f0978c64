//! What the kernel counts of a network namespace: `/proc/net/snmp` and `/proc/net/netstat`.

use crate::netns::NetNs;
use crate::process::output;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// The counters by name (`TcpRetransSegs`, `TcpExtListenDrops`). TCP's are of both families.
pub fn counters(ns: &NetNs) -> Result<BTreeMap<String, u64>> {
    let mut cat = ns.command("cat");
    cat.args(["/proc/net/snmp", "/proc/net/netstat"]);
    let text = output(cat)?;
    let mut all = BTreeMap::new();
    let mut lines = text.lines();
    // Each protocol has a line of names and one of numbers.
    while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
        let (protocol, names) = names.split_once(": ").context("names")?;
        let (_, numbers) = numbers.split_once(": ").context("numbers")?;
        for (name, number) in names.split(' ').zip(numbers.split(' ')) {
            // One of them may be negative (`TcpMaxConn`).
            if let Ok(number) = number.parse() {
                all.insert(format!("{protocol}{name}"), number);
            }
        }
    }
    Ok(all)
}
