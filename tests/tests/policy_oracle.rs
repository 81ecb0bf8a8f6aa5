//! Random policies, end to end: what the appliance lets through is what an evaluator lets through that reads the
//! document itself and shares no code with the appliance.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::capture::{Capture, Captured};
use palisade_tests::frames::{self, Frame};
use palisade_tests::lab::{Chain, Lab, Palisade, wait_until};
use palisade_tests::random::Random;
use palisade_tests::require_lab;
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(10);
const SETS: u64 = 30;
const PROBES: usize = 40;
const SYN: u8 = 0x02;

/// One to three of them, or `any` in one of three cases.
fn some_or_any(random: &mut Random, of: &[&str]) -> Value {
    if random.below(3) == 0 {
        return json!(["any"]);
    }
    let count = 1 + random.below(3);
    let chosen: HashSet<_> = (0..count).map(|_| *random.one(of)).collect();
    let mut chosen: Vec<_> = chosen.into_iter().collect();
    chosen.sort_unstable();
    json!(chosen)
}

const INSIDE: [&str; 6] = [
    "192.0.2.10",
    "192.0.2.11",
    "192.0.2.12",
    "192.0.2.13",
    "2001:db8:1::10",
    "2001:db8:1::11",
];
const OUTSIDE: [&str; 6] = [
    "198.51.100.10",
    "198.51.100.11",
    "198.51.100.12",
    "198.51.100.13",
    "2001:db8:2::10",
    "2001:db8:2::11",
];
const PORTS: [u16; 8] = [22, 53, 80, 443, 5000, 5001, 5010, 6000];
/// What may stand in a policy: objects, an address, a prefix, a range.
const ADDRESSES: [&str; 9] = [
    "low",
    "high",
    "six",
    "mixed",
    "192.0.2.11",
    "198.51.100.12/31",
    "192.0.2.12-192.0.2.13",
    "2001:db8:2::/64",
    "198.51.100.0/24",
];
const APPLICATIONS: [&str; 6] = ["ssh", "http", "https", "dns", "five", "udp-all"];

fn document(random: &mut Random) -> Value {
    let zones = ["trust", "untrust"];
    let policies: Vec<_> = (0..1 + random.below(6))
        .map(|number| {
            json!({
                "name": format!("policy-{number}"),
                "from": some_or_any(random, &zones),
                "to": some_or_any(random, &zones),
                "source": some_or_any(random, &ADDRESSES),
                "destination": some_or_any(random, &ADDRESSES),
                "application": some_or_any(random, &APPLICATIONS),
                "action": random.one(&["permit", "permit", "deny", "reject"]),
                "enabled": random.below(8) != 0,
            })
        })
        .collect();
    json!({
        "version": 1,
        "system": { "sessions": 4096 },
        "interfaces": {
            "left": { "device": "eth1", "addresses": ["192.0.2.1/24", "2001:db8:1::1/64"] },
            "right": { "device": "eth2", "addresses": ["198.51.100.1/24", "2001:db8:2::1/64"] },
        },
        "zones": { "trust": { "interfaces": ["left"] }, "untrust": { "interfaces": ["right"] } },
        "addresses": {
            "low": ["192.0.2.10/31", "198.51.100.10-198.51.100.11"],
            "high": ["192.0.2.12", "192.0.2.13", "198.51.100.12/30"],
            "six": ["2001:db8:1::/64", "2001:db8:2::11"],
            "mixed": ["low", "2001:db8:1::10"],
        },
        "applications": {
            "five": { "protocol": "tcp", "destination-port": [5000, "5001-5010"] },
            "udp-all": { "protocol": "udp", "destination-port": "1-65535" },
        },
        "policies": policies,
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Probe {
    from_inside: bool,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    source_port: u16,
    port: u16,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Probe {
    fn random(random: &mut Random, source_port: u16) -> Result<Self> {
        let from_inside = random.below(2) == 0;
        let (near, far) = if from_inside {
            (INSIDE, OUTSIDE)
        } else {
            (OUTSIDE, INSIDE)
        };
        let family = if random.below(3) == 0 { 4..6 } else { 0..4 };
        Ok(Self {
            from_inside,
            source: random.one(&near[family.clone()]).parse()?,
            destination: random.one(&far[family]).parse()?,
            protocol: *random.one(&[TCP, UDP]),
            source_port,
            port: *random.one(&PORTS),
        })
    }

    fn frame(&self) -> Vec<u8> {
        let (from, to) = if self.from_inside {
            (Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        } else {
            (Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
        };
        let frame = Frame::between(from, to).addresses(self.source, self.destination);
        match self.protocol {
            TCP => frame.tcp(self.source_port, self.port, SYN).build(),
            _ => frame.udp(self.source_port, self.port).build(),
        }
    }

    fn is(&self, packet: &Captured) -> bool {
        !packet.outgoing
            && packet.decode().is_ok_and(|seen| {
                (seen.source, seen.destination, seen.protocol)
                    == (self.source, self.destination, self.protocol)
                    && seen.transport.ports() == Some((self.source_port, self.port))
            })
    }
}

fn texts(value: &Value) -> Vec<String> {
    let text = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        Value::Null => Vec::new(),
        one => vec![text(one)],
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// Whether an address is in what the document calls `name`.
fn address_matches(document: &Value, name: &str, address: IpAddr) -> bool {
    if name == "any" {
        return true;
    }
    if let Some(object) = document["addresses"].get(name) {
        return texts(object)
            .iter()
            .any(|part| address_matches(document, part, address));
    }
    let parse = |text: &str| {
        text.parse::<IpAddr>()
            .unwrap_or_else(|_| panic!("{text} is no address"))
    };
    let (first, last) = if let Some((first, last)) = name.split_once('-') {
        (number(parse(first)), number(parse(last)))
    } else if let Some((network, length)) = name.split_once('/') {
        let bits = if parse(network).is_ipv4() { 32 } else { 128 };
        let length: u32 = length.parse().expect("a length");
        let host_bits = (1_u128 << (bits - length)) - 1;
        (number(parse(network)), number(parse(network)) | host_bits)
    } else {
        (number(parse(name)), number(parse(name)))
    };
    let family = parse(name.split(['-', '/']).next().unwrap_or_default()).is_ipv4();
    family == address.is_ipv4() && (first..=last).contains(&number(address))
}

fn application_matches(document: &Value, name: &str, probe: &Probe) -> bool {
    let (protocol, port) = (probe.protocol, probe.port);
    match name {
        "any" => true,
        "ssh" => (protocol, port) == (TCP, 22),
        "http" => (protocol, port) == (TCP, 80),
        "https" => (protocol, port) == (TCP, 443),
        "dns" => port == 53,
        _ => {
            let own = &document["applications"][name];
            let in_range = |range: &String| match range.split_once('-') {
                Some((first, last)) => {
                    first.parse().is_ok_and(|first| port >= first)
                        && last.parse().is_ok_and(|last| port <= last)
                }
                None => range.parse() == Ok(port),
            };
            own["protocol"] == if protocol == TCP { "tcp" } else { "udp" }
                && texts(&own["destination-port"]).iter().any(in_range)
        }
    }
}

/// First match wins; the default is deny.
fn decide(document: &Value, probe: &Probe) -> String {
    let (from, to) = if probe.from_inside {
        ("trust", "untrust")
    } else {
        ("untrust", "trust")
    };
    let names = |policy: &Value, key: &str, matches: &dyn Fn(&str) -> bool| {
        texts(&policy[key]).iter().any(|name| matches(name))
    };
    let policies = document["policies"].as_array().into_iter().flatten();
    for policy in policies {
        if policy["enabled"] == true
            && names(policy, "from", &|name| name == "any" || name == from)
            && names(policy, "to", &|name| name == "any" || name == to)
            && names(policy, "source", &|name| {
                address_matches(document, name, probe.source)
            })
            && names(policy, "destination", &|name| {
                address_matches(document, name, probe.destination)
            })
            && names(policy, "application", &|name| {
                application_matches(document, name, probe)
            })
        {
            return policy["action"].as_str().unwrap_or_default().to_owned();
        }
    }
    "default".to_owned()
}

fn hosts(chain: &Chain) -> Result<()> {
    for (host, addresses) in [(&chain.client, INSIDE), (&chain.server, OUTSIDE)] {
        let add = |address: &&str| match address.contains(':') {
            true => format!("address replace {address}/64 dev eth0 nodad\n"),
            false => format!("address replace {address}/24 dev eth0\n"),
        };
        host.ip_batch(&addresses.iter().map(add).collect::<String>())?;
    }
    Ok(())
}

/// A policy whose addresses are of two families can never match and is refused: then another set takes its place.
fn commit_another(palisade: &mut Palisade, random: &mut Random) -> Result<Value> {
    loop {
        let document = document(random);
        let log = palisade.reload(&document.to_string())?;
        if log.contains("committed") {
            return Ok(document);
        }
        ensure!(log.contains("can never match"), "{document}: {log}");
    }
}

#[test]
fn thirty_random_policy_sets_decide_as_their_documents_say() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("oracle")?;
    hosts(&chain)?;
    let mut random = Random(0x5eed);
    let mut first = document(&mut random);
    first["policies"] = json!([]);
    let mut palisade = Palisade::start(&chain.fw, &first.to_string())?;
    let mut reached = std::collections::BTreeMap::<String, u32>::new();
    let denials = |palisade: &Palisade| {
        Ok::<_, anyhow::Error>((
            palisade.drops("policy-denied")?,
            palisade.drops("policy-rejected")?,
        ))
    };
    for set in 0..SETS {
        let document = commit_another(&mut palisade, &mut random)?;
        let probes: Vec<_> = (0..PROBES)
            .map(|number| Probe::random(&mut random, 10_000 + set as u16 * 100 + number as u16))
            .collect::<Result<_>>()?;
        let expected: Vec<_> = probes
            .iter()
            .map(|probe| decide(&document, probe))
            .collect();
        let count = |decision: &[&str]| {
            expected
                .iter()
                .filter(|one| decision.contains(&one.as_str()))
                .count() as u64
        };
        let (denied, rejected) = denials(&palisade)?;
        let captures = [
            Capture::start(&chain.client, "eth0")?,
            Capture::start(&chain.server, "eth0")?,
        ];
        for (inside, host) in [(true, &chain.client), (false, &chain.server)] {
            let frames: Vec<_> = probes
                .iter()
                .filter(|probe| probe.from_inside == inside)
                .map(Probe::frame)
                .collect();
            frames::send(host, "eth0", &frames)?;
        }
        for (probe, decision) in probes.iter().zip(&expected) {
            *reached.entry(decision.clone()).or_default() += 1;
            if decision == "permit" {
                let capture = &captures[usize::from(probe.from_inside)];
                capture
                    .wait_for(WAIT, |packet| probe.is(packet))
                    .with_context(|| format!("set {set}: {probe:?} is permitted by {document}"))?;
            }
        }
        let wanted = (
            denied + count(&["deny", "default"]),
            rejected + count(&["reject"]),
        );
        wait_until("the denied ones are counted", WAIT, || {
            Ok(denials(&palisade)? == wanted)
        })
        .with_context(|| {
            format!(
                "set {set}: {wanted:?}, but {:?}: {document}",
                denials(&palisade)
            )
        })?;
        for (capture, inside) in captures.into_iter().zip([false, true]) {
            let seen = capture.stop()?;
            let permitted_wrongly = probes.iter().zip(&expected).find(|(probe, decision)| {
                probe.from_inside == inside
                    && *decision != "permit"
                    && seen.iter().any(|packet| probe.is(packet))
            });
            assert_eq!(permitted_wrongly, None, "set {set}: {document}");
        }
    }
    eprintln!("{reached:?}");
    for decision in ["permit", "deny", "reject", "default"] {
        assert!(
            reached.get(decision).is_some_and(|&count| count > 20),
            "{decision}: {reached:?}"
        );
    }
    Ok(())
}
