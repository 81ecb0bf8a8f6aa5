//! Random documents, and random questions about them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_rules::document::{
    Addresses, Application, ApplicationItem, NameList, Policy, Sections, Term, Zone,
};
use palisade_rules::{
    Action, Facts, Findings, IcmpType, Located, Named, OneOrMany, Place, Protocol, Question, Rules,
    Tuple, Vocabulary, ZoneId,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) zones: Named<Zone>,
    pub(super) addresses: Named<Addresses>,
    pub(super) applications: Named<Application>,
    pub(super) policies: Vec<Policy>,
}

pub(super) const ZONES: [&str; 3] = ["red", "green", "blue"];
const OBJECTS: [&str; 4] = ["a0", "a1", "a2", "a3"];
const APPLICATIONS: [&str; 3] = ["p0", "p1", "p2"];

impl Document {
    /// The rules, and what is wrong with the document. Sources and destinations without a common family
    /// are drawn, too, and are not told.
    pub(super) fn compile(&self) -> (Rules, Vec<String>) {
        let mut findings = Findings::default();
        let (rules, _) = Rules::compile(self.sections(), &Facts::default(), &mut findings);
        let said = messages(findings).into_iter();
        (
            rules,
            said.filter(|message| !message.contains("can never match"))
                .collect(),
        )
    }

    /// Whether a policy's sources and destinations have an address family in common.
    pub(super) fn can_match(&self, name: &str) -> bool {
        let mut findings = Findings::default();
        Rules::compile(self.sections(), &Facts::default(), &mut findings);
        let never = format!("policy '{name}' can never match");
        !messages(findings)
            .iter()
            .any(|message| message.starts_with(&never))
    }

    pub(super) fn check(&self) -> Vec<String> {
        let mut findings = Findings::default();
        palisade_rules::hygiene::check(self.sections(), [], &mut findings);
        messages(findings)
    }

    fn sections(&self) -> Sections<'_> {
        static NO_FEEDS: Named<palisade_rules::document::Feed> = Named(Vec::new());
        static NO_WORDS: Vocabulary = Vocabulary::EMPTY;
        static NO_SCHEDULES: Named<palisade_rules::document::Schedule> = Named(Vec::new());
        Sections {
            zones: &self.zones,
            addresses: &self.addresses,
            feeds: &NO_FEEDS,
            countries: None,
            applications: &self.applications,
            schedules: &NO_SCHEDULES,
            policies: &self.policies,
            vocabulary: &NO_WORDS,
        }
    }
}

fn messages(findings: Findings) -> Vec<String> {
    let findings = findings.into_sorted().into_iter();
    findings.map(|finding| finding.message).collect()
}

pub(super) fn located(text: &str) -> Located<String> {
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
                l7: None,
                inspect: None,
                action,
                log: OneOrMany::default(),
            },
        )
}

pub(super) fn documents() -> impl Strategy<Value = Document> {
    (
        objects(),
        applications(),
        prop::collection::vec(policies(), 0..8),
    )
        .prop_map(|(addresses, applications, mut policies)| {
            for (number, policy) in policies.iter_mut().enumerate() {
                policy.name = located(&format!("policy-{number}"));
            }
            let zones = Named(ZONES.map(|name| (located(name), Zone::default())).to_vec());
            Document {
                zones,
                addresses,
                applications,
                policies,
            }
        })
}

pub(super) fn questions() -> impl Strategy<Value = Question> {
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
