//! A small HTTP/1.x client with exact control of what goes over the wire, and the reader of messages that it shares with
//! the servers of the tests.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Nothing waits longer for a peer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Target> {
        Ok(match text.strip_prefix("unix:") {
            Some(path) => Target::Unix(path.into()),
            None => Target::Tcp(text.parse()?),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(addr) => write!(f, "{addr}"),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A stream socket of either family.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

impl Stream {
    /// Connects.
    pub fn connect(target: &Target) -> Result<Stream> {
        let stream = match target {
            Target::Tcp(addr) => {
                let stream = TcpStream::connect(addr).with_context(|| format!("connect to {addr}"))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Tcp(stream)
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).with_context(|| format!("connect to {}", path.display()))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
        };
        Ok(stream)
    }
    /// `shutdown(2)`.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how)?,
            Stream::Unix(stream) => stream.shutdown(how)?,
        }
        Ok(())
    }
    /// Closes with a reset instead of an orderly end (`SO_LINGER` 0).
    pub fn reset(self) -> Result<()> {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the descriptor is open, and the option value is a live struct of the length given.
        let result = unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            )
        };
        if result != 0 {
            bail!("SO_LINGER: {}", std::io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Head of a message, request or response.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// First line.
    pub line: String,
    /// Fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Bytes of the head, the empty line included.
    pub bytes: usize,
}

impl Head {
    /// Reads a head from the start of the bytes, when it is whole.
    pub fn parse(bytes: &[u8]) -> Option<Head> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&bytes[..end - 4]);
        let mut lines = text.split("\r\n");
        let line = lines.next()?.to_string();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_string()))
            .collect();
        Some(Head {
            line,
            fields,
            bytes: end,
        })
    }
    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// A word of the first line.
    pub fn word(&self, n: usize) -> &str {
        self.line.split(' ').nth(n).unwrap_or("")
    }
    /// `Content-Length`.
    pub fn content_length(&self) -> Option<usize> {
        self.field("content-length")?.parse().ok()
    }
    /// Whether the body is chunked.
    pub fn chunked(&self) -> bool {
        self.field("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status of the final response.
    pub status: u16,
    /// Statuses of interim responses before it.
    pub interim: Vec<u16>,
    /// Final head.
    pub head: Head,
    /// Body without framing.
    pub body: Vec<u8>,
    /// When its first byte was read.
    pub first_byte: Instant,
    /// When its last byte was read.
    pub last_byte: Instant,
}

impl Response {
    /// Whether the server closes the connection after this answer.
    pub fn closes(&self) -> bool {
        let field = self.head.field("connection").unwrap_or("");
        field.eq_ignore_ascii_case("close")
            || (self.head.line.starts_with("HTTP/1.0") && !field.eq_ignore_ascii_case("keep-alive"))
    }
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to a server, with what was read ahead.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: Stream,
    ahead: Vec<u8>,
    scratch: Vec<u8>,
    read_at: Instant,
    head_at: Instant,
}

impl Connection {
    /// Connects.
    pub fn open(target: &Target) -> Result<Connection> {
        Ok(Connection::of(Stream::connect(target)?))
    }

    /// Wraps a connected or accepted socket.
    pub fn of(stream: Stream) -> Connection {
        let now = Instant::now();
        Connection {
            stream,
            ahead: Vec::new(),
            scratch: vec![0; 16_384],
            read_at: now,
            head_at: now,
        }
    }

    /// When the first byte of the last head was read.
    pub fn head_started(&self) -> Instant {
        self.head_at
    }

    /// Bytes that were read ahead and not yet used.
    pub fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// Sends bytes in one call (more when the socket buffer is full).
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends bytes in pieces, one call each.
    pub fn send_pieces(&mut self, bytes: &[u8], piece: usize) -> Result<()> {
        for piece in bytes.chunks(piece.max(1)) {
            self.stream.write_all(piece)?;
        }
        Ok(())
    }

    /// Sends a request with `Content-Length` when there is a body, and reads the answer.
    pub fn exchange(&mut self, method: &str, target: &str, body: &[u8]) -> Result<Response> {
        self.send(&request(method, target, &[], body))?;
        self.response(method)
    }

    /// Reads one response to a request of this method, interim ones before it included.
    pub fn response(&mut self, method: &str) -> Result<Response> {
        let mut interim = Vec::new();
        let mut first_byte = None;
        let head = loop {
            let head = self.head()?;
            first_byte.get_or_insert(self.read_at);
            let status: u16 = head
                .word(1)
                .parse()
                .with_context(|| format!("status of {:?}", head.line))?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            break head;
        };
        let status: u16 = head.word(1).parse()?;
        let bodyless = method == "HEAD"
            || matches!(status, 101 | 204 | 304)
            || (method == "CONNECT" && (200..300).contains(&status));
        let body = if bodyless {
            Vec::new()
        } else if head.chunked() {
            self.chunked()?
        } else if let Some(length) = head.content_length() {
            self.exactly(length)?
        } else {
            self.to_end()?
        };
        Ok(Response {
            status,
            interim,
            head,
            body,
            first_byte: first_byte.unwrap_or(self.read_at),
            last_byte: self.read_at,
        })
    }

    /// Reads a head.
    pub fn head(&mut self) -> Result<Head> {
        if self.ahead.is_empty() && self.more()? == 0 {
            bail!("end of stream before a head");
        }
        self.head_at = self.read_at;
        loop {
            if let Some(head) = Head::parse(&self.ahead) {
                self.ahead.drain(..head.bytes);
                return Ok(head);
            }
            if self.more()? == 0 {
                bail!("end of stream after {} bytes of a head", self.ahead.len());
            }
        }
    }

    /// Reads so many bytes.
    pub fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.ahead.len() < length {
            let missing = length - self.ahead.len();
            if self.more()? == 0 {
                bail!("end of stream, {missing} bytes are missing");
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// Reads a chunked body.
    pub fn chunked(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)
                .with_context(|| format!("chunk size {line:?}"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.exactly(2)?;
        }
    }

    /// Reads until the peer ends the stream.
    pub fn to_end(&mut self) -> Result<Vec<u8>> {
        while self.more()? > 0 {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Reads whatever comes next; nothing at the end of the stream.
    pub fn some(&mut self) -> Result<Vec<u8>> {
        if self.ahead.is_empty() {
            self.more()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.drain(..end + 2);
                return Ok(line);
            }
            if self.more()? == 0 {
                bail!("end of stream within a line");
            }
        }
    }

    fn more(&mut self) -> Result<usize> {
        // A time limit of the socket makes a call that a signal interrupts fail instead of start again (signal(7)).
        let result = loop {
            match self.stream.read(&mut self.scratch) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => break result,
            }
        };
        self.read_at = Instant::now();
        let got = result?;
        self.ahead.extend_from_slice(&self.scratch[..got]);
        Ok(got)
    }
}

/// Bytes of a request; `Content-Length` is set when there is a body or the method is one that has one.
pub fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: test.local\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One `GET` over a connection of its own.
pub fn get(target: &Target, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
    let mut connection = Connection::open(target)?;
    let mut all = vec![("Connection", "close")];
    all.extend_from_slice(fields);
    connection.send(&request("GET", path, &all, b""))?;
    connection.response("GET")
}
