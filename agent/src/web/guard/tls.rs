//! From `tls_server_config` and what its paths lead to, to what handshakes are made with.

use super::file::{Client, Tls};
use super::peers::Peers;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

/// What the paths lead to, in PEM.
#[derive(Debug, Default)]
pub(super) struct Pems {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_ca: Vec<u8>,
}

/// Makes what handshakes are made with.
///
/// # Errors
/// What is wrong with certificates or key.
pub(super) fn config(tls: &Tls, pems: &Pems) -> Result<Arc<ServerConfig>, String> {
    // The provider is given, not installed: exporters may have another.
    let mut provider = ring::default_provider();
    provider.cipher_suites = tls.suites.clone();
    if !tls.groups.is_empty() {
        provider.kx_groups = tls.groups.clone();
    }
    let provider = Arc::new(provider);
    let versions: Vec<_> = [(tls.tls13, &TLS13), (tls.tls12, &TLS12)]
        .into_iter()
        .filter_map(|(served, version)| served.then_some(version))
        .collect();
    let chain = certificates("certificate (cert_file or cert)", &pems.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&pems.key)
        .map_err(|error| format!("the key (key_file or key) holds no private key in PEM: {error}"))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| format!("versions and suites do not go together: {error}"))?;
    let builder = match tls.client {
        Client { asked: false, .. } => builder.with_no_client_auth(),
        client => {
            let verified = match client.verified {
                true => Some(verifier(client, &pems.client_ca, &provider)?),
                false => None,
            };
            builder.with_client_cert_verifier(Arc::new(Peers::new(
                client.required,
                verified,
                tls.client_names.clone(),
                &provider,
            )))
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("certificate and key do not do: {error}"))?;
    config.ignore_client_order = tls.own_order;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Verifies that one of the authorities of `client_ca_file` signed a certificate.
fn verifier(client: Client, pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca_file (or client_ca)", pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            format!("the client_ca_file (or client_ca) holds no certificate of an authority: {error}")
        })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = match client.required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map_err(|error| format!("clients cannot be verified: {error}"))
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(none) if none.is_empty() => Err(format!("the {name} holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("the {name} is no PEM: {error}")),
    }
}
