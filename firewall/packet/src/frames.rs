//! Frames for tests, built byte by byte with every checksum summed up in full: a second opinion on
//! the code under test, which it does not use.

use std::vec;
use std::vec::Vec;

/// What a frame is to hold. Lengths and checksums follow from it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Outermost first.
    pub(crate) vlans: Vec<u16>,
    pub(crate) v6: bool,
    /// Of an IPv4 frame the last four bytes count.
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    /// Offset in bytes, and whether more follow.
    pub(crate) fragment: Option<(u16, bool)>,
    /// IPv4 options, a multiple of 4 bytes.
    pub(crate) options: Vec<u8>,
    /// IPv6 extension headers: type and content from the third byte on, 6 + 8n bytes.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) transport: Layer4,
    pub(crate) payload: Vec<u8>,
    /// Behind the packet.
    pub(crate) padding: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer4 {
    Tcp {
        ports: (u16, u16),
        flags: u8,
    },
    Udp {
        ports: (u16, u16),
    },
    UdpWithoutChecksum {
        ports: (u16, u16),
    },
    UdpLite {
        ports: (u16, u16),
    },
    /// ICMP or ICMPv6; `word` is the identifier and sequence number of a query.
    Icmp {
        kind: u8,
        word: [u16; 2],
    },
    /// Only the payload.
    Raw(u8),
}

pub(crate) const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub(crate) const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

impl Frame {
    pub(crate) fn v4(transport: Layer4) -> Self {
        let mapped = |tail: [u8; 4]| {
            let mut address = [0; 16];
            address[10..12].copy_from_slice(&[0xff, 0xff]);
            address[12..].copy_from_slice(&tail);
            address
        };
        Self {
            vlans: vec![],
            v6: false,
            source: mapped([192, 0, 2, 10]),
            destination: mapped([198, 51, 100, 20]),
            ttl: 64,
            dont_fragment: false,
            fragment: None,
            options: vec![],
            extensions: vec![],
            transport,
            payload: b"palisade, an odd payload.".to_vec(),
            padding: 0,
        }
    }

    pub(crate) fn v6(transport: Layer4) -> Self {
        let net = |last| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        Self {
            v6: true,
            source: net(1),
            destination: net(2),
            ..Self::v4(transport)
        }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut frame = [MAC_B, MAC_A].concat();
        for vlan in &self.vlans {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        frame.extend(if self.v6 { [0x86, 0xdd] } else { [8, 0] });
        frame.extend(self.packet());
        frame.resize(frame.len() + self.padding, 0x5a);
        frame
    }

    /// The IP packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        if self.v6 {
            self.packet_v6()
        } else {
            self.packet_v4()
        }
    }

    fn packet_v4(&self) -> Vec<u8> {
        let body = self.body();
        let header_bytes = 20 + self.options.len();
        let (offset, more) = self.fragment.unwrap_or_default();
        let field = (offset / 8) | (u16::from(more) << 13) | (u16::from(self.dont_fragment) << 14);
        let mut packet = vec![0x40 | (header_bytes / 4) as u8, 0];
        packet.extend(((header_bytes + body.len()) as u16).to_be_bytes());
        packet.extend([0x12, 0x34]);
        packet.extend(field.to_be_bytes());
        packet.extend([self.ttl, self.protocol(), 0, 0]);
        packet.extend(&self.source[12..]);
        packet.extend(&self.destination[12..]);
        packet.extend(&self.options);
        let checksum = checksum(&packet);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet.extend(body);
        packet
    }

    fn packet_v6(&self) -> Vec<u8> {
        let mut headers: Vec<(u8, Vec<u8>)> = self.extensions.clone();
        if let Some((offset, more)) = self.fragment {
            let [high, low] = (offset | u16::from(more)).to_be_bytes();
            headers.push((44, vec![high, low, 0, 0, 0x12, 0x34]));
        }
        let following = headers
            .iter()
            .skip(1)
            .map(|(kind, _)| *kind)
            .chain([self.protocol()]);
        let first = headers.first().map_or(self.protocol(), |(kind, _)| *kind);
        let mut rest = vec![];
        for ((kind, content), next) in headers.iter().zip(following) {
            let units = match kind {
                44 => 0,
                51 => (content.len() + 2) / 4 - 2,
                _ => content.len() / 8,
            };
            rest.extend([next, units as u8]);
            rest.extend(content);
        }
        rest.extend(self.body());
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((rest.len() as u16).to_be_bytes());
        packet.extend([first, self.ttl]);
        packet.extend(self.source);
        packet.extend(self.destination);
        packet.extend(rest);
        packet
    }

    /// Transport header and payload; of a later fragment only payload.
    fn body(&self) -> Vec<u8> {
        if self.fragment.is_some_and(|(offset, _)| offset > 0) {
            return self.payload.clone();
        }
        let length = (8 + self.payload.len()) as u16;
        let (mut bytes, checksum_at) = match self.transport {
            Layer4::Tcp { ports, flags } => {
                let mut header = words(&[ports.0, ports.1, 0x1111, 0x2222, 0x3333, 0x4444]);
                header.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
                (header, 16)
            }
            Layer4::Udp { ports } => (words(&[ports.0, ports.1, length, 0]), 6),
            Layer4::UdpWithoutChecksum { ports } => {
                let mut header = words(&[ports.0, ports.1, length, 0]);
                header.extend(&self.payload);
                return header;
            }
            // RFC 3828: a coverage of 0 is all of it.
            Layer4::UdpLite { ports } => (words(&[ports.0, ports.1, 0, 0]), 6),
            Layer4::Icmp { kind, word } => (words(&[u16::from(kind) << 8, 0, word[0], word[1]]), 2),
            Layer4::Raw(_) => return self.payload.clone(),
        };
        bytes.extend(&self.payload);
        let mut covered = if self.protocol() == 1 {
            vec![]
        } else {
            self.pseudo_header(bytes.len())
        };
        covered.extend(&bytes);
        let sum = match (checksum(&covered), self.transport) {
            (0, Layer4::Udp { .. } | Layer4::UdpLite { .. }) => 0xffff,
            (sum, _) => sum,
        };
        bytes[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// An even number of bytes.
    pub(crate) fn pseudo_header(&self, length: usize) -> Vec<u8> {
        let start = if self.v6 { 0 } else { 12 };
        let mut bytes = self.source[start..].to_vec();
        bytes.extend(&self.destination[start..]);
        bytes.extend((length as u32).to_be_bytes());
        bytes.extend([0, 0, 0, self.protocol()]);
        bytes
    }

    pub(crate) fn protocol(&self) -> u8 {
        match self.transport {
            Layer4::Tcp { .. } => 6,
            Layer4::Udp { .. } | Layer4::UdpWithoutChecksum { .. } => 17,
            Layer4::UdpLite { .. } => 136,
            Layer4::Icmp { .. } if self.v6 => 58,
            Layer4::Icmp { .. } => 1,
            Layer4::Raw(protocol) => protocol,
        }
    }
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// RFC 1071, word by word, each carry brought around at once.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    !bytes.chunks(2).fold(0, |sum: u16, pair| {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

/// One frame of every kind that is treated differently, by name: whole ones, then malformed ones.
pub(crate) fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let tcp = Layer4::Tcp {
        ports: (40_000, 443),
        flags: 0x02,
    };
    let udp = Layer4::Udp {
        ports: (40_000, 53),
    };
    let echo = |kind| Layer4::Icmp {
        kind,
        word: [0x0102, 1],
    };
    let error = |v6, kind| {
        let inner = if v6 { Frame::v6(udp) } else { Frame::v4(udp) };
        let outer = if v6 {
            Frame::v6(echo(kind))
        } else {
            Frame::v4(echo(kind))
        };
        Frame {
            payload: inner.packet(),
            source: inner.destination,
            destination: inner.source,
            ..outer
        }
    };
    let routing = |kind, left| (43, vec![kind, left, 0, 0, 0, 0]);
    let padded = |kind| (kind, vec![1, 4, 0, 0, 0, 0]);
    let v4 = |name, options: &[u8]| {
        (
            name,
            Frame {
                options: options.to_vec(),
                ..Frame::v4(udp)
            }
            .build(),
        )
    };
    let v6 = |name, extensions| {
        (
            name,
            Frame {
                extensions,
                ..Frame::v6(udp)
            }
            .build(),
        )
    };
    let piece = |name, base: Frame, offset, more| {
        let payload = vec![0x77; 24];
        (
            name,
            Frame {
                payload,
                fragment: Some((offset, more)),
                ..base
            }
            .build(),
        )
    };
    let damaged = |name, mut frame: Vec<u8>, at: usize, value: u8| {
        frame[at] = value;
        (name, frame)
    };
    let cut = |name, mut frame: Vec<u8>, bytes: usize| {
        frame.truncate(bytes);
        (name, frame)
    };
    vec![
        ("ipv4-tcp-syn", Frame::v4(tcp).build()),
        ("ipv6-tcp-syn", Frame::v6(tcp).build()),
        ("ipv4-udp", Frame::v4(udp).build()),
        ("ipv6-udp", Frame::v6(udp).build()),
        (
            "ipv4-udp-no-checksum",
            Frame::v4(Layer4::UdpWithoutChecksum { ports: (1, 2) }).build(),
        ),
        (
            "ipv4-udp-lite",
            Frame::v4(Layer4::UdpLite { ports: (1, 2) }).build(),
        ),
        ("ipv4-sctp", Frame::v4(Layer4::Raw(132)).build()),
        ("ipv6-no-next-header", Frame::v6(Layer4::Raw(59)).build()),
        ("ipv4-echo", Frame::v4(echo(8)).build()),
        ("ipv4-echo-reply", Frame::v4(echo(0)).build()),
        ("ipv6-echo", Frame::v6(echo(128)).build()),
        ("ipv6-echo-reply", Frame::v6(echo(129)).build()),
        ("ipv4-redirect", Frame::v4(echo(5)).build()),
        ("ipv6-neighbour-solicitation", Frame::v6(echo(135)).build()),
        ("ipv4-unreachable", error(false, 3).build()),
        ("ipv4-time-exceeded", error(false, 11).build()),
        ("ipv6-too-big", error(true, 2).build()),
        (
            "ipv4-tag",
            Frame {
                vlans: vec![100],
                ..Frame::v4(udp)
            }
            .build(),
        ),
        (
            "ipv6-two-tags",
            Frame {
                vlans: vec![100, 0x6fff],
                ..Frame::v6(tcp)
            }
            .build(),
        ),
        (
            "three-tags",
            Frame {
                vlans: vec![1, 2, 3],
                ..Frame::v4(udp)
            }
            .build(),
        ),
        (
            "ipv4-padding",
            Frame {
                padding: 18,
                payload: vec![],
                ..Frame::v4(udp)
            }
            .build(),
        ),
        v4("ipv4-router-alert", &[148, 4, 0, 0]),
        v4("ipv4-timestamp", &[1, 68, 7, 5, 0, 0, 0, 0]),
        v4("ipv4-loose-source-route", &[131, 7, 4, 192, 0, 2, 1, 0]),
        v4("ipv4-option-too-long", &[7, 9, 4, 0]),
        v4("ipv4-option-of-no-length", &[7, 0, 4, 0]),
        piece("ipv4-first-fragment", Frame::v4(udp), 0, true),
        piece("ipv4-later-fragment", Frame::v4(udp), 1480, true),
        piece("ipv4-last-fragment", Frame::v4(udp), 2960, false),
        piece(
            "ipv4-fragment-beyond-the-end",
            Frame::v4(udp),
            65_528,
            false,
        ),
        piece("ipv6-first-fragment", Frame::v6(udp), 0, true),
        piece("ipv6-last-fragment", Frame::v6(tcp), 1232, false),
        piece("ipv6-atomic-fragment", Frame::v6(udp), 0, false),
        v6(
            "ipv6-extensions",
            vec![padded(0), padded(60), routing(4, 0), (51, vec![0; 14])],
        ),
        v6("ipv6-hop-by-hop-late", vec![padded(60), padded(0)]),
        v6("ipv6-routing-type-0", vec![routing(0, 0)]),
        v6("ipv6-segments-left", vec![routing(4, 1)]),
        v6("ipv6-nine-extensions", vec![padded(60); 9]),
        v6(
            "ipv6-two-fragment-headers",
            vec![(44, vec![0; 6]), (44, vec![0; 6])],
        ),
        ("arp", [&MAC_B[..], &MAC_A, &[8, 6], &[0; 28]].concat()),
        ("empty", vec![]),
        cut("link-header-cut", Frame::v4(udp).build(), 13),
        cut("ipv4-header-cut", Frame::v4(udp).build(), 30),
        cut("ipv4-packet-cut", Frame::v4(udp).build(), 50),
        cut("ipv6-header-cut", Frame::v6(udp).build(), 53),
        cut("ipv6-packet-cut", Frame::v6(udp).build(), 60),
        damaged("ipv4-version-5", Frame::v4(udp).build(), 14, 0x55),
        damaged("ipv4-short-header", Frame::v4(udp).build(), 14, 0x44),
        damaged("ipv4-checksum", Frame::v4(udp).build(), 24, 0),
        damaged("ipv4-tcp-checksum", Frame::v4(tcp).build(), 50, 0),
        damaged("ipv4-tcp-data-offset", Frame::v4(tcp).build(), 46, 0x40),
        damaged("ipv4-udp-length", Frame::v4(udp).build(), 38, 0xff),
        damaged("ipv4-error-checksum", error(false, 3).build(), 37, 1),
    ]
}

/// After a sample was added, `PALISADE_WRITE_CORPUS=1 cargo test -p palisade-packet` writes it. The
/// targets `rewrite` and `quoted` take addresses and ports before the frame.
#[test]
fn the_corpus_holds_every_sample() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let writes = std::env::var_os("PALISADE_WRITE_CORPUS").is_some();
    let ends: Vec<u8> = (0x40..0x40 + 36).collect();
    for (target, before) in [("parse", &[][..]), ("rewrite", &ends), ("quoted", &ends)] {
        for (name, frame) in samples() {
            let (file, sample) = (corpus.join(target).join(name), [before, &frame].concat());
            if writes {
                std::fs::write(&file, &sample).unwrap();
            }
            assert!(
                std::fs::read(&file).is_ok_and(|held| held == sample),
                "{}",
                file.display()
            );
        }
    }
}
