//! Git's own transport: its documentation, gitprotocol-pack, "Git Transport".

use crate::bytes::{Bytes, text};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::gathered::{Gathered, Look, Opening};
use crate::{Direction, Fact, HostSource, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Git,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[9_418],
    udp_ports: &[],
};

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let length = &first[..first.len().min(4)];
    if !length.iter().all(u8::is_ascii_hexdigit) {
        return Some(Answer::NotForMe);
    }
    let command = first.after(4);
    let commands: [&[u8]; 3] = [
        b"git-upload-pack ",
        b"git-receive-pack ",
        b"git-upload-archive ",
    ];
    if commands
        .iter()
        .any(|known| command.begins(known) == Some(true))
    {
        return Some(Answer::Certain);
    }
    Some(Answer::maybe_if(
        commands.iter().any(|known| command.begins(known).is_none()),
    ))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gathered::new(Git))
}

#[derive(Debug)]
struct Git;

impl Opening for Git {
    /// `git-upload-pack /project\0host=…\0`, behind its length in hex.
    fn look(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_all: bool,
        output: &mut Output<'_>,
    ) -> Look {
        if direction == Direction::Reverse {
            return Look::Enough;
        }
        let digits = bytes
            .part(0, 4)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let length = digits
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .unwrap_or(usize::MAX);
        if bytes.len() < length && !is_all {
            return Look::Wait;
        }
        let line = bytes.get(4..bytes.len().min(length)).unwrap_or_default();
        let mut parts = line.split(|byte| *byte == 0);
        if let Some(command) = parts.next() {
            output.fact(direction, 0, Fact::Command(command));
        }
        if let Some(host) = parts.next().and_then(|part| part.strip_prefix(b"host=")) {
            let host = text(host);
            output.host(super::http::without_port(&host), HostSource::Session);
        }
        Look::Done
    }
}
