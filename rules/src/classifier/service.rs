//! Protocol, destination port and ICMP type as one number, so that what terms ask of them is
//! ranges of numbers.
//!
//! The protocol is in the upper bits. Below it, ICMP and ICMPv6 have type and code, the others the
//! destination port; one value more stands for an ICMP packet whose type is not known, which only
//! terms without a type take.

use std::collections::BTreeMap;

use super::dimension::Ranges;
use crate::{IcmpType, PortRange, Protocol, Term, Tuple};

const UNKNOWN_TYPE: u32 = 1 << 16;

pub(crate) fn key(tuple: &Tuple, icmp: Option<IcmpType>) -> u32 {
    let detail = match (is_icmp(tuple.protocol), icmp) {
        (true, Some(icmp)) => type_and_code(icmp.kind, icmp.code),
        (true, None) => UNKNOWN_TYPE,
        (false, _) => u32::from(tuple.destination_port),
    };
    first_of(tuple.protocol) | detail
}

/// Every key that there is.
pub(crate) const EVERYTHING: (u32, u32) = (0, (256 << 17) - 1);

/// The keys that packets of a protocol with ports can have.
pub(crate) fn protocol_keys(protocol: Protocol) -> (u32, u32) {
    let first = first_of(protocol);
    (first, first | u32::from(u16::MAX))
}

/// Protocol, destination port and ICMP type of a packet that has this key.
pub(crate) fn packet_of(key: u32) -> (Protocol, u16, Option<IcmpType>) {
    let protocol = Protocol((key >> 17) as u8);
    let [_, _, upper, lower] = key.to_be_bytes();
    if !is_icmp(protocol) {
        return (protocol, u16::from_be_bytes([upper, lower]), None);
    }
    let icmp = IcmpType {
        kind: upper,
        code: lower,
    };
    (protocol, 0, (key & UNKNOWN_TYPE == 0).then_some(icmp))
}

/// What a key and a source port must be in for one of some terms to match.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) keys: Ranges<u32>,
    /// `None` is any.
    pub(crate) source_ports: Option<Ranges<u32>>,
}

/// One service for all terms that have the same source ports: nearly always one.
pub(crate) fn services<'a>(terms: impl Iterator<Item = &'a Term>) -> Vec<Service> {
    let mut by_source_ports: BTreeMap<&[PortRange], Vec<(u32, u32)>> = BTreeMap::new();
    for term in terms {
        let keys = by_source_ports.entry(&term.source_ports).or_default();
        push_keys(term, keys);
    }
    by_source_ports
        .into_iter()
        .map(|(source_ports, keys)| Service {
            keys: merge(keys),
            source_ports: (!source_ports.is_empty()).then(|| {
                let ports = source_ports.iter();
                merge(
                    ports
                        .map(|range| (range.first.into(), range.last.into()))
                        .collect(),
                )
            }),
        })
        .collect()
}

fn push_keys(term: &Term, keys: &mut Vec<(u32, u32)>) {
    let first = first_of(term.protocol);
    let of_protocol = (first, first | UNKNOWN_TYPE | (UNKNOWN_TYPE - 1));
    if is_icmp(term.protocol) {
        keys.push(match (term.icmp_type, term.icmp_code) {
            (None, _) => of_protocol,
            (Some(kind), None) => (
                first | type_and_code(kind, 0),
                first | type_and_code(kind, u8::MAX),
            ),
            (Some(kind), Some(code)) => {
                let one = first | type_and_code(kind, code);
                (one, one)
            }
        });
    } else if term.destination_ports.is_empty() {
        keys.push(protocol_keys(term.protocol));
    } else {
        let ports = term.destination_ports.iter();
        keys.extend(ports.map(|range| {
            (
                first | u32::from(range.first),
                first | u32::from(range.last),
            )
        }));
    }
}

fn first_of(protocol: Protocol) -> u32 {
    u32::from(protocol.0) << 17
}

fn is_icmp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::ICMP | Protocol::ICMPV6)
}

fn type_and_code(kind: u8, code: u8) -> u32 {
    u32::from(kind) << 8 | u32::from(code)
}

fn merge(ranges: Vec<(u32, u32)>) -> Ranges<u32> {
    crate::address::merge(ranges, |end| end.checked_add(1))
}
