//! Keywords about the headers of a single packet, and the size of its payload.

use super::{Draft, bad, bounds, integer, required, syntax::RawOption};
use crate::bounds::Bounds;
use crate::error::RuleError;
use crate::rule::{BitMode, IpOption, PacketTest, StreamSide};

impl Draft {
    /// Whether the option was one of these.
    pub(super) fn test_packet(&mut self, option: &RawOption<'_>) -> Result<bool, RuleError> {
        self.packet.push(match option.name {
            "dsize" => PacketTest::PayloadSize(bounds(option)?),
            "flags" | "tcp.flags" => tcp_flags(option)?,
            "fragbits" => fragment_bits(option)?,
            "fragoffset" => PacketTest::FragmentOffset(bounds(option)?),
            "ttl" => PacketTest::Ttl(bounds(option)?),
            "tos" => PacketTest::Tos(bounds(option)?),
            "id" => PacketTest::Identification(bounds(option)?),
            "ip_proto" => PacketTest::IpProtocol(ip_protocol(option)?),
            "ipopts" => PacketTest::IpOption(ip_option(option)?),
            "sameip" => PacketTest::SameAddress,
            "seq" | "tcp.seq" => PacketTest::Sequence(integer(option)?),
            "ack" | "tcp.ack" => PacketTest::Acknowledgement(integer(option)?),
            "window" | "tcp.window" => PacketTest::Window(bounds(option)?),
            "tcp.mss" => PacketTest::MaximumSegment(bounds(option)?),
            "itype" => PacketTest::IcmpType(bounds(option)?),
            "icode" => PacketTest::IcmpCode(bounds(option)?),
            "icmp_id" => PacketTest::IcmpId(bounds(option)?),
            "icmp_seq" => PacketTest::IcmpSequence(bounds(option)?),
            "stream_size" => stream_size(option)?,
            _ => return Ok(false),
        });
        Ok(true)
    }
}

/// `[+*!]FLAGS[,IGNORED]`, with letters, and 1 and 2 for the bits that ECN has since taken.
fn tcp_flags(option: &RawOption<'_>) -> Result<PacketTest, RuleError> {
    let value = required(option)?;
    let (value, ignored) = match value.split_once(',') {
        Some((value, ignored)) => (value, ignored),
        None => (value, ""),
    };
    let flags = |text: &str| {
        let mut bits = 0;
        for letter in text.chars() {
            bits |= match letter.to_ascii_uppercase() {
                'F' => 0x01,
                'S' => 0x02,
                'R' => 0x04,
                'P' => 0x08,
                'A' => 0x10,
                'U' => 0x20,
                'E' | '2' => 0x40,
                'C' | '1' => 0x80,
                '0' => 0,
                _ => return Err(bad(option, "the flags are FSRPAU, 1, 2, C, E and 0")),
            };
        }
        Ok(bits)
    };
    let (mode, letters) = mode(value);
    Ok(PacketTest::TcpFlags {
        want: flags(letters.trim())?,
        mode,
        ignored: flags(ignored.trim())?,
    })
}

fn fragment_bits(option: &RawOption<'_>) -> Result<PacketTest, RuleError> {
    let (mode, letters) = mode(required(option)?);
    let mut want = 0;
    for letter in letters.chars() {
        want |= match letter.to_ascii_uppercase() {
            'M' => 1,
            'D' => 2,
            'R' => 4,
            _ => return Err(bad(option, "the bits are M, D and R")),
        };
    }
    Ok(PacketTest::Fragment { want, mode })
}

fn mode(value: &str) -> (BitMode, &str) {
    for (sign, mode) in [
        ('+', BitMode::AtLeast),
        ('*', BitMode::AnyOf),
        ('!', BitMode::NoneOf),
    ] {
        if let Some(rest) = value.strip_prefix(sign) {
            return (mode, rest);
        }
        if let Some(rest) = value.strip_suffix(sign) {
            return (mode, rest);
        }
    }
    (BitMode::Exactly, value)
}

/// A number, or a name that IANA gives it.
fn ip_protocol(option: &RawOption<'_>) -> Result<Bounds, RuleError> {
    let value = required(option)?;
    let digits = value.trim_start_matches(['!', '<', '>', '=']);
    let named = match digits.trim().to_ascii_lowercase().as_str() {
        "icmp" => "1",
        "igmp" => "2",
        "tcp" => "6",
        "udp" => "17",
        "gre" => "47",
        "esp" => "50",
        "ah" => "51",
        "ipv6-icmp" | "icmpv6" => "58",
        "ospf" => "89",
        "pim" => "103",
        "vrrp" => "112",
        "sctp" => "132",
        _ => digits,
    };
    let sign = &value[..value.len() - digits.len()];
    Bounds::parse(&format!("{sign}{named}")).ok_or_else(|| bad(option, "unknown protocol"))
}

/// RFC 791, 1108 and 2113.
fn ip_option(option: &RawOption<'_>) -> Result<IpOption, RuleError> {
    Ok(match required(option)? {
        "any" => IpOption::Any,
        "eol" => IpOption::Number(0),
        "nop" => IpOption::Number(1),
        "rr" => IpOption::Number(7),
        "ts" => IpOption::Number(68),
        "sec" => IpOption::Number(130),
        "lsrr" => IpOption::Number(131),
        "esec" => IpOption::Number(133),
        "satid" => IpOption::Number(136),
        "ssrr" => IpOption::Number(137),
        _ => return Err(bad(option, "unknown option")),
    })
}

/// `SIDE,COMPARISON,NUMBER`
fn stream_size(option: &RawOption<'_>) -> Result<PacketTest, RuleError> {
    let value = required(option)?;
    let (side, comparison) = value
        .split_once(',')
        .ok_or_else(|| bad(option, "SIDE, COMPARISON, NUMBER"))?;
    let side = match side.trim() {
        "client" => StreamSide::Initiator,
        "server" => StreamSide::Responder,
        "both" => StreamSide::Both,
        "either" => StreamSide::Either,
        _ => return Err(bad(option, "the side is client, server, both or either")),
    };
    let bounds = Bounds::parse(&comparison.replace(',', ""))
        .ok_or_else(|| bad(option, "is no comparison that can hold"))?;
    Ok(PacketTest::StreamSize(side, bounds))
}
