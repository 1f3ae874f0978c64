//! The accepting end.

use crate::sys;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// In the second number of an exchange's head: the server is to close when it has answered.
pub(crate) const CLOSE: u32 = 1 << 31;

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    /// The times at which `accept` returned, summed.
    accepted_at: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Server {
    counts: Arc<Counts>,
    listeners: Vec<TcpListener>,
    /// The last one of these is not accepted from but when told.
    held: Option<TcpListener>,
}

impl Server {
    pub(crate) fn listen(&mut self, address: SocketAddr, backlog: u64, how: &str) -> Result<Value, String> {
        let listener = listener(address, backlog, how == "shared")?;
        self.start(listener, how == "hold")
    }

    pub(crate) fn many(&mut self, address: SocketAddr, n: u64) -> Result<Value, String> {
        for _ in 0..n {
            self.listeners.push(listener(address, 1, false)?);
        }
        Ok(json!({ "listening": self.listeners.len() }))
    }

    pub(crate) fn daemon(&mut self, address: SocketAddr, backlog: u64) -> Result<Value, String> {
        let listener = listener(address, backlog, false)?;
        sys::leave_to_child().map_err(text)?;
        self.start(listener, false)
    }

    fn start(&mut self, listener: TcpListener, hold: bool) -> Result<Value, String> {
        let port = listener.local_addr().map_err(text)?.port();
        let other = listener.try_clone().map_err(text)?;
        self.listeners.push(listener);
        if hold {
            self.held = Some(other);
        } else {
            let counts = self.counts.clone();
            std::thread::spawn(move || while accept(&other, &counts).is_ok() {});
        }
        Ok(json!({ "port": port, "pid": std::process::id() }))
    }

    pub(crate) fn accept(&mut self, n: u64) -> Result<Value, String> {
        let held = self.held.as_ref().ok_or("nothing is held")?;
        for _ in 0..n {
            accept(held, &self.counts).map_err(text)?;
        }
        Ok(self.numbers())
    }

    pub(crate) fn unlisten(&mut self) -> Value {
        self.held = None;
        for listener in self.listeners.drain(..) {
            sys::shut(&listener);
        }
        self.numbers()
    }

    pub(crate) fn numbers(&self) -> Value {
        let of = |number: &AtomicU64| number.load(SeqCst);
        let counts = &self.counts;
        json!({
            "accepted": of(&counts.accepted),
            "accepted_at": of(&counts.accepted_at),
            "closed": of(&counts.closed),
            "failed": of(&counts.failed),
            "received": of(&counts.received),
            "sent": of(&counts.sent),
        })
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn listener(address: SocketAddr, backlog: u64, shared: bool) -> Result<TcpListener, String> {
    let listener = match shared {
        true => sys::shared(&address),
        false => TcpListener::bind(address),
    };
    let listener = listener.map_err(text)?;
    sys::backlog(&listener, backlog).map_err(text)?;
    Ok(listener)
}

/// Takes one connection and leaves it to a thread.
fn accept(listener: &TcpListener, counts: &Arc<Counts>) -> std::io::Result<()> {
    let (stream, _) = listener.accept()?;
    counts.accepted_at.fetch_add(sys::now(), SeqCst);
    counts.accepted.fetch_add(1, SeqCst);
    let counts = counts.clone();
    std::thread::spawn(move || {
        if serve(stream, &counts).is_err() {
            counts.failed.fetch_add(1, SeqCst);
        }
        counts.closed.fetch_add(1, SeqCst);
    });
    Ok(())
}

/// Answers until the client has closed; then the connection is closed here too.
fn serve(mut stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    let mut room = vec![0; 1 << 16];
    loop {
        let mut head = [0; 8];
        if take(&mut stream, &mut head, 8, counts)? == 0 {
            return Ok(());
        }
        let [request, response] = [0, 4].map(|at| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap()));
        take(&mut stream, &mut room, request as usize, counts)?;
        let mut left = (response & !CLOSE) as usize;
        while left > 0 {
            let length = left.min(room.len());
            let sent = stream.write(&room[..length])?;
            counts.sent.fetch_add(sent as u64, SeqCst);
            left -= sent;
        }
        if response & CLOSE != 0 {
            return Ok(());
        }
    }
}

/// Reads so many bytes; fewer only when the peer has closed.
fn take(stream: &mut TcpStream, room: &mut [u8], bytes: usize, counts: &Counts) -> std::io::Result<usize> {
    let mut taken = 0;
    while taken < bytes {
        let length = (bytes - taken).min(room.len());
        // The head comes in one piece or in several, into its own few bytes.
        let at = if bytes <= room.len() { taken } else { 0 };
        let part = &mut room[at..];
        let length = length.min(part.len());
        let read = stream.read(&mut part[..length])?;
        if read == 0 {
            break;
        }
        counts.received.fetch_add(read as u64, SeqCst);
        taken += read;
    }
    Ok(taken)
}
