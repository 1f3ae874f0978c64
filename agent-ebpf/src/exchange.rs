//! The exchange under way on a socket, as the kernel side follows it: a request begins, its answer begins, more of the answer
//! comes. One record decides who counts it: the one with the first bytes of the answer. When that does not reach the ring,
//! the exchange is counted here.

use crate::{
    capture::{Call, header},
    emit::{self, With},
    fill::{BUFFER, NONE, Plan, VECTOR, fill},
    globals::{config, forget},
    maps::FALLBACK,
    read::{copy_user, opaque, user},
};
use aya_ebpf::bindings::BPF_NOEXIST;
use core::mem::MaybeUninit;
use onlooker_common::{
    count::{self, reason},
    fallback::{BOUNDS, FallbackCounts, FallbackKey},
    limits::{CLASS_LARGE, CLASS_MEDIUM, CLASS_SMALL, HELD, HELD_SHORT, TAIL},
    method,
    record::*,
    socket::{SocketState, phase},
};

/// A request begins with this call. Keeps its bytes where they may wait.
///
/// # Safety
/// `s` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn begin(s: &mut SocketState, now: u64, actor: Actor, (seq_tx, seq_rx): (u32, u32), call: &Call) {
    settle(s);
    s.phase = phase::ASKED;
    s.exchange = s.exchange.wrapping_add(1);
    s.started = now;
    s.asker = actor;
    s.asked_tx = seq_tx;
    s.asked_rx = seq_rx;
    // SAFETY: `n` is at most the room.
    unsafe {
        let room = s.room.as_mut_ptr();
        let n = opaque(call.result as u64);
        if config().hold != 0 && call.which == BUFFER && n <= HELD as u64 && copy_user(room, n, call.at) {
            s.held = n as u16;
            s.method = method::of(room.cast::<u64>().read_volatile());
            return;
        }
    }
    let mut at = call.at;
    if call.which == VECTOR {
        at = user::<u64>(at).unwrap_or(0);
    }
    // The first element may be shorter: then it is some other method.
    s.method = user::<u64>(at).map_or(0, method::of);
}

/// Sends the request that waits by itself. `responses`: bytes of the other direction by then. `false`: the ring is full, and
/// the request goes on waiting.
///
/// # Safety
/// `state` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn release(state: *mut SocketState, responses: u64) -> bool {
    // SAFETY: the caller's; the entry is writable.
    unsafe {
        let s = &mut *state;
        let held = u64::from(s.held);
        let Some(mut entry) = emit::reserve::<With<PayloadRecord, HELD>>(kind::PAYLOAD) else {
            return false;
        };
        s.held = 0;
        let at = entry.as_mut_ptr();
        let server = s.role == role::SERVER;
        let requests = if server { s.rx } else { s.tx };
        (*at).record = PayloadRecord {
            head: header(kind::PAYLOAD, size_of::<PayloadRecord>() + held as usize, s.started),
            conn: s.conn,
            actor: s.asker,
            offset: requests.wrapping_sub(held),
            other: responses,
            ended: s.ended,
            total: held as u32,
            seq_tx: s.asked_tx,
            seq_rx: s.asked_rx,
            srtt_us: 0,
            prefix: held as u16,
            tail: 0,
            dir: if server { dir::RX } else { dir::TX },
            role: s.role,
            nr: 0,
            exchange: s.exchange,
            turn: turn::BEGIN,
            method: s.method,
            pad: 0,
        };
        copy::<HELD>((&raw mut (*at).data).cast(), s.room.as_ptr().cast());
        emit::submit(entry);
    }
    true
}

/// The first call in the direction of responses since the request: sends it, with the request before it where that waits. If
/// there is no room for it, the exchange is counted here from now on.
///
/// # Safety
/// `s` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn answer(s: &mut SocketState, record: &PayloadRecord, plan: &Plan) {
    let now = record.head.ts;
    let held = forget(s.held.into());
    let room = forget(plan.prefix + plan.tail);
    // SAFETY: the caller's.
    unsafe {
        let turn = if plan.which == NONE {
            // A file's bytes: no answer begins so.
            if held != 0 {
                release(s, record.offset);
            }
            emit::send(kind::PAYLOAD, *record);
            return;
        } else if s.announced == 0 {
            None
        } else if plan.which == VECTOR {
            if forget(plan.prefix * 2) + TAIL as u64 <= CLASS_MEDIUM as u64 {
                send::<HELD, CLASS_MEDIUM, true>(s, record, plan)
            } else {
                send::<HELD, CLASS_LARGE, true>(s, record, plan)
            }
        } else if room <= CLASS_SMALL as u64 && held <= HELD_SHORT as u64 {
            send::<HELD_SHORT, CLASS_SMALL, false>(s, record, plan)
        } else if room <= CLASS_MEDIUM as u64 {
            send::<HELD, CLASS_MEDIUM, false>(s, record, plan)
        } else {
            send::<HELD, CLASS_LARGE, false>(s, record, plan)
        };
        let turn = match turn {
            Some(turn) => u64::from(turn),
            None => {
                let mut at = plan.at;
                if plan.which == VECTOR {
                    at = user::<u64>(at).unwrap_or(0);
                }
                match user::<[u64; 2]>(at) {
                    Some(bytes) => dark(s, now, bytes[0], bytes[1]),
                    None => 0,
                }
            }
        };
        s.held = 0;
        if forget(turn) == turn::ANSWER as u64 {
            s.phase = phase::ANSWERED;
            s.ended = now;
        }
    }
}

/// The ring was full when the answer began: what is to be counted is noted.
#[inline(always)]
fn dark(s: &mut SocketState, now: u64, first: u64, second: u64) -> u64 {
    let status = final_status(first, second);
    if status != 0 {
        s.status = status;
        s.version = (first >> 56) as u8 - b'0';
        s.phase = phase::DARK;
        s.last = now;
    }
    0
}

/// An [`AnswerRecord`] with its data, as it lies in the ring.
#[repr(C)]
struct Pair<const H: usize, const N: usize> {
    record: AnswerRecord,
    room: MaybeUninit<[u8; H]>,
    data: MaybeUninit<[u8; N]>,
}

/// Sends the pair. `None`: there is no room for it; else the record's turn.
#[inline(always)]
unsafe fn send<const H: usize, const N: usize, const SCATTERED: bool>(
    s: &SocketState,
    record: &PayloadRecord,
    plan: &Plan,
) -> Option<u8> {
    let mut entry = emit::reserve::<Pair<H, N>>(kind::ANSWER)?;
    let at = entry.as_mut_ptr();
    // SAFETY: the entry is writable and holds H and N bytes of data.
    let turn = unsafe {
        (*at).record = AnswerRecord {
            payload: *record,
            started: s.started,
            asker: s.asker,
            asked_tx: s.asked_tx,
            asked_rx: s.asked_rx,
            held: s.held,
            room: H as u16,
            pad: 0,
        };
        (*at).record.payload.head.kind = kind::ANSWER;
        copy::<H>((&raw mut (*at).room).cast(), s.room.as_ptr().cast());
        let data: *mut u8 = (&raw mut (*at).data).cast();
        let words = data.cast::<u64>();
        words.write_volatile(0);
        words.add(1).write_volatile(0);
        let filled = fill::<N, SCATTERED>(data, plan);
        if filled.prefix == 0 {
            emit::bump(count::lost(kind::PAYLOAD, reason::NO_DATA));
        }
        let turn = if final_status(words.read_volatile(), words.add(1).read_volatile()) != 0 {
            turn::ANSWER
        } else {
            turn::NONE
        };
        (*at).record.payload.turn = turn;
        (*at).record.payload.prefix = filled.prefix as u16;
        (*at).record.payload.tail = filled.tail as u16;
        (*at).record.payload.head.len =
            ((size_of::<AnswerRecord>() + H) as u64 + filled.prefix + filled.tail) as u32;
        turn
    };
    emit::submit(entry);
    Some(turn)
}

/// Status of a final answer of HTTP/1.x (RFC 9112, section 4) by its first sixteen bytes, in memory order; 0 when it is none.
#[inline(always)]
fn final_status(first: u64, second: u64) -> u16 {
    const HTTP_1: u64 = u64::from_le_bytes(*b"HTTP/1.\0");
    let (x, y, z) = (
        (second >> 8 & 0xff).wrapping_sub(b'0' as u64),
        (second >> 16 & 0xff).wrapping_sub(b'0' as u64),
        (second >> 24 & 0xff).wrapping_sub(b'0' as u64),
    );
    if first & 0xff_ffff_ffff_ffff != HTTP_1 || second & 0xff != b' ' as u64 || x > 9 || y > 9 || z > 9 {
        return 0;
    }
    let status = (x * 100 + y * 10 + z) as u16;
    if status >= 200 || status == 101 { status } else { 0 }
}

/// Counts the exchange that is over, if nobody else does.
#[inline(always)]
pub(crate) fn settle(s: &mut SocketState) {
    if s.phase != phase::DARK {
        return;
    }
    s.phase = phase::IDLE;
    let key = FallbackKey::new(s.asker, s.role, s.method, s.version, s.status);
    let counts = match FALLBACK.get_ptr_mut(&key) {
        Some(counts) => Some(counts),
        None => {
            // Another CPU may make the same entry.
            let _ = FALLBACK.insert(&key, &FallbackCounts::BLANK, u64::from(BPF_NOEXIST));
            FALLBACK.get_ptr_mut(&key)
        }
    };
    let Some(counts) = counts else {
        emit::bump(count::FALLBACK_FULL);
        return;
    };
    let duration = s.last.wrapping_sub(s.started);
    let mut bucket = 0;
    while bucket < BOUNDS.len() && BOUNDS[bucket] < duration {
        bucket += 1;
    }
    // One path on, not one for each bucket.
    let bucket = forget(bucket as u64) as usize;
    // SAFETY: map value of aligned words, shared with other CPUs.
    unsafe {
        if let Some(cell) = (*counts).buckets.get_mut(bucket) {
            add(cell, 1);
        }
        add(&raw mut (*counts).sum, duration);
    }
    emit::bump(count::FALLBACK);
}

/// Copies `N` bytes, a word at a time: less than the call of a helper costs.
#[inline(always)]
unsafe fn copy<const N: usize>(to: *mut u64, from: *const u64) {
    let mut i = 0;
    while i < N / 8 {
        // SAFETY: the caller's.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
        i += 1;
    }
}


/// Adds to a word that other CPUs may be adding to. (`core` has no atomics for this target.)
#[inline(always)]
unsafe fn add(cell: *mut u64, n: u64) {
    // SAFETY: the caller's: a word of a map value. BPF_XADD, which every kernel has.
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) cell, in(reg) n) };
}
