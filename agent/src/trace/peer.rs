//! Who an exchange was with, as spans need it.

pub use crate::signal::Endpoints as Peer;

/// Both ends are surely on this host: a Unix socket, loopback, or an address that speaks to itself. (`false`: not known; two
/// containers of one host have different addresses.)
pub fn same_host(peer: &Peer) -> bool {
    match peer {
        Peer::Unix => true,
        Peer::Inet { local, remote } => remote.0.is_loopback() || local.0 == remote.0,
    }
}
