//! The sessions of a capture.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use signatures::{IcmpHeader, Match, PacketHeaders, Scanner, TcpHeader};

use super::ip::{Packet, Tcp};
use crate::bytes::Bytes as _;
use crate::bytes::text;
use crate::filter::{Asked, Question};
use crate::session::TCP;
use crate::{
    Direction, Endpoints, Event, Fact, Identity, Inspector, Profile, Segment, Session, Verdict,
    Watch,
};

/// Sessions that are followed at a time.
pub const MOST_SESSIONS: usize = 262_144;
/// Attributes that are kept of one, and how long each may be.
const MOST_ATTRIBUTES: usize = 48;
const ATTRIBUTE_CHARACTERS: usize = 256;

/// RFC 9293 3.1.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

/// What one session was.
#[derive(Clone, Debug)]
pub struct Report {
    pub endpoints: Endpoints,
    /// Since 1970.
    pub began: Duration,
    pub ended: Duration,
    /// By direction.
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub identity: Identity,
    pub packets_to_decide: u32,
    /// What the parsers read, as name and value, each once.
    pub attributes: Vec<(&'static str, String)>,
    /// Segments that would not have been forwarded: other bytes at the same place, or outside of the connection.
    pub refused: u64,
    /// Its ends may read it differently than it was read here. What a capture lacks does not count.
    pub is_anomalous: bool,
    /// What filters would be asked, each once, in the order of the session.
    pub asked: Vec<Question>,
    /// Signatures that matched, each once, in the order in which they did.
    pub matches: Vec<Match>,
}

/// Whose sessions signatures are looked for in.
pub struct Watched<'a> {
    pub scanner: &'a mut Scanner,
    /// The profile of a session; `None` where none are looked for.
    pub profile: &'a dyn Fn(&Endpoints) -> Option<Profile>,
}

impl fmt::Debug for Watched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("scanner", &self.scanner)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Table<'a> {
    inspector: &'a Inspector,
    watched: Option<Watched<'a>>,
    /// By both ends, the smaller first.
    open: HashMap<(u8, SocketAddr, SocketAddr), usize>,
    all: Vec<Followed>,
}

#[derive(Debug)]
struct Followed {
    /// `None` when it has ended.
    session: Option<Session>,
    watch: Option<Watch>,
    report: Report,
    asked: Asked,
    /// FINs, by direction.
    fins: [bool; 2],
    reset: bool,
}

impl<'a> Table<'a> {
    pub(super) fn new(inspector: &'a Inspector, watched: Option<Watched<'a>>) -> Self {
        Self {
            inspector,
            watched,
            open: HashMap::new(),
            all: Vec::new(),
        }
    }

    /// Whether it could be followed.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, now: Duration) -> bool {
        let (small, large) = if packet.source <= packet.destination {
            (packet.source, packet.destination)
        } else {
            (packet.destination, packet.source)
        };
        let key = (packet.ip_protocol, small, large);
        let known = self.open.get(&key).copied();
        let is_syn = packet.tcp.is_some_and(|tcp| tcp.flags & (SYN | ACK) == SYN);
        let index = match known {
            Some(index) if is_syn && self.all[index].is_closed() => {
                self.all[index].end(self.inspector, scanner(&mut self.watched), now);
                self.open(key, packet, now)
            }
            Some(index) => index,
            None if self.open.len() >= MOST_SESSIONS => return false,
            None => self.open(key, packet, now),
        };
        self.all[index].packet(packet, self.inspector, scanner(&mut self.watched), now);
        true
    }

    pub(super) fn finish(mut self, now: Duration) -> Vec<Report> {
        let finish = |mut followed: Followed| {
            followed.end(self.inspector, scanner(&mut self.watched), now);
            followed.report
        };
        self.all.into_iter().map(finish).collect()
    }

    fn open(
        &mut self,
        key: (u8, SocketAddr, SocketAddr),
        packet: &Packet<'_>,
        now: Duration,
    ) -> usize {
        let answers = packet
            .tcp
            .is_some_and(|tcp| tcp.flags & (SYN | ACK) == SYN | ACK);
        let (initiator, responder) = if answers {
            (packet.destination, packet.source)
        } else {
            (packet.source, packet.destination)
        };
        let endpoints = Endpoints {
            ip_protocol: packet.ip_protocol,
            initiator,
            responder,
        };
        let index = self.all.len();
        let watched = self.watched.as_ref().and_then(|watched| {
            let profile = (watched.profile)(&endpoints)?;
            Some((profile, Watch::new(&endpoints, watched.scanner)))
        });
        let (profile, watch) = match watched {
            Some((profile, watch)) => (profile, Some(watch)),
            None => (self.inspector.profile, None),
        };
        self.all.push(Followed {
            session: Some(Session::by(&profile, endpoints, self.inspector)),
            watch,
            report: Report {
                endpoints,
                began: now,
                ended: now,
                packets: [0; 2],
                bytes: [0; 2],
                identity: Identity::default(),
                packets_to_decide: 0,
                attributes: Vec::new(),
                refused: 0,
                is_anomalous: false,
                asked: Vec::new(),
                matches: Vec::new(),
            },
            asked: Asked::default(),
            fins: [false; 2],
            reset: false,
        });
        self.open.insert(key, index);
        index
    }
}

fn scanner<'a>(watched: &'a mut Option<Watched<'_>>) -> Option<&'a mut Scanner> {
    watched.as_mut().map(|watched| &mut *watched.scanner)
}

impl Followed {
    fn is_closed(&self) -> bool {
        self.reset || self.fins == [true; 2]
    }

    fn packet(
        &mut self,
        packet: &Packet<'_>,
        inspector: &Inspector,
        mut scanner: Option<&mut Scanner>,
        now: Duration,
    ) {
        let direction = if packet.source == self.report.endpoints.initiator {
            Direction::Forward
        } else {
            Direction::Reverse
        };
        self.report.ended = now;
        self.report.packets[direction.index()] += 1;
        self.report.bytes[direction.index()] += packet.ip_bytes;
        let Some(session) = &mut self.session else {
            return;
        };
        let matches = &mut self.report.matches;
        if let (Some(watch), Some(scanner)) = (&mut self.watch, scanner.as_deref_mut()) {
            // A capture that begins within a connection has no handshake to wait for.
            let is_syn = packet.tcp.is_some_and(|tcp| tcp.flags & SYN != 0);
            if self.report.packets.iter().all(|packets| *packets > 0) && !is_syn {
                watch.set_established();
            }
            let headers = headers(packet);
            let behind = if headers.icmp.is_some() { 8 } else { 0 };
            let looked_at = signatures::Packet {
                direction: direction.into(),
                payload: packet.payload.after(behind),
                headers,
            };
            watch.packet(&looked_at, scanner, now, &mut |one| add(matches, one));
        }
        let attributes = &mut self.report.attributes;
        let is_anomalous = &mut self.report.is_anomalous;
        let (asked, follows) = (&mut self.report.asked, &mut self.asked);
        let watch = &mut self.watch;
        let mut sink = |event: &Event<'_>| {
            note(attributes, event);
            ask(asked, follows, event);
            *is_anomalous |= event.fact.is_ambiguous();
            if let (Some(watch), Some(scanner)) = (watch.as_mut(), scanner.as_deref_mut()) {
                watch.event(event, scanner, now, &mut |one| add(matches, one));
            }
        };
        match (packet.ip_protocol, packet.tcp) {
            (TCP, Some(tcp)) => {
                self.fins[direction.index()] |= tcp.flags & FIN != 0;
                self.reset |= tcp.flags & RST != 0;
                let segment = segment(tcp, without_padding(tcp, &packet.payload));
                let verdict = session.segment(direction, &segment, inspector, now, &mut sink);
                self.report.refused += u64::from(match verdict {
                    Verdict::Forward | Verdict::ClearUrgent => false,
                    Verdict::Differs | Verdict::Full | Verdict::Outside => true,
                });
            }
            (_, None) => session.datagram(direction, &packet.payload, inspector, now, &mut sink),
            (_, Some(_)) => (),
        }
    }

    fn end(&mut self, inspector: &Inspector, mut scanner: Option<&mut Scanner>, now: Duration) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        let attributes = &mut self.report.attributes;
        let is_anomalous = &mut self.report.is_anomalous;
        let matches = &mut self.report.matches;
        let (asked, follows) = (&mut self.report.asked, &mut self.asked);
        let watch = &mut self.watch;
        session.finish(inspector, now, &mut |event| {
            note(attributes, event);
            ask(asked, follows, event);
            *is_anomalous |= event.fact.is_ambiguous();
            if let (Some(watch), Some(scanner)) = (watch.as_mut(), scanner.as_deref_mut()) {
                watch.event(event, scanner, now, &mut |one| add(matches, one));
            }
        });
        if let (Some(mut watch), Some(scanner)) = (self.watch.take(), scanner) {
            watch.finish(scanner, now, &mut |one| add(matches, one));
        }
        self.report.identity = session.identity().clone();
        self.report.packets_to_decide = session.packets_to_decide();
    }
}

/// Questions that are kept of one session.
const MOST_ASKED: usize = 64;

fn ask(asked: &mut Vec<Question>, follows: &mut Asked, event: &Event<'_>) {
    let Some(question) = follows.note(event) else {
        return;
    };
    // What answers it says so again.
    let is_answered = |known: &Question| match (known, &question) {
        (Question::Query(known), Question::Answer { name, .. }) => known == name,
        _ => *known == question,
    };
    if asked.len() < MOST_ASKED && !asked.iter().any(is_answered) {
        asked.push(question);
    }
}

/// Signatures that are kept of one session.
const MOST_MATCHES: usize = 64;

fn add(matches: &mut Vec<Match>, one: Match) {
    let is_known = matches.iter().any(|known| known.rule == one.rule);
    if one.is_told && !is_known && matches.len() < MOST_MATCHES {
        matches.push(one);
    }
}

/// IANA's numbers.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

fn headers(packet: &Packet<'_>) -> PacketHeaders<'static> {
    let is_icmp = matches!(packet.ip_protocol, ICMP | ICMPV6);
    let icmp = || {
        Some(IcmpHeader {
            kind: packet.payload.at(0)?,
            code: packet.payload.at(1)?,
            id: packet.payload.be16(4),
            sequence: packet.payload.be16(6),
        })
    };
    PacketHeaders {
        ttl: packet.ip.ttl_hops,
        tos: packet.ip.tos,
        identification: packet.ip.identification,
        is_reassembled: packet.ip.is_reassembled,
        tcp: packet.tcp.map(|tcp| TcpHeader {
            flags: tcp.flags,
            sequence: tcp.sequence,
            acknowledgement: tcp.acknowledgment,
            window: tcp.window,
            maximum_segment: None,
        }),
        icmp: is_icmp.then(icmp).flatten(),
        ..PacketHeaders::default()
    }
}

fn segment(tcp: Tcp, payload: &[u8]) -> Segment<'_> {
    Segment {
        sequence: tcp.sequence,
        acknowledgment: (tcp.flags & ACK != 0).then_some(tcp.acknowledgment),
        syn: tcp.flags & SYN != 0,
        fin: tcp.flags & FIN != 0,
        rst: tcp.flags & RST != 0,
        urgent: tcp.flags & URG != 0,
        payload,
    }
}

/// Some devices count a short frame's padding to the packet: up to six zeros in a bare acknowledgment are that.
fn without_padding(tcp: Tcp, payload: &[u8]) -> &[u8] {
    let is_padding =
        tcp.flags == ACK && payload.len() <= 6 && payload.iter().all(|byte| *byte == 0);
    if is_padding { &[] } else { payload }
}

/// Keeps what is worth showing of a fact.
fn note(attributes: &mut Vec<(&'static str, String)>, event: &Event<'_>) {
    let mut keep = |name: &'static str, value: &[u8]| {
        let value: String = text(value).chars().take(ATTRIBUTE_CHARACTERS).collect();
        if attributes.len() < MOST_ATTRIBUTES
            && !value.is_empty()
            && !attributes
                .iter()
                .any(|known| *known == (name, value.clone()))
        {
            attributes.push((name, value));
        }
    };
    let side = |forward, reverse| match event.direction {
        Direction::Forward => forward,
        Direction::Reverse => reverse,
    };
    match event.fact {
        Fact::Anomaly(anomaly) => keep("anomaly", anomaly.to_string().as_bytes()),
        Fact::HttpRequest { method, target, .. } => {
            keep("http_method", method);
            keep("http_target", target);
        }
        Fact::HttpStatus { code, .. } => keep("http_status", code.to_string().as_bytes()),
        Fact::HttpHeader { name, value } => {
            if name.eq_ignore_ascii_case(b"user-agent") {
                keep("user_agent", value);
            } else if name.eq_ignore_ascii_case(b"server") {
                keep("http_server", value);
            } else if name.eq_ignore_ascii_case(b"content-type") {
                keep(side("http_request_type", "content_type"), value);
            }
        }
        Fact::TlsOffered { version } => keep("tls_offered", version_name(version).as_bytes()),
        Fact::TlsServerName(name) => keep("tls_sni", name.as_bytes()),
        Fact::TlsAlpn(alpn) => keep(side("tls_alpn", "tls_alpn_chosen"), alpn),
        Fact::TlsJa3 { hash, .. } => keep("tls_ja3", hash.as_bytes()),
        Fact::TlsJa3Server { hash, .. } => keep("tls_ja3s", hash.as_bytes()),
        Fact::TlsJa4(ja4) => keep("tls_ja4", ja4.as_bytes()),
        Fact::TlsChosen { version, .. } => keep("tls_version", version_name(version).as_bytes()),
        Fact::TlsCertificate(certificate) => {
            keep("tls_subject", certificate.subject.as_bytes());
            keep("tls_issuer", certificate.issuer.as_bytes());
            for name in &certificate.names {
                keep("tls_certificate_name", name.as_bytes());
            }
        }
        Fact::DnsQuery { name, .. } => keep("dns_query", name.as_bytes()),
        Fact::DnsAnswer(answer) => {
            if let Some(address) = answer.address {
                keep("dns_address", address.to_string().as_bytes());
            }
        }
        Fact::DnsResponse { code } if code > 0 => {
            keep("dns_response_code", code.to_string().as_bytes());
        }
        Fact::Software(software) => {
            keep(side("initiator_software", "responder_software"), software);
        }
        Fact::User(user) => keep("user", user),
        Fact::Name { what, value } => keep(what, value),
        Fact::Stream(_)
        | Fact::Protocol(_)
        | Fact::HttpHeadEnd { .. }
        | Fact::HttpBody(_)
        | Fact::HttpEnd
        | Fact::DnsResponse { .. }
        | Fact::Host(_)
        | Fact::Command(_)
        | Fact::Reply(_)
        | Fact::MailText(_) => (),
    }
}

/// As people write it.
fn version_name(version: u16) -> String {
    match version {
        0x0304 => "TLS 1.3".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0300 => "SSL 3.0".to_owned(),
        0xfeff => "DTLS 1.0".to_owned(),
        0xfefd => "DTLS 1.2".to_owned(),
        0xfefc => "DTLS 1.3".to_owned(),
        other => format!("{other:#06x}"),
    }
}
