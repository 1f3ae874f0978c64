//! One call on a socket: is it interesting, and what of it goes to user space. All capture probes end here.

use crate::{
    emit::{self, With},
    exchange,
    fill::{BUFFER, NONE, Plan, VECTOR, fill},
    globals::{config, forget},
    maps::SOCKETS,
    read::{copy_user, user},
    sock,
    task::{self, Current},
};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns},
};
use core::mem::MaybeUninit;
use onlooker_common::{
    count::reason,
    limits::*,
    record::*,
    socket::{SocketState, phase, verdict},
};

/// A call that returned. Plain numbers, see [`forget`].
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// One of `dir`.
    pub direction: u8,
    /// What it returned: bytes moved, 0, or a negative errno.
    pub result: i64,
    /// Where its bytes lie: [`NONE`], [`BUFFER`] or [`VECTOR`].
    pub which: u64,
    /// Address of the buffer or of the `struct iovec` array.
    pub at: u64,
    /// Elements of the array.
    pub count: u64,
    /// System call number.
    pub nr: u16,
}

const ECONNRESET: i64 = 104;
const EPIPE: i64 = 32;
const ETIMEDOUT: i64 = 110;
const ECONNABORTED: i64 = 103;
const EHOSTUNREACH: i64 = 113;
const ENETUNREACH: i64 = 101;
const TCP_ESTABLISHED: u8 = 1;

/// Results that need no further look: failures that say nothing of the connection (`EAGAIN` above all).
#[inline(always)]
pub(crate) fn dull(result: i64) -> bool {
    result < 0
        && !matches!(
            -result,
            ECONNRESET | EPIPE | ETIMEDOUT | ECONNABORTED | EHOSTUNREACH | ENETUNREACH
        )
}

/// Looks at a call and reports it.
///
/// # Safety
/// `sk` is a `struct sock` as `A` wants it, of the given family.
#[inline(always)]
pub(crate) unsafe fn call<A: Current>(sk: *const u8, family: u16, call: &Call) {
    let call = &Call {
        direction: forget(call.direction.into()) as u8,
        result: forget(call.result as u64) as i64,
        which: forget(call.which),
        at: forget(call.at),
        count: forget(call.count),
        nr: forget(call.nr.into()) as u16,
    };
    let family = forget(family.into()) as u16;
    // SAFETY: the caller's, here and below.
    unsafe {
        let key = sk as u64;
        let check = sock::check::<A>(sk, family);
        let known = match SOCKETS.get_ptr_mut(&key) {
            Some(state) if (*state).check == check && (*state).gone == 0 => Some(state),
            Some(_) => {
                // Another socket at a reused address.
                let _ = SOCKETS.remove(&key);
                None
            }
            None => None,
        };
        let mut asks = call.result > 0;
        if let Some(state) = known {
            if (*state).verdict == verdict::IGNORE {
                return;
            }
            asks = asks && is_request(&*state, call.direction) && (*state).phase != phase::ASKED;
        }
        if (bpf_get_current_pid_tgid() >> 32) as u32 == config().self_tgid {
            return;
        }
        asks = asks && looks_like_request(call);
        let state = match known {
            Some(state) => state,
            None if asks => match track(key, check, call.direction) {
                Some(state) => state,
                None => return,
            },
            None => return,
        };
        let now = bpf_ktime_get_ns();
        let actor = task::actor::<A>(A::task());
        let asks = forget(asks.into()) != 0;
        if (*state).held != 0 && (call.result <= 0 || is_request(&*state, call.direction)) {
            let responses = if (*state).role == role::SERVER {
                (*state).tx
            } else {
                (*state).rx
            };
            exchange::release(state, responses);
            (*state).held = 0;
        }
        if call.result <= 0 {
            ended::<A>(sk, family, call, state, now, actor);
            return;
        }
        if (*state).announced == 0 {
            announce::<A>(sk, family, call, state, now, actor);
        }
        moved::<A>(sk, family, call, state, now, actor, asks);
    }
}

/// Are these bytes of the direction in which requests go?
#[inline(always)]
fn is_request(state: &SocketState, direction: u8) -> bool {
    (state.role == role::SERVER) == (direction == dir::RX)
}

/// A read that returned nothing, or a call that failed.
#[inline(always)]
unsafe fn ended<A: Current>(sk: *const u8, family: u16, call: &Call, state: *mut SocketState, now: u64, actor: Actor) {
    // SAFETY: the caller's.
    unsafe {
        if call.result == 0
            && (call.direction == dir::TX
                || (family != sock::AF_UNIX && A::get::<u8>(sk, onlooker_common::layout::SK_STATE) == TCP_ESTABLISHED))
        {
            return; // an empty buffer, not the end of the stream
        }
        let s = &*state;
        let Some(mut entry) = emit::reserve::<FlowStateRecord>(kind::FLOW_STATE) else {
            return;
        };
        let (_, _, srtt_us) = sock::streams::<A>(sk, family);
        entry.write(FlowStateRecord {
            head: header(kind::FLOW_STATE, size_of::<FlowStateRecord>(), now),
            conn: s.conn,
            actor,
            rx: s.rx,
            tx: s.tx,
            ended: s.ended,
            err: if call.result < 0 { -call.result as u32 } else { 0 },
            srtt_us,
            event: if call.result < 0 { flow::ERROR } else { flow::EOF },
            old: 0,
            new: 0,
            dir: call.direction,
            exchange: s.exchange,
            phase: s.phase,
            pad: [0; 7],
        });
        emit::submit(entry);
    }
}

#[inline(always)]
unsafe fn announce<A: Current>(
    sk: *const u8,
    family: u16,
    call: &Call,
    state: *mut SocketState,
    now: u64,
    actor: Actor,
) {
    let Some(mut entry) = emit::reserve::<FlowOpenRecord>(kind::FLOW_OPEN) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the entry is writable, `describe` and the lines here write every field.
    unsafe {
        (*record).head = header(kind::FLOW_OPEN, size_of::<FlowOpenRecord>(), now);
        (*record).conn = (*state).conn;
        (*record).role = (*state).role;
        sock::describe::<A>(record, sk, family, call.direction, call.result as u64, actor);
        (*state).announced = 1;
    }
    emit::submit(entry);
}

/// Bytes moved: counts them, follows the exchange, and sends what the parser needs of them.
///
/// A short call goes whole. Of a long one: in request position up to four large pieces (a reader may find many requests in
/// one buffer), in response position its start and its end, later in the same direction less of its start.
#[inline(always)]
unsafe fn moved<A: Current>(
    sk: *const u8,
    family: u16,
    call: &Call,
    state: *mut SocketState,
    now: u64,
    actor: Actor,
    asks: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        let s = &mut *state;
        let mut left = forget(call.result as u64);
        let turned = s.last_dir != call.direction;
        s.last_dir = call.direction;
        let (offset, other) = if call.direction == dir::RX {
            (s.rx, s.tx)
        } else {
            (s.tx, s.rx)
        };
        if call.direction == dir::RX {
            s.rx = offset + left;
        } else {
            s.tx = offset + left;
        }
        let (seq_tx, seq_rx, srtt_us) = sock::streams::<A>(sk, family);
        s.seq_rx = seq_rx;
        let requests = is_request(s, call.direction);
        if asks {
            exchange::begin(s, now, actor, (seq_tx, seq_rx), call);
            if s.held != 0 {
                return;
            }
        }
        let mut record = PayloadRecord {
            head: header(kind::PAYLOAD, size_of::<PayloadRecord>(), now),
            conn: s.conn,
            actor,
            offset,
            other,
            ended: s.ended,
            total: 0,
            seq_tx,
            seq_rx,
            srtt_us,
            prefix: 0,
            tail: 0,
            dir: call.direction,
            role: s.role,
            nr: call.nr,
            exchange: s.exchange,
            turn: if asks { turn::BEGIN } else { turn::NONE },
            method: s.method,
            pad: 0,
        };
        if s.phase == phase::DARK {
            // User space knows nothing of this exchange.
            if !requests {
                s.last = now;
            }
            return;
        }
        let (which, mut at, count) = (call.which, call.at, call.count);
        if turned && requests && which == BUFFER {
            let mut i = 0;
            while i < PIECES - 1 {
                left = forget(left);
                at = forget(at);
                if left <= LARGE {
                    break;
                }
                left -= LARGE;
                record.total = CLASS_LARGE as u32;
                // A piece says where the streams stand at its own end, as a call of its own would.
                let behind = left as u32;
                record.seq_tx = if call.direction == dir::TX {
                    seq_tx.wrapping_sub(behind)
                } else {
                    seq_tx
                };
                record.seq_rx = if call.direction == dir::RX {
                    seq_rx.wrapping_sub(behind)
                } else {
                    seq_rx
                };
                let piece = Plan {
                    which: BUFFER,
                    at,
                    count: 0,
                    total: LARGE,
                    prefix: LARGE,
                    tail: 0,
                };
                send::<CLASS_LARGE, false>(&record, &piece);
                record.turn = turn::NONE;
                record.offset += LARGE;
                at += LARGE;
                i += 1;
            }
        }
        left = forget(left);
        record.total = left as u32;
        record.seq_tx = seq_tx;
        record.seq_rx = seq_rx;
        let (mut prefix, mut tail) = (left, 0);
        if left > LARGE {
            tail = TAIL as u64;
            prefix = if turned {
                LARGE - TAIL as u64
            } else {
                CONTINUED_PREFIX as u64
            };
        }
        let plan = Plan {
            which: forget(which),
            at: forget(at),
            count: forget(count),
            total: forget(left),
            prefix: forget(prefix),
            tail: forget(tail),
        };
        if !requests {
            if s.phase == phase::ASKED {
                exchange::answer(s, &record, &plan);
                return;
            }
            s.ended = now;
        }
        let room = forget(plan.prefix + plan.tail);
        if plan.which == NONE {
            emit::send(kind::PAYLOAD, record);
        } else if plan.which == VECTOR {
            // The rule of halves in `fill` asks for twice the room where the bytes lie scattered. Fewer classes: each costs
            // the verifier a walk through all elements.
            if forget(plan.prefix * 2) + TAIL as u64 <= CLASS_MEDIUM as u64 {
                send::<CLASS_MEDIUM, true>(&record, &plan);
            } else {
                send::<CLASS_LARGE, true>(&record, &plan);
            }
        } else if room <= CLASS_SMALL as u64 {
            send::<CLASS_SMALL, false>(&record, &plan);
        } else if room <= CLASS_MEDIUM as u64 {
            send::<CLASS_MEDIUM, false>(&record, &plan);
        } else {
            send::<CLASS_LARGE, false>(&record, &plan);
        }
    }
}

const LARGE: u64 = CLASS_LARGE as u64;

#[inline(always)]
unsafe fn send<const N: usize, const SCATTERED: bool>(record: &PayloadRecord, plan: &Plan) {
    let Some(mut entry) = emit::reserve::<With<PayloadRecord, N>>(kind::PAYLOAD) else {
        return;
    };
    let at = entry.as_mut_ptr();
    // SAFETY: the entry is writable and holds N bytes of data.
    unsafe {
        (*at).record = *record;
        let filled = fill::<N, SCATTERED>((&raw mut (*at).data).cast(), plan);
        if filled.prefix == 0 {
            emit::bump(onlooker_common::count::lost(kind::PAYLOAD, reason::NO_DATA));
        }
        (*at).record.prefix = filled.prefix as u16;
        (*at).record.tail = filled.tail as u16;
        (*at).record.head.len = (size_of::<PayloadRecord>() as u64 + filled.prefix + filled.tail) as u32;
    }
    emit::submit(entry);
}

/// A new entry of the socket table.
#[inline(always)]
fn track(key: u64, check: u64, direction: u8) -> Option<*mut SocketState> {
    if SOCKETS.insert(&key, &SocketState::BLANK, u64::from(BPF_NOEXIST)).is_err() {
        emit::refuse(kind::PAYLOAD, reason::TABLE_FULL);
        return None;
    }
    let state = SOCKETS.get_ptr_mut(&key)?;
    let role = if direction == dir::RX {
        role::SERVER
    } else {
        role::CLIENT
    };
    // SAFETY: map value; no arguments.
    unsafe {
        // Unique: two connections are not first seen in the same nanosecond on the same CPU.
        (*state).conn = bpf_ktime_get_ns() << 6 | u64::from(bpf_get_smp_processor_id() & 63);
        (*state).role = role;
        // So that the first call counts as a turn.
        (*state).last_dir = 1 - direction;
        (*state).check = check;
        if config().roles & 1 << role == 0 {
            (*state).verdict = verdict::IGNORE;
            return None;
        }
    }
    Some(state)
}

const PEEK: usize = 24;

/// Do the first bytes look like the head of a request: a token, a space, the start of a target? A short call may hold less;
/// then what is there must fit.
#[inline(always)]
fn looks_like_request(call: &Call) -> bool {
    let (mut at, mut available) = (call.at, call.result as u64);
    if call.which == NONE {
        return false;
    }
    if call.which == VECTOR {
        let Some(first) = user::<[u64; 2]>(at) else {
            return false;
        };
        at = first[0];
        if first[1] < available {
            available = first[1];
        }
    }
    let available = forget(available);
    let n = if available < PEEK as u64 {
        available
    } else {
        PEEK as u64
    };
    let n = crate::read::opaque(n);
    if n > PEEK as u64 {
        return false;
    }
    let mut bytes = MaybeUninit::<[u8; PEEK]>::uninit();
    // SAFETY: all PEEK bytes are written first, n of them once more by the helper.
    let bytes = unsafe {
        let words = bytes.as_mut_ptr().cast::<u64>();
        words.write_volatile(END_WORD);
        words.add(1).write_volatile(END_WORD);
        words.add(2).write_volatile(END_WORD);
        if !copy_user(bytes.as_mut_ptr().cast(), n, at) {
            return false;
        }
        bytes.assume_init()
    };
    let mut i = 0;
    while i < PEEK {
        let byte = bytes[i];
        if !is_token(byte) {
            // A byte that is no token character ends the method, or is where the call ends.
            return i > 0
                && (byte == END
                    || (byte == b' ' && (i + 1 == PEEK || bytes[i + 1] == END || starts_target(bytes[i + 1]))));
        }
        i += 1;
    }
    true
}

/// Stands behind the last byte of a short call. (The same byte in the data passes for the end; user space looks again.)
const END: u8 = 0xff;
const END_WORD: u64 = u64::MAX;

/// `tchar` of RFC 9110, 5.6.2.
#[inline(always)]
fn is_token(byte: u8) -> bool {
    const fn mask(from: u8) -> u64 {
        let mut mask = 0;
        let mut i = 0;
        while i < 64 {
            let c = from + i;
            if c.is_ascii_alphanumeric()
                || matches!(
                    c,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                )
            {
                mask |= 1 << i;
            }
            i += 1;
        }
        mask
    }
    const LOW: u64 = mask(0);
    const HIGH: u64 = mask(64);
    let bit = u64::from(byte & 63);
    if byte < 64 {
        LOW >> bit & 1 != 0
    } else {
        byte < 128 && HIGH >> bit & 1 != 0
    }
}

/// First character of a request target: origin, absolute, authority or asterisk form.
#[inline(always)]
fn starts_target(byte: u8) -> bool {
    matches!(byte, b'/' | b'*' | b'[') || byte.is_ascii_alphanumeric()
}

/// Header of a record that is `len` bytes long without data.
#[inline(always)]
pub(crate) fn header(kind: u16, len: usize, ts: u64) -> Header {
    Header {
        kind,
        flags: 0,
        len: len as u32,
        ts,
    }
}
