//! FTP's control connection: RFC 959, AUTH RFC 4217.

use crate::bytes::{Bytes, begins_any};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::lines::{Lines, Talk, Then, argument, is_command};
use crate::protocols::smtp::greeting;
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Ftp,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[21],
    udp_ports: &[],
};

/// What may come first after a greeting, and is not SMTP's.
const FIRST: [&[u8]; 8] = [
    b"USER ",
    b"AUTH TLS",
    b"AUTH SSL",
    b"FEAT\r\n",
    b"SYST\r\n",
    b"HOST ",
    b"CLNT ",
    b"OPTS ",
];

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let greeting = greeting(seen.first(), &[b"FTP"]);
    let answer = match (greeting, begins_any(seen.second(), &FIRST)) {
        (Answer::NotForMe, _) | (_, Some(false)) => Answer::NotForMe,
        (_, Some(true)) | (Answer::Certain, None) => Answer::Certain,
        (greeting, None) => greeting,
    };
    // A client alone, with its password, as only FTP's clients send it.
    let lines: Vec<&[u8]> = seen
        .first()
        .split_inclusive(|byte| *byte == b'\n')
        .collect();
    Some(match lines[..] {
        [user, password, ..] if is_command(user, b"USER") && is_command(password, b"PASS") => {
            answer.max(Answer::Likely)
        }
        [user] | [user, _] if user.begins_text(b"USER ") != Some(false) => {
            answer.max(Answer::Maybe)
        }
        _ => answer,
    })
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Lines::new(Ftp::default()))
}

#[derive(Debug, Default)]
struct Ftp {
    greeted: bool,
    /// It may be at any time, RFC 4217 4.
    asked_for_tls: bool,
}

impl Talk for Ftp {
    fn command(&mut self, line: &[u8], output: &mut Output<'_>) -> Then {
        if is_command(line, b"AUTH") {
            self.asked_for_tls = true;
            return Then::AskedForTls;
        }
        if is_command(line, b"USER") {
            output.fact(Direction::Forward, 0, Fact::User(argument(line)));
        }
        Then::More
    }

    fn reply(&mut self, line: &[u8], output: &mut Output<'_>) -> Then {
        if !self.greeted {
            self.greeted = true;
            output.fact(Direction::Reverse, 0, Fact::Software(argument(line)));
        }
        if self.asked_for_tls && line.starts_with(b"234") {
            return Then::StartTls(Protocol::Ftps);
        }
        Then::More
    }
}
