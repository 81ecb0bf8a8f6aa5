//! Applications: what a session is about, as far as protocol and ports tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::document::{self, ApplicationItem};
use crate::findings::{Findings, check_name, suggest};
use crate::group::members_first;
use crate::naming::Naming;
use crate::quantity::{PortRange, parse_duration, parse_ports};
use crate::{IcmpType, Located, Named, Protocol, Tuple, catalogue};

/// A name with the terms that it stands for; it matches where any of them does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    pub name: String,
    pub terms: Vec<Term>,
}

impl Application {
    /// The first term that matches.
    pub fn matching(&self, tuple: &Tuple, icmp: Option<IcmpType>) -> Option<&Term> {
        self.terms.iter().find(|term| term.matches(tuple, icmp))
    }
}

/// All conditions must hold; one that is empty or absent always does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub protocol: Protocol,
    pub source_ports: Box<[PortRange]>,
    pub destination_ports: Box<[PortRange]>,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
    pub idle_timeout: Option<Duration>,
}

impl Term {
    pub fn matches(&self, tuple: &Tuple, icmp: Option<IcmpType>) -> bool {
        self.holds(Part::Protocol, tuple, icmp)
            && self.holds(Part::DestinationPort, tuple, icmp)
            && self.holds(Part::SourcePort, tuple, icmp)
            && self.holds(Part::Icmp, tuple, icmp)
    }

    fn holds(&self, part: Part, tuple: &Tuple, icmp: Option<IcmpType>) -> bool {
        match part {
            Part::Protocol => self.protocol == tuple.protocol,
            Part::DestinationPort => holds(&self.destination_ports, tuple.destination_port),
            Part::SourcePort => holds(&self.source_ports, tuple.source_port),
            Part::Icmp => {
                self.icmp_type
                    .is_none_or(|kind| icmp.is_some_and(|icmp| icmp.kind == kind))
                    && self
                        .icmp_code
                        .is_none_or(|code| icmp.is_some_and(|icmp| icmp.code == code))
            }
        }
    }

    /// What does not hold. Of another protocol, ports and types mean nothing.
    pub(crate) fn failed(&self, tuple: &Tuple, icmp: Option<IcmpType>) -> Vec<Part> {
        if !self.holds(Part::Protocol, tuple, icmp) {
            return vec![Part::Protocol];
        }
        let rest = [Part::DestinationPort, Part::SourcePort, Part::Icmp];
        let failed = rest.into_iter();
        failed
            .filter(|part| !self.holds(*part, tuple, icmp))
            .collect()
    }
}

/// What a term asks of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Protocol,
    DestinationPort,
    SourcePort,
    /// Type or code.
    Icmp,
}

fn holds(ranges: &[PortRange], port: u16) -> bool {
    ranges.is_empty() || ranges.iter().any(|range| range.contains(port))
}

/// Every application by name: the document's and the catalogue's. A name of the document hides
/// one of the catalogue.
#[derive(Clone, Debug)]
pub(crate) struct Applications {
    /// What each name stands for, groups flattened.
    by_name: BTreeMap<String, Vec<Arc<Application>>>,
    /// In the order in which they name a session: the document's first.
    all: Vec<Arc<Application>>,
    naming: Naming,
}

impl Applications {
    pub(crate) fn compile(
        document: &Named<document::Application>,
        findings: &mut Findings,
    ) -> Self {
        let built_in: Vec<_> = catalogue::compile().into_iter().map(Arc::new).collect();
        let mut by_name: BTreeMap<_, _> = built_in
            .iter()
            .map(|one| (one.name.clone(), vec![one.clone()]))
            .collect();
        for (group, _, members) in catalogue::GROUPS {
            let members = members.iter().filter_map(|member| by_name.get(*member));
            let members = members.flatten().cloned().collect();
            by_name.insert((*group).to_owned(), members);
        }
        let built_in_names: BTreeSet<String> = by_name.keys().cloned().collect();
        for name in findings.damaged("applications") {
            by_name.insert(name.to_owned(), Vec::new());
        }

        let mut own = Vec::new();
        for index in members_first(
            document,
            "application",
            |items| references(items).map(|name| (name.value.as_str(), name.place)),
            findings,
        ) {
            let (name, items) = &document.0[index];
            check_name(name, "an application", &["any"], findings);
            if items.is_empty() && !findings.is_damaged("applications", &name.value) {
                findings.error(
                    name.place,
                    format!(
                        "application '{}' is empty: it would match nothing",
                        name.value
                    ),
                );
            }
            if built_in_names.contains(&name.value) {
                findings.warning(
                    name.place,
                    format!(
                        "'{}' hides the built-in application of this name",
                        name.value
                    ),
                );
            }
            let terms: Vec<Term> = terms(items)
                .filter_map(|term| compile_term(term, findings))
                .collect();
            let mut leaves = Vec::new();
            if !terms.is_empty() {
                let application = Arc::new(Application {
                    name: name.value.clone(),
                    terms,
                });
                own.push((index, application.clone()));
                leaves.push(application);
            }
            for member in references(items) {
                // A member that is not compiled yet closes a cycle, which was reported.
                match by_name.get(&member.value) {
                    Some(members) => leaves.extend(members.iter().cloned()),
                    None if document.get(&member.value).is_some() => {}
                    None => unknown(member, by_name.keys().chain(names(document)), findings),
                }
            }
            by_name.insert(name.value.clone(), leaves);
        }
        own.sort_by_key(|(index, _)| *index);
        let all: Vec<_> = own
            .into_iter()
            .map(|(_, application)| application)
            .chain(built_in)
            .collect();
        Self {
            by_name,
            naming: Naming::new(&all),
            all,
        }
    }

    /// What a name stands for; an unknown one is reported. `any` is the caller's to handle.
    pub(crate) fn resolve(
        &self,
        name: &Located<String>,
        findings: &mut Findings,
    ) -> Option<&[Arc<Application>]> {
        let found = self.by_name.get(&name.value);
        if found.is_none() {
            unknown(name, self.by_name.keys(), findings);
        }
        found.map(Vec::as_slice)
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn name_of(&self, tuple: &Tuple, icmp: Option<IcmpType>) -> Option<&Application> {
        self.naming.first(&self.all, tuple, icmp)
    }
}

fn names(document: &Named<document::Application>) -> impl Iterator<Item = &String> {
    document.iter().map(|(name, _)| &name.value)
}

fn unknown<'a>(
    name: &Located<String>,
    known: impl Iterator<Item = &'a String>,
    findings: &mut Findings,
) {
    let suggestion = suggest(&name.value, known.collect::<BTreeSet<_>>());
    findings.error_with_suggestion(
        name.place,
        format!("no application is named '{}'", name.value),
        suggestion,
    );
}

fn terms(items: &document::Application) -> impl Iterator<Item = &Located<document::Term>> {
    items.iter().filter_map(|item| match item {
        ApplicationItem::Term(term) => Some(term),
        ApplicationItem::Name(_) => None,
    })
}

fn references(items: &document::Application) -> impl Iterator<Item = &Located<String>> {
    items.iter().filter_map(|item| match item {
        ApplicationItem::Name(name) => Some(name),
        ApplicationItem::Term(_) => None,
    })
}

fn compile_term(term: &Located<document::Term>, findings: &mut Findings) -> Option<Term> {
    let Located { value: term, place } = term;
    let protocol = parse_protocol(&term.protocol, findings)?;
    if !matches!(protocol, Protocol::TCP | Protocol::UDP) {
        for port in term.source_port.iter().chain(&term.destination_port) {
            findings.error(port.place, format!("a port says nothing about protocol {protocol}: only tcp and udp have ports here"));
        }
    }
    if !matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) {
        for code in [&term.icmp_type, &term.icmp_code].into_iter().flatten() {
            findings.error(
                code.place,
                format!("an ICMP type or code says nothing about protocol {protocol}"),
            );
        }
    }
    if term.icmp_code.is_some() && term.icmp_type.is_none() {
        findings.error(
            *place,
            "an icmp-code means something only with its icmp-type",
        );
    }
    Some(Term {
        protocol,
        source_ports: compile_ports(&term.source_port, findings),
        destination_ports: compile_ports(&term.destination_port, findings),
        icmp_type: term.icmp_type.map(|kind| kind.value),
        icmp_code: term.icmp_code.map(|code| code.value),
        idle_timeout: term.idle_timeout.as_ref().and_then(|text| {
            parse_duration(&text.value)
                .map_err(|error| findings.error(text.place, error.to_string()))
                .ok()
        }),
    })
}

const PROTOCOLS: [(&str, Protocol); 7] = [
    ("tcp", Protocol::TCP),
    ("udp", Protocol::UDP),
    ("sctp", Protocol::SCTP),
    ("icmp", Protocol::ICMP),
    ("icmpv6", Protocol::ICMPV6),
    ("gre", Protocol::GRE),
    ("esp", Protocol::ESP),
];

/// A protocol by name (`tcp`, `udp`, `sctp`, `icmp`, `icmpv6`, `gre`, `esp`) or number.
pub fn parse_protocol(text: &Located<String>, findings: &mut Findings) -> Option<Protocol> {
    let named = PROTOCOLS
        .iter()
        .find(|(name, _)| *name == text.value)
        .map(|(_, protocol)| *protocol);
    let protocol = named.or_else(|| text.value.parse().ok().map(Protocol));
    if protocol.is_none() {
        findings.error_with_suggestion(
            text.place,
            format!(
                "'{}' is no protocol: a name such as tcp, or a number from 0 to 255",
                text.value
            ),
            suggest(&text.value, PROTOCOLS.map(|(name, _)| name)),
        );
    }
    protocol
}

fn compile_ports(
    ports: &crate::OneOrMany<Located<String>>,
    findings: &mut Findings,
) -> Box<[PortRange]> {
    let parsed = ports.iter().filter_map(|text| {
        parse_ports(&text.value, 0)
            .map_err(|error| findings.error(text.place, error.to_string()))
            .ok()
    });
    parsed.collect()
}
