//! Clients of HTTP, shared by the exporters that go the same way. A connection is kept as long as it serves: not when the name of
//! the receiver has come to mean other addresses, and not when an answer was waited for in vain.

use super::{OtlpProtocol, OtlpTls};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Identity, Url};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often it is asked whether a name still means the address that is connected to.
const FOLLOW_EVERY: Duration = Duration::from_secs(60);
/// How long the answer is waited for, before a batch is sent.
const FOLLOW_LIMIT: Duration = Duration::from_secs(2);

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an HTTP client for {target}: {source}")]
pub struct OtlpSetupError {
    pub(super) target: String,
    pub(super) source: reqwest::Error,
}

/// HTTP clients of all exporters: those that go the same way share one, with its connections.
#[derive(Debug, Default)]
pub struct OtlpClients {
    known: Vec<Arc<Link>>,
    means: Means,
}

/// How names are looked up, and through whom connections go: the host's resolver, and the proxies of the environment. Tests have
/// others.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) lookup: Lookup,
    pub(super) follow_every: Duration,
    pub(super) proxy: Option<Url>,
}

impl Default for Means {
    fn default() -> Means {
        Means {
            lookup: Lookup::system(),
            follow_every: FOLLOW_EVERY,
            proxy: None,
        }
    }
}

/// What an endpoint asks of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    /// Without TLS.
    plain: bool,
    /// On this host.
    near: bool,
    /// HTTP/2 alone, as gRPC has it; else HTTP/1.1 alone.
    http2: bool,
    /// The receiver's name: a client has one name to follow.
    host: String,
    tls: OtlpTls,
}

impl OtlpClients {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    #[cfg(test)]
    pub(super) fn with(means: Means) -> OtlpClients {
        OtlpClients {
            known: Vec::new(),
            means,
        }
    }

    pub(super) fn of(
        &mut self,
        endpoint: &Url,
        protocol: OtlpProtocol,
        tls: &OtlpTls,
    ) -> Result<Arc<Link>, reqwest::Error> {
        let plain = endpoint.scheme() == "http";
        let way = Way {
            plain,
            near: is_loopback(endpoint),
            http2: protocol == OtlpProtocol::Grpc,
            host: endpoint.host_str().unwrap_or_default().to_owned(),
            tls: if plain { OtlpTls::default() } else { tls.clone() },
        };
        if let Some(link) = self.known.iter().find(|link| link.way == way) {
            return Ok(link.clone());
        }
        let link = Arc::new(Link::new(way, self.means.clone())?);
        self.known.push(link.clone());
        Ok(link)
    }
}

/// A client, which is made anew where its connections are of no more use.
pub(super) struct Link {
    way: Way,
    means: Means,
    names: Arc<Names>,
    state: Mutex<State>,
}

struct State {
    client: Client,
    /// The address that answered last.
    peer: Option<IpAddr>,
    /// When names were looked at last.
    followed: Instant,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("way", &self.way).finish_non_exhaustive()
    }
}

impl Link {
    fn new(way: Way, means: Means) -> Result<Link, reqwest::Error> {
        let names = Arc::new(Names {
            lookup: means.lookup.clone(),
            last: Mutex::default(),
        });
        let client = make(&way, &means, names.clone())?;
        let state = State {
            client,
            peer: None,
            followed: Instant::now(),
        };
        Ok(Link {
            way,
            means,
            names,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The client to send with. Now and then the name that was connected to is looked up first: when it means other addresses, the
    /// connections are left.
    pub(super) async fn client(&self) -> Client {
        if let Some(peer) = self.due()
            && let Some(name) = self.names.last()
        {
            let found = timeout(FOLLOW_LIMIT, self.means.lookup.ask(name)).await;
            // What cannot be looked up has not moved.
            if let Ok(Ok(addresses)) = found
                && !addresses.is_empty()
                && !addresses.iter().any(|address| address.ip() == peer)
            {
                self.renew();
            }
        }
        self.state().client.clone()
    }

    /// The address to look after, when it is time to.
    fn due(&self) -> Option<IpAddr> {
        let mut state = self.state();
        let peer = state.peer?;
        if state.followed.elapsed() < self.means.follow_every {
            return None;
        }
        state.followed = Instant::now();
        Some(peer)
    }

    /// An answer came from this address.
    pub(super) fn heard(&self, peer: Option<SocketAddr>) {
        self.state().peer = peer.map(|address| address.ip());
    }

    /// The next request goes over a connection of its own.
    pub(super) fn renew(&self) {
        // It was made before from the same: it does not fail now, and if it does the one that is there serves on.
        if let Ok(client) = make(&self.way, &self.means, self.names.clone()) {
            let mut state = self.state();
            state.client = client;
            state.peer = None;
        }
    }
}

fn make(way: &Way, means: &Means, names: Arc<Names>) -> Result<Client, reqwest::Error> {
    // An error says that there is a provider already: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("OTel-OTLP-Exporter-Rust onlooker/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(names);
    builder = if way.http2 {
        builder.http2_prior_knowledge()
    } else {
        builder.http1_only()
    };
    if way.plain {
        // No certificates are read from the disk for a connection that has none.
        builder = builder.tls_certs_only([]);
    } else if let Some(roots) = &way.tls.roots {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(roots.bytes())?);
    }
    if let Some(identity) = &way.tls.identity {
        builder = builder.identity(Identity::from_pem(identity.bytes())?);
    }
    // A proxy speaks HTTP/1 to a client without TLS: gRPC without TLS goes straight.
    if way.near || (way.plain && way.http2) {
        builder = builder.no_proxy();
    } else if let Some(proxy) = &means.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.clone())?);
    }
    builder.build()
}

/// Looks names up, and remembers the last one: that of the receiver, or of the proxy before it.
struct Names {
    lookup: Lookup,
    last: Mutex<Option<String>>,
}

impl Names {
    fn last(&self) -> Option<String> {
        self.last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        *self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(name.clone());
        let answer = self.lookup.ask(name);
        Box::pin(async move {
            let addresses: Addrs = Box::new(answer.await?.into_iter());
            Ok(addresses)
        })
    }
}

type Answer = std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;

/// Asks for the addresses of a name; their ports are of no account.
#[derive(Clone)]
pub(super) struct Lookup(Arc<dyn Fn(String) -> Answer + Send + Sync>);

impl Lookup {
    pub(super) fn new(ask: impl Fn(String) -> Answer + Send + Sync + 'static) -> Lookup {
        Lookup(Arc::new(ask))
    }

    fn system() -> Lookup {
        Lookup::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
    }

    fn ask(&self, name: String) -> Answer {
        (self.0)(name)
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback() {
        let check = |url: &str, expect: bool| assert_eq!(is_loopback(&Url::parse(url).unwrap()), expect, "{url}");
        check("http://localhost:4318/", true);
        check("http://127.3.2.1/", true);
        check("http://[::1]:4318/", true);
        check("http://10.0.0.1/", false);
        check("http://localhost.example/", false);
    }
}
