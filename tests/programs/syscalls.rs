//! Speaks HTTP with one family of system calls: `syscalls serve FAMILY ADDRESS LOG` and `syscalls ask FAMILY ADDRESS COUNT`.
//! Both write one JSON line an exchange (to the log, to standard output).
//!
//! A head that leaves by `sendfile` or arrives by `splice` never lies in user memory at that moment, and no program does it;
//! those two families move bodies.

use anyhow::{Context, Result, bail};
use onlooker_tests::http::{self, Head};
use serde_json::json;
use std::fs::File;
use std::io::{Error, Write};
use std::mem::zeroed;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::time::Instant;

#[derive(Clone, Copy, PartialEq)]
enum Family {
    ReadWrite,
    Vectors,
    VectorsAt,
    Socket,
    Message,
    Messages,
    Sendfile,
    Splice,
    Peek,
}

impl Family {
    fn of(name: &str) -> Result<Family> {
        Ok(match name {
            "read-write" => Family::ReadWrite,
            "readv-writev" => Family::Vectors,
            "preadv2-pwritev2" => Family::VectorsAt,
            "recvfrom-sendto" => Family::Socket,
            "recvmsg-sendmsg" => Family::Message,
            "recvmmsg-sendmmsg" => Family::Messages,
            "sendfile" => Family::Sendfile,
            "splice" => Family::Splice,
            "peek" => Family::Peek,
            other => bail!("no family {other}"),
        })
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["serve", family, addr, log] => {
            let family = Family::of(family)?;
            let log = File::options().create(true).append(true).open(log)?;
            for stream in TcpListener::bind(addr)?.incoming() {
                let mut side = Side::new(stream?, family)?;
                while side.serve(&log)? {}
            }
            Ok(())
        }
        ["ask", family, addr, count] => {
            let mut side = Side::new(TcpStream::connect(addr)?, Family::of(family)?)?;
            for n in 0..count.parse::<u32>()? {
                side.ask(n)?;
            }
            Ok(())
        }
        _ => bail!("usage: syscalls serve FAMILY ADDRESS LOG | syscalls ask FAMILY ADDRESS COUNT"),
    }
}

struct Side {
    stream: TcpStream,
    family: Family,
    ahead: Vec<u8>,
    first_read: Option<Instant>,
}

impl Side {
    fn new(stream: TcpStream, family: Family) -> Result<Side> {
        stream.set_nodelay(true)?;
        Ok(Side {
            stream,
            family,
            ahead: Vec::new(),
            first_read: None,
        })
    }

    fn serve(&mut self, log: &File) -> Result<bool> {
        self.first_read = None;
        let Some(head) = self.head()? else { return Ok(false) };
        let body = self.body(head.content_length().unwrap_or(0))?;
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(text.as_bytes(), &body)?;
        let line = json!({
            "method": head.word(0), "path": head.word(1), "status": 200,
            "request_body": body.len(), "response_body": body.len(),
            "seconds": self.first_read.map(|at| at.elapsed().as_secs_f64()),
        });
        writeln!(&mut &*log, "{line}")?;
        Ok(true)
    }

    fn ask(&mut self, n: u32) -> Result<()> {
        let path = format!("/call/{n}");
        let body = vec![b'b'; 300 + n as usize];
        let all = http::request("POST", &path, &[], &body);
        let (head, body) = all.split_at(all.len() - body.len());
        let started = Instant::now();
        self.send(head, body)?;
        let answer = self.head()?.context("no answer")?;
        let echoed = self.body(answer.content_length().unwrap_or(0))?;
        anyhow::ensure!(echoed == body, "another body came back");
        let line = json!({
            "method": "POST", "path": path, "status": answer.word(1).parse::<u16>()?,
            "request_body": body.len(), "response_body": echoed.len(),
            "seconds": started.elapsed().as_secs_f64(),
        });
        println!("{line}");
        Ok(())
    }

    fn head(&mut self) -> Result<Option<Head>> {
        loop {
            if let Some(head) = Head::parse(&self.ahead) {
                self.ahead.drain(..head.bytes);
                return Ok(Some(head));
            }
            let mut buffer = [0; 4096];
            // Far less than any body here, of which something is left to splice however much is there by now.
            let most = if self.family == Family::Splice {
                64
            } else {
                buffer.len()
            };
            let got = receive(self.family, self.stream.as_raw_fd(), &mut buffer[..most])?;
            self.first_read.get_or_insert_with(Instant::now);
            if got == 0 {
                return Ok(None);
            }
            self.ahead.extend_from_slice(&buffer[..got]);
        }
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.ahead.len() < length {
            let mut buffer = vec![0; length - self.ahead.len()];
            let got = if self.family == Family::Splice {
                splice_in(self.stream.as_raw_fd(), &mut buffer)?
            } else {
                receive(self.family, self.stream.as_raw_fd(), &mut buffer)?
            };
            if got == 0 {
                bail!("the body ends early");
            }
            self.ahead.extend_from_slice(&buffer[..got]);
        }
        Ok(self.ahead.drain(..length).collect())
    }

    fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        let fd = self.stream.as_raw_fd();
        match self.family {
            Family::Sendfile => {
                // SAFETY: plain buffer and length of a live slice.
                whole(head, |bytes| unsafe {
                    libc::write(fd, bytes.as_ptr().cast(), bytes.len())
                })?;
                sendfile_out(fd, body)
            }
            Family::Splice => {
                // SAFETY: as above.
                whole(head, |bytes| unsafe {
                    libc::write(fd, bytes.as_ptr().cast(), bytes.len())
                })?;
                splice_out(fd, body)
            }
            family => {
                let all = [head, body].concat();
                whole(&all, |bytes| send(family, fd, bytes))
            }
        }
    }
}

/// Calls until all bytes are sent.
fn whole(mut bytes: &[u8], call: impl Fn(&[u8]) -> libc::ssize_t) -> Result<()> {
    while !bytes.is_empty() {
        let sent = check(call(bytes))?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

fn check(result: libc::ssize_t) -> Result<usize> {
    match usize::try_from(result) {
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(Error::last_os_error().into()),
    }
}

/// Two vectors over one buffer, the first short, so that every head straddles them.
fn vectors(bytes: &[u8]) -> [libc::iovec; 2] {
    let first = bytes.len().min(10);
    let part = |bytes: &[u8]| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    [part(&bytes[..first]), part(&bytes[first..])]
}

fn message(vectors: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: msghdr is plain data, and all zero is a valid value of it.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len();
    message
}

fn receive(family: Family, fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    let (base, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    let mut vectors = vectors(buffer);
    // SAFETY: in every call the pointers and lengths are those of `buffer`, which is borrowed mutably and outlives the call,
    // directly or by the vectors over it; headers live on this stack.
    check(unsafe {
        match family {
            Family::ReadWrite | Family::Sendfile | Family::Splice => libc::read(fd, base, length),
            Family::Vectors => libc::readv(fd, vectors.as_ptr(), 2),
            Family::VectorsAt => libc::preadv2(fd, vectors.as_ptr(), 2, -1, 0),
            Family::Socket => libc::recvfrom(fd, base, length, 0, null_mut(), null_mut()),
            Family::Peek => {
                let peeked = libc::recv(fd, base, length, libc::MSG_PEEK);
                if peeked <= 0 {
                    peeked
                } else {
                    libc::recv(fd, base, peeked as usize, 0)
                }
            }
            Family::Message => libc::recvmsg(fd, &mut message(&mut vectors), 0),
            Family::Messages => {
                let (first, second) = vectors.split_at_mut(1);
                let mut messages = [
                    libc::mmsghdr {
                        msg_hdr: message(first),
                        msg_len: 0,
                    },
                    libc::mmsghdr {
                        msg_hdr: message(second),
                        msg_len: 0,
                    },
                ];
                let count = libc::recvmmsg(fd, messages.as_mut_ptr(), 2, libc::MSG_WAITFORONE as _, null_mut());
                if count < 0 {
                    -1
                } else {
                    // The second begins only when the first is full, so the bytes lie without a gap.
                    messages[..count as usize]
                        .iter()
                        .map(|m| m.msg_len as libc::ssize_t)
                        .sum()
                }
            }
        }
    })
}

fn send(family: Family, fd: RawFd, bytes: &[u8]) -> libc::ssize_t {
    let (base, length) = (bytes.as_ptr().cast(), bytes.len());
    let mut vectors = vectors(bytes);
    // SAFETY: as in `receive`; these calls only read the memory.
    unsafe {
        match family {
            Family::ReadWrite | Family::Sendfile | Family::Splice => libc::write(fd, base, length),
            Family::Vectors => libc::writev(fd, vectors.as_ptr(), 2),
            Family::VectorsAt => libc::pwritev2(fd, vectors.as_ptr(), 2, -1, 0),
            Family::Socket | Family::Peek => libc::send(fd, base, length, libc::MSG_NOSIGNAL),
            Family::Message => libc::sendmsg(fd, &message(&mut vectors), 0),
            Family::Messages => {
                let (first, second) = vectors.split_at_mut(1);
                let mut messages = [
                    libc::mmsghdr {
                        msg_hdr: message(first),
                        msg_len: 0,
                    },
                    libc::mmsghdr {
                        msg_hdr: message(second),
                        msg_len: 0,
                    },
                ];
                let count = libc::sendmmsg(fd, messages.as_mut_ptr(), 2, 0);
                if count < 0 {
                    -1
                } else {
                    messages[..count as usize]
                        .iter()
                        .map(|m| m.msg_len as libc::ssize_t)
                        .sum()
                }
            }
        }
    }
}

fn sendfile_out(fd: RawFd, bytes: &[u8]) -> Result<()> {
    // SAFETY: the name is a C string; the descriptor is owned here alone.
    let mut file = unsafe {
        let file = libc::memfd_create(c"body".as_ptr(), 0);
        anyhow::ensure!(file >= 0, "memfd: {}", Error::last_os_error());
        File::from_raw_fd(file)
    };
    file.write_all(bytes)?;
    let mut offset: libc::off_t = 0;
    while (offset as usize) < bytes.len() {
        // SAFETY: the offset is a live local that the kernel advances.
        check(unsafe { libc::sendfile(fd, file.as_raw_fd(), &mut offset, bytes.len() - offset as usize) })?;
    }
    Ok(())
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array holds two descriptors; each is owned once from here on.
    unsafe {
        anyhow::ensure!(libc::pipe(ends.as_mut_ptr()) == 0, "pipe: {}", Error::last_os_error());
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

fn splice(from: RawFd, to: RawFd, length: usize) -> Result<usize> {
    // SAFETY: no offsets are given, so no memory is touched.
    check(unsafe { libc::splice(from, null_mut(), to, null_mut(), length, 0) })
}

fn splice_out(fd: RawFd, bytes: &[u8]) -> Result<()> {
    let (read, write) = pipe()?;
    // A pipe holds 64 KiB.
    for piece in bytes.chunks(32_768) {
        (&File::from(write.try_clone()?)).write_all(piece)?;
        let mut left = piece.len();
        while left > 0 {
            left -= splice(read.as_raw_fd(), fd, left)?;
        }
    }
    Ok(())
}

fn splice_in(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    let (read, write) = pipe()?;
    let got = splice(fd, write.as_raw_fd(), buffer.len().min(32_768))?;
    if got > 0 {
        // SAFETY: the buffer is borrowed mutably and at least so long.
        check(unsafe { libc::read(read.as_raw_fd(), buffer.as_mut_ptr().cast(), got) })?;
    }
    Ok(got)
}
