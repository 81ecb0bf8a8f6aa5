//! IMAP: RFC 9051 (and RFC 3501).

use crate::bytes::{Bytes, begins_any, is_printable};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::lines::{Lines, Talk, Then, argument, is_command};
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Imap,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[143],
    udp_ports: &[],
};

/// What a client may begin with, RFC 9051 6.1 and 6.2, and ID (RFC 2971).
const FIRST: [&[u8]; 7] = [
    b"CAPABILITY",
    b"LOGIN",
    b"AUTHENTICATE",
    b"STARTTLS",
    b"ID",
    b"NOOP",
    b"LOGOUT",
];

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let greetings: [&[u8]; 3] = [b"* OK", b"* PREAUTH", b"* BYE"];
    if !begins_any(seen.first(), &greetings)? {
        return Some(Answer::NotForMe);
    }
    let line = seen.first().line()?;
    if memchr::memmem::find(&line.to_ascii_uppercase(), b"IMAP").is_some() {
        return Some(Answer::Certain);
    }
    // The client's first line, as far as it has come.
    let second = seen.second();
    let line = second.line();
    let text = line.unwrap_or(second.strip_suffix(b"\r").unwrap_or(second));
    if !text.iter().all(|byte| is_printable(*byte)) {
        return Some(Answer::NotForMe);
    }
    let is_first = |command: &[u8]| FIRST.iter().any(|word| is_command(argument(command), word));
    Some(line.map_or(Answer::Likely, |command| {
        Answer::certain_if(is_first(command))
    }))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Lines::new(Imap::default()))
}

#[derive(Debug, Default)]
struct Imap {
    greeted: bool,
    /// Of the last STARTTLS, and of the last command to log in.
    tls_tag: Vec<u8>,
    login_tag: Vec<u8>,
}

impl Talk for Imap {
    fn command(&mut self, line: &[u8], output: &mut Output<'_>) -> Then {
        let command = argument(line);
        let tag = line[..line.len() - command.len()].trim_ascii();
        if is_command(command, b"STARTTLS") {
            self.tls_tag = tag.to_vec();
            return Then::AskedForTls;
        }
        if is_command(command, b"LOGIN") || is_command(command, b"AUTHENTICATE") {
            self.login_tag = tag.to_vec();
        }
        if is_command(command, b"LOGIN") {
            let user = argument(command)
                .split(|byte| *byte == b' ')
                .next()
                .unwrap_or_default();
            output.fact(Direction::Forward, 0, Fact::User(user));
        }
        Then::More
    }

    fn reply(&mut self, line: &[u8], output: &mut Output<'_>) -> Then {
        if !self.greeted {
            self.greeted = true;
            output.fact(
                Direction::Reverse,
                0,
                Fact::Software(argument(argument(line))),
            );
        }
        let grants = |tag: &[u8]| {
            !tag.is_empty() && is_command(line, tag) && is_command(argument(line), b"OK")
        };
        if grants(&self.tls_tag) {
            return Then::StartTls(Protocol::Imaps);
        }
        // RFC 9051 6.2.1: from here on STARTTLS is no command.
        if grants(&self.login_tag) {
            output.complete();
        }
        Then::More
    }
}
