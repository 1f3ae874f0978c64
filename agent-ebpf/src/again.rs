//! Second copies of programs, for kernels that preempt programs (7.0 and later). While a task is preempted in a program, such a
//! kernel skips that program for every other task on the CPU. The second copy is attached to the same tracepoint behind the
//! first, so it runs right after it in the same task, and deals with what the first was skipped for. Elsewhere no second copy is
//! loaded, and [`config::again`] takes the marks out of the first.
//!
//! How a second copy knows that the first was there:
//! - calls on sockets: by the mark set here, in the entry of the socket. Two threads in the same direction on the same
//!   connection at the same time, which no protocol of ours bears, could take each other's.
//! - reads by splice: the sequence number is that of the last read seen.
//! - TCP states: the last one told is the same. A connection that is gone has no entry any more.
//! - stalls with a begin and an end: the entry is there after a begin, and gone after an end.
//! - all else that a thread does has no entry of its own: by a mark of the thread, see [`DEALT`].
//!
//! What finds no room in a table leaves no entry to know it by: the first copy alone counts it as lost.
//!
//! A mark stays when the second copy is skipped and not the first; the next call of that thread on that connection in that
//! direction overwrites it. Only if the first copy is skipped at that very call, the call is missed.

use crate::globals::config;
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::map, maps::LruHashMap};
use onlooker_common::{limits::DEALT_THREADS, record::dir, socket::SocketState};

/// What the first copies dealt with and no second copy has seen yet, by thread.
#[map]
static DEALT: LruHashMap<u32, [u8; By::COUNT]> = LruHashMap::with_max_entries(DEALT_THREADS, 0);

/// What a thread's marks are for.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Error,
    Sent,
    Received,
    Write,
    Fork,
    Exec,
    Exit,
}

impl By {
    const COUNT: usize = By::Exit as usize + 1;

    /// A call on a socket.
    #[inline(always)]
    pub fn direction(direction: u8) -> By {
        if direction == dir::TX { By::Sent } else { By::Received }
    }
}

/// May this copy deal with what the current thread does? The first sets a mark; if that finds no room it leaves all to the second.
/// The second may when there is no mark, and takes it away.
#[inline(always)]
pub(crate) fn may<const SECOND: bool>(what: By) -> bool {
    if config::again() == 0 {
        return true;
    }
    let thread = bpf_get_current_pid_tgid() as u32;
    let mut marks = DEALT.get_ptr_mut(&thread);
    if marks.is_none() {
        if SECOND {
            return true;
        }
        let _ = DEALT.insert(&thread, &[0; By::COUNT], 0);
        marks = DEALT.get_ptr_mut(&thread);
    }
    let Some(marks) = marks else { return false };
    // SAFETY: a value of the map, the thread's own.
    let mark = unsafe { &mut (*marks)[what as usize] };
    let marked = *mark != 0;
    *mark = u8::from(!SECOND);
    !(SECOND && marked)
}

/// The first copy deals with a call.
///
/// # Safety
/// `state` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn mark(state: *mut SocketState, direction: u8) {
    if config::again() != 0 {
        // SAFETY: the caller's.
        unsafe { (*state).dealt[usize::from(direction & 1)] = bpf_get_current_pid_tgid() as u32 };
    }
}

/// Did the first copy deal with this call? Takes its mark away.
///
/// # Safety
/// `state` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn take(state: *mut SocketState, direction: u8) -> bool {
    // SAFETY: the caller's.
    let mark = unsafe { &mut (*state).dealt[usize::from(direction & 1)] };
    let marked = *mark == bpf_get_current_pid_tgid() as u32;
    if marked {
        *mark = 0;
    }
    marked
}
