//! Loads the eBPF object, attaches each probe by its best alternative, hands out the maps. The one file that touches
//! `EbpfLoader`. Nothing is pinned: when the process ends, however it ends, the kernel drops programs and maps.

use super::maps::{FallbackTable, Graves, KernelCounters, SocketTable};
use super::mark::Mark;
use super::refusals::{self, Refusals};
use super::ring::RecordRing;
use super::spare;
use super::stats::{MapSize, ProgramStats, size_of_map};
use super::tables::Tables;
use super::{
    attach,
    btf::Btf,
    btf::BtfError,
    kfuncs::{self, Kfuncs},
    layout::Layout,
    lockdown,
};
use crate::health::ProbeState;
use crate::host::Host;
use crate::probes::{Alternative, Choice, Hook, Probe, Program as Ours, REGISTRY, WITHOUT_AGAIN};
use crate::signal::Role;
use aya::maps::{Array, HashMap, Map, MapError, PerCpuArray};
use aya::{Ebpf, EbpfLoader};
use flate2::read::GzDecoder;
use onlooker_common::record::role;
use onlooker_common::{config::ProbeConfig, limits};
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The eBPF object, by gzip: a sixth of its size.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/onlooker.bpf.o.gz"));

/// Bytes of the kernel side that is compiled in; `None` when there is none.
pub fn object_bytes() -> Option<usize> {
    // RFC 1952, 2.2: ISIZE, the last word.
    OBJECT.last_chunk().map(|size| u32::from_le_bytes(*size) as usize)
}

fn object() -> Result<Vec<u8>, LoadError> {
    let size = object_bytes().ok_or(LoadError::NoObject)?;
    let mut object = Vec::with_capacity(size);
    GzDecoder::new(OBJECT)
        .read_to_end(&mut object)
        .map_err(|error| LoadError::Setup(format!("the eBPF object in this program is damaged: {error}")))?;
    Ok(object)
}

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the ring buffer: a power of two, a multiple of the page size.
    pub ring_bytes: u32,
    /// Connections followed at once.
    pub connections: u32,
    /// TCP connections whose numbers are told at once.
    pub tcp_connections: u32,
    /// Name of the only capture probe to try; `None`: all, in their order.
    pub capture: Option<&'static str>,
    /// Report requests together with their answers, where they are short: half the records. Not while somebody follows
    /// requests as they begin (traces).
    pub hold: bool,
    /// Whose ends of connections are followed.
    pub roles: &'static [Role],
    /// Let the kernel side log (slow, for debugging).
    pub trace: bool,
    /// Probes that are attached or not, whatever their default.
    pub choice: Choice,
    /// The agent's own process as the kernel numbers it, whose connections are not reported.
    pub own: u32,
}

impl Options {
    /// Whether a probe is tried: it is wanted, and none is asked for in its place.
    fn tries(&self, probe: &Probe) -> bool {
        self.choice.wants(probe) && (probe.group.is_none() || self.capture.is_none_or(|only| only == probe.name))
    }
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
    /// When their reader is woken.
    pub mark: Mark,
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
    /// The programs and the maps that are not above; dropping them detaches all.
    pub tables: Tables,
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
    sizes: attach::Sizes,
    layout: Layout,
    kfuncs: Kfuncs,
    types: aya::Btf,
    /// Names of the kernel's tracepoints, sorted.
    tracepoints: Vec<String>,
    refusals: Refusals,
    /// Second copies of programs are attached behind the first.
    again: bool,
    /// Whether lockdown forbids to read the kernel's memory; `None` when it cannot be told.
    confidential: Option<bool>,
}

/// Reads the kernel's types, makes the maps.
pub(super) fn open(host: &Host, options: &Options) -> Result<Opened, LoadError> {
    let mut object = object()?;
    let refusals = Refusals::from_env()?;
    // Our reader for the offsets; aya wants its own for the tracepoints.
    let (layout, kfuncs, mut names, types) = {
        let btf = Btf::read(&host.types())?;
        let kfuncs = Kfuncs::find(&btf);
        kfuncs.fill(&mut object);
        let (mut points, mut iterators) = (Vec::new(), Vec::new());
        let ways = REGISTRY.iter().flat_map(|probe| probe.alternatives);
        for program in ways.flat_map(|alternative| alternative.programs) {
            match program.hook {
                Hook::BtfTracepoint(name) => points.push(name),
                Hook::Iterator(name) => iterators.push(name),
                Hook::RawTracepoint(_) | Hook::Tracepoint(..) | Hook::MajorFaults => (),
            }
        }
        let types = btf.abridged(&points, &iterators);
        (Layout::resolve(&btf), kfuncs, btf.tracepoints(), types)
    };
    names.sort_unstable();
    let types = aya::Btf::parse(&types, Default::default()).map_err(|error| LoadError::Setup(error.to_string()))?;

    let again = kfuncs::preemptible();
    let settings = ProbeConfig {
        self_tgid: options.own,
        ring_half: options.ring_bytes / 2,
        hold: options.hold.into(),
        roles: options.roles.iter().fold(0, |bits, role| {
            bits | 1
                << match role {
                    Role::Server => role::SERVER,
                    Role::Client => role::CLIENT,
                }
        }),
        again: again.into(),
    };
    raise_locked_memory();
    let level = if options.trace { aya_log::Level::Trace as u8 } else { 0 };
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("TCP_CONNECTIONS", options.tcp_connections);
    if !again {
        loader.map_max_entries("DEALT", 1);
    }
    // The last word counts.
    for map in REGISTRY
        .iter()
        .filter(|probe| !options.choice.wants(probe))
        .flat_map(|probe| probe.maps)
    {
        loader.map_max_entries(map, 1);
    }
    loader
        .btf(None)
        .override_global("LAYOUT", &layout.offsets, true)
        .override_global("TYPES", &layout.types, true)
        .override_global("CONFIG", &settings, true)
        .override_global(aya_log::LEVEL, &level, false)
        .map_max_entries("RING", options.ring_bytes)
        .map_max_entries("SOCKETS", options.connections);
    let programs = loader.load(&object).map_err(|error| refusals::setup(&error))?;
    Ok(Opened {
        programs,
        sizes: attach::sizes(&object),
        layout,
        kfuncs,
        types,
        tracepoints: names,
        refusals,
        again,
        confidential: lockdown::is_confidential(host.running()),
    })
}

/// Loads and attaches.
///
/// # Errors
/// [`LoadError`] only when nothing can work; a probe that does not attach is told in [`Kernel::probes`].
pub fn load(host: &Host, options: &Options) -> Result<Kernel, LoadError> {
    let mut opened = open(host, options)?;
    opened.load_ahead(options);
    let probes = opened.try_all(options, Step::Attach);
    if probes.iter().all(|probe| probe.alternative.is_none()) {
        let mut reasons: Vec<String> = probes.into_iter().filter_map(|probe| probe.reason).collect();
        reasons.sort();
        reasons.dedup();
        return Err(LoadError::NoProbe(reasons.join("; ")));
    }
    let Opened {
        mut programs,
        types,
        again,
        ..
    } = opened;
    drop(types);
    spare::give_back();

    // Alternatives share programs.
    let names: BTreeSet<&'static str> = REGISTRY
        .iter()
        .flat_map(|probe| probe.alternatives)
        .flat_map(Alternative::all)
        .map(|program| program.name)
        .collect();
    let stats = names
        .into_iter()
        .filter_map(|name| ProgramStats::of(name, programs.program(name)?))
        .collect();
    let missing = |name: &str| LoadError::Setup(format!("the eBPF object has no map {name}"));
    let wrong = |error: MapError| LoadError::Setup(error.to_string());
    let mut maps: Vec<MapSize> = programs.maps().map(|(name, map)| size_of_map(name, map)).collect();
    maps.sort_by(|a, b| a.name.cmp(&b.name));
    let log = options
        .trace
        .then(|| aya_log::EbpfLogger::init(&mut programs).ok())
        .flatten();
    let ring = match programs.take_map("RING") {
        Some(Map::RingBuf(data)) => RecordRing::new(data).map_err(|error| LoadError::Setup(error.to_string()))?,
        _ => return Err(missing("RING")),
    };
    let sockets = programs.take_map("SOCKETS").ok_or_else(|| missing("SOCKETS"))?;
    let sockets_fd = match &sockets {
        Map::HashMap(data) => data.fd().as_fd().try_clone_to_owned(),
        _ => return Err(missing("SOCKETS")),
    };
    let sockets = SocketTable {
        map: HashMap::try_from(sockets).map_err(wrong)?,
        fd: sockets_fd.map_err(|error| LoadError::Setup(error.to_string()))?,
        sparing: again,
        last: Cell::new(0),
    };
    let mark = Array::try_from(programs.take_map("MARK").ok_or_else(|| missing("MARK"))?).map_err(wrong)?;
    let mark = Mark::new(mark, options.ring_bytes >> limits::RING_WAKE_SHIFT).map_err(wrong)?;
    let counters =
        PerCpuArray::try_from(programs.take_map("COUNTERS").ok_or_else(|| missing("COUNTERS"))?).map_err(wrong)?;
    let fallback =
        HashMap::try_from(programs.take_map("FALLBACK").ok_or_else(|| missing("FALLBACK"))?).map_err(wrong)?;
    let graves = HashMap::try_from(programs.take_map("GRAVES").ok_or_else(|| missing("GRAVES"))?).map_err(wrong)?;
    Ok(Kernel {
        graves: Graves(graves),
        ring,
        mark,
        sockets,
        fallback: FallbackTable::new(fallback),
        counters: KernelCounters(Arc::new(counters)),
        probes,
        maps,
        stats,
        log,
        tables: Tables {
            programs,
            sparing: again,
            crowded: Arc::default(),
        },
    })
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
    pub(super) fn try_all(&mut self, options: &Options, step: Step) -> Vec<ProbeState> {
        let mut states: Vec<ProbeState> = Vec::with_capacity(REGISTRY.len());
        for probe in REGISTRY.iter().filter(|probe| options.tries(probe)) {
            let rivals = |state: &ProbeState| probe.group.is_some() && state.group == probe.group;
            let taken = states.iter().any(|state| rivals(state) && state.alternative.is_some());
            if taken {
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

    /// Loads what is attached if nothing is refused: of each probe the first way that this kernel has, of a group the first probe.
    fn load_ahead(&mut self, options: &Options) {
        let mut groups = BTreeSet::new();
        let mut wanted = FxHashMap::default();
        for probe in REGISTRY.iter().filter(|probe| options.tries(probe)) {
            if probe.group.is_some_and(|group| groups.contains(group)) {
                continue;
            }
            let has = |way: &&Alternative| lacks(way, &self.layout, self.kfuncs, &self.tracepoints).is_none();
            let Some(way) = probe.ways(self.again).find(has) else {
                continue;
            };
            groups.extend(probe.group);
            for program in way.programs.iter().chain(self.copies(way)) {
                if self.refusals.of(probe, way, program).is_none() {
                    wanted.insert(program.name, program.hook);
                }
            }
        }
        attach::load_all(&mut self.programs, &wanted, &self.sizes, &self.types);
    }

    /// Second copies of an alternative's programs, on this kernel.
    fn copies(&self, alternative: &'static Alternative) -> &'static [Ours] {
        if self.again { alternative.again } else { &[] }
    }

    fn try_probe(&mut self, probe: &Probe, step: Step) -> ProbeState {
        let mut refused: Vec<(&str, String)> = vec![];
        let mut attached = None;
        let mut copies = vec![];
        for alternative in probe.ways(self.again) {
            match self.try_alternative(probe, alternative, step) {
                Ok(()) => {
                    attached = Some(alternative);
                    copies = self.try_again(probe, alternative, step);
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
        let divided = attached.is_some_and(|way| !way.undivided) && probe.ways(self.again).any(|way| way.undivided);
        ProbeState {
            probe: probe.name,
            group: probe.group,
            alternative: attached.map(|alternative| alternative.name),
            replaced_by: None,
            loses: match attached {
                Some(alternative) if alternative.loses.is_empty() && (divided || !copies.is_empty()) => WITHOUT_AGAIN,
                Some(alternative) => alternative.loses,
                None => probe.loses,
            },
            reason: refusals::told(&refused, &copies),
        }
    }

    /// All programs of an alternative, or none.
    fn try_alternative(&mut self, probe: &Probe, alternative: &Alternative, step: Step) -> Result<(), String> {
        if let Some(reason) = lacks(alternative, &self.layout, self.kfuncs, &self.tracepoints) {
            return Err(reason);
        }
        for program in alternative.programs {
            if let Err(reason) = self.try_program(probe, alternative, program, step) {
                for program in alternative.all() {
                    attach::unload(&mut self.programs, program.name);
                }
                return Err(reason);
            }
            if step == Step::Verify {
                attach::unload(&mut self.programs, program.name);
            }
        }
        Ok(())
    }

    /// The second copies of an alternative whose programs are attached: after them, since a tracepoint calls in the order of
    /// attachment. Gives those that were refused, each with the reason.
    fn try_again(
        &mut self,
        probe: &Probe,
        alternative: &'static Alternative,
        step: Step,
    ) -> Vec<(&'static str, String)> {
        let mut refused = vec![];
        for program in self.copies(alternative) {
            let tried = self.try_program(probe, alternative, program, step);
            if tried.is_err() || step == Step::Verify {
                attach::unload(&mut self.programs, program.name);
            }
            if let Err(reason) = tried {
                refused.push((program.name, reason));
            }
        }
        refused
    }

    fn try_program(
        &mut self,
        probe: &Probe,
        alternative: &Alternative,
        program: &Ours,
        step: Step,
    ) -> Result<(), String> {
        match self.refusals.of(probe, alternative, program) {
            Some(refused) => Err(refused),
            None => attach::try_one(&mut self.programs, program.name, program.hook, &self.types, step)
                .map_err(|error| refusals::program(&error, program.hook, self.confidential)),
        }
    }
}

/// What a kernel lacks for an alternative, by its type information. `tracepoints`: its names in order.
pub(super) fn lacks(
    alternative: &Alternative,
    layout: &Layout,
    kfuncs: Kfuncs,
    tracepoints: &[String],
) -> Option<String> {
    if alternative.casts && !kfuncs.cast() {
        return Some("this kernel has no bpf_rdonly_cast (6.2 and later have it)".into());
    }
    layout.missing(alternative.needs).or_else(|| {
        alternative.programs.iter().find_map(|program| {
            // Each tracepoint of the kernel has a type in its BTF, raw or not.
            let name = program.hook.point();
            let other = matches!(program.hook, Hook::Iterator(_) | Hook::MajorFaults);
            (!other && tracepoints.binary_search_by(|have| have.as_str().cmp(name)).is_err())
                .then(|| format!("this kernel has no tracepoint {name}"))
        })
    })
}
