//! HTTP/1: RFC 9112 (messages), RFC 9110 (methods, fields).
//!
//! # Limits
//! A head is kept until it is whole, up to 16 KiB and 128 fields; a longer one is an anomaly and ends the reading. Content codings are
//! left as they are.

mod body;

use std::collections::VecDeque;
use std::mem::MaybeUninit;

use super::http2;
use crate::bytes::{Bytes, text};
use crate::identify::{Answer, BEGINNING_BYTES, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::{Anomaly, Direction, Fact, HostSource, Protocol};
use body::{Body, Framing};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Http,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[80, 8_080, 8_000, 3_128, 8_888],
    udp_ports: &[],
};

const HEAD_BYTES: usize = 16 << 10;
const MOST_FIELDS: usize = 128;
/// Requests that wait for their answers.
const MOST_OPEN: usize = 64;
/// Whose inline commands look like HTTP/0.9.
const REDIS_PORT: u16 = 6_379;
/// `https`, and some room.
const SCHEME_BYTES: usize = 8;
/// The longest registered method is UPDATEREDIRECTREF. Of longer ones, servers say that they don't know them.
const METHOD_BYTES: usize = 64;

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    if simple_request(seen.first()) && seen.responder_port != REDIS_PORT {
        return Some(Answer::Certain);
    }
    Some(seen.either(|bytes| {
        if bytes.begins(b"HTTP/") != Some(false) {
            status_line(bytes)
        } else {
            request_line(bytes)
        }
    }))
}

/// RFC 9112 4.
fn status_line(bytes: &[u8]) -> Option<Answer> {
    if !bytes.begins(b"HTTP/1.")? {
        return Some(Answer::NotForMe);
    }
    let rest = bytes.part(7, 5)?;
    Some(Answer::certain_if(
        rest[0].is_ascii_digit() && rest[1] == b' ' && rest[2..].iter().all(u8::is_ascii_digit),
    ))
}

/// RFC 9112 3. The version is at its end, and what makes it HTTP. Servers forgive what stands in front of that: empty lines, blanks, small
/// letters; what the parser doesn't take of that it says.
fn request_line(bytes: &[u8]) -> Option<Answer> {
    let is_full = bytes.len() >= BEGINNING_BYTES;
    let is_space = |byte: &&u8| is_blank(byte) || matches!(byte, b'\r' | b'\n');
    let bytes = bytes.after(bytes.iter().take_while(is_space).count());
    let method = bytes.iter().take(METHOD_BYTES + 1).position(is_blank);
    let is_method = |bytes: &[u8]| {
        bytes
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
    };
    let Some(method) = method else {
        let may_be = bytes.len() <= METHOD_BYTES && is_method(bytes);
        return Some(if is_full {
            Answer::likely_if(may_be)
        } else {
            Answer::maybe_if(may_be)
        });
    };
    if method == 0 || !is_method(&bytes[..method]) {
        return Some(Answer::NotForMe);
    }
    let is_text = |line: &[u8]| line.iter().all(|byte| *byte >= b' ' || is_blank(byte));
    let Some(line) = bytes.line() else {
        let is_line = is_text(bytes.strip_suffix(b"\r").unwrap_or(bytes));
        let target = bytes[method..].trim_ascii_start();
        let is_target =
            target.starts_with(b"/") || target.starts_with(b"\\") || is_absolute(target);
        return Some(if is_full {
            Answer::likely_if(is_line && is_target)
        } else {
            Answer::maybe_if(is_line)
        });
    };
    let version = line.trim_ascii_end().rsplit(is_blank).next()?;
    // RFC 9113 3.4: another protocol's preface.
    let is_http2 = &bytes[..method] == b"PRI" && version == b"HTTP/2.0";
    Some(Answer::certain_if(
        is_text(line) && is_version(version) && !is_http2,
    ))
}

fn is_version(word: &[u8]) -> bool {
    let number = word.get(5..).unwrap_or_default();
    word.begins_text(b"HTTP/") == Some(true)
        && !number.is_empty()
        && number
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// A request of HTTP/0.9, which has no version: RFC 1945 4.1.
fn simple_request(bytes: &[u8]) -> bool {
    let bytes = bytes.after(empty_lines(bytes));
    let line = bytes.line().unwrap_or_default();
    let target = line.get(4..).unwrap_or_default();
    line.starts_with(b"GET ") && target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic)
}

/// RFC 9112 2.2: empty lines in front of a request are to be ignored.
fn empty_lines(bytes: &[u8]) -> usize {
    let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    bytes.iter().take_while(is_end).count()
}

/// RFC 9112 3: what lenient readers take for a blank.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0b' | b'\x0c')
}

/// RFC 9112 3.2.2.
fn is_absolute(target: &[u8]) -> bool {
    memchr::memmem::find(target, b"://").is_some_and(|scheme| scheme <= SCHEME_BYTES)
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::<Http>::default()
}

#[derive(Debug, Default)]
struct Http {
    sides: [Side; 2],
    /// Of the requests that have no answer yet.
    open: VecDeque<Method>,
    /// Heads that came, by direction.
    heads: [u32; 2],
    upgrade: bool,
}

#[derive(Debug, Default)]
struct Side {
    head: Vec<u8>,
    body: Option<Body>,
    transaction: u32,
}

/// As far as it decides what an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Head,
    Connect,
    Other,
}

/// What the head says of what follows.
struct Read {
    framing: Framing,
    /// Another protocol begins.
    switches: Option<Switch>,
}

#[derive(Clone, Copy, Debug)]
enum Switch {
    Http2,
    Other,
}

#[derive(Debug)]
enum Trouble {
    Malformed,
    TooLong,
}

impl Parser for Http {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        let mut rest = bytes;
        while !rest.is_empty() {
            let side = &mut self.sides[direction.index()];
            if let Some(body) = &mut side.body {
                let transaction = side.transaction;
                let taken = body.data(rest, &mut |part| {
                    output.fact(direction, transaction, Fact::HttpBody(part));
                });
                let Some(taken) = taken else {
                    output.anomaly(direction, Anomaly::HttpMalformed);
                    return Next::Done;
                };
                rest = &rest[taken..];
                if body.is_over() {
                    side.body = None;
                    output.fact(direction, transaction, Fact::HttpEnd);
                }
                continue;
            }
            match self.head(direction, rest, output) {
                Ok(None) => return Next::More,
                Ok(Some((taken, read))) => {
                    rest = &rest[taken..];
                    match read.switches {
                        Some(Switch::Http2) => return Next::Become(http2::parser(), rest.len()),
                        Some(Switch::Other) => return Next::Done,
                        None => (),
                    }
                    let side = &mut self.sides[direction.index()];
                    side.body = Some(Body::new(read.framing)).filter(|body| !body.is_over());
                    if side.body.is_none() {
                        output.fact(direction, side.transaction, Fact::HttpEnd);
                    }
                }
                Err(trouble) => {
                    output.anomaly(
                        direction,
                        match trouble {
                            Trouble::Malformed => Anomaly::HttpMalformed,
                            Trouble::TooLong => Anomaly::HttpHeadTooLong,
                        },
                    );
                    return Next::Done;
                }
            }
        }
        Next::More
    }

    /// A body with a known end can be gone on behind; anything else is lost.
    fn gap(&mut self, direction: Direction, _: &mut Output<'_>) -> Next {
        match &self.sides[direction.index()].body {
            Some(body) if body.is_until_close() => Next::More,
            Some(_) | None => Next::Done,
        }
    }

    fn held_bytes(&self) -> usize {
        self.sides.iter().map(|side| side.head.capacity()).sum()
    }
}

impl Http {
    /// Once the head is whole: how many of the bytes were its, and what it says. It is copied only when it came in parts; the same
    /// limit holds for one that did not.
    fn head(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<Option<(usize, Read)>, Trouble> {
        let side = &mut self.sides[direction.index()];
        let mut kept = std::mem::take(&mut side.head);
        let before = kept.len();
        let part = &bytes[..bytes.len().min(HEAD_BYTES.saturating_sub(before))];
        let whole = if before == 0 {
            part
        } else {
            kept.extend_from_slice(part);
            &kept
        };
        let empty = empty_lines(whole);
        let read = if whole[empty..].starts_with(b"HTTP/") {
            self.response(direction, &whole[empty..], output)?
        } else {
            self.request(direction, &whole[empty..], output)?
        };
        if let Some((taken, read)) = read {
            return Ok(Some(((taken + empty).saturating_sub(before), read)));
        }
        if whole.len() >= HEAD_BYTES {
            return Err(Trouble::TooLong);
        }
        if before == 0 {
            kept.extend_from_slice(part);
        }
        self.sides[direction.index()].head = kept;
        Ok(None)
    }

    fn request(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<Option<(usize, Read)>, Trouble> {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Trouble::TooLong),
            Err(_) => return Err(Trouble::Malformed),
        };
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(Trouble::Malformed);
        };
        if output.identity.protocol == Some(Protocol::Http) {
            output.refine(Protocol::Http, None, true);
        }
        let transaction = self.begin(direction);
        output.fact(
            direction,
            transaction,
            Fact::HttpRequest {
                line: bytes.line().unwrap_or_default(),
                method: method.as_bytes(),
                target: target.as_bytes(),
                version: if version == 0 {
                    b"HTTP/1.0"
                } else {
                    b"HTTP/1.1"
                },
            },
        );
        let framing = fields_of(direction, transaction, version, request.headers, output);
        if has_unclear_host(request.headers) {
            output.anomaly(direction, Anomaly::HttpAmbiguousHost);
        }
        output.fact(
            direction,
            transaction,
            Fact::HttpHeadEnd {
                raw: &bytes[..length],
            },
        );
        let method = match method {
            "HEAD" => Method::Head,
            "CONNECT" => Method::Connect,
            _ => Method::Other,
        };
        if self.open.len() < MOST_OPEN {
            self.open.push_back(method);
        }
        // The answer to the one that asks for it may come behind more requests.
        self.upgrade |= field(request.headers, "upgrade").is_some();
        self.whom(method, target, request.headers, output);
        Ok(Some((
            length,
            Read {
                framing: framing.of_request(),
                switches: None,
            },
        )))
    }

    /// RFC 9112 3.2: who is asked, and whether it is to ask another.
    fn whom(
        &self,
        method: Method,
        target: &str,
        headers: &[httparse::Header<'_>],
        output: &mut Output<'_>,
    ) {
        // In a path's query it says nothing of whom it is for.
        let is_scheme = |scheme: &str| !scheme.contains(['/', '\\', '?']);
        let absolute = target.split_once("://");
        let absolute = absolute.and_then(|(scheme, rest)| is_scheme(scheme).then_some(rest));
        let authority = match method {
            Method::Connect => Some(target),
            Method::Head | Method::Other => {
                absolute.map(|rest| rest.split(['/', '?']).next().unwrap_or(rest))
            }
        };
        if authority.is_some() {
            output.refine(Protocol::HttpProxy, None, true);
        }
        let host = authority
            .map(str::as_bytes)
            .or_else(|| field(headers, "host"));
        if let Some(host) = host {
            let host = text(host);
            output.host(without_port(host.trim()), HostSource::Session);
        }
        if !self.upgrade && method != Method::Connect {
            output.complete();
        }
    }

    fn response(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<Option<(usize, Read)>, Trouble> {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut fields,
        );
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Trouble::TooLong),
            Err(_) => return Err(Trouble::Malformed),
        };
        let (Some(code), Some(version)) = (response.code, response.version) else {
            return Err(Trouble::Malformed);
        };
        let is_interim = (100..200).contains(&code) && code != 101;
        let method = match is_interim {
            true => self.open.front().copied(),
            false => self.open.pop_front(),
        };
        let transaction = self.begin(direction);
        if is_interim {
            self.heads[direction.index()] -= 1;
        }
        output.fact(
            direction,
            transaction,
            Fact::HttpStatus {
                line: bytes.line().unwrap_or_default(),
                version: if version == 0 {
                    b"HTTP/1.0"
                } else {
                    b"HTTP/1.1"
                },
                code,
                reason: response.reason.unwrap_or_default().as_bytes(),
            },
        );
        let framing = fields_of(direction, transaction, version, response.headers, output);
        output.fact(
            direction,
            transaction,
            Fact::HttpHeadEnd {
                raw: &bytes[..length],
            },
        );
        let has_body = !(is_interim || matches!(code, 204 | 304) || method == Some(Method::Head));
        let to = field(response.headers, "upgrade")
            .filter(|_| code == 101)
            .unwrap_or_default();
        let switches = if to.eq_ignore_ascii_case(b"h2c") {
            output.refine(Protocol::Http2, Some(Protocol::Http), true);
            Some(Switch::Http2)
        } else if to.eq_ignore_ascii_case(b"websocket") {
            output.refine(Protocol::WebSocket, Some(Protocol::Http), true);
            Some(Switch::Other)
        } else {
            let tunnels = method == Some(Method::Connect) && (200..300).contains(&code);
            (code == 101 || tunnels).then_some(Switch::Other)
        };
        if !is_interim {
            output.complete();
        }
        Ok(Some((
            length,
            Read {
                framing: if has_body {
                    framing.of_response()
                } else {
                    Framing::None
                },
                switches,
            },
        )))
    }

    fn begin(&mut self, direction: Direction) -> u32 {
        let heads = &mut self.heads[direction.index()];
        let transaction = *heads;
        *heads = heads.wrapping_add(1);
        self.sides[direction.index()].transaction = transaction;
        transaction
    }
}

/// Tells the fields, and what they say about the body.
fn fields_of(
    direction: Direction,
    transaction: u32,
    version: u8,
    headers: &[httparse::Header<'_>],
    output: &mut Output<'_>,
) -> body::Fields {
    let mut fields = body::Fields::new(version);
    for header in headers {
        output.fact(
            direction,
            transaction,
            Fact::HttpHeader {
                name: header.name.as_bytes(),
                value: header.value,
            },
        );
        fields.field(header.name, header.value);
    }
    if fields.is_ambiguous() {
        output.fact(
            direction,
            transaction,
            Fact::Anomaly(Anomaly::HttpAmbiguousLength),
        );
    }
    fields
}

/// RFC 9112 3.2: a server refuses such a request, if it is one that does. RFC 9110 7.2: a host has no user in front of it.
fn has_unclear_host(headers: &[httparse::Header<'_>]) -> bool {
    let is_unclear = |byte: &u8| is_blank(byte) || b"@,/\\?#\"<>".contains(byte);
    let mut hosts = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("host"))
        .map(|header| header.value.trim_ascii());
    let first = hosts.next();
    first.is_some_and(|first| first.iter().any(is_unclear))
        || hosts.any(|other| Some(other) != first)
}

fn field<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// RFC 3986 3.2: also of an authority with a user.
pub(crate) fn without_port(authority: &str) -> &str {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if let Some(address) = host.strip_prefix('[') {
        return address.split(']').next().unwrap_or(address);
    }
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}
