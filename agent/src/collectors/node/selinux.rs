//! SELinux: `sys/fs/selinux` (`security/selinux/selinuxfs.c`) and what `etc/selinux/config` wants.

use super::flags::Setup;
use super::rows::{counter, gauge};
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "selinux",
    about: "SELinux and its cache of decisions",
    make: |setup| Ok(Box::new(SeLinux::new(setup))),
    ..Collector::BASE
};

static ENABLED: Family = Family::new("node_selinux_enabled", "", "Whether SELinux is on.", Kind::Gauge);
static CONFIG_MODE: Family = Family::new(
    "node_selinux_config_mode",
    "",
    "Mode in the configuration: 1 enforcing, 0 permissive, -1 disabled.",
    Kind::Gauge,
);
static CURRENT_MODE: Family = Family::new(
    "node_selinux_current_mode",
    "",
    "Mode now: 1 enforcing, 0 permissive, -1 unknown.",
    Kind::Gauge,
);
/// Columns of `avc/cache_stats`, a line a CPU.
static CACHE: [Family; 6] = [
    counter("node_selinux_avc_lookups_total", "Lookups in the cache of decisions."),
    counter("node_selinux_avc_hits_total", "Lookups that found a decision."),
    counter("node_selinux_avc_misses_total", "Lookups that found none."),
    counter("node_selinux_avc_allocations_total", "Entries that were made."),
    counter(
        "node_selinux_avc_reclaims_total",
        "Entries whose room was taken for others.",
    ),
    counter("node_selinux_avc_frees_total", "Entries that were freed."),
];
/// Numbers of `avc/hash_stats` in its order.
static HASH: [Family; 4] = [
    gauge("node_selinux_avc_hash_entries", "Entries in the cache of decisions."),
    gauge("node_selinux_avc_hash_buckets_used", "Buckets of its table in use."),
    gauge("node_selinux_avc_hash_buckets_available", "Buckets of its table."),
    gauge("node_selinux_avc_hash_longest_chain", "Entries in its fullest bucket."),
];
static THRESHOLD: Family = gauge(
    "node_selinux_avc_threshold",
    "Entries from which the cache takes room for others.",
);

struct SeLinux {
    folder: PathBuf,
    config: PathBuf,
}

impl SeLinux {
    fn new(setup: &Setup<'_>) -> SeLinux {
        SeLinux {
            folder: setup.host.sys.join("fs/selinux"),
            config: setup.host.root.join("etc/selinux/config"),
        }
    }
}

impl Collect for SeLinux {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let enforce = self.folder.join("enforce");
        // Its file system is mounted there only when it is on.
        let on = enforce.exists();
        out.family(&ENABLED);
        out.number(&[], f64::from(u8::from(on)));
        if !on {
            return Ok(());
        }
        let configured = files::text_if_any(&self.config).as_deref().map_or(-1, config_mode);
        out.family(&CONFIG_MODE);
        out.number(&[], f64::from(configured));
        out.family(&CURRENT_MODE);
        out.number(&[], f64::from(files::number::<i8>(&enforce).unwrap_or(-1)));

        let path = self.folder.join("avc/cache_stats");
        let cache = cache(&files::text(&path)?).map_err(|what| CollectError::malformed(&path, what))?;
        tell(out, &CACHE, &cache);
        let path = self.folder.join("avc/hash_stats");
        let hash = hash(&files::text(&path)?);
        let hash = hash
            .ok_or_else(|| CollectError::malformed(&path, "it does not hold entries, buckets and the longest chain"))?;
        tell(out, &HASH, &hash);
        let threshold: u64 = files::number(&self.folder.join("avc/cache_threshold"))?;
        tell(out, std::slice::from_ref(&THRESHOLD), &[threshold]);
        Ok(())
    }
}

fn tell(out: &mut dyn Encoder, families: &[Family], values: &[u64]) {
    for (family, value) in families.iter().zip(values) {
        out.family(family);
        out.number(&[], *value as f64);
    }
}

/// `SELINUX=enforcing`.
fn config_mode(text: &str) -> i8 {
    let mode = text.lines().find_map(|line| line.trim().strip_prefix("SELINUX="));
    match mode.map(|mode| mode.trim_matches('"')) {
        Some("enforcing") => 1,
        Some("permissive") => 0,
        _ => -1,
    }
}

/// Sums of the columns, which stand under a line of their names.
fn cache(text: &str) -> Result<[u64; CACHE.len()], String> {
    let mut sums = [0u64; CACHE.len()];
    for (line, text) in text.lines().enumerate().skip(1) {
        let mut words = text.split_ascii_whitespace();
        for sum in &mut sums {
            let value = words.next().and_then(|word| word.parse::<u64>().ok());
            let value = value.ok_or_else(|| format!("line {}: {text:?} is not six numbers", line + 1))?;
            *sum = sum.wrapping_add(value);
        }
    }
    Ok(sums)
}

/// `entries: 503`, `buckets used: 283/512`, `longest chain: 5`.
fn hash(text: &str) -> Option<[u64; HASH.len()]> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':').map(str::trim)
    };
    let (used, all) = value("buckets used")?.split_once('/')?;
    let values = [value("entries")?, used, all, value("longest chain")?];
    let mut numbers = [0; HASH.len()];
    for (number, text) in numbers.iter_mut().zip(values) {
        *number = text.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn off() {
        assert_eq!(Fixture::new(&[]).text(&COLLECTOR), "node_selinux_enabled 0\n");
    }

    #[test]
    fn on_with_its_cache() {
        let fixture = Fixture::new(&[
            ("sys/fs/selinux/enforce", "0"),
            (
                "sys/fs/selinux/avc/cache_stats",
                "lookups hits misses allocations reclaims frees\n10 9 1 2 3 4\n5 4 1 1 1 1\n",
            ),
            (
                "sys/fs/selinux/avc/hash_stats",
                "entries: 503\nbuckets used: 283/512\nlongest chain: 5\n",
            ),
            ("sys/fs/selinux/avc/cache_threshold", "512"),
            (
                "root/etc/selinux/config",
                "# mode\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
            ),
        ]);
        let text = fixture.text(&COLLECTOR).replace("node_selinux_", "");
        let expect = "enabled 1\nconfig_mode 1\ncurrent_mode 0\navc_lookups_total 15\navc_hits_total 13\navc_misses_total 2\n\
            avc_allocations_total 3\navc_reclaims_total 4\navc_frees_total 5\navc_hash_entries 503\navc_hash_buckets_used 283\n\
            avc_hash_buckets_available 512\navc_hash_longest_chain 5\navc_threshold 512\n";
        assert_eq!(text, expect);
        fixture.put(&[("sys/fs/selinux/avc/hash_stats", "entries: 503\n")]);
        assert!(fixture.error(&COLLECTOR).contains("hash_stats: it does not hold"));
        fixture.put(&[("sys/fs/selinux/avc/cache_stats", "lookups\n1 2\n")]);
        assert!(
            fixture
                .error(&COLLECTOR)
                .contains("cache_stats: line 2: \"1 2\" is not six numbers")
        );
    }

    #[test]
    fn modes_of_the_configuration() {
        assert_eq!(config_mode("SELINUXTYPE=x\nSELINUX=\"permissive\""), 0);
        assert_eq!(config_mode("SELINUX=disabled"), -1);
        assert_eq!(config_mode(""), -1);
    }
}
