//! The begin of a connection with TLS.

use super::timed::TimedStream;
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first byte of a record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// What somebody is told who does not begin one.
const PLAIN: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
    This is a server for HTTPS: use https:// in the address.\n";

/// Makes a handshake, for so long at most.
pub(super) async fn handshake(
    config: Arc<ServerConfig>,
    mut stream: TimedStream,
    limit: Duration,
) -> io::Result<TlsStream<TimedStream>> {
    let made = async {
        if stream.first_byte().await? != Some(HANDSHAKE) {
            // What is left unread would have the kernel take the answer back.
            let _ = stream.read(&mut [0; 4096]).await?;
            stream.write_all(PLAIN).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no TLS was spoken"));
        }
        TlsAcceptor::from(config).accept(stream).await
    };
    tokio::time::timeout(limit, made).await?
}
