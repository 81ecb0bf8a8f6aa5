//! Changing addresses, ports and TTL in place, checksums kept right by what changed.

use abi::{FlowKey, Rewrite};

use crate::checksum::{Delta, Sum};
use crate::headers::{Family, Headers, Transport};
use crate::transport::{ICMP, ICMPV6, TCP, UDP, Zero, checksum_field};
use crate::view::{put, u16_at};

/// Gives the packet the addresses and ports of `to`. `headers` must say what the frame holds now:
/// after a rewrite they no longer do. A later fragment has no ports to change; the pieces of its
/// packet are rewritten alike because `to` is the same for all of them.
///
/// Nothing behind the packet's end changes, and nothing is read but checksums. An unfilled checksum
/// must be completed first.
pub fn rewrite(frame: &mut [u8], headers: &Headers, to: &Rewrite) {
    let Some(packet) = frame.get_mut(..headers.end) else {
        return;
    };
    let addresses = rewrite_addresses(packet, headers.l3, headers.family, &headers.key, to);
    let ports = match headers.transport {
        Transport::Tcp(_) | Transport::Udp { .. } | Transport::IcmpQuery(_) => true,
        Transport::IcmpError(_) | Transport::IcmpOther(_) | Transport::Other => false,
        Transport::LaterFragment => return,
    };
    let from = FlowKey {
        source_port: if ports {
            headers.key.source_port
        } else {
            to.source_port
        },
        destination_port: if ports {
            headers.key.destination_port
        } else {
            to.destination_port
        },
        ..headers.key
    };
    rewrite_transport(packet, headers.l4, headers.family, &from, to, addresses);
}

/// Takes one hop off the TTL or hop limit.
pub fn decrement_ttl(frame: &mut [u8], headers: &Headers) {
    let ttl = headers.ttl_hops.saturating_sub(1);
    match headers.family {
        Family::V4 => {
            let protocol = headers.key.protocol;
            let delta = Delta::default().change(&[headers.ttl_hops, protocol], &[ttl, protocol]);
            patch(frame, headers.l3 + 10, delta, Zero::Value);
            put(frame, headers.l3 + 8, &[ttl]);
        }
        Family::V6 => {
            put(frame, headers.l3 + 7, &[ttl]);
        }
    }
}

/// Writes the addresses of the IP header at `l3`, and keeps its own checksum right. Returns what
/// that adds to the other checksums that cover them.
pub(crate) fn rewrite_addresses(
    packet: &mut [u8],
    l3: usize,
    family: Family,
    from: &FlowKey,
    to: &FlowKey,
) -> Delta {
    let (start, source_at, destination_at) = match family {
        Family::V4 => (12, l3 + 12, l3 + 16),
        Family::V6 => (0, l3 + 8, l3 + 24),
    };
    let (source, destination) = (&to.source[start..], &to.destination[start..]);
    let delta = Delta::default()
        .change(&from.source[start..], source)
        .change(&from.destination[start..], destination);
    put(packet, source_at, source);
    put(packet, destination_at, destination);
    if family == Family::V4 {
        patch(packet, l3 + 10, delta, Zero::Value);
    }
    delta
}

/// Ports or ICMP identifier where `from` and `to` differ, and the checksum that covers them and the
/// addresses. `packet` may end inside the header, as in an ICMP error: what is not there is not
/// written.
pub(crate) fn rewrite_transport(
    packet: &mut [u8],
    l4: usize,
    family: Family,
    from: &FlowKey,
    to: &FlowKey,
    addresses: Delta,
) {
    let Some(field) = checksum_field(from.protocol, family) else {
        return;
    };
    let mut delta = if field.covers_addresses {
        addresses
    } else {
        Delta::default()
    };
    // A query's identifier is the port of the side that asked; the other is 0 on both sides.
    let changes = if matches!(from.protocol, ICMP | ICMPV6) {
        let identifier = |key: &FlowKey| {
            if key.source_port == [0, 0] {
                key.destination_port
            } else {
                key.source_port
            }
        };
        [
            (l4 + 4, identifier(from), identifier(to)),
            (l4 + 4, [0, 0], [0, 0]),
        ]
    } else {
        [
            (l4, from.source_port, to.source_port),
            (l4 + 2, from.destination_port, to.destination_port),
        ]
    };
    for (at, old, new) in changes {
        if old != new && put(packet, at, &new) {
            delta = delta.change(&old, &new);
        }
    }
    let at = l4 + field.offset;
    patch(packet, at, delta, field.zero);
    // The two zeros of ones' complement: where every word is 0, the sum is, too, and its complement
    // is all ones. Only ICMP has such messages, and they are an echo's first few words.
    let is_icmp = from.protocol == ICMP && u16_at(packet, at) == Some(0);
    if is_icmp
        && packet
            .get(l4..)
            .is_some_and(|message| message.iter().all(|byte| *byte == 0))
    {
        put(packet, at, &[0xff, 0xff]);
    }
}

/// Applies `delta` to the checksum at `at`.
fn patch(packet: &mut [u8], at: usize, delta: Delta, zero: Zero) {
    let Some(old) = u16_at(packet, at) else {
        return;
    };
    if delta == Delta::default() || (zero == Zero::Absent && old == 0) {
        return;
    }
    put(
        packet,
        at,
        &zero.on_the_wire(delta.apply(old)).to_be_bytes(),
    );
}

/// Whether the checksum of a TCP segment or UDP datagram, all of it, is right; of anything else nobody knows.
#[must_use]
pub fn checksum_is_right(headers: &Headers, segment: &[u8]) -> bool {
    let (protocol, start) = (
        headers.key.protocol,
        match headers.family {
            Family::V4 => 12,
            Family::V6 => 0,
        },
    );
    // RFC 768: a UDP checksum of zero is none.
    if !matches!(protocol, TCP | UDP) || protocol == UDP && u16_at(segment, 6) == Some(0) {
        return true;
    }
    let sum = Sum::default()
        .pseudo_header(&headers.key.source[start..], protocol, segment.len())
        .bytes(&headers.key.destination[start..])
        .bytes(segment);
    sum.checksum() == 0
}

/// Sets the checksum of a whole TCP segment or UDP datagram whose payload has changed.
pub fn fill_checksum(frame: &mut [u8], headers: &Headers) {
    let Some(field) = checksum_field(headers.key.protocol, headers.family) else {
        return;
    };
    let start = match headers.family {
        Family::V4 => 12,
        Family::V6 => 0,
    };
    let Some(segment) = frame.get_mut(headers.l4..headers.end) else {
        return;
    };
    put(segment, field.offset, &[0, 0]);
    let sum = Sum::default()
        .pseudo_header(
            &headers.key.source[start..],
            headers.key.protocol,
            segment.len(),
        )
        .bytes(&headers.key.destination[start..])
        .bytes(segment);
    let checksum = field.zero.on_the_wire(sum.checksum());
    put(segment, field.offset, &checksum.to_be_bytes());
}

/// Sets lengths and checksums of a whole UDP datagram that now ends where `headers` say. False, and nothing changed, where IP can't say
/// that.
pub fn fill_datagram(frame: &mut [u8], headers: &Headers) -> bool {
    let length = |from: usize| u16::try_from(headers.end.saturating_sub(from)).ok();
    let (Some(datagram), Some(packet)) = (length(headers.l4), length(headers.l3)) else {
        return false;
    };
    match headers.family {
        // RFC 791 3.1.
        Family::V4 => {
            let Some(before) = u16_at(frame, headers.l3 + 2) else {
                return false;
            };
            let delta = Delta::default().change(&before.to_be_bytes(), &packet.to_be_bytes());
            put(frame, headers.l3 + 2, &packet.to_be_bytes());
            patch(frame, headers.l3 + 10, delta, Zero::Value);
        }
        // RFC 8200 3: the fixed header does not count.
        Family::V6 => {
            let behind = packet.saturating_sub(40);
            put(frame, headers.l3 + 4, &behind.to_be_bytes());
        }
    }
    // RFC 768.
    put(frame, headers.l4 + 4, &datagram.to_be_bytes());
    fill_checksum(frame, headers);
    true
}

/// Makes a TCP segment's urgent data ordinary: URG and its pointer (RFC 9293 3.1) are cleared.
pub fn clear_urgent(frame: &mut [u8], headers: &Headers) {
    const FLAGS: usize = 12;
    const CHECKSUM: usize = 16;
    const POINTER: usize = 18;

    let Some(header) = frame.get_mut(headers.l4..headers.end) else {
        return;
    };
    let Some(&[at, flags, _, _, high, low, first, second]) =
        header.get(FLAGS..).and_then(|rest| rest.first_chunk())
    else {
        return;
    };
    let cleared = flags & !crate::tcp::Flags::URG.0;
    let delta = Delta::default()
        .change(&[at, flags], &[at, cleared])
        .change(&[first, second], &[0, 0]);
    let checksum = delta.apply(u16::from_be_bytes([high, low]));
    header[FLAGS + 1] = cleared;
    put(header, CHECKSUM, &checksum.to_be_bytes());
    put(header, POINTER, &[0, 0]);
}

/// Completes a TCP or UDP checksum that holds only the pseudo-header's sum: what a local sender
/// leaves to its device, and what XDP on a veth then shows. Any other checksum is left as it is.
pub fn complete_checksum(frame: &mut [u8], headers: &Headers) {
    let (TCP | UDP, None) = (headers.key.protocol, headers.fragment) else {
        return;
    };
    let Some(field) = checksum_field(headers.key.protocol, headers.family) else {
        return;
    };
    let start = match headers.family {
        Family::V4 => 12,
        Family::V6 => 0,
    };
    let Some(segment) = frame.get_mut(headers.l4..headers.end) else {
        return;
    };
    let pseudo = Sum::default()
        .pseudo_header(
            &headers.key.source[start..],
            headers.key.protocol,
            segment.len(),
        )
        .bytes(&headers.key.destination[start..]);
    if u16_at(segment, field.offset) != Some(pseudo.folded()) {
        return;
    }
    // The field still holds the pseudo-header's sum, so summing the bytes counts it once. A checksum
    // that was complete and only looks unfilled comes out as it was.
    let checksum = Sum::default().bytes(segment).checksum();
    put(
        segment,
        field.offset,
        &field.zero.on_the_wire(checksum).to_be_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{complete_checksum, decrement_ttl, fill_datagram, rewrite};
    use crate::frames::{Frame, Layer4};
    use crate::{Checksums, Headers, Parsed, map_ipv4, parse};

    fn parsed(frame: &Frame) -> (Vec<u8>, Headers) {
        let bytes = frame.build();
        match parse(&bytes, Checksums::Verify) {
            Ok(Parsed::Ip(headers)) => (bytes, headers),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_udp_checksum_that_is_absent_stays_absent() {
        let (mut bytes, headers) = parsed(&Frame::v4(Layer4::UdpWithoutChecksum { ports: (1, 2) }));
        rewrite(&mut bytes, &headers, &headers.key.reversed());
        assert_eq!(bytes[headers.l4..headers.l4 + 8], [0, 2, 0, 1, 0, 33, 0, 0]);
    }

    #[test]
    fn a_udp_checksum_that_comes_to_zero_is_sent_as_all_ones() {
        for transport in [
            Layer4::Udp { ports: (1, 2) },
            Layer4::UdpLite { ports: (1, 2) },
        ] {
            let (mut bytes, headers) = parsed(&Frame::v4(transport));
            let at = headers.l4 + 6;
            let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            // Adds to the source's last half exactly what is missing.
            let mut to = headers.key;
            let half = u16::from_be_bytes([to.source[14], to.source[15]]);
            let (sum, carry) = half.overflowing_add(old);
            to.source[14..].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
            rewrite(&mut bytes, &headers, &to);
            assert_eq!(bytes[at..at + 2], [0xff, 0xff], "{transport:?}");
        }
    }

    #[test]
    fn an_echo_reply_of_nothing_but_zeros_has_a_right_checksum() {
        let frame = |identifier| {
            Frame::v4(Layer4::Icmp {
                kind: 0,
                word: [identifier, 0],
            })
        };
        let (mut bytes, headers) = parsed(&frame(1));
        let to = abi::FlowKey {
            destination_port: [0, 0],
            ..headers.key
        };
        rewrite(&mut bytes, &headers, &to);
        assert_eq!(bytes, frame(0).build());
    }

    #[test]
    fn a_later_fragment_keeps_its_payload() {
        let frame = Frame {
            fragment: Some((8, false)),
            ..Frame::v4(Layer4::Udp { ports: (1, 2) })
        };
        let (mut bytes, headers) = parsed(&frame);
        let to = abi::FlowKey {
            source: map_ipv4([203, 0, 113, 1]),
            source_port: [9, 9],
            ..headers.key
        };
        rewrite(&mut bytes, &headers, &to);
        assert_eq!(
            bytes,
            Frame {
                source: to.source,
                ..frame
            }
            .build()
        );
    }

    #[test]
    fn nothing_behind_a_short_packet_is_written() {
        let frame = Frame {
            payload: [7; 4].to_vec(),
            padding: 22,
            ..Frame::v4(Layer4::Raw(136))
        };
        let (mut bytes, headers) = parsed(&frame);
        rewrite(&mut bytes, &headers, &headers.key.reversed());
        assert_eq!(bytes[headers.l4..], frame.build()[headers.l4..]);
    }

    #[test]
    fn ports_that_were_not_read_are_not_written() {
        for transport in [
            Layer4::UdpLite { ports: (1, 2) },
            Layer4::Icmp {
                kind: 5,
                word: [192, 2],
            },
        ] {
            let (mut bytes, headers) = parsed(&Frame::v4(transport));
            let to = abi::FlowKey {
                source_port: [9, 9],
                destination_port: [8, 8],
                ..headers.key
            };
            let before = bytes.clone();
            rewrite(&mut bytes, &headers, &to);
            assert_eq!(bytes, before);
        }
    }

    #[test]
    fn a_datagram_of_another_length_is_what_it_would_have_been() {
        for frame in [Frame::v4, Frame::v6] {
            let (mut bytes, mut headers) = parsed(&frame(Layer4::Udp { ports: (1, 2) }));
            let other = Frame {
                payload: b"a payload of another length".to_vec(),
                ..frame(Layer4::Udp { ports: (1, 2) })
            };
            bytes.truncate(headers.l4 + 8);
            bytes.extend_from_slice(&other.payload);
            headers.end = bytes.len();
            assert!(fill_datagram(&mut bytes, &headers));
            assert_eq!(bytes, other.build());
        }
    }

    #[test]
    fn a_hop_limit_of_zero_stays() {
        let frame = Frame {
            ttl: 0,
            ..Frame::v4(Layer4::Raw(47))
        };
        let (mut bytes, headers) = parsed(&frame);
        decrement_ttl(&mut bytes, &headers);
        assert_eq!(bytes, frame.build());
    }

    #[test]
    fn a_checksum_that_is_only_wrong_is_not_mended() {
        let (mut bytes, headers) = parsed(&Frame::v6(Layer4::Udp { ports: (1, 2) }));
        bytes[headers.l4 + 6] ^= 1;
        let before = bytes.clone();
        complete_checksum(&mut bytes, &headers);
        assert_eq!(bytes, before);
    }
}
