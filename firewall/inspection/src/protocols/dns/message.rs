//! A DNS message: RFC 1035 4.1.

use std::net::IpAddr;

use nom::bytes::complete::take;
use nom::number::complete::{be_u16, be_u32};
use nom::{IResult, Parser as _};

use crate::bytes::Bytes;

const MOST_RECORDS: u16 = 64;
/// RFC 1035 2.3.4.
const NAME_BYTES: usize = 255;
/// A name of 255 bytes has no more labels; so many jumps are more than enough.
const MOST_LABELS: usize = 128;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    flags: u16,
    counts: [u16; 4],
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) question: Option<Question>,
    pub(crate) answers: Vec<Record>,
    /// Every part was there, of a known class, and nothing behind.
    pub(crate) is_sound: bool,
}

#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) kind: u16,
    class: u16,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) kind: u16,
    class: u16,
    pub(crate) ttl_seconds: u32,
    pub(crate) address: Option<IpAddr>,
}

impl Header {
    pub(crate) const BYTES: usize = 12;

    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        Some(Self {
            flags: message.be16(2)?,
            counts: [
                message.be16(4)?,
                message.be16(6)?,
                message.be16(8)?,
                message.be16(10)?,
            ],
        })
    }

    pub(crate) fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub(crate) fn response_code(&self) -> u8 {
        (self.flags & 0xf) as u8
    }

    /// Values that are assigned, RFC 6895 2, and numbers that a message has room for.
    pub(crate) fn is_plausible(&self) -> bool {
        let opcode = self.flags >> 11 & 0xf;
        let [questions, answers, authorities, additional] = self.counts;
        let sane = questions <= 16 && answers <= 512 && authorities <= 512 && additional <= 512;
        let any = self.counts.iter().any(|count| *count > 0);
        let reserved = self.flags & 0x40 != 0;
        matches!(opcode, 0..=2 | 4..=6) && sane && any && !reserved && self.response_code() <= 11
    }
}

/// `None`: not a message. What is cut off behind the question is read as far as it goes.
pub(crate) fn read(message: &[u8]) -> Option<Message> {
    let header = Header::read(message).filter(Header::is_plausible)?;
    let mut rest = message.after(Header::BYTES);
    let mut question = None;
    let mut is_sound = true;
    for _ in 0..header.counts[0] {
        let (behind, (name, kind, class)) = read_question(message, rest).ok()?;
        rest = behind;
        is_sound &= is_class(class) && kind != 0;
        question.get_or_insert(Question { name, kind, class });
    }
    if let Some(question) = &question
        && (question.kind == 0 || question.class == 0)
    {
        return None;
    }
    let mut answers = Vec::new();
    let records = header.counts[1..]
        .iter()
        .map(|count| u32::from(*count))
        .sum::<u32>();
    for number in 0..records.min(u32::from(MOST_RECORDS)) {
        let Ok((behind, record)) = read_record(message, rest) else {
            is_sound = false;
            break;
        };
        rest = behind;
        // RFC 6891 6.1.2: an OPT record's class is a size, RFC 2136 2.4: an update's may be none.
        is_sound &= record.kind == 41 || is_class(record.class);
        if number < u32::from(header.counts[1]) {
            answers.push(record);
        }
    }
    is_sound &= records > u32::from(MOST_RECORDS) || rest.is_empty();
    is_sound &= question.is_some() || header.is_response();
    Some(Message {
        header,
        question,
        answers,
        is_sound,
    })
}

/// RFC 6895 3.2, with mDNS's top bit (RFC 6762 5.4 and 10.2).
fn is_class(class: u16) -> bool {
    matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255)
}

fn read_question<'a>(message: &[u8], at: &'a [u8]) -> IResult<&'a [u8], (String, u16, u16)> {
    let (rest, name) = read_name(message, at)?;
    let (rest, (kind, class)) = (be_u16, be_u16).parse(rest)?;
    Ok((rest, (name, kind, class)))
}

fn read_record<'a>(message: &[u8], at: &'a [u8]) -> IResult<&'a [u8], Record> {
    let (rest, name) = read_name(message, at)?;
    let (rest, (kind, class, ttl_seconds, length)) =
        (be_u16, be_u16, be_u32, be_u16).parse(rest)?;
    let (rest, data) = take(length).parse(rest)?;
    let address = match kind {
        1 => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
        28 => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        _ => None,
    };
    Ok((
        rest,
        Record {
            name,
            kind,
            class,
            ttl_seconds,
            address,
        },
    ))
}

/// RFC 1035 4.1.4. Jumps go backwards only, so they end.
fn read_name<'a>(message: &[u8], at: &'a [u8]) -> IResult<&'a [u8], String> {
    let failure = || nom::Err::Error(nom::error::Error::new(at, nom::error::ErrorKind::Verify));
    let mut name = String::new();
    let mut behind = None;
    let mut here = at;
    let mut limit = message.len();
    for _ in 0..MOST_LABELS {
        match here.first().copied().ok_or_else(failure)? {
            0 => {
                let rest = behind.unwrap_or_else(|| at.after(at.len() - here.len() + 1));
                return Ok((rest, name));
            }
            length @ 1..=63 => {
                let label = here.part(1, usize::from(length)).ok_or_else(failure)?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|byte| shown(*byte)));
                if name.len() > NAME_BYTES * 2 {
                    return Err(failure());
                }
                here = here.after(1 + label.len());
            }
            0xc0..=0xff => {
                let target = usize::from(here.be16(0).ok_or_else(failure)? & 0x3fff);
                if behind.is_none() {
                    behind = Some(at.after(at.len() - here.len() + 2));
                }
                if target >= limit {
                    return Err(failure());
                }
                limit = target;
                here = message.after(target);
            }
            64..=0xbf => return Err(failure()),
        }
    }
    Err(failure())
}

/// Bytes that are no text would make two names look alike, or a dot out of none.
fn shown(byte: u8) -> char {
    match byte {
        b'.' => '_',
        b'!'..=b'~' => char::from(byte),
        _ => '?',
    }
}
