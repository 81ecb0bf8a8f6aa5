//! The appliance itself: its name, its mode, its workers, how it is managed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use rules::{Findings, Located, OneOrMany, suggest};

use super::document::{self, Document, Mode, PacketDriver};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    pub host_name: String,
    pub mode: Mode,
    pub workers: Workers,
    pub packet_driver: PacketDriver,
    /// How many sessions the table holds.
    pub sessions: u32,
    /// Empty: those of /etc/resolv.conf.
    pub name_servers: Vec<SocketAddr>,
}

/// How many threads walk packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// As the machine allows.
    Auto,
    /// 1 to 64.
    Count(u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Management {
    /// Where the API is served; `None` for the unix socket alone.
    pub listen: Option<SocketAddr>,
    /// What is shown to clients; `None` for a certificate of the appliance's own.
    pub certificate: Option<CertificateFiles>,
}

/// Absolute paths of a certificate chain and its key, in PEM. Whether there are such files is seen when they are
/// used: a configuration may be checked elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

const MAX_WORKERS: u16 = 64;
const MIN_SESSIONS: u32 = 1_024;
const MAX_SESSIONS: u32 = 4_194_304;
const DEFAULT_SESSIONS: u32 = 65_536;
/// RFC 1035, section 4.2.
const DNS_PORT: u16 = 53;
const MAX_NAME_SERVERS: usize = 8;
/// Linux: `__NEW_UTS_LEN`.
const MAX_HOST_NAME_BYTES: usize = 64;
/// More could not be drawn.
const MAX_CHAIN_PATHS: usize = 64;
const MAX_CHAIN_PATH: usize = 32;

pub(super) fn compile(document: &document::System, findings: &mut Findings) -> System {
    if let Some(chain) = &document.chain {
        check_chain(chain, findings);
    }
    System {
        host_name: host_name(document.host_name.as_ref(), findings),
        mode: document.mode.value,
        workers: workers(document.workers.as_ref(), findings),
        packet_driver: document.packet_driver,
        sessions: sessions(document.sessions, findings),
        name_servers: name_servers(&document.name_servers, findings),
    }
}

pub(super) fn compile_management(
    document: &document::Management,
    findings: &mut Findings,
) -> Management {
    let listen = document.listen.as_ref().and_then(|text| {
        let parsed = text
            .value
            .parse::<SocketAddr>()
            .ok()
            .filter(|address| address.port() != 0);
        if parsed.is_none() {
            findings.error(
                text.place,
                format!(
                    "'{}' is no address and port, as in 0.0.0.0:8443 or [::]:8443",
                    text.value
                ),
            );
        }
        parsed
    });
    Management {
        listen,
        certificate: certificate_files(document, findings),
    }
}

fn certificate_files(
    document: &document::Management,
    findings: &mut Findings,
) -> Option<CertificateFiles> {
    match (&document.certificate, &document.key) {
        (Some(certificate), Some(key)) => Some(CertificateFiles {
            certificate: absolute(certificate, findings)?,
            key: absolute(key, findings)?,
        }),
        (None, None) => None,
        (Some(alone), None) => {
            findings.error(alone.place, "a certificate needs its key: key: FILE");
            None
        }
        (None, Some(alone)) => {
            findings.error(
                alone.place,
                "a key needs its certificate: certificate: FILE",
            );
            None
        }
    }
}

fn absolute(path: &Located<String>, findings: &mut Findings) -> Option<PathBuf> {
    let found = PathBuf::from(&path.value);
    if found.is_absolute() {
        return Some(found);
    }
    findings.error(
        path.place,
        format!(
            "'{}' is no absolute path, as in /etc/palisade/tls.pem",
            path.value
        ),
    );
    None
}

/// Zones that may use management although it is nowhere to be used.
pub(super) fn check_management_zones(document: &Document, findings: &mut Findings) {
    if document.management.listen.is_some() {
        return;
    }
    let services = document
        .zones
        .iter()
        .flat_map(|(_, zone)| &zone.host_inbound);
    for service in services.filter(|service| service.value == rules::MANAGEMENT) {
        findings.warning(
            service.place,
            "management is on the unix socket alone: there is no management.listen",
        );
    }
}

/// RFC 1123, section 2.1: letters, digits and hyphens, in labels of at most 63.
fn host_name(text: Option<&Located<String>>, findings: &mut Findings) -> String {
    let Some(text) = text else {
        return "palisade".to_owned();
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.value.len() > MAX_HOST_NAME_BYTES || !text.value.split('.').all(label) {
        findings.error(
            text.place,
            format!(
                "'{}' is no host name: letters, digits, '-' and '.', at most {MAX_HOST_NAME_BYTES}",
                text.value
            ),
        );
    }
    text.value.clone()
}

fn workers(text: Option<&Located<String>>, findings: &mut Findings) -> Workers {
    let Some(text) = text.filter(|text| text.value != "auto") else {
        return Workers::Auto;
    };
    match text.value.parse() {
        Ok(count) if (1..=MAX_WORKERS).contains(&count) => Workers::Count(count),
        _ => {
            findings.error_with_suggestion(
                text.place,
                format!(
                    "'{}' workers: auto, or a number from 1 to {MAX_WORKERS}",
                    text.value
                ),
                suggest(&text.value, ["auto"]),
            );
            Workers::Auto
        }
    }
}

fn sessions(number: Option<Located<u32>>, findings: &mut Findings) -> u32 {
    let Some(number) = number else {
        return DEFAULT_SESSIONS;
    };
    if !(MIN_SESSIONS..=MAX_SESSIONS).contains(&number.value) {
        findings.error(
            number.place,
            format!(
                "{} sessions are out of range: from {MIN_SESSIONS} to {MAX_SESSIONS}",
                number.value
            ),
        );
    }
    number.value
}

/// Addresses, each with a port where it is another than DNS's.
fn check_chain(chain: &Located<document::Chain>, findings: &mut Findings) {
    let paths = &chain.value.paths;
    if paths.len() > MAX_CHAIN_PATHS || paths.iter().any(|path| path.len() > MAX_CHAIN_PATH) {
        findings.error(
            chain.place,
            format!(
                "a chain has at most {MAX_CHAIN_PATHS} paths of at most {MAX_CHAIN_PATH} names each"
            ),
        );
    }
}

fn name_servers(items: &OneOrMany<Located<String>>, findings: &mut Findings) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for item in items {
        let address = item.value.parse::<IpAddr>();
        let server = address.map(|address| SocketAddr::new(address, DNS_PORT));
        match server.or_else(|_| item.value.parse::<SocketAddr>()) {
            Ok(server) if server.port() != 0 && !server.ip().is_unspecified() => {
                servers.push(server);
            }
            _ => findings.error(
                item.place,
                format!(
                    "'{}' is no name server: an address, with a port where it is not {DNS_PORT}",
                    item.value
                ),
            ),
        }
    }
    if let Some(item) = items.0.get(MAX_NAME_SERVERS) {
        findings.error(
            item.place,
            format!("there are more than {MAX_NAME_SERVERS} name servers"),
        );
    }
    servers
}
