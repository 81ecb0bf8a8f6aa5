//! What must hold for every frame: each edit against the same frame built anew, and every operation
//! against bytes from anywhere.

use std::vec;
use std::vec::Vec;

use abi::{FlowKey, Rewrite};
use proptest::collection::vec as many;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::checksum::{Delta, Sum};
use crate::frames::{Frame, Layer4, checksum, samples};
use crate::{
    Checksums, Headers, Mac, Parsed, Quoted, Transport, complete_checksum, decrement_ttl,
    fragment_ipv4, parse, quoted, rewrite, rewrite_quoted, set_link,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_sum_is_the_checksum_of_rfc_1071(bytes in many(any::<u8>(), 0..3_000), cut in any::<Index>()) {
        let cut = cut.index(bytes.len() + 1) & !1;
        let sum = Sum::default().bytes(&bytes[..cut]).bytes(&bytes[cut..]);
        prop_assert_eq!(sum.checksum(), checksum(&bytes));
    }

    #[test]
    fn a_delta_is_what_summing_anew_gives(
        mut bytes in many(select(vec![0, 1, 0x7f, 0xfe, 0xff]), 12),
        new in many(select(vec![0, 1, 0x80, 0xff]), 4),
    ) {
        let old = checksum(&bytes);
        let delta = Delta::default().change(&bytes[4..8], &new);
        bytes[4..8].copy_from_slice(&new);
        // The two zeros of ones' complement stand for each other.
        prop_assert_eq!(delta.apply(old) % 0xffff, checksum(&bytes) % 0xffff);
    }

    #[test]
    fn a_rewritten_frame_is_the_frame_built_anew(frame in frame(), to in ends()) {
        let mut bytes = frame.build();
        let headers = headers(&bytes);
        let expected = frame.with_ends(&to);
        rewrite(&mut bytes, &headers, &expected.key());
        prop_assert_eq!(&bytes, &expected.build());
    }

    #[test]
    fn a_rewrite_and_its_inverse_leave_the_frame_as_it_was(frame in frame(), to in ends()) {
        let original = frame.build();
        let mut bytes = original.clone();
        let before = headers(&bytes);
        rewrite(&mut bytes, &before, &frame.with_ends(&to).key());
        let after = headers(&bytes);
        rewrite(&mut bytes, &after, &before.key);
        prop_assert_eq!(bytes, original);
    }

    #[test]
    fn a_hop_less_is_the_frame_built_with_one_less(frame in frame()) {
        let mut bytes = frame.build();
        let headers = headers(&bytes);
        decrement_ttl(&mut bytes, &headers);
        let expected = Frame { ttl: frame.ttl.saturating_sub(1), ..frame };
        prop_assert_eq!(bytes, expected.build());
    }

    #[test]
    fn a_completed_checksum_is_the_full_one(frame in frame(), filled in any::<bool>()) {
        let expected = frame.build();
        let mut bytes = expected.clone();
        let headers = headers(&bytes);
        let offset = match frame.transport {
            Layer4::Tcp { .. } => 16,
            Layer4::Udp { .. } => 6,
            _ => return Ok(()),
        };
        if !filled && headers.fragment.is_none() {
            let pseudo = !checksum(&frame.pseudo_header(headers.end - headers.l4));
            bytes[headers.l4 + offset..headers.l4 + offset + 2].copy_from_slice(&pseudo.to_be_bytes());
        }
        complete_checksum(&mut bytes, &headers);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn a_rewritten_error_is_the_error_built_anew(
        inner in frame(), inner_to in ends(), outer_to in ends(), cut in any::<Index>(), padding in 0..8usize,
    ) {
        let original = inner.packet();
        let parsed = headers(&inner.build());
        if !matches!(parsed.transport, Transport::Tcp(_) | Transport::Udp { .. } | Transport::IcmpQuery(_)) {
            return Ok(());
        }
        let least = parsed.l4 - parsed.l3 + 8;
        let mut kept = least + cut.index(original.len() - least + 1);
        if kept == least + 9 {
            // Half of TCP's checksum: it can't be kept right, so it is left alone.
            kept -= 1;
        }
        let outer = |inner: &Frame, base: &Frame| Frame {
            vlans: base.vlans.clone(),
            source: base.source,
            destination: base.destination,
            payload: inner.packet()[..kept].to_vec(),
            padding,
            ..if inner.v6 { Frame::v6(ERROR_V6) } else { Frame::v4(ERROR_V4) }
        };
        let before = outer(&inner, &inner);
        let mut bytes = before.build();
        let error = headers(&bytes);
        let found = quoted(&bytes, &error);
        prop_assert_eq!(found.map(|quoted| quoted.key), Some(parsed.key));
        let expected_inner = inner.with_ends(&inner_to);
        let ends = inner.with_ends(&outer_to);
        if let Some(found) = found {
            rewrite_quoted(&mut bytes, &error, &found, &expected_inner.key(), &ends.source, &ends.destination);
        }
        prop_assert_eq!(bytes, outer(&expected_inner, &ends).build());
    }

    #[test]
    fn fragments_make_up_the_packet(
        payload in many(any::<u8>(), 0..4_000),
        options in select(vec![vec![], vec![148, 4, 0, 0], vec![7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0]]),
        base in 0..4_000u16, more in any::<bool>(), mtu in 68..1_600usize, second_mtu in 68..600usize,
    ) {
        let more = more && payload.len() % 8 == 0;
        let frame = Frame {
            payload, options, fragment: Some((base * 8, more)), ..Frame::v4(Layer4::Raw(17))
        };
        let packet = frame.packet();
        let body = packet[20 + frame.options.len()..].to_vec();
        let pieces = cut_all(&[packet], mtu);
        check_pieces(&pieces, &body, base * 8, more, mtu);
        let smaller = cut_all(&pieces, second_mtu.min(mtu));
        check_pieces(&smaller, &body, base * 8, more, second_mtu.min(mtu));
    }

    #[test]
    fn a_link_header_is_read_as_it_was_written(frame in frame(), vlan in 0..4_095u16) {
        let packet = frame.packet();
        let mut bytes = [vec![0xee; 20], packet.clone()].concat();
        let length = set_link(&mut bytes, 20, Mac([2; 6]), Mac([4; 6]), vlan);
        prop_assert_eq!(length, Some(if vlan == 0 { 14 } else { 18 }));
        let start = 20 - length.unwrap_or_default();
        prop_assert!(bytes[..start].iter().all(|byte| *byte == 0xee));
        let read = headers(&bytes[start..]);
        prop_assert_eq!((read.link.destination, read.link.source), (Mac([2; 6]), Mac([4; 6])));
        prop_assert_eq!((read.link.vlan, read.link.inner_vlan), (vlan, 0));
        prop_assert_eq!(&bytes[20..], &packet[..]);
    }

    #[test]
    fn bytes_from_anywhere_are_handled(bytes in many(any::<u8>(), 0..200), to in ends()) {
        exercise(&bytes, &to);
    }

    #[test]
    fn damaged_frames_are_handled(
        pick in any::<Index>(), edits in many((any::<Index>(), any::<u8>()), 0..6), cut in any::<Index>(), to in ends(),
    ) {
        let samples = samples();
        let mut bytes = pick.get(&samples).1.clone();
        for (at, value) in edits {
            if let Some(byte) = bytes.get_mut(at.index(80)) {
                *byte = value;
            }
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len() + 1) / 4);
        exercise(&bytes, &to);
        mend_ipv4(&mut bytes);
        exercise(&bytes, &to);
    }
}

const ERROR_V4: Layer4 = Layer4::Icmp {
    kind: 3,
    word: [0, 0],
};
const ERROR_V6: Layer4 = Layer4::Icmp {
    kind: 1,
    word: [0, 0],
};

/// Addresses and ports to change to.
#[derive(Clone, Debug)]
struct Ends {
    source: [u8; 16],
    destination: [u8; 16],
    ports: (u16, u16),
}

fn ends() -> impl Strategy<Value = Ends> {
    (address(), address(), port(), port()).prop_map(|(source, destination, from, to)| Ends {
        source,
        destination,
        ports: (from, to),
    })
}

/// Both ends of the range come often: that is where ones' complement has two zeros.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![any::<u16>(), select(vec![0, 1, 0xfffe, 0xffff])]
}

fn address() -> impl Strategy<Value = [u8; 16]> {
    prop_oneof![any::<[u8; 16]>(), Just([0; 16]), Just([0xff; 16])]
}

fn transport() -> impl Strategy<Value = Layer4> {
    let ports = || (port(), port());
    prop_oneof![
        (ports(), any::<u8>()).prop_map(|(ports, flags)| Layer4::Tcp { ports, flags }),
        ports().prop_map(|ports| Layer4::Udp { ports }),
        ports().prop_map(|ports| Layer4::UdpWithoutChecksum { ports }),
        ports().prop_map(|ports| Layer4::UdpLite { ports }),
        (
            select(vec![0u8, 8, 14, 17, 128, 129, 5, 135]),
            port(),
            port()
        )
            .prop_map(|(kind, id, sequence)| Layer4::Icmp {
                kind,
                word: [id, sequence]
            }),
        select(vec![47u8, 50, 132, 253]).prop_map(Layer4::Raw),
    ]
}

/// A frame that is right in everything.
fn frame() -> impl Strategy<Value = Frame> {
    let payload = prop_oneof![
        many(any::<u8>(), 0..64),
        many(select(vec![0u8, 0xff]), 0..9),
        many(any::<u8>(), 1_000..1_500)
    ];
    let options = select(vec![
        vec![],
        vec![148, 4, 0, 0],
        vec![7, 7, 4, 0, 0, 0, 0, 0],
    ]);
    let extensions = select(vec![
        vec![],
        vec![(0, vec![1, 4, 0, 0, 0, 0]), (51, vec![0; 14])],
        vec![(43, vec![4; 14])],
    ]);
    let fragment = select(vec![
        None,
        None,
        None,
        Some((0, true)),
        Some((1_480, false)),
        Some((8, true)),
    ]);
    (
        (
            many(any::<u16>(), 0..3),
            any::<bool>(),
            any::<u8>(),
            any::<bool>(),
            0..20usize,
        ),
        (ends(), transport(), payload, options, extensions, fragment),
    )
        .prop_map(
            |(
                (vlans, v6, ttl, dont_fragment, padding),
                (ends, transport, mut payload, options, mut extensions, fragment),
            )| {
                for (kind, content) in &mut extensions {
                    if *kind == 43 {
                        // No segments left.
                        content[1] = 0;
                    }
                }
                if fragment.is_some() {
                    payload.truncate(payload.len() & !7);
                    if payload.is_empty() {
                        payload = vec![0x33; 8];
                    }
                }
                // A first fragment of TCP: 20 bytes of header and a payload that makes them a multiple of 8.
                if fragment == Some((0, true)) && matches!(transport, Layer4::Tcp { .. }) {
                    payload.extend([0x44; 4]);
                }
                let frame = Frame {
                    vlans,
                    v6,
                    ttl,
                    dont_fragment,
                    fragment,
                    options,
                    extensions,
                    transport,
                    payload,
                    padding,
                    ..Frame::v4(transport)
                };
                frame.with_ends(&ends)
            },
        )
}

impl Frame {
    /// The same frame between other ends.
    fn with_ends(&self, ends: &Ends) -> Self {
        let (source, destination) = if self.v6 {
            (ends.source, ends.destination)
        } else {
            (mapped(ends.source), mapped(ends.destination))
        };
        let ports = ends.ports;
        let transport = match self.transport {
            Layer4::Tcp { flags, .. } => Layer4::Tcp { ports, flags },
            Layer4::Udp { .. } => Layer4::Udp { ports },
            Layer4::UdpWithoutChecksum { .. } => Layer4::UdpWithoutChecksum { ports },
            Layer4::Icmp {
                kind,
                word: [_, sequence],
            } if is_query(self.v6, kind) => Layer4::Icmp {
                kind,
                word: [ports.0, sequence],
            },
            unported => unported,
        };
        Self {
            source,
            destination,
            transport,
            ..self.clone()
        }
    }

    /// The key that the frame should be found to have.
    fn key(&self) -> Rewrite {
        let (from, to) = match self.transport {
            Layer4::Tcp { ports, .. }
            | Layer4::Udp { ports }
            | Layer4::UdpWithoutChecksum { ports } => ports,
            Layer4::Icmp {
                kind,
                word: [id, _],
            } if is_query(self.v6, kind) => {
                if matches!(kind, 8 | 17 | 128) {
                    (id, 0)
                } else {
                    (0, id)
                }
            }
            _ => (0, 0),
        };
        FlowKey {
            source: self.source,
            destination: self.destination,
            source_port: from.to_be_bytes(),
            destination_port: to.to_be_bytes(),
            protocol: self.protocol(),
            padding: 0,
            scope: 0,
        }
    }
}

fn is_query(v6: bool, kind: u8) -> bool {
    if v6 {
        matches!(kind, 128 | 129)
    } else {
        matches!(kind, 0 | 8 | 14 | 17)
    }
}

fn mapped(address: [u8; 16]) -> [u8; 16] {
    crate::map_ipv4([address[12], address[13], address[14], address[15]])
}

/// Of a frame that must parse.
fn headers(bytes: &[u8]) -> Headers {
    match parse(bytes, Checksums::Verify) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("not IP: {other:?}"),
    }
}

fn cut_all(packets: &[Vec<u8>], mtu: usize) -> Vec<Vec<u8>> {
    let mut pieces = vec![];
    for packet in packets {
        assert!(fragment_ipv4(packet, mtu, &mut [0; 2_048], |piece| pieces
            .push(piece.to_vec())));
    }
    pieces
}

fn check_pieces(pieces: &[Vec<u8>], body: &[u8], base: u16, more: bool, mtu: usize) {
    let mut found: Vec<u8> = vec![];
    for (index, piece) in pieces.iter().enumerate() {
        let header_bytes = usize::from(piece[0] & 0xf) * 4;
        let field = u16::from_be_bytes([piece[6], piece[7]]);
        assert!(piece.len() <= mtu);
        assert_eq!(
            usize::from(u16::from_be_bytes([piece[2], piece[3]])),
            piece.len()
        );
        assert_eq!(checksum(&piece[..header_bytes]), 0);
        assert_eq!(
            usize::from(field & 0x1fff) * 8,
            usize::from(base) + found.len()
        );
        assert_eq!(field & 0x2000 != 0, more || index + 1 < pieces.len());
        found.extend(&piece[header_bytes..]);
    }
    assert_eq!(found, body);
}

/// Everything that can be done to a frame. Nothing panics, reads past the packet or writes there.
fn exercise(bytes: &[u8], to: &Ends) {
    for checksums in [Checksums::Verify, Checksums::Unfilled] {
        let Ok(Parsed::Ip(headers)) = parse(bytes, checksums) else {
            continue;
        };
        check_offsets(bytes, &headers);
        let to = Rewrite {
            source: to.source,
            destination: to.destination,
            source_port: to.ports.0.to_be_bytes(),
            destination_port: to.ports.1.to_be_bytes(),
            ..headers.key
        };
        let same_outside = |edited: &[u8]| {
            assert_eq!(edited[..headers.l3], bytes[..headers.l3]);
            assert_eq!(edited[headers.end..], bytes[headers.end..]);
        };
        let mut edited = bytes.to_vec();
        complete_checksum(&mut edited, &headers);
        rewrite(&mut edited, &headers, &to);
        decrement_ttl(&mut edited, &headers);
        same_outside(&edited);
        if let Some(quoted) = quoted(bytes, &headers) {
            let Quoted { l3, l4, .. } = quoted;
            assert!(headers.l4 < l3 && l3 < l4 && l4 <= headers.end);
            let mut edited = bytes.to_vec();
            rewrite_quoted(
                &mut edited,
                &headers,
                &quoted,
                &to,
                &to.source,
                &to.destination,
            );
            same_outside(&edited);
        }
        set_link(&mut edited, headers.l3, Mac::BROADCAST, Mac::BROADCAST, 7);
        fragment_ipv4(&bytes[headers.l3..headers.end], 68, &mut [0; 100], |_| ());
    }
    fragment_ipv4(bytes, 68, &mut [0; 100], |_| ());
}

fn check_offsets(bytes: &[u8], headers: &Headers) {
    let Headers {
        link, l3, l4, end, ..
    } = *headers;
    assert!(link.length == l3 && l3 < l4 && l4 <= end && end <= bytes.len());
    if let Some(fragment) = headers.fragment {
        assert!(l3 < fragment.payload && fragment.payload <= l4 && l4 <= end);
        assert!(fragment.offset + (end - fragment.payload) <= 65_535);
    }
    if let Transport::Tcp(tcp) = headers.transport {
        assert_eq!(l4 + tcp.header_bytes + tcp.payload_bytes, end);
    }
}

/// Gives an IPv4 header the checksum without which nothing behind it is read.
fn mend_ipv4(bytes: &mut [u8]) {
    let Some(first @ 0x45..=0x4f) = bytes.get(14).copied() else {
        return;
    };
    let header_bytes = usize::from(first & 0xf) * 4;
    if let Some(header) = bytes.get_mut(14..14 + header_bytes) {
        header[10..12].fill(0);
        let sum = checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}
