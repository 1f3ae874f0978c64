//! The exchange under way on a socket, as the kernel side follows it: a request begins, its answer begins, more of the answer
//! comes. One record decides who counts it: the one with the first bytes of the answer. When that does not reach the ring,
//! the exchange is counted here.

use crate::{
    capture::{Call, header},
    emit::{self, With},
    fill::{BUFFER, Elements, Filled, NONE, Plan, VECTOR, fill},
    globals::{config, forget},
    look::Look,
    maps::FALLBACK,
    read::{copy_user, opaque, user},
    tables::add,
};
use aya_ebpf::bindings::BPF_NOEXIST;
use core::mem::MaybeUninit;
use onlooker_common::{
    count::{self, reason},
    fallback::{BOUNDS, FallbackCounts, FallbackKey},
    limits::{CLASS_LARGE, CLASS_MEDIUM, CLASS_SCATTERED, CLASS_SMALL, HELD, HELD_SHORT, TAIL},
    method,
    record::*,
    socket::{SocketState, phase},
};

/// A request begins with this call. Keeps its bytes where they may wait; else they are to be sent: `true`.
///
/// # Safety
/// `s` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn begin(
    s: &mut SocketState,
    now: u64,
    actor: Actor,
    (seq_tx, seq_rx): (u32, u32),
    call: &Call,
    look: Look,
) -> bool {
    settle(s);
    s.exchange = s.exchange.wrapping_add(1);
    s.started = now;
    s.asker = actor;
    s.asked_tx = seq_tx;
    s.asked_rx = seq_rx;
    // One path on, not one for each method.
    s.method = forget(method::of(forget(look.first)).into()) as u8;
    // An answer may come from now on, on another CPU: all it says of the request is there, but its bytes.
    set(&mut s.phase, phase::BEGINS);
    let mut kept = look.kept;
    if !kept && may_wait(call) {
        // The first of its connection.
        let n = opaque(call.result as u64);
        // SAFETY: `n` is at most the room.
        kept = n <= HELD as u64 && unsafe { copy_user(s.room.as_mut_ptr(), n, call.at) };
    }
    if !kept {
        return true;
    }
    set(&mut s.held, call.result as u16);
    if get(&s.phase) == phase::BEGINS {
        s.phase = phase::ASKED;
        return false;
    }
    // The answer was there in between: with these bytes, or without them.
    core::mem::take(&mut s.held) != 0
}

/// The request's record is in the ring, or refused.
#[inline(always)]
pub(crate) fn begun(s: &mut SocketState) {
    if get(&s.phase) == phase::BEGINS {
        s.phase = phase::ASKED;
    }
}

/// Writes in this place of the program and no other: another CPU looks.
#[inline(always)]
fn set<T>(to: &mut T, value: T) {
    // SAFETY: a reference.
    unsafe { core::ptr::write_volatile(to, value) };
}

/// Reads what another CPU may have written.
#[inline(always)]
fn get<T: Copy>(from: &T) -> T {
    // SAFETY: a reference.
    unsafe { core::ptr::read_volatile(from) }
}

/// May the bytes of this call wait in the socket table for their answer?
#[inline(always)]
pub(crate) fn may_wait(call: &Call) -> bool {
    config::hold() != 0 && call.which == BUFFER && call.result <= HELD as i64
}

/// Sends the request that waits by itself. `false`: the ring is full, and
/// the request goes on waiting.
///
/// # Safety
/// `state` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn release(state: *mut SocketState) -> bool {
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
        let (requests, responses) = s.streams();
        let moved = Moved {
            kind: kind::PAYLOAD,
            now: s.started,
            actor: s.asker,
            offset: requests.wrapping_sub(held),
            other: responses,
            total: held as u32,
            seq_tx: s.asked_tx,
            seq_rx: s.asked_rx,
            srtt_us: 0,
            nr: 0,
            held: 0,
            dir: if server { dir::RX } else { dir::TX },
            turn: turn::BEGIN,
            answer: turn::NONE,
        };
        write(&raw mut (*at).record, s, &moved, 0, &Filled { prefix: held, tail: 0 });
        copy::<HELD>((&raw mut (*at).data).cast(), s.room.as_ptr().cast(), held);
        emit::submit(entry);
    }
    true
}

/// What a call moved, and where.
#[derive(Clone, Copy)]
pub(crate) struct Moved {
    /// As in [`PayloadRecord`], as all others.
    pub kind: u16,
    pub now: u64,
    pub actor: Actor,
    pub offset: u64,
    pub other: u64,
    pub total: u32,
    pub seq_tx: u32,
    pub seq_rx: u32,
    pub srtt_us: u32,
    pub nr: u16,
    pub held: u16,
    pub dir: u8,
    pub turn: u8,
    /// `turn` where its bytes turn out to begin a final answer.
    pub answer: u8,
}

/// Writes a record of a call on a connection where it lies in the ring: there is no room on the stack for a second one.
#[inline(always)]
unsafe fn write(to: *mut PayloadRecord, s: &SocketState, moved: &Moved, room: usize, filled: &Filled) {
    let data = room as u64 + filled.prefix + filled.tail;
    // SAFETY: the caller's: writable.
    unsafe {
        *to = PayloadRecord {
            head: header(moved.kind, size_of::<PayloadRecord>() + data as usize, moved.now),
            conn: s.conn,
            actor: moved.actor,
            offset: moved.offset,
            other: moved.other,
            ended: s.ended,
            total: moved.total,
            seq_tx: moved.seq_tx,
            seq_rx: moved.seq_rx,
            srtt_us: moved.srtt_us,
            prefix: filled.prefix as u16,
            tail: filled.tail as u16,
            dir: moved.dir,
            role: s.role,
            nr: moved.nr,
            exchange: s.exchange,
            turn: moved.turn,
            method: s.method,
            pad: 0,
            started: s.started,
            asker: s.asker,
            asked_tx: s.asked_tx,
            asked_rx: s.asked_rx,
            held: moved.held,
            room: room as u16,
            pad2: 0,
        }
    }
}

/// Not in the ring.
pub(crate) const REFUSED: u64 = 0;
/// In the ring.
const SENT: u64 = 1;
/// In the ring, and its bytes begin a final answer.
const ANSWERED: u64 = 2;

/// Sends a call, with the request before it where the record says so.
///
/// # Safety
/// `s` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn report(s: &SocketState, moved: &Moved, plan: &Plan) -> u64 {
    let held = forget(moved.held.into());
    let room = forget(plan.prefix + plan.tail);
    // SAFETY: the caller's.
    forget(unsafe {
        if moved.kind == kind::ANSWER && s.announced == 0 {
            // User space does not know the connection.
            REFUSED
        } else if plan.which == NONE {
            bare(s, moved)
        } else if plan.which == VECTOR {
            // The rule of halves in `fill` asks for twice the room where the bytes lie scattered. Fewer classes: each costs
            // the verifier a walk through all elements.
            let room = forget(plan.prefix * 2) + TAIL as u64;
            if room <= CLASS_SCATTERED as u64 && held <= HELD_SHORT as u64 {
                send::<HELD_SHORT, CLASS_SCATTERED, true>(s, moved, plan)
            } else if room <= CLASS_MEDIUM as u64 {
                send::<HELD, CLASS_MEDIUM, true>(s, moved, plan)
            } else {
                send::<HELD, CLASS_LARGE, true>(s, moved, plan)
            }
        } else if room <= CLASS_SMALL as u64 && held <= HELD_SHORT as u64 {
            send::<HELD_SHORT, CLASS_SMALL, false>(s, moved, plan)
        } else if room <= CLASS_MEDIUM as u64 {
            send::<HELD, CLASS_MEDIUM, false>(s, moved, plan)
        } else {
            send::<HELD, CLASS_LARGE, false>(s, moved, plan)
        }
    })
}

/// The first call in the direction of responses since the request was (or was not) sent: if it begins the final answer, it is
/// settled who counts the exchange.
///
/// # Safety
/// `s` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn answered(s: &mut SocketState, moved: &Moved, plan: &Plan, sent: u64) {
    // Bytes that came to wait meanwhile are not in that record.
    if moved.held != 0 {
        s.held = 0;
    }
    if sent == ANSWERED {
        s.phase = phase::ANSWERED;
        s.ended = moved.now;
    }
    if sent != REFUSED {
        return;
    }
    let mut at = plan.at;
    if plan.which == VECTOR {
        at = user::<u64>(at).unwrap_or(0);
    }
    let Some([first, second]) = user::<[u64; 2]>(at) else {
        return;
    };
    let status = final_status(first, second);
    if status != 0 {
        s.status = status;
        s.version = (first >> 56) as u8 - b'0';
        s.phase = phase::DARK;
        s.last = moved.now;
    }
}

/// A record with its data, as it lies in the ring.
#[repr(C)]
struct Pair<const H: usize, const N: usize> {
    record: PayloadRecord,
    room: MaybeUninit<[u8; H]>,
    data: MaybeUninit<[u8; N]>,
}

/// Sends a call without any bytes.
///
/// # Safety
/// `s` is a value of the socket table.
#[inline(always)]
unsafe fn bare(s: &SocketState, moved: &Moved) -> u64 {
    let Some(mut entry) = emit::reserve::<PayloadRecord>(kind::PAYLOAD) else {
        return REFUSED;
    };
    // SAFETY: the entry is writable.
    unsafe { write(entry.as_mut_ptr(), s, moved, 0, &Filled { prefix: 0, tail: 0 }) };
    emit::submit(entry);
    SENT
}

/// Sends a call with up to `H` bytes of the request before it and up to `N` bytes of its own.
///
/// # Safety
/// `s` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn send<const H: usize, const N: usize, const SCATTERED: bool>(
    s: &SocketState,
    moved: &Moved,
    plan: &Plan,
) -> u64 {
    let mut elements = Elements::first::<SCATTERED>(plan);
    let Some(mut entry) = emit::reserve::<Pair<H, N>>(moved.kind) else {
        return REFUSED;
    };
    let at = entry.as_mut_ptr();
    // SAFETY: the entry is writable and holds H and N bytes of data.
    let status = unsafe {
        copy::<H>((&raw mut (*at).room).cast(), s.room.as_ptr().cast(), moved.held.into());
        let data: *mut u8 = (&raw mut (*at).data).cast();
        let words = data.cast::<u64>();
        words.write_volatile(0);
        words.add(1).write_volatile(0);
        let filled = fill::<N, SCATTERED>(data, plan, &mut elements);
        if filled.prefix == 0 {
            emit::bump(count::lost(kind::PAYLOAD, reason::NO_DATA));
        }
        write(&raw mut (*at).record, s, moved, H, &filled);
        let status = match moved.kind {
            kind::ANSWER => final_status(words.read_volatile(), words.add(1).read_volatile()),
            _ => 0,
        };
        let status = forget(status.into());
        if status != 0 {
            (*at).record.turn = moved.answer;
        }
        status
    };
    emit::submit(entry);
    if status == 0 { SENT } else { ANSWERED }
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

/// Copies `n` bytes, at most `N`, rounded up to words: less than the call of a helper costs.
#[inline(always)]
unsafe fn copy<const N: usize>(to: *mut u64, from: *const u64, n: u64) {
    let mut i = 0;
    while i < N / 8 {
        if i as u64 * 8 >= n {
            break;
        }
        // SAFETY: the caller's.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
        i += 1;
    }
}
