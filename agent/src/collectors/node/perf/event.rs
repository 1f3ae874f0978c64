//! Events that can be counted, and counters of them.

use crate::host::calls::perf_event_open;
use std::fs::File;
use std::io::{self, Read};

/// Types of events (`PERF_TYPE_…` of the kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Hardware = 0,
    Software = 1,
    Tracepoint = 2,
    Cache = 3,
}

/// A type, and the number of the event in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event(pub(super) Type, pub(super) u64);

/// An event as node_exporter knows it.
pub(super) struct Known {
    /// Its name in flags.
    pub(super) name: &'static str,
    pub(super) family: &'static str,
    pub(super) help: &'static str,
    pub(super) event: Event,
}

const fn known(name: &'static str, family: &'static str, help: &'static str, event: Event) -> Known {
    Known {
        name,
        family,
        help,
        event,
    }
}

const fn hardware(number: u64) -> Event {
    Event(Type::Hardware, number)
}

const fn software(number: u64) -> Event {
    Event(Type::Software, number)
}

/// What is asked of a cache, and with which result.
const READ: u64 = 0;
const WRITE: u64 = 1 << 8;
const MISS: u64 = 1 << 16;
/// Caches.
const L1D: u64 = 0;
const L1I: u64 = 1;
const LL: u64 = 2;
const DTLB: u64 = 3;
const ITLB: u64 = 4;
const BPU: u64 = 5;

const fn cache(number: u64) -> Event {
    Event(Type::Cache, number)
}

#[rustfmt::skip]
pub(super) static HARDWARE: [Known; 9] = [
    known("CpuCycles", "node_perf_cpucycles_total", "Cycles of a processor, as its frequency has them.", hardware(0)),
    known("CpuInstr", "node_perf_instructions_total", "Instructions that a processor finished.", hardware(1)),
    known("CacheRef", "node_perf_cache_refs_total", "Accesses to the last cache before memory.", hardware(2)),
    known("CacheMisses", "node_perf_cache_misses_total", "Accesses that the last cache had nothing for.", hardware(3)),
    known("BranchInstr", "node_perf_branch_instructions_total", "Branches that a processor finished.", hardware(4)),
    known("BranchMisses", "node_perf_branch_misses_total", "Branches that a processor foresaw wrongly.", hardware(5)),
    known("StalledCyclesFrontend", "node_perf_stalled_cycles_frontend_total", "Cycles in which no instruction could be brought.", hardware(7)),
    known("StalledCyclesBackend", "node_perf_stalled_cycles_backend_total", "Cycles in which no instruction could be finished.", hardware(8)),
    known("RefCpuCycles", "node_perf_ref_cpucycles_total", "Cycles of a processor at a fixed frequency.", hardware(9)),
];

#[rustfmt::skip]
pub(super) static SOFTWARE: [Known; 5] = [
    known("PageFault", "node_perf_page_faults_total", "Page faults.", software(2)),
    known("ContextSwitch", "node_perf_context_switches_total", "Switches of a processor to another task.", software(3)),
    known("CpuMigration", "node_perf_cpu_migrations_total", "Tasks that moved to another processor.", software(4)),
    known("MinorFault", "node_perf_minor_faults_total", "Page faults that needed no disk.", software(5)),
    known("MajorFault", "node_perf_major_faults_total", "Page faults that needed a disk.", software(6)),
];

#[rustfmt::skip]
pub(super) static CACHE: [Known; 16] = [
    known("L1DataReadHit", "node_perf_cache_l1d_read_hits_total", "Reads of the first cache of data.", cache(L1D | READ)),
    known("L1DataReadMiss", "node_perf_cache_l1d_read_misses_total", "Reads that the first cache of data had nothing for.", cache(L1D | READ | MISS)),
    known("L1DataWriteHit", "node_perf_cache_l1d_write_hits_total", "Writes to the first cache of data.", cache(L1D | WRITE)),
    known("L1InstrReadMiss", "node_perf_cache_l1_instr_read_misses_total", "Reads that the first cache of instructions had nothing for.", cache(L1I | READ | MISS)),
    known("LLReadHit", "node_perf_cache_ll_read_hits_total", "Reads of the last cache.", cache(LL | READ)),
    known("LLReadMiss", "node_perf_cache_ll_read_misses_total", "Reads that the last cache had nothing for.", cache(LL | READ | MISS)),
    known("LLWriteHit", "node_perf_cache_ll_write_hits_total", "Writes to the last cache.", cache(LL | WRITE)),
    known("LLWriteMiss", "node_perf_cache_ll_write_misses_total", "Writes that the last cache had nothing for.", cache(LL | WRITE | MISS)),
    known("DataTLBReadHit", "node_perf_cache_tlb_data_read_hits_total", "Addresses of data read, looked up in their cache.", cache(DTLB | READ)),
    known("DataTLBReadMiss", "node_perf_cache_tlb_data_read_misses_total", "Addresses of data read, not found in their cache.", cache(DTLB | READ | MISS)),
    known("DataTLBWriteHit", "node_perf_cache_tlb_data_write_hits_total", "Addresses of data written, looked up in their cache.", cache(DTLB | WRITE)),
    known("DataTLBWriteMiss", "node_perf_cache_tlb_data_write_misses_total", "Addresses of data written, not found in their cache.", cache(DTLB | WRITE | MISS)),
    known("InstrTLBReadHit", "node_perf_cache_tlb_instr_read_hits_total", "Addresses of instructions, looked up in their cache.", cache(ITLB | READ)),
    known("InstrTLBReadMiss", "node_perf_cache_tlb_instr_read_misses_total", "Addresses of instructions, not found in their cache.", cache(ITLB | READ | MISS)),
    known("BPUReadHit", "node_perf_cache_bpu_read_hits_total", "Branches, looked up where they are foreseen.", cache(BPU | READ)),
    known("BPUReadMiss", "node_perf_cache_bpu_read_misses_total", "Branches, not found where they are foreseen.", cache(BPU | READ | MISS)),
];

/// Counts an event on a processor, from when it is made.
#[derive(Debug)]
pub(super) struct Counter(File);

impl Counter {
    /// Begins to count, whatever process it is of.
    ///
    /// # Errors
    /// There is no such event or processor, or it is not allowed.
    pub(super) fn open(event: Event, cpu: u32) -> io::Result<Counter> {
        let fd = perf_event_open(event.0 as u32, event.1, cpu)?;
        Ok(Counter(File::from(fd)))
    }

    /// What was counted.
    ///
    /// # Errors
    /// The processor is offline.
    pub(super) fn read(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }
}
