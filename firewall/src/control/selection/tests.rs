use abi::FlowKey;
use packet::FlowHash;

use super::*;
use crate::clock::Timestamp;
use crate::ports::PortId;
use crate::session::NewSession;

const CONFIG: &str = "version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left] }
  untrust: { interfaces: [right] }
policies:
  - { name: web, from: trust, to: untrust, action: permit }
  - { name: rest, from: any, to: any, action: permit }
";

fn key(source: &str, destination: &str, ports: [u16; 2], protocol: Protocol) -> FlowKey {
    FlowKey {
        source: packet::address(source.parse().unwrap()),
        destination: packet::address(destination.parse().unwrap()),
        source_port: ports[0].to_be_bytes(),
        destination_port: ports[1].to_be_bytes(),
        protocol: protocol.0,
        ..FlowKey::default()
    }
}

fn table(capacity: u32) -> SessionTable {
    SessionTable::anonymous(FlowHash::new(1, 0x9e37_79b9_7f4a_7c15), capacity).unwrap()
}

/// One that is translated by a rule, over TCP and decided by `web`; one of IPv6 that is neither.
fn two() -> SessionTable {
    let table = table(16);
    let web = NewSession {
        forward: key("192.0.2.10", "203.0.113.80", [50_000, 443], Protocol::TCP),
        reverse: key("203.0.113.80", "198.51.100.1", [443, 40_000], Protocol::TCP),
        worker: 0,
    };
    let slot = table
        .insert(&web, Timestamp(7), |record| {
            record.generation.store(1, Relaxed);
            record.policy.store(0, Relaxed);
            record.source_rule.store(1, Relaxed);
            record.from_zone.store(1, Relaxed);
            record.to_zone.store(2, Relaxed);
            record.ingress.store(0, Relaxed);
            record.egress.store(1, Relaxed);
            record.application.store(1, Relaxed);
            record.tcp_state.store(State::Established as u32, Relaxed);
        })
        .unwrap();
    let [forward, reverse] = flows(slot);
    table.flow(forward).bytes.store(600, Relaxed);
    table.flow(reverse).bytes.store(400, Relaxed);
    let forward = key("2001:db8::1", "2001:db8:2::1", [53, 53], Protocol::UDP);
    let dns = NewSession {
        forward,
        reverse: forward.reversed(),
        worker: 0,
    };
    let fill = |record: &abi::SessionRecord| {
        record.generation.store(1, Relaxed);
        record.policy.store(1, Relaxed);
        record.from_zone.store(2, Relaxed);
        record.ingress.store(1, Relaxed);
        record.egress.store(InterfaceId::HOST.0, Relaxed);
    };
    table.insert(&dns, Timestamp(9), fill).unwrap();
    table
}

fn generation() -> Arc<Generation> {
    let config = crate::config::parse(CONFIG, "test").unwrap();
    let places = [0, 1].map(|at| (InterfaceId(at), PortId(at)));
    Arc::new(Generation::new(
        1,
        config,
        &places,
        &crate::history::Hits::default(),
        jiff::Timestamp::UNIX_EPOCH,
    ))
}

/// Ids that a filter finds in `two`.
fn found(filter: &view::SessionFilter) -> Vec<u64> {
    let applications = Applications::default();
    applications.number("https");
    let hosts = Hosts::default();
    hosts.set(Slot(0), 1, &"www.example.com".into());
    let selection = Selection::of(filter, &[generation()], &applications, &hosts).unwrap();
    let table = two();
    selection.matches(&table, 0).map(|(_, id)| id).collect()
}

#[test]
fn each_filter_finds_the_sessions_it_names_and_no_other() {
    use view::SessionFilter as Filter;
    let word = |text: &str| Some(text.to_owned());
    let net = |text: &str| Some(text.parse::<IpNet>().unwrap());
    let none = Filter::default();
    let cases = [
        (none.clone(), vec![1, 2]),
        (
            Filter {
                id: Some(2),
                ..none.clone()
            },
            vec![2],
        ),
        (
            Filter {
                address: net("192.0.2.0/24"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                address: net("198.51.100.1/32"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                address: net("::/0"),
                ..none.clone()
            },
            vec![1, 2],
        ),
        (
            Filter {
                address: net("0.0.0.0/0"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                source: net("2001:db8::/48"),
                ..none.clone()
            },
            vec![2],
        ),
        (
            Filter {
                source: net("198.51.100.1/32"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                source: net("203.0.113.0/24"),
                ..none.clone()
            },
            vec![],
        ),
        (
            Filter {
                destination: net("203.0.113.99/24"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                port: Some(40_000),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                port: Some(53),
                ..none.clone()
            },
            vec![2],
        ),
        (
            Filter {
                protocol: word("TCP"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                protocol: word("17"),
                ..none.clone()
            },
            vec![2],
        ),
        (
            Filter {
                policy: word("web"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                policy: word("nothing"),
                ..none.clone()
            },
            vec![],
        ),
        (
            Filter {
                zone: word("untrust"),
                ..none.clone()
            },
            vec![1, 2],
        ),
        (
            Filter {
                zone: word("host"),
                ..none.clone()
            },
            vec![2],
        ),
        (
            Filter {
                interface: word("left"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                interface: word("host"),
                ..none.clone()
            },
            vec![2],
        ),
        (
            Filter {
                application: word("https"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                application: word("gopher"),
                ..none.clone()
            },
            vec![],
        ),
        (
            Filter {
                state: word("established"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                state: word("syn-sent"),
                ..none.clone()
            },
            vec![],
        ),
        (
            Filter {
                nat: Some(true),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                nat: Some(false),
                ..none.clone()
            },
            vec![2],
        ),
        (
            Filter {
                min_bytes: Some(1_000),
                ..none.clone()
            },
            vec![1],
        ),
        (
            Filter {
                min_bytes: Some(1_001),
                ..none.clone()
            },
            vec![],
        ),
        (
            Filter {
                policy: word("web"),
                zone: word("trust"),
                protocol: word("udp"),
                ..none
            },
            vec![],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&filter), expected, "{filter:?}");
    }
}

#[test]
fn what_can_not_be_is_named() {
    let wrong = |filter: view::SessionFilter| {
        Selection::of(&filter, &[], &Applications::default(), &Hosts::default())
            .unwrap_err()
            .parameter
    };
    let state = view::SessionFilter {
        state: Some("open".into()),
        ..Default::default()
    };
    assert_eq!(wrong(state), "state");
    let protocol = view::SessionFilter {
        protocol: Some("tpc".into()),
        ..Default::default()
    };
    assert_eq!(wrong(protocol), "protocol");
}
