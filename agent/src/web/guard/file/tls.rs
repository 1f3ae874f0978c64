//! `tls_server_config`: its keys, checked.

use super::{At, Reader};
use crate::web::guard::yaml::{Node, Value};
use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{ALL_CIPHER_SUITES, kx_group};
use std::path::{Path, PathBuf};

const KEYS: &[&str] = &[
    "cert",
    "cert_file",
    "cipher_suites",
    "client_allowed_sans",
    "client_auth_type",
    "client_ca",
    "client_ca_file",
    "curve_preferences",
    "key",
    "key_file",
    "max_version",
    "min_version",
    "prefer_server_cipher_suites",
];

/// `tls_server_config`.
#[derive(Debug)]
pub(in crate::web::guard) struct Tls {
    pub(in crate::web::guard) cert: Pem,
    pub(in crate::web::guard) key: Pem,
    pub(in crate::web::guard) client: Client,
    pub(in crate::web::guard) client_ca: Option<Pem>,
    /// A client's certificate must have one of these names; empty: any.
    pub(in crate::web::guard) client_names: Vec<String>,
    pub(in crate::web::guard) tls12: bool,
    pub(in crate::web::guard) tls13: bool,
    pub(in crate::web::guard) suites: Vec<SupportedCipherSuite>,
    /// Empty: those that the provider has.
    pub(in crate::web::guard) groups: Vec<&'static dyn SupportedKxGroup>,
    /// The server's order of suites counts, not the client's.
    pub(in crate::web::guard) own_order: bool,
}

/// Where something in PEM is.
#[derive(Debug)]
pub(in crate::web::guard) enum Pem {
    File(PathBuf),
    Inline(String),
}

/// `client_auth_type`: is a client asked for a certificate, must it have one, and must one of ours have signed it?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::web::guard) struct Client {
    pub(in crate::web::guard) asked: bool,
    pub(in crate::web::guard) required: bool,
    pub(in crate::web::guard) verified: bool,
}

const CLIENTS: &[(&str, Client)] = &[
    ("NoClientCert", client(false, false, false)),
    ("RequestClientCert", client(true, false, false)),
    ("RequireAnyClientCert", client(true, true, false)),
    // An old name of the one before.
    ("RequireClientCert", client(true, true, false)),
    ("VerifyClientCertIfGiven", client(true, false, true)),
    ("RequireAndVerifyClientCert", client(true, true, true)),
];

const fn client(asked: bool, required: bool, verified: bool) -> Client {
    Client {
        asked,
        required,
        verified,
    }
}

/// Versions of TLS, and their place in the order of age. The first two are not served.
const VERSIONS: &[(&str, u8)] = &[("TLS10", 0), ("TLS11", 1), ("TLS12", 2), ("TLS13", 3)];

static GROUPS: &[(&str, &dyn SupportedKxGroup)] = &[
    ("X25519", kx_group::X25519),
    ("CurveP256", kx_group::SECP256R1),
    ("CurveP384", kx_group::SECP384R1),
];

/// The keys as they are given.
#[derive(Default)]
struct Given {
    cert: Either,
    key: Either,
    client_ca: Either,
    client: Client,
    /// With the line of the key.
    client_names: Option<(usize, Vec<(usize, String)>)>,
    min: Option<u8>,
    max: Option<u8>,
    /// Those of TLS 1.2.
    suites: Option<Vec<SupportedCipherSuite>>,
    groups: Vec<&'static dyn SupportedKxGroup>,
    own_order: Option<bool>,
}

/// Something in PEM, which is given in one of two forms.
#[derive(Default)]
struct Either {
    file: Option<Pem>,
    inline: Option<Pem>,
}

/// Reads the section; `None`: it is empty, or wrong. `notes` takes what is no mistake and should be known.
pub(super) fn read(reader: &mut Reader<'_>, at: At<'_>, node: &Node, notes: &mut Vec<String>) -> Option<Tls> {
    if matches!(&node.value, Value::Nothing) || matches!(&node.value, Value::Map(none) if none.is_empty()) {
        return None;
    }
    let mut given = Given::default();
    reader.section(at.key(), KEYS, node, &mut |reader, at, node| {
        given.take(reader, at, node)
    });
    given.checked(reader, at, notes)
}

impl Given {
    fn take(&mut self, reader: &mut Reader<'_>, at: At<'_>, node: &Node) {
        match at.key() {
            "cert" => self.cert.inline = inline(reader, at, node),
            "cert_file" => self.cert.file = file(reader, at, node),
            "key" => self.key.inline = inline(reader, at, node),
            "key_file" => self.key.file = file(reader, at, node),
            "client_ca" => self.client_ca.inline = inline(reader, at, node),
            "client_ca_file" => self.client_ca.file = file(reader, at, node),
            "client_auth_type" => self.client = word(reader, at, node, CLIENTS).unwrap_or_default(),
            "client_allowed_sans" => self.client_names = Some((at.line, reader.texts(at, node))),
            "min_version" => self.min = word(reader, at, node, VERSIONS),
            "max_version" => self.max = word(reader, at, node, VERSIONS),
            "cipher_suites" => self.suites = suites(reader, at, node),
            "curve_preferences" => self.groups = words(reader, at, node, GROUPS),
            _ => self.own_order = reader.boolean(at, node),
        }
    }

    fn checked(self, reader: &mut Reader<'_>, at: At<'_>, notes: &mut Vec<String>) -> Option<Tls> {
        let cert = self.cert.one(reader, at, "cert");
        let key = self.key.one(reader, at, "key");
        let client_ca = self.client_ca.one(reader, at, "client_ca");
        let client = self.client;
        if client.verified && client_ca.is_none() {
            let what = "verifies certificates of clients and has no client_ca_file to do it with";
            reader.wrong(at, what);
        }
        if client_ca.is_some() && !client.asked {
            let what = "has a client_ca_file that nothing is verified with: set client_auth_type, e.g. \
                        RequireAndVerifyClientCert";
            reader.wrong(at, what);
        }
        if let Some((line, names)) = &self.client_names {
            let key = "tls_server_config.client_allowed_sans";
            if !client.required {
                let what = "needs client_auth_type RequireAndVerifyClientCert or RequireAnyClientCert: without, a client \
                            can leave its certificate out";
                reader.problem(*line, key, what);
            }
            if names.is_empty() {
                reader.problem(*line, key, "has no name: nobody would be let in");
            }
        }
        let (min, max) = (self.min.unwrap_or(2), self.max.unwrap_or(3));
        if max < 2 || min > max {
            reader.wrong(at, "leaves no version of TLS that is served: those are TLS12 and TLS13");
        } else if min < 2 {
            notes.push("min_version below TLS12: clients of TLS 1.0 and 1.1 are not served".to_owned());
        }
        let (Some(cert), Some(key)) = (cert, key) else {
            let what = "needs a certificate (cert_file or cert) and its key (key_file or key)";
            reader.wrong(at, what);
            return None;
        };
        let names = self.client_names.into_iter().flat_map(|(_, names)| names);
        let all = ALL_CIPHER_SUITES.iter().copied();
        Some(Tls {
            cert,
            key,
            client,
            client_ca,
            client_names: names.map(|(_, name)| name).collect(),
            tls12: min <= 2,
            tls13: max >= 3,
            // Suites are named for TLS 1.2; those of TLS 1.3 are always there.
            suites: match self.suites {
                None => all.collect(),
                Some(suites) => all.filter(|suite| suite.tls13().is_some()).chain(suites).collect(),
            },
            groups: self.groups,
            own_order: self.own_order.unwrap_or(true),
        })
    }
}

impl Either {
    fn one(self, reader: &mut Reader<'_>, at: At<'_>, name: &str) -> Option<Pem> {
        if self.file.is_some() && self.inline.is_some() {
            let what = format!("has both {name} and {name}_file: leave one of the two out");
            reader.wrong(at, &what);
        }
        self.file.or(self.inline)
    }
}

fn file(reader: &mut Reader<'_>, at: At<'_>, node: &Node) -> Option<Pem> {
    let folder = reader.path.parent().unwrap_or(Path::new("")).to_owned();
    reader.text(at, node).map(|text| Pem::File(folder.join(text)))
}

fn inline(reader: &mut Reader<'_>, at: At<'_>, node: &Node) -> Option<Pem> {
    reader.text(at, node).map(Pem::Inline)
}

fn word<T: Copy>(reader: &mut Reader<'_>, at: At<'_>, node: &Node, words: &[(&str, T)]) -> Option<T> {
    let text = reader.text(at, node)?;
    reader.word(at, node.line, &text, words)
}

fn words<T: Copy>(reader: &mut Reader<'_>, at: At<'_>, node: &Node, words: &[(&str, T)]) -> Vec<T> {
    let texts = reader.texts(at, node);
    let found = texts
        .iter()
        .filter_map(|(line, text)| reader.word(at, *line, text, words));
    found.collect()
}

/// The suites of TLS 1.2 among those that are named; `None`: none are named.
fn suites(reader: &mut Reader<'_>, at: At<'_>, node: &Node) -> Option<Vec<SupportedCipherSuite>> {
    // As the registry of IANA, and Go, have the names.
    let name = |suite: &SupportedCipherSuite| suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_");
    let names: Vec<String> = ALL_CIPHER_SUITES.iter().map(name).collect();
    let known = names.iter().map(String::as_str).zip(ALL_CIPHER_SUITES.iter().copied());
    let named = words(reader, at, node, &known.collect::<Vec<_>>());
    let are_named = !named.is_empty();
    are_named.then(|| named.into_iter().filter(|suite| suite.tls13().is_none()).collect())
}
