//! ClientHello and ServerHello, read as they come: RFC 8446 4.1, RFC 5246 7.4.1, RFC 9147 5.3 (DTLS).
//!
//! What is kept is what names and fingerprints are made of, not the message: of an extension's body, only those that are read,
//! up to [`EXTENSION_BYTES`].

use nom::multi::{length_data, many0};
use nom::number::complete::{be_u8, be_u16};
use nom::{IResult, Parser as _};

use super::handshake::NotTls;

/// What carries the handshake: JA4's first letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Tcp,
    Quic,
    Datagram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Of one that is longer than any has reason to be, so much is read: an ALPN list of a hundred entries.
const EXTENSION_BYTES: usize = 1_024;
/// More than IANA has assigned.
const MOST_ENTRIES: usize = 512;

pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const SUPPORTED_GROUPS: u16 = 10;
pub(crate) const POINT_FORMATS: u16 = 11;
pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;

#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) side: Side,
    pub(crate) carrier: Carrier,
    pub(crate) version: u16,
    pub(crate) ciphers: Vec<u16>,
    /// Types, in their order.
    pub(crate) extensions: Vec<u16>,
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) versions: Vec<u16>,
    pub(crate) groups: Vec<u16>,
    pub(crate) point_formats: Vec<u8>,
    pub(crate) signatures: Vec<u16>,
    at: At,
    /// The field that is being read.
    field: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Version, random, and the session id's length.
    Head,
    SessionId(usize),
    CookieLength,
    Cookie(usize),
    CiphersLength,
    /// So many bytes of them.
    Ciphers(usize),
    CompressionLength,
    Compression(usize),
    /// A ServerHello's cipher and compression.
    Chosen,
    ExtensionsLength,
    ExtensionHead,
    /// So many bytes of it that are read, and so many behind them that are not.
    Extension {
        kind: u16,
        bytes: usize,
        behind: usize,
    },
    /// An extension that is not read.
    Skip(usize),
}

impl Hello {
    pub(crate) fn new(side: Side, carrier: Carrier) -> Self {
        Self {
            side,
            carrier,
            version: 0,
            ciphers: Vec::new(),
            extensions: Vec::new(),
            server_name: None,
            alpn: Vec::new(),
            versions: Vec::new(),
            groups: Vec::new(),
            point_formats: Vec::new(),
            signatures: Vec::new(),
            at: At::Head,
            field: Vec::new(),
        }
    }

    /// RFC 8446 4.2.1: where the extension is, it counts.
    pub(crate) fn highest_version(&self) -> u16 {
        let offered = self
            .versions
            .iter()
            .copied()
            .filter(|version| !is_grease(*version));
        match self.carrier {
            Carrier::Tcp | Carrier::Quic => offered.max(),
            // DTLS counts down.
            Carrier::Datagram => offered.min(),
        }
        .unwrap_or(self.version)
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<(), NotTls> {
        let mut rest = bytes;
        loop {
            let needed = self.at.bytes() - self.field.len();
            if needed > rest.len() || rest.is_empty() {
                if let At::Skip(left) = &mut self.at {
                    *left -= rest.len();
                } else {
                    self.field.extend_from_slice(rest);
                }
                return Ok(());
            }
            let (part, behind) = rest.split_at(needed);
            rest = behind;
            if let At::Skip(_) = self.at {
                self.at = At::ExtensionHead;
            } else if self.field.is_empty() {
                self.step(part)?;
            } else {
                let mut field = std::mem::take(&mut self.field);
                field.extend_from_slice(part);
                self.step(&field)?;
            }
        }
    }

    /// At the message's end.
    pub(crate) fn finish(self) -> Result<Self, NotTls> {
        let is_whole = match self.at {
            // Without extensions, or behind the last.
            At::ExtensionsLength | At::ExtensionHead => true,
            // Empty fields end the message without another byte.
            At::Skip(left) => left == 0,
            At::Head
            | At::SessionId(_)
            | At::CookieLength
            | At::Cookie(_)
            | At::CiphersLength
            | At::Ciphers(_)
            | At::CompressionLength
            | At::Compression(_)
            | At::Chosen
            | At::Extension { .. } => false,
        };
        if is_whole && self.field.is_empty() {
            Ok(self)
        } else {
            Err(NotTls)
        }
    }

    fn step(&mut self, field: &[u8]) -> Result<(), NotTls> {
        let number = |field: &[u8]| match *field {
            [one] => usize::from(one),
            [high, low] => usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        self.at = match self.at {
            At::Head => {
                self.version = number(&field[..2]) as u16;
                let session_id = usize::from(field[34]);
                if session_id > 32 {
                    return Err(NotTls);
                }
                self.behind_session_id(session_id)
            }
            At::SessionId(_) => self.behind_session_id(0),
            At::CookieLength => match number(field) {
                0 => At::CiphersLength,
                bytes => At::Cookie(bytes),
            },
            At::Cookie(_) => At::CiphersLength,
            At::CiphersLength => match number(field) {
                0 => At::CompressionLength,
                bytes if bytes % 2 == 0 => At::Ciphers(bytes),
                _ => return Err(NotTls),
            },
            At::Ciphers(left) => {
                push(&mut self.ciphers, number(field) as u16);
                match left - 2 {
                    0 => At::CompressionLength,
                    left => At::Ciphers(left),
                }
            }
            At::CompressionLength => match number(field) {
                0 => return Err(NotTls),
                bytes => At::Compression(bytes),
            },
            At::Compression(_) => At::ExtensionsLength,
            At::Chosen => {
                push(&mut self.ciphers, number(&field[..2]) as u16);
                At::ExtensionsLength
            }
            At::ExtensionsLength => At::ExtensionHead,
            At::ExtensionHead => {
                let kind = number(&field[..2]) as u16;
                push(&mut self.extensions, kind);
                match (number(&field[2..]), is_read(kind)) {
                    (0, _) => At::ExtensionHead,
                    (bytes, true) => At::Extension {
                        kind,
                        bytes: bytes.min(EXTENSION_BYTES),
                        behind: bytes.saturating_sub(EXTENSION_BYTES),
                    },
                    (bytes, false) => At::Skip(bytes),
                }
            }
            At::Extension { kind, behind, .. } => {
                self.extension(kind, field);
                match behind {
                    0 => At::ExtensionHead,
                    bytes => At::Skip(bytes),
                }
            }
            At::Skip(_) => At::ExtensionHead,
        };
        Ok(())
    }

    fn behind_session_id(&self, session_id: usize) -> At {
        match (session_id, self.side, self.carrier) {
            (1.., _, _) => At::SessionId(session_id),
            (0, Side::Server, _) => At::Chosen,
            (0, Side::Client, Carrier::Datagram) => At::CookieLength,
            (0, Side::Client, Carrier::Tcp | Carrier::Quic) => At::CiphersLength,
        }
    }

    /// One that can't be read is as good as none: the end may read it anyhow, but learns nothing from us.
    fn extension(&mut self, kind: u16, body: &[u8]) {
        match kind {
            SERVER_NAME => {
                if let Ok((_, name)) = server_name(body) {
                    self.server_name.get_or_insert_with(|| name.to_vec());
                }
            }
            ALPN => {
                if let Ok((_, names)) = alpn(body) {
                    self.alpn = names.into_iter().map(<[u8]>::to_vec).collect();
                }
            }
            SUPPORTED_VERSIONS if self.side == Side::Server => {
                if let Some(version) = body.first_chunk() {
                    self.versions = vec![u16::from_be_bytes(*version)];
                }
            }
            SUPPORTED_VERSIONS => self.versions = numbers(body.get(1..).unwrap_or_default()),
            SUPPORTED_GROUPS => self.groups = numbers(body.get(2..).unwrap_or_default()),
            SIGNATURE_ALGORITHMS => self.signatures = numbers(body.get(2..).unwrap_or_default()),
            POINT_FORMATS => self.point_formats = body.get(1..).unwrap_or_default().to_vec(),
            _ => (),
        }
    }
}

impl At {
    fn bytes(self) -> usize {
        match self {
            Self::Head => 35,
            Self::SessionId(bytes)
            | Self::Cookie(bytes)
            | Self::Compression(bytes)
            | Self::Extension { bytes, .. }
            | Self::Skip(bytes) => bytes,
            Self::CiphersLength | Self::Ciphers(_) | Self::ExtensionsLength => 2,
            Self::CookieLength | Self::CompressionLength => 1,
            Self::Chosen => 3,
            Self::ExtensionHead => 4,
        }
    }
}

/// RFC 8701 2.
pub(crate) fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

fn is_read(kind: u16) -> bool {
    matches!(
        kind,
        SERVER_NAME
            | ALPN
            | SUPPORTED_VERSIONS
            | SUPPORTED_GROUPS
            | SIGNATURE_ALGORITHMS
            | POINT_FORMATS
    )
}

fn push(numbers: &mut Vec<u16>, number: u16) {
    if numbers.len() < MOST_ENTRIES {
        numbers.push(number);
    }
}

/// RFC 6066 3: the first name, if it is a host's.
fn server_name(body: &[u8]) -> IResult<&[u8], &[u8]> {
    let (list, _) = be_u16(body)?;
    let (rest, _) = nom::bytes::complete::tag(&[0_u8][..]).parse(list)?;
    length_data(be_u16).parse(rest)
}

/// RFC 7301 3.1: as many as are there.
fn alpn(body: &[u8]) -> IResult<&[u8], Vec<&[u8]>> {
    let (list, length) = be_u16(body)?;
    let list = &list[..list.len().min(usize::from(length))];
    many0(length_data(be_u8)).parse_complete(list)
}

fn numbers(list: &[u8]) -> Vec<u16> {
    list.chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect()
}
