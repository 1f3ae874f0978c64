//! From records to signals: the only reader of `onlooker_common::record`.

mod failure;
mod oom;
mod write;

pub use failure::Room;

use crate::signal::*;
use onlooker_common::dns;
use onlooker_common::method;
use onlooker_common::record::{self, FlowStateRecord, Header, dir, flow, kind, role, take, turn};
use onlooker_common::socket::phase;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const TCP_FIN_WAIT1: u8 = 4;
const TCP_CLOSE_WAIT: u8 = 8;
const TCP_LAST_ACK: u8 = 9;
const TCP_CLOSING: u8 = 11;

/// A record that is not what it should be: both sides were built from different sources, or memory is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than its kind has.
    #[error("record of kind {0} is cut short")]
    Short(u16),
    /// No such kind.
    #[error("record of unknown kind {0}")]
    Kind(u16),
    /// A field has a value that is not defined.
    #[error("record of kind {0} holds an undefined value")]
    Value(u16),
}

/// Decodes one record as it lies in the ring (trailing bytes beyond its own length are not looked at): its kind and its
/// signal. No signal: a well-formed record that says nothing of interest, e.g. a TCP state between two others. `room`: a new one
/// for each record; texts of events lie there.
///
/// # Errors
/// [`DecodeError`] says what is wrong; the record is then lost, the next one is not.
pub fn decode<'a>(bytes: &'a [u8], room: &'a Room<'a>) -> Result<(u16, Option<Signal<'a>>), DecodeError> {
    let (head, _) = take::<Header>(bytes).ok_or(DecodeError::Short(u16::MAX))?;
    let short = DecodeError::Short(head.kind);
    let bytes = bytes.get(..head.len as usize).ok_or(short)?;
    let signal = match head.kind {
        kind::PAYLOAD | kind::ANSWER => payload(head.kind, bytes)?,
        kind::FLOW_OPEN => flow_open(bytes)?,
        kind::FLOW_STATE => match flow_state(bytes)? {
            Some(signal) => signal,
            None => return Ok((head.kind, None)),
        },
        kind::EXEC => exec(bytes)?,
        kind::FORK => {
            let (r, _) = take::<record::ForkRecord>(bytes).ok_or(short)?;
            process(r.head.ts, &r.child, ProcessEvent::Fork { parent: key(&r.parent) })
        }
        kind::EXIT => {
            let (r, _) = take::<record::ExitRecord>(bytes).ok_or(short)?;
            process(r.head.ts, &r.actor, ProcessEvent::Exit { code: r.code })
        }
        kind::FAILURE => failure::decode(bytes, room)?,
        kind::MESSAGE => message(bytes)?,
        kind::USAGE => {
            let (r, _) = take::<record::UsageRecord>(bytes).ok_or(short)?;
            process(r.head.ts, &r.actor, ProcessEvent::Freed { used: r.words })
        }
        kind::OOM => {
            let (r, _) = take::<record::OomRecord>(bytes).ok_or(short)?;
            let cgroup = oom::path(&r)?;
            process(r.head.ts, &r.actor, ProcessEvent::OutOfMemory { cgroup })
        }
        kind::WRITE => write::decode(bytes)?,
        other => return Err(DecodeError::Kind(other)),
    };
    Ok((head.kind, Some(signal)))
}

impl DecodeError {
    /// Kind of the record, `u16::MAX` when not even that is known.
    pub const fn kind(self) -> u16 {
        match self {
            DecodeError::Short(kind) | DecodeError::Kind(kind) | DecodeError::Value(kind) => kind,
        }
    }
}

fn payload(kind: u16, bytes: &[u8]) -> Result<Signal<'_>, DecodeError> {
    let (short, wrong) = (DecodeError::Short(kind), DecodeError::Value(kind));
    let (r, data) = take::<record::PayloadRecord>(bytes).ok_or(short)?;
    let (room, data) = data.split_at_checked(r.room.into()).ok_or(short)?;
    let (prefix, rest) = data.split_at_checked(r.prefix.into()).ok_or(short)?;
    let tail = rest.get(..r.tail.into()).ok_or(short)?;
    let held = room.get(..r.held.into()).ok_or(wrong)?;
    let too_many = (prefix.len() + tail.len()) as u64 > u64::from(r.total);
    // Whoever follows the stream adds up places and lengths.
    if r.total == 0 || too_many || r.offset.checked_add(r.total.into()).is_none() {
        return Err(wrong);
    }
    // The request ends where the other direction stood.
    if held.len() as u64 > r.other {
        return Err(wrong);
    }
    let asked = Asked {
        at: r.started,
        actor: actor(&r.asker),
        seq: (r.asked_tx, r.asked_rx),
        method: method::NAMES.get(usize::from(r.method)).ok_or(wrong)?,
        bytes: (!held.is_empty()).then_some(held),
        answered: matches!(r.turn, turn::ANSWER | turn::EARLY),
        early: r.turn == turn::EARLY && held.is_empty(),
    };
    Ok(Signal::Payload(PayloadSignal {
        at: r.head.ts,
        conn: ConnId(r.conn),
        actor: actor(&r.actor),
        direction: direction(r.dir, kind)?,
        role: side(r.role, kind)?,
        offset: r.offset,
        total: r.total.into(),
        prefix,
        tail,
        seq: (r.seq_tx, r.seq_rx),
        srtt_us: r.srtt_us,
        seen: Seen {
            exchange: r.exchange,
            begins: r.turn == turn::BEGIN,
            other: r.other,
            ended: r.ended,
        },
        asked: (kind == record::kind::ANSWER).then_some(asked),
    }))
}

fn flow_open(bytes: &[u8]) -> Result<Signal<'_>, DecodeError> {
    let (r, _) = take::<record::FlowOpenRecord>(bytes).ok_or(DecodeError::Short(kind::FLOW_OPEN))?;
    let endpoints = if r.family == AF_UNIX {
        Endpoints::Unix
    } else {
        let v4 = r.family == AF_INET;
        Endpoints::Inet {
            local: (address(&r.laddr, v4), r.lport),
            remote: (address(&r.raddr, v4), r.rport),
        }
    };
    Ok(Signal::Flow(FlowSignal {
        at: r.head.ts,
        conn: ConnId(r.conn),
        last: Last::default(),
        event: FlowEvent::Open(FlowOpen {
            sock: r.sock,
            peer_sock: r.peer_sock,
            role: side(r.role, kind::FLOW_OPEN)?,
            actor: actor(&r.actor),
            endpoints,
            netns: r.netns,
            fresh: r.fresh != 0,
        }),
    }))
}

fn flow_state(bytes: &[u8]) -> Result<Option<Signal<'_>>, DecodeError> {
    let (r, _) = take::<FlowStateRecord>(bytes).ok_or(DecodeError::Short(kind::FLOW_STATE))?;
    let event = match r.event {
        flow::EOF => FlowEvent::Eof { actor: actor(&r.actor) },
        flow::ERROR => FlowEvent::Error {
            actor: actor(&r.actor),
            direction: direction(r.dir, kind::FLOW_STATE)?,
            errno: r.err,
        },
        flow::GONE => FlowEvent::Closed {
            errno: r.err,
            srtt_us: r.srtt_us,
        },
        flow::STATE => match r.new {
            TCP_FIN_WAIT1 | TCP_LAST_ACK => FlowEvent::LocalFin,
            TCP_CLOSE_WAIT | TCP_CLOSING => FlowEvent::PeerFin,
            _ => return Ok(None),
        },
        _ => return Err(DecodeError::Value(kind::FLOW_STATE)),
    };
    Ok(Some(Signal::Flow(FlowSignal {
        at: r.head.ts,
        conn: ConnId(r.conn),
        last: Last {
            exchange: r.exchange,
            counted: phase::counted(r.exchange, r.phase),
            ended: r.ended,
            rx: r.rx,
            tx: r.tx,
        },
        event,
    })))
}

fn message(bytes: &[u8]) -> Result<Signal<'_>, DecodeError> {
    let (short, wrong) = (DecodeError::Short(kind::MESSAGE), DecodeError::Value(kind::MESSAGE));
    let (r, data) = take::<dns::MessageRecord>(bytes).ok_or(short)?;
    let captured = data.get(..r.captured.into()).ok_or(short)?;
    if captured.len() as u64 > u64::from(r.total) {
        return Err(wrong);
    }
    Ok(Signal::Message(MessageSignal {
        at: r.head.ts,
        actor: actor(&r.actor),
        socket: r.sock,
        port: r.lport,
        netns: r.netns,
        transport: match r.protocol {
            dns::IPPROTO_UDP => Transport::Udp,
            dns::IPPROTO_TCP => Transport::Tcp,
            _ => return Err(wrong),
        },
        direction: direction(r.dir, kind::MESSAGE)?,
        peer: (r.rport != 0).then(|| address(&r.raddr, r.family == AF_INET)),
        total: r.total,
        bytes: captured,
        error: (r.err != 0).then_some(r.err.into()),
    }))
}

fn exec(bytes: &[u8]) -> Result<Signal<'_>, DecodeError> {
    let (r, data) = take::<record::ExecRecord>(bytes).ok_or(DecodeError::Short(kind::EXEC))?;
    let (environ, data) = data
        .split_at_checked(r.environ.into())
        .ok_or(DecodeError::Short(kind::EXEC))?;
    let (filename, rest) = data
        .split_at_checked(r.filename.into())
        .ok_or(DecodeError::Short(kind::EXEC))?;
    let args = rest.get(..r.args.into()).ok_or(DecodeError::Short(kind::EXEC))?;
    // `comm` is copied with the record's fixed part; borrow it from the bytes themselves.
    let comm = &bytes[std::mem::offset_of!(record::ExecRecord, comm)..][..onlooker_common::limits::COMM];
    let comm = comm.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(process(
        r.head.ts,
        &r.actor,
        ProcessEvent::Exec {
            ppid: r.ppid,
            uid: r.uid,
            cgroup: r.cgroup,
            comm,
            filename,
            args,
            environ,
        },
    ))
}

fn process<'a>(at: Nanos, who: &record::Actor, event: ProcessEvent<'a>) -> Signal<'a> {
    Signal::Process(ProcessSignal {
        at,
        process: key(who),
        event,
    })
}

fn key(who: &record::Actor) -> ProcessKey {
    ProcessKey {
        pid: who.tgid,
        start: who.start,
    }
}

fn actor(who: &record::Actor) -> Actor {
    Actor {
        process: key(who),
        tid: who.tid,
    }
}

fn direction(value: u8, kind: u16) -> Result<Direction, DecodeError> {
    match value {
        dir::RX => Ok(Direction::Rx),
        dir::TX => Ok(Direction::Tx),
        _ => Err(DecodeError::Value(kind)),
    }
}

fn side(value: u8, kind: u16) -> Result<Role, DecodeError> {
    match value {
        role::SERVER => Ok(Role::Server),
        role::CLIENT => Ok(Role::Client),
        _ => Err(DecodeError::Value(kind)),
    }
}

fn address(bytes: &[u8; 16], v4: bool) -> IpAddr {
    if v4 {
        let [a, b, c, d, ..] = *bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical()
    }
}

#[cfg(test)]
mod tests;
