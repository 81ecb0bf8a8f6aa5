//! HTTP/2 in cleartext, and gRPC in it: RFC 9113 (frames), RFC 7541 (HPACK), grpc.io, "gRPC over HTTP2".
//!
//! # Limits
//! A block of fields is put together up to 16 KiB; of a block that is longer nothing is read, and as the tables of the two
//! ends can't be followed from there, the reading ends.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use loona_hpack::Decoder;

use super::http::without_port;
use crate::bytes::{Bytes, text};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::{Anomaly, Direction, Fact, HostSource, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Http2,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[],
    udp_ports: &[],
};

/// RFC 9113 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_BYTES: usize = 9;
const BLOCK_BYTES: usize = 16 << 10;
/// RFC 9113 6.5.2: the table's size unless a SETTINGS frame said otherwise. Ends that ask for more get no more here.
const TABLE_BYTES: usize = 64 << 10;
/// What is looked at of a message's fields, counted as its sender does (RFC 9113 6.5.2): a few letters of a block may name a long
/// entry of the table each.
const MOST_FIELDS: usize = 256;
const LIST_BYTES: usize = 64 << 10;
/// RFC 9113 6.5.2, and RFC 7541 6.3: unless a block begins with another size.
const FIRST_TABLE_BYTES: usize = 4_096;
const RESIZE: u8 = 0x20;
/// RFC 7541 4.1: what an entry counts for beside its letters.
const ENTRY_BYTES: usize = 32;

/// Messages of a direction that have begun and not ended: what servers let their clients have open, mostly.
pub(crate) const MOST_OPEN: usize = 128;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A server need not wait for its client's preface before it sends its own (RFC 9113 3.4), and gRPC's don't.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let preface = &PREFACE[..18];
    if seen.first().begins(preface)? {
        return Some(Answer::Certain);
    }
    if !begins_settings(seen.first())? {
        return Some(Answer::NotForMe);
    }
    Some(Answer::certain_if(seen.second().begins(preface)?))
}

/// RFC 9113 6.5: six bytes each, on no stream.
fn begins_settings(bytes: &[u8]) -> Option<bool> {
    if bytes.at(0)? != 0 {
        return Some(false);
    }
    let length = bytes.be24(0)?;
    Some(length % 6 == 0 && bytes.part(3, 6)? == [SETTINGS, 0, 0, 0, 0, 0])
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Http2 {
        sides: [Side::new(PREFACE.len()), Side::new(0)],
    })
}

#[derive(Debug)]
struct Http2 {
    sides: [Side; 2],
}

struct Side {
    /// Of the preface.
    skip: usize,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Of the frame.
    left: usize,
    /// Bytes of the frame that came.
    came: usize,
    /// At the end of a DATA frame.
    padding: usize,
    block: Vec<u8>,
    decoder: Decoder<'static>,
    /// Streams with a message of this direction that has begun, the oldest first.
    open: VecDeque<u32>,
    /// What its table may hold of the fields that came, and at most.
    table_bytes: usize,
    table_most: usize,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side")
            .field("header", &self.header)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Side {
    fn new(skip: usize) -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE_BYTES);
        Self {
            skip,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            left: 0,
            came: 0,
            padding: 0,
            block: Vec::new(),
            decoder,
            open: VecDeque::new(),
            table_bytes: 0,
            table_most: FIRST_TABLE_BYTES,
        }
    }

    fn kind(&self) -> u8 {
        self.header[3]
    }

    fn flags(&self) -> u8 {
        self.header[4]
    }

    /// Requests have odd numbers from 1 on.
    fn transaction(&self) -> u32 {
        let stream = self.header.as_slice().be32(5).unwrap_or(0) & 0x7fff_ffff;
        stream.saturating_sub(1) / 2
    }
}

/// Not what HTTP/2 allows, or more than is kept.
struct Lost;

impl Parser for Http2 {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        let [forward, reverse] = &mut self.sides;
        let (side, other) = match direction {
            Direction::Forward => (forward, reverse),
            Direction::Reverse => (reverse, forward),
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            if side.skip > 0 {
                let skipped = rest.len().min(side.skip);
                side.skip -= skipped;
                rest = &rest[skipped..];
                continue;
            }
            if side.header_bytes < HEADER_BYTES {
                let taken = rest.len().min(HEADER_BYTES - side.header_bytes);
                side.header[side.header_bytes..side.header_bytes + taken]
                    .copy_from_slice(&rest[..taken]);
                side.header_bytes += taken;
                rest = &rest[taken..];
                side.left = side.header.as_slice().be24(0).unwrap_or(0) as usize;
                side.came = 0;
                if side.header_bytes < HEADER_BYTES {
                    break;
                }
            }
            let (part, behind) = rest.split_at(rest.len().min(side.left));
            rest = behind;
            side.left -= part.len();
            if side.frame(direction, part, output).is_err() {
                output.anomaly(direction, Anomaly::HttpMalformed);
                output.complete();
                return Next::Done;
            }
            side.came += part.len();
            if side.left == 0 && side.kind() == RST_STREAM {
                let stream = side.transaction();
                side.over(stream);
                other.over(stream);
            }
            if side.left == 0 {
                side.header_bytes = 0;
            }
        }
        Next::More
    }

    fn held_bytes(&self) -> usize {
        let sides = self.sides.iter();
        sides
            .map(|side| side.block.capacity() + side.table_bytes)
            .sum()
    }
}

impl Side {
    /// Part of a frame, and its end when nothing is left.
    fn frame(
        &mut self,
        direction: Direction,
        part: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Lost> {
        match self.kind() {
            DATA => {
                let body = self.without_padding(part)?;
                if !body.is_empty() {
                    output.fact(direction, self.transaction(), Fact::HttpBody(body));
                }
                if self.left == 0 && self.flags() & END_STREAM != 0 {
                    output.fact(direction, self.transaction(), Fact::HttpEnd);
                    self.over(self.transaction());
                }
                Ok(())
            }
            HEADERS | CONTINUATION => {
                if self.kind() == HEADERS && self.came == 0 {
                    self.block.clear();
                }
                if self.block.len() + part.len() > BLOCK_BYTES {
                    return Err(Lost);
                }
                self.block.extend_from_slice(part);
                if self.left > 0 {
                    return Ok(());
                }
                if self.kind() == HEADERS {
                    self.unpad()?;
                }
                if self.flags() & END_HEADERS != 0 {
                    self.fields(direction, output)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Of a message that is not followed to its end nobody knows all that it carries.
    fn begin(&mut self, direction: Direction, output: &mut Output<'_>) {
        let stream = self.transaction();
        self.over(stream);
        self.open.push_back(stream);
        if self.open.len() > MOST_OPEN {
            self.open.pop_front();
            output.anomaly(direction, Anomaly::HttpTooManyOpen);
        }
    }

    fn over(&mut self, stream: u32) {
        self.open.retain(|open| *open != stream);
    }

    /// RFC 9113 6.1: how much there is of it stands in front, in a frame's first byte.
    fn without_padding<'p>(&mut self, part: &'p [u8]) -> Result<&'p [u8], Lost> {
        if self.flags() & PADDED == 0 {
            return Ok(part);
        }
        let mut part = part;
        if self.came == 0 {
            let Some((padding, behind)) = part.split_first() else {
                return Ok(part);
            };
            self.padding = usize::from(*padding);
            part = behind;
            if self.padding > part.len() + self.left {
                return Err(Lost);
            }
        }
        // What is left of the frame is padding before any of this is.
        let here = self.padding.saturating_sub(self.left);
        Ok(&part[..part.len().saturating_sub(here)])
    }

    /// RFC 9113 6.2.
    fn unpad(&mut self) -> Result<(), Lost> {
        let mut start = 0;
        let mut padding = 0;
        if self.flags() & PADDED != 0 {
            padding = usize::from(self.block.as_slice().at(0).ok_or(Lost)?);
            start = 1;
        }
        if self.flags() & PRIORITY != 0 {
            start += 5;
        }
        let end = self
            .block
            .len()
            .checked_sub(padding)
            .filter(|end| *end >= start)
            .ok_or(Lost)?;
        self.block.truncate(end);
        self.block.drain(..start);
        Ok(())
    }

    fn fields(&mut self, direction: Direction, output: &mut Output<'_>) -> Result<(), Lost> {
        let block = std::mem::take(&mut self.block);
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let (mut count, mut came) = (0, 0);
        if block.first().is_some_and(|first| first & 0xe0 == RESIZE) {
            self.table_most = TABLE_BYTES;
        }
        self.decoder
            .decode_with_cb(&block, |name: Cow<'_, [u8]>, value: Cow<'_, [u8]>| {
                count += 1;
                came += name.len() + value.len() + ENTRY_BYTES;
                if fields.len() < MOST_FIELDS && came <= LIST_BYTES {
                    fields.push((name.into_owned(), value.into_owned()));
                }
            })
            .map_err(|_| Lost)?;
        self.table_bytes = self.table_most.min(self.table_bytes + came);
        if count > fields.len() {
            output.anomaly(direction, Anomaly::HttpHeadTooLong);
        }
        let transaction = self.transaction();
        let value = |name: &[u8]| {
            fields
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_slice())
        };
        let version = b"HTTP/2";
        if let Some(method) = value(b":method") {
            let target = value(b":path").unwrap_or_default();
            let fact = Fact::HttpRequest {
                line: b"",
                method,
                target,
                version,
            };
            output.fact(direction, transaction, fact);
        } else if let Some(code) = value(b":status") {
            let code = text(code).parse().unwrap_or(0);
            let fact = Fact::HttpStatus {
                line: b"",
                version,
                code,
                reason: b"",
            };
            output.fact(direction, transaction, fact);
        }
        // RFC 9113 8.3.1: what HTTP/1 says in Host.
        if let Some(value) = value(b":authority") {
            let name = b"host";
            output.fact(direction, transaction, Fact::HttpHeader { name, value });
        }
        for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(b":")) {
            output.fact(direction, transaction, Fact::HttpHeader { name, value });
        }
        output.fact(direction, transaction, Fact::HttpHeadEnd { raw: b"" });
        let is_message = value(b":method").or_else(|| value(b":status")).is_some();
        if value(b":method").is_some() && has_several_hosts(&fields) {
            output.anomaly(direction, Anomaly::HttpAmbiguousHost);
        }
        if self.flags() & END_STREAM != 0 {
            output.fact(direction, transaction, Fact::HttpEnd);
            self.over(transaction);
        } else if is_message {
            self.begin(direction, output);
        }
        if let Some(host) = value(b":authority").or_else(|| value(b"host")) {
            output.host(without_port(&text(host)), HostSource::Session);
        }
        if value(b"content-type").is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            output.refine(Protocol::Grpc, Some(Protocol::Http2), true);
        }
        output.complete();
        Ok(())
    }
}

/// RFC 9113 8.3.1: a server refuses such a request, if it is one that does.
fn has_several_hosts(fields: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let is_host = |name: &[u8]| name == b":authority" || name == b"host";
    let mut hosts = fields
        .iter()
        .filter(|(name, _)| is_host(name))
        .map(|(_, value)| value.trim_ascii());
    let first = hosts.next();
    hosts.any(|other| Some(other) != first)
}
