//! Questions to services of D-Bus: the system's bus, or a socket of one service alone (the specification at
//! dbus.freedesktop.org). `zbus` knows the wire format; this has a socket and waits no longer than it is told, without a thread
//! or a runtime.

mod address;
mod wire;

pub(super) use address::Address;

use super::CollectError;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use wire::{Answer, Refusal};
use zbus::Variant;

/// What a collector may wait in all: less than a scrape waits for it.
pub(super) const PATIENCE: Duration = Duration::from_millis(800);
/// Bytes of a message at most.
const MOST: usize = 16 << 20;
/// Questions under way: a bus allows 128.
const UNDER_WAY: usize = 64;
/// Who is asked, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a> {
    /// Name of the service.
    pub(super) service: &'a str,
    /// Path of the object.
    pub(super) path: &'a str,
}

/// The value of a property, as far as collectors know such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Text(String),
    Number(u64),
    Switch(bool),
}

impl Property {
    fn of(value: Variant<'_>) -> Option<Property> {
        Some(match value {
            Variant::Str(text) => Property::Text(text.as_str().to_owned()),
            Variant::U16(number) => Property::Number(number.into()),
            Variant::U32(number) => Property::Number(number.into()),
            Variant::U64(number) => Property::Number(number),
            Variant::Bool(on) => Property::Switch(on),
            _ => return None,
        })
    }

    /// Its text, when it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Property::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its number, when it is one.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Property::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: BufReader<UnixStream>,
    address: Address,
    until: Instant,
    serial: u32,
}

impl Bus {
    /// Connects to the first that can be had.
    ///
    /// # Errors
    /// None can: of those that are there, why the last cannot.
    pub(super) fn connect(addresses: &[Address], until: Instant) -> Result<Bus, CollectError> {
        let mut last = None;
        for address in addresses {
            match Bus::open(address, until) {
                Ok(bus) => return Ok(bus),
                Err(error) => {
                    let gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
                    let what = format!("D-Bus at {address}: {}", plain(&error));
                    match last {
                        Some((false, _)) if gone => {}
                        _ => last = Some((gone, what)),
                    }
                }
            }
        }
        Err(match last {
            Some((false, what)) => CollectError::Other(what),
            Some((true, what)) => CollectError::NoData(what),
            None => CollectError::NoData("no D-Bus has a known address".to_owned()),
        })
    }

    /// Says its name to a bus: one of a service alone has none to be told.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) fn hello(&mut self) -> Result<(), CollectError> {
        let bus = Object {
            service: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
        };
        self.call(bus, "org.freedesktop.DBus", "Hello")?
            .read::<String>()
            .map(drop)
    }

    fn open(address: &Address, until: Instant) -> io::Result<Bus> {
        let mut bus = Bus {
            stream: BufReader::new(address.connect(until)?),
            address: address.clone(),
            until,
            serial: 0,
        };
        bus.prove()?;
        Ok(bus)
    }

    /// Says who the agent is, which the other side sees by the socket.
    fn prove(&mut self) -> io::Result<()> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let digits: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.send(format!("\0AUTH EXTERNAL {digits}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > 512 {
                return Err(io::Error::other("it answers with something else than a line"));
            }
            let mut byte = [0];
            self.receive(&mut byte)?;
            line.extend_from_slice(&byte);
        }
        if !line.starts_with(b"OK ") && line != b"OK\r\n" {
            let line = String::from_utf8_lossy(&line);
            return Err(io::Error::other(format!(
                "it does not let us in: {:?}",
                line.trim_end()
            )));
        }
        self.send(b"BEGIN\r\n")
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// It is an error, or none comes in time.
    pub(super) fn call(&mut self, of: Object<'_>, interface: &str, member: &str) -> Result<Answer, CollectError> {
        self.serial += 1;
        let mut bytes = Vec::new();
        let sent = wire::put(of, interface, member, None, self.serial, &mut bytes).and_then(|()| self.send(&bytes));
        sent.map_err(|error| self.failed(&error))?;
        loop {
            let answer = self.answer().map_err(|error| self.failed(&error))?;
            if answer.to == self.serial {
                return match &answer.error {
                    Some(error) => Err(refused(member, error)),
                    None => Ok(answer),
                };
            }
        }
    }

    /// Values of properties, in the order of the questions: their object, interface and name. One that cannot be had, or is of a
    /// type that is not known here, is `None`.
    ///
    /// # Errors
    /// The connection fails, or answers do not come in time. Those that came are told then too.
    pub(super) fn properties(
        &mut self,
        wanted: &[(Object<'_>, &str, &str)],
        values: &mut Vec<Option<Property>>,
    ) -> Result<(), CollectError> {
        values.clear();
        values.resize(wanted.len(), None);
        self.fill(wanted, values).map_err(|error| self.failed(&error))
    }

    /// Many are asked before the first answer is read: an answer takes the time of a question and its way, not of all of them.
    fn fill(&mut self, wanted: &[(Object<'_>, &str, &str)], values: &mut [Option<Property>]) -> io::Result<()> {
        for (wanted, values) in wanted.chunks(UNDER_WAY).zip(values.chunks_mut(UNDER_WAY)) {
            let first = self.serial + 1;
            let mut bytes = Vec::new();
            for (of, interface, name) in wanted {
                let body = Some((*interface, *name));
                self.serial += 1;
                wire::put(
                    *of,
                    "org.freedesktop.DBus.Properties",
                    "Get",
                    body,
                    self.serial,
                    &mut bytes,
                )?;
            }
            self.send(&bytes)?;
            let mut missing = wanted.len();
            while missing > 0 {
                let answer = self.answer()?;
                let Some(value) = values.get_mut(answer.to.wrapping_sub(first) as usize) else {
                    continue;
                };
                missing -= 1;
                if answer.error.is_none() {
                    *value = answer.variant();
                }
            }
        }
        Ok(())
    }

    /// The next answer or error. Signals and calls of others are passed over.
    fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let mut first = [0; 16];
            self.receive(&mut first)?;
            let (more, content) = wire::lengths(first)?;
            let mut head = first.to_vec();
            head.resize(first.len() + more, 0);
            self.receive(head.get_mut(first.len()..).unwrap_or_default())?;
            let mut body = vec![0; content];
            self.receive(&mut body)?;
            if let Some(answer) = Answer::parse(head, body)? {
                return Ok(answer);
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let stream = self.stream.get_mut();
            stream.set_write_timeout(Some(left(self.until)?))?;
            match stream.write(bytes) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills the room. Each part of it has what is left of the time, so that one who sends byte by byte wins nothing.
    fn receive(&mut self, mut room: &mut [u8]) -> io::Result<()> {
        while !room.is_empty() {
            if self.stream.buffer().is_empty() {
                self.stream.get_ref().set_read_timeout(Some(left(self.until)?))?;
            }
            match self.stream.read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => room = room.get_mut(got..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> CollectError {
        CollectError::Other(format!("D-Bus at {}: {}", self.address, plain(error)))
    }
}

/// A service that is not there, or does not run, has nothing to tell.
fn refused(member: &str, error: &Refusal) -> CollectError {
    let what = format!("{member}: {} ({})", error.what, error.name);
    match error.name.as_str() {
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => {
            CollectError::NoData(what)
        }
        _ => CollectError::Other(what),
    }
}

/// What is left of the time.
pub(super) fn left(until: Instant) -> io::Result<Duration> {
    let left = until.checked_duration_since(Instant::now());
    left.filter(|left| !left.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// A time that ran out, in the words of whoever waited.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it hung up".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
pub(super) mod mock;
#[cfg(test)]
mod tests;
