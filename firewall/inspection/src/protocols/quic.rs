//! QUIC: RFC 8999 (what all versions share), RFC 9000 (version 1), RFC 9369 (version 2), the IETF's drafts from 22 on, and Google's own versions.
//!
//! The initiator's Initial packets are decrypted with the keys that everybody can derive (RFC 9001 5.2), and the
//! ClientHello in their CRYPTO frames is put together, in whatever order and however many packets it comes.
//!
//! # Limits
//! Only the initiator's side is read. Of a ClientHello 16 KiB are put together, in at most 64 separate pieces.

mod close;
mod crypto;
mod google;
pub(crate) mod initial;

use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector};
use crate::parser::{Next, Output, Parser};
use crate::protocols::tls::handshake::{Handshake, Message};
use crate::protocols::tls::hello::Carrier;
use crate::{Anomaly, Direction, HostSource, Protocol};
use crypto::Crypto;
use initial::{Keys, Long, Sender, Version};

pub use close::close;

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Quic,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[],
    udp_ports: &[443, 853, 784, 8_853],
};

fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    if google::is_public_header(payload) || google::is_rejection(payload) {
        return Some(Answer::Certain);
    }
    let first = payload.at(0)?;
    if first & 0x80 == 0 {
        // RFC 9000 17.3: nothing in a short header says what it is; but it may follow upon a long one.
        return Some(Answer::maybe_if(datagram.has_port(443)));
    }
    let long = Long::read(payload)?;
    Some(match long.version {
        Version::Negotiation => Answer::likely_if(
            long.rest.len() >= 4
                && long.rest.len() % 4 == 0
                && long
                    .rest
                    .chunks_exact(4)
                    .all(|version| Version::of(version.be32(0)).is_known()),
        ),
        Version::Unknown(number) => {
            // RFC 9000 15: reserved to be refused.
            let is_reserved = number & 0x0f0f_0f0f == 0x0a0a_0a0a;
            let is_long_enough = payload.len() >= initial::DATAGRAM_BYTES;
            Answer::maybe_if(is_reserved && is_long_enough && first & 0x40 != 0)
        }
        Version::Google(_) => Answer::Certain,
        Version::Ietf { .. } => Answer::certain_if(first & 0x40 != 0 && long.lengths_fit()),
    })
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Quic {
        keys: None,
        crypto: Crypto::default(),
        handshake: Handshake::new(Carrier::Quic),
        packets: 0,
    })
}

#[derive(Debug)]
struct Quic {
    keys: Option<Keys>,
    crypto: Crypto,
    handshake: Handshake,
    packets: u32,
}

/// Initial packets that are tried: what a ClientHello of 16 KiB takes, with some sent twice.
const MOST_PACKETS: u32 = 32;

impl Parser for Quic {
    fn data(&mut self, direction: Direction, datagram: &[u8], output: &mut Output<'_>) -> Next {
        self.packets += 1;
        if self.packets > MOST_PACKETS {
            return Next::Done;
        }
        if let Some(name) = google::server_name(datagram) {
            output.host(name, HostSource::Session);
            return Next::Done;
        }
        // RFC 9000 12.2: several packets in one datagram.
        let mut rest = datagram;
        while let Some(long) = Long::read(rest) {
            let Some((initial, behind)) = long.packet(rest) else {
                break;
            };
            rest = behind;
            let Some(initial) = initial else {
                continue;
            };
            if let Some(plain) = self.open(&initial)
                && self.crypto.frames(&plain).is_err()
            {
                output.anomaly(direction, Anomaly::TlsMalformed);
                return Next::Done;
            }
        }
        self.hello(direction, output)
    }

    fn held_bytes(&self) -> usize {
        self.crypto.held_bytes()
    }
}

impl Quic {
    /// The keys stay those of the initiator's first destination, RFC 9001 5.2, unless a Retry gave it another.
    fn open(&mut self, initial: &initial::Initial<'_>) -> Option<Vec<u8>> {
        if let Some(plain) = self.keys.as_ref().and_then(|keys| initial.open(keys)) {
            return Some(plain);
        }
        let keys = Keys::derive(initial.version, initial.destination, Sender::Client)?;
        let plain = initial.open(&keys)?;
        self.keys = Some(keys);
        Some(plain)
    }

    fn hello(&mut self, direction: Direction, output: &mut Output<'_>) -> Next {
        let bytes = self.crypto.take();
        if google::is_hello(&bytes) {
            if let Some(name) = google::server_name(&bytes) {
                output.host(name, HostSource::Session);
            }
            return Next::Done;
        }
        if self.handshake.data(direction, &bytes, output).is_err() {
            output.anomaly(direction, Anomaly::TlsMalformed);
            return Next::Done;
        }
        if self.handshake.has(Message::ClientHello) {
            output.complete();
            return Next::Done;
        }
        Next::More
    }
}
