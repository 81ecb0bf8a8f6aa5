//! A rule, read and checked: what the compiler and whoever shows rules work on.

use std::sync::Arc;

use crate::bounds::Bounds;
use crate::buffer::{App, Buffer, Direction};
use crate::regex::Regex;
use crate::sets::{AddressSet, PortSet};
use crate::tuning::Suppression;

/// What happens to traffic that a rule matches.
///
/// Rules are judged in this order: `pass` first, which lets the rest go unjudged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Pass,
    Drop,
    Reject,
    Alert,
}

impl Action {
    pub const ALL: [Self; 4] = [Self::Pass, Self::Drop, Self::Reject, Self::Alert];

    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "alert" => Self::Alert,
            "drop" => Self::Drop,
            "pass" => Self::Pass,
            "reject" | "rejectsrc" | "rejectdst" | "rejectboth" => Self::Reject,
            _ => return None,
        })
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Alert => "alert",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub gid: u32,
    pub sid: u32,
    pub revision: u32,
    pub action: Action,
    pub message: Box<str>,
    pub class: Option<Arc<str>>,
    pub priority: Option<u8>,
    /// `cve,2021-44228`, `url,example.org/…`
    pub references: Box<[Box<str>]>,
    /// `signature_severity Major`
    pub metadata: Box<[Box<str>]>,
    pub(crate) protocol: Protocol,
    pub(crate) header: Header,
    pub(crate) flow: Flow,
    pub(crate) packet: Box<[PacketTest]>,
    pub(crate) sections: Box<[Section]>,
    pub(crate) bits: Box<[BitOp]>,
    pub(crate) rates: Box<[Rate]>,
    pub(crate) suppressions: Box<[Suppression]>,
    pub(crate) is_silent: bool,
}

/// What a rule's header says of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Ip,
    Ipv4,
    Ipv6,
    Tcp,
    /// Single segments only.
    TcpPacket,
    /// The reassembled stream only.
    TcpStream,
    Udp,
    Icmp,
    App(App),
}

#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) source: Arc<AddressSet>,
    pub(crate) source_ports: Arc<PortSet>,
    pub(crate) destination: Arc<AddressSet>,
    pub(crate) destination_ports: Arc<PortSet>,
    pub(crate) both_ways: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) direction: Option<Direction>,
    pub(crate) established: Option<bool>,
    pub(crate) payload: PayloadKind,
    /// `no_frag` is `Some(false)`.
    pub(crate) reassembled_from_fragments: Option<bool>,
}

/// What a rule without a buffer looks into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    #[default]
    Any,
    Stream,
    Packet,
}

/// A condition on a single packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PacketTest {
    PayloadSize(Bounds),
    TcpFlags {
        want: u8,
        mode: BitMode,
        ignored: u8,
    },
    Fragment {
        want: u8,
        mode: BitMode,
    },
    FragmentOffset(Bounds),
    Ttl(Bounds),
    Tos(Bounds),
    Identification(Bounds),
    IpProtocol(Bounds),
    IpOption(IpOption),
    SameAddress,
    Sequence(u32),
    Acknowledgement(u32),
    Window(Bounds),
    MaximumSegment(Bounds),
    IcmpType(Bounds),
    IcmpCode(Bounds),
    IcmpId(Bounds),
    IcmpSequence(Bounds),
    StreamSize(StreamSide, Bounds),
}

/// How wanted bits compare with those of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitMode {
    Exactly,
    /// These and any others.
    AtLeast,
    AnyOf,
    NoneOf,
}

impl BitMode {
    pub(crate) fn holds(self, want: u8, bits: u8) -> bool {
        match self {
            Self::Exactly => bits == want,
            Self::AtLeast => bits & want == want,
            Self::AnyOf => bits & want != 0,
            Self::NoneOf => bits & want == 0,
        }
    }
}

/// An option of an IPv4 header, by its number (RFC 791, RFC 1108).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpOption {
    Any,
    Number(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamSide {
    Initiator,
    Responder,
    Both,
    Either,
}

/// All conditions of a rule on one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) buffer: Buffer,
    pub(crate) transforms: Box<[Transform]>,
    pub(crate) matchers: Box<[Matcher]>,
    pub(crate) absent: Absent,
}

/// Whether a section wants its buffer to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Absent {
    #[default]
    No,
    Must,
    /// Absent, or as the matchers say.
    Or,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Transform {
    ToLowercase,
    ToUppercase,
    StripWhitespace,
    CompressWhitespace,
    DotPrefix,
    UrlDecode,
    ToSha256,
    Xor(Box<[u8]>),
    HeaderLowercase,
    FromBase64,
}

#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Content(Content),
    Regex(RegexMatch),
    DataAt {
        offset: Value,
        relative: bool,
        negated: bool,
    },
    Size(Bounds),
    Test(ByteTest),
    Jump(ByteJump),
    Extract(ByteExtract),
    Math(ByteMath),
    Decode(Decode),
}

/// A number in a rule, or one that a rule has read from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Literal(i64),
    Variable(u8),
}

#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// In lower case where case doesn't matter.
    pub(crate) pattern: Box<[u8]>,
    pub(crate) nocase: bool,
    pub(crate) negated: bool,
    pub(crate) place: Place,
    pub(crate) ends_buffer: bool,
    pub(crate) fast: bool,
}

/// Where a content may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Between `offset` and `offset + depth` of the buffer.
    Absolute { offset: Value, depth: Option<Value> },
    /// From `distance` behind the last match, within so many bytes from there.
    Relative {
        distance: Value,
        within: Option<Value>,
    },
}

impl Place {
    pub(crate) const ANYWHERE: Self = Self::Absolute {
        offset: Value::Literal(0),
        depth: None,
    };
}

#[derive(Clone, Debug)]
pub(crate) struct RegexMatch {
    pub(crate) regex: Arc<Regex>,
    pub(crate) negated: bool,
    pub(crate) relative: bool,
}

/// How a number is read from bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) width: Value,
    pub(crate) offset: Value,
    pub(crate) relative: bool,
    pub(crate) notation: Notation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    BigEndian,
    LittleEndian,
    Hexadecimal,
    Decimal,
    Octal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteTest {
    pub(crate) reading: Reading,
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
    pub(crate) value: Value,
    pub(crate) mask: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Less,
    Greater,
    Equal,
    LessOrEqual,
    GreaterOrEqual,
    And,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteJump {
    pub(crate) reading: Reading,
    pub(crate) multiplier: i64,
    pub(crate) align: bool,
    pub(crate) from: JumpFrom,
    pub(crate) post_offset: Value,
    pub(crate) mask: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JumpFrom {
    Number,
    Beginning,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteExtract {
    pub(crate) reading: Reading,
    pub(crate) multiplier: i64,
    /// Rounded up to a multiple of this; 1 is as it is.
    pub(crate) align: i64,
    pub(crate) into: u8,
    pub(crate) mask: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteMath {
    pub(crate) reading: Reading,
    pub(crate) operator: Arithmetic,
    pub(crate) operand: Value,
    pub(crate) into: u8,
    pub(crate) mask: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    ShiftLeft,
    ShiftRight,
}

/// `base64_decode`, with what `base64_data` wants of the result.
#[derive(Clone, Debug)]
pub(crate) struct Decode {
    /// Encoded bytes to read at most.
    pub(crate) limit_bytes: u32,
    pub(crate) offset: i64,
    pub(crate) relative: bool,
    pub(crate) then: Vec<Matcher>,
}

/// A bit that rules leave for other rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BitOp {
    pub(crate) change: BitChange,
    /// One of them, where there are several.
    pub(crate) names: Box<[Arc<str>]>,
    pub(crate) owner: BitOwner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitChange {
    Set,
    Unset,
    Toggle,
    IsSet,
    IsNotSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitOwner {
    Session,
    Source { seconds: u32 },
    Destination { seconds: u32 },
    Pair { seconds: u32 },
}

/// How often a rule has to match, or may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub kind: RateKind,
    pub track: Track,
    pub count: u32,
    pub seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateKind {
    /// Every `count`th match within the time.
    Threshold,
    /// The first `count` matches of the time.
    Limit,
    /// The `count`th match of the time, and no other.
    Both,
    /// Every match after the first `count` of the time.
    Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    BySource,
    ByDestination,
    ByBoth,
    ByRule,
    BySession,
}

impl Rule {
    /// The application that a session must have for this rule.
    pub(crate) fn app(&self) -> Option<App> {
        match self.protocol {
            Protocol::App(app) => Some(app),
            Protocol::Ip
            | Protocol::Ipv4
            | Protocol::Ipv6
            | Protocol::Tcp
            | Protocol::TcpPacket
            | Protocol::TcpStream
            | Protocol::Udp
            | Protocol::Icmp => None,
        }
    }
}
