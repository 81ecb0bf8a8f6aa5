//! The packet that an ICMP error quotes (RFC 792, RFC 4443 2.4, RFC 5508 section 4).

use abi::{FlowKey, Rewrite};

use crate::checksum::{Delta, Sum};
use crate::headers::{Family, Headers};
use crate::rewrite::rewrite_transport;
use crate::transport::{ICMP, ICMPV6, TCP, UDP};
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
/// to say which flow sent it.
#[must_use]
pub fn quoted(frame: &[u8], error: &Headers) -> Option<Quoted> {
    let l3 = error.l4 + 8;
    let packet = frame.get(l3..error.end)?;
    let (source, destination, protocol, l4) = match error.family {
        Family::V4 => {
            let header_bytes = ipv4::header_bytes(packet)?;
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
    let (source_port, destination_port) = ports(packet, l4, protocol)?;
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
/// `source` and `destination`, and computes the ICMP checksum anew.
pub fn rewrite_quoted(
    frame: &mut [u8],
    error: &Headers,
    quoted: &Quoted,
    inner: &Rewrite,
    source: &[u8; 16],
    destination: &[u8; 16],
) {
    rewrite_inner(frame, error.family, quoted, inner);
    let outer = Rewrite {
        source: *source,
        destination: *destination,
        ..error.key
    };
    crate::rewrite(frame, error, &outer);
    let Some(message) = frame.get(error.l4..error.end) else {
        return;
    };
    let mut sum = Sum::default().bytes(message.get(..2).unwrap_or_default());
    sum = sum.bytes(message.get(4..).unwrap_or_default());
    if error.family == Family::V6 {
        sum = sum
            .pseudo_header(source, ICMPV6, message.len())
            .bytes(destination);
    }
    put(frame, error.l4 + 2, &sum.checksum().to_be_bytes());
}

fn rewrite_inner(frame: &mut [u8], family: Family, quoted: &Quoted, to: &Rewrite) {
    let from = &quoted.key;
    let (width, source_at, destination_at) = match family {
        Family::V4 => (4, quoted.l3 + 12, quoted.l3 + 16),
        Family::V6 => (16, quoted.l3 + 8, quoted.l3 + 24),
    };
    let tail = |address: &[u8; 16]| {
        let mut bytes = [0; 16];
        bytes[..width].copy_from_slice(&address[16 - width..]);
        bytes
    };
    let (old_source, old_destination) = (tail(&from.source), tail(&from.destination));
    let (new_source, new_destination) = (tail(&to.source), tail(&to.destination));
    let addresses = Delta::default()
        .change(&old_source[..width], &new_source[..width])
        .change(&old_destination[..width], &new_destination[..width]);
    put(frame, source_at, &new_source[..width]);
    put(frame, destination_at, &new_destination[..width]);
    if family == Family::V4
        && let Some(old) = u16_at(frame, quoted.l3 + 10)
    {
        put(frame, quoted.l3 + 10, &addresses.apply(old).to_be_bytes());
    }
    rewrite_transport(frame, quoted.l4, family, from, to, addresses);
}

/// The ports of the quoted transport header, in network order; RFC 792 promises its first 8 bytes.
fn ports(packet: &[u8], l4: usize, protocol: u8) -> Option<([u8; 2], [u8; 2])> {
    let at = |offset: usize| packet.get(l4 + offset..l4 + offset + 2)?.try_into().ok();
    match protocol {
        TCP | UDP => Some((at(0)?, at(2)?)),
        ICMP | ICMPV6 => {
            let identifier = at(4)?;
            match packet.get(l4)? {
                8 | 13 | 15 | 17 | 128 => Some((identifier, [0, 0])),
                0 | 14 | 16 | 18 | 129 => Some(([0, 0], identifier)),
                // RFC 1122 3.2.2: no error about an error.
                _ => None,
            }
        }
        _ => Some(([0, 0], [0, 0])),
    }
}
