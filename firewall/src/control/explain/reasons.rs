//! Reasons in words: what a packet has, what a policy says of it.

use abi::DropReason;
use rules::{Content, Failure, NearMiss, Outside, Part, Question, Rules, Tuple};

use super::Asked;
use crate::view::{FailureView, MatchEnds, NearMissView};

pub(super) fn near_miss(
    rules: &Rules,
    (question, content): (&Question, &Content),
    miss: &NearMiss<'_>,
) -> NearMissView {
    let policy = rules.policy(miss.policy);
    let failure = |failure: &Failure<'_>| failed(rules, policy, (question, content), failure);
    NearMissView {
        position: miss.policy.0 + 1,
        policy: policy.name.clone(),
        action: action(policy.action).into(),
        failed: miss.failed.iter().map(failure).collect(),
    }
}

fn failed(
    rules: &Rules,
    policy: &rules::Policy,
    (question, content): (&Question, &Content),
    failure: &Failure<'_>,
) -> FailureView {
    let tuple = &question.tuple;
    let view = |condition: &str, packet: String, says: &[String]| FailureView {
        condition: condition.into(),
        parts: Vec::new(),
        packet,
        policy: says.to_vec(),
        not_known: Vec::new(),
    };
    let zone = |id| rules.zone(id).name.clone();
    match failure {
        Failure::Disabled => view("enabled", "any".into(), &["false".into()]),
        Failure::Schedule(name) => view("schedule", "now".into(), &[(*name).into()]),
        Failure::From => view("from", zone(question.from), &policy.from),
        Failure::To => view("to", zone(question.to), &policy.to),
        Failure::Source { not_known } => FailureView {
            not_known: names(not_known),
            ..view("source", tuple.source.to_string(), &policy.source)
        },
        Failure::Destination { not_known } => FailureView {
            not_known: names(not_known),
            ..view(
                "destination",
                tuple.destination.to_string(),
                &policy.destination,
            )
        },
        Failure::Application(parts) => FailureView {
            parts: parts.iter().map(|part| part_name(*part).into()).collect(),
            ..view("application", service(question), &policy.application)
        },
        Failure::Content(unmet) => {
            let asked = policy.content.as_ref();
            let asked = asked.map_or(&[][..], |content| &content.written);
            FailureView {
                parts: unmet.iter().map(ToString::to_string).collect(),
                ..view("l7", carries(content), asked)
            }
        }
    }
}

/// `youtube, tls, www.youtube.com, video, TLS 1.3`.
pub(super) fn carries(content: &Content) -> String {
    let names = content.applications.known().into_iter().flatten();
    let host = content.url.known().or(content.host.known());
    let rest = [host, content.category.known(), content.method.known()];
    let version = content.tls_version.known();
    let version = version.and_then(|version| rules::tls_version_name(*version));
    let version = version.map(|name| match name.strip_prefix("ssl-") {
        Some(number) => format!("SSL {number}"),
        None => format!("TLS {name}"),
    });
    let words: Vec<&str> = names
        .chain(rest.into_iter().flatten())
        .map(|word| &**word)
        .chain(version.as_deref())
        .chain(content.ja4.known().map(|ja4| &**ja4))
        .collect();
    if words.is_empty() {
        return "not known yet".into();
    }
    words.join(", ")
}

/// `tcp 443`, `icmp type 8`, `47`.
pub(super) fn service(question: &Question) -> String {
    let tuple = &question.tuple;
    match question.icmp {
        Some(icmp) => format!("{} type {} code {}", tuple.protocol, icmp.kind, icmp.code),
        None if tuple.destination_port == 0 => tuple.protocol.to_string(),
        None => format!(
            "{} {} from {}",
            tuple.protocol, tuple.destination_port, tuple.source_port
        ),
    }
}

pub(super) fn names(outside: &[&Outside]) -> Vec<String> {
    outside.iter().map(ToString::to_string).collect()
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Protocol => "protocol",
        Part::DestinationPort => "destination-port",
        Part::SourcePort => "source-port",
        Part::Icmp => "icmp",
    }
}

pub(super) fn action(action: rules::Action) -> &'static str {
    match action {
        rules::Action::Permit => "permit",
        rules::Action::Deny => "deny",
        rules::Action::Reject => "reject",
    }
}

pub(super) fn ends(tuple: &Tuple, asked: &Asked) -> MatchEnds {
    MatchEnds {
        source: tuple.source,
        destination: tuple.destination,
        protocol: tuple.protocol.to_string(),
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
        icmp_type: asked.icmp.map(|icmp| icmp.kind),
        icmp_code: asked.icmp.map(|icmp| icmp.code),
    }
}

/// Why a packet has no way.
pub(super) fn no_way(reason: DropReason) -> &'static str {
    match reason {
        DropReason::NoRoute => "no route leads there by an interface of the appliance",
        DropReason::RouteForbids => "a route forbids it: unreachable, prohibit or blackhole",
        DropReason::Martian => "a link-local address is not forwarded",
        DropReason::EgressDown => "the other port of the wire is not there",
        _ => "it goes nowhere",
    }
}
