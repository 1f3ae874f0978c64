//! Tests of [`super`].

use super::*;
use onlooker_common::record::*;

/// With room that stays.
fn decode(bytes: &[u8]) -> Result<(u16, Option<Signal<'_>>), DecodeError> {
    super::decode(bytes, Box::leak(Box::default()))
}

fn head(kind: u16, len: usize) -> Header {
    Header {
        kind,
        flags: 0,
        len: len as u32,
        ts: 7,
    }
}

fn payload_bytes(prefix: &[u8], tail: &[u8], total: u32) -> Vec<u8> {
    let record = PayloadRecord {
        head: head(kind::PAYLOAD, size_of::<PayloadRecord>() + prefix.len() + tail.len()),
        conn: 5,
        actor: record::Actor {
            start: 3,
            tgid: 2,
            tid: 1,
        },
        offset: 9,
        total,
        prefix: prefix.len() as u16,
        tail: tail.len() as u16,
        dir: dir::TX,
        role: role::CLIENT,
        seq_tx: 11,
        seq_rx: 12,
        ..Default::default()
    };
    // As in the ring: rounded up, with what an older record left behind.
    [bytes_of(&record), prefix, tail, &[0xaa; 13]].concat()
}

#[test]
fn payload_carries_both_ends_of_a_call() {
    let bytes = payload_bytes(b"GET / HT", b"\r\n", 100);
    let Ok((kind::PAYLOAD, Some(Signal::Payload(p)))) = decode(&bytes) else {
        panic!("{:?}", decode(&bytes))
    };
    assert_eq!(
        (p.prefix, p.tail, p.total, p.offset, p.seq),
        (&b"GET / HT"[..], &b"\r\n"[..], 100, 9, (11, 12))
    );
    assert_eq!(
        (p.conn, p.direction, p.role, p.at),
        (ConnId(5), Direction::Tx, Role::Client, 7)
    );
    assert_eq!(
        p.actor,
        super::Actor {
            process: ProcessKey { pid: 2, start: 3 },
            tid: 1
        }
    );
}

#[test]
fn an_answer_brings_the_request_that_waited() {
    let answer = |held: &[u8], other| {
        let data = b"HTTP/1.1 200 OK";
        let record = PayloadRecord {
            head: head(kind::ANSWER, size_of::<PayloadRecord>() + 128 + data.len()),
            started: 5,
            held: held.len() as u16,
            room: 128,
            total: 40,
            prefix: data.len() as u16,
            dir: dir::TX,
            role: role::SERVER,
            turn: turn::ANSWER,
            method: 2,
            other,
            ..Default::default()
        };
        let mut room = held.to_vec();
        room.resize(128, 0xaa);
        [bytes_of(&record), &room, &data[..]].concat()
    };
    let bytes = answer(b"HEAD / HTTP/1.1", 15);
    let Ok((kind::ANSWER, Some(Signal::Payload(p)))) = decode(&bytes) else {
        panic!("{:?}", decode(&bytes))
    };
    let asked = p.asked.unwrap();
    assert_eq!(
        (asked.bytes, asked.method, asked.at),
        (Some(&b"HEAD / HTTP/1.1"[..]), "HEAD", 5)
    );
    assert!(asked.answered && !p.seen.begins);
    assert_eq!((p.prefix, p.total, p.seen.other), (&b"HTTP/1.1 200 OK"[..], 40, 15));
    assert_eq!(decode(&answer(b"", 15)).map(|_| ()), Ok(()));
    // A request longer than all that was moved in its direction.
    assert_eq!(
        decode(&answer(b"HEAD / HTTP/1.1", 14)).unwrap_err(),
        DecodeError::Value(kind::ANSWER)
    );
    assert_eq!(decode(&bytes[..140]).unwrap_err(), DecodeError::Short(kind::ANSWER));
}

#[test]
fn more_bytes_captured_than_moved_is_an_error() {
    assert_eq!(
        decode(&payload_bytes(b"abc", b"d", 3)).unwrap_err(),
        DecodeError::Value(kind::PAYLOAD)
    );
}

#[test]
fn a_place_beyond_the_end_of_all_streams_is_an_error() {
    let mut bytes = payload_bytes(b"abc", b"", 3);
    let at = std::mem::offset_of!(PayloadRecord, offset);
    bytes[at..at + 8].copy_from_slice(&(u64::MAX - 2).to_ne_bytes());
    assert_eq!(decode(&bytes).unwrap_err(), DecodeError::Value(kind::PAYLOAD));
    bytes[at..at + 8].copy_from_slice(&(u64::MAX - 3).to_ne_bytes());
    assert!(decode(&bytes).is_ok());
}

#[test]
fn addresses_are_network_order_and_mapped_ones_are_ipv4() {
    let mut record = FlowOpenRecord {
        head: head(kind::FLOW_OPEN, size_of::<FlowOpenRecord>()),
        role: role::SERVER,
        family: 10,
        lport: 80,
        rport: 4000,
        fresh: 1,
        ..Default::default()
    };
    record.laddr[10] = 0xff;
    record.laddr[11] = 0xff;
    record.laddr[12..].copy_from_slice(&[127, 0, 0, 1]);
    record.raddr[15] = 1;
    let Ok((
        _,
        Some(Signal::Flow(FlowSignal {
            event: FlowEvent::Open(open),
            ..
        })),
    )) = decode(bytes_of(&record))
    else {
        panic!()
    };
    assert!(open.fresh);
    assert_eq!(
        open.endpoints,
        Endpoints::Inet {
            local: ("127.0.0.1".parse().unwrap(), 80),
            remote: ("::1".parse().unwrap(), 4000)
        }
    );
}

#[test]
fn states_become_what_they_mean_for_a_conversation() {
    let check = |event, old, new, expect: Option<FlowEvent>| {
        let record = FlowStateRecord {
            head: head(kind::FLOW_STATE, size_of::<FlowStateRecord>()),
            event,
            old,
            new,
            err: 104,
            rx: 1,
            tx: 2,
            ..Default::default()
        };
        let got = decode(bytes_of(&record)).unwrap().1.map(|signal| match signal {
            Signal::Flow(signal) => signal.event,
            other => panic!("{other:?}"),
        });
        assert_eq!(got, expect, "{event}: {old} -> {new}");
    };
    check(flow::STATE, 1, 4, Some(FlowEvent::LocalFin));
    check(flow::STATE, 8, 9, Some(FlowEvent::LocalFin));
    check(flow::STATE, 1, 8, Some(FlowEvent::PeerFin));
    check(flow::STATE, 4, 5, None);
    check(flow::STATE, 2, 1, None);
    let closed = FlowEvent::Closed { errno: 104, srtt_us: 0 };
    check(flow::GONE, 7, 7, Some(closed));
}

#[test]
fn exec_carries_path_and_arguments() {
    let mut record = ExecRecord {
        head: head(kind::EXEC, size_of::<ExecRecord>() + 20 + 7 + 9),
        filename: 7,
        args: 9,
        environ: 20,
        ppid: 4,
        uid: 1000,
        ..Default::default()
    };
    record.comm[..4].copy_from_slice(b"echo");
    let bytes = [bytes_of(&record), b"OTEL_SERVICE_NAME=a\0", b"/bin/ec", b"echo\0hi\0\0"].concat();
    let Ok((_, Some(Signal::Process(signal)))) = decode(&bytes) else {
        panic!()
    };
    let ProcessEvent::Exec {
        ppid: 4,
        uid: 1000,
        comm,
        filename,
        args,
        environ,
        ..
    } = signal.event
    else {
        panic!()
    };
    assert_eq!(
        (comm, filename, args, environ),
        (
            &b"echo"[..],
            &b"/bin/ec"[..],
            &b"echo\0hi\0\0"[..],
            &b"OTEL_SERVICE_NAME=a\0"[..]
        )
    );
}

#[test]
fn any_bytes_are_a_signal_or_an_error() {
    let good = payload_bytes(b"GET / HTTP/1.1\r\n\r\n", b"", 18);
    for cut in 0..good.len() {
        let _ = decode(&good[..cut]);
    }
    for at in 0..size_of::<PayloadRecord>() {
        for value in 0..=255 {
            let mut bad = good.clone();
            bad[at] = value;
            let _ = decode(&bad);
        }
    }
    let unknown = kind::COUNT as u8;
    assert_eq!(
        decode(&[unknown, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err(),
        DecodeError::Kind(unknown.into())
    );
}

#[test]
fn a_message_carries_its_bytes_and_where_it_went() {
    let of = |captured: u16, total: u32, protocol: u8, rport: u16| {
        let record = dns::MessageRecord {
            head: head(kind::MESSAGE, size_of::<dns::MessageRecord>() + 3),
            sock: 9,
            raddr: [192, 0, 2, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            total,
            lport: 40_000,
            rport,
            family: AF_INET,
            captured,
            dir: dir::TX,
            protocol,
            ..Default::default()
        };
        [bytes_of(&record), b"abc", &[0xaa; 9]].concat()
    };
    let bytes = of(3, 7, dns::IPPROTO_UDP, 53);
    let Ok((kind::MESSAGE, Some(Signal::Message(message)))) = decode(&bytes) else {
        panic!("{:?}", decode(&bytes))
    };
    assert_eq!((message.bytes, message.total, message.port), (&b"abc"[..], 7, 40_000));
    assert_eq!(message.peer, Some([192, 0, 2, 53].into()));
    assert_eq!((message.transport, message.error), (Transport::Udp, None));
    let unknown = of(3, 7, dns::IPPROTO_TCP, 0);
    assert!(matches!(decode(&unknown), Ok((_, Some(Signal::Message(message)))) if message.peer.is_none()));
    assert_eq!(
        decode(&of(4, 7, dns::IPPROTO_UDP, 53)).unwrap_err(),
        DecodeError::Short(kind::MESSAGE)
    );
    for wrong in [of(3, 2, dns::IPPROTO_UDP, 53), of(3, 7, 1, 53)] {
        assert_eq!(decode(&wrong).unwrap_err(), DecodeError::Value(kind::MESSAGE));
    }
}
