//! The BPF programs on single packets, beside what userspace makes of the same packets.

mod forwarding;
mod layout;
mod lookup;
mod punts;
mod tracking;
mod traffic;

use abi::FlowKey;
use palisade_tests::fastpath::{ARRIVAL_MAC, SENDER_MAC};
use palisade_tests::frames::{Frame, mend_ipv4_checksum};
use palisade_tests::lab::MacAddr;

const TCP_FLAGS: u8 = 0x18; // PSH, ACK
const GRE: u8 = 47;
const ESP: u8 = 50;
/// Of odd and of even length, with a byte order that shows.
const PAYLOADS: [&[u8]; 2] = [b"palisade, an odd payload.", b"palisade, an even payload."];

fn ipv4() -> Frame {
    Frame::between(MacAddr(SENDER_MAC.0), MacAddr(ARRIVAL_MAC.0)).ip("192.0.2.10", "198.51.100.10")
}

fn ipv6() -> Frame {
    Frame::between(MacAddr(SENDER_MAC.0), MacAddr(ARRIVAL_MAC.0))
        .ip("2001:db8:1::10", "2001:db8:2::10")
}

/// What an established session's initiator sends: see `fastpath::establish`.
fn tcp(frame: Frame, flags: u8) -> Frame {
    frame
        .tcp(40_000, 443, flags)
        .tcp_state(1_000, 5_000, 8_192, &[])
}

/// Frames of every kind of packet that the fast path forwards.
fn every_kind() -> Vec<(String, Vec<u8>)> {
    let mut kinds = Vec::new();
    for (family, base) in [("IPv4", ipv4()), ("IPv6", ipv6())] {
        let (request, reply) = if family == "IPv4" { (8, 0) } else { (128, 129) };
        let word = 0x1234_0001;
        for payload in PAYLOADS {
            let packets = [
                ("TCP", tcp(base.clone(), TCP_FLAGS)),
                ("UDP", base.clone().udp(40_000, 53)),
                ("echo request", base.clone().icmp(request, 0, word)),
                ("echo reply", base.clone().icmp(reply, 0, word)),
                ("GRE", base.clone().protocol(GRE)),
                ("ESP", base.clone().protocol(ESP)),
            ];
            for (what, frame) in packets {
                let name = format!("{family} {what}, {} bytes", payload.len());
                kinds.push((name, frame.payload(payload).build()));
            }
        }
        kinds.push((
            format!("{family} UDP without payload, padded"),
            padded(base.udp(40_000, 53).build()),
        ));
    }
    kinds.push(("UDP without checksum".into(), without_checksum()));
    kinds
}

/// As Ethernet has it: behind the packet, of no meaning to it.
fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60) + 3, 0x5a);
    frame
}

/// UDP over IPv4 may do without (RFC 768).
fn without_checksum() -> Vec<u8> {
    let mut frame = ipv4().udp(40_000, 53).payload(PAYLOADS[0]).build();
    frame[40..42].fill(0);
    frame
}

/// The translations of a flow, by name: what its packets leave as.
fn translations(key: FlowKey) -> Vec<(&'static str, FlowKey)> {
    let address = |bytes: [u8; 16]| {
        let mut other = bytes;
        other[12..].copy_from_slice(&[203, 0, 113, 77]);
        other
    };
    // Where there is no port, there is none to translate.
    let port = |bytes: [u8; 2], to: u16| {
        if bytes == [0, 0] {
            bytes
        } else {
            to.to_be_bytes()
        }
    };
    let source = FlowKey {
        source: address(key.source),
        source_port: port(key.source_port, 0xfedc),
        ..key
    };
    let destination = |from: FlowKey| FlowKey {
        destination: address(key.destination),
        destination_port: port(key.destination_port, 0x0102),
        ..from
    };
    vec![
        ("none", key),
        ("source", source),
        ("destination", destination(key)),
        ("both", destination(source)),
        (
            "source address",
            FlowKey {
                source: source.source,
                ..key
            },
        ),
        (
            "destination port",
            FlowKey {
                destination_port: port(key.destination_port, 0x0102),
                ..key
            },
        ),
    ]
}

/// Changes bytes of an untagged frame, and its IPv4 header's checksum with them.
fn changed(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    mend_ipv4_checksum(&mut frame);
    frame
}
