//! The index against its policies asked one after the other.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::address::parse_addresses;
use crate::policy::Zones;
use crate::{AddressSet, Application, IcmpType, PortRange, Protocol, Term, Tuple, ZoneId};

fn naive(policies: &[Conditions], question: &Question) -> Option<u32> {
    let first = policies
        .iter()
        .position(|conditions| conditions.match_with(question).is_some());
    first.map(|number| number as u32)
}

fn indexed(classifier: &Classifier, policies: &[Conditions], question: &Question) -> Option<u32> {
    let matching = |number: u32| policies[number as usize].match_with(question).map(|_| ());
    let first = classifier.first(question, u32::MAX, matching);
    first.map(|(number, ())| number)
}

fn numbered(policies: &[Conditions]) -> impl Iterator<Item = (u32, &Conditions)> {
    (0..).zip(policies)
}

#[track_caller]
fn agree(policies: impl Strategy<Value = Vec<Conditions>>, budget: usize, cases: u32) {
    let (found, missed) = (Cell::new(0u32), Cell::new(0u32));
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (policies, prop::collection::vec(questions(), 60));
    let outcome = runner.run(&cases, |(policies, questions)| {
        let classifier = Classifier::with_budget(numbered(&policies), budget);
        for question in questions {
            let expected = naive(&policies, &question);
            prop_assert_eq!(
                indexed(&classifier, &policies, &question),
                expected,
                "{:?}",
                question
            );
            let reached = if expected.is_some() { &found } else { &missed };
            reached.set(reached.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    let reached = (found.get(), missed.get());
    assert!(reached.0 > 1_000 && reached.1 > 20, "{reached:?}");
}

#[test]
fn the_first_of_a_few_policies_is_found() {
    agree(prop::collection::vec(conditions(), 0..12), BUDGET, 400);
}

#[test]
fn the_first_of_many_policies_is_found() {
    agree(prop::collection::vec(conditions(), 60..400), BUDGET, 60);
}

#[test]
fn the_first_policy_is_found_where_memory_ran_out() {
    agree(prop::collection::vec(conditions(), 0..100), 400, 100);
}

/// A row of every shape, and more of them than one table, one block and one word hold.
#[test]
fn rows_beyond_a_word_a_block_and_a_table_are_found() {
    let host = |number: u32| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
        Conditions {
            from: Zones::Any { host: false },
            to: Zones::Any { host: false },
            source: Arc::new(std::net::IpAddr::from(address).into()),
            destination: Arc::new(AddressSet::any()),
            applications: None,
        }
    };
    let policies: Vec<Conditions> = (0..270_000).map(host).collect();
    let classifier = Classifier::compile(numbered(&policies));
    assert_eq!(classifier.v4.len(), 2);
    for number in [
        0, 1, 63, 64, 4_095, 4_096, 4_097, 258_047, 258_048, 262_144, 269_999,
    ] {
        let question = question(Ipv4Addr::from_bits(0x0a00_0000 + number).into());
        assert_eq!(indexed(&classifier, &policies, &question), Some(number));
        // Unless it is not early enough.
        assert_eq!(classifier.first(&question, number, Some), None);
    }
    let nobody = question(Ipv4Addr::from_bits(0x0a00_0000 + 270_000).into());
    assert_eq!(indexed(&classifier, &policies, &nobody), None);
}

#[test]
fn a_policy_is_not_multiplied_out() {
    let many = |first: u32| {
        let hosts = (0..1_000).map(|host| Ipv4Addr::from_bits(first + host * 2));
        let hosts: Vec<AddressSet> = hosts
            .map(|host| std::net::IpAddr::from(host).into())
            .collect();
        AddressSet::union(&hosts)
    };
    let ports = (0..50).map(|port| PortRange::one(port * 2));
    let big = Conditions {
        from: Zones::Any { host: false },
        to: Zones::Any { host: false },
        source: Arc::new(many(0x0a00_0000)),
        destination: Arc::new(many(0x0b00_0000)),
        applications: Some(vec![application(vec![Term {
            destination_ports: ports.collect(),
            ..term(Protocol::TCP)
        }])]),
    };
    let policies = vec![big; 100];
    let bytes = Classifier::compile(numbered(&policies)).bytes();
    assert!(bytes < 64 << 10, "{bytes}");
}

#[test]
fn a_tuple_of_two_families_matches_nothing() {
    let any = Conditions {
        from: Zones::Any { host: false },
        to: Zones::Any { host: false },
        source: Arc::new(AddressSet::any()),
        destination: Arc::new(AddressSet::any()),
        applications: None,
    };
    let policies = [any];
    let classifier = Classifier::compile(numbered(&policies));
    let mut question = question(Ipv6Addr::LOCALHOST.into());
    assert_eq!(indexed(&classifier, &policies, &question), None);
    question.tuple.destination = Ipv6Addr::LOCALHOST.into();
    assert_eq!(indexed(&classifier, &policies, &question), Some(0));
}

fn question(source: IpAddr) -> Question {
    Question {
        from: ZoneId(1),
        to: ZoneId(2),
        tuple: Tuple {
            source,
            destination: Ipv4Addr::new(192, 0, 2, 1).into(),
            protocol: Protocol::TCP,
            source_port: 1,
            destination_port: 2,
        },
        icmp: None,
    }
}

fn term(protocol: Protocol) -> Term {
    Term {
        protocol,
        source_ports: Box::default(),
        destination_ports: Box::default(),
        icmp_type: None,
        icmp_code: None,
        idle_timeout: None,
    }
}

fn application(terms: Vec<Term>) -> Arc<Application> {
    Arc::new(Application {
        name: "application".to_owned(),
        terms,
    })
}

/// Prefixes nested in each other, ranges across them, of few enough addresses to meet.
fn address_sets() -> impl Strategy<Value = AddressSet> {
    let v4 = (0u8..32, 24u8..=32).prop_map(|(host, length)| {
        let net = ipnet::Ipv4Net::new(Ipv4Addr::new(192, 0, 2, host), length);
        net.unwrap().trunc().to_string()
    });
    let v6 = (0u16..32, 120u8..=128).prop_map(|(host, length)| {
        let net = ipnet::Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host), length);
        net.unwrap().trunc().to_string()
    });
    let range =
        (0u8..32, 0u8..32).prop_map(|(a, b)| format!("192.0.2.{}-192.0.2.{}", a.min(b), a.max(b)));
    let whole = prop::sample::select(vec!["0.0.0.0/0", "::/0", "192.0.2.31-255.255.255.255"]);
    let item = prop_oneof![4 => v4, 3 => v6, 3 => range, 1 => whole.prop_map(str::to_owned)];
    let items = prop::collection::vec(item, 1..4).prop_map(|items| {
        let sets: Vec<_> = items
            .iter()
            .map(|item| parse_addresses(item).unwrap())
            .collect();
        AddressSet::union(&sets)
    });
    prop_oneof![1 => Just(AddressSet::any()), 4 => items]
}

fn terms() -> impl Strategy<Value = Term> {
    let ports = || {
        let edge = prop_oneof![0u16..24, Just(u16::MAX)];
        let range = (edge.clone(), edge).prop_map(|(a, b)| PortRange {
            first: a.min(b),
            last: a.max(b),
        });
        prop::collection::vec(range, 0..3).prop_map(Vec::into_boxed_slice)
    };
    let with_ports =
        (prop::bool::ANY, ports(), ports()).prop_map(|(tcp, source, destination)| Term {
            source_ports: source,
            destination_ports: destination,
            ..term(if tcp { Protocol::TCP } else { Protocol::UDP })
        });
    let icmp = (
        prop::bool::ANY,
        prop::option::of(0u8..4),
        prop::option::of(0u8..3),
    )
        .prop_map(|(v4, kind, code)| Term {
            icmp_type: kind,
            icmp_code: kind.and(code),
            ..term(if v4 { Protocol::ICMP } else { Protocol::ICMPV6 })
        });
    prop_oneof![4 => with_ports, 2 => icmp, 1 => Just(term(Protocol::GRE))]
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let zones = || {
        let these = prop::collection::btree_set((0u16..5).prop_map(ZoneId), 1..4);
        prop_oneof![
            1 => any::<bool>().prop_map(|host| Zones::Any { host }),
            2 => these.prop_map(|zones: BTreeSet<_>| Zones::These(zones)),
        ]
    };
    let applications = prop::collection::vec(
        prop::collection::vec(terms(), 1..4).prop_map(application),
        0..3,
    );
    (
        zones(),
        zones(),
        address_sets(),
        address_sets(),
        prop::option::of(applications),
    )
        .prop_map(|(from, to, source, destination, applications)| Conditions {
            from,
            to,
            source: Arc::new(source),
            destination: Arc::new(destination),
            applications,
        })
}

fn questions() -> impl Strategy<Value = Question> {
    let v4 = || (0u8..34).prop_map(|host| IpAddr::from(Ipv4Addr::new(192, 0, 2, host)));
    let v6 = || {
        let address = |host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
        (0u16..34).prop_map(move |host| IpAddr::from(address(host)))
    };
    let ends = prop_oneof![3 => (v4(), v4()), 2 => (v6(), v6())];
    let protocol = prop::sample::select(vec![1u8, 6, 6, 17, 17, 47, 58]);
    let port = || prop_oneof![5 => 0u16..26, 1 => Just(u16::MAX)];
    let icmp = prop::option::weighted(0.9, (0u8..5, 0u8..4));
    let zone = || (0u16..20).prop_map(ZoneId);
    (zone(), zone(), ends, protocol, port(), port(), icmp).prop_map(
        |(from, to, (source, destination), protocol, source_port, destination_port, icmp)| {
            Question {
                from,
                to,
                tuple: Tuple {
                    source,
                    destination,
                    protocol: Protocol(protocol),
                    source_port,
                    destination_port,
                },
                icmp: icmp.map(|(kind, code)| IcmpType { kind, code }),
            }
        },
    )
}
