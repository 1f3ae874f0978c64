//! Certificates for tests: an authority, and what it signs, as files in PEM.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// An authority; its files are in one folder.
pub(crate) struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes one, and `ca.crt`.
    pub(crate) fn new(folder: &Path) -> Pki {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join("ca.crt"), certificate.pem()).expect("written");
        Pki {
            folder: folder.to_owned(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Makes `server.crt` and `server.key`.
    pub(crate) fn server(&self, name: &str) {
        self.sign("server", name, ExtendedKeyUsagePurpose::ServerAuth);
    }

    /// Makes `NAME.crt` and `NAME.key` of a client.
    pub(crate) fn client(&self, name: &str) {
        self.sign(name, name, ExtendedKeyUsagePurpose::ClientAuth);
    }

    fn sign(&self, file: &str, name: &str, usage: ExtendedKeyUsagePurpose) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        self.write(&format!("{file}.crt"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("written");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A stream of a client that trusts this authority and takes the server for `name`; `certificate` is that of a client.
    pub(crate) fn connect(
        &self,
        stream: TcpStream,
        name: &str,
        certificate: Option<&str>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.path("ca.crt")).expect("PEM");
        roots.add(ca).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let chain = CertificateDer::from_pem_file(self.path(&format!("{file}.crt"))).expect("PEM");
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).expect("PEM");
                builder.with_client_auth_cert(vec![chain], key).expect("a key")
            }
        };
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        StreamOwned::new(connection, stream)
    }
}
