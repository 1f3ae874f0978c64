//! One call on a socket: is it interesting, and what of it goes to user space. All capture probes end here.

use crate::{
    again, emit, exchange,
    fill::{BUFFER, NONE, Plan},
    globals::{config, forget},
    look::{Look, looks_like_request},
    maps::SOCKETS,
    read::Access,
    sock,
    task::{self, Current},
    undivided::Undivided,
};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns},
};
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
    /// Address of a second `struct mmsghdr` whose first buffer is the second element, 0 when there is none.
    pub next: u64,
    /// System call number.
    pub nr: u16,
}

impl Call {
    /// The same call, of which the verifier knows nothing, or only that it has no bytes in user memory.
    #[inline(always)]
    fn forget<const BYTES: bool>(&self) -> Call {
        Call {
            direction: forget(self.direction.into()) as u8,
            result: forget(self.result as u64) as i64,
            which: if BYTES { forget(self.which) } else { NONE },
            at: forget(self.at),
            count: forget(self.count),
            next: forget(self.next),
            nr: forget(self.nr.into()) as u16,
        }
    }
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

/// Looks at a call and reports it. Without `BYTES` it is one of [`NONE`], and all that reads bytes is left out of the program.
/// `AGAIN`: this is the second copy, see [`again`]. Says whether the call was of interest and not dealt with by the first.
///
/// # Safety
/// `sk` is a `struct sock` as `A` wants it, of the given family.
#[inline(always)]
pub(crate) unsafe fn call<A: Current, const BYTES: bool, const AGAIN: bool>(
    sk: *const u8,
    family: u16,
    call: &Call,
) -> bool {
    let call = &call.forget::<BYTES>();
    let family = forget(family.into()) as u16;
    // SAFETY: the caller's, here and below.
    unsafe {
        let key = sk as u64;
        let check = sock::check::<A>(sk, family);
        let known = match SOCKETS.get_ptr_mut(&key) {
            Some(state) if (*state).check == check => Some(state),
            Some(_) => {
                // Another socket at a reused address.
                let _ = SOCKETS.remove(&key);
                None
            }
            None => None,
        };
        let mut look = Look {
            asks: false,
            kept: false,
            first: 0,
        };
        let mut room = core::ptr::null_mut();
        let mut may_ask = call.result > 0;
        if let Some(state) = known {
            if (*state).verdict == verdict::IGNORE {
                return false;
            }
            // A call without bytes (splice) comes here only if the first copy was not there.
            if AGAIN && BYTES && again::take(state, call.direction) {
                return false;
            }
            may_ask = may_ask && is_request(&*state, call.direction) && !phase::asked((*state).phase);
            if exchange::may_wait(call) {
                room = (*state).room.as_mut_ptr();
            }
        }
        if (bpf_get_current_pid_tgid() >> 32) as u32 == config::self_tgid() {
            return false;
        }
        if may_ask {
            look = looks_like_request(call, room);
        }
        if known.is_none() && !look.asks {
            return false;
        }
        // The second copy mostly has nothing to do. So it begins here: the less it enables preemption, the less it is preempted.
        let _undivided = if AGAIN { Some(Undivided::begin()) } else { None };
        let state = match known {
            Some(state) => state,
            None => match track::<AGAIN>(key, check, call.direction) {
                Some(state) => state,
                None => return false,
            },
        };
        if BYTES && !AGAIN {
            again::mark(state, call.direction);
        }
        let now = bpf_ktime_get_ns();
        let actor = task::actor::<A>(A::task());
        let look = Look {
            asks: forget(look.asks.into()) != 0,
            kept: forget(look.kept.into()) != 0,
            first: forget(look.first),
        };
        let (call, family) = (&call.forget::<BYTES>(), forget(family.into()) as u16);
        // What waits goes out before anything but its answer.
        if (*state).held != 0 && (call.result <= 0 || call.which == NONE || is_request(&*state, call.direction)) {
            exchange::release(state);
            (*state).held = 0;
        }
        if call.result <= 0 {
            ended::<A>(sk, family, call, state, now, actor);
            return true;
        }
        if (*state).announced == 0 {
            announce::<A>(sk, family, call, state, now, actor);
        }
        moved::<A, BYTES>(
            sk,
            forget(family.into()) as u16,
            &call.forget::<BYTES>(),
            state,
            now,
            actor,
            look,
        );
    }
    true
}

/// Are these bytes of the direction in which requests go?
#[inline(always)]
fn is_request(state: &SocketState, direction: u8) -> bool {
    (state.role == role::SERVER) == (direction == dir::RX)
}

/// Counts bytes that moved in a direction before this call (of `moved` bytes) and were not seen.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn catch_up<A: Access>(
    sk: *const u8,
    s: &mut SocketState,
    direction: u8,
    (seq_tx, seq_rx): (u32, u32),
    moved: u64,
) {
    if s.seq_tx | s.seq_rx == 0 {
        // First sight.
        s.seq_tx = seq_tx;
        s.seq_rx = seq_rx;
        return;
    }
    let (before, now) = if direction == dir::RX {
        (core::mem::replace(&mut s.seq_rx, seq_rx), seq_rx)
    } else {
        (core::mem::replace(&mut s.seq_tx, seq_tx), seq_tx)
    };
    // SAFETY: the caller's.
    let unseen = unsafe { sock::unseen::<A>(sk, before, now, moved as u32) };
    // The end of a stream has a number of its own, and a read that comes to it takes it with its bytes.
    if unseen > 1 {
        emit::refuse(kind::PAYLOAD, reason::SKIPPED);
        let place = if direction == dir::RX { &mut s.rx } else { &mut s.tx };
        *place += unseen;
    }
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
        let s = &mut *state;
        let (seq_tx, seq_rx, srtt_us) = sock::streams::<A>(sk, family);
        catch_up::<A>(sk, s, call.direction, (seq_tx, seq_rx), 0);
        let Some(mut entry) = emit::reserve::<FlowStateRecord>(kind::FLOW_STATE) else {
            return;
        };
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
unsafe fn moved<A: Current, const BYTES: bool>(
    sk: *const u8,
    family: u16,
    call: &Call,
    state: *mut SocketState,
    now: u64,
    actor: Actor,
    look: Look,
) {
    // SAFETY: the caller's.
    unsafe {
        let s = &mut *state;
        let mut left = forget(call.result as u64);
        let turned = s.last_dir != call.direction;
        s.last_dir = call.direction;
        let (seq_tx, seq_rx, srtt_us) = sock::streams::<A>(sk, family);
        catch_up::<A>(sk, s, call.direction, (seq_tx, seq_rx), left);
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
        let requests = is_request(s, call.direction);
        if look.asks {
            let sends = exchange::begin(s, now, actor, (seq_tx, seq_rx), call, look);
            if forget(sends.into()) == 0 {
                return;
            }
        }
        let call = &call.forget::<BYTES>();
        let mut moved = exchange::Moved {
            kind: kind::PAYLOAD,
            now,
            actor,
            offset,
            other,
            total: 0,
            seq_tx,
            seq_rx,
            srtt_us,
            nr: call.nr,
            held: 0,
            dir: call.direction,
            turn: forget(if look.asks { turn::BEGIN } else { turn::NONE }.into()) as u8,
            answer: turn::ANSWER,
        };
        if s.phase == phase::DARK {
            // User space knows nothing of this exchange.
            if !requests {
                s.last = now;
            }
            return;
        }
        let (which, mut at, count, next) = (call.which, call.at, call.count, call.next);
        if turned && requests && which == BUFFER {
            let mut i = 0;
            while i < PIECES - 1 {
                left = forget(left);
                at = forget(at);
                if left <= LARGE {
                    break;
                }
                left -= LARGE;
                moved.total = CLASS_LARGE as u32;
                // A piece says where the streams stand at its own end, as a call of its own would.
                let behind = left as u32;
                moved.seq_tx = if call.direction == dir::TX {
                    seq_tx.wrapping_sub(behind)
                } else {
                    seq_tx
                };
                moved.seq_rx = if call.direction == dir::RX {
                    seq_rx.wrapping_sub(behind)
                } else {
                    seq_rx
                };
                let piece = Plan {
                    which: BUFFER,
                    at,
                    count: 0,
                    next: 0,
                    total: LARGE,
                    prefix: LARGE,
                    tail: 0,
                };
                exchange::send::<HELD, CLASS_LARGE, false>(s, &moved, &piece);
                moved.turn = forget(turn::NONE.into()) as u8;
                moved.offset += LARGE;
                at += LARGE;
                i += 1;
            }
        }
        left = forget(left);
        moved.total = left as u32;
        moved.seq_tx = seq_tx;
        moved.seq_rx = seq_rx;
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
            which: if BYTES { forget(which) } else { NONE },
            at: forget(at),
            count: forget(count),
            next: forget(next),
            total: forget(left),
            prefix: forget(prefix),
            tail: forget(tail),
        };
        let phase = s.phase;
        let answers = forget((!requests && phase::asked(phase) && which != NONE).into()) != 0;
        // Numbers that the verifier does not know: one path from here on.
        moved.kind = forget(if answers { kind::ANSWER } else { kind::PAYLOAD }.into()) as u16;
        moved.held = forget(if answers { s.held } else { 0 }.into()) as u16;
        // Without a branch: each doubles what the verifier walks from here on.
        moved.answer = turn::ANSWER + phase::begins(phase);
        let sent = exchange::report(s, &moved, &plan);
        if answers {
            exchange::answered(s, &moved, &plan, sent);
        } else if requests {
            exchange::begun(s);
        } else if s.phase == phase::ANSWERED {
            s.ended = now;
        }
    }
}

const LARGE: u64 = CLASS_LARGE as u64;

/// A new entry of the socket table.
#[inline(always)]
fn track<const AGAIN: bool>(key: u64, check: u64, direction: u8) -> Option<*mut SocketState> {
    if SOCKETS
        .insert(&key, &SocketState::BLANK, u64::from(BPF_NOEXIST))
        .is_err()
    {
        // The first copy, which is rarely skipped, counts it, and cannot mark it.
        if !AGAIN {
            emit::refuse(kind::PAYLOAD, reason::TABLE_FULL);
        }
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
        if config::roles() & 1 << role == 0 {
            (*state).verdict = verdict::IGNORE;
            return None;
        }
    }
    Some(state)
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
