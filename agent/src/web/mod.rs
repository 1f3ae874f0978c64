//! The HTTP server: reads series and health, makes `/metrics`, `/healthz`, `/readyz` and a page at `/`.
//!
//! Everything a client can hold is bounded: connections, heads, the time for a head, the time a peer may leave an answer
//! unread, scrapes at a time. A scrape is encoded on a thread of its own and streamed, so its memory does not grow with the
//! number of series. [`guard`] says who is let in.

pub(crate) mod guard;
mod handler;
mod handshake;
mod listen;
mod page;
mod scrape;
mod selection;
mod stats;
mod timed;

#[cfg(test)]
pub(crate) mod tests;

use crate::collectors::node::runner::Runner;
use crate::config::ConfigError;
use crate::health::Health;
use crate::metric::Source;
use guard::Guard;
use handler::State;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use timed::TimedStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// The largest head of a request, bytes.
const HEAD_LIMIT: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS_LIMIT: usize = 100;
/// How long open answers may go on after shutdown began.
const GRACE: Duration = Duration::from_secs(1);
/// What a connection beyond the limit is told.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 22\r\nConnection: close\r\n\r\nToo many connections.\n";

/// Settings of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebConfig {
    /// `--web.listen-address`, one or more: `127.0.0.1:9100`, `[::1]:9100`, `localhost:9100`, or `:9100` for all addresses.
    pub listen: Vec<String>,
    /// `--web.systemd-socket`: the sockets that systemd passed instead of those addresses.
    pub systemd_socket: bool,
    /// `--web.config.file`: TLS, passwords and what else [`guard`] keeps.
    pub config_file: Option<PathBuf>,
    /// `--web.disable-exporter-metrics` takes this away: what the server tells of itself.
    pub own_metrics: bool,
    /// `--web.telemetry-path`.
    pub telemetry_path: String,
    /// `--web.max-requests`: scrapes at a time; 0 means no limit.
    pub max_requests: usize,
    /// Connections at a time, over all addresses.
    pub max_connections: usize,
    /// Time for the head of a request, which is also how long a connection may be idle.
    pub header_timeout: Duration,
    /// How long a peer may take nothing of an answer.
    pub write_timeout: Duration,
}

impl Default for WebConfig {
    fn default() -> WebConfig {
        WebConfig {
            listen: vec!["127.0.0.1:9100".to_owned()],
            systemd_socket: false,
            config_file: None,
            own_metrics: true,
            telemetry_path: "/metrics".to_owned(),
            max_requests: 40,
            max_connections: 256,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Another program has the address.
    #[error("{address} is in use by another program: stop it, or choose another address with --web.listen-address")]
    InUse {
        /// As it was given.
        address: String,
    },
    /// Not an address.
    #[error("--web.listen-address={address} is no address of the form HOST:PORT: {source}")]
    Address {
        /// As it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Refused otherwise.
    #[error("cannot listen on {address} (--web.listen-address): {source}")]
    Bind {
        /// As it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No address was given.
    #[error("no address to listen on: give one with --web.listen-address")]
    NoAddress,
    /// The telemetry path is no path.
    #[error("--web.telemetry-path={path} must start with /")]
    Path {
        /// As it was given.
        path: String,
    },
    /// The web configuration file has mistakes.
    #[error("the web configuration is not valid\n{0}")]
    File(ConfigError),
    /// No socket came from systemd.
    #[error(
        "systemd passed no socket (LISTEN_FDS, LISTEN_PID), as --web.systemd-socket expects: start the agent by a .socket \
         unit, or leave the flag out"
    )]
    NonePassed,
    /// A socket from systemd is of another kind.
    #[error("a socket that systemd passed is none for TCP connections (ListenStream=PORT or ADDRESS:PORT): {0}")]
    Passed(#[source] io::Error),
    /// The runtime does not take a listener.
    #[error("cannot serve: {0}")]
    Serve(#[source] io::Error),
}

/// A server that has its addresses and does not answer yet.
pub struct Web {
    listeners: Vec<TcpListener>,
    config: WebConfig,
    state: Arc<State>,
}

/// Where series come from.
#[derive(Default)]
pub struct Sources {
    /// Those that a scrape tells, whatever it asks for.
    pub always: Vec<Arc<dyn Source>>,
    /// Those that a scrape tells unless it asks for single collectors.
    pub all: Vec<Arc<dyn Source>>,
    /// Those that a scrape may ask for one by one.
    pub collectors: Arc<Runner>,
}

impl From<Vec<Arc<dyn Source>>> for Sources {
    fn from(all: Vec<Arc<dyn Source>>) -> Sources {
        Sources {
            all,
            ..Sources::default()
        }
    }
}

impl Web {
    /// Takes the addresses. `sources` are asked in this order at every scrape.
    ///
    /// # Errors
    /// See [`WebError`].
    pub fn bind(config: WebConfig, sources: impl Into<Sources>, health: Arc<Health>) -> Result<Web, WebError> {
        if !config.telemetry_path.starts_with('/') {
            return Err(WebError::Path {
                path: config.telemetry_path,
            });
        }
        let guard = Guard::new(config.config_file.as_deref());
        let guard = guard.map_err(|problems| WebError::File(ConfigError(problems)))?;
        let listeners: Vec<TcpListener> = match config.systemd_socket {
            true => listen::passed()?,
            false => {
                let addresses = config.listen.iter();
                addresses
                    .map(|address| listen::listen(address))
                    .collect::<Result<_, _>>()?
            }
        };
        if listeners.is_empty() {
            return Err(WebError::NoAddress);
        }
        Ok(Web {
            listeners,
            state: Arc::new(State::new(&config, sources.into(), guard, health)),
            config,
        })
    }

    /// The addresses it listens on, with the ports that the kernel chose for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Answers until `shutdown` is ready, then closes; answers under way have a second to end. Runs on any tokio runtime.
    ///
    /// # Errors
    /// [`WebError::Serve`] when the runtime cannot take the listeners.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), WebError> {
        let (stop, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(self.config.max_connections));
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(WebError::Serve)?;
            let (config, state) = (self.config.clone(), self.state.clone());
            accepting.spawn(accept(listener, config, state, permits.clone(), stopped.clone()));
        }
        shutdown.await;
        let _ = stop.send(true);
        while accepting.join_next().await.is_some() {}
        Ok(())
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    config: WebConfig,
    state: Arc<State>,
    permits: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: wait for some to be closed.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            state.stats.connections_refused.fetch_add(1, Ordering::Relaxed);
            // What is no handshake would only confuse who expects one.
            if state.guard.policy().tls.is_none() {
                refuse(stream);
            }
            continue;
        };
        let (state, mut stopped) = (state.clone(), stopped.clone());
        let stream = TimedStream::new(stream, config.write_timeout);
        let header_timeout = config.header_timeout;
        connections.spawn(async move {
            state.stats.connections.fetch_add(1, Ordering::Relaxed);
            match state.guard.policy().tls.clone() {
                None => connection(stream, header_timeout, &state, stopped).await,
                Some(config) => {
                    let made = tokio::select! {
                        made = handshake::handshake(config, stream, header_timeout) => Some(made),
                        _ = stopped.changed() => None,
                    };
                    match made {
                        Some(Ok(stream)) => connection(stream, header_timeout, &state, stopped).await,
                        Some(Err(error)) => {
                            state.stats.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                            tracing::debug!("a handshake failed: {error}");
                        }
                        None => {}
                    }
                }
            }
            state.stats.connections.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, ended).await;
}

/// Says why, as far as that is possible without waiting, and closes.
fn refuse(stream: tokio::net::TcpStream) {
    // tokio's own `try_write` knows nothing yet of a stream this young.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(TOO_MANY_CONNECTIONS);
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    header_timeout: Duration,
    state: &Arc<State>,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let state = state.clone();
        async move { Ok::<_, std::convert::Infallible>(state.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(HEADERS_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        // Peers that hang up, are too slow or speak no HTTP: their business.
        tracing::debug!("connection to the web server ended: {error}");
    }
}
