//! A system call that failed, as an event: what was called, with what, and what came back.

use super::DecodeError;
use crate::probes::errors::names;
use crate::signal::{Detail, EventSignal, Severity, Signal, Who};
use onlooker_common::errors::{FailureRecord, detail};
use onlooker_common::record::{kind, take};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Name of the event.
const NAME: &str = "onlooker.syscall.error";

/// Room for what is made of a record and lent with its signal.
#[derive(Debug, Default)]
pub struct Room<'a> {
    texts: OnceCell<Texts>,
    attributes: OnceCell<Vec<(&'static str, Detail<'a>)>>,
}

#[derive(Debug)]
struct Texts {
    body: String,
    syscall: Cow<'static, str>,
    error: Cow<'static, str>,
    about: About,
}

/// What a call was about.
#[derive(Debug)]
enum About {
    Nothing,
    Path(String),
    Inet(String, u16),
    Unix(String),
}

pub(super) fn decode<'a>(bytes: &'a [u8], room: &'a Room<'a>) -> Result<Signal<'a>, DecodeError> {
    let (short, wrong) = (DecodeError::Short(kind::FAILURE), DecodeError::Value(kind::FAILURE));
    let (r, data) = take::<FailureRecord>(bytes).ok_or(short)?;
    let data = data.get(..r.bytes.into()).ok_or(short)?;
    if r.count == 0 || r.errno == 0 {
        return Err(wrong);
    }
    let about = match r.detail {
        detail::NONE if data.is_empty() => About::Nothing,
        detail::PATH => About::Path(readable(data)),
        detail::ADDRESS => address(data).ok_or(wrong)?,
        _ => return Err(wrong),
    };
    let (syscall, abi) = names::call(r.call);
    let error = names::errno(r.errno);
    let file = file_type(r.mode);
    let texts = room.texts.get_or_init(|| {
        let with = match &about {
            About::Path(path) | About::Unix(path) if !path.is_empty() => format!(" {path}"),
            About::Inet(address, port) if address.contains(':') => format!(" [{address}]:{port}"),
            About::Inet(address, port) => format!(" {address}:{port}"),
            _ if !file.is_empty() => format!(" ({file})"),
            _ => String::new(),
        };
        Texts {
            body: format!("{syscall}{with}: {error}"),
            syscall,
            error,
            about,
        }
    });
    let attributes = room.attributes.get_or_init(|| {
        let mut all = vec![
            ("error.type", Detail::Text(&texts.error)),
            ("onlooker.syscall", Detail::Text(&texts.syscall)),
        ];
        if !abi.is_empty() {
            all.push(("onlooker.syscall.abi", Detail::Text(abi)));
        }
        if r.fd >= 0 {
            all.push(("onlooker.fd", Detail::Int(r.fd.into())));
        }
        if !file.is_empty() {
            all.push(("onlooker.fd.type", Detail::Text(file)));
        }
        match &texts.about {
            About::Nothing => {}
            About::Path(path) => all.push(("file.path", Detail::Text(path))),
            About::Inet(address, port) => all.extend([
                ("network.peer.address", Detail::Text(address)),
                ("network.peer.port", Detail::Int((*port).into())),
            ]),
            About::Unix(path) => all.extend([
                ("network.transport", Detail::Text("unix")),
                ("network.peer.address", Detail::Text(path)),
            ]),
        }
        all
    });
    Ok(Signal::Event(EventSignal {
        at: r.head.ts,
        name: NAME,
        severity: Severity::Warn,
        who: Who::Process(super::key(&r.actor)),
        tid: r.actor.tid,
        body: &texts.body,
        attributes,
        count: r.count,
    }))
}

/// Text for people: what is no UTF-8 and what would move a terminal's cursor is replaced.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(clean).collect()
}

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// What a `struct sockaddr` says; `None` when it is none.
fn address(data: &[u8]) -> Option<About> {
    let (family, rest) = data.split_first_chunk::<2>()?;
    let inet =
        |address: IpAddr, port: [u8; 2]| About::Inet(address.to_canonical().to_string(), u16::from_be_bytes(port));
    match u16::from_ne_bytes(*family) {
        AF_UNIX => Some(About::Unix(readable(rest))),
        AF_INET => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address = rest.first_chunk::<4>()?;
            Some(inet(Ipv4Addr::from(*address).into(), *port))
        }
        AF_INET6 => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address = rest.get(4..)?.first_chunk::<16>()?;
            Some(inet(Ipv6Addr::from(*address).into(), *port))
        }
        _ => None,
    }
}

/// What kind of file is behind a descriptor; empty when not known.
fn file_type(mode: u16) -> &'static str {
    match u32::from(mode) & libc::S_IFMT {
        _ if mode == 0 => "",
        libc::S_IFSOCK => "socket",
        libc::S_IFREG => "file",
        libc::S_IFDIR => "directory",
        libc::S_IFIFO => "pipe",
        libc::S_IFCHR => "character device",
        libc::S_IFBLK => "block device",
        libc::S_IFLNK => "link",
        // Without a type: epoll, eventfd, timerfd and their like.
        _ => "anonymous",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onlooker_common::record::{Actor, Header, bytes_of};

    fn record(of: FailureRecord, data: &[u8]) -> Vec<u8> {
        let len = size_of::<FailureRecord>() + data.len();
        let record = FailureRecord {
            head: Header {
                kind: kind::FAILURE,
                len: len as u32,
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
        [bytes_of(&record), data].concat()
    }

    /// A record and the body and attributes that come of it.
    fn check(of: FailureRecord, data: &[u8], body: &str, attributes: &[(&str, Detail<'_>)]) {
        let bytes = record(of, data);
        let room = Room::default();
        let Ok((kind::FAILURE, Some(Signal::Event(event)))) = crate::probes::decode(&bytes, &room) else {
            panic!("{body}");
        };
        assert_eq!((event.body, event.attributes), (body, attributes));
        assert_eq!((event.at, event.tid, event.count, event.name), (7, 413, of.count, NAME));
        assert_eq!(
            event.who,
            Who::Process(crate::signal::ProcessKey { pid: 412, start: 5 })
        );
    }

    fn of(call: libc::c_long, errno: i32, detail: u8) -> FailureRecord {
        FailureRecord {
            count: 134,
            call: call as u16,
            errno: errno as u16,
            fd: -1,
            detail,
            ..FailureRecord::default()
        }
    }

    #[test]
    fn a_path_is_told() {
        check(
            of(libc::SYS_openat, libc::EACCES, detail::PATH),
            b"/etc/billing/tls.key",
            "openat /etc/billing/tls.key: EACCES",
            &[
                ("error.type", Detail::Text("EACCES")),
                ("onlooker.syscall", Detail::Text("openat")),
                ("file.path", Detail::Text("/etc/billing/tls.key")),
            ],
        );
        check(
            of(libc::SYS_unlinkat, libc::ENOENT, detail::PATH),
            b"\x1b[2J\xff",
            "unlinkat \u{fffd}[2J\u{fffd}: ENOENT",
            &[
                ("error.type", Detail::Text("ENOENT")),
                ("onlooker.syscall", Detail::Text("unlinkat")),
                ("file.path", Detail::Text("\u{fffd}[2J\u{fffd}")),
            ],
        );
    }

    #[test]
    fn an_address_is_told() {
        let socket = |detail| FailureRecord {
            fd: 9,
            mode: libc::S_IFSOCK as u16 | 0o777,
            ..of(libc::SYS_connect, libc::ECONNREFUSED, detail)
        };
        let told = |address: &'static str, port| {
            [
                ("error.type", Detail::Text("ECONNREFUSED")),
                ("onlooker.syscall", Detail::Text("connect")),
                ("onlooker.fd", Detail::Int(9)),
                ("onlooker.fd.type", Detail::Text("socket")),
                ("network.peer.address", Detail::Text(address)),
                ("network.peer.port", Detail::Int(port)),
            ]
        };
        let v4 = [&2u16.to_ne_bytes()[..], &5432u16.to_be_bytes(), &[10, 0, 0, 7], &[0; 8]].concat();
        check(
            socket(detail::ADDRESS),
            &v4,
            "connect 10.0.0.7:5432: ECONNREFUSED",
            &told("10.0.0.7", 5432),
        );
        let one = Ipv6Addr::LOCALHOST.octets();
        let v6 = [&10u16.to_ne_bytes()[..], &80u16.to_be_bytes(), &[0; 4], &one, &[0; 4]].concat();
        check(
            socket(detail::ADDRESS),
            &v6,
            "connect [::1]:80: ECONNREFUSED",
            &told("::1", 80),
        );
        let unix = [&1u16.to_ne_bytes()[..], b"/run/db.sock"].concat();
        let mut attributes = told("", 0)[..4].to_vec();
        attributes.push(("network.transport", Detail::Text("unix")));
        attributes.push(("network.peer.address", Detail::Text("/run/db.sock")));
        check(
            socket(detail::ADDRESS),
            &unix,
            "connect /run/db.sock: ECONNREFUSED",
            &attributes,
        );
        // A descriptor alone.
        check(
            socket(detail::NONE),
            b"",
            "connect (socket): ECONNREFUSED",
            &told("", 0)[..4],
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |of, data: &[u8], why| {
            let bytes = record(of, data);
            let room = Room::default();
            assert_eq!(crate::probes::decode(&bytes, &room).unwrap_err(), why);
        };
        let wrong = DecodeError::Value(kind::FAILURE);
        refused(of(0, 0, 0), b"", wrong);
        refused(
            FailureRecord {
                count: 0,
                ..of(0, 1, 0)
            },
            b"",
            wrong,
        );
        refused(of(0, 1, detail::ADDRESS), b"", wrong);
        refused(of(0, 1, detail::ADDRESS), &[2, 0, 1], wrong);
        refused(of(0, 1, detail::ADDRESS), &[99, 0, 1, 1], wrong);
        refused(of(0, 1, detail::NONE), b"x", wrong);
        refused(of(0, 1, 9), b"", wrong);
        let mut bytes = record(of(0, 1, detail::PATH), b"/tmp");
        bytes[50..52].copy_from_slice(&[9, 9]);
        let room = Room::default();
        assert_eq!(
            crate::probes::decode(&bytes, &room).unwrap_err(),
            DecodeError::Short(kind::FAILURE)
        );
    }
}
