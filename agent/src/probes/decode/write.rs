//! Bytes that a program wrote to its standard output or error.

use super::DecodeError;
use crate::signal::{Behind, Signal, Stream, WriteSignal};
use onlooker_common::record::{kind, take};
use onlooker_common::writes::{STDERR, STDOUT, WriteRecord, behind};

pub(super) fn decode(bytes: &[u8]) -> Result<Signal<'_>, DecodeError> {
    let (short, wrong) = (DecodeError::Short(kind::WRITE), DecodeError::Value(kind::WRITE));
    let (r, data) = take::<WriteRecord>(bytes).ok_or(short)?;
    let data = data.get(..r.bytes.into()).ok_or(short)?;
    if u64::from(r.offset) + data.len() as u64 > u64::from(r.total) {
        return Err(wrong);
    }
    Ok(Signal::Write(WriteSignal {
        at: r.head.ts,
        actor: super::actor(&r.actor),
        stream: match u32::from(r.fd) {
            STDOUT => Stream::Stdout,
            STDERR => Stream::Stderr,
            _ => return Err(wrong),
        },
        behind: match r.behind {
            behind::PIPE => Behind::Pipe,
            behind::DEVICE => Behind::Device,
            behind::SOCKET => Behind::Socket,
            _ => return Err(wrong),
        },
        lost: (r.lost.refused, r.lost.cut),
        bytes: data,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::{Room, decode};
    use onlooker_common::record::{Actor, Header, bytes_of};
    use onlooker_common::writes::Lost;

    fn record(of: WriteRecord, data: &[u8]) -> Vec<u8> {
        let record = WriteRecord {
            head: Header {
                kind: kind::WRITE,
                len: (size_of::<WriteRecord>() + data.len()) as u32,
                ts: 7,
                ..Header::default()
            },
            actor: Actor {
                start: 5,
                tgid: 412,
                tid: 413,
            },
            bytes: data.len() as u16,
            ..of
        };
        [bytes_of(&record), data, &[0xaa; 5]].concat()
    }

    fn whole() -> WriteRecord {
        WriteRecord {
            total: 5,
            fd: 2,
            behind: behind::DEVICE,
            lost: Lost { refused: 3, cut: 4 },
            ..WriteRecord::default()
        }
    }

    #[test]
    fn a_write_is_told_with_who_and_where() {
        let bytes = record(whole(), b"sold\n");
        let room = Room::default();
        let Ok((kind::WRITE, Some(Signal::Write(write)))) = decode(&bytes, &room) else {
            panic!("{:?}", decode(&bytes, &room))
        };
        assert_eq!((write.at, write.bytes, write.lost), (7, &b"sold\n"[..], (3, 4)));
        assert_eq!((write.stream, write.behind), (Stream::Stderr, Behind::Device));
        assert_eq!((write.actor.process.pid, write.actor.tid), (412, 413));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let wrong = DecodeError::Value(kind::WRITE);
        let refused = |of: WriteRecord, data: &[u8]| {
            let bytes = record(of, data);
            let room = Room::default();
            decode(&bytes, &room).unwrap_err()
        };
        assert_eq!(refused(WriteRecord { fd: 3, ..whole() }, b"x"), wrong);
        assert_eq!(refused(WriteRecord { behind: 0, ..whole() }, b"x"), wrong);
        assert_eq!(refused(WriteRecord { offset: 1, ..whole() }, b"sold\n"), wrong);
        let mut cut = record(whole(), b"sold\n");
        cut.truncate(cut.len() - 8);
        let room = Room::default();
        assert_eq!(decode(&cut, &room).unwrap_err(), DecodeError::Short(kind::WRITE));
    }
}
