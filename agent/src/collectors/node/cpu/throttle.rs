//! How often CPUs were throttled for their heat: `cpuN/thermal_throttle` (`arch/x86/kernel/cpu/mce`, later `drivers/thermal/intel`).
//! Threads of a core and cores of a package have one counter in common: the first one is read.

use super::super::files::{self, Kept};
use crate::metric::{Encoder, Family, Kind};
use std::collections::BTreeMap;
use std::path::PathBuf;

static PACKAGE: Family = Family::new(
    "node_cpu_package_throttles_total",
    "",
    "How often a package of CPUs was slowed down for its heat.",
    Kind::Counter,
);
static CORE: Family = Family::new(
    "node_cpu_core_throttles_total",
    "",
    "How often a core was slowed down for its heat.",
    Kind::Counter,
);

/// The counters of a host. Which CPU is of which core is read anew when other CPUs are there or online.
pub(super) struct Throttles {
    folder: PathBuf,
    online: Kept,
    /// CPUs that are there, and those online.
    seen: (Vec<String>, Option<String>),
    counted: Vec<Cpu>,
}

/// A CPU with counters.
struct Cpu {
    counters: PathBuf,
    package: u64,
    core: u64,
}

impl Throttles {
    pub(super) fn new(folder: PathBuf) -> Throttles {
        Throttles {
            online: Kept::whole(folder.join("online")),
            folder,
            seen: Default::default(),
            counted: Vec::new(),
        }
    }

    /// Says them; `numbers` are the CPUs that are there.
    pub(super) fn collect(&mut self, numbers: &[String], out: &mut dyn Encoder) {
        self.find(numbers);
        let (mut packages, mut cores) = (BTreeMap::new(), BTreeMap::new());
        for cpu in &self.counted {
            let read = |name| files::number::<u64>(&cpu.counters.join(name)).ok();
            if !packages.contains_key(&cpu.package) {
                packages.extend(read("package_throttle_count").map(|count| (cpu.package, count)));
            }
            let core = (cpu.package, cpu.core);
            if !cores.contains_key(&core) {
                cores.extend(read("core_throttle_count").map(|count| (core, count)));
            }
        }
        if !packages.is_empty() {
            out.family(&PACKAGE);
        }
        for (package, count) in packages {
            out.number(&[("package", &package.to_string())], count as f64);
        }
        if !cores.is_empty() {
            out.family(&CORE);
        }
        for ((package, core), count) in cores {
            out.number(
                &[("package", &package.to_string()), ("core", &core.to_string())],
                count as f64,
            );
        }
    }

    fn find(&mut self, numbers: &[String]) {
        let online = self.online.text().ok().map(str::to_owned);
        if online.is_some() && online == self.seen.1 && numbers == self.seen.0 {
            return;
        }
        let cpu = |number: &String| {
            let folder = self.folder.join(format!("cpu{number}"));
            let counters = folder.join("thermal_throttle");
            let id = |name: &str| files::number(&folder.join("topology").join(name)).ok();
            Some(Cpu {
                package: id("physical_package_id")?,
                core: id("core_id")?,
                counters: counters.is_dir().then_some(counters)?,
            })
        };
        self.counted = numbers.iter().filter_map(cpu).collect();
        self.seen = (numbers.to_vec(), online);
    }
}
