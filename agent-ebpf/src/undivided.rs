//! Programs that run without being preempted, on kernels that would preempt them (7.0 and later): what is counted per CPU relies
//! on it. There a preempted program makes the kernel skip it for every other task on that CPU
//! (`onlooker_program_misses_total`). This makes it rarer, and does not end it: a preemption that waited comes with the enabling
//! call, which is still inside the program. What is skipped all the same the second copies deal with, see [`crate::again`].
//!
//! So on these kernels capture goes to what tracepoints record for tracing files and perf, where that can be had (`NAME_tp`):
//! the kernel makes that record and runs the programs on it with preemption disabled all the way. Such a program is skipped only
//! while a bpf() call on a map is preempted on its CPU; the second copies, which are typed tracepoints, deal with that too.

use core::arch::asm;
use onlooker_common::kfunc;

/// As long as it lives the program is not preempted.
pub(crate) struct Undivided(());

impl Undivided {
    /// First thing in a program.
    #[inline(always)]
    pub fn begin() -> Undivided {
        // SAFETY: a call without arguments; the loader knows which.
        unsafe {
            asm!("call {n}", n = const kfunc::PREEMPT_DISABLE,
                out("r0") _, out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _)
        };
        Undivided(())
    }
}

impl Drop for Undivided {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: as above; each begin has one end.
        unsafe {
            asm!("call {n}", n = const kfunc::PREEMPT_ENABLE,
                out("r0") _, out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _)
        };
    }
}
