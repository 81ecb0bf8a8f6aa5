//! TLS as the command line speaks it: which certificates are trusted, and what is said of the others.
//!
//! The certificate that an appliance makes for itself is signed by nobody. It is trusted by its
//! fingerprint, or as an authority of its own; where it is not trusted, the error tells its
//! fingerprint, to be compared with the appliance's log.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

/// Whose certificates are trusted.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The one with this fingerprint, whatever names and dates are in it.
    Fingerprint(Fingerprint),
    /// Those that the authorities in this file have signed.
    Authorities(PathBuf),
    /// Those of the authorities that this machine trusts, or browsers do.
    Public,
}

/// SHA-256 of a certificate (DER), as `openssl x509 -fingerprint -sha256` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// In hexadecimal, with colons or without.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|&character| character != ':')
            .map(|digit| digit.to_digit(16).and_then(|digit| digit.try_into().ok()))
            .collect::<Option<_>>()
            .ok_or(FingerprintError)?;
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        match bytes.try_into() {
            Ok(bytes) if digits.len() == 64 => Ok(Self(bytes)),
            _ => Err(FingerprintError),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let colon = if position > 0 { ":" } else { "" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a fingerprint is 32 bytes in hexadecimal: 4F:0C:…")]
pub(crate) struct FingerprintError;

/// Decides on a certificate, and remembers which it was shown.
#[derive(Debug)]
pub(crate) struct Verifier {
    judge: Judge,
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<Fingerprint>>,
}

#[derive(Debug)]
enum Judge {
    Fingerprint(Fingerprint),
    Authorities(Arc<WebPkiServerVerifier>),
}

impl Verifier {
    pub(crate) fn new(trust: &Trust) -> Result<Arc<Self>, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let roots = match trust {
            Trust::Fingerprint(_) => RootCertStore::empty(),
            Trust::Authorities(file) => authorities(file)?,
            Trust::Public => public(),
        };
        let judge = match trust {
            Trust::Fingerprint(pinned) => Judge::Fingerprint(*pinned),
            Trust::Authorities(_) | Trust::Public => Judge::Authorities(
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                    .build()
                    .map_err(|error| TrustError::Setup(error.to_string()))?,
            ),
        };
        Ok(Arc::new(Self {
            judge,
            provider,
            shown: Mutex::default(),
        }))
    }

    /// Of the certificate that was judged last.
    pub(crate) fn shown(&self) -> Option<Fingerprint> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(self: &Arc<Self>) -> Result<ClientConfig, TrustError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Setup(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Self>::clone(self))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint::of(end_entity);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match &self.judge {
            Judge::Fingerprint(pinned) if *pinned == shown => Ok(ServerCertVerified::assertion()),
            Judge::Fingerprint(_) => {
                Err(Error::General("it is not the one that is trusted".into()))
            }
            Judge::Authorities(authorities) => authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, TrustError> {
    let wrong = |problem: String| TrustError::File {
        path: file.to_owned(),
        problem,
    };
    let pem = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate".into()));
    }
    Ok(roots)
}

/// What the machine trusts, which may have authorities of its owner's; what browsers trust where it says nothing.
fn public() -> RootCertStore {
    /// Debian, Alpine and others; Red Hat; OpenSUSE.
    const BUNDLES: [&str; 3] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
    ];

    let mut roots = RootCertStore::empty();
    for pem in BUNDLES.iter().filter_map(|path| fs::read(path).ok()) {
        let readable = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        roots.add_parsable_certificates(readable);
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("cannot trust {}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_the_log_writes_it_and_as_others_do() {
        let log = (0..32_u8)
            .map(|byte| format!("{:02X}", byte.wrapping_mul(37)))
            .collect::<Vec<_>>()
            .join(":");
        let read: Fingerprint = log.parse().unwrap();
        assert_eq!(read.to_string(), log);
        let plain = log.replace(':', "").to_lowercase();
        assert_eq!(plain.parse::<Fingerprint>().unwrap(), read);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for wrong in [
            "",
            "4F:0C",
            &"4".repeat(63),
            &"4".repeat(65),
            &"4".repeat(66),
            &"x".repeat(64),
        ] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_no_authority() {
        let dir = web_ui::fake::TempDir::new();
        let file = dir.path().join("ca.pem");
        let refused = || Verifier::new(&Trust::Authorities(file.clone())).unwrap_err();
        assert!(refused().to_string().contains("ca.pem"));
        fs::write(&file, "no PEM").unwrap();
        assert!(refused().to_string().contains("holds no certificate"));
    }
}
