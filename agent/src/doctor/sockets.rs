//! Listening sockets and who holds them: `/proc/net/{tcp,tcp6,unix}` name sockets by inode, `/proc/PID/fd` leads to them.
//!
//! Own reading of the tables: `procfs` keeps every connection of the host in memory, refuses a table for one line of
//! another form, and does not tell which Unix sockets listen.

use super::proc;
use crate::host::Host;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// `TCP_LISTEN`, as the tables show it.
const LISTEN: &str = "0A";
/// `__SO_ACCEPTCON`: a Unix socket that listens.
const ACCEPTS: u32 = 1 << 16;
/// `SOCK_STREAM`, as the table shows it.
const STREAM: &str = "0001";

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// Where.
    pub(super) at: Place,
    /// Its inode in sockfs.
    pub(super) inode: u64,
    /// Its owner; not told for Unix sockets.
    pub(super) uid: Option<u32>,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Tcp(SocketAddr),
    /// Path, or name in the abstract name space behind `@`; empty when it has none.
    Unix(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Tcp(address) => write!(f, "{address}"),
            Place::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl Listener {
    /// It keeps others from one of these addresses.
    pub(super) fn in_the_way_of(&self, wanted: &[SocketAddr]) -> bool {
        let Place::Tcp(have) = &self.at else { return false };
        wanted.iter().any(|want| {
            let any = have.ip().is_unspecified() || want.ip().is_unspecified();
            // An unspecified IPv6 address takes those of IPv4 too, unless told otherwise.
            have.port() == want.port() && (any || have.ip().to_canonical() == want.ip().to_canonical())
        })
    }
}

/// Who holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A process.
    Known {
        /// Its pid.
        pid: u32,
        /// File name of its executable, else its `comm`.
        name: String,
    },
    /// A process of a user whose processes this one may not look into.
    Hidden {
        /// The user.
        uid: u32,
    },
    /// Nobody that is seen from here.
    Unknown,
}

/// Finds who holds one of these sockets.
pub(super) fn holder(host: &Host, sockets: &[&Listener]) -> Holder {
    let mut refused = false;
    for pid in pids(host) {
        match inodes(host, pid) {
            Some(inodes) => {
                if sockets.iter().any(|socket| inodes.contains(&socket.inode)) {
                    return Holder::Known {
                        pid,
                        name: program(host, pid),
                    };
                }
            }
            None => refused = true,
        }
    }
    match sockets.iter().find_map(|socket| socket.uid) {
        Some(uid) if refused => Holder::Hidden { uid },
        _ => Holder::Unknown,
    }
}

/// File name of the executable, else `comm`.
fn program(host: &Host, pid: u32) -> String {
    let dir = host.proc.join(pid.to_string());
    let exe = proc::link(dir.join("exe"));
    let name = exe
        .as_deref()
        .and_then(|exe| exe.trim_end_matches(" (deleted)").rsplit('/').next());
    match name {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => proc::text(dir.join("comm")).unwrap_or_else(|| "a process".to_owned()),
    }
}

/// All processes, by pid.
pub(super) fn pids(host: &Host) -> Vec<u32> {
    let entries = std::fs::read_dir(&host.proc).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// Inodes of a process' sockets, sorted; `None` when this user may not look. Empty when it is gone.
pub(super) fn inodes(host: &Host, pid: u32) -> Option<Vec<u64>> {
    let dir = host.proc.join(pid.to_string()).join("fd");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
        Err(_) => return Some(vec![]),
    };
    let mut inodes = vec![];
    for entry in entries.flatten() {
        match std::fs::read_link(entry.path()) {
            Ok(link) => inodes.extend(inode(&link.to_string_lossy())),
            // The folder may be open to who may not follow its links.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
            Err(_) => {}
        }
    }
    inodes.sort_unstable();
    Some(inodes)
}

/// `socket:[4711]`.
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Listening TCP sockets of a folder `net` of `/proc`.
pub(super) fn tcp(net: &Path) -> Vec<Listener> {
    let mut found = vec![];
    for table in ["tcp", "tcp6"] {
        lines(&net.join(table), |line| found.extend(tcp_line(line)));
    }
    found
}

/// Listening Unix stream sockets of a folder `net` of `/proc`.
pub(super) fn unix(net: &Path) -> Vec<Listener> {
    let mut found = vec![];
    lines(&net.join("unix"), |line| found.extend(unix_line(line)));
    found
}

fn lines(path: &Path, mut each: impl FnMut(&str)) {
    let Ok(file) = std::fs::File::open(path) else { return };
    let mut reader = BufReader::new(file);
    let mut line = vec![];
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        each(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …` (proc(5)).
fn tcp_line(line: &str) -> Option<Listener> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of four bytes, each as a number of this machine's byte order.
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(Listener {
        at: Place::Tcp(SocketAddr::new(ip, port)),
        inode,
        uid: Some(uid),
    })
}

/// `Num: RefCount Protocol Flags Type St Inode Path` (proc(5)); the path may hold spaces.
fn unix_line(line: &str) -> Option<Listener> {
    let mut fields = line
        .trim_end_matches('\n')
        .splitn(8, ' ')
        .filter(|field| !field.is_empty());
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let kind = fields.next()?;
    let rest: Vec<&str> = fields.skip(1).collect();
    let rest = rest.join(" ");
    let (inode, path) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    if flags & ACCEPTS == 0 || kind != STREAM {
        return None;
    }
    Some(Listener {
        at: Place::Unix(path.to_owned()),
        inode: inode.parse().ok()?,
        uid: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tcp_tables() {
        let line =
            "   0: 0100007F:238C 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100";
        let found = tcp_line(line).expect("listens");
        assert_eq!(found.at.to_string(), "127.0.0.1:9100");
        assert_eq!((found.inode, found.uid), (4711, Some(1000)));
        let six =
            "1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 12 1";
        assert_eq!(tcp_line(six).expect("listens").at.to_string(), "[::1]:80");
        for other in [
            line.replace(" 0A ", " 01 ").as_str(),
            "  sl  local_address rem_address",
            "",
            "0: 1:1 0:0 0A",
        ] {
            assert_eq!(tcp_line(other), None, "{other}");
        }
    }

    #[test]
    fn lines_of_the_unix_table() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 13221 /run/my app.sock\n";
        let found = unix_line(line).expect("listens");
        assert_eq!(
            (found.at.to_string().as_str(), found.inode),
            ("unix:/run/my app.sock", 13221)
        );
        let padded = "ffff8881: 00000002 00000000 00010000 0001 01   221 @abstract";
        assert_eq!(unix_line(padded).expect("listens").at, Place::Unix("@abstract".into()));
        let nameless = "ffff8881: 00000002 00000000 00010000 0001 01 221";
        assert_eq!(unix_line(nameless).expect("listens").at, Place::Unix(String::new()));
        let connected = line.replace("00010000 0001 01", "00000000 0001 03");
        let datagrams = line.replace("00010000 0001", "00010000 0002");
        for other in [
            connected.as_str(),
            datagrams.as_str(),
            "Num       RefCount Protocol Flags    Type St Inode Path",
        ] {
            assert_eq!(unix_line(other), None, "{other}");
        }
    }

    #[test]
    fn who_is_in_whose_way() {
        let check = |have: &str, want: &str, expect: bool| {
            let listener = Listener {
                at: Place::Tcp(have.parse().expect("an address")),
                inode: 1,
                uid: None,
            };
            assert_eq!(
                listener.in_the_way_of(&[want.parse().expect("an address")]),
                expect,
                "{have} {want}"
            );
        };
        check("127.0.0.1:80", "127.0.0.1:80", true);
        check("127.0.0.1:80", "127.0.0.1:81", false);
        check("127.0.0.1:80", "127.0.0.2:80", false);
        check("0.0.0.0:80", "127.0.0.2:80", true);
        check("127.0.0.1:80", "[::]:80", true);
        check("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true);
    }
}
