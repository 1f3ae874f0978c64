//! Certificates and keys, read when the agent starts: a file that is of no use is told then, not with the first batch.

use super::OtlpConfigError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// Bytes of a file at most: all roots of a system are a fifth of that.
const FILE_MAX: u64 = 1 << 20;

/// A variable that is set, and its value.
type Given = Option<(&'static str, String)>;

/// What a client of TLS is given by the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpTls {
    /// Certificates that alone are trusted, at least one; `None`: those of the system.
    pub roots: Option<Pem>,
    /// The client's own certificate, with its chain and key, for servers that ask for one.
    pub identity: Option<Pem>,
}

/// Text in PEM (RFC 7468). May be a secret: not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(Arc<[u8]>);

impl Pem {
    /// The text.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({} bytes)", self.0.len())
    }
}

impl OtlpTls {
    /// Reads the files that variables name.
    pub(super) fn read(certificate: Given, client: Given, key: Given) -> Result<OtlpTls, OtlpConfigError> {
        let roots = match certificate {
            Some((name, path)) => {
                let pem = read(name, &path)?;
                let mut store = rustls::RootCertStore::empty();
                for found in certificates(name, &path, &pem)? {
                    let of_file = |error| {
                        OtlpConfigError::new(
                            name,
                            format!("{path:?} holds a certificate that cannot be trusted: {error}"),
                        )
                    };
                    store.add(found).map_err(of_file)?;
                }
                Some(Pem(pem.into()))
            }
            None => None,
        };
        let identity = match (client, key) {
            (None, None) => None,
            (Some((name, _)), None) => {
                let what = "needs a key beside it: set the client key of the same exporter too";
                return Err(OtlpConfigError::new(name, what));
            }
            (None, Some((name, _))) => {
                let what = "needs a certificate beside it: set the client certificate of the same exporter too";
                return Err(OtlpConfigError::new(name, what));
            }
            (Some((name, path)), Some((key_name, key_path))) => {
                let mut pem = read(name, &path)?;
                let chain = certificates(name, &path, &pem)?;
                let key_pem = read(key_name, &key_path)?;
                let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| {
                    let what =
                        format!("{key_path:?} holds no private key in PEM (an encrypted one cannot be used): {error}");
                    OtlpConfigError::new(key_name, what)
                })?;
                CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).map_err(|error| {
                    let what = format!("{key_path:?} does not fit the certificate of {path:?}: {error}");
                    OtlpConfigError::new(key_name, what)
                })?;
                pem.push(b'\n');
                pem.extend_from_slice(&key_pem);
                Some(Pem(pem.into()))
            }
        };
        Ok(OtlpTls { roots, identity })
    }
}

fn read(name: &'static str, path: &str) -> Result<Vec<u8>, OtlpConfigError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_MAX {
            let what = format!("it has more than {FILE_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(bytes)
    };
    read().map_err(|error| OtlpConfigError::new(name, format!("cannot read {path:?}: {error}")))
}

fn certificates(name: &'static str, path: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, OtlpConfigError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let why = match found {
        Ok(found) if found.is_empty() => "no section CERTIFICATE is in it".to_owned(),
        Ok(found) => return Ok(found),
        Err(error) => error.to_string(),
    };
    Err(OtlpConfigError::new(
        name,
        format!("{path:?} holds no certificate in PEM: {why}"),
    ))
}
