//! Where the API is and who asks: from options, and from what Kubernetes gives to every pod
//! (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).

use reqwest::Url;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folder of the service account's files in a pod.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Bytes of a token at most.
const TOKEN_MAX: u64 = 64 << 10;
/// Bytes of the authority's certificates at most.
const CA_MAX: u64 = 1 << 20;

/// Whether the API is asked, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// In a pod that has a token: at the address that Kubernetes gives it.
    #[default]
    Auto,
    /// It is not asked.
    Off,
    /// There.
    At(Url),
}

impl Api {
    /// Reads `auto`, `off` or a URL.
    ///
    /// # Errors
    /// It is none of these, as the end of a sentence that begins with the value.
    pub fn from_text(text: &str) -> Result<Api, String> {
        match text {
            "auto" => return Ok(Api::Auto),
            "off" => return Ok(Api::Off),
            _ => {}
        }
        let url = Url::parse(text).ok().filter(Url::has_host).ok_or_else(|| {
            "is no address of a Kubernetes API: use auto, off or a URL, e.g. https://192.0.2.1:6443".to_owned()
        })?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => {
                return Err(
                    "would be asked without encryption: use https://; http:// is for this host alone".to_owned(),
                );
            }
            _ => return Err("is no URL of HTTP: use https://HOST:PORT".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("has more than host, port and path: give a token by --kubernetes.token-file".to_owned());
        }
        Ok(Api::At(url))
    }
}

/// Whether it may be a node's name (RFC 1123 subdomain).
fn is_node(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 253 && text.bytes().all(fits) && ends(bytes.first()) && ends(bytes.last())
}

/// What the operator asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `--kubernetes.api`.
    pub api: &'a Api,
    /// `--kubernetes.node`; empty: not given.
    pub node: &'a str,
    /// `--kubernetes.token-file`; empty: the service account's.
    pub token_file: &'a Path,
    /// `--kubernetes.ca-file`; empty: the service account's.
    pub ca_file: &'a Path,
    /// Folder of the service account's files, [`ACCOUNT`].
    pub account: &'a Path,
    /// `host.name`: the node's name where none is given.
    pub host: Option<&'a str>,
    /// `--kubernetes.service-labels`.
    pub labels: bool,
}

/// The API cannot be asked as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file that was named is of no use.
    #[error("--kubernetes.{option}: cannot use {path:?}: {source}")]
    File {
        /// Which option named it, without its group.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The name that was given is none.
    #[error("--kubernetes.node (NODE_NAME): {0:?} is no name of a node: give the one that `kubectl get nodes` tells")]
    NodeName(String),
    /// Nobody knows this node's name.
    #[error(
        "--kubernetes.node is not given and the host's name is none of a node: give the name that `kubectl get nodes` tells \
         (in a pod by NODE_NAME from the field spec.nodeName)"
    )]
    Node,
}

/// All that the watch needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Base of the API, without `/api/v1`.
    pub server: Url,
    /// The node whose pods are wanted.
    pub node: String,
    /// Token to show; read anew before each request, because Kubernetes renews it about hourly.
    pub token_file: Option<PathBuf>,
    /// Certificates that alone are trusted; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Well-known labels may name services.
    pub labels: bool,
    /// How long things may take.
    pub timing: Timing,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A connection.
    pub connect: Duration,
    /// A page of a list, and the head of a watch.
    pub answer: Duration,
    /// Silence on a watch: bookmarks come about once a minute.
    pub silence: Duration,
    /// A watch, after which the server ends it in order.
    pub watch: Duration,
    /// First pause after a failure; it doubles with each that follows.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(150),
            watch: Duration::from_secs(300),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// Settles where the API is; `None`: it is not to be asked, or this is no pod with a token.
    ///
    /// # Errors
    /// It was asked for and cannot be done; one sentence says why.
    pub fn settle(asked: &Asked<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Settings>, SettingsError> {
        let its_own = |name: &str| Some(asked.account.join(name)).filter(|path| path.exists());
        let given = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
        let token_file = given(asked.token_file).or_else(|| its_own("token"));
        let server = match asked.api {
            Api::Off => return Ok(None),
            Api::Auto => match in_cluster(env) {
                Some(server) if token_file.is_some() => server,
                _ => return Ok(None),
            },
            Api::At(url) => url.clone(),
        };
        let plain = server.scheme() == "http";
        // A proxy on this host that authenticates by itself (`kubectl proxy`) is shown no token unless told so.
        let token_file = token_file.filter(|_| !plain || !asked.token_file.as_os_str().is_empty());
        let ca_file = given(asked.ca_file).or_else(|| its_own("ca.crt")).filter(|_| !plain);
        let settings = Settings {
            node: match (asked.node, asked.host) {
                ("", host) => host
                    .map(str::to_ascii_lowercase)
                    .filter(|host| is_node(host))
                    .ok_or(SettingsError::Node)?,
                (node, _) if is_node(node) => node.to_owned(),
                (node, _) => return Err(SettingsError::NodeName(node.to_owned())),
            },
            server,
            token_file,
            ca_file,
            labels: asked.labels,
            timing: Timing::default(),
        };
        settings.token().map_err(|source| SettingsError::File {
            option: "token-file",
            path: settings.token_file.clone().unwrap_or_default(),
            source,
        })?;
        settings.roots().map_err(|source| SettingsError::File {
            option: "ca-file",
            path: settings.ca_file.clone().unwrap_or_default(),
            source,
        })?;
        Ok(Some(settings))
    }

    /// The token of now.
    pub(super) fn token(&self) -> io::Result<Option<String>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let bytes = read(path, TOKEN_MAX)?;
        let token = String::from_utf8(bytes).unwrap_or_default();
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "it holds no token: one word of printable letters";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Some(token.to_owned()))
    }

    /// The certificates of now, in PEM.
    pub(super) fn roots(&self) -> io::Result<Option<Vec<u8>>> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let pem = read(path, CA_MAX)?;
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        use rustls::pki_types::pem::PemObject;
        let found = rustls::pki_types::CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| wrong(format!("it holds no certificate in PEM: {error}")))?;
        if found.is_empty() {
            return Err(wrong(
                "it holds no certificate in PEM: no section CERTIFICATE is in it".to_owned(),
            ));
        }
        let mut store = rustls::RootCertStore::empty();
        for certificate in found {
            let add = store.add(certificate);
            add.map_err(|error| wrong(format!("it holds a certificate that cannot be trusted: {error}")))?;
        }
        Ok(Some(pem))
    }
}

/// The address that Kubernetes gives to every pod.
fn in_cluster(env: &dyn Fn(&str) -> Option<String>) -> Option<Url> {
    let host = env("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty())?;
    let port: u16 = env("KUBERNETES_SERVICE_PORT")?.parse().ok()?;
    let url = match host.contains(':') {
        true => format!("https://[{host}]:{port}"),
        false => format!("https://{host}:{port}"),
    };
    Url::parse(&url).ok()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {limit} bytes"),
        ));
    }
    Ok(bytes)
}
