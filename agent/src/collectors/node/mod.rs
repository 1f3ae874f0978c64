//! Metrics of the host under node_exporter's names: one file a collector, and one line of [`REGISTRY`].
//!
//! A collector reads the host when it is asked and says what it finds to an [`Encoder`]. It may fail, hang or panic: the
//! [`runner`] sees to it that nobody waits for it.

pub mod byline;
pub mod files;
pub mod filter;
pub mod flags;
pub mod mountinfo;
pub mod runner;

mod arp;
mod bcache;
mod bcachefs;
mod bonding;
mod btrfs;
mod buddyinfo;
mod cgroups;
mod conntrack;
mod cpu;
mod cpu_vulnerabilities;
mod cpufreq;
mod cpus;
mod dbus;
mod diskstats;
mod dmi;
mod dmmultipath;
mod drbd;
mod drm;
mod edac;
mod entropy;
mod ethtool;
mod fibrechannel;
mod filefd;
mod filesystem;
mod hwmon;
mod infiniband;
mod interrupts;
mod ipvs;
mod kernel_hung;
mod ksmd;
mod lnstat;
mod loadavg;
mod logind;
mod mdadm;
mod meminfo;
mod meminfo_numa;
mod mountstats;
mod netclass;
mod netdev;
mod netlink;
mod netstat;
mod network_route;
mod nfs;
mod nfsd;
mod ntp;
mod nvme;
mod os;
mod pcidevice;
mod perf;
pub mod pool;
mod powersupplyclass;
mod pressure;
mod processes;
mod qdisc;
mod rapl;
mod rows;
mod runit;
mod schedstat;
mod selinux;
mod slabinfo;
mod sockstat;
mod softirqs;
mod softnet;
mod stat;
mod supervisord;
mod swap;
mod sysctl;
mod systemd;
mod tapestats;
mod tcpstat;
mod textfile;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;
mod watchdog;
mod wifi;
mod xfrm;
mod xfs;
mod zfs;
mod zoneinfo;

use crate::metric::Encoder;
use flags::{Flag, Setup};
use std::io;
use std::path::{Path, PathBuf};

/// A collector as it is known.
#[derive(Debug)]
pub struct Collector {
    /// Its name, node_exporter's: `--collector.NAME`, `collect[]=NAME`.
    pub name: &'static str,
    /// What it tells, for the help.
    pub about: &'static str,
    /// Does it run when nobody asks for it?
    pub default: bool,
    /// Its flags.
    pub flags: &'static [&'static Flag],
    /// Makes one. Nothing of the host is read yet but what must be known for that.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub make: fn(&Setup<'_>) -> Result<Box<dyn Collect>, String>,
}

impl Collector {
    /// What most collectors have in common.
    pub const BASE: Collector = Collector {
        name: "",
        about: "",
        default: true,
        flags: &[],
        make: |_| Err("there is no such collector".to_owned()),
    };
}

/// A collector at work.
pub trait Collect: Send {
    /// Says everything that is found now. What was said before an error stays.
    ///
    /// # Errors
    /// See [`CollectError`].
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError>;
}

/// Why a collector has nothing, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// There is nothing of the kind on this host.
    #[error("there is nothing of the kind here: {0}")]
    NoData(String),
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {what}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong, with the line where there are some.
        what: String,
    },
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl CollectError {
    /// A file could not be read. One that is not there: nothing of the kind.
    pub fn read(path: &Path, error: io::Error) -> CollectError {
        if error.kind() == io::ErrorKind::NotFound {
            return CollectError::NoData(format!("no {}", path.display()));
        }
        CollectError::Read {
            path: path.to_owned(),
            error,
        }
    }

    /// A file holds something else than it should.
    pub fn malformed(path: &Path, what: impl std::fmt::Display) -> CollectError {
        CollectError::Malformed {
            path: path.to_owned(),
            what: what.to_string(),
        }
    }

    /// Is there nothing of the kind?
    pub fn is_no_data(&self) -> bool {
        matches!(self, CollectError::NoData(_))
    }
}

/// All collectors, by name.
pub static REGISTRY: &[&Collector] = &[
    &arp::COLLECTOR,
    &bcache::COLLECTOR,
    &bcachefs::COLLECTOR,
    &bonding::COLLECTOR,
    &btrfs::COLLECTOR,
    &buddyinfo::COLLECTOR,
    &super::cgroups::COLLECTOR,
    &cgroups::COLLECTOR,
    &conntrack::COLLECTOR,
    &cpu::COLLECTOR,
    &cpu_vulnerabilities::COLLECTOR,
    &cpufreq::COLLECTOR,
    &diskstats::COLLECTOR,
    &dmi::COLLECTOR,
    &dmmultipath::COLLECTOR,
    &drbd::COLLECTOR,
    &drm::COLLECTOR,
    &edac::COLLECTOR,
    &entropy::COLLECTOR,
    &ethtool::COLLECTOR,
    &fibrechannel::COLLECTOR,
    &filefd::COLLECTOR,
    &filesystem::COLLECTOR,
    &hwmon::COLLECTOR,
    &infiniband::COLLECTOR,
    &interrupts::COLLECTOR,
    &ipvs::COLLECTOR,
    &kernel_hung::COLLECTOR,
    &ksmd::COLLECTOR,
    &lnstat::COLLECTOR,
    &loadavg::COLLECTOR,
    &logind::COLLECTOR,
    &mdadm::COLLECTOR,
    &meminfo::COLLECTOR,
    &meminfo_numa::COLLECTOR,
    &mountstats::COLLECTOR,
    &netclass::COLLECTOR,
    &netdev::COLLECTOR,
    &netstat::COLLECTOR,
    &network_route::COLLECTOR,
    &nfs::COLLECTOR,
    &nfsd::COLLECTOR,
    &ntp::COLLECTOR,
    &nvme::COLLECTOR,
    &os::COLLECTOR,
    &pcidevice::COLLECTOR,
    &perf::COLLECTOR,
    &powersupplyclass::COLLECTOR,
    &pressure::COLLECTOR,
    &processes::COLLECTOR,
    &qdisc::COLLECTOR,
    &rapl::COLLECTOR,
    &runit::COLLECTOR,
    &schedstat::COLLECTOR,
    &selinux::COLLECTOR,
    &slabinfo::COLLECTOR,
    &sockstat::COLLECTOR,
    &softirqs::COLLECTOR,
    &softnet::COLLECTOR,
    &stat::COLLECTOR,
    &supervisord::COLLECTOR,
    &swap::COLLECTOR,
    &sysctl::COLLECTOR,
    &systemd::COLLECTOR,
    &tapestats::COLLECTOR,
    &tcpstat::COLLECTOR,
    &textfile::COLLECTOR,
    &thermal_zone::COLLECTOR,
    &time::COLLECTOR,
    &timex::COLLECTOR,
    &udp_queues::COLLECTOR,
    &uname::COLLECTOR,
    &vmstat::COLLECTOR,
    &watchdog::COLLECTOR,
    &wifi::COLLECTOR,
    &xfrm::COLLECTOR,
    &xfs::COLLECTOR,
    &zfs::COLLECTOR,
    &zoneinfo::COLLECTOR,
];

/// The collector of that name.
pub fn named(name: &str) -> Option<&'static Collector> {
    REGISTRY.iter().find(|collector| collector.name == name).copied()
}

#[cfg(test)]
mod golden {
    mod tests;
}
#[cfg(test)]
mod noise;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_registry() {
        use std::fmt::Write as _;
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/collectors.md");
        let mut rows = String::from("| Collector | By default | Tells |\n|---|---|---|\n");
        for collector in REGISTRY {
            let default = if collector.default { "on" } else { "off" };
            let _ = writeln!(rows, "| `{}` | {default} | {} |", collector.name, collector.about);
        }
        rows += "\n| Flag | Default | What it does |\n|---|---|---|\n";
        for flag in REGISTRY.iter().flat_map(|collector| collector.flags) {
            let default: Vec<String> = flag
                .default
                .iter()
                .map(|value| format!("`{}`", value.replace('|', "\\|")))
                .collect();
            let value = if flag.form == flags::Form::Switch {
                ""
            } else {
                flag.form.placeholder()
            };
            let name = format!("--{} {value}", flag.name);
            let _ = writeln!(
                rows,
                "| `{}` | {} | {} |",
                name.trim_end(),
                default.join(", "),
                flag.help
            );
        }
        let document = std::fs::read_to_string(file).unwrap_or_default();
        if std::env::var_os("ONLOOKER_WRITE_DOCS").is_some() {
            let head = "| Collector | By default |";
            let before = document.split_once(head).map_or(&*document, |(before, _)| before);
            std::fs::write(file, format!("{before}{rows}")).unwrap();
        } else {
            assert!(
                document.ends_with(&rows),
                "docs/collectors.md is stale: ONLOOKER_WRITE_DOCS=1 writes it anew"
            );
        }
    }

    #[test]
    fn names_are_in_order_and_flags_are_their_collectors() {
        assert!(REGISTRY.is_sorted_by(|a, b| a.name < b.name));
        for collector in REGISTRY {
            assert!(!collector.about.is_empty(), "{}", collector.name);
            for flag in collector.flags {
                let begin = format!("collector.{}.", collector.name);
                let old = flag.name.starts_with("collector.");
                assert!(flag.name.starts_with(&begin) || old, "{}", flag.name);
                assert!(!flag.help.is_empty(), "{}", flag.name);
                for value in flag.default {
                    assert_eq!(flag.form.check(value), Ok(()), "{}", flag.name);
                }
            }
        }
    }
}
