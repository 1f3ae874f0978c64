//! The connecting end.

use crate::info::Info;
use crate::server::CLOSE;
use crate::sys;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a condition may take that the kernel brings about by itself.
const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) request: u32,
    pub(crate) response: u32,
}

#[derive(Default)]
pub(crate) struct Client {
    kept: Vec<TcpStream>,
    pending: Vec<OwnedFd>,
}

/// What was done.
#[derive(Default)]
struct Done {
    connected: u64,
    /// In `connect`, of those that were established, nanoseconds.
    connect_ns: u64,
    /// When they were established, summed.
    connected_at: u64,
    errors: BTreeMap<String, u64>,
    sent: u64,
    /// That were read, or lie unread.
    received: u64,
}

impl Done {
    fn json(&self) -> Value {
        json!({
            "connected": self.connected,
            "connect_ns": self.connect_ns,
            "connected_at": self.connected_at,
            "errors": self.errors,
            "sent": self.sent,
            "received": self.received,
        })
    }
}

impl Client {
    pub(crate) fn connect(
        &mut self,
        address: SocketAddr,
        n: u64,
        exchange: Exchange,
        ending: &str,
        timeout: u64,
    ) -> Result<Value, String> {
        let mut done = Done::default();
        for _ in 0..n {
            let socket = sys::socket(&address, true).map_err(text)?;
            if timeout > 0 {
                sys::user_timeout(&socket, timeout).map_err(text)?;
            }
            let begin = sys::now();
            let result = sys::connect(&socket, &address);
            let end = sys::now();
            if let Err(error) = result {
                *done.errors.entry(name(&error)).or_default() += 1;
                continue;
            }
            done.connected += 1;
            done.connect_ns += end - begin;
            done.connected_at += end;
            let stream = TcpStream::from(socket);
            self.one(stream, exchange, ending, &mut done).map_err(text)?;
        }
        Ok(done.json())
    }

    fn one(&mut self, mut stream: TcpStream, exchange: Exchange, ending: &str, done: &mut Done) -> Result<(), Error> {
        let Exchange { request, response } = exchange;
        let any = request > 0 || response > 0;
        match ending {
            "unread" => {
                ask(&mut stream, request, response, done)?;
                until(|| Ok(sys::unread(&stream)? == u64::from(response)))?;
                done.received += u64::from(response);
            }
            "server" => {
                ask(&mut stream, request, response | CLOSE, done)?;
                take(&mut stream, response, done)?;
                // The server's end of it is read before this one closes.
                if stream.read(&mut [0])? != 0 {
                    return Err(Error::other("more than was asked for"));
                }
            }
            _ if any => {
                ask(&mut stream, request, response, done)?;
                take(&mut stream, response, done)?;
            }
            _ => {}
        }
        match ending {
            "keep" => self.kept.push(stream),
            "reset" => sys::linger_zero(&stream)?,
            "close" | "unread" | "server" => {}
            _ => return Err(Error::other("which end?")),
        }
        Ok(())
    }

    pub(crate) fn sweep(&mut self, first: SocketAddr, n: u64) -> Result<Value, String> {
        let mut done = Done::default();
        for port in (first.port()..).take(n as usize) {
            let address = SocketAddr::new(first.ip(), port);
            let socket = sys::socket(&address, true).map_err(text)?;
            match sys::connect(&socket, &address) {
                Ok(()) => done.connected += 1,
                Err(error) => *done.errors.entry(name(&error)).or_default() += 1,
            }
        }
        Ok(done.json())
    }

    pub(crate) fn exchange(&mut self, exchange: Exchange, times: u64) -> Result<Value, String> {
        let mut done = Done::default();
        for stream in &mut self.kept {
            for _ in 0..times {
                ask(stream, exchange.request, exchange.response, &mut done).map_err(text)?;
                take(stream, exchange.response, &mut done).map_err(text)?;
            }
        }
        Ok(done.json())
    }

    /// Of each that is kept, when all that was sent is acknowledged.
    pub(crate) fn info(&self) -> Result<Value, String> {
        let mut all = Vec::new();
        for stream in &self.kept {
            until(|| Ok(Info::of(stream).map_err(Error::other)?.unacked() == 0)).map_err(text)?;
            all.push(Info::of(stream)?.json());
        }
        Ok(json!(all))
    }

    /// Sends over those that are kept until nothing more goes and the peer's window is closed.
    pub(crate) fn fill(&mut self) -> Result<Value, String> {
        let mut done = Done::default();
        // To a server it is the begin of a request that never ends.
        let mut some = vec![0; 1 << 16];
        some[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        for stream in &mut self.kept {
            stream.set_nonblocking(true).map_err(text)?;
            until(|| match stream.write(&some) {
                Ok(sent) => {
                    done.sent += sent as u64;
                    Ok(false)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    Ok(Info::of(stream).map_err(Error::other)?.send_window() == 0)
                }
                Err(error) => Err(error),
            })
            .map_err(text)?;
            stream.set_nonblocking(false).map_err(text)?;
        }
        Ok(done.json())
    }

    pub(crate) fn end(&mut self, how: &str) -> Result<Value, String> {
        let ended = self.kept.len() + self.pending.len();
        let mut ended_at = 0;
        for stream in self.kept.drain(..) {
            if how == "reset" {
                sys::linger_zero(&stream).map_err(text)?;
            }
            drop(stream);
            ended_at += sys::now();
        }
        self.pending.clear();
        Ok(json!({ "ended": ended, "ended_at": ended_at }))
    }

    /// Begins to connect, and waits for nothing.
    pub(crate) fn begin(&mut self, address: SocketAddr, n: u64, keep: bool) -> Result<Value, String> {
        let mut begun = 0;
        let mut errors = BTreeMap::<String, u64>::new();
        for _ in 0..n {
            let socket = sys::socket(&address, false).map_err(text)?;
            match sys::connect(&socket, &address) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => begun += 1,
                Err(error) => *errors.entry(name(&error)).or_default() += 1,
                Ok(()) => *errors.entry("established".into()).or_default() += 1,
            }
            if keep {
                self.pending.push(socket);
            }
        }
        Ok(json!({ "begun": begun, "errors": errors }))
    }
}

/// Address of a name.
pub(crate) fn resolve(name: &str) -> Result<Value, String> {
    let addresses = (name, 0).to_socket_addrs().map_err(text)?;
    let first = addresses.map(|address| address.ip()).find(|address| address.is_ipv4());
    Ok(json!({ "address": first.ok_or("no address")? }))
}

fn ask(stream: &mut TcpStream, request: u32, response: u32, done: &mut Done) -> Result<(), Error> {
    let mut bytes = [request.to_ne_bytes(), response.to_ne_bytes()].concat();
    bytes.resize(8 + request as usize, 7);
    stream.write_all(&bytes)?;
    done.sent += bytes.len() as u64;
    Ok(())
}

fn take(stream: &mut TcpStream, response: u32, done: &mut Done) -> Result<(), Error> {
    stream.read_exact(&mut vec![0; response as usize])?;
    done.received += u64::from(response);
    Ok(())
}

fn until(mut ask: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let end = Instant::now() + LONG;
    while !ask()? {
        if Instant::now() > end {
            return Err(ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn text(error: Error) -> String {
    error.to_string()
}

fn name(error: &Error) -> String {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => "ECONNREFUSED".into(),
        Some(libc::ETIMEDOUT) => "ETIMEDOUT".into(),
        Some(libc::EHOSTUNREACH) => "EHOSTUNREACH".into(),
        Some(libc::ENETUNREACH) => "ENETUNREACH".into(),
        Some(libc::ECONNRESET) => "ECONNRESET".into(),
        Some(libc::EINVAL) => "EINVAL".into(),
        _ => error.to_string(),
    }
}
