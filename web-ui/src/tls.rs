//! The certificate that management shows, and TLS as it is spoken.
//!
//! At first boot the appliance makes a key and a certificate of its own in the state directory; its
//! fingerprint is in the log at each start, for whoever wants to compare. The configuration can name
//! files instead. They are read again at each commit and when they change; where they can't be used, the certificate of
//! the appliance's own is shown, and the log says so.
//!
//! # Limits
//! The certificate of the appliance's own is valid for ten years and its names are those of the first boot. Who
//! compares fingerprints needs neither to change; browsers that want shorter ones need files.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use firewall::config::CertificateFiles;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest, Sha256};

use crate::durable;

/// Larger files are no certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;
const YEARS: i64 = 10;

/// What is shown to clients. Can be replaced while it is in use.
#[derive(Debug)]
pub struct Certificates {
    own: Arc<CertifiedKey>,
    shown: RwLock<Arc<CertifiedKey>>,
    files: Mutex<Option<Watched>>,
}

/// Files as they were when they were read last.
#[derive(Debug)]
struct Watched {
    files: CertificateFiles,
    seen: [Option<Version>; 2],
}

/// Changes whenever a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Certificates {
    /// Reads the appliance's own certificate from `state_dir`, and makes one where there is none; without a
    /// directory that can be written, for this run only. `names` are what it is to be valid for, besides
    /// this machine itself.
    ///
    /// # Errors
    /// No certificate can be made on this machine.
    pub fn open(
        state_dir: Option<&Path>,
        host_name: &str,
        addresses: &[IpAddr],
    ) -> Result<Arc<Self>, TlsError> {
        let kept = state_dir.map(|directory| {
            let directory = directory.join("tls");
            CertificateFiles {
                certificate: directory.join("certificate.pem"),
                key: directory.join("key.pem"),
            }
        });
        let own = match kept {
            Some(files) => own(&files, host_name, addresses)?,
            None => make(host_name, addresses)?.key()?,
        };
        let own = Arc::new(own);
        tracing::info!(target: "tls", sha256 = fingerprint(&own), "the appliance's own certificate");
        Ok(Arc::new(Self {
            shown: RwLock::new(Arc::clone(&own)),
            own,
            files: Mutex::new(None),
        }))
    }

    /// Shows the certificate in these files from the next handshake on, or the appliance's own. Where they
    /// can't be used, the appliance's own is shown, loudly.
    pub fn show(&self, files: Option<CertificateFiles>) {
        let mut watched = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = match &files {
            None => Arc::clone(&self.own),
            Some(files) => match read(files) {
                Ok(key) => Arc::new(key),
                Err(error) => {
                    tracing::error!(target: "tls", %error, "the appliance's own certificate is shown instead");
                    Arc::clone(&self.own)
                }
            },
        };
        let mut before = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        if before.cert != shown.cert {
            tracing::info!(target: "tls", sha256 = fingerprint(&shown), "another certificate is shown");
        }
        *before = shown;
        *watched = files.map(Watched::new);
    }

    /// Reads the files again if they have changed.
    pub(crate) fn refresh(&self) {
        let changed = {
            let watched = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            watched
                .as_ref()
                .filter(|watched| watched.seen != versions(&watched.files))
                .map(|watched| watched.files.clone())
        };
        if changed.is_some() {
            self.show(changed);
        }
    }

    /// SHA-256 of the certificate that is shown.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.shown())
    }

    fn shown(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

/// TLS 1.2 and 1.3, HTTP/1.1 inside.
pub(crate) fn server_config(certificates: Arc<Certificates>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Watched {
    fn new(files: CertificateFiles) -> Self {
        Self {
            seen: versions(&files),
            files,
        }
    }
}

fn versions(files: &CertificateFiles) -> [Option<Version>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let about = fs::metadata(path).ok()?;
        Some(Version {
            modified: about.modified().ok(),
            bytes: about.len(),
            inode: about.ino(),
        })
    })
}

/// The certificate of the state directory. One that can't be used is replaced; one that can't be written is for
/// this run.
fn own(
    files: &CertificateFiles,
    host_name: &str,
    addresses: &[IpAddr],
) -> Result<CertifiedKey, TlsError> {
    match read(files) {
        Ok(key) => return Ok(key),
        Err(TlsError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::error!(target: "tls", %error, "the appliance makes itself another certificate");
        }
    }
    let made = make(host_name, addresses)?;
    if let Err(error) = made.write(files) {
        tracing::warn!(target: "tls", %error, "the appliance's certificate is for this run only");
    }
    made.key()
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let certificate = read_file(&files.certificate)?;
    let key = read_file(&files.key)?;
    certified(&certificate, &key).map_err(|problem| TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        problem,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File {
        path: path.to_owned(),
        source,
    };
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(failed(io::Error::other(
            "it is no file of PEM, or larger than 1 MiB",
        )));
    }
    fs::read(path).map_err(failed)
}

fn certified(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("the certificate's file holds none".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("the key's file holds none: {error}"))?;
    // Checks that the key is the certificate's, too.
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| error.to_string())
}

/// A certificate that was made just now.
struct Made {
    certificate: String,
    key: String,
}

impl Made {
    fn key(&self) -> Result<CertifiedKey, TlsError> {
        certified(self.certificate.as_bytes(), self.key.as_bytes()).map_err(TlsError::Made)
    }

    fn write(&self, files: &CertificateFiles) -> io::Result<()> {
        if let Some(directory) = files.key.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        // The key first: a certificate without its key would have to be replaced.
        durable::replace(&files.key, self.key.as_bytes(), 0o600)?;
        durable::replace(&files.certificate, self.certificate.as_bytes(), 0o644)
    }
}

/// ECDSA on P-256, which every client takes.
fn make(host_name: &str, addresses: &[IpAddr]) -> Result<Made, TlsError> {
    let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut names = vec![host_name.to_owned(), "localhost".to_owned()];
    names.extend(
        local
            .iter()
            .chain(addresses)
            .filter(|address| !address.is_unspecified())
            .map(ToString::to_string),
    );
    names.sort();
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, host_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A day ago: the clocks of others may be late.
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let date = |date: jiff::civil::Date| {
        date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = date(today.saturating_sub(1.day()));
    params.not_after = date(today.saturating_add(YEARS.years()));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// As `openssl x509 -fingerprint -sha256` writes it.
fn fingerprint(key: &CertifiedKey) -> String {
    let certificate = key.cert.first().map_or(&[][..], |first| first.as_ref());
    Sha256::digest(certificate)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// How often files are looked at.
pub(crate) const REFRESH: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} and {} can't be used: {problem}", certificate.display(), key.display())]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        problem: String,
    },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the certificate that was made can't be used: {0}")]
    Made(String),
    #[error("TLS can't be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

#[cfg(test)]
impl Certificates {
    /// For clients that trust it.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.shown().cert[0].clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::fake::TempDir;

    fn open(dir: &TempDir) -> Arc<Certificates> {
        let address = "192.0.2.1".parse().unwrap();
        Certificates::open(Some(dir.path()), "edge-1", &[address]).unwrap()
    }

    fn files(dir: &TempDir, name: &str) -> CertificateFiles {
        let files = CertificateFiles {
            certificate: dir.path().join(format!("{name}.pem")),
            key: dir.path().join(format!("{name}.key")),
        };
        make(name, &[]).unwrap().write(&files).unwrap();
        files
    }

    #[test]
    fn the_own_certificate_outlives_the_process_and_its_key_is_private() {
        let dir = TempDir::new();
        let first = open(&dir).fingerprint();
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(open(&dir).fingerprint(), first);
        let key = fs::metadata(dir.path().join("tls/key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_own_certificate_that_is_damaged_is_replaced() {
        let dir = TempDir::new();
        let first = open(&dir).fingerprint();
        fs::write(dir.path().join("tls/key.pem"), "damaged").unwrap();
        let second = open(&dir).fingerprint();
        assert_ne!(first, second);
        assert_eq!(open(&dir).fingerprint(), second);
    }

    #[test]
    fn without_a_directory_there_is_a_certificate_for_this_run() {
        Certificates::open(None, "edge-1", &[]).unwrap();
        let dir = TempDir::new();
        fs::write(dir.path().join("file"), "").unwrap();
        Certificates::open(Some(&dir.path().join("file")), "edge-1", &[]).unwrap();
    }

    #[test]
    fn files_are_shown_read_again_when_they_change_and_given_up_when_they_are_bad() {
        let dir = TempDir::new();
        let certificates = open(&dir);
        let own = certificates.fingerprint();
        let (good, other) = (files(&dir, "good"), files(&dir, "other"));
        certificates.show(Some(good.clone()));
        let first = certificates.fingerprint();
        assert_ne!(first, own);

        certificates.refresh();
        assert_eq!(certificates.fingerprint(), first);
        make("good", &[]).unwrap().write(&good).unwrap();
        certificates.refresh();
        let second = certificates.fingerprint();
        assert!(second != first && second != own);

        for (certificate, key) in [
            (&good.certificate, &other.key),
            (&good.key, &good.key),
            (&good.certificate, &good.certificate),
            (&good.certificate, &dir.path().join("absent")),
            (&dir.path().to_owned(), &good.key),
        ] {
            certificates.show(Some(good.clone()));
            assert_eq!(certificates.fingerprint(), second);
            certificates.show(Some(CertificateFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }));
            assert_eq!(certificates.fingerprint(), own, "{}", key.display());
        }
        certificates.show(None);
        assert_eq!(certificates.fingerprint(), own);
    }

    #[test]
    fn an_error_says_which_file_and_why() {
        let dir = TempDir::new();
        let (good, other) = (files(&dir, "good"), files(&dir, "other"));
        let mixed = CertificateFiles {
            key: other.key,
            ..good
        };
        let said = read(&mixed).unwrap_err().to_string();
        assert!(
            said.contains("good.pem") && said.contains("other.key"),
            "{said}"
        );
    }
}
