//! What the datapath tells of sessions, in names instead of numbers.

use std::net::IpAddr;

use inspection::Anomaly;
use jiff::Timestamp;
use rules::ZoneId;

use super::event::{Entry, Kind, Severity};
use crate::datapath::{Event, EventKind, Generation, SessionFacts, Shared};

/// The names of what a session event is about, by the configuration that decided the session.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// `None` where none decided and the packet may pass.
    pub(crate) policy: Option<String>,
    pub(crate) from_zone: String,
    pub(crate) to_zone: String,
    ingress: Option<String>,
    egress: Option<String>,
    source_nat: Option<String>,
    destination_nat: Option<String>,
    pub(crate) application: Option<String>,
}

impl Names {
    /// Of a configuration so long ago that nobody remembers it, there are only numbers.
    pub(crate) fn of(event: &Event, shared: &Shared) -> Self {
        let facts = &event.facts;
        let application = shared.applications.name(facts.application);
        let Some(generation) = shared.generations.get(facts.generation) else {
            return Self {
                policy: facts.policy.map(|policy| format!("#{}", policy.0)),
                from_zone: format!("#{}", facts.from_zone.0),
                to_zone: format!("#{}", facts.to_zone.0),
                application,
                ..Self::default()
            };
        };
        let rules = &generation.config.rules;
        let policy = facts
            .policy
            .and_then(|id| rules.policies().get(id.0 as usize));
        let (by_default, application) = match &event.kind {
            EventKind::Start { .. }
            | EventKind::End { .. }
            | EventKind::Identified { .. }
            | EventKind::Signature { .. }
            | EventKind::Filtered { .. }
            | EventKind::Ambiguous { .. }
            | EventKind::NoRoom { .. } => (None, application),
            EventKind::ContentDenied { .. } => (Some("default".to_owned()), application),
            EventKind::Denied { icmp, .. } => {
                let (source, destination) = (facts.translated_source, facts.translated_destination);
                let tuple = rules::Tuple {
                    source: source.0,
                    destination: destination.0,
                    protocol: facts.protocol,
                    source_port: source.1,
                    destination_port: destination.1,
                };
                let application = rules.application(&tuple, *icmp);
                let application = application.map(|application| application.name.clone());
                (Some("default".to_owned()), application)
            }
        };
        Self {
            policy: policy.map(|policy| policy.name.clone()).or(by_default),
            from_zone: zone(&generation, facts.from_zone),
            to_zone: zone(&generation, facts.to_zone),
            ingress: generation.interface_name(facts.ingress),
            egress: facts.egress.and_then(|id| generation.interface_name(id)),
            source_nat: translation(&generation, facts.source_rule),
            destination_nat: translation(&generation, facts.destination_rule),
            application,
        }
    }
}

fn zone(generation: &Generation, id: ZoneId) -> String {
    let rules = &generation.config.rules;
    if usize::from(id.0) <= rules.zones().len() {
        rules.zone(id).name.clone()
    } else {
        format!("#{}", id.0)
    }
}

/// Rules are numbered from 1; 0 is none.
fn translation(generation: &Generation, number: u16) -> Option<String> {
    let index = usize::from(number).checked_sub(1)?;
    let rule = generation.config.nat.rules().get(index)?;
    Some(rule.name.clone())
}

/// What is stored of an event of the datapath, which happened `at`.
pub(crate) fn entry(event: &Event, names: &Names, at: Timestamp) -> Entry {
    let facts = &event.facts;
    let ends = ends(facts);
    let by = names
        .policy
        .as_deref()
        .map(|name| format!(" by {name}"))
        .unwrap_or_default();
    let under = names
        .policy
        .as_deref()
        .map(|name| format!(", policy {name}"))
        .unwrap_or_default();
    let mut entry = match &event.kind {
        EventKind::Start { id } => {
            let message = format!("{ends} permitted{by}");
            let entry = Entry::new(at, Kind::SessionStart, Severity::Info, message);
            Entry {
                session: Some(*id),
                ..entry
            }
        }
        EventKind::End {
            id,
            reason,
            lived,
            packets,
            bytes,
        } => {
            let message = format!(
                "{ends} ended: {}, after {:.1} s",
                reason.name(),
                lived.as_secs_f64()
            );
            let entry = Entry::new(at, Kind::SessionEnd, Severity::Info, message);
            Entry {
                session: Some(*id),
                reason: Some(reason.name().to_owned()),
                seconds: Some(lived.as_secs_f64()),
                packets_from_initiator: Some(packets[0]),
                packets_from_responder: Some(packets[1]),
                bytes_from_initiator: Some(bytes[0]),
                bytes_from_responder: Some(bytes[1]),
                ..entry
            }
        }
        EventKind::Denied { rejected, icmp: _ } => {
            let done = if *rejected { "rejected" } else { "denied" };
            let message = format!("{ends} {done}{by}");
            let entry = Entry::new(at, Kind::Denied, Severity::Info, message);
            Entry {
                rejected: Some(*rejected),
                ..entry
            }
        }
        EventKind::Identified {
            id,
            host,
            began_under,
        } => {
            let what = what(names, host.as_deref());
            let before = before(names, began_under.as_deref());
            let message = format!("{ends} is {what}, permitted{by}{before}");
            let entry = Entry::new(at, Kind::SessionIdentified, Severity::Info, message);
            Entry {
                session: Some(*id),
                host: host.as_deref().map(str::to_owned),
                began_under: began_under.as_deref().map(str::to_owned),
                ..entry
            }
        }
        EventKind::Signature { id, found } => {
            let message = format!(
                "{ends}: {} ({}), {}{under}",
                found.message,
                found.number,
                found.action.name()
            );
            let entry = Entry::new(at, Kind::Signature, Severity::Warning, message);
            Entry {
                session: Some(*id),
                signature: Some(found.number.into()),
                reason: found.class.as_deref().map(str::to_owned),
                action: Some(found.action.name().to_owned()),
                ..entry
            }
        }
        EventKind::Ambiguous { id, what } => {
            let message = format!("{ends} denied: its ends may read it differently ({what})");
            unread(at, *id, what.clone(), message)
        }
        EventKind::NoRoom { id } => {
            let message = format!("{ends} denied: no memory is left to look into it");
            unread(at, *id, Anomaly::NoRoom.to_string(), message)
        }
        EventKind::Filtered { id, filtered } => {
            let asked = &filtered.asked;
            let (severity, message) = match &filtered.blocked {
                Some(blocked) => (
                    Severity::Warning,
                    format!(
                        "{ends}: {asked} blocked by {}, {}{under}",
                        blocked.by, filtered.action
                    ),
                ),
                None => (Severity::Info, format!("{ends}: {asked}{under}")),
            };
            let entry = Entry::new(at, Kind::Filter, severity, message);
            Entry {
                session: Some(*id),
                host: Some(filtered.host.clone()).filter(|host| !host.is_empty()),
                reason: filtered
                    .blocked
                    .as_ref()
                    .map(|blocked| blocked.by.to_string()),
                action: Some(filtered.action.to_owned()),
                ..entry
            }
        }
        EventKind::ContentDenied {
            id,
            began_under,
            rejected,
            host,
        } => {
            let done = if *rejected { "rejected" } else { "denied" };
            let what = what(names, host.as_deref());
            let before = before(names, began_under.as_deref());
            let message = format!("{ends} is {what}, {done}{by}{before}");
            let entry = Entry::new(at, Kind::Denied, Severity::Info, message);
            Entry {
                session: Some(*id),
                rejected: Some(*rejected),
                host: host.as_deref().map(str::to_owned),
                began_under: began_under.as_deref().map(str::to_owned),
                ..entry
            }
        }
    };
    entry.protocol = Some(facts.protocol.to_string());
    (entry.source, entry.source_port) = some(facts.source);
    (entry.destination, entry.destination_port) = some(facts.destination);
    (entry.translated_source, entry.translated_source_port) = some(facts.translated_source);
    (
        entry.translated_destination,
        entry.translated_destination_port,
    ) = some(facts.translated_destination);
    entry.policy.clone_from(&names.policy);
    entry.from_zone = Some(names.from_zone.clone());
    entry.to_zone = Some(names.to_zone.clone());
    entry.ingress.clone_from(&names.ingress);
    entry.egress.clone_from(&names.egress);
    entry.application.clone_from(&names.application);
    entry.source_nat.clone_from(&names.source_nat);
    entry.destination_nat.clone_from(&names.destination_nat);
    entry.generation = Some(facts.generation);
    entry
}

/// Denied because it cannot be looked into.
fn unread(at: Timestamp, session: u64, reason: String, message: String) -> Entry {
    Entry {
        session: Some(session),
        reason: Some(reason),
        rejected: Some(false),
        ..Entry::new(at, Kind::Denied, Severity::Warning, message)
    }
}

/// The policy that it began under, if that is another.
fn before(names: &Names, began_under: Option<&str>) -> String {
    began_under
        .filter(|name| names.policy.as_deref() != Some(*name))
        .map(|name| format!(", began under {name}"))
        .unwrap_or_default()
}

/// What a session turned out to be: `youtube (www.youtube.com)`.
fn what(names: &Names, host: Option<&str>) -> String {
    let application = names.application.as_deref().unwrap_or("unknown");
    match host {
        Some(host) => format!("{application} ({host})"),
        None => application.to_owned(),
    }
}

fn some((address, port): (IpAddr, u16)) -> (Option<IpAddr>, Option<u16>) {
    (Some(address), Some(port))
}

fn ends(facts: &SessionFacts) -> String {
    let (source, destination) = (end(facts.source), end(facts.destination));
    format!("{} {source} → {destination}", facts.protocol)
}

/// An address with its port.
pub(crate) fn end((address, port): (IpAddr, u16)) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}
