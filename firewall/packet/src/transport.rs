//! What stands behind the IP header: TCP, UDP and ICMP.

use abi::DropReason;

use crate::checksum::Sum;
use crate::headers::{Checksums, Family, IcmpHeader, Network, TcpHeader, Transport};
use crate::tcp::{Flags, window_scale};
use crate::view::{u16_at, u32_at};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const DCCP: u8 = 33;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const UDP_LITE: u8 = 136;

/// Reads the transport header of a whole packet or a first fragment.
pub(crate) fn parse(
    frame: &[u8],
    network: &Network,
    checksums: Checksums,
) -> Result<Transport, DropReason> {
    let bytes = frame
        .get(network.l4..network.end)
        .ok_or(DropReason::MalformedIpv4)?;
    let verify = checksums == Checksums::Verify && network.fragment.is_none();
    match (network.protocol, network.family) {
        (TCP, _) => tcp(bytes, network, verify),
        (UDP, _) => udp(bytes, network),
        (ICMP, Family::V4) | (ICMPV6, Family::V6) => icmp(bytes, network, verify),
        // ICMP of the other family means nothing to a host, and its checksum can't be translated.
        (ICMP, Family::V6) | (ICMPV6, Family::V4) => Err(DropReason::MalformedIcmp),
        _ => Ok(Transport::Other),
    }
}

fn tcp(bytes: &[u8], network: &Network, verify: bool) -> Result<Transport, DropReason> {
    let malformed = DropReason::MalformedTcp;
    let header: &[u8; 20] = bytes.first_chunk().ok_or(malformed)?;
    let header_bytes = usize::from(header[12] >> 4) * 4;
    // RFC 1858, 3128: a first fragment that does not hold the whole header hides it on purpose.
    if header_bytes < 20 || header_bytes > bytes.len() {
        return Err(malformed);
    }
    let flags = Flags(header[13]);
    let changes_state = flags.any(Flags(Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0));
    if verify && changes_state && transport_sum(bytes, network).checksum() != 0 {
        return Err(DropReason::L4Checksum);
    }
    Ok(Transport::Tcp(TcpHeader {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        sequence: u32_at(header, 4).ok_or(malformed)?,
        acknowledgment: u32_at(header, 8).ok_or(malformed)?,
        window: u16::from_be_bytes([header[14], header[15]]),
        flags,
        header_bytes,
        payload_bytes: bytes.len() - header_bytes,
        window_scale: if flags.has(Flags::SYN) {
            window_scale(&bytes[20..header_bytes])
        } else {
            None
        },
    }))
}

fn udp(bytes: &[u8], network: &Network) -> Result<Transport, DropReason> {
    let malformed = DropReason::MalformedUdp;
    let header: &[u8; 8] = bytes.first_chunk().ok_or(malformed)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let whole = network.fragment.is_none();
    if length < 8 || (whole && length > bytes.len()) {
        return Err(malformed);
    }
    Ok(Transport::Udp {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
    })
}

fn icmp(bytes: &[u8], network: &Network, verify: bool) -> Result<Transport, DropReason> {
    let malformed = DropReason::MalformedIcmp;
    let [kind, code, ..] = *bytes.first_chunk::<8>().ok_or(malformed)?;
    let identifier = u16_at(bytes, 4).ok_or(malformed)?;
    let message = |identifier, from_responder| IcmpHeader {
        kind,
        code,
        identifier,
        from_responder,
    };
    let transport = match icmp_role(network.family, kind) {
        IcmpRole::Query => Transport::IcmpQuery(message(identifier, false)),
        IcmpRole::Reply => Transport::IcmpQuery(message(identifier, true)),
        IcmpRole::Error => Transport::IcmpError(message(0, false)),
        IcmpRole::Other => Transport::IcmpOther(message(0, false)),
    };
    let is_error = matches!(transport, Transport::IcmpError(_));
    // RFC 5508 REQ-3: an error whose checksum is wrong is dropped.
    if verify && is_error && transport_sum(bytes, network).checksum() != 0 {
        return Err(DropReason::L4Checksum);
    }
    Ok(transport)
}

/// What a message of this type is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpRole {
    Query,
    Reply,
    Error,
    Other,
}

#[must_use]
pub fn icmp_role(family: Family, kind: u8) -> IcmpRole {
    match (family, kind) {
        // RFC 792: echo, timestamp, information; RFC 950: address mask. RFC 4443 4: echo.
        (Family::V4, 8 | 13 | 15 | 17) | (Family::V6, 128) => IcmpRole::Query,
        (Family::V4, 0 | 14 | 16 | 18) | (Family::V6, 129) => IcmpRole::Reply,
        // RFC 792: unreachable, source quench, time exceeded, parameter problem. RFC 4443 3.
        (Family::V4, 3 | 4 | 11 | 12) | (Family::V6, 1..=4) => IcmpRole::Error,
        _ => IcmpRole::Other,
    }
}

/// The sum that a right checksum brings to 0: payload, and pseudo-header where there is one.
fn transport_sum(bytes: &[u8], network: &Network) -> Sum {
    let sum = Sum::default().bytes(bytes);
    match (network.family, network.protocol) {
        (Family::V4, ICMP) => sum,
        (Family::V4, protocol) => sum
            .pseudo_header(&network.source[12..], protocol, bytes.len())
            .bytes(&network.destination[12..]),
        (Family::V6, protocol) => sum
            .pseudo_header(&network.source, protocol, bytes.len())
            .bytes(&network.destination),
    }
}

/// Where the checksum of a transport header stands, and whether addresses count into it.
pub(crate) struct ChecksumField {
    pub(crate) offset: usize,
    pub(crate) covers_addresses: bool,
    pub(crate) zero: Zero,
}

/// What a checksum of 0 on the wire says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// What any other value says.
    Value,
    /// RFC 768: that there is no checksum.
    Absent,
    /// RFC 3828 3.1: nothing, it is never sent.
    Invalid,
}

impl Zero {
    /// The checksum as it is sent: where 0 says something else, all ones stand for it.
    pub(crate) fn on_the_wire(self, checksum: u16) -> u16 {
        match (self, checksum) {
            (Self::Absent | Self::Invalid, 0) => 0xffff,
            (Self::Value | Self::Absent | Self::Invalid, checksum) => checksum,
        }
    }
}

pub(crate) fn checksum_field(protocol: u8, family: Family) -> Option<ChecksumField> {
    let field = |offset, covers_addresses, zero| {
        Some(ChecksumField {
            offset,
            covers_addresses,
            zero,
        })
    };
    match protocol {
        TCP => field(16, true, Zero::Value),
        UDP => field(6, true, Zero::Absent),
        UDP_LITE => field(6, true, Zero::Invalid),
        DCCP => field(6, true, Zero::Value),
        ICMP => field(2, false, Zero::Value),
        ICMPV6 => field(2, family == Family::V6, Zero::Value),
        _ => None,
    }
}
