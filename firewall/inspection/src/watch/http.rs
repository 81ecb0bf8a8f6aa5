//! The buffers of an HTTP head: Suricata's documentation, "HTTP Keywords".
//!
//! Of a target the path is decoded once, as servers do; what is behind the question mark stays as it is. Where a server could read more
//! into it, that is another URI beside the first: dots and doubled slashes resolved, the query decoded.

use signatures::Buffer;

use super::buffers::Buffers;
use super::uri;
use crate::Fact;
use crate::bytes::Bytes;
use crate::protocols::without_port;

/// Fields that have a buffer of their own.
const OF_REQUESTS: &[(&str, Buffer)] = &[
    ("user-agent", Buffer::HttpUserAgent),
    ("accept", Buffer::HttpAccept),
    ("accept-encoding", Buffer::HttpAcceptEncoding),
    ("accept-language", Buffer::HttpAcceptLanguage),
    ("referer", Buffer::HttpReferer),
];
const OF_STATUSES: &[(&str, Buffer)] = &[
    ("server", Buffer::HttpServer),
    ("location", Buffer::HttpLocation),
];
const OF_BOTH: &[(&str, Buffer)] = &[
    ("connection", Buffer::HttpConnection),
    ("content-type", Buffer::HttpContentType),
    ("content-length", Buffer::HttpContentLength),
];

/// A head while its fields come.
#[derive(Debug)]
pub(super) struct Head {
    is_request: bool,
    buffers: Buffers,
    /// `Name: value` and a line's end, each, without cookies.
    fields: Vec<u8>,
    /// Names, in the form in which rules look for them.
    names: Vec<u8>,
    /// The first line, for heads that never were a text.
    line: Vec<u8>,
}

impl Head {
    pub(super) fn new(fact: &Fact<'_>) -> Option<Self> {
        let mut buffers = Buffers::of_head();
        let text;
        let (is_request, line) = match *fact {
            Fact::HttpRequest {
                line,
                method,
                target,
                version,
            } => {
                let line = if line.is_empty() {
                    text = [method, b" ", target, b" ", version].concat();
                    &text
                } else {
                    line
                };
                buffers.push(Buffer::HttpMethod, method);
                let decoded = uri::decoded(target);
                if let Some(resolved) = uri::resolved(target).filter(|uri| *uri != decoded) {
                    buffers.push(Buffer::HttpUri, &resolved);
                }
                buffers.push(Buffer::HttpUri, &decoded);
                if let Some(authority) = uri::authority(target) {
                    host(&mut buffers, authority);
                }
                buffers.push(Buffer::HttpUriRaw, target);
                buffers.push(Buffer::HttpProtocol, version);
                buffers.push(Buffer::HttpRequestLine, line);
                (true, line.to_vec())
            }
            Fact::HttpStatus {
                line,
                version,
                code,
                reason,
            } => {
                let code = code.to_string();
                let line = if line.is_empty() {
                    text = [version, b" ", code.as_bytes(), b" ", reason].concat();
                    &text
                } else {
                    line
                };
                buffers.push(Buffer::HttpStatusCode, code.as_bytes());
                buffers.push(Buffer::HttpStatusMessage, reason);
                buffers.push(Buffer::HttpProtocol, version);
                buffers.push(Buffer::HttpResponseLine, line);
                (false, line.to_vec())
            }
            _ => return None,
        };
        Some(Self {
            is_request,
            buffers,
            fields: Vec::with_capacity(512),
            names: b"\r\n".to_vec(),
            line,
        })
    }

    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.names.extend_from_slice(name);
        self.names.extend_from_slice(b"\r\n");
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let one = if self.is_request {
            Buffer::HttpRequestHeader
        } else {
            Buffer::HttpResponseHeader
        };
        self.buffers.push_joined(one, &[name, b": ", value]);
        if is("cookie") || is("set-cookie") {
            self.buffers.push(Buffer::HttpCookie, value);
            return;
        }
        for piece in [name, b": ", value, b"\r\n"] {
            self.fields.extend_from_slice(piece);
        }
        if self.is_request && is("host") {
            host(&mut self.buffers, value);
        }
        let own = match self.is_request {
            true => OF_REQUESTS,
            false => OF_STATUSES,
        };
        if let Some((_, buffer)) = own.iter().chain(OF_BOTH).find(|(known, _)| is(known)) {
            self.buffers.push(*buffer, value);
        }
    }

    /// With the head as it was sent, or nothing where it never was a text.
    pub(super) fn buffers(mut self, raw: &[u8]) -> Buffers {
        self.names.extend_from_slice(b"\r\n");
        let built;
        let raw = if raw.is_empty() {
            built = [&self.line[..], b"\r\n", &self.fields, b"\r\n"].concat();
            &built
        } else {
            raw
        };
        let behind_line = memchr::memchr(b'\n', raw).map_or(raw.len(), |end| end + 1);
        self.buffers.push(Buffer::HttpHeader, &self.fields);
        self.buffers
            .push(Buffer::HttpHeaderRaw, raw.after(behind_line));
        self.buffers.push(Buffer::HttpHeaderNames, &self.names);
        self.buffers.push(Buffer::HttpStart, raw);
        self.buffers
    }
}

/// There may be several that differ: nobody knows which one counts for the receiver.
fn host(buffers: &mut Buffers, raw: &[u8]) {
    let lower = String::from_utf8_lossy(raw).to_ascii_lowercase();
    buffers.push(Buffer::HttpHost, without_port(&lower).as_bytes());
    buffers.push(Buffer::HttpHostRaw, raw);
}
