//! Where a bus is.

use super::left;
use crate::host::Host;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the bus of a system is.
const SYSTEM_BUS: &str = "run/dbus/system_bus_socket";
/// The environment variable that says it.
const SYSTEM_BUS_ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Address {
    /// A file.
    Path(PathBuf),
    /// A name without a file.
    Abstract(Vec<u8>),
}

impl Address {
    /// The bus of the system: that of the host, that which the environment names, that of the agent's own root.
    pub(in super::super) fn system(host: &Host) -> Vec<Address> {
        let of_host = host.root.join(SYSTEM_BUS);
        let own = Path::new("/").join(SYSTEM_BUS);
        let mut all = Vec::new();
        if of_host != own && of_host.exists() {
            all.push(Address::Path(of_host));
        }
        match std::env::var(SYSTEM_BUS_ADDRESS) {
            Ok(text) => all.extend(Address::parse(&text)),
            Err(_) => all.push(Address::Path(own)),
        }
        all
    }

    /// Connects to it.
    ///
    /// # Errors
    /// It cannot be had, or not in time.
    pub(in super::super) fn connect(&self, until: Instant) -> io::Result<UnixStream> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A socket with a full queue lets one wait for as long as it may send.
        set_socket_timeout(&socket, Timeout::Send, Some(left(until)?))?;
        match self {
            Address::Path(path) => rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_path())?)?,
            Address::Abstract(name) => rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name)?)?,
        }
        Ok(UnixStream::from(socket))
    }

    /// The sockets in a list as the environment has them (`unix:path=/run/bus;unix:abstract=bus`).
    pub(super) fn parse(text: &str) -> Vec<Address> {
        let unix = text
            .split(';')
            .filter_map(|address| address.trim().strip_prefix("unix:"));
        let pairs = unix
            .flat_map(|address| address.split(','))
            .filter_map(|pair| pair.split_once('='));
        let addresses = pairs.filter_map(|(key, value)| {
            let value: Vec<u8> = percent_encoding::percent_decode_str(value).collect();
            match key {
                "path" => Some(Address::Path(String::from_utf8(value).ok()?.into())),
                "abstract" => Some(Address::Abstract(value)),
                _ => None,
            }
        });
        addresses.collect()
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Path(path) => path.display().fmt(f),
            Address::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}
