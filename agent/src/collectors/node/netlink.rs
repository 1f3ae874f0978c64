//! Netlink (`man 7 netlink`): the kernel is asked over a socket, and answers with messages of a fixed head and attributes.
//!
//! The sockets are rustix's. The messages are taken apart here: collectors want a handful of fields out of a few kinds of them,
//! and an attribute that a newer kernel adds, or makes longer, must not cost the whole message.

pub(super) mod generic;
pub(super) mod link;

use super::CollectError;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use std::io;
use std::time::Duration;

/// Bytes that an answer is read with: the kernel fills its parts up to so many and no more.
const ROOM: usize = 32 << 10;
/// How long the kernel is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a list is asked for that changed while it was read.
const TRIES: usize = 3;
/// Bytes of `struct nlmsghdr`.
const HEAD: usize = 16;

/// A socket to the kernel. It is opened when it is first needed, and again after an error.
#[derive(Debug)]
pub(super) struct Socket {
    protocol: Option<Protocol>,
    open: Option<OwnedFd>,
    sequence: u32,
    room: Vec<u8>,
}

impl Socket {
    /// For links, addresses, neighbours, routes and queues.
    pub(super) fn route() -> Socket {
        Socket::new(None)
    }

    /// For sockets.
    pub(super) fn diag() -> Socket {
        Socket::new(Some(netlink::SOCK_DIAG))
    }

    /// For families that have a name.
    pub(super) fn generic() -> Socket {
        Socket::new(Some(netlink::GENERIC))
    }

    fn new(protocol: Option<Protocol>) -> Socket {
        Socket {
            protocol,
            open: None,
            sequence: 0,
            room: Vec::new(),
        }
    }

    /// Asks for a list: `each` sees every message of the answer, its kind and its body. When the list changed meanwhile it is
    /// asked for again, with nothing found so far.
    ///
    /// # Errors
    /// What the kernel says to it.
    pub(super) fn dump<T: Default>(
        &mut self,
        kind: u16,
        body: &[u8],
        mut each: impl FnMut(&mut T, u16, &[u8]),
    ) -> Result<T, CollectError> {
        let mut found = T::default();
        for _ in 0..TRIES {
            found = T::default();
            if self.ask(kind, libc::NLM_F_DUMP, body, &mut |kind, body| {
                each(&mut found, kind, body)
            })? {
                break;
            }
        }
        Ok(found)
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// What the kernel says to it.
    pub(super) fn get(&mut self, kind: u16, body: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<(), CollectError> {
        self.ask(kind, libc::NLM_F_ACK, body, &mut each).map(drop)
    }

    /// The name of a device.
    pub(super) fn device(&mut self, index: u32) -> Option<String> {
        rustix::net::netdevice::index_to_name(self.opened().ok()?, index).ok()
    }

    /// Asks, and says whether the answer is of one moment.
    fn ask(
        &mut self,
        kind: u16,
        flags: i32,
        body: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<bool, CollectError> {
        let answer = self.exchange(kind, flags, body, each);
        answer.map_err(|error| {
            self.open = None;
            match error.kind() {
                io::ErrorKind::NotFound => CollectError::NoData("the kernel has no such netlink family".to_owned()),
                _ => CollectError::Other(format!("netlink, message {kind}: {error}")),
            }
        })
    }

    fn exchange(&mut self, kind: u16, flags: i32, body: &[u8], each: &mut dyn FnMut(u16, &[u8])) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let request = request(kind, flags | libc::NLM_F_REQUEST, sequence, body);
        rustix::net::send(self.opened()?, &request, SendFlags::empty())?;
        self.room.resize(ROOM, 0);
        let mut of_one_moment = true;
        loop {
            let Some(fd) = &self.open else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            let read = rustix::io::retry_on_intr(|| rustix::net::recv(fd, self.room.as_mut_slice(), RecvFlags::TRUNC));
            let (_, length) = read?;
            let bytes = self.room.get(..length).ok_or(io::ErrorKind::FileTooLarge)?;
            for frame in frames(bytes).filter(|frame| frame.sequence == sequence) {
                of_one_moment &= i32::from(frame.flags) & libc::NLM_F_DUMP_INTR == 0;
                match i32::from(frame.kind) {
                    // Both begin with an error number, which is negative, or 0.
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                        return match i32::from_ne_bytes(array(frame.body, 0).unwrap_or_default()) {
                            0.. => Ok(of_one_moment),
                            error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
                        };
                    }
                    _ => each(frame.kind, frame.body),
                }
            }
        }
    }

    fn opened(&mut self) -> io::Result<&OwnedFd> {
        if self.open.is_none() {
            let fd = rustix::net::socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                self.protocol,
            )?;
            set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
            self.open = Some(fd);
        }
        self.open.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// Hears of links that come, change and go, so that what is known of them need not be read again.
#[derive(Debug, Default)]
pub(super) struct LinkWatch {
    open: Option<OwnedFd>,
    room: Vec<u8>,
}

/// The kernel's group for links, `RTMGRP_LINK`.
const LINKS: u32 = 1;
/// Messages that are taken at a time: what is behind them is heard of next time.
const HEARD: usize = 1024;

impl LinkWatch {
    /// Whether a link may have changed since this was asked last; always `true` the first time, and where the kernel cannot be heard.
    pub(super) fn changed(&mut self) -> bool {
        let Some(open) = &self.open else {
            self.open = LinkWatch::opened().ok();
            return true;
        };
        self.room.resize(ROOM, 0);
        for heard in 0..HEARD {
            let flags = RecvFlags::DONTWAIT;
            match rustix::io::retry_on_intr(|| rustix::net::recv(open, self.room.as_mut_slice(), flags)) {
                Err(Errno::WOULDBLOCK) => return heard > 0,
                // Some were lost for want of room.
                Ok(_) | Err(Errno::NOBUFS) => {}
                Err(_) => {
                    self.open = None;
                    return true;
                }
            }
        }
        true
    }

    fn opened() -> rustix::io::Result<OwnedFd> {
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&fd, &netlink::SocketAddrNetlink::new(0, LINKS))?;
        Ok(fd)
    }
}

/// A message as it is sent.
fn request(kind: u16, flags: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEAD + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(flags as u16).to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A message as it came.
struct Frame<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages of what was read, up to one that is cut off.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let frame = Frame {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            body: bytes.get(HEAD..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(frame)
    })
}

/// The attributes of what is left of a body behind its head: kind without the flags, and value. Up to one that is cut off.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// An attribute as it is sent.
pub(super) fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Some bytes of others.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A number of two bytes in the order of the host.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

/// A number of four bytes in the order of the host.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

/// A number of eight bytes in the order of the host.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_ne_bytes)
}

/// A text that ends with a zero. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// An IP address of four or sixteen bytes.
pub(super) fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    match bytes.len() {
        4 => array::<4>(bytes, 0).map(Into::into),
        16 => array::<16>(bytes, 0).map(Into::into),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_attributes_come_apart_again() {
        let mut body = vec![7; 8];
        attribute(&mut body, 3, b"lo\0");
        attribute(&mut body, 4 | 0x8000, &5u32.to_ne_bytes());
        let mut bytes = request(16, 2, 9, &body);
        bytes.extend(request(3, 2, 9, &0i32.to_ne_bytes()));
        let found: Vec<_> = frames(&bytes)
            .map(|frame| (frame.kind, frame.flags, frame.sequence))
            .collect();
        assert_eq!(found, [(16, 2, 9), (3, 2, 9)]);
        let frame = frames(&bytes).next().unwrap();
        let found: Vec<_> = attributes(&frame.body[8..]).collect();
        assert_eq!(found, [(3, b"lo\0".as_slice()), (4, &5u32.to_ne_bytes())]);
        assert_eq!(text(found[0].1), "lo");
        assert_eq!(u32_at(found[1].1, 0), Some(5));
    }

    #[test]
    fn what_is_cut_off_ends_it() {
        let whole = request(16, 2, 9, &[1, 2, 3, 4]);
        for end in 0..whole.len() {
            assert_eq!(frames(&whole[..end]).count(), 0, "{end}");
        }
        assert_eq!(frames(&[0; 64]).count(), 0, "shorter than its head");
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 5, 5]).count(), 0);
        assert_eq!(attributes(&[5, 0, 1, 0, 5]).collect::<Vec<_>>(), [(1, [5].as_slice())]);
        assert_eq!(address(&[1, 2, 3]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(0u8..24, 0..200)) {
            // Every message and attribute takes some of the bytes.
            assert!(frames(&bytes).count() <= bytes.len() / HEAD + 1);
            assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
            assert!(text(&bytes).len() <= bytes.len() * 3);
        }
    }

    #[test]
    fn the_kernel_answers_and_refuses() {
        let mut socket = Socket::route();
        assert_eq!(socket.device(1).as_deref(), Some("lo"));
        let count = |found: &mut usize, _: u16, _: &[u8]| *found += 1;
        assert!(socket.dump(libc::RTM_GETLINK, &[0; 16], count).unwrap() > 0);
        let error = socket
            .get(libc::RTM_GETLINK, &[0; 16], |_, _| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("netlink, message 18: Invalid argument"), "{error}");
        assert!(socket.open.is_none());
        assert!(socket.dump(libc::RTM_GETLINK, &[0; 16], count).unwrap() > 0);
    }
}
