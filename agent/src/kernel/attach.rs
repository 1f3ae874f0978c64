//! Programs, one by one: loaded, which verifies them, attached to their hooks, unloaded. And many at once, ahead of that.

use super::loader::Step;
use super::tracefs;
use crate::cost::{self, Stage};
use crate::probes::Hook;
use aya::Ebpf;
use aya::programs::perf_event::{PerfEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::{Program, ProgramError};
use aya::util::online_cpus;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSymbol, SymbolKind};
use rustc_hash::FxHashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Bytes of programs by their names.
pub(super) type Sizes = FxHashMap<String, u64>;

/// How large each program of an object is; empty when the object cannot be read, which loading it will tell.
pub(super) fn sizes(object: &[u8]) -> Sizes {
    let Ok(elf) = ElfFile64::<Endianness>::parse(object) else {
        return Sizes::default();
    };
    let programs = elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let sizes = programs.filter_map(|program| Some((program.name().ok()?.to_owned(), program.size())));
    sizes.collect()
}

/// Loads these, by name with their hooks, on all processors: the verifier takes milliseconds for each of the larger ones, and
/// holds no lock meanwhile (`bpf_check` takes `bpf_verifier_lock` for unprivileged callers alone). The largest first, so that no
/// processor is left with one when the others are through. One that the kernel refuses is tried once more when its turn comes, and told of
/// then.
pub(super) fn load_all(programs: &mut Ebpf, wanted: &FxHashMap<&str, Hook>, sizes: &Sizes, types: &aya::Btf) {
    let mut waiting: Vec<_> = programs
        .programs_mut()
        .filter_map(|(name, program)| Some((sizes.get(name).copied().unwrap_or(0), program, *wanted.get(name)?)))
        .collect();
    // They are taken from the end.
    waiting.sort_by_key(|(size, ..)| *size);
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(waiting.len());
    if threads < 2 {
        return;
    }
    let waiting = Mutex::new(&mut waiting);
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((_, program, hook)) = next else { break };
            let _ = load_one(program, hook, types);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without it the others take its part.
            let _ = thread::Builder::new().spawn_scoped(scope, || {
                work();
                cost::lap(Stage::Start);
            });
        }
        work();
    });
}

/// Loads one, unless it is, and attaches it where that is asked for.
pub(super) fn try_one(
    programs: &mut Ebpf,
    name: &str,
    hook: Hook,
    types: &aya::Btf,
    step: Step,
) -> Result<(), ProgramError> {
    let program = programs.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    load_one(program, hook, types)?;
    match (program, hook) {
        (Program::BtfTracePoint(program), Hook::BtfTracepoint(_)) if step == Step::Attach => _ = program.attach()?,
        (Program::TracePoint(program), Hook::Tracepoint(group, point)) => match step {
            Step::Verify => tracefs::may_open()?,
            Step::Attach => _ = program.attach(group, point)?,
        },
        (Program::RawTracePoint(program), Hook::RawTracepoint(point)) if step == Step::Attach => {
            _ = program.attach(point)?
        }
        (Program::PerfEvent(program), Hook::MajorFaults) => match step {
            Step::Verify => tracefs::may_open()?,
            Step::Attach => on_each_cpu(program)?,
        },
        // What iterates runs when it is read, see `Tables::walk`.
        _ => (),
    }
    Ok(())
}

fn load_one(program: &mut Program, hook: Hook, types: &aya::Btf) -> Result<(), ProgramError> {
    let loaded = match hook {
        Hook::BtfTracepoint(point) => <&mut aya::programs::BtfTracePoint>::try_from(program)?.load(point, types),
        Hook::Tracepoint(group, point) => {
            tracefs::number(group, point)?;
            <&mut aya::programs::TracePoint>::try_from(program)?.load()
        }
        Hook::Iterator(over) => <&mut aya::programs::Iter>::try_from(program)?.load(over, types),
        Hook::RawTracepoint(_) => <&mut aya::programs::RawTracePoint>::try_from(program)?.load(),
        Hook::MajorFaults => <&mut PerfEvent>::try_from(program)?.load(),
    };
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        loaded => loaded,
    }
}

/// Each time that the event is counted the program runs.
fn on_each_cpu(program: &mut PerfEvent) -> Result<(), ProgramError> {
    let cpus = online_cpus().map_err(|(_, error)| error)?;
    for cpu in cpus {
        program.attach(
            PerfEventConfig::Software(SoftwareEvent::PageFaultsMaj),
            PerfEventScope::AllProcessesOneCpu { cpu },
            SamplePolicy::Period(1),
            false,
        )?;
    }
    Ok(())
}

/// Detaches and unloads one; nothing when it is not loaded.
pub(super) fn unload(programs: &mut Ebpf, name: &str) {
    let result = match programs.program_mut(name) {
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::RawTracePoint(program)) => program.unload(),
        Some(Program::TracePoint(program)) => program.unload(),
        Some(Program::Iter(program)) => program.unload(),
        Some(Program::PerfEvent(program)) => program.unload(),
        _ => Ok(()),
    };
    if let Err(error) = result
        && !matches!(error, ProgramError::NotLoaded)
    {
        tracing::warn!(program = name, %error, "cannot unload");
    }
}
