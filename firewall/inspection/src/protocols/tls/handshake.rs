//! Handshake messages, whatever carries them: TLS records, QUIC's CRYPTO frames, DTLS.

use super::certificate::Leaf;
use super::hello::{Carrier, Hello, Side};
use super::{fingerprint, host_of, inside};
use crate::bytes::text;
use crate::parser::Output;
use crate::{Direction, Fact, HostSource, Protocol};

/// RFC 8446 4: the header's length field, and what an honest message stays within.
const MESSAGE_BYTES: usize = 128 << 10;

/// The bytes are not a handshake's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotTls;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    ClientHello,
    ServerHello,
    Certificate,
}

#[derive(Debug)]
pub(crate) struct Handshake {
    carrier: Carrier,
    ends: [End; 2],
    seen: [bool; 3],
}

#[derive(Debug, Default)]
struct End {
    header: [u8; 4],
    header_bytes: usize,
    body: Body,
    /// Of the message.
    left: usize,
}

#[derive(Debug, Default)]
enum Body {
    #[default]
    None,
    Hello(Box<Hello>),
    Certificate(Box<Leaf>),
    Other,
}

impl Handshake {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            ends: Default::default(),
            seen: [false; 3],
        }
    }

    pub(crate) fn has(&self, message: Message) -> bool {
        self.seen[message as usize]
    }

    /// Whether nothing more can be read.
    pub(crate) fn data(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<bool, NotTls> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = &mut self.ends[direction.index()];
            if matches!(end.body, Body::None) {
                let taken = rest.len().min(4 - end.header_bytes);
                end.header[end.header_bytes..end.header_bytes + taken]
                    .copy_from_slice(&rest[..taken]);
                end.header_bytes += taken;
                rest = &rest[taken..];
                if end.header_bytes < 4 {
                    break;
                }
                end.header_bytes = 0;
                let [kind, high, middle, low] = end.header;
                end.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                if end.left > MESSAGE_BYTES {
                    return Err(NotTls);
                }
                end.body = match kind {
                    1 => Body::Hello(Box::new(Hello::new(Side::Client, self.carrier))),
                    2 => Body::Hello(Box::new(Hello::new(Side::Server, self.carrier))),
                    11 => Body::Certificate(Box::default()),
                    0..=24 | 254 => Body::Other,
                    _ => return Err(NotTls),
                };
            }
            let end = &mut self.ends[direction.index()];
            let (part, behind) = rest.split_at(rest.len().min(end.left));
            end.left -= part.len();
            rest = behind;
            match &mut end.body {
                Body::Hello(hello) => hello.data(part)?,
                Body::Certificate(leaf) => leaf.data(part),
                Body::None | Body::Other => (),
            }
            if end.left == 0 {
                let body = std::mem::take(&mut end.body);
                if self.message(direction, body, output)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn message(
        &mut self,
        direction: Direction,
        body: Body,
        output: &mut Output<'_>,
    ) -> Result<bool, NotTls> {
        match body {
            Body::None | Body::Other => Ok(false),
            Body::Hello(hello) => {
                let hello = hello.finish()?;
                match hello.side {
                    Side::Client => {
                        self.seen[Message::ClientHello as usize] = true;
                        self.client_hello(direction, &hello, output);
                        Ok(false)
                    }
                    Side::Server => {
                        self.seen[Message::ServerHello as usize] = true;
                        Ok(self.server_hello(direction, &hello, output))
                    }
                }
            }
            Body::Certificate(leaf) => {
                // The responder's comes first; after a CertificateRequest the initiator sends its own.
                if !self.has(Message::Certificate) {
                    self.seen[Message::Certificate as usize] = true;
                    if let Some(certificate) = leaf.read() {
                        if let Some((host, source)) = host_of(&certificate.names) {
                            output.host(host, source);
                        }
                        output.fact(direction, 0, Fact::TlsCertificate(&certificate));
                    }
                }
                output.complete();
                Ok(true)
            }
        }
    }

    fn client_hello(&mut self, direction: Direction, hello: &Hello, output: &mut Output<'_>) {
        output.fact(
            direction,
            0,
            Fact::TlsOffered {
                version: hello.highest_version(),
            },
        );
        if let Some(name) = &hello.server_name {
            let name = text(name);
            output.fact(direction, 0, Fact::TlsServerName(&name));
            output.host(&name, HostSource::Session);
        }
        for alpn in &hello.alpn {
            output.fact(direction, 0, Fact::TlsAlpn(alpn));
        }
        let ja3 = fingerprint::ja3(hello);
        let hash = fingerprint::md5(&ja3);
        output.fact(
            direction,
            0,
            Fact::TlsJa3 {
                hash: &hash,
                text: &ja3,
            },
        );
        output.fact(direction, 0, Fact::TlsJa4(&fingerprint::ja4(hello)));

        let alpn = hello.alpn.first().map_or(&[][..], Vec::as_slice);
        let ports = output.endpoints.ports(Direction::Forward);
        let speaks_dns = output
            .identity
            .service
            .as_ref()
            .is_some_and(|service| service.resolver);
        if let Some((protocol, certain)) = inside(self.carrier, alpn, ports, speaks_dns) {
            let carrier = match self.carrier {
                Carrier::Tcp => Protocol::Tls,
                Carrier::Quic => Protocol::Quic,
                Carrier::Datagram => Protocol::Dtls,
            };
            output.refine(protocol, Some(carrier), certain);
        }
        if hello.server_name.is_some() {
            output.complete();
        }
    }

    /// Whether everything behind is encrypted.
    fn server_hello(
        &mut self,
        direction: Direction,
        hello: &Hello,
        output: &mut Output<'_>,
    ) -> bool {
        let version = hello.highest_version();
        output.fact(
            direction,
            0,
            Fact::TlsChosen {
                version,
                cipher: hello.ciphers.first().copied().unwrap_or(0),
            },
        );
        if let Some(alpn) = hello.alpn.first() {
            output.fact(direction, 0, Fact::TlsAlpn(alpn));
        }
        let text = fingerprint::ja3s(hello);
        let hash = fingerprint::md5(&text);
        output.fact(
            direction,
            0,
            Fact::TlsJa3Server {
                hash: &hash,
                text: &text,
            },
        );
        // RFC 8446 4.1.4: after a HelloRetryRequest comes another pair of hellos, which changes none of this.
        version == 0x0304
    }
}
