//! The first certificate of a TLS Certificate message (RFC 5246 7.4.2), and what it says (RFC 5280).

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::fingerprint::hex;
use crate::Certificate;

/// Longer ones are cut off, and so can't be read.
const CERTIFICATE_BYTES: usize = 8 << 10;
const MOST_NAMES: usize = 128;

/// The message as far as it is needed.
#[derive(Debug, Default)]
pub(crate) struct Leaf {
    /// The list's length, the first certificate's length, and that certificate.
    bytes: Vec<u8>,
}

impl Leaf {
    pub(crate) fn data(&mut self, bytes: &[u8]) {
        let wanted = self.wanted().saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(wanted)]);
        let more = &bytes[bytes.len().min(wanted)..];
        if wanted > 0 && !more.is_empty() && self.bytes.len() == 6 {
            self.data(more);
        }
    }

    fn wanted(&self) -> usize {
        match self.bytes.get(3..6) {
            Some(&[high, middle, low]) => {
                let length = u32::from_be_bytes([0, high, middle, low]) as usize;
                6 + length.min(CERTIFICATE_BYTES)
            }
            _ => 6,
        }
    }

    pub(crate) fn read(&self) -> Option<Certificate> {
        let der = self.bytes.get(6..self.wanted())?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let common = certificate
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok());
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let alternative = alternative
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            });
        let mut names: Vec<String> = Vec::new();
        for name in common.chain(alternative).take(MOST_NAMES) {
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(Certificate {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: colons(certificate.raw_serial()),
            fingerprint: colons(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
            der: der.to_vec(),
            names,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| hex(&[*byte])).collect();
    pairs.join(":")
}
