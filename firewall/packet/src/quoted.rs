//! The packet that an ICMP error quotes (RFC 792, RFC 4443 2.4, RFC 5508 section 4).

use abi::{FlowKey, Rewrite};

use crate::checksum::Sum;
use crate::headers::{Family, Headers, Transport};
use crate::rewrite::{rewrite_addresses, rewrite_transport};
use crate::transport::{ICMP, ICMPV6, IcmpRole, TCP, UDP, icmp_role};
use crate::view::{map_ipv4, put, u16_at};
use crate::{ipv4, ipv6};

/// Where the quoted packet stands, and which flow sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Where its IP header starts in the frame.
    pub l3: usize,
    /// Where its transport header starts; it may be cut short behind the ports.
    pub l4: usize,
    /// Addresses and ports as it was sent.
    pub key: FlowKey,
}

/// Reads the packet quoted by the ICMP error in `frame`; `None` where too little of it is there
/// to say which flow sent it. A fragment of an error has no checksum that could be kept right: `None`.
#[must_use]
pub fn quoted(frame: &[u8], error: &Headers) -> Option<Quoted> {
    if error.fragment.is_some() || !matches!(error.transport, Transport::IcmpError(_)) {
        return None;
    }
    let l3 = error.l4 + 8;
    let packet = frame.get(l3..error.end)?;
    let (source, destination, protocol, l4) = match error.family {
        Family::V4 => {
            let header_bytes = ipv4::header_bytes(packet)?;
            packet.get(..header_bytes)?;
            // A later fragment quotes no ports.
            if u16_at(packet, 6)? & 0x1fff != 0 {
                return None;
            }
            let mapped = |at: usize| packet.get(at..at + 4)?.try_into().ok().map(map_ipv4);
            (mapped(12)?, mapped(16)?, *packet.get(9)?, header_bytes)
        }
        Family::V6 => {
            if packet.first()? >> 4 != 6 {
                return None;
            }
            let chain = ipv6::walk(packet, 40, *packet.get(6)?).ok()?;
            if chain.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return None;
            }
            (
                packet.get(8..24)?.try_into().ok()?,
                packet.get(24..40)?.try_into().ok()?,
                chain.protocol,
                chain.l4,
            )
        }
    };
    let (source_port, destination_port) = ports(packet, l4, protocol, error.family)?;
    Some(Quoted {
        l3,
        l4: l3 + l4,
        key: FlowKey {
            source,
            destination,
            source_port,
            destination_port,
            protocol,
            padding: 0,
            scope: 0,
        },
    })
}

/// Gives the quoted packet the addresses and ports of `inner`, the error itself the addresses
/// `source` and `destination`, and computes the ICMP checksum anew. Nothing behind the packet's end
/// changes.
pub fn rewrite_quoted(
    frame: &mut [u8],
    error: &Headers,
    quoted: &Quoted,
    inner: &Rewrite,
    source: &[u8; 16],
    destination: &[u8; 16],
) {
    let Some(packet) = frame.get_mut(..error.end) else {
        return;
    };
    let addresses = rewrite_addresses(packet, quoted.l3, error.family, &quoted.key, inner);
    let ported = matches!(quoted.key.protocol, TCP | UDP | ICMP | ICMPV6);
    let ports = if ported { *inner } else { quoted.key };
    rewrite_transport(
        packet,
        quoted.l4,
        error.family,
        &quoted.key,
        &ports,
        addresses,
    );
    let outer = Rewrite {
        source: *source,
        destination: *destination,
        ..error.key
    };
    rewrite_addresses(packet, error.l3, error.family, &error.key, &outer);
    let Some(message) = packet.get_mut(error.l4..) else {
        return;
    };
    put(message, 2, &[0, 0]);
    let sum = Sum::default().bytes(message);
    let sum = match error.family {
        Family::V4 => sum,
        Family::V6 => sum
            .pseudo_header(source, ICMPV6, message.len())
            .bytes(destination),
    };
    put(message, 2, &sum.checksum().to_be_bytes());
}

/// The ports of the quoted transport header, in network order, as [`crate::parse`] would have put
/// them into its key; RFC 792 promises the header's first 8 bytes.
fn ports(packet: &[u8], l4: usize, protocol: u8, family: Family) -> Option<([u8; 2], [u8; 2])> {
    let at = |offset: usize| packet.get(l4 + offset..l4 + offset + 2)?.try_into().ok();
    match (protocol, family) {
        (TCP | UDP, _) => Some((at(0)?, at(2)?)),
        (ICMP, Family::V4) | (ICMPV6, Family::V6) => {
            let identifier = at(4)?;
            match icmp_role(family, *packet.get(l4)?) {
                IcmpRole::Query => Some((identifier, [0, 0])),
                IcmpRole::Reply => Some(([0, 0], identifier)),
                // RFC 1122 3.2.2: no error about an error.
                IcmpRole::Error | IcmpRole::Other => None,
            }
        }
        (ICMP, Family::V6) | (ICMPV6, Family::V4) => None,
        _ => Some(([0, 0], [0, 0])),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{quoted, rewrite_quoted};
    use crate::frames::{Frame, Layer4};
    use crate::{Checksums, Headers, Parsed, parse};

    const UDP: Layer4 = Layer4::Udp {
        ports: (40_000, 53),
    };

    fn error(kind: u8, inner: &Frame, kept: usize) -> Frame {
        let word = [0, 0];
        let outer = Layer4::Icmp { kind, word };
        Frame {
            payload: inner.packet()[..kept].to_vec(),
            ..if inner.v6 {
                Frame::v6(outer)
            } else {
                Frame::v4(outer)
            }
        }
    }

    fn parsed(frame: &Frame) -> (Vec<u8>, Headers) {
        let bytes = frame.build();
        match parse(&bytes, Checksums::Verify) {
            Ok(Parsed::Ip(headers)) => (bytes, headers),
            other => panic!("{other:?}"),
        }
    }

    fn found(frame: &Frame) -> bool {
        let (bytes, headers) = parsed(frame);
        quoted(&bytes, &headers).is_some()
    }

    #[test]
    fn eight_bytes_behind_the_header_name_the_flow() {
        assert!(found(&error(3, &Frame::v4(UDP), 28)));
        assert!(!found(&error(3, &Frame::v4(UDP), 23)));
        assert!(found(&error(1, &Frame::v6(UDP), 48)));
        assert!(!found(&error(1, &Frame::v6(UDP), 43)));
    }

    #[test]
    fn a_later_fragment_names_no_flow() {
        let fragment = Some((1_480, false));
        assert!(!found(&error(
            11,
            &Frame {
                fragment,
                ..Frame::v4(UDP)
            },
            45
        )));
        assert!(!found(&error(
            3,
            &Frame {
                fragment,
                ..Frame::v6(UDP)
            },
            60
        )));
    }

    #[test]
    fn an_error_about_an_error_names_no_flow() {
        let inner = error(3, &Frame::v4(UDP), 28);
        assert!(!found(&error(11, &inner, 48)));
    }

    #[test]
    fn a_query_of_the_other_family_names_no_flow() {
        let word = [7, 1];
        assert!(found(&error(
            3,
            &Frame::v4(Layer4::Icmp { kind: 8, word }),
            28
        )));
        assert!(!found(&error(
            3,
            &Frame::v4(Layer4::Icmp { kind: 128, word }),
            28
        )));
        assert!(found(&error(
            1,
            &Frame::v6(Layer4::Icmp { kind: 128, word }),
            48
        )));
        assert!(!found(&error(
            1,
            &Frame::v6(Layer4::Icmp { kind: 8, word }),
            48
        )));
    }

    #[test]
    fn a_fragment_of_an_error_names_no_flow() {
        let whole = error(3, &Frame::v4(UDP), 32);
        assert!(found(&whole));
        assert!(!found(&Frame {
            fragment: Some((0, true)),
            ..whole
        }));
    }

    #[test]
    fn an_ip_header_that_is_cut_names_no_flow() {
        let inner = Frame {
            options: [148, 4, 0, 0].to_vec(),
            ..Frame::v4(Layer4::Raw(47))
        };
        assert!(found(&error(3, &inner, 24)));
        assert!(!found(&error(3, &inner, 22)));
    }

    #[test]
    fn nothing_behind_the_error_is_written() {
        let tcp = Frame::v4(Layer4::Tcp {
            ports: (1, 2),
            flags: 0x10,
        });
        let frame = Frame {
            padding: 40,
            ..error(3, &tcp, 28)
        };
        let (mut bytes, headers) = parsed(&frame);
        let quoted = quoted(&bytes, &headers).unwrap();
        let key = quoted.key.reversed();
        rewrite_quoted(
            &mut bytes,
            &headers,
            &quoted,
            &key,
            &key.source,
            &key.destination,
        );
        assert_eq!(bytes[headers.end..], [0x5a; 40]);
    }
}
