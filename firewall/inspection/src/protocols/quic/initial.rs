//! Long headers and the protection of Initial packets: RFC 9000 17.2, RFC 9001 5, RFC 9369 3.

use std::fmt;

use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use crate::bytes::Bytes;

/// RFC 9000 14.1: what a datagram with an initiator's Initial is filled up to.
pub(crate) const DATAGRAM_BYTES: usize = 1_200;
/// RFC 9000 17.2.
const CONNECTION_ID_BYTES: u8 = 20;
/// RFC 9001 5.4.2.
const SAMPLE_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// RFC 8999 6.
    Negotiation,
    Ietf {
        salt: [u8; 20],
        /// RFC 9369 3.2: other numbers for the packet types, and other labels.
        is_second: bool,
    },
    /// `Q046` …, `T051`.
    Google(u32),
    Unknown(u32),
}

/// draft-ietf-quic-tls-22 5.2.
const DRAFT_22: [u8; 20] = [
    0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd,
    0x7a, 0x02, 0x64, 0x4a,
];
/// RFC 9001 5.2.
const VERSION_1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];
/// RFC 9369 3.3.1.
const VERSION_2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
    0xf9, 0xbd, 0x2e, 0xd9,
];
/// draft-ietf-quic-tls-29 5.2.
const DRAFT_29: [u8; 20] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0,
    0x43, 0x90, 0xa8, 0x99,
];
/// draft-ietf-quic-tls-23 5.2.
const DRAFT_23: [u8; 20] = [
    0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65,
    0xbe, 0xf9, 0xf5, 0x02,
];

impl Version {
    pub(crate) fn of(number: Option<u32>) -> Self {
        let ietf = |salt| Self::Ietf {
            salt,
            is_second: false,
        };
        match number.unwrap_or(0) {
            0 => Self::Negotiation,
            1 | 0xff00_0021..=0xff00_0022 => ietf(VERSION_1),
            0x6b33_43cf => Self::Ietf {
                salt: VERSION_2,
                is_second: true,
            },
            0xff00_001d..=0xff00_0020 => ietf(DRAFT_29),
            // mvfst's own numbers (facebook/mvfst, quic/QuicConstants.h) are versions of the drafts of their time.
            0xff00_0017..=0xff00_001c | 0xface_b002 => ietf(DRAFT_23),
            0xff00_0015..=0xff00_0016 | 0xface_b001 => ietf(DRAFT_22),
            number if number.to_be_bytes()[0] == b'Q' && is_digits(number) => Self::Google(number),
            number if number.to_be_bytes()[0] == b'T' && is_digits(number) => Self::Google(number),
            number => Self::Unknown(number),
        }
    }

    pub(crate) fn is_known(self) -> bool {
        match self {
            Self::Ietf { .. } | Self::Google(_) => true,
            Self::Unknown(number) => {
                number & 0x0f0f_0f0f == 0x0a0a_0a0a || number & 0xffff_ff00 == 0xff00_0000
            }
            Self::Negotiation => false,
        }
    }
}

fn is_digits(number: u32) -> bool {
    let [_, digits @ ..] = number.to_be_bytes();
    digits.iter().all(u8::is_ascii_digit)
}

/// A long header's part that all versions share: RFC 8999 5.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Long<'a> {
    first: u8,
    pub(crate) version: Version,
    number: u32,
    destination: &'a [u8],
    pub(crate) source: &'a [u8],
    /// What follows the connection ids.
    pub(crate) rest: &'a [u8],
}

/// An Initial packet that is still protected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Initial<'a> {
    pub(crate) version: u32,
    pub(crate) destination: &'a [u8],
    /// From its first byte to its last.
    packet: &'a [u8],
    /// Where its number is.
    number_at: usize,
}

impl<'a> Long<'a> {
    pub(crate) fn read(packet: &'a [u8]) -> Option<Self> {
        let first = packet.at(0)?;
        if first & 0x80 == 0 {
            return None;
        }
        let number = packet.be32(1)?;
        let destination_bytes = packet.at(5)?;
        let destination = packet.part(6, usize::from(destination_bytes))?;
        let source_at = 6 + destination.len();
        let source_bytes = packet.at(source_at)?;
        let source = packet.part(source_at + 1, usize::from(source_bytes))?;
        let version = Version::of(Some(number));
        let is_long = destination_bytes > CONNECTION_ID_BYTES || source_bytes > CONNECTION_ID_BYTES;
        if is_long && !matches!(version, Version::Google(_)) {
            return None;
        }
        Some(Self {
            first,
            version,
            number,
            destination,
            source,
            rest: packet.after(source_at + 1 + usize::from(source_bytes)),
        })
    }

    /// Whether what the header says of its packet's length is possible.
    pub(crate) fn lengths_fit(&self) -> bool {
        self.is_retry()
            || self
                .length()
                .is_some_and(|(at, length)| length > 0 && at + length <= self.rest.len())
    }

    /// The packet and what follows it in the datagram; an Initial if it is one.
    pub(crate) fn packet(&self, bytes: &'a [u8]) -> Option<(Option<Initial<'a>>, &'a [u8])> {
        let header = bytes.len() - self.rest.len();
        if self.is_retry() || self.version == Version::Negotiation {
            return Some((None, &[]));
        }
        let (at, length) = self.length()?;
        let end = header + at + length;
        let packet = bytes.get(..end)?;
        let initial = self.is_initial().then_some(Initial {
            version: self.number,
            destination: self.destination,
            packet,
            number_at: header + at,
        });
        Some((initial, bytes.after(end)))
    }

    fn kind(&self) -> u8 {
        let kind = self.first >> 4 & 3;
        match self.version {
            // RFC 9369 3.2: one more than in version 1.
            Version::Ietf {
                is_second: true, ..
            } => kind.wrapping_sub(1) & 3,
            Version::Ietf { .. }
            | Version::Negotiation
            | Version::Google(_)
            | Version::Unknown(_) => kind,
        }
    }

    fn is_initial(&self) -> bool {
        self.kind() == 0
    }

    fn is_retry(&self) -> bool {
        self.kind() == 3
    }

    /// Where in `rest` the packet's number is, and the length of all from there.
    fn length(&self) -> Option<(usize, usize)> {
        let mut at = 0;
        if self.is_initial() {
            let (bytes, token) = varint(self.rest)?;
            at = bytes.checked_add(usize::try_from(token).ok()?)?;
        }
        let (bytes, length) = varint(self.rest.after(at))?;
        Some((
            at + bytes,
            usize::try_from(length)
                .ok()
                .filter(|length| *length <= 65_535)?,
        ))
    }
}

/// RFC 9000 16: how many bytes it takes, and its value.
pub(crate) fn varint(bytes: &[u8]) -> Option<(usize, u64)> {
    let first = bytes.at(0)?;
    let length = 1 << (first >> 6);
    let value = bytes
        .part(1, length - 1)?
        .iter()
        .fold(u64::from(first & 0x3f), |value, byte| {
            value << 8 | u64::from(*byte)
        });
    Some((length, value))
}

/// Whose Initial packets keys are for, RFC 9001 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// The Initial keys of one end.
pub(crate) struct Keys {
    packet: LessSafeKey,
    iv: [u8; 12],
    header: HeaderProtectionKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Google's versions with encrypted Initials (Chromium, quic/core/crypto/crypto_utils.cc).
const Q050: [u8; 20] = [
    0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94, 0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0,
    0xd3, 0xb5, 0x6b, 0x45,
];
const T050: [u8; 20] = [
    0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c,
    0x60, 0x48, 0x83, 0x10,
];
const T051: [u8; 20] = [
    0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc,
    0xda, 0x6e, 0x03, 0x3d,
];

impl Keys {
    /// `destination` is that of the client's first packet.
    pub(crate) fn derive(version: u32, destination: &[u8], sender: Sender) -> Option<Self> {
        let (salt, is_second) = match Version::of(Some(version)) {
            Version::Ietf { salt, is_second } => (salt, is_second),
            Version::Google(number) => match &number.to_be_bytes() {
                b"Q050" => (Q050, false),
                b"T050" => (T050, false),
                b"T051" => (T051, false),
                _ => return None,
            },
            Version::Negotiation | Version::Unknown(_) => return None,
        };
        let initial = Salt::new(HKDF_SHA256, &salt).extract(destination);
        let mut secret = [0; 32];
        let label: &[u8] = match sender {
            Sender::Client => b"client in",
            Sender::Server => b"server in",
        };
        expand(&initial, label, &mut secret)?;
        let secret = Prk::new_less_safe(HKDF_SHA256, &secret);
        let labels: [&[u8]; 3] = if is_second {
            [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"]
        } else {
            [b"quic key", b"quic iv", b"quic hp"]
        };
        let (mut key, mut iv, mut header) = ([0; 16], [0; 12], [0; 16]);
        expand(&secret, labels[0], &mut key)?;
        expand(&secret, labels[1], &mut iv)?;
        expand(&secret, labels[2], &mut header)?;
        Some(Self {
            packet: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?),
            iv,
            header: HeaderProtectionKey::new(&AES_128, &header).ok()?,
        })
    }
}

/// HKDF-Expand-Label, RFC 8446 7.1, without a context.
fn expand(secret: &Prk, label: &[u8], to: &mut [u8]) -> Option<()> {
    let length = u16::try_from(to.len()).ok()?.to_be_bytes();
    let label_bytes = [u8::try_from(6 + label.len()).ok()?];
    let info = [&length[..], &label_bytes, b"tls13 ", label, &[0]];
    secret.expand(&info, Length(to.len())).ok()?.fill(to).ok()
}

impl Initial<'_> {
    /// RFC 9001 5.3 and 5.4. `None` if these are not its keys.
    pub(crate) fn open(&self, keys: &Keys) -> Option<Vec<u8>> {
        let sample = self.packet.part(self.number_at + 4, SAMPLE_BYTES)?;
        let mask = keys.header.new_mask(sample).ok()?;
        let mut bytes = self.packet.to_vec();
        bytes[0] ^= mask[0] & 0x0f;
        let number_bytes = usize::from(bytes[0] & 3) + 1;
        let mut nonce = keys.iv;
        for index in 0..number_bytes {
            bytes[self.number_at + index] ^= mask[1 + index];
            nonce[12 - number_bytes + index] ^= bytes[self.number_at + index];
        }
        let (header, sealed) = bytes.split_at_mut(self.number_at + number_bytes);
        let plain = keys
            .packet
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&*header),
                sealed,
            )
            .ok()?;
        Some(plain.to_vec())
    }
}

/// Of a packet that is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids<'a> {
    pub(crate) destination: &'a [u8],
    pub(crate) source: &'a [u8],
}

/// All that packet numbers have room for, RFC 9000 17.1.
const NUMBER_BYTES: usize = 4;

impl Keys {
    /// An Initial packet without a token, protected. `None` where ids or frames are longer than a packet takes, or fewer than are
    /// sampled.
    pub(crate) fn seal(
        &self,
        version: u32,
        ids: Ids<'_>,
        number: u32,
        frames: &[u8],
    ) -> Option<Vec<u8>> {
        let Version::Ietf { is_second, .. } = Version::of(Some(version)) else {
            return None;
        };
        let first = if is_second { 0xd3 } else { 0xc3 };
        let mut packet = vec![first];
        packet.extend(version.to_be_bytes());
        for id in [ids.destination, ids.source] {
            packet.push(u8::try_from(id.len()).ok()?);
            packet.extend(id);
        }
        packet.push(0);
        let length = NUMBER_BYTES + frames.len() + AES_128_GCM.tag_len();
        let length = u16::try_from(length).ok().filter(|it| *it < 0x4000)?;
        packet.extend((0x4000 | length).to_be_bytes());
        let number_at = packet.len();
        packet.extend(number.to_be_bytes());
        let mut nonce = self.iv;
        for (byte, digit) in nonce[8..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= digit;
        }
        let mut sealed = frames.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.packet
            .seal_in_place_append_tag(nonce, Aad::from(&packet), &mut sealed)
            .ok()?;
        packet.extend(sealed);
        let sample = packet.part(number_at + NUMBER_BYTES, SAMPLE_BYTES)?;
        let mask = self.header.new_mask(sample).ok()?;
        packet[0] ^= mask[0] & 0x0f;
        for (byte, mask) in packet[number_at..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
        }
        Some(packet)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A client's Initial packet, protected.
    pub(crate) fn seal(version: u32, destination: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
        let keys = Keys::derive(version, destination, Sender::Client).expect("a known version");
        let ids = Ids {
            destination,
            source: &[],
        };
        keys.seal(version, ids, number, frames).expect("sealing")
    }

    /// RFC 9001 A.2.
    #[test]
    fn the_keys_are_those_of_the_specifications_example() {
        let keys = Keys::derive(
            1,
            &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08],
            Sender::Client,
        )
        .expect("keys");
        let sample = [
            0xd1, 0xb1, 0xc9, 0x8d, 0xd7, 0x68, 0x9f, 0xb8, 0xec, 0x11, 0xd2, 0x42, 0xb1, 0x23,
            0xdc, 0x9b,
        ];
        assert_eq!(
            keys.header.new_mask(&sample).expect("a mask"),
            [0x43, 0x7b, 0x9a, 0xec, 0x36]
        );
    }

    #[test]
    fn a_packet_of_another_session_does_not_open() {
        let packet = seal(1, b"12345678", 0, &[0; 100]);
        let (initial, _) = Long::read(&packet)
            .expect("a header")
            .packet(&packet)
            .expect("a packet");
        let initial = initial.expect("an Initial");
        assert!(
            initial
                .open(&Keys::derive(1, b"12345678", Sender::Client).expect("keys"))
                .is_some()
        );
        assert!(
            initial
                .open(&Keys::derive(1, b"87654321", Sender::Client).expect("keys"))
                .is_none()
        );
    }
}
