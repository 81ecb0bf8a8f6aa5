//! IPv6 and its extension headers (RFC 8200).

use abi::DropReason;

use crate::headers::{Family, Fragment, Network};
use crate::ipv4::check_fragment;
use crate::view::{u16_at, u32_at};

const HEADER: usize = 40;
/// RFC 7045 2.1 lets a middlebox bound the chain. No sender has a use for more than this.
const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

pub(crate) fn parse(frame: &[u8], l3: usize) -> Result<Network, DropReason> {
    let malformed = DropReason::MalformedIpv6;
    let header: &[u8; HEADER] = frame
        .get(l3..l3 + HEADER)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(malformed)?;
    let payload_bytes = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let end = l3 + HEADER + payload_bytes;
    if header[0] >> 4 != 6 || end > frame.len() {
        return Err(malformed);
    }
    let chain = walk(&frame[..end], l3 + HEADER, header[6])?;
    if let Some(fragment) = chain.fragment {
        // RFC 8200 4.5: the headers before the fragment header count into the whole packet's length.
        let kept_bytes = fragment.payload - 8 - (l3 + HEADER);
        check_fragment(&fragment, end - fragment.payload, kept_bytes)?;
    }
    let half = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&header[at..at + 16]);
        bytes
    };
    Ok(Network {
        family: Family::V6,
        source: half(8),
        destination: half(24),
        protocol: chain.protocol,
        ttl_hops: header[7],
        may_fragment: false,
        fragment: chain.fragment,
        l4: chain.l4,
        end,
    })
}

pub(crate) struct Chain {
    pub(crate) protocol: u8,
    pub(crate) l4: usize,
    pub(crate) fragment: Option<Fragment>,
}

/// Walks the extension headers in `packet` from `at`, where one of type `next` starts.
pub(crate) fn walk(packet: &[u8], mut at: usize, mut next: u8) -> Result<Chain, DropReason> {
    let bad = DropReason::ExtensionHeader;
    let mut fragment = None;
    let mut fragment_header_seen = false;
    for position in 0..=MAX_EXTENSIONS {
        let units = match next {
            // RFC 8200 4.3: only right behind the IPv6 header.
            HOP_BY_HOP if position > 0 => return Err(bad),
            HOP_BY_HOP | DESTINATION => usize::from(*packet.get(at + 1).ok_or(bad)?) * 8 + 8,
            ROUTING if routes_on(packet, at) => return Err(bad),
            ROUTING => usize::from(*packet.get(at + 1).ok_or(bad)?) * 8 + 8,
            // RFC 4302 2.2: in 4-byte units, minus 2.
            AUTHENTICATION => usize::from(*packet.get(at + 1).ok_or(bad)?) * 4 + 8,
            // Nothing sends a fragment of a fragment; an atomic one counts, too.
            FRAGMENT if fragment_header_seen => return Err(bad),
            FRAGMENT => 8,
            protocol => {
                return Ok(Chain {
                    protocol,
                    l4: at,
                    fragment,
                });
            }
        };
        if next == FRAGMENT {
            fragment_header_seen = true;
            let field = u16_at(packet, at + 2).ok_or(bad)?;
            let (offset, more) = (usize::from(field & 0xfff8), field & 1 == 1);
            if offset > 0 || more {
                let id = u32_at(packet, at + 4).ok_or(bad)?;
                fragment = Some(Fragment {
                    id,
                    offset,
                    more,
                    payload: at + 8,
                });
            }
        }
        next = *packet.get(at).ok_or(bad)?;
        at += units;
        if at > packet.len() {
            return Err(bad);
        }
        // Behind the fragment header of a later fragment there is only payload.
        if let Some(Fragment { offset: 1.., .. }) = fragment {
            return Ok(Chain {
                protocol: next,
                l4: at,
                fragment,
            });
        }
    }
    Err(bad)
}

/// RFC 5095: type 0 is deprecated, its use an attack. Any other type with segments left is a source
/// route like IPv4's: the destination that the policy would judge, and that the transport checksum
/// covers (RFC 8200 8.1), is not the one in the IPv6 header.
fn routes_on(packet: &[u8], at: usize) -> bool {
    !matches!(packet.get(at + 2..at + 4), Some(&[kind, 0]) if kind != 0)
}
