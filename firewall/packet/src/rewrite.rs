//! Changing addresses, ports and TTL in place, checksums kept right by what changed.

use abi::{FlowKey, Rewrite};

use crate::checksum::{Delta, Sum};
use crate::headers::{Family, Headers, Transport};
use crate::transport::{ICMP, ICMPV6, checksum_field};
use crate::view::{put, u16_at};

/// Gives the packet the addresses and ports of `to`. A later fragment has no ports to change; the
/// pieces of its packet are rewritten alike because `to` is the same for all of them.
pub fn rewrite(frame: &mut [u8], headers: &Headers, to: &Rewrite) {
    let from = &headers.key;
    let (Some(source), Some(destination)) = (
        address_bytes(&from.source, &to.source, headers.family),
        address_bytes(&from.destination, &to.destination, headers.family),
    ) else {
        return;
    };
    let addresses = Delta::default()
        .change(source.0, source.1)
        .change(destination.0, destination.1);
    match headers.family {
        Family::V4 => {
            patch(frame, headers.l3 + 10, addresses, false);
            put(frame, headers.l3 + 12, source.1);
            put(frame, headers.l3 + 16, destination.1);
        }
        Family::V6 => {
            put(frame, headers.l3 + 8, source.1);
            put(frame, headers.l3 + 24, destination.1);
        }
    }
    if headers.transport != Transport::LaterFragment {
        rewrite_transport(frame, headers.l4, headers.family, from, to, addresses);
    }
}

/// Takes one hop off the TTL or hop limit.
pub fn decrement_ttl(frame: &mut [u8], headers: &Headers) {
    let ttl = headers.ttl_hops.saturating_sub(1);
    match headers.family {
        Family::V4 => {
            let protocol = headers.key.protocol;
            let delta = Delta::default().change(&[headers.ttl_hops, protocol], &[ttl, protocol]);
            patch(frame, headers.l3 + 10, delta, false);
            put(frame, headers.l3 + 8, &[ttl]);
        }
        Family::V6 => {
            put(frame, headers.l3 + 7, &[ttl]);
        }
    }
}

/// Ports or ICMP identifier, and the checksum that covers them and the addresses. `l4` may start
/// a header that was cut short, as in an ICMP error: what is not there is not written.
pub(crate) fn rewrite_transport(
    frame: &mut [u8],
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
        if old != new && put(frame, at, &new) {
            delta = delta.change(&old, &new);
        }
    }
    patch(frame, l4 + field.offset, delta, field.optional);
}

/// Applies `delta` to the checksum at `at`. An `optional` one of 0 is absent and stays so; one
/// that comes to 0 is sent as all ones (RFC 768).
fn patch(frame: &mut [u8], at: usize, delta: Delta, optional: bool) {
    let Some(old) = u16_at(frame, at) else { return };
    if delta == Delta::default() || (optional && old == 0) {
        return;
    }
    let new = match delta.apply(old) {
        0 if optional => 0xffff,
        new => new,
    };
    put(frame, at, &new.to_be_bytes());
}

/// Both addresses as the header carries them.
fn address_bytes<'a>(
    from: &'a [u8; 16],
    to: &'a [u8; 16],
    family: Family,
) -> Option<(&'a [u8], &'a [u8])> {
    match family {
        Family::V4 => Some((from.last_chunk::<4>()?, to.last_chunk::<4>()?)),
        Family::V6 => Some((from, to)),
    }
}

/// Completes a TCP or UDP checksum that holds only the pseudo-header's sum: what a local sender
/// leaves to its device, and what XDP on a veth then shows. Any other checksum is left as it is.
pub fn complete_checksum(frame: &mut [u8], headers: &Headers) {
    let (Some(field), None) = (
        checksum_field(headers.key.protocol, headers.family),
        headers.fragment,
    ) else {
        return;
    };
    if !field.covers_addresses {
        return;
    }
    let (source, destination) = (&headers.key.source, &headers.key.destination);
    let start = if headers.family == Family::V4 { 12 } else { 0 };
    let length = headers.end - headers.l4;
    let pseudo = Sum::default()
        .pseudo_header(&source[start..], headers.key.protocol, length)
        .bytes(&destination[start..]);
    let at = headers.l4 + field.offset;
    if u16_at(frame, at) != Some(pseudo.folded()) {
        return;
    }
    let Some(bytes) = frame.get(headers.l4..headers.end) else {
        return;
    };
    // The field still holds the pseudo-header's sum, so summing the bytes counts it once.
    let checksum = match Sum::default().bytes(bytes).checksum() {
        0 if field.optional => 0xffff,
        checksum => checksum,
    };
    put(frame, at, &checksum.to_be_bytes());
}
