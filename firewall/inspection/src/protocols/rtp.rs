//! RTP and RTCP: RFC 3550 5.1 and 6.1, RFC 5761 4 (how they are told apart).
//!
//! Nothing in a single packet of RTP says what it is; three that go on from each other do.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Head};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Rtp,
    tcp: None,
    udp: Some(rtp),
    tcp_ports: &[],
    udp_ports: &[],
};

pub(crate) const LATE: Dissector = Dissector {
    udp: Some(late),
    ..DISSECTOR
};

pub(crate) const RTCP: Dissector = Dissector {
    protocol: Protocol::Rtcp,
    tcp: None,
    udp: Some(rtcp),
    tcp_ports: &[],
    udp_ports: &[],
};

/// Steps in sequence numbers that losses and other orders explain.
const STEP: u16 = 8;

fn rtp(datagram: &Datagram<'_>) -> Option<Answer> {
    if !is_rtp(datagram.payload) {
        return Some(Answer::NotForMe);
    }
    Some(series(datagram, Answer::Certain))
}

/// Behind a greeting of somebody's own it is that somebody's protocol, of which RTP is a part: likely at best.
fn late(datagram: &Datagram<'_>) -> Option<Answer> {
    Some(series(datagram, Answer::Likely))
}

fn series(datagram: &Datagram<'_>, most: Answer) -> Answer {
    let goes_on = is_rtp(datagram.payload)
        && datagram
            .before
            .is_some_and(|before| goes_on(before, datagram.payload));
    match (goes_on, datagram.said) {
        (true, Answer::Likely) => most,
        (true, _) => Answer::Likely,
        (false, _) => Answer::Maybe,
    }
}

/// RFC 3551 6: payload types that are assigned or dynamic.
pub(crate) fn is_rtp(payload: &[u8]) -> bool {
    let (Some(first), Some(second)) = (payload.at(0), payload.at(1)) else {
        return false;
    };
    let kind = second & 0x7f;
    let header = 12 + usize::from(first & 0xf) * 4;
    first >> 6 == 2 && matches!(kind, 0..=34 | 96..=127) && payload.len() > header
}

fn goes_on(before: &Head, payload: &[u8]) -> bool {
    let before = before.bytes();
    let step = |now: u16, then: u16| now.wrapping_sub(then);
    let (Some(now), Some(then)) = (payload.be16(2), before.be16(2)) else {
        return false;
    };
    is_rtp(before)
        && payload.be32(8) == before.be32(8)
        && (1..=STEP).contains(&step(now, then))
        && payload.be32(8).is_some_and(|source| source != 0)
}

fn rtcp(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    if !is_report(payload) {
        return Some(Answer::NotForMe);
    }
    let same_source = datagram.before.is_some_and(|before| {
        is_report(before.bytes()) && before.bytes().be32(4) == payload.be32(4)
    });
    let mut rest = payload;
    let mut packets = 0;
    while !rest.is_empty() && rest[0] >> 6 == 2 && (192..=223).contains(&rest.at(1)?) {
        let Some(behind) = rest.get((usize::from(rest.be16(2)?) + 1) * 4..) else {
            break;
        };
        rest = behind;
        packets += 1;
    }
    // SRTCP (RFC 3711 3.4) is encrypted behind the first packet's sender.
    Some(match (rest.is_empty(), packets) {
        (true, 2..) => Answer::Certain,
        (true, _) if same_source => Answer::Certain,
        (true, _) => Answer::Likely,
        (false, 1..) if same_source => Answer::Likely,
        (false, _) => Answer::maybe_if(packets > 0),
    })
}

/// A sender's or receiver's report begins every packet.
fn is_report(bytes: &[u8]) -> bool {
    bytes.at(0).is_some_and(|first| first >> 6 == 2) && matches!(bytes.at(1), Some(200 | 201))
}
