//! The classifier against an oracle that reads the document as a person would: policy by policy,
//! item by item, with no compiled form in between.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_rules::document::{
    Addresses, Application, ApplicationItem, NameList, Policy, Sections, Term, Zone,
};
use palisade_rules::{
    Action, Facts, Findings, IcmpType, Located, Named, OneOrMany, Place, PolicyId, Protocol,
    Question, Rules, Tuple, ZoneId,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[derive(Clone, Debug)]
struct Document {
    addresses: Named<Addresses>,
    applications: Named<Application>,
    policies: Vec<Policy>,
}

const ZONES: [&str; 3] = ["red", "green", "blue"];
const OBJECTS: [&str; 4] = ["a0", "a1", "a2", "a3"];
const APPLICATIONS: [&str; 3] = ["p0", "p1", "p2"];

// What is written here must not come from the crate under test.
mod oracle {
    use super::*;

    pub(super) fn decide(document: &Document, question: &Question) -> (Option<PolicyId>, Action) {
        for (number, policy) in (0..).zip(&document.policies) {
            let source = policy.source.as_ref();
            let destination = policy.destination.as_ref();
            if policy.enabled
                && zone(&policy.from, question.from)
                && zone(&policy.to, question.to)
                && source
                    .is_none_or(|list| address_list(document, &list.value, question.tuple.source))
                && destination.is_none_or(|list| {
                    address_list(document, &list.value, question.tuple.destination)
                })
                && policy.application.as_ref().is_none_or(|list| {
                    list.value
                        .iter()
                        .any(|name| application(document, &name.value, question))
                })
            {
                return (Some(PolicyId(number)), policy.action);
            }
        }
        (None, Action::Deny)
    }

    fn zone(list: &NameList, zone: ZoneId) -> bool {
        list.value
            .iter()
            .any(|name| name.value == "any" || name.value == ZONES[usize::from(zone.0) - 1])
    }

    fn address_list(
        document: &Document,
        list: &OneOrMany<Located<String>>,
        address: IpAddr,
    ) -> bool {
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
}

#[test]
fn the_classifier_agrees_with_the_document() {
    let reached = [const { Cell::new(0u32) }; 4];
    let mut runner = TestRunner::new(Config {
        cases: 1_500,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (documents(), prop::collection::vec(questions(), 12));
    let outcome = runner.run(&cases, |(document, questions)| {
        let (rules, errors) = compile(&document);
        prop_assert_eq!(errors, Vec::<String>::new());
        for question in questions {
            let decision = rules.classify(&question);
            let expected = oracle::decide(&document, &question);
            prop_assert_eq!(
                (decision.policy, decision.action),
                expected,
                "{:?}",
                question
            );
            let which = match expected {
                (None, _) => 0,
                (Some(_), Action::Permit) => 1,
                (Some(_), Action::Deny) => 2,
                (Some(_), Action::Reject) => 3,
            };
            reached[which].set(reached[which].get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    let reached = reached.map(Cell::into_inner);
    assert!(
        reached.iter().all(|&times| times > 100),
        "default, permit, deny, reject: {reached:?}"
    );
}

fn compile(document: &Document) -> (Rules, Vec<String>) {
    let zones = Named(ZONES.map(|name| (located(name), Zone::default())).to_vec());
    let mut findings = Findings::default();
    let sections = Sections {
        zones: &zones,
        addresses: &document.addresses,
        feeds: &Named::default(),
        countries: None,
        applications: &document.applications,
        schedules: &Named::default(),
        policies: &document.policies,
    };
    let (rules, _) = Rules::compile(sections, &Facts::default(), &mut findings);
    // Sources and destinations without a common family are drawn, too, and are a mistake.
    let said = findings
        .into_sorted()
        .into_iter()
        .map(|finding| finding.message);
    (
        rules,
        said.filter(|message| !message.contains("can never match"))
            .collect(),
    )
}

fn located(text: &str) -> Located<String> {
    Located {
        value: text.to_owned(),
        place: Place::NONE,
    }
}

fn name_list(names: &[String]) -> NameList {
    Located {
        value: OneOrMany(names.iter().map(|name| located(name)).collect()),
        place: Place::NONE,
    }
}

/// Few enough addresses that policies and questions meet.
fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![3 => v4_addresses(), 1 => v6_addresses()]
}

fn v4_addresses() -> impl Strategy<Value = IpAddr> {
    (0u8..16).prop_map(|host| IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)))
}

fn v6_addresses() -> impl Strategy<Value = IpAddr> {
    (0u16..16).prop_map(|host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)))
}

fn literals() -> impl Strategy<Value = String> {
    prop_oneof![
        addresses().prop_map(|address| address.to_string()),
        (addresses(), 0u8..4).prop_map(|(address, host_bits)| {
            let length = if address.is_ipv4() { 32 } else { 128 } - host_bits;
            ipnet::IpNet::new(address, length)
                .unwrap()
                .trunc()
                .to_string()
        }),
        (0u8..16, 0u8..16).prop_map(|(a, b)| format!("192.0.2.{}-192.0.2.{}", a.min(b), a.max(b))),
    ]
}

/// Objects refer only to ones after them, so that there is no cycle.
fn objects() -> impl Strategy<Value = Named<Addresses>> {
    let object = |position: usize| {
        let later = &OBJECTS[position + 1..];
        let item = if later.is_empty() {
            literals().boxed()
        } else {
            prop_oneof![3 => literals(), 1 => prop::sample::select(later).prop_map(str::to_owned)]
                .boxed()
        };
        prop::collection::vec(item, 1..4).prop_map(move |items| {
            (
                located(OBJECTS[position]),
                OneOrMany(items.iter().map(|item| located(item)).collect()),
            )
        })
    };
    (object(3), object(0), object(1), object(2)).prop_map(|(d, a, b, c)| Named(vec![d, a, b, c]))
}

fn terms() -> impl Strategy<Value = Term> {
    let ports = || {
        let range = (0u16..60, 0u16..8).prop_map(|(first, more)| match more {
            0 => first.to_string(),
            more => format!("{first}-{}", first + more),
        });
        prop::collection::vec(range, 0..3)
            .prop_map(|ranges| OneOrMany(ranges.iter().map(|range| located(range)).collect()))
    };
    let with_ports = (prop::sample::select(vec!["tcp", "udp"]), ports(), ports());
    prop_oneof![
        4 => with_ports.prop_map(|(protocol, source_port, destination_port)| Term {
            source_port,
            destination_port,
            ..bare_term(protocol)
        }),
        1 => prop::option::of(0u8..10).prop_map(|kind| Term {
            icmp_type: kind.map(|value| Located { value, place: Place::NONE }),
            ..bare_term("icmp")
        }),
        1 => Just(bare_term("47")),
    ]
}

fn bare_term(protocol: &str) -> Term {
    Term {
        protocol: located(protocol),
        source_port: OneOrMany::default(),
        destination_port: OneOrMany::default(),
        icmp_type: None,
        icmp_code: None,
        idle_timeout: None,
    }
}

fn applications() -> impl Strategy<Value = Named<Application>> {
    let term = || {
        terms().prop_map(|value| {
            ApplicationItem::Term(Located {
                value,
                place: Place::NONE,
            })
        })
    };
    let leaf = || prop::collection::vec(term(), 1..3);
    let member = prop::sample::select(vec!["p1", "p2", "dns", "ping"])
        .prop_map(|name| ApplicationItem::Name(located(name)));
    let group = prop::collection::vec(prop_oneof![term(), member], 1..4);
    (group, leaf(), leaf()).prop_map(|(group, one, two)| {
        let named = APPLICATIONS.iter().zip([group, one, two]);
        Named(
            named
                .map(|(name, items)| (located(name), OneOrMany(items)))
                .collect(),
        )
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let zones = || {
        prop::collection::vec(
            prop::sample::select(vec!["any", "red", "green", "blue"]).prop_map(str::to_owned),
            1..3,
        )
    };
    let address = prop_oneof![
        2 => literals(),
        2 => prop::sample::select(&OBJECTS[..]).prop_map(str::to_owned),
        1 => Just("any".to_owned()),
    ];
    let list =
        prop::option::of(prop::collection::vec(address, 1..3).prop_map(|names| name_list(&names)));
    let application =
        prop::sample::select(vec!["p0", "p1", "p2", "dns", "ping", "any"]).prop_map(str::to_owned);
    let applications = prop::option::of(
        prop::collection::vec(application, 1..3).prop_map(|names| name_list(&names)),
    );
    let action = prop::sample::select(vec![Action::Permit, Action::Deny, Action::Reject]);
    let enabled = prop::bool::weighted(0.9);
    (
        zones(),
        zones(),
        list.clone(),
        list,
        applications,
        action,
        enabled,
    )
        .prop_map(
            |(from, to, source, destination, application, action, enabled)| Policy {
                name: located("p"),
                description: None,
                enabled,
                from: name_list(&from),
                to: name_list(&to),
                source,
                destination,
                application,
                schedule: None,
                action,
                log: OneOrMany::default(),
            },
        )
}

fn documents() -> impl Strategy<Value = Document> {
    (
        objects(),
        applications(),
        prop::collection::vec(policies(), 0..8),
    )
        .prop_map(|(addresses, applications, mut policies)| {
            for (number, policy) in policies.iter_mut().enumerate() {
                policy.name = located(&format!("policy-{number}"));
            }
            Document {
                addresses,
                applications,
                policies,
            }
        })
}

fn questions() -> impl Strategy<Value = Question> {
    let protocol = prop::sample::select(vec![1u8, 6, 6, 17, 17, 47, 58]);
    let zone = || (1u16..=3).prop_map(ZoneId);
    let ends = prop_oneof![
        3 => (v4_addresses(), v4_addresses()),
        1 => (v6_addresses(), v6_addresses()),
    ];
    let icmp = prop::sample::select(vec![0u8, 3, 8, 128]);
    (zone(), zone(), ends, protocol, 0u16..70, 0u16..70, icmp).prop_map(
        |(from, to, (source, destination), protocol, source_port, destination_port, kind)| {
            let protocol = Protocol(protocol);
            let ports = matches!(protocol, Protocol::TCP | Protocol::UDP);
            let icmp = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
            Question {
                from,
                to,
                tuple: Tuple {
                    source,
                    destination,
                    protocol,
                    source_port: if ports { source_port } else { 0 },
                    destination_port: if ports { destination_port } else { 0 },
                },
                icmp: icmp.then_some(IcmpType { kind, code: 0 }),
            }
        },
    )
}
