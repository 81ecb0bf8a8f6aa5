//! Server-sent events (WHATWG HTML, section 9.2), as they come in.
//!
//! # Limits
//! `retry` is not heeded: the command line waits by rules of its own.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{Client, ClientError};

/// The appliance sends a comment at least every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// One event is a line of a log, or the rates of all interfaces.
const EVENT_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Of the last event that had one; for going on behind it.
    pub(crate) id: Option<String>,
    /// `message` where the appliance names none.
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// A stream of events, until the appliance or the network ends it.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    parser: Parser,
    /// The connection ends with its client.
    _client: Client,
}

impl Events {
    pub(super) fn new(body: Incoming, client: Client) -> Self {
        Self {
            body,
            parser: Parser::default(),
            _client: client,
        }
    }

    /// The next event; `None` when the appliance has ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.parser.next()? {
                return Ok(Some(event));
            }
            let frame = timeout(SILENCE, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| ClientError::Silent {
                seconds: SILENCE.as_secs(),
            })?
            else {
                return Ok(None);
            };
            if let Ok(data) = frame?.into_data() {
                self.parser.take(&data);
            }
        }
    }
}

/// Bytes to events.
#[derive(Debug, Default)]
struct Parser {
    unread: Vec<u8>,
    /// Of `unread`, what has been looked through without finding a line's end.
    searched: usize,
    /// The last line ended with a carriage return: a line feed may belong to it.
    after_return: bool,
    kind: String,
    data: String,
    id: Option<String>,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next event that is complete.
    fn next(&mut self) -> Result<Option<Event>, ClientError> {
        let mut read = 0;
        let event = loop {
            let rest = self.unread.get(read..).unwrap_or_default();
            if self.after_return && rest.first() == Some(&b'\n') {
                read += 1;
                self.after_return = false;
                self.searched = self.searched.saturating_sub(1);
                continue;
            }
            let unsearched = rest.get(self.searched..).unwrap_or_default();
            let end = unsearched
                .iter()
                .position(|byte| matches!(byte, b'\n' | b'\r'));
            let Some(end) = end.map(|end| self.searched + end) else {
                self.searched = rest.len();
                break None;
            };
            self.searched = 0;
            let (line, ended_by) = (rest[..end].to_vec(), rest[end]);
            self.after_return = ended_by == b'\r';
            read += end + 1;
            if let Some(event) = self.line(&String::from_utf8_lossy(&line)) {
                break Some(event);
            }
            if self.data.len() > EVENT_BYTES_MAX {
                return Err(too_large());
            }
        };
        self.unread.drain(..read);
        if self.unread.len() > EVENT_BYTES_MAX && event.is_none() {
            return Err(too_large());
        }
        Ok(event)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.complete();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            _ => {}
        }
        None
    }

    fn complete(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        // What carries no data is no event.
        data.pop()?;
        Some(Event {
            id: self.id.clone(),
            kind: if kind.is_empty() {
                "message".into()
            } else {
                kind
            },
            data,
        })
    }
}

fn too_large() -> ClientError {
    ClientError::Body(format!("an event has more than {EVENT_BYTES_MAX} bytes").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of the text when it comes in pieces of this size.
    fn events(text: &str, piece: usize) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            parser.take(bytes);
            while let Some(event) = parser.next().unwrap() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_are_the_same_however_the_network_cuts_them() {
        let text = ": hello\n\nevent: rates\ndata: {\"a\":\ndata: 1}\nid: 7\n\n\
                    data:ü\r\n\r\nretry: 10\rid: 8\r\rdata\n\nevent: none\n\ndata: unfinished\n";
        let event = |id: &str, kind: &str, data: &str| Event {
            id: Some(id.into()),
            kind: kind.into(),
            data: data.into(),
        };
        let expected = [
            event("7", "rates", "{\"a\":\n1}"),
            event("7", "message", "ü"),
            event("8", "message", ""),
        ];
        for piece in 1..=text.len() {
            assert_eq!(events(text, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_given_up() {
        let mut parser = Parser::default();
        parser.take(&vec![b'x'; EVENT_BYTES_MAX + 1]);
        assert!(parser.next().is_err());
        let mut parser = Parser::default();
        let line = [b"data: ", &[b'x'; 1 << 20][..], b"\n"].concat();
        let taken = (0..6).find(|_| {
            parser.take(&line);
            parser.next().is_err()
        });
        assert!(taken.is_some());
    }
}
