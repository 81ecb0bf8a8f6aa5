//! What a document decides, read as a person would: policy by policy, item by item. Nothing here may come from
//! the crate under test but its words.

use std::net::IpAddr;

use palisade_rules::document::{ApplicationItem, NameList, Policy, Term};
use palisade_rules::{Action, Located, OneOrMany, PolicyId, Question, Tuple, ZoneId};

use crate::documents::{Document, ZONES};

pub(super) fn decide(document: &Document, question: &Question) -> (Option<PolicyId>, Action) {
    let mut policies = (0..).zip(&document.policies);
    let found = policies.find(|(_, policy)| failures(document, policy, question).is_empty());
    match found {
        Some((number, policy)) => (Some(PolicyId(number)), policy.action),
        None => (None, Action::Deny),
    }
}

/// The conditions of a policy that a packet does not meet.
pub(super) fn failures(
    document: &Document,
    policy: &Policy,
    question: &Question,
) -> Vec<&'static str> {
    let addresses = |list: &Option<NameList>, address| {
        list.as_ref()
            .is_none_or(|list| address_list(document, &list.value, address))
    };
    let applications = policy.application.as_ref();
    let conditions = [
        ("enabled", policy.enabled),
        ("from", zone(&policy.from, question.from)),
        ("to", zone(&policy.to, question.to)),
        ("source", addresses(&policy.source, question.tuple.source)),
        (
            "destination",
            addresses(&policy.destination, question.tuple.destination),
        ),
        (
            "application",
            applications.is_none_or(|list| {
                let mut names = list.value.iter();
                names.any(|name| application(document, &name.value, question))
            }),
        ),
    ];
    let failed = conditions.into_iter().filter(|(_, holds)| !holds);
    failed.map(|(name, _)| name).collect()
}

fn zone(list: &NameList, zone: ZoneId) -> bool {
    list.value
        .iter()
        .any(|name| name.value == "any" || name.value == ZONES[usize::from(zone.0) - 1])
}

fn address_list(document: &Document, list: &OneOrMany<Located<String>>, address: IpAddr) -> bool {
    list.iter()
        .any(|item| address_item(document, &item.value, address))
}

fn address_item(document: &Document, item: &str, address: IpAddr) -> bool {
    if item == "any" {
        return true;
    }
    if let Some(members) = document.addresses.get(item) {
        return address_list(document, members, address);
    }
    if let Some((first, last)) = item.split_once('-') {
        let (first, last): (IpAddr, IpAddr) = (first.parse().unwrap(), last.parse().unwrap());
        return first.is_ipv4() == address.is_ipv4() && first <= address && address <= last;
    }
    match item.split_once('/') {
        None => item.parse::<IpAddr>().unwrap() == address,
        Some((network, length)) => {
            prefix(network.parse().unwrap(), length.parse().unwrap(), address)
        }
    }
}

fn prefix(network: IpAddr, length: usize, address: IpAddr) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        octets
            .iter()
            .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1))
            .collect()
    };
    network.is_ipv4() == address.is_ipv4() && bits(network)[..length] == bits(address)[..length]
}

fn application(document: &Document, name: &str, question: &Question) -> bool {
    let Tuple {
        protocol,
        destination_port,
        ..
    } = question.tuple;
    match name {
        "any" => true,
        "dns" => matches!(protocol.0, 6 | 17) && destination_port == 53,
        "ping" => match protocol.0 {
            1 => question.icmp.is_some_and(|icmp| icmp.kind == 8),
            58 => question.icmp.is_some_and(|icmp| icmp.kind == 128),
            _ => false,
        },
        name => document
            .applications
            .get(name)
            .unwrap()
            .iter()
            .any(|item| match item {
                ApplicationItem::Name(member) => application(document, &member.value, question),
                ApplicationItem::Term(wanted) => term(&wanted.value, question),
            }),
    }
}

fn term(term: &Term, question: &Question) -> bool {
    let number = match term.protocol.value.as_str() {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        number => number.parse().unwrap(),
    };
    let port = |wanted: &OneOrMany<Located<String>>, port: u16| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|range| match range.value.split_once('-') {
                    Some((first, last)) => {
                        (first.parse().unwrap()..=last.parse().unwrap()).contains(&port)
                    }
                    None => range.value.parse::<u16>().unwrap() == port,
                })
    };
    number == question.tuple.protocol.0
        && port(&term.source_port, question.tuple.source_port)
        && port(&term.destination_port, question.tuple.destination_port)
        && term
            .icmp_type
            .is_none_or(|kind| question.icmp.map(|icmp| icmp.kind) == Some(kind.value))
}
