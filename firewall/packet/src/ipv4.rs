//! IPv4 (RFC 791).

use abi::DropReason;

use crate::checksum::Sum;
use crate::headers::{Family, Fragment, Network};
use crate::view::{map_ipv4, u16_at};

const MIN_HEADER: usize = 20;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

pub(crate) fn parse(frame: &[u8], l3: usize) -> Result<Network, DropReason> {
    let packet = frame.get(l3..).ok_or(DropReason::MalformedIpv4)?;
    let header_bytes = header_bytes(packet).ok_or(DropReason::MalformedIpv4)?;
    let header = packet
        .get(..header_bytes)
        .ok_or(DropReason::MalformedIpv4)?;
    let total_bytes = usize::from(u16_at(header, 2).ok_or(DropReason::MalformedIpv4)?);
    if total_bytes < header_bytes || total_bytes > packet.len() {
        return Err(DropReason::MalformedIpv4);
    }
    if Sum::default().bytes(header).checksum() != 0 {
        return Err(DropReason::Ipv4Checksum);
    }
    check_options(&header[MIN_HEADER..])?;

    let fragmentation = u16::from_be_bytes([header[6], header[7]]);
    let offset = usize::from(fragmentation & OFFSET) * 8;
    let more = fragmentation & MORE_FRAGMENTS != 0;
    let payload_bytes = total_bytes - header_bytes;
    let fragment = (more || offset > 0).then(|| Fragment {
        id: u32::from(u16::from_be_bytes([header[4], header[5]])),
        offset,
        more,
        payload: l3 + header_bytes,
    });
    if let Some(fragment) = fragment {
        check_fragment(&fragment, payload_bytes, header_bytes)?;
    }
    Ok(Network {
        family: Family::V4,
        source: map_ipv4([header[12], header[13], header[14], header[15]]),
        destination: map_ipv4([header[16], header[17], header[18], header[19]]),
        protocol: header[9],
        ttl_hops: header[8],
        may_fragment: fragmentation & DONT_FRAGMENT == 0,
        fragment,
        l4: l3 + header_bytes,
        end: l3 + total_bytes,
    })
}

/// Length of the header that starts `packet`; `None` where its first byte can't be.
pub(crate) fn header_bytes(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let bytes = usize::from(first & 0xf) * 4;
    (first >> 4 == 4 && bytes >= MIN_HEADER).then_some(bytes)
}

/// RFC 791 3.2: all but the last fragment carry a multiple of 8 bytes, and the whole packet fits
/// in 65,535. An empty fragment says nothing and only fills tables.
pub(crate) fn check_fragment(
    fragment: &Fragment,
    payload_bytes: usize,
    header_bytes: usize,
) -> Result<(), DropReason> {
    let uneven = fragment.more && !payload_bytes.is_multiple_of(8);
    let beyond = header_bytes + fragment.offset + payload_bytes > usize::from(u16::MAX);
    if uneven || beyond || payload_bytes == 0 {
        Err(DropReason::FragmentMalformed)
    } else {
        Ok(())
    }
}

/// Walks the options: source routes are refused (RFC 7126 4.3, 4.4), others pass unread.
fn check_options(mut options: &[u8]) -> Result<(), DropReason> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    loop {
        options = match *options {
            [] | [END, ..] => return Ok(()),
            [NO_OPERATION, ref rest @ ..] => rest,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] => return Err(DropReason::SourceRoute),
            [_, length, ..] if length >= 2 => options
                .get(usize::from(length)..)
                .ok_or(DropReason::MalformedIpv4)?,
            _ => return Err(DropReason::MalformedIpv4),
        };
    }
}
