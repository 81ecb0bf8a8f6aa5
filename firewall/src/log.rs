//! Session events as structured log lines and as events that last, off the packet path.

use std::sync::mpsc::Receiver;

use crate::clock::Timestamp;
use crate::datapath::{Event, EventKind, Shared};
use crate::events::session::{Names, end, entry};

/// Until `None`, which says that no more will come, or the last sender is gone. What a policy asks for is stored;
/// the rest, where somebody captures.
pub(crate) fn write(events: &Receiver<Option<Event>>, shared: &Shared) {
    while let Ok(Some(event)) = events.recv() {
        let names = Names::of(&event, shared);
        line(&event, &names);
        if event.asked_for || shared.stored.wants_all() {
            let now = Timestamp::now();
            // The wall clock may have been set since, which is not for the event to know.
            let ago = now.since(event.facts.at);
            let at = jiff::Timestamp::now().checked_sub(ago).unwrap_or_default();
            let entry = entry(&event, &names, at);
            if event.asked_for {
                shared.stored.store(entry);
            } else {
                shared.stored.store_if_wanted(entry, now);
            }
        }
    }
}

/// What a policy asks for is logged at `info`, the rest at `debug`; the target is `session`.
fn line(event: &Event, names: &Names) {
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
                policy = names.policy.as_deref().unwrap_or_default(),
                from_zone = names.from_zone,
                to_zone = names.to_zone,
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
        EventKind::Denied { rejected, icmp: _ } => line!("denied", rejected = rejected),
        EventKind::Identified {
            id,
            began_under,
            host,
        } => line!(
            "session identified",
            session = id,
            application = names.application.as_deref().unwrap_or_default(),
            host = host.as_deref().unwrap_or_default(),
            began_under = began_under.as_deref().unwrap_or_default()
        ),
        EventKind::Signature { id, found } => line!(
            "signature",
            session = id,
            generator = found.generator,
            signature = found.number,
            name = found.message,
            class = found.class.as_deref().unwrap_or_default(),
            action = found.action.name()
        ),
        EventKind::NoRoom { id } => line!("no room to look into it", session = id),
        EventKind::Ambiguous { id, what } => line!("ambiguous", session = id, what = what),
        EventKind::Filtered { id, filtered } => line!(
            "filter",
            session = id,
            asked = filtered.asked,
            by = filtered
                .blocked
                .as_ref()
                .map(|blocked| blocked.by.to_string())
                .unwrap_or_default(),
            entry = filtered
                .blocked
                .as_ref()
                .map(|blocked| blocked.entry.as_str())
                .unwrap_or_default(),
            action = filtered.action
        ),
        EventKind::ContentDenied {
            id,
            began_under,
            rejected,
            host,
        } => line!(
            "denied",
            session = id,
            application = names.application.as_deref().unwrap_or_default(),
            host = host.as_deref().unwrap_or_default(),
            began_under = began_under.as_deref().unwrap_or_default(),
            rejected = rejected
        ),
    }
}
