//! Sends datagrams to itself over loopback by every call there is, fails to with known errors, and prints what it did, one number a
//! word: bytes and datagrams sent, bytes and datagrams received, sends refused by their size, sends refused by the peer.
//! `udp ADDRESS ROUNDS`
//!
//! `udp many N`: so many processes, one after the other, each of which sends one datagram and ends.

use std::mem::zeroed;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::fd::AsRawFd;

/// Messages of a call that takes several.
const SEVERAL: usize = 3;
const EMSGSIZE: i32 = 90;
const ECONNREFUSED: i32 = 111;

#[derive(Default)]
struct Done {
    sent: (usize, usize),
    received: (usize, usize),
}

impl Done {
    fn sent(&mut self, bytes: isize, datagrams: usize) {
        self.sent.0 += usize::try_from(bytes).unwrap();
        self.sent.1 += datagrams;
    }
    fn received(&mut self, bytes: isize, datagrams: usize) {
        self.received.0 += usize::try_from(bytes).unwrap();
        self.received.1 += datagrams;
    }
}

/// Headers of several messages over one buffer each.
fn headers(iovs: &mut [libc::iovec; SEVERAL]) -> [libc::mmsghdr; SEVERAL] {
    // SAFETY: plain data.
    let mut headers: [libc::mmsghdr; SEVERAL] = unsafe { zeroed() };
    for (header, iov) in headers.iter_mut().zip(iovs) {
        header.msg_hdr.msg_iov = iov;
        header.msg_hdr.msg_iovlen = 1;
    }
    headers
}

fn round(a: &UdpSocket, b: &UdpSocket, n: usize, done: &mut Done) {
    let (from, to) = (a.as_raw_fd(), b.as_raw_fd());
    let mut out = vec![7u8; 1400];
    let mut room = vec![0u8; 2048];
    let size = n % 1300;
    let iov = |bytes: &mut [u8], n: usize| libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: n,
    };
    // SAFETY: every buffer is valid for the length that is given.
    unsafe {
        done.sent(libc::send(from, out.as_ptr().cast(), size, 0), 1);
        // Looked at and not taken.
        assert!(libc::recv(to, room.as_mut_ptr().cast(), 2048, libc::MSG_PEEK) >= 0);
        done.received(libc::recv(to, room.as_mut_ptr().cast(), 2048, 0), 1);

        done.sent(libc::write(from, out.as_ptr().cast(), size + 1), 1);
        done.received(libc::read(to, room.as_mut_ptr().cast(), 2048), 1);

        let mut parts = [iov(&mut out[..700], 10), iov(&mut room[..700], 20)];
        done.sent(libc::writev(from, parts.as_ptr(), 2), 1);
        parts[0].iov_len = 5;
        done.received(libc::readv(to, parts.as_ptr(), 2), 1);

        let mut one = [iov(&mut out, size), iov(&mut out, size), iov(&mut out, 0)];
        let mut messages = headers(&mut one);
        done.sent(libc::sendmsg(from, &messages[0].msg_hdr, 0), 1);
        let mut many = [iov(&mut room, 2048), iov(&mut room, 2048), iov(&mut room, 2048)];
        let mut rooms = headers(&mut many);
        done.received(libc::recvmsg(to, &mut rooms[0].msg_hdr, 0), 1);

        let sent = libc::sendmmsg(from, messages.as_mut_ptr(), SEVERAL as u32, 0) as usize;
        for message in &messages[..sent] {
            done.sent(message.msg_len as isize, 1);
        }
        let taken = libc::recvmmsg(to, rooms.as_mut_ptr(), sent as u32, 0, std::ptr::null_mut()) as usize;
        for message in &rooms[..taken] {
            done.received(message.msg_len as isize, 1);
        }
        assert_eq!((sent, taken), (SEVERAL, SEVERAL));
        // Nothing is there: no failure.
        assert!(libc::recv(to, room.as_mut_ptr().cast(), 2048, libc::MSG_DONTWAIT) < 0);
    }
}

fn many(n: usize) {
    let to = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    from.connect(to.local_addr().unwrap()).unwrap();
    for _ in 0..n {
        // SAFETY: one thread; the child calls the kernel alone, and ends.
        unsafe {
            match libc::fork() {
                0 => {
                    let sent = libc::send(from.as_raw_fd(), [0u8; 1].as_ptr().cast(), 1, 0);
                    libc::_exit(i32::from(sent != 1));
                }
                child => {
                    let mut status = 0;
                    assert!(child > 0 && libc::waitpid(child, &mut status, 0) == child && status == 0);
                }
            }
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "many" {
        many(args[2].parse().unwrap());
        return;
    }
    let rounds: usize = args[2].parse().unwrap();
    let address = args[1].to_socket_addrs().unwrap().next().unwrap();
    let (a, b) = (UdpSocket::bind(address).unwrap(), UdpSocket::bind(address).unwrap());
    a.connect(b.local_addr().unwrap()).unwrap();
    let mut done = Done::default();
    for n in 0..rounds {
        round(&a, &b, n, &mut done);
        let taken = b.send_to(&[1; 9], a.local_addr().unwrap()).unwrap();
        done.sent(taken as isize, 1);
        let (taken, _) = a.recv_from(&mut [0; 100]).unwrap();
        done.received(taken as isize, 1);
    }
    let errno = |result: std::io::Result<usize>| result.err().and_then(|error| error.raw_os_error());
    let huge = vec![0; 70_000];
    let too_long = (0..rounds).filter(|_| errno(a.send(&huge)) == Some(EMSGSIZE)).count();
    // Nobody is there any more: what is sent is answered by the kernel, and the next call says so.
    drop(b);
    let mut refused = 0;
    for _ in 0..rounds {
        match a.send(&[2; 5]) {
            Ok(n) => done.sent(n as isize, 1),
            Err(error) if error.raw_os_error() == Some(ECONNREFUSED) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let Done { sent, received } = done;
    println!(
        "{} {} {} {} {too_long} {refused}",
        sent.0, sent.1, received.0, received.1
    );
    // Until somebody has looked.
    let _ = std::io::stdin().read_line(&mut String::new());
}
