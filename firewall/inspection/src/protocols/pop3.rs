//! POP3: RFC 1939, STLS RFC 2595, CAPA RFC 2449.

use crate::bytes::{Bytes, is_printable};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::lines::{Lines, Talk, Then, argument, is_command};
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Pop3,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[110],
    udp_ports: &[],
};

const FIRST: [&[u8]; 7] = [
    b"USER", b"CAPA", b"APOP", b"AUTH", b"STLS", b"QUIT", b"NOOP",
];

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    if !seen.first().begins(b"+OK")? {
        return Some(Answer::NotForMe);
    }
    // Redis says +OK, too, but not first; nor with a text.
    if !matches!(seen.first().at(3)?, b' ' | b'\r' | b'\n') {
        return Some(Answer::NotForMe);
    }
    // The client's first line, as far as it has come.
    let second = seen.second();
    let line = second.line();
    let text = line.unwrap_or(second.strip_suffix(b"\r").unwrap_or(second));
    if !text.iter().all(|byte| is_printable(*byte)) {
        return Some(Answer::NotForMe);
    }
    let is_first = |command: &[u8]| FIRST.iter().any(|word| is_command(command, word));
    Some(line.map_or(Answer::Likely, |command| {
        Answer::certain_if(is_first(command))
    }))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Lines::new(Pop3::default()))
}

#[derive(Debug, Default)]
struct Pop3 {
    greeted: bool,
    /// Commands without an answer, and how many of them the last STLS and the last to log in are from the first on.
    open: u32,
    tls: Option<u32>,
    login: Option<u32>,
}

impl Talk for Pop3 {
    fn command(&mut self, line: &[u8], output: &mut Output<'_>) -> Then {
        self.open = self.open.saturating_add(1);
        if is_command(line, b"STLS") {
            self.tls = Some(self.open);
            return Then::AskedForTls;
        }
        if is_command(line, b"PASS") || is_command(line, b"APOP") {
            self.login = Some(self.open);
        }
        if is_command(line, b"USER") || is_command(line, b"APOP") {
            let user = argument(line)
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
            output.fact(Direction::Reverse, 0, Fact::Software(argument(line)));
            return Then::More;
        }
        let grants = line.starts_with(b"+OK");
        // RFC 1939 3: of several lines this is the first.
        if !grants && !line.starts_with(b"-ERR") {
            return Then::More;
        }
        self.open = self.open.saturating_sub(1);
        if answers(&mut self.tls) && grants {
            return Then::StartTls(Protocol::Pop3s);
        }
        // RFC 2595 4: from here on STLS is no command.
        if answers(&mut self.login) && grants {
            output.complete();
        }
        Then::More
    }
}

/// Whether the next answer is that of the command at this place.
fn answers(place: &mut Option<u32>) -> bool {
    *place = place.map(|place| place.saturating_sub(1));
    place.take_if(|place| *place == 0).is_some()
}
