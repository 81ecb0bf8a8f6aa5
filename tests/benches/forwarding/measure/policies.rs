//! First packets under the policies of ClassBench, judged by the appliance and by the kernel's own firewall.
//!
//! Every policy denies, and so does what none matches: no packet leaves a session behind, and every packet is a
//! first packet. Filters and packets are IPv4's, each address moved into one IPv6 network for its side, so that the
//! prefixes nest as they did and every source may arrive where it does. TCP flags are left out on both sides.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use palisade_tests::frames::Frame;
use palisade_tests::generator::Generator;
use palisade_tests::lab::{Chain, Host, Palisade};
use rules::{Question, Tuple};

use super::Round;
use super::load::SENDER_CPU;
use crate::classbench::{self, FAMILIES, Filter};
use crate::contender::Contender;
use crate::results::Unit;

/// The peer: the same rules in the order of one chain.
pub(crate) const CHAIN: &str = "nftables, one chain";

pub(crate) const SIZES: [&str; 2] = ["1k", "10k"];

const PACKETS: usize = 4_096;

/// As nftables is asked what it counted, and the appliance what it dropped.
const SETTLE: Duration = Duration::from_millis(50);

const SYN: u8 = 0x02;

pub(crate) fn judged(family: &str, size: &str) -> String {
    format!("{family}_{size}: first packets judged")
}

pub(crate) fn families() -> [&'static str; 3] {
    FAMILIES
}

pub(super) fn policies(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    chain.enable_gro()?;
    for family in FAMILIES {
        for size in SIZES {
            let filters = classbench::read(&format!("{family}_{size}"));
            let filters = filters.map_err(|reason| anyhow!(reason))?;
            let frames = frames(&filters);
            let mut generator =
                Generator::replay(&chain.client, "eth0", &frames)?.pinned_to(SENDER_CPU);
            let row = judged(family, size);

            let rate = by_chain(chain, &filters, &mut generator, round.plan.per_rate)?;
            round.results.add(&row, Unit::PerSecond, CHAIN, rate);
            let rate = by_appliance(chain, &filters, &mut generator, round.plan.per_rate)?;
            let name = contender.name();
            round.results.add(&row, Unit::PerSecond, name, rate);
        }
    }
    Ok(())
}

fn by_chain(
    chain: &Chain,
    filters: &[Filter],
    generator: &mut Generator,
    duration: Duration,
) -> Result<f64> {
    chain.filter_by_nftables(&ruleset(filters))?;
    let rate = rate(generator, duration, || chain_count(&chain.fw));
    chain.fw.check(&["nft", "flush", "ruleset"])?;
    rate
}

fn by_appliance(
    chain: &Chain,
    filters: &[Filter],
    generator: &mut Generator,
    duration: Duration,
) -> Result<f64> {
    let mut palisade = Palisade::start(&chain.fw, &configuration(filters))?;
    let rate = rate(generator, duration, || palisade.drops("policy-denied"));
    palisade.stop()?;
    rate
}

/// Packets judged in a second of a flood.
fn rate(
    generator: &mut Generator,
    duration: Duration,
    count: impl Fn() -> Result<u64>,
) -> Result<f64> {
    let before = count()?;
    let sent = generator.flat_out(duration)?;
    thread::sleep(SETTLE);
    let judged = count()? - before;
    ensure!(judged > 0, "no packet was judged");
    Ok(judged as f64 / sent.elapsed.as_secs_f64())
}

fn chain_count(host: &Host) -> Result<u64> {
    let listing = host.check(&["nft", "list", "counter", "inet", "filter", "judged"])?;
    let mut words = listing.split_whitespace();
    words
        .find(|word| *word == "packets")
        .and_then(|_| words.next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| anyhow!("no count in: {listing}"))
}

/// Drawn from the filters, and a quarter at random, as far as they are TCP or UDP.
fn frames(filters: &[Filter]) -> Vec<Vec<u8>> {
    let mut draw = classbench::numbers(1);
    let mut frames = Vec::with_capacity(PACKETS);
    while frames.len() < PACKETS {
        let question = match frames.len() % 4 {
            0 => classbench::any_packet(&mut draw),
            _ => filters[(draw() % filters.len() as u64) as usize].packet(&mut draw),
        };
        frames.extend(frame(&question));
    }
    frames
}

fn frame(question: &Question) -> Option<Vec<u8>> {
    let Tuple {
        source: IpAddr::V4(source),
        destination: IpAddr::V4(destination),
        protocol,
        source_port,
        destination_port,
    } = question.tuple
    else {
        return None;
    };
    let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC).addresses(
        moved(Side::Source, source).into(),
        moved(Side::Destination, destination).into(),
    );
    match protocol.0 {
        6 => Some(frame.tcp(source_port, destination_port, SYN).build()),
        17 => Some(frame.udp(source_port, destination_port).build()),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// Into the network of that side of the chain.
fn moved(side: Side, address: Ipv4Addr) -> Ipv6Addr {
    let network: u128 = match side {
        Side::Source => 0x2001_0db8_0001_0000_0000_0000_0000_0000,
        Side::Destination => 0x2001_0db8_0002_0000_0000_0000_0000_0000,
    };
    Ipv6Addr::from_bits(network | u128::from(address.to_bits()))
}

/// `None` is any.
fn prefix(side: Side, net: ipnet::Ipv4Net) -> Option<String> {
    let length = 96 + u32::from(net.prefix_len());
    (net.prefix_len() > 0).then(|| format!("{}/{length}", moved(side, net.network())))
}

/// ICMP's number in IPv6; others are the same.
fn protocol_number(protocol: u8) -> u8 {
    if protocol == 1 { 58 } else { protocol }
}

fn has_ports(filter: &Filter) -> bool {
    matches!(filter.protocol, Some(6 | 17))
}

fn ports((first, last): (u16, u16)) -> Option<String> {
    match (first, last) {
        (0, u16::MAX) => None,
        _ if first == last => Some(first.to_string()),
        _ => Some(format!("{first}-{last}")),
    }
}

fn ruleset(filters: &[Filter]) -> String {
    let mut chain = String::new();
    for filter in filters {
        let source = prefix(Side::Source, filter.source);
        let destination = prefix(Side::Destination, filter.destination);
        let mut matches = vec![
            source.map(|source| format!("ip6 saddr {source}")),
            destination.map(|destination| format!("ip6 daddr {destination}")),
            filter
                .protocol
                .map(|protocol| format!("meta l4proto {}", protocol_number(protocol))),
        ];
        if has_ports(filter) {
            matches.push(ports(filter.source_ports).map(|ports| format!("th sport {ports}")));
            matches.push(ports(filter.destination_ports).map(|ports| format!("th dport {ports}")));
        }
        let matches: Vec<_> = matches.into_iter().flatten().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(chain, "        {} drop", matches.join(" "));
    }
    format!(
        "table inet filter {{\n    counter judged {{ }}\n    chain forward {{\n        \
         type filter hook forward priority filter; policy drop;\n        counter name judged\n{chain}    }}\n}}\n"
    )
}

fn configuration(filters: &[Filter]) -> String {
    let (mut applications, mut policies) = (BTreeSet::new(), String::new());
    for (number, filter) in filters.iter().enumerate() {
        let list = |prefix: Option<String>| {
            prefix.map_or_else(|| "any".to_owned(), |it| format!("\"{it}\""))
        };
        let application = filter.protocol.map_or_else(
            || "any".to_owned(),
            |protocol| {
                let (name, line) = application(filter, protocol_number(protocol));
                applications.insert(line);
                name
            },
        );
        let _ = writeln!(
            policies,
            "  - {{ name: filter-{number}, from: any, to: any, source: [{}], destination: [{}], \
             application: [{application}], action: deny }}",
            list(prefix(Side::Source, filter.source)),
            list(prefix(Side::Destination, filter.destination)),
        );
    }
    let applications: String = applications.into_iter().collect();
    format!(
        "version: 1
interfaces:
  left: {{ device: eth1, attach: tc, addresses: [\"2001:db8:1::1/64\"] }}
  right: {{ device: eth2, attach: tc, addresses: [\"2001:db8:2::1/64\"] }}
zones:
  trust: {{ interfaces: [left] }}
  untrust: {{ interfaces: [right] }}
applications:
{applications}policies:
{policies}"
    )
}

/// Its name, and its line in the document.
fn application(filter: &Filter, protocol: u8) -> (String, String) {
    let (mut name, mut term) = (format!("p{protocol}"), format!("protocol: {protocol}"));
    if has_ports(filter) {
        for (key, range) in [
            ("source-port", filter.source_ports),
            ("destination-port", filter.destination_ports),
        ] {
            let _ = write!(name, "-{}-{}", range.0, range.1);
            if let Some(ports) = ports(range) {
                let _ = write!(term, ", {key}: [{ports}]");
            }
        }
    }
    let line = format!("  {name}: [{{ {term} }}]\n");
    (name, line)
}
