//! Loads the eBPF object, attaches each probe by its best alternative, hands out the maps. The one file that touches
//! `EbpfLoader`. Nothing is pinned: when the process ends, however it ends, the kernel drops programs and maps.

use super::maps::{FallbackTable, Graves, KernelCounters, RecordRing, SocketTable};
use super::refusals::{self, Refusals};
use super::{btf::Btf, btf::BtfError, kfuncs, layout::Layout, lockdown};
use crate::health::ProbeState;
use crate::probes::{Alternative, Hook, Probe, REGISTRY};
use crate::signal::Role;
use aya::maps::{HashMap, MapError, PerCpuArray, RingBuf};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader};
use onlooker_common::record::role;
use onlooker_common::{config::ProbeConfig, limits};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/onlooker.bpf.o"));

/// Bytes of the kernel side that is compiled in; `None` when there is none.
pub fn object_bytes() -> Option<usize> {
    (!OBJECT.is_empty()).then_some(OBJECT.len())
}

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the ring buffer: a power of two, a multiple of the page size.
    pub ring_bytes: u32,
    /// Connections followed at once.
    pub connections: u32,
    /// Name of the only capture probe to try; `None`: all, in their order.
    pub capture: Option<&'static str>,
    /// Report requests together with their answers, where they are short: half the records. Not while somebody follows
    /// requests as they begin (traces).
    pub hold: bool,
    /// Whose ends of connections are followed.
    pub roles: &'static [Role],
    /// Let the kernel side log (slow, for debugging).
    pub trace: bool,
}

/// Why the kernel side cannot start at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Built without the eBPF object.
    #[error("this program was built without its kernel side; build it with `cargo xtask build`")]
    NoObject,
    /// No type information.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// Not allowed.
    #[error("the kernel does not let this process make its maps: {0}")]
    NotPermitted(String),
    /// Every probe was refused.
    #[error("no probe can be attached: {0}")]
    NoProbe(String),
    /// Something else.
    #[error("cannot set up the kernel side: {0}")]
    Setup(String),
}

/// The kernel side at work. Dropping it detaches everything.
pub struct Kernel {
    /// Records of the probes.
    pub ring: RecordRing,
    /// Connections that the kernel side follows.
    pub sockets: SocketTable,
    /// Exchanges that the kernel side counted.
    pub fallback: FallbackTable,
    /// Connections whose end found no room in the ring.
    pub graves: Graves,
    /// Records seen and lost in the kernel.
    pub counters: KernelCounters,
    /// What became of each probe.
    pub probes: Vec<ProbeState>,
    /// Memory of each map.
    pub maps: Vec<MapSize>,
    /// Attached programs.
    pub stats: Vec<ProgramStats>,
    /// Lines that the kernel side logs, when asked for.
    pub log: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    /// The programs; dropping them detaches all.
    pub programs: Programs,
}

/// The attached programs.
pub struct Programs(#[expect(dead_code, reason = "held for its Drop")] Ebpf);

/// Bytes of kernel memory that a map holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSize {
    /// Name of the map.
    pub name: String,
    /// Bytes, as the kernel accounts them.
    pub bytes: u64,
}

/// How far a probe is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its programs are loaded, which verifies them, and dropped again.
    Verify,
    /// They are attached too, and stay.
    Attach,
}

/// The object with its maps, before any program is loaded.
pub(super) struct Opened {
    programs: Ebpf,
    layout: Layout,
    types: aya::Btf,
    /// Names of the kernel's tracepoints, sorted.
    tracepoints: Vec<String>,
    refusals: Refusals,
    /// Whether lockdown forbids to read the kernel's memory; `None` when it cannot be told.
    confidential: Option<bool>,
}

/// Reads the kernel's types, makes the maps. `sys` is the root of sysfs.
pub(super) fn open(sys: &Path, options: &Options) -> Result<Opened, LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::NoObject);
    }
    let refusals = Refusals::from_env()?;
    // Our reader for the offsets; aya wants its own for the tracepoints.
    let path = sys.join("kernel/btf/vmlinux");
    let mut object = OBJECT.to_vec();
    let (layout, mut names, types) = {
        let btf = Btf::read(&path)?;
        kfuncs::fill(&mut object, &btf);
        let hooks = REGISTRY.iter().flat_map(|probe| probe.alternatives);
        let hooks = hooks
            .flat_map(|alternative| alternative.programs)
            .filter_map(|program| match program.hook {
                Hook::BtfTracepoint(name) => Some(name),
                Hook::RawTracepoint(_) => None,
            });
        let types = btf.abridged(&hooks.collect::<Vec<_>>());
        (Layout::resolve(&btf), btf.tracepoints(), types)
    };
    names.sort_unstable();
    let types = aya::Btf::parse(&types, Default::default()).map_err(|error| LoadError::Setup(error.to_string()))?;

    let settings = ProbeConfig {
        self_tgid: std::process::id(),
        wake_bytes: options.ring_bytes >> limits::RING_WAKE_SHIFT,
        hold: options.hold.into(),
        roles: options.roles.iter().fold(0, |bits, role| {
            bits | 1
                << match role {
                    Role::Server => role::SERVER,
                    Role::Client => role::CLIENT,
                }
        }),
    };
    raise_locked_memory();
    let level = if options.trace { aya_log::Level::Trace as u8 } else { 0 };
    let programs = EbpfLoader::new()
        .btf(None)
        .override_global("LAYOUT", &layout.offsets, true)
        .override_global("CONFIG", &settings, true)
        .override_global(aya_log::LEVEL, &level, false)
        .map_max_entries("RING", options.ring_bytes)
        .map_max_entries("SOCKETS", options.connections)
        .load(&object)
        .map_err(|error| refusals::setup(&error))?;
    Ok(Opened {
        programs,
        layout,
        types,
        tracepoints: names,
        refusals,
        confidential: lockdown::is_confidential(sys),
    })
}

/// Loads and attaches. `sys` is the root of sysfs.
///
/// # Errors
/// [`LoadError`] only when nothing can work; a probe that does not attach is told in [`Kernel::probes`].
pub fn load(sys: &Path, options: &Options) -> Result<Kernel, LoadError> {
    let mut opened = open(sys, options)?;
    let probes = opened.try_all(options.capture, Step::Attach);
    if probes.iter().all(|probe| probe.alternative.is_none()) {
        let mut reasons: Vec<String> = probes.into_iter().filter_map(|probe| probe.reason).collect();
        reasons.sort();
        reasons.dedup();
        return Err(LoadError::NoProbe(reasons.join("; ")));
    }
    let Opened {
        mut programs, types, ..
    } = opened;
    drop(types);
    give_back();

    let stats = REGISTRY
        .iter()
        .flat_map(|probe| probe.alternatives)
        .flat_map(|alternative| alternative.programs)
        .filter_map(|program| ProgramStats::of(program.name, programs.program(program.name)?))
        .collect();
    let missing = |name: &str| LoadError::Setup(format!("the eBPF object has no map {name}"));
    let wrong = |error: MapError| LoadError::Setup(error.to_string());
    let mut maps: Vec<MapSize> = programs.maps().map(|(name, map)| size_of_map(name, map)).collect();
    maps.sort_by(|a, b| a.name.cmp(&b.name));
    let log = options
        .trace
        .then(|| aya_log::EbpfLogger::init(&mut programs).ok())
        .flatten();
    let ring = RingBuf::try_from(programs.take_map("RING").ok_or_else(|| missing("RING"))?).map_err(wrong)?;
    let sockets = programs.take_map("SOCKETS").ok_or_else(|| missing("SOCKETS"))?;
    let sockets_fd = match &sockets {
        aya::maps::Map::HashMap(data) => data.fd().as_fd().try_clone_to_owned(),
        _ => return Err(missing("SOCKETS")),
    };
    let sockets = SocketTable {
        map: HashMap::try_from(sockets).map_err(wrong)?,
        fd: sockets_fd.map_err(|error| LoadError::Setup(error.to_string()))?,
    };
    let counters =
        PerCpuArray::try_from(programs.take_map("COUNTERS").ok_or_else(|| missing("COUNTERS"))?).map_err(wrong)?;
    let fallback =
        HashMap::try_from(programs.take_map("FALLBACK").ok_or_else(|| missing("FALLBACK"))?).map_err(wrong)?;
    let graves = HashMap::try_from(programs.take_map("GRAVES").ok_or_else(|| missing("GRAVES"))?).map_err(wrong)?;
    Ok(Kernel {
        graves: Graves(graves),
        ring: RecordRing(ring),
        sockets,
        fallback: FallbackTable::new(fallback),
        counters: KernelCounters(Arc::new(counters)),
        probes,
        maps,
        stats,
        log,
        programs: Programs(programs),
    })
}

/// The kernel's types were some megabytes in many small pieces, needed once.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no arguments that matter; glibc locks its own heap.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Before Linux 5.11 maps count as locked memory, of which few are allowed. Without the right to raise the limit the maps may
/// fit all the same, and if not, the error says so.
fn raise_locked_memory() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let all = Rlimit {
        current: None,
        maximum: None,
    };
    if setrlimit(Resource::Memlock, all).is_err() {
        let allowed = getrlimit(Resource::Memlock).maximum;
        let _ = setrlimit(
            Resource::Memlock,
            Rlimit {
                current: allowed,
                maximum: allowed,
            },
        );
    }
}

impl Opened {
    /// All probes, of a group the first that attaches (or the one that is asked for). Of a probe the alternatives are tried
    /// in their order.
    pub(super) fn try_all(&mut self, capture: Option<&str>, step: Step) -> Vec<ProbeState> {
        let mut states: Vec<ProbeState> = Vec::with_capacity(REGISTRY.len());
        for probe in REGISTRY {
            let rivals = |state: &ProbeState| probe.group.is_some() && state.group == probe.group;
            let taken = states.iter().any(|state| rivals(state) && state.alternative.is_some());
            if taken || probe.group.is_some() && capture.is_some_and(|only| only != probe.name) {
                continue;
            }
            let state = self.try_probe(probe, step);
            if state.alternative.is_some() {
                for before in states.iter_mut().filter(|state| rivals(state)) {
                    before.replaced_by = Some(probe.name);
                }
            }
            states.push(state);
        }
        states
    }

    fn try_probe(&mut self, probe: &Probe, step: Step) -> ProbeState {
        let mut refused: Vec<(&str, String)> = vec![];
        let mut attached = None;
        for alternative in probe.alternatives {
            match self.try_alternative(probe, alternative, step) {
                Ok(()) => {
                    attached = Some(alternative);
                    break;
                }
                Err(reason) => {
                    tracing::debug!(
                        probe = probe.name,
                        alternative = alternative.name,
                        reason,
                        "does not attach"
                    );
                    refused.push((alternative.name, reason));
                }
            }
        }
        ProbeState {
            probe: probe.name,
            group: probe.group,
            alternative: attached.map(|alternative| alternative.name),
            replaced_by: None,
            loses: attached.map_or(probe.loses, |alternative| alternative.loses),
            reason: told_once(&refused),
        }
    }

    /// All programs of an alternative, or none.
    fn try_alternative(&mut self, probe: &Probe, alternative: &Alternative, step: Step) -> Result<(), String> {
        if let Some(reason) = lacks(alternative, &self.layout, &self.tracepoints) {
            return Err(reason);
        }
        for (done, program) in alternative.programs.iter().enumerate() {
            let tried = match self.refusals.of(probe, alternative, program) {
                Some(refused) => Err(refused),
                None => try_one(&mut self.programs, program.name, program.hook, &self.types, step)
                    .map_err(|error| refusals::program(&error, program.hook, self.confidential)),
            };
            if let Err(reason) = tried {
                for program in &alternative.programs[..=done] {
                    unload(&mut self.programs, program.name);
                }
                return Err(reason);
            }
            if step == Step::Verify {
                unload(&mut self.programs, program.name);
            }
        }
        Ok(())
    }
}

/// What a kernel lacks for an alternative, by its type information. `tracepoints`: its names in order.
pub(super) fn lacks(alternative: &Alternative, layout: &Layout, tracepoints: &[String]) -> Option<String> {
    layout.missing(alternative.needs).or_else(|| {
        alternative.programs.iter().find_map(|program| {
            // Each tracepoint of the kernel has a type in its BTF, raw or not.
            let (Hook::BtfTracepoint(name) | Hook::RawTracepoint(name)) = program.hook;
            (tracepoints.binary_search_by(|have| have.as_str().cmp(name)).is_err())
                .then(|| format!("this kernel has no tracepoint {name}"))
        })
    })
}

/// Reasons in one line; one that holds for all alternatives is told once.
fn told_once(refused: &[(&str, String)]) -> Option<String> {
    let (_, first) = refused.first()?;
    if refused.len() > 1 && refused.iter().all(|(_, reason)| reason == first) {
        return Some(first.clone());
    }
    let reasons: Vec<String> = refused
        .iter()
        .map(|(name, reason)| format!("{name}: {reason}"))
        .collect();
    Some(reasons.join("; "))
}

fn try_one(programs: &mut Ebpf, name: &str, hook: Hook, types: &aya::Btf, step: Step) -> Result<(), ProgramError> {
    let program = programs.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    match hook {
        Hook::BtfTracepoint(point) => {
            let program: &mut aya::programs::BtfTracePoint = program.try_into()?;
            program.load(point, types)?;
            if step == Step::Attach {
                program.attach()?;
            }
        }
        Hook::RawTracepoint(point) => {
            let program: &mut aya::programs::RawTracePoint = program.try_into()?;
            program.load()?;
            if step == Step::Attach {
                program.attach(point)?;
            }
        }
    }
    Ok(())
}

fn unload(programs: &mut Ebpf, name: &str) {
    let result = match programs.program_mut(name) {
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::RawTracePoint(program)) => program.unload(),
        _ => Ok(()),
    };
    if let Err(error) = result
        && !matches!(error, ProgramError::NotLoaded)
    {
        tracing::warn!(program = name, %error, "cannot unload");
    }
}

/// The kernel accounts a map's memory in the `memlock` line of its file descriptor's information.
fn size_of_map(name: &str, map: &aya::maps::Map) -> MapSize {
    use aya::maps::Map;
    let data = match map {
        Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) | Map::Array(data) => Some(data),
        _ => None,
    };
    let bytes = data.map_or(0, |data| fd_info(data.fd().as_fd().as_raw_fd(), "memlock:"));
    MapSize {
        name: name.to_owned(),
        bytes,
    }
}

/// What the kernel tells of an attached program (`bpf_prog_show_fdinfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStats {
    /// Symbol in the eBPF object.
    pub name: &'static str,
    fd: i32,
}

/// A line of [`ProgramStats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramStat {
    /// Runs that the kernel skipped because the program was already running on that CPU: what they would have seen is lost.
    Misses,
    /// Runs. Counted while `kernel.bpf_stats_enabled` is 1.
    Runs,
    /// Nanoseconds of all runs. Counted while `kernel.bpf_stats_enabled` is 1.
    RunNanos,
    /// Instructions that the verifier walked (kernel 5.16 and later).
    Verified,
}

impl ProgramStats {
    fn of(name: &'static str, program: &Program) -> Option<ProgramStats> {
        let fd = match program {
            Program::BtfTracePoint(program) => program.fd(),
            Program::RawTracePoint(program) => program.fd(),
            _ => return None,
        };
        Some(ProgramStats {
            name,
            fd: fd.ok()?.as_fd().as_raw_fd(),
        })
    }
    /// Present value; 0 when the kernel does not tell.
    pub fn read(&self, stat: ProgramStat) -> u64 {
        let key = match stat {
            ProgramStat::Misses => "recursion_misses:",
            ProgramStat::Runs => "run_cnt:",
            ProgramStat::RunNanos => "run_time_ns:",
            ProgramStat::Verified => "verified_insns:",
        };
        fd_info(self.fd, key)
    }
}

/// A number that the kernel tells of a file descriptor of ours.
fn fd_info(fd: i32, key: &str) -> u64 {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
        })
        .unwrap_or(0)
}
