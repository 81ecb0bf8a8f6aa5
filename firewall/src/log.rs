//! Session events as structured log lines, written off the packet path.

use std::sync::mpsc::Receiver;

use crate::datapath::{Event, EventKind};

/// One line for each event, until `None`, which says that no more will come, or the last sender is
/// gone. What a policy asks for is logged at
/// `info`, the rest at `debug`; the target is `session`.
pub(crate) fn write(events: &Receiver<Option<Event>>) {
    while let Ok(Some(event)) = events.recv() {
        let facts = &event.facts;
        macro_rules! line {
            ($text:literal $(, $name:ident = $value:expr)*) => {
                if event.asked_for {
                    line!(info, $text $(, $name = $value)*)
                } else {
                    line!(debug, $text $(, $name = $value)*)
                }
            };
            ($level:ident, $text:literal $(, $name:ident = $value:expr)*) => {
                tracing::$level!(
                    target: "session",
                    $($name = $value,)*
                    protocol = %facts.protocol,
                    source = %end(facts.source),
                    destination = %end(facts.destination),
                    translated_source = %end(facts.translated_source),
                    translated_destination = %end(facts.translated_destination),
                    policy = facts.policy,
                    from_zone = facts.from_zone,
                    to_zone = facts.to_zone,
                    $text
                )
            };
        }
        match &event.kind {
            EventKind::Start { id } => line!("session start", session = id),
            EventKind::End {
                id,
                reason,
                lived,
                packets,
                bytes,
            } => line!(
                "session end",
                session = id,
                reason = reason.name(),
                seconds = lived.as_secs_f64(),
                packets_from_initiator = packets[0],
                packets_from_responder = packets[1],
                bytes_from_initiator = bytes[0],
                bytes_from_responder = bytes[1]
            ),
            EventKind::Denied { rejected } => line!("denied", rejected = rejected),
        }
    }
}

fn end((address, port): (std::net::IpAddr, u16)) -> String {
    match address {
        std::net::IpAddr::V4(v4) => format!("{v4}:{port}"),
        std::net::IpAddr::V6(v6) => format!("[{v6}]:{port}"),
    }
}
