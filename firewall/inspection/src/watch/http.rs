//! The buffers of an HTTP head: Suricata's documentation, "HTTP Keywords".
//!
//! # Limits
//! Of a target the path is decoded once, as servers do; what is behind the question mark stays as it is.

use signatures::Buffer;

use super::buffers::Buffers;
use crate::Fact;
use crate::bytes::Bytes;
use crate::protocols::without_port;

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
        let mut buffers = Buffers::default();
        let (is_request, line) = match *fact {
            Fact::HttpRequest {
                line,
                method,
                target,
                version,
            } => {
                let text = [method, b" ", target, b" ", version].concat();
                let line = if line.is_empty() { &text } else { line };
                buffers.push(Buffer::HttpMethod, method);
                buffers.push(Buffer::HttpUri, &decoded(target));
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
                let text = [version, b" ", code.as_bytes(), b" ", reason].concat();
                let line = if line.is_empty() { &text } else { line };
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
            fields: Vec::new(),
            names: b"\r\n".to_vec(),
            line,
        })
    }

    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.names.extend_from_slice(name);
        self.names.extend_from_slice(b"\r\n");
        let lower = name.to_ascii_lowercase();
        let field = [name, b": ", value].concat();
        let one = if self.is_request {
            Buffer::HttpRequestHeader
        } else {
            Buffer::HttpResponseHeader
        };
        self.buffers.push(one, &field);
        if matches!(&lower[..], b"cookie" | b"set-cookie") {
            self.buffers.push(Buffer::HttpCookie, value);
            return;
        }
        self.fields.extend_from_slice(&field);
        self.fields.extend_from_slice(b"\r\n");
        if self.is_request && lower == b"host" {
            let host = String::from_utf8_lossy(value).to_ascii_lowercase();
            self.buffers
                .push(Buffer::HttpHost, without_port(&host).as_bytes());
            self.buffers.push(Buffer::HttpHostRaw, value);
        }
        let known = match (self.is_request, &lower[..]) {
            (true, b"user-agent") => Buffer::HttpUserAgent,
            (true, b"accept") => Buffer::HttpAccept,
            (true, b"accept-encoding") => Buffer::HttpAcceptEncoding,
            (true, b"accept-language") => Buffer::HttpAcceptLanguage,
            (true, b"referer") => Buffer::HttpReferer,
            (false, b"server") => Buffer::HttpServer,
            (false, b"location") => Buffer::HttpLocation,
            (_, b"connection") => Buffer::HttpConnection,
            (_, b"content-type") => Buffer::HttpContentType,
            (_, b"content-length") => Buffer::HttpContentLength,
            _ => return,
        };
        self.buffers.push(known, value);
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

/// RFC 3986 2.1, in the path; of an absolute target what is behind the authority.
fn decoded(target: &[u8]) -> Vec<u8> {
    let target = match memchr::memmem::find(target, b"://") {
        Some(scheme) if scheme < 8 => {
            let rest = &target[scheme + 3..];
            memchr::memchr(b'/', rest).map_or(&b"/"[..], |slash| &rest[slash..])
        }
        _ => target,
    };
    let path = memchr::memchr(b'?', target).unwrap_or(target.len());
    let mut decoded = Vec::with_capacity(target.len());
    let mut rest = &target[..path];
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = (first == b'%').then(|| hex(behind)).flatten();
        decoded.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    decoded.extend_from_slice(&target[path..]);
    decoded
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(digits.at(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_a_query_not() {
        assert_eq!(
            decoded(b"/%2e%2e/etc%2fpasswd?a=%41"),
            b"/../etc/passwd?a=%41"
        );
        assert_eq!(decoded(b"/%252e"), b"/%2e");
        assert_eq!(decoded(b"/%zz%4"), b"/%zz%4");
        assert_eq!(decoded(b"http://www.example.com/a%20b"), b"/a b");
        assert_eq!(decoded(b"/?u=http://x/"), b"/?u=http://x/");
    }
}
