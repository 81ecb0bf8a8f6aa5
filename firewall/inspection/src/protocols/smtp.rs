//! SMTP: RFC 5321, STARTTLS RFC 3207, LMTP RFC 2033.

use crate::bytes::{Bytes, begins_any, is_printable};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::lines::{Lines, Talk, Then, argument, is_command};
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Smtp,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[25, 587, 2_525],
    udp_ports: &[],
};

const HELLO: [&[u8]; 3] = [b"EHLO ", b"HELO ", b"LHLO "];

/// A greeting, and what only SMTP's client says to it.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let greeting = greeting(seen.first(), &[b"SMTP", b"LMTP"]);
    let (first, second) = (
        begins_any(seen.first(), &HELLO),
        begins_any(seen.second(), &HELLO),
    );
    Some(match (greeting, first, second) {
        (_, Some(true), _) | (Answer::Likely, _, Some(true)) | (Answer::Certain, _, _) => {
            Answer::Certain
        }
        (Answer::NotForMe, Some(false), _) | (_, _, Some(false)) => Answer::NotForMe,
        (Answer::NotForMe, None, _) => Answer::Maybe,
        (greeting, _, _) => greeting,
    })
}

/// How much a line looks like a `220` greeting: certain where it names what it speaks.
pub(crate) fn greeting(bytes: &[u8], names: &[&[u8]]) -> Answer {
    let digits = bytes.begins(b"220");
    if digits == Some(false) || !matches!(bytes.get(3), None | Some(b' ' | b'-')) {
        return Answer::NotForMe;
    }
    let Some(line) = bytes.line() else {
        return Answer::Maybe;
    };
    if !line.iter().all(|byte| is_printable(*byte) || *byte >= 0x80) {
        return Answer::NotForMe;
    }
    let upper = line.to_ascii_uppercase();
    if names
        .iter()
        .any(|name| memchr::memmem::find(&upper, name).is_some())
    {
        return Answer::Certain;
    }
    Answer::Likely
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Lines::new(Smtp::default()))
}

#[derive(Debug, Default)]
struct Smtp {
    greeted: bool,
    /// It may be at any time: RFC 3207 sets none, and a session is never sure to stay in the clear.
    asked_for_tls: bool,
    asked_to_send: bool,
    /// Bytes of the end of a mail's text that came: CR LF `.` CR LF.
    end: Option<usize>,
}

const END: &[u8] = b"\r\n.\r\n";

impl Talk for Smtp {
    fn command(&mut self, line: &[u8], output: &mut Output<'_>) -> Then {
        self.asked_to_send = is_command(line, b"DATA");
        if is_command(line, b"EHLO") || is_command(line, b"HELO") {
            let what = "helo";
            let value = argument(line);
            output.fact(Direction::Forward, 0, Fact::Name { what, value });
        } else if is_command(line, b"STARTTLS") {
            self.asked_for_tls = true;
            return Then::AskedForTls;
        }
        Then::More
    }

    fn reply(&mut self, line: &[u8], output: &mut Output<'_>) -> Then {
        if !self.greeted {
            self.greeted = true;
            output.fact(Direction::Reverse, 0, Fact::Software(argument(line)));
            return Then::More;
        }
        // RFC 5321 4.2.3: but for the greeting, nothing else has this code. Of several lines the last counts (4.2.1).
        if self.asked_for_tls && line.starts_with(b"220") && line.get(3) != Some(&b'-') {
            return Then::StartTls(Protocol::Smtps);
        }
        if self.asked_to_send && line.starts_with(b"354") {
            // Behind the line that the command was.
            self.end = Some(2);
        }
        Then::More
    }

    fn other(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> usize {
        let (Direction::Forward, Some(end)) = (direction, &mut self.end) else {
            return 0;
        };
        for (position, byte) in bytes.iter().enumerate() {
            *end = match END.get(*end) {
                Some(expected) if expected == byte => *end + 1,
                _ => usize::from(*byte == b'\r'),
            };
            if *end == END.len() {
                self.end = None;
                output.fact(direction, 0, Fact::MailText(&bytes[..=position]));
                return position + 1;
            }
        }
        output.fact(direction, 0, Fact::MailText(bytes));
        bytes.len()
    }
}
