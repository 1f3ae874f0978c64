//! Sockets to serve on: those of addresses, or those that systemd passes.

use super::WebError;
use listenfd::ListenFd;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};

/// A socket for an address.
pub(super) fn listen(address: &str) -> Result<TcpListener, WebError> {
    let named = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => WebError::InUse {
            address: address.to_owned(),
        },
        _ => WebError::Bind {
            address: address.to_owned(),
            source,
        },
    };
    // `:9100` is Go's way to say all addresses; where there is no IPv6, only those of IPv4.
    let candidates = match address.strip_prefix(':') {
        Some(port) => vec![format!("[::]:{port}"), format!("0.0.0.0:{port}")],
        None => vec![address.to_owned()],
    };
    let mut resolved = Vec::new();
    for candidate in &candidates {
        let found = candidate.to_socket_addrs().map_err(|source| WebError::Address {
            address: address.to_owned(),
            source,
        })?;
        resolved.extend(found);
    }
    let mut failure = None;
    for socket in resolved {
        match TcpListener::bind(socket) {
            Ok(listener) => {
                listener.set_nonblocking(true).map_err(named)?;
                return Ok(listener);
            }
            // Taken on one of the addresses is taken: the next would be another address than people expect.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(named(error)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(named(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
}

/// The sockets that systemd passed to this process (sd_listen_fds(3)). They can be taken once.
pub(super) fn passed() -> Result<Vec<TcpListener>, WebError> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let taken = passed.take_tcp_listener(index).and_then(|listener| {
            let listener = listener.ok_or(io::ErrorKind::NotFound)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        listeners.push(taken.map_err(WebError::Passed)?);
    }
    match listeners.is_empty() {
        true => Err(WebError::NonePassed),
        false => Ok(listeners),
    }
}
