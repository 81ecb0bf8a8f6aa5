//! TLS: RFC 8446, RFC 5246, RFC 6101 (SSL 3.0), RFC 8701 (GREASE); the server name is RFC 6066 3, ALPN RFC 7301.
//!
//! Records are taken apart as they come, handshake messages with them, whatever the cut. Reading ends when everything
//! behind is encrypted: with a ServerHello of TLS 1.3, a ChangeCipherSpec, or the responder's certificate.
//!
//! # Limits
//! An SSL 2.0 ClientHello (RFC 5246 E.2) is recognised but not read. Of a chain only the first certificate is read, up to
//! 8 KiB.

pub(crate) mod certificate;
pub(crate) mod fingerprint;
pub(crate) mod handshake;
pub(crate) mod hello;

use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::{Anomaly, Direction, HostSource, Protocol};
use handshake::{Handshake, Message};
use hello::Carrier;

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Tls,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[
        443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 5_061, 5_223, 8_443,
    ],
    udp_ports: &[],
};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// RFC 8446 5.2: 2^14 bytes and what encryption adds; RFC 5246 6.2.3 allows more.
const RECORD_BYTES: usize = (1 << 14) + 2_048;

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(end))
}

fn end(bytes: &[u8]) -> Option<Answer> {
    match bytes.at(0)? {
        HANDSHAKE => handshake_record(bytes),
        0x80..=0x8f => ssl2_hello(bytes),
        CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA => later_record(bytes),
        _ => Some(Answer::NotForMe),
    }
}

/// A hello, in as many records as its sender likes: receivers put even single bytes together. Of the records' version they mind the first byte.
fn handshake_record(bytes: &[u8]) -> Option<Answer> {
    let mut head = [0; 6];
    let mut known = 0;
    let mut rest = bytes;
    while known < head.len() {
        if rest.at(0)? != HANDSHAKE || rest.at(1)? != 3 {
            return Some(Answer::NotForMe);
        }
        let length = usize::from(rest.be16(3)?);
        if length > RECORD_BYTES {
            return Some(Answer::NotForMe);
        }
        let content = rest.after(5);
        let content = &content[..content.len().min(length)];
        for (to, byte) in head[known..].iter_mut().zip(content) {
            *to = *byte;
        }
        known = head.len().min(known + content.len());
        // HelloRequest, Certificate … Finished, or encrypted: the middle of something.
        if known > 0 && !matches!(head[0], 1 | 2) {
            return later_record(bytes);
        }
        if content.len() < length && known < head.len() {
            return None;
        }
        rest = rest.after(5 + length);
    }
    Some(Answer::certain_if(head[..].be24(1)? >= 38 && head[4] == 3))
}

/// The length, where the two bytes in front of it are a version.
fn record_length(bytes: &[u8]) -> Option<u16> {
    if bytes.at(1)? != 3 || bytes.at(2)? > 4 {
        return Some(0);
    }
    bytes.be16(3)
}

/// Not a session's first record. One header may be chance; another one right behind the record is not.
fn later_record(bytes: &[u8]) -> Option<Answer> {
    let length = usize::from(record_length(bytes)?);
    let is_alert = bytes.at(0)? == ALERT;
    if length == 0 || length > RECORD_BYTES || (is_alert && length != 2 && length < 16) {
        return Some(Answer::NotForMe);
    }
    if bytes.at(0)? == CHANGE_CIPHER_SPEC && length != 1 {
        return Some(Answer::NotForMe);
    }
    if is_alert && length == 2 && !matches!(bytes.at(5)?, 1 | 2) {
        return Some(Answer::NotForMe);
    }
    let next = bytes.after(5 + length);
    if next.len() < 3 {
        return Some(Answer::Likely);
    }
    let follows =
        (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&next[0]) && next[1] == 3 && next[2] <= 4;
    Some(Answer::certain_if(follows))
}

/// RFC 5246 E.2.
fn ssl2_hello(bytes: &[u8]) -> Option<Answer> {
    let length = usize::from(bytes.be16(0)? & 0x7fff);
    if bytes.at(2)? != 1 || bytes.at(3)? != 3 || bytes.at(4)? > 3 {
        return Some(Answer::NotForMe);
    }
    let (ciphers, id, challenge) = (bytes.be16(5)?, bytes.be16(7)?, bytes.be16(9)?);
    let parts = usize::from(ciphers) + usize::from(id) + usize::from(challenge);
    Some(Answer::certain_if(
        ciphers > 0 && ciphers % 3 == 0 && matches!(id, 0 | 16) && parts + 9 == length,
    ))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Tls::new(Carrier::Tcp))
}

#[derive(Debug)]
struct Tls {
    records: [Records; 2],
    handshake: Handshake,
}

/// One direction's records.
#[derive(Debug, Default)]
struct Records {
    header: [u8; 5],
    header_bytes: usize,
    /// Of the record's content.
    left: usize,
    /// This direction is encrypted from here.
    is_encrypted: bool,
}

impl Tls {
    fn new(carrier: Carrier) -> Self {
        Self {
            records: Default::default(),
            handshake: Handshake::new(carrier),
        }
    }

    /// `None`: not TLS any more.
    fn content(
        &mut self,
        direction: Direction,
        content: &[u8],
        output: &mut Output<'_>,
    ) -> Option<Next> {
        let records = &mut self.records[direction.index()];
        match records.header[0] {
            HANDSHAKE if !records.is_encrypted => {
                let done = self.handshake.data(direction, content, output).ok()?;
                Some(if done { Next::Done } else { Next::More })
            }
            CHANGE_CIPHER_SPEC => {
                records.is_encrypted = true;
                // A resumed session shows no certificate. TLS 1.3 has a meaningless one behind the first hello.
                Some(if self.handshake.has(Message::ServerHello) {
                    Next::Done
                } else {
                    Next::More
                })
            }
            APPLICATION_DATA if self.handshake.has(Message::ServerHello) => Some(Next::Done),
            HANDSHAKE | ALERT | APPLICATION_DATA => Some(Next::More),
            _ => None,
        }
    }
}

impl Parser for Tls {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        let mut rest = bytes;
        while !rest.is_empty() {
            let records = &mut self.records[direction.index()];
            if records.left == 0 {
                let taken = rest.len().min(5 - records.header_bytes);
                records.header[records.header_bytes..records.header_bytes + taken]
                    .copy_from_slice(&rest[..taken]);
                records.header_bytes += taken;
                rest = &rest[taken..];
                if records.header_bytes < 5 {
                    break;
                }
                records.header_bytes = 0;
                records.left =
                    usize::from(u16::from_be_bytes([records.header[3], records.header[4]]));
                if records.header[1] != 3 || records.left > RECORD_BYTES {
                    output.anomaly(direction, Anomaly::TlsMalformed);
                    return Next::Done;
                }
                continue;
            }
            let (content, behind) = rest.split_at(rest.len().min(records.left));
            records.left -= content.len();
            rest = behind;
            match self.content(direction, content, output) {
                Some(Next::More) => (),
                Some(next) => return next,
                None => {
                    output.anomaly(direction, Anomaly::TlsMalformed);
                    return Next::Done;
                }
            }
        }
        Next::More
    }
}

/// What a name, the offered ALPN and the port say about the protocol inside: `certain` only by ALPN.
pub(crate) fn inside(
    carrier: Carrier,
    alpn: &[u8],
    ports: (u16, u16),
    speaks_dns: bool,
) -> Option<(Protocol, bool)> {
    let quic = carrier == Carrier::Quic;
    let by_alpn = match alpn {
        // RFC 7858 and RFC 9250 8.1.
        b"dot" => Some(Protocol::DnsOverTls),
        b"doq" if quic => Some(Protocol::DnsOverQuic),
        b"imap" => Some(Protocol::Imaps),
        b"pop3" => Some(Protocol::Pop3s),
        b"ftp" => Some(Protocol::Ftps),
        _ => None,
    };
    if let Some(protocol) = by_alpn {
        return Some((protocol, true));
    }
    if speaks_dns {
        let is_dot = !quic && (ports.0 == 853 || ports.1 == 853);
        return Some((
            if is_dot {
                Protocol::DnsOverTls
            } else {
                Protocol::DnsOverHttps
            },
            false,
        ));
    }
    let by_port = |port| match port {
        853 if quic => Some(Protocol::DnsOverQuic),
        853 => Some(Protocol::DnsOverTls),
        993 => Some(Protocol::Imaps),
        995 => Some(Protocol::Pop3s),
        465 => Some(Protocol::Smtps),
        636 => Some(Protocol::Ldaps),
        989 | 990 => Some(Protocol::Ftps),
        _ => None,
    };
    by_port(ports.1)
        .or_else(|| by_port(ports.0))
        .map(|protocol| (protocol, false))
}

/// A certificate's name is the host's where there is no better one and it is one name's.
pub(crate) fn host_of(names: &[String]) -> Option<(&str, HostSource)> {
    names
        .iter()
        .find(|name| name.contains('.') && !name.contains(' '))
        .map(|name| (name.trim_start_matches("*."), HostSource::Certificate))
}
