//! The system call at hand, of either ABI: its number and arguments, as `pt_regs` holds them at `sys_enter` and at `sys_exit`.

use crate::{
    read::{Direct, kernel},
    task::Current,
};
use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use onlooker_common::errors::{NUMBERS, call};

/// Set in the number of a call by the x32 ABI.
const X32: u32 = 0x4000_0000;

#[cfg(bpf_target_arch = "x86_64")]
mod arch {
    use crate::{probes::syscall::TS_COMPAT, read::Access};
    use onlooker_common::layout;

    /// Word of `pt_regs` that holds the number: `orig_ax`.
    pub(crate) const NUMBER: usize = 15;
    /// Words that hold the arguments of a 64-bit call: `di`, `si`, `dx`, `r10`, `r8`, `r9`.
    pub(super) const ARGUMENTS: [u64; 6] = [14, 13, 12, 7, 9, 8];
    /// Those of a 32-bit call: `bx`, `cx`, `dx`, `si`, `di`, `bp`.
    pub(super) const COMPAT: [u64; 6] = [5, 11, 12, 13, 14, 4];

    /// # Safety
    /// `task` is current.
    #[inline(always)]
    pub(crate) unsafe fn is_compat<A: Access>(task: *const u8, _registers: u64) -> bool {
        // SAFETY: the caller's.
        unsafe { A::get::<u32>(task, layout::TASK_STATUS) & TS_COMPAT != 0 }
    }
}

#[cfg(bpf_target_arch = "aarch64")]
mod arch {
    use crate::read::{Access, kernel};

    /// Word of `pt_regs` that holds the number: `syscallno`.
    pub(crate) const NUMBER: usize = 35;
    /// Words that hold the arguments: the first register has the result by now, `orig_x0` what it was.
    pub(super) const ARGUMENTS: [u64; 6] = [34, 1, 2, 3, 4, 5];
    /// Those of a 32-bit call.
    pub(super) const COMPAT: [u64; 6] = ARGUMENTS;
    const PSTATE: u64 = 33;
    /// `PSR_MODE32_BIT`.
    const MODE32: u64 = 0x10;

    /// # Safety
    /// None.
    #[inline(always)]
    pub(crate) unsafe fn is_compat<A: Access>(_task: *const u8, registers: u64) -> bool {
        kernel::<u64>(registers + PSTATE * 8) & MODE32 != 0
    }
}

use arch::{NUMBER, is_compat};

/// The call at hand. Where its registers come from is what the ways to attach at `sys_enter` and `sys_exit` differ in.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// Its number as the registers have it.
    pub(crate) number: u64,
    /// Address of the `pt_regs`.
    pub(crate) registers: u64,
}

impl Call {
    /// By direct loads, of the registers that a typed tracepoint gives.
    ///
    /// # Safety
    /// The verifier knows the pointer.
    #[inline(always)]
    pub(crate) unsafe fn direct(registers: *const u64) -> Call {
        Call {
            // SAFETY: the caller's.
            number: unsafe { *registers.add(NUMBER) },
            registers: registers as u64,
        }
    }

    /// By direct loads, of the current task's registers: for tracepoints that do not give them.
    #[inline(always)]
    pub(crate) fn current() -> Call {
        // SAFETY: the task is current.
        unsafe { Call::direct(bpf_task_pt_regs(Direct::task().cast_mut().cast()) as *const u64) }
    }

    /// By probe reads.
    #[inline(always)]
    pub(crate) fn probed(registers: u64) -> Call {
        Call {
            number: kernel(registers + NUMBER as u64 * 8),
            registers,
        }
    }

    /// Is it of the 32-bit ABI?
    #[inline(always)]
    pub(crate) fn is_compat<A: Current>(self) -> bool {
        // SAFETY: the task is current.
        unsafe { is_compat::<A>(A::task(), self.registers) }
    }
}

/// A call as the tables have it, see `onlooker_common::errors::call`, of its number in the registers.
#[inline(always)]
pub(crate) fn call_of(number: u64, compat: bool) -> u16 {
    let number = number as u32 & !X32;
    let number = if number < u32::from(NUMBERS) {
        number as u16
    } else {
        call::UNKNOWN
    };
    if compat { number | call::COMPAT } else { number }
}

/// Place of a call in tables of them; beyond such a table when it has none.
#[inline(always)]
pub(crate) fn place_of(call: u16) -> u32 {
    let number = u32::from(call & call::NUMBER);
    if number >= u32::from(NUMBERS) {
        u32::MAX
    } else if call & call::COMPAT != 0 {
        number + u32::from(NUMBERS)
    } else {
        number
    }
}

/// An argument of the call by its place.
#[inline(always)]
pub(crate) fn argument(registers: u64, place: u8, compat: bool) -> u64 {
    let words = if compat { &arch::COMPAT } else { &arch::ARGUMENTS };
    let word = match place {
        0 => words[0],
        1 => words[1],
        2 => words[2],
        3 => words[3],
        4 => words[4],
        _ => words[5],
    };
    let value: u64 = kernel(registers + word * 8);
    // A 32-bit program's addresses are 32 bits; the rest of the register is not its own.
    if compat { value & 0xffff_ffff } else { value }
}
