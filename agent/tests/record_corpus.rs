//! The kept corpus of the fuzz target `records`: what is in it still decodes, so that fuzzing starts from real records.

use onlooker::probes::{Room, decode};
use onlooker_common::dns::{IPPROTO_UDP, MessageRecord};
use onlooker_common::errors::{FailureRecord, detail};
use onlooker_common::record::{
    Actor, ExecRecord, ExitRecord, FlowOpenRecord, FlowStateRecord, ForkRecord, Header, PayloadRecord, Plain, bytes_of,
    dir, flow, kind, role, turn,
};
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/records")
}

const ACTOR: Actor = Actor {
    start: 7_000_000_000,
    tgid: 4711,
    tid: 4712,
};

fn head(kind: u16, record: usize, data: usize) -> Header {
    Header {
        kind,
        flags: 0,
        len: (record + data) as u32,
        ts: 9_000_000_000,
    }
}

/// A record with its data as the ring holds it, after its length.
fn framed(record: &impl Plain, data: &[u8]) -> Vec<u8> {
    let bytes = [bytes_of(record), data].concat();
    let length = u16::try_from(bytes.len()).expect("seeds are small");
    [&length.to_le_bytes(), &bytes[..]].concat()
}

fn open(family: u16, role: u8) -> Vec<u8> {
    let record = FlowOpenRecord {
        head: head(kind::FLOW_OPEN, size_of::<FlowOpenRecord>(), 0),
        conn: 5,
        sock: 0xffff_8880_0000_1000,
        peer_sock: if family == 1 { 0xffff_8880_0000_2000 } else { 0 },
        actor: ACTOR,
        laddr: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        raddr: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1],
        lport: 80,
        rport: 40_000,
        family,
        role,
        fresh: 1,
        netns: 4_026_531_840,
        pad2: 0,
    };
    framed(&record, b"")
}

fn payload(dir: u8, role: u8, prefix: &[u8], tail: &[u8], total: u32) -> Vec<u8> {
    let record = PayloadRecord {
        head: head(kind::PAYLOAD, size_of::<PayloadRecord>(), prefix.len() + tail.len()),
        conn: 5,
        actor: ACTOR,
        offset: 100,
        total,
        seq_tx: 11,
        seq_rx: 12,
        srtt_us: 40,
        prefix: prefix.len() as u16,
        tail: tail.len() as u16,
        dir,
        role,
        ..PayloadRecord::default()
    };
    framed(&record, &[prefix, tail].concat())
}

fn answer(held: &[u8], prefix: &[u8]) -> Vec<u8> {
    let record = PayloadRecord {
        head: head(kind::ANSWER, size_of::<PayloadRecord>() + 128, prefix.len()),
        conn: 5,
        actor: ACTOR,
        other: 60,
        total: prefix.len() as u32,
        prefix: prefix.len() as u16,
        dir: dir::TX,
        role: role::SERVER,
        exchange: 1,
        turn: turn::ANSWER,
        method: 1,
        started: 8_000_000_000,
        asker: ACTOR,
        held: held.len() as u16,
        room: 128,
        ..PayloadRecord::default()
    };
    let mut room = [0; 128];
    room[..held.len()].copy_from_slice(held);
    framed(&record, &[&room, prefix].concat())
}

fn state(event: u8, old: u8, new: u8, err: u32) -> Vec<u8> {
    let record = FlowStateRecord {
        head: head(kind::FLOW_STATE, size_of::<FlowStateRecord>(), 0),
        conn: 5,
        actor: ACTOR,
        rx: 100,
        tx: 200,
        err,
        event,
        old,
        new,
        ..FlowStateRecord::default()
    };
    framed(&record, b"")
}

fn lives() -> Vec<u8> {
    const FILENAME: &[u8] = b"/usr/bin/echo";
    const ARGS: &[u8] = b"echo\0-n\0hello\0";
    let mut exec = ExecRecord {
        head: head(kind::EXEC, size_of::<ExecRecord>(), FILENAME.len() + ARGS.len()),
        actor: ACTOR,
        cgroup: 33,
        ppid: 1,
        uid: 1000,
        filename: FILENAME.len() as u16,
        args: ARGS.len() as u16,
        ..ExecRecord::default()
    };
    exec.comm[..4].copy_from_slice(b"echo");
    let fork = ForkRecord {
        head: head(kind::FORK, size_of::<ForkRecord>(), 0),
        child: Actor { tgid: 4800, ..ACTOR },
        parent: ACTOR,
    };
    let exit = ExitRecord {
        head: head(kind::EXIT, size_of::<ExitRecord>(), 0),
        actor: ACTOR,
        code: 1 << 8,
        pad: 0,
    };
    let exec = framed(&exec, &[FILENAME, ARGS].concat());
    [framed(&fork, b""), exec, framed(&exit, b"")].concat()
}

fn failure(detail: u8, data: &[u8]) -> Vec<u8> {
    let record = FailureRecord {
        head: head(kind::FAILURE, size_of::<FailureRecord>(), data.len()),
        actor: ACTOR,
        count: 134,
        call: 42,
        errno: 111,
        fd: 3,
        mode: 0o140_777,
        bytes: data.len() as u16,
        detail,
        pad: [0; 3],
    };
    framed(&record, data)
}

/// A question, its answer from an IPv6 address, and a call that failed.
fn messages() -> Vec<u8> {
    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04shop\x07example\0\0\x01\0\x01";
    let message = |direction, bytes: &[u8], err| MessageRecord {
        head: head(kind::MESSAGE, size_of::<MessageRecord>(), bytes.len()),
        actor: ACTOR,
        sock: 0xffff_8880_0000_3000,
        raddr: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 53],
        netns: 4_026_531_840,
        total: bytes.len() as u32,
        lport: 40_000,
        rport: 53,
        family: 10,
        captured: bytes.len() as u16,
        dir: direction,
        protocol: IPPROTO_UDP,
        err,
        pad: [0; 4],
    };
    let mut answer = QUESTION.to_vec();
    answer[2] |= 0x80;
    [
        framed(&message(dir::TX, QUESTION, 0), QUESTION),
        framed(&message(dir::RX, &answer, 0), &answer),
        framed(&message(dir::RX, b"", 111), b""),
    ]
    .concat()
}

/// Name and bytes of every seed.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let request = b"GET /cart?item=7 HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
    let (inet, inet6, unix) = (2, 10, 1);
    vec![
        (
            "server",
            [
                open(inet, role::SERVER),
                payload(dir::RX, role::SERVER, request, b"", request.len() as u32),
                payload(dir::TX, role::SERVER, response, b"</html>\n", 5041),
                state(flow::STATE, 1, 8, 0),
                state(flow::GONE, 7, 7, 0),
            ]
            .concat(),
        ),
        (
            "held",
            [
                open(inet, role::SERVER),
                answer(request, b"HTTP/1.1 204 No Content\r\n\r\n"),
                state(flow::GONE, 7, 7, 0),
            ]
            .concat(),
        ),
        (
            "client",
            [
                open(inet6, role::CLIENT),
                payload(dir::TX, role::CLIENT, request, b"", request.len() as u32),
                state(flow::ERROR, 0, 0, 104),
                state(flow::GONE, 7, 7, 104),
            ]
            .concat(),
        ),
        ("unix", [open(unix, role::CLIENT), state(flow::EOF, 0, 0, 0)].concat()),
        ("processes", lives()),
        (
            "failures",
            [
                failure(detail::NONE, b""),
                failure(detail::PATH, b"/etc/billing/tls.key"),
                failure(
                    detail::ADDRESS,
                    &[2, 0, 0x15, 0x38, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0],
                ),
                failure(
                    detail::ADDRESS,
                    &[
                        10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
                    ],
                ),
                failure(detail::ADDRESS, b"\x01\0/run/db.sock"),
            ]
            .concat(),
        ),
        ("messages", messages()),
    ]
}

#[test]
#[ignore = "writes fuzz/corpus/records anew, after a record changed"]
fn write_seeds() {
    std::fs::create_dir_all(corpus()).expect("a folder");
    for (name, bytes) in seeds() {
        std::fs::write(corpus().join(name), bytes).expect("a seed");
    }
}

#[test]
fn the_kept_seeds_are_records_of_today() {
    for (name, bytes) in seeds() {
        assert_eq!(
            std::fs::read(corpus().join(name)).ok(),
            Some(bytes.clone()),
            "{name}: write the seeds anew with `cargo test --test record_corpus -- --ignored`"
        );
        let mut rest = &bytes[..];
        while let [low, high, after @ ..] = rest {
            let (record, after) = after.split_at(u16::from_le_bytes([*low, *high]).into());
            assert!(
                matches!(decode(record, &Room::default()), Ok((_, Some(_)))),
                "{name}: {:?}",
                decode(record, &Room::default())
            );
            rest = after;
        }
    }
}

#[test]
fn whatever_was_found_once_is_a_signal_or_an_error() {
    for entry in std::fs::read_dir(corpus()).expect("the corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        for start in 0..bytes.len() {
            let _ = decode(&bytes[start..], &Room::default());
        }
    }
}
