//! What an event is: the shapes that are stored, filtered and shown.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happened, with its place in the order of all events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Higher than that of every event before, also over restarts.
    pub id: u64,
    #[serde(flatten)]
    pub entry: Entry,
}

/// The members that not every event has, once: the struct, and the columns that it is stored in.
macro_rules! entry {
    ($($(#[$meta:meta])* $field:ident: $type:ty,)*) => {
        /// Something that happened. Members that say nothing are left out.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[schema(as = EventEntry)]
        pub struct Entry {
            /// RFC 3339, to the millisecond.
            #[schema(value_type = String)]
            pub at: Timestamp,
            pub kind: Kind,
            pub severity: Severity,
            /// One line for people.
            pub message: String,
            $(
                $(#[$meta])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }

        impl Entry {
            #[must_use]
            pub fn new(at: Timestamp, kind: Kind, severity: Severity, message: String) -> Self {
                let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
                Self { at, kind, severity, message, $($field: None,)* }
            }

            /// The columns of what not every event has.
            pub(super) const DETAILS: &'static [&'static str] = &[$(stringify!($field),)*];

            /// In the order of [`Entry::DETAILS`].
            pub(super) fn details(&self) -> Vec<rusqlite::types::Value> {
                vec![$(super::row::put(self.$field.as_ref()),)*]
            }

            /// Reads [`Entry::DETAILS`] from column `first` on.
            pub(super) fn set_details(
                &mut self,
                row: &rusqlite::Row<'_>,
                first: usize,
            ) -> rusqlite::Result<()> {
                let mut columns = first..;
                $(
                    if let Some(column) = columns.next() {
                        self.$field = super::row::take(row, column)?;
                    }
                )*
                Ok(())
            }
        }
    };
}

entry! {
    /// A session's number, unique while the appliance runs.
    session: u64,
    /// The policy that decided; `default` where none did and the packet was denied.
    policy: String,
    protocol: String,
    #[schema(value_type = Option<String>)]
    source: IpAddr,
    source_port: u16,
    #[schema(value_type = Option<String>)]
    destination: IpAddr,
    destination_port: u16,
    #[schema(value_type = Option<String>)]
    translated_source: IpAddr,
    translated_source_port: u16,
    #[schema(value_type = Option<String>)]
    translated_destination: IpAddr,
    translated_destination_port: u16,
    from_zone: String,
    to_zone: String,
    ingress: String,
    egress: String,
    application: String,
    /// The name of whom the initiator talks to, where the session or a DNS answer told it.
    host: String,
    /// The policy that the session began under, before it was known what it carries.
    began_under: String,
    /// The number of the signature that matched.
    signature: u64,
    /// The rule that translated the initiator.
    source_nat: String,
    /// The rule that translated the responder.
    destination_nat: String,
    /// Why a session ended; what an alarm is about.
    reason: String,
    /// How long a session lasted.
    seconds: f64,
    packets_from_initiator: u64,
    packets_from_responder: u64,
    bytes_from_initiator: u64,
    bytes_from_responder: u64,
    /// The sender was told that it is denied.
    rejected: bool,
    /// Of the configuration, in its history.
    revision: u64,
    /// What the datapath calls the configuration.
    generation: u64,
    /// Who did it.
    actor: String,
    /// How they reached the appliance.
    via: String,
    /// From where they did.
    #[schema(value_type = Option<String>)]
    address: IpAddr,
    /// What was done; `raised` or `cleared` of an alarm.
    action: String,
    /// `done` or `refused`.
    outcome: String,
    interface: String,
}

impl Entry {
    /// What full-text search looks through.
    pub(super) fn words(&self) -> String {
        let addresses = [
            self.source,
            self.destination,
            self.translated_source,
            self.translated_destination,
            self.address,
        ];
        let words = [
            &self.policy,
            &self.protocol,
            &self.from_zone,
            &self.to_zone,
            &self.ingress,
            &self.egress,
            &self.application,
            &self.host,
            &self.began_under,
            &self.source_nat,
            &self.destination_nat,
            &self.reason,
            &self.actor,
            &self.via,
            &self.action,
            &self.outcome,
            &self.interface,
        ];
        let mut text = format!("{} {}", self.message, self.kind.name());
        for word in words.into_iter().flatten() {
            text.push(' ');
            text.push_str(word);
        }
        // The message has the first two as they were sent.
        for address in addresses.into_iter().skip(2).flatten() {
            text.push_str(&format!(" {address}"));
        }
        text
    }
}

/// What happened.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schema(as = EventKind)]
pub enum Kind {
    SessionStart,
    SessionEnd,
    /// A signature matched.
    Signature,
    /// It is known what a session carries, and a policy permits it.
    SessionIdentified,
    /// A filter was asked for a host, a URL or a name.
    Filter,
    Denied,
    /// A configuration was put in force.
    Commit,
    /// A commit on trial stays.
    Confirm,
    /// Nobody confirmed a commit on trial.
    Undo,
    /// Somebody logged in, changed something, or tried to.
    Audit,
    Alarm,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::SessionStart,
        Self::SessionEnd,
        Self::SessionIdentified,
        Self::Signature,
        Self::Filter,
        Self::Denied,
        Self::Commit,
        Self::Confirm,
        Self::Undo,
        Self::Audit,
        Self::Alarm,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionStart => "session-start",
            Self::SessionEnd => "session-end",
            Self::SessionIdentified => "session-identified",
            Self::Signature => "signature",
            Self::Filter => "filter",
            Self::Denied => "denied",
            Self::Commit => "commit",
            Self::Confirm => "confirm",
            Self::Undo => "undo",
            Self::Audit => "audit",
            Self::Alarm => "alarm",
        }
    }
}

/// How much an operator should care. Each is worse than those before.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// There is no such word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such word")]
pub struct Unknown;

impl FromStr for Kind {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(Unknown)
    }
}

impl FromStr for Severity {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name() == text)
            .ok_or(Unknown)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_say_nothing_are_left_out() {
        let at: Timestamp = "2026-11-26T15:17:41.123456Z".parse().unwrap();
        let mut entry = Entry::new(at, Kind::Denied, Severity::Info, "denied".into());
        entry.source_port = Some(17);
        entry.translated_source = Some("2001:db8::1".parse().unwrap());
        let event = Event { id: 9, entry };
        let json = serde_json::json!({
            "id": 9, "at": "2026-11-26T15:17:41.123Z", "kind": "denied", "severity": "info",
            "message": "denied", "source-port": 17, "translated-source": "2001:db8::1",
        });
        assert_eq!(serde_json::to_value(&event).unwrap(), json);
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }

    #[test]
    fn a_word_is_what_json_says() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for severity in Severity::ALL {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
            assert_eq!(severity.name().parse(), Ok(severity));
        }
    }
}
