//! One question by HTTP to a service of this host, which is waited for no longer than it may.

use crate::collectors::node::dbus::{Address, left};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of an answer at most.
const MOST: usize = 4 << 20;

/// Where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Host with port, path, what comes before the `@`.
    Tcp(String, String, Option<String>),
    /// A socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(host, path, _) => write!(f, "http://{host}{path}"),
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A connection of either sort.
trait Wire: Read + Write {
    fn limit(&self, left: Duration) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

impl Wire for UnixStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

impl Endpoint {
    /// By its URL.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the URL.
    pub(super) fn parse(url: &str) -> Result<Endpoint, String> {
        if let Some(path) = url.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Endpoint::Unix(path.into())),
                false => Err("has no path from the root".to_owned()),
            };
        }
        let rest = url
            .strip_prefix("http://")
            .ok_or("begins with neither http:// nor unix://")?;
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (user, host) = match host.rsplit_once('@') {
            Some((user, host)) => (
                Some(
                    percent_encoding::percent_decode_str(user)
                        .decode_utf8_lossy()
                        .into_owned(),
                ),
                host,
            ),
            None => (None, host),
        };
        let is_line = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !is_line(host) || !is_line(path) {
            return Err("names no host".to_owned());
        }
        let port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if port { host.to_owned() } else { format!("{host}:80") };
        Ok(Endpoint::Tcp(host, path.to_owned(), user))
    }

    /// The body of the answer to a text that is posted.
    ///
    /// # Errors
    /// There is none, none in time, or one with another status than 200.
    pub(super) fn ask(&self, text: &str, until: Instant) -> Result<String, String> {
        let bytes = self.exchange(text, until).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
            _ => error.to_string(),
        })?;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(&bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Err("its answer ends too early".to_owned()),
            Err(error) => return Err(format!("its answer is no HTTP: {error}")),
        };
        match head.code {
            Some(200) => {}
            code => {
                return Err(format!(
                    "it answers with {} {}",
                    code.unwrap_or_default(),
                    head.reason.unwrap_or_default()
                ));
            }
        }
        let body = bytes.get(length..).unwrap_or_default();
        Ok(String::from_utf8_lossy(body).into_owned())
    }

    fn exchange(&self, text: &str, until: Instant) -> io::Result<Vec<u8>> {
        let mut wire = self.connect(until)?;
        let (host, path, user) = match self {
            Endpoint::Tcp(host, path, user) => (host.as_str(), path.as_str(), user.as_deref()),
            Endpoint::Unix(_) => ("localhost", "/RPC2", None),
        };
        // HTTP/1.0: the answer comes in one piece and ends with the connection.
        let user = user.map(|user| format!("Authorization: Basic {}\r\n", base64(user.as_bytes())));
        let head = format!(
            "POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n{}\r\n",
            text.len(),
            user.unwrap_or_default()
        );
        wire.limit(left(until)?)?;
        wire.write_all(head.as_bytes())?;
        wire.write_all(text.as_bytes())?;
        let mut bytes = Vec::new();
        let mut room = [0; 4096];
        loop {
            wire.limit(left(until)?)?;
            match wire.read(&mut room) {
                Ok(0) => return Ok(bytes),
                Ok(n) if bytes.len() + n > MOST => return Err(io::ErrorKind::FileTooLarge.into()),
                Ok(n) => bytes.extend_from_slice(room.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn connect(&self, until: Instant) -> io::Result<Box<dyn Wire>> {
        let host = match self {
            Endpoint::Unix(path) => return Ok(Box::new(Address::Path(path.clone()).connect(until)?)),
            Endpoint::Tcp(host, ..) => host,
        };
        let mut last = io::ErrorKind::NotFound.into();
        for address in host.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// As RFC 4648 has it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0u32, |number, at| {
            number << 8 | u32::from(three.get(at).copied().unwrap_or_default())
        });
        for at in 0..4 {
            let digit = DIGITS
                .get((number >> (18 - 6 * at) & 63) as usize)
                .copied()
                .unwrap_or(b'=');
            text.push(if at > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let tcp = |host: &str, path: &str, user: Option<&str>| {
            Ok(Endpoint::Tcp(host.to_owned(), path.to_owned(), user.map(str::to_owned)))
        };
        assert_eq!(
            Endpoint::parse("http://localhost:9001/RPC2"),
            tcp("localhost:9001", "/RPC2", None)
        );
        assert_eq!(Endpoint::parse("http://[::1]"), tcp("[::1]:80", "/", None));
        assert_eq!(Endpoint::parse("http://a:b%40c@h/x"), tcp("h:80", "/x", Some("a:b@c")));
        assert_eq!(
            Endpoint::parse("unix:///run/s.sock"),
            Ok(Endpoint::Unix("/run/s.sock".into()))
        );
        for (url, what) in [
            ("https://h/", "begins with neither http:// nor unix://"),
            ("unix://s.sock", "has no path from the root"),
            ("http:///RPC2", "names no host"),
            ("http://h/a b", "names no host"),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap_err(), what, "{url}");
        }
        let hidden = Endpoint::parse("http://user:secret@h:1/x").unwrap().to_string();
        assert_eq!(hidden, "http://h:1/x");
    }

    #[test]
    fn base64_of_all_lengths() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
