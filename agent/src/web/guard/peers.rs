//! Certificates of clients: which are taken, beyond or instead of being signed by an authority.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::net::IpAddr;
use std::sync::Arc;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Asks clients for a certificate. That a client has the key of what it shows is proved always.
#[derive(Debug)]
pub(super) struct Peers {
    required: bool,
    /// Who signed it; without, anybody may have.
    verified: Option<Arc<dyn ClientCertVerifier>>,
    /// It must have one of these names; empty: any.
    names: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Peers {
    pub(super) fn new(
        required: bool,
        verified: Option<Arc<dyn ClientCertVerifier>>,
        names: Vec<String>,
        provider: &CryptoProvider,
    ) -> Peers {
        Peers {
            required,
            verified,
            names,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for Peers {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verified.as_ref().map_or(&[], |inner| inner.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(inner) = &self.verified {
            inner.verify_client_cert(end_entity, intermediates, now)?;
        }
        if !self.names.is_empty() && !names(end_entity)?.iter().any(|name| self.names.contains(name)) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The names of a certificate's subject that may be allowed: DNS, mail, URI, IP address.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, Error> {
    let unreadable = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = Certificate::from_der(certificate).map_err(unreadable)?;
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let Some((_, SubjectAltName(found))) = found.map_err(unreadable)? else {
        return Ok(Vec::new());
    };
    Ok(found.iter().filter_map(name).collect())
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.to_string())
        }
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_canonical().to_string())
        }
        _ => None,
    }
}
