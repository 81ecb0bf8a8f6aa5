//! A chain as it is to be: names resolved, addresses given, everything checked.
//!
//! The document becomes a [`Description`] or findings, as many as there are. What refers to something that could
//! not be read is not a second mistake.

mod health;
mod host;
mod network;
mod service;

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use firewall::config::Report;
use ipnet::IpNet;
use rules::{Findings, Located, Place, check_name, suggest};

use super::address::{Family, Pool};
use super::configuration;
use super::course::{self, Course};
use super::document::{self, Document};

pub(super) use health::Health;
pub(super) use host::Host;
pub(super) use network::Network;
pub(super) use service::{Instance, Probe, Service};

/// The chain's name is a part of the names of namespaces and containers.
const MAX_NAME: usize = 32;

#[derive(Debug)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) distribution: Distribution,
    pub(super) networks: Vec<Network>,
    pub(super) services: Vec<Service>,
    pub(super) hosts: Vec<Host>,
    pub(super) courses: Vec<Course>,
    pub(super) warnings: Report,
}

/// Reads and checks a chain's file, and the configurations that it refers to.
pub(super) fn load(path: &Path) -> Result<Description, DescriptionError> {
    let text = fs::read_to_string(path).map_err(|source| DescriptionError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    parse(&text, &path.display().to_string(), &directory)
}

/// `file` names the text in findings; `directory` is where the names of configurations begin.
pub(super) fn parse(
    text: &str,
    file: &str,
    directory: &Path,
) -> Result<Description, DescriptionError> {
    let mut findings = Findings::default();
    let document: Option<Document> = firewall::config::read(text, &mut findings);
    let mut description = document.map(|document| compile(&document, &mut findings));
    let mut others = Vec::new();
    if let Some(description) = description.as_mut().filter(|_| !findings.has_errors()) {
        let source = configuration::Source { text, directory };
        others = configuration::check(description, &source, &mut findings);
    }
    let failed = findings.has_errors() || !others.is_empty();
    let report = Report {
        file: file.to_owned(),
        diagnostics: findings.into_sorted(),
    };
    match description {
        Some(description) if !failed => Ok(Description {
            warnings: report,
            ..description
        }),
        _ => Err(DescriptionError::Invalid {
            file: file.to_owned(),
            reports: std::iter::once(report).chain(others).collect(),
        }),
    }
}

fn compile(document: &Document, findings: &mut Findings) -> Description {
    check_version(document, findings);
    let name = chain_name(document, findings);
    check_names(document, findings);
    let mut networks: Vec<_> = document
        .networks
        .iter()
        .map(|(name, network)| network::compile(name, network, findings))
        .collect();
    network::check_apart(&networks, findings);
    let mut context = Context {
        document,
        networks: &mut networks,
        findings,
    };
    // Whoever asks for an address gets it; the others take what is left.
    host::claim(&mut context);
    service::claim(&mut context);
    let services = service::compile(&mut context);
    let hosts = host::compile(&mut context);
    let services = service::with_probes(services, &mut context);
    let courses = course::compile(document, &networks, &services, findings);
    Description {
        name,
        distribution: document.distribution,
        networks,
        services,
        hosts,
        courses,
        warnings: Report {
            file: String::new(),
            diagnostics: Vec::new(),
        },
    }
}

/// What the sections are checked against, and where it is said what is wrong.
pub(super) struct Context<'a> {
    pub(super) document: &'a Document,
    pub(super) networks: &'a mut Vec<Network>,
    pub(super) findings: &'a mut Findings,
}

impl Context<'_> {
    /// A network's position. One that is not known was reported.
    pub(super) fn network(&mut self, name: &Located<String>) -> Option<usize> {
        let found = self
            .networks
            .iter()
            .position(|network| network.name == name.value);
        if found.is_none() && !self.findings.is_damaged("networks", &name.value) {
            let known = self.networks.iter().map(|network| network.name.as_str());
            self.findings.error_with_suggestion(
                name.place,
                format!("no network is named '{}'", name.value),
                suggest(&name.value, known),
            );
        }
        found
    }

    /// The same without saying so, where it was said.
    pub(super) fn known_network(&self, name: &Located<String>) -> Option<usize> {
        self.networks
            .iter()
            .position(|network| network.name == name.value)
    }

    /// Takes the addresses that `who` asks for.
    pub(super) fn claim(&mut self, network: usize, addresses: &[Located<String>], who: &str) {
        let mut families = Vec::new();
        for text in addresses {
            let Ok(address) = text.value.parse::<IpAddr>() else {
                self.findings
                    .error(text.place, format!("'{}' is no address", text.value));
                continue;
            };
            let family = Family::of(address);
            if families.contains(&family) {
                self.findings
                    .error(text.place, "one address of each family is enough");
                continue;
            }
            families.push(family);
            let network = &mut self.networks[network];
            match network
                .pools
                .iter_mut()
                .find(|pool| pool.family() == family)
            {
                Some(pool) => pool.claim(
                    &Located {
                        value: address,
                        place: text.place,
                    },
                    who,
                    self.findings,
                ),
                None => self.findings.error(
                    text.place,
                    format!("network '{}' has no subnet of this family", network.name),
                ),
            }
        }
    }

    /// What was asked for, and of the other families the first that is free.
    pub(super) fn addresses(
        &mut self,
        network: usize,
        wanted: &[Located<String>],
        who: &str,
        place: Place,
    ) -> Vec<IpNet> {
        let wanted: HashMap<_, _> = wanted
            .iter()
            .filter_map(|text| text.value.parse().ok())
            .map(|address: IpAddr| (address.is_ipv4(), address))
            .collect();
        let network = &mut self.networks[network];
        let mut given = Vec::new();
        for pool in &mut network.pools {
            let asked_for = wanted.get(&(pool.family() == Family::V4)).copied();
            match asked_for.or_else(|| pool.lowest(who)) {
                Some(address) => given.push(with_prefix(address, pool)),
                None => self.findings.error(
                    place,
                    format!("there is no address left in {} for {who}", pool.subnet),
                ),
            }
        }
        given
    }
}

fn with_prefix(address: IpAddr, pool: &Pool) -> IpNet {
    IpNet::new_assert(address, pool.subnet.prefix_len())
}

fn check_version(document: &Document, findings: &mut Findings) {
    match document.version {
        Some(version) if version.value == 1 => {}
        Some(version) => findings.error(
            version.place,
            format!("this is version 1, not {}", version.value),
        ),
        None => findings.error(START, "the key 'version' is missing: version: 1"),
    }
}

const START: Place = Place { line: 1, column: 1 };

fn chain_name(document: &Document, findings: &mut Findings) -> String {
    let Some(name) = &document.name else {
        findings.error(START, "the key 'name' is missing: name: shop");
        return String::new();
    };
    check_part(name, "a chain", findings);
    if name.value.len() > MAX_NAME {
        findings.error(
            name.place,
            format!("a chain's name has at most {MAX_NAME} characters"),
        );
    }
    name.value.clone()
}

/// Networks, services and hosts are told apart by name alone: `palisade chain exec`.
fn check_names(document: &Document, findings: &mut Findings) {
    let networks = document
        .networks
        .iter()
        .map(|(name, _)| ("a network", name));
    let services = document
        .services
        .iter()
        .map(|(name, _)| ("a service", name));
    let hosts = document.hosts.iter().map(|(name, _)| ("a host", name));
    let mut seen: HashMap<&str, (&str, Place)> = HashMap::new();
    for (what, name) in networks.chain(services).chain(hosts) {
        check_part(name, what, findings);
        if let Some((other, first)) = seen.insert(&name.value, (what, name.place)) {
            findings.error(
                name.place,
                format!(
                    "'{}' is already {other}'s name, in line {}",
                    name.value, first.line
                ),
            );
        }
    }
}

/// A dot stands between the parts of a namespace's name.
fn check_part(name: &Located<String>, what: &str, findings: &mut Findings) {
    check_name(name, what, &[], findings);
    if name.value.contains('.') {
        findings.error(
            name.place,
            format!("'{}' has a dot, which the name of {what} can't", name.value),
        );
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DescriptionError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{file} is no chain:")]
    Invalid { file: String, reports: Vec<Report> },
}

impl DescriptionError {
    /// A line for each finding.
    pub(super) fn details(&self) -> Vec<String> {
        match self {
            Self::Unreadable { .. } => Vec::new(),
            Self::Invalid { reports, .. } => reports
                .iter()
                .filter(|report| !report.diagnostics.is_empty())
                .flat_map(|report| {
                    let lines = report.to_string();
                    lines.lines().map(str::to_owned).collect::<Vec<_>>()
                })
                .collect(),
        }
    }
}

/// Whether what is written is a document at all is `document`'s to say.
pub(super) fn duration(
    text: &Located<String>,
    findings: &mut Findings,
) -> Option<std::time::Duration> {
    let milliseconds = text
        .value
        .strip_suffix("ms")
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|&number| number > 0);
    if let Some(milliseconds) = milliseconds {
        return Some(std::time::Duration::from_millis(milliseconds.into()));
    }
    match rules::parse_duration(&text.value) {
        Ok(duration) => Some(duration),
        Err(_) => {
            findings.error(
                text.place,
                format!("'{}' is no time, as in 500ms or 2s", text.value),
            );
            None
        }
    }
}

pub(super) use document::{Check, Distribution};

#[cfg(test)]
mod tests;
