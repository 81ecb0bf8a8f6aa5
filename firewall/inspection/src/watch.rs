//! Signatures over a session: what the parsers read becomes the buffers that rules look into.
//!
//! A [`Watch`] is given each [`Event`] of its session and each packet, and says which rules match. Heads are handed over whole, with all
//! their buffers; bodies and streams as they come.
//!
//! # Limits
//! Of HTTP/2's requests, whose bodies come in turns, so many are followed at once in each direction ([`MOST_OPEN`]); with more, the one that
//! began first is taken to be over, and the parser says so (`http-too-many-open`).

mod buffers;
mod http;
mod uri;

use std::time::Duration;

use signatures::{App, Buffer, Match, Message, Packet, Scanner};

use crate::protocols::MOST_OPEN;
use crate::{Direction, Endpoints, Event, Fact, Protocol};
use buffers::Buffers;
use http::Head;

/// See the module's text.
#[derive(Debug)]
pub struct Watch {
    session: signatures::Session,
    protocol: Option<Protocol>,
    sides: [Side; 2],
}

/// What one direction is about to say.
#[derive(Debug, Default)]
struct Side {
    head: Option<Box<Head>>,
    hello: Buffers,
    /// Those that have begun: one, but for HTTP/2.
    messages: Vec<(u32, Box<Message>)>,
}

/// Of what has no transactions of its own.
const ONLY: u32 = 0;

impl Watch {
    #[must_use]
    pub fn new(endpoints: &Endpoints, scanner: &Scanner) -> Self {
        Self {
            session: scanner.open(signatures::Endpoints {
                initiator: endpoints.initiator.ip(),
                initiator_port: endpoints.initiator.port(),
                responder: endpoints.responder.ip(),
                responder_port: endpoints.responder.port(),
                protocol: endpoints.ip_protocol,
            }),
            protocol: None,
            sides: Default::default(),
        }
    }

    /// TCP: the handshake is complete. Others: both ends have sent.
    pub fn set_established(&mut self) {
        self.session.set_established();
    }

    /// A packet as it is forwarded; before the events that come of it.
    pub fn packet(
        &mut self,
        packet: &Packet<'_>,
        scanner: &mut Scanner,
        now: Duration,
        found: &mut dyn FnMut(Match),
    ) {
        report(scanner.packet(&mut self.session, packet, now), found);
    }

    /// No more will come.
    pub fn finish(&mut self, scanner: &mut Scanner, now: Duration, found: &mut dyn FnMut(Match)) {
        for direction in [Direction::Forward, Direction::Reverse] {
            for (_, message) in std::mem::take(&mut self.sides[direction.index()].messages) {
                self.end(message, scanner, now, found);
            }
            if self.session.is_passed() {
                return;
            }
            report(
                scanner.stream(&mut self.session, direction.into(), &[], true, now),
                found,
            );
        }
    }

    pub fn event(
        &mut self,
        event: &Event<'_>,
        scanner: &mut Scanner,
        now: Duration,
        found: &mut dyn FnMut(Match),
    ) {
        let direction = event.direction;
        let index = direction.index();
        match event.fact {
            Fact::Stream(bytes) => {
                report(
                    scanner.stream(&mut self.session, direction.into(), bytes, false, now),
                    found,
                );
            }
            Fact::Protocol(protocol) => {
                self.protocol = Some(protocol);
                if let Some(app) = app(protocol) {
                    report(scanner.set_app(&mut self.session, app, now), found);
                }
            }
            Fact::HttpRequest { .. } | Fact::HttpStatus { .. } => {
                self.sides[index].head = Head::new(&event.fact).map(Box::new);
            }
            Fact::HttpHeader { name, value } => {
                if let Some(head) = &mut self.sides[index].head {
                    head.field(name, value);
                }
            }
            Fact::HttpHeadEnd { raw } => {
                if let Some(head) = self.sides[index].head.take() {
                    self.end_message(direction, event.transaction, scanner, now, found);
                    let message = self.begin(direction, &head.buffers(raw), scanner, now, found);
                    self.sides[index]
                        .messages
                        .push((event.transaction, message));
                    if self.sides[index].messages.len() > MOST_OPEN {
                        let (_, oldest) = self.sides[index].messages.remove(0);
                        self.end(oldest, scanner, now, found);
                    }
                }
            }
            Fact::HttpBody(part) => {
                let messages = &mut self.sides[index].messages;
                let open = messages
                    .iter_mut()
                    .find(|(transaction, _)| *transaction == event.transaction);
                if let Some((_, message)) = open {
                    report(
                        scanner.body(&mut self.session, message, part, false, now),
                        found,
                    );
                }
            }
            Fact::HttpEnd => self.end_message(direction, event.transaction, scanner, now, found),
            Fact::TlsServerName(name) => {
                let hello = &mut self.sides[index].hello;
                hello.push(Buffer::TlsSni, name.as_bytes());
            }
            Fact::TlsAlpn(alpn) => self.sides[index].hello.push(Buffer::TlsAlpn, alpn),
            Fact::TlsJa3 { hash, text } => {
                let hello = &mut self.sides[index].hello;
                hello.push(Buffer::Ja3Hash, hash.as_bytes());
                hello.push(Buffer::Ja3String, text.as_bytes());
            }
            // The last that is said of a hello.
            Fact::TlsJa4(ja4) => {
                let mut hello = std::mem::take(&mut self.sides[index].hello);
                hello.push(Buffer::Ja4Hash, ja4.as_bytes());
                if self.protocol == Some(Protocol::Quic) {
                    let names = hello.take(Buffer::TlsSni, Buffer::QuicSni);
                    self.head(direction, &names, scanner, now, found);
                }
                self.head(direction, &hello, scanner, now, found);
            }
            Fact::TlsJa3Server { hash, text } => {
                let mut hello = std::mem::take(&mut self.sides[index].hello);
                hello.push(Buffer::Ja3sHash, hash.as_bytes());
                hello.push(Buffer::Ja3sString, text.as_bytes());
                self.head(direction, &hello, scanner, now, found);
            }
            Fact::TlsCertificate(certificate) => {
                let mut buffers = Buffers::default();
                buffers.push(Buffer::TlsCertificates, &certificate.der);
                buffers.push(
                    Buffer::TlsCertificateSubject,
                    certificate.subject.as_bytes(),
                );
                buffers.push(Buffer::TlsCertificateIssuer, certificate.issuer.as_bytes());
                buffers.push(Buffer::TlsCertificateSerial, certificate.serial.as_bytes());
                buffers.push(
                    Buffer::TlsCertificateFingerprint,
                    certificate.fingerprint.as_bytes(),
                );
                for name in &certificate.names {
                    buffers.push(Buffer::TlsSubjectAltName, name.as_bytes());
                }
                self.head(direction, &buffers, scanner, now, found);
            }
            Fact::DnsQuery { name, .. } => {
                self.head(
                    direction,
                    &Buffers::of(Buffer::DnsQuery, name.as_bytes()),
                    scanner,
                    now,
                    found,
                );
            }
            Fact::DnsAnswer(answer) => {
                let buffers = Buffers::of(Buffer::DnsAnswer, answer.name.as_bytes());
                self.head(direction, &buffers, scanner, now, found);
            }
            Fact::Software(software) if self.protocol == Some(Protocol::Ssh) => {
                let buffers = buffers::ssh(software);
                self.head(direction, &buffers, scanner, now, found);
            }
            // They are in the stream, which rules for their protocols look into.
            Fact::Software(_)
            | Fact::Command(_)
            | Fact::Reply(_)
            | Fact::MailText(_)
            | Fact::User(_)
            | Fact::Name { .. }
            | Fact::TlsOffered { .. }
            | Fact::TlsChosen { .. }
            | Fact::DnsResponse { .. }
            | Fact::Host(_)
            | Fact::Anomaly(_) => (),
        }
    }

    /// A head that nothing follows upon.
    fn head(
        &mut self,
        direction: Direction,
        buffers: &Buffers,
        scanner: &mut Scanner,
        now: Duration,
        found: &mut dyn FnMut(Match),
    ) {
        if buffers.is_empty() {
            return;
        }
        let message = self.begin(direction, buffers, scanner, now, found);
        self.sides[direction.index()].messages = vec![(ONLY, message)];
    }

    /// A message begins with what its head says.
    fn begin(
        &mut self,
        direction: Direction,
        buffers: &Buffers,
        scanner: &mut Scanner,
        now: Duration,
        found: &mut dyn FnMut(Match),
    ) -> Box<Message> {
        let mut message = Box::new(Message::new(direction.into()));
        report(
            scanner.head(&mut self.session, &mut message, &buffers.all(), now),
            found,
        );
        message
    }

    fn end_message(
        &mut self,
        direction: Direction,
        transaction: u32,
        scanner: &mut Scanner,
        now: Duration,
        found: &mut dyn FnMut(Match),
    ) {
        let messages = &mut self.sides[direction.index()].messages;
        if let Some(at) = messages.iter().position(|(open, _)| *open == transaction) {
            let (_, message) = messages.remove(at);
            self.end(message, scanner, now, found);
        }
    }

    fn end(
        &mut self,
        mut message: Box<Message>,
        scanner: &mut Scanner,
        now: Duration,
        found: &mut dyn FnMut(Match),
    ) {
        report(
            scanner.body(&mut self.session, &mut message, &[], true, now),
            found,
        );
    }
}

fn report(matches: &[Match], found: &mut dyn FnMut(Match)) {
    for one in matches {
        found(*one);
    }
}

impl From<Direction> for signatures::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self::ToResponder,
            Direction::Reverse => Self::ToInitiator,
        }
    }
}

/// What rules call it; `None` where they have no name for it.
fn app(protocol: Protocol) -> Option<App> {
    Some(match protocol {
        Protocol::Http | Protocol::HttpProxy | Protocol::Http2 | Protocol::Grpc => App::Http,
        Protocol::Tls
        | Protocol::DnsOverTls
        | Protocol::DnsOverHttps
        | Protocol::Imaps
        | Protocol::Pop3s
        | Protocol::Smtps
        | Protocol::Ldaps
        | Protocol::Ftps => App::Tls,
        Protocol::Dns | Protocol::Llmnr => App::Dns,
        Protocol::Mdns => App::Mdns,
        Protocol::Smtp => App::Smtp,
        Protocol::Ftp => App::Ftp,
        Protocol::Ssh => App::Ssh,
        Protocol::Smb => App::Smb,
        Protocol::Dcerpc => App::Dcerpc,
        Protocol::Imap => App::Imap,
        Protocol::Pop3 => App::Pop3,
        Protocol::Kerberos => App::Kerberos,
        Protocol::Ntp => App::Ntp,
        Protocol::Dhcp => App::Dhcp,
        Protocol::Snmp => App::Snmp,
        Protocol::Tftp => App::Tftp,
        Protocol::Sip => App::Sip,
        Protocol::Rdp => App::Rdp,
        Protocol::Vnc => App::Rfb,
        Protocol::Mqtt => App::Mqtt,
        Protocol::Quic | Protocol::DnsOverQuic => App::Quic,
        Protocol::Ike => App::Ike,
        Protocol::Telnet => App::Telnet,
        Protocol::Modbus => App::Modbus,
        Protocol::Dnp3 => App::Dnp3,
        Protocol::BitTorrentDht => App::BitTorrentDht,
        Protocol::PostgreSql => App::PostgreSql,
        Protocol::Ldap => App::Ldap,
        Protocol::WebSocket => App::WebSocket,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
