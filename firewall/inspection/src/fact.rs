//! What the parsers read, piece by piece.
//!
//! Whoever filters or looks for signatures is given each fact once, in the order of its direction's stream. A value that is
//! longer than a parser keeps comes in parts or cut off, as its variant says.

use std::fmt;
use std::net::IpAddr;

use crate::{Direction, Protocol};

/// A fact, and where it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub direction: Direction,
    /// Requests of a session count from 0; an answer has the number of what it answers. 0 where the protocol knows no such thing.
    pub transaction: u32,
    pub fact: Fact<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// The next bytes of a TCP stream, before anybody reads them.
    Stream(&'a [u8]),
    /// The session's bytes are this protocol's; or more exactly than before, this one's.
    Protocol(Protocol),
    Anomaly(Anomaly),

    /// The first line of a request, without its end, and its parts.
    HttpRequest {
        line: &'a [u8],
        method: &'a [u8],
        target: &'a [u8],
        version: &'a [u8],
    },
    /// The first line of an answer.
    HttpStatus {
        line: &'a [u8],
        version: &'a [u8],
        code: u16,
        reason: &'a [u8],
    },
    /// In the order of the message. HTTP/2's pseudo-headers come as `HttpRequest` and `HttpStatus`.
    HttpHeader {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// The end of the head, with its bytes as they were sent (empty in HTTP/2).
    HttpHeadEnd {
        raw: &'a [u8],
    },
    /// Part of a body, without transfer coding.
    HttpBody(&'a [u8]),
    /// The end of a message.
    HttpEnd,

    /// Of a ClientHello: the highest version that is offered, as on the wire.
    TlsOffered {
        version: u16,
    },
    TlsServerName(&'a str),
    /// Whom the session is with, from whatever source; not where each request or question says that for itself.
    Host(&'a str),
    /// One of what is offered, in its order; from the responder, what was chosen.
    TlsAlpn(&'a [u8]),
    /// MD5 in hex and the text that it is of.
    TlsJa3 {
        hash: &'a str,
        text: &'a str,
    },
    TlsJa4(&'a str),
    /// Of a ServerHello.
    TlsChosen {
        version: u16,
        cipher: u16,
    },
    TlsJa3Server {
        hash: &'a str,
        text: &'a str,
    },
    /// The responder's own, where TLS shows it (up to 1.2).
    TlsCertificate(&'a Certificate),

    DnsQuery {
        name: &'a str,
        kind: u16,
    },
    DnsAnswer(DnsAnswer<'a>),
    /// RFC 1035 4.1.1 RCODE, once per response.
    DnsResponse {
        code: u8,
    },

    /// The software that an end names (SSH, SMTP greeting, SIP, RTSP …).
    Software(&'a [u8]),
    /// A command line of a text protocol, without its end: FTP, SMTP, POP3, IMAP, IRC …
    Command(&'a [u8]),
    /// An answer's line.
    Reply(&'a [u8]),
    /// Part of a mail's text, between `DATA` and its end.
    MailText(&'a [u8]),
    /// Somebody's name at a login.
    User(&'a [u8]),
    /// A further name: a database, a client's host, a topic.
    Name {
        what: &'static str,
        value: &'a [u8],
    },
}

impl Fact<'_> {
    /// The ends may read the session differently than it was read here. What was never seen does not count.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Anomaly(anomaly) if *anomaly != Anomaly::Gap)
    }
}

/// Of a TLS responder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// As in RFC 4514, but in the certificate's order.
    pub subject: String,
    pub issuer: String,
    /// Hex, bytes divided by colons.
    pub serial: String,
    /// SHA-1, likewise: what tools and signatures show.
    pub fingerprint: String,
    /// The certificate itself.
    pub der: Vec<u8>,
    /// Common name and DNS alternative names.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsAnswer<'a> {
    pub name: &'a str,
    /// What the message says was asked for.
    pub question: Option<&'a str>,
    pub kind: u16,
    pub ttl_seconds: u32,
    /// Of A and AAAA.
    pub address: Option<IpAddr>,
}

/// What ends may read differently than this did: a policy decides about such a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Neither a line nor a header that HTTP allows.
    HttpMalformed,
    /// Longer than is kept.
    HttpHeadTooLong,
    /// More than one length, length and chunks, or a transfer coding that isn't `chunked`.
    HttpAmbiguousLength,
    /// Hosts that differ, or one that can be read as another: each end may take another.
    HttpAmbiguousHost,
    /// More messages at once than are followed.
    HttpTooManyOpen,
    /// Bytes that TLS does not allow at this place.
    TlsMalformed,
    /// A ClientHello that is longer than a handshake's may be.
    TlsTooLong,
    DnsMalformed,
    /// A message that its protocol does not allow.
    Malformed,
    /// What would have to be kept of it is more than there is room for in all sessions together.
    NoRoom,
    /// So many bytes were never seen.
    Gap,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HttpMalformed => "http-malformed",
            Self::HttpHeadTooLong => "http-head-too-long",
            Self::HttpAmbiguousLength => "http-ambiguous-length",
            Self::HttpAmbiguousHost => "http-ambiguous-host",
            Self::HttpTooManyOpen => "http-too-many-open",
            Self::TlsMalformed => "tls-malformed",
            Self::TlsTooLong => "tls-too-long",
            Self::DnsMalformed => "dns-malformed",
            Self::Malformed => "malformed",
            Self::NoRoom => "no-room",
            Self::Gap => "gap",
        })
    }
}
