//! Events as lines, for `show events` and `monitor events`: which are meant, and how one reads.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;

use super::units;
use crate::client::{Call, Client, ClientError, parsed, with_query};
use crate::terminal::printable;

/// Which events: all that is named must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only these kinds, with commas between: `session-start`, `session-end`, `denied`, `commit`, `login`, `alarm`.
    #[arg(long)]
    kind: Option<String>,
    /// Only this severe and worse.
    #[arg(long)]
    severity: Option<String>,
    /// Only what this policy decided.
    #[arg(long)]
    policy: Option<String>,
    /// Only of this session.
    #[arg(long, value_name = "ID")]
    session: Option<u64>,
    /// Only with this address at either end, translated or not, or where somebody acted from.
    #[arg(long)]
    address: Option<IpAddr>,
    /// Only with this port at either end, translated or not.
    #[arg(long)]
    port: Option<u16>,
    /// Only this protocol, by name or number.
    #[arg(long)]
    protocol: Option<String>,
    /// Only from or to this zone.
    #[arg(long)]
    zone: Option<String>,
    /// Only events that have all of these words.
    #[arg(short, long, value_name = "WORDS")]
    q: Option<String>,
}

/// What has happened, oldest first: sessions, denials, commits, logins, alarms.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Not before: RFC 3339, or how long ago (`10m`).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The newest of them, 1 to 1000.
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
}

/// What is printed of an event; there may be more in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Event {
    at: Timestamp,
    kind: String,
    severity: String,
    message: String,
    #[serde(default)]
    session: Option<u64>,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    actor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Event>,
    #[serde(default)]
    next: Option<serde_json::Value>,
    #[serde(default)]
    lost: u64,
}

impl Filter {
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'static str, Option<String>)> {
        [
            ("kind", self.kind.clone()),
            ("severity", self.severity.clone()),
            ("policy", self.policy.clone()),
            ("session", self.session.map(|id| id.to_string())),
            ("address", self.address.map(|address| address.to_string())),
            ("port", self.port.map(|port| port.to_string())),
            ("protocol", self.protocol.clone()),
            ("zone", self.zone.clone()),
            ("q", self.q.clone()),
        ]
        .into_iter()
    }
}

pub(super) async fn answer(
    client: &mut Client,
    args: &Args,
    json: bool,
) -> Result<String, ClientError> {
    let times = [
        ("since", args.since.clone()),
        ("until", args.until.clone()),
        ("limit", Some(args.limit.to_string())),
    ];
    let path = with_query("/api/v1/events", args.filter.parameters().chain(times));
    let body = client.send(&Call::get(path)).await?.body;
    if json {
        return Ok(body + "\n");
    }
    Ok(text(&parsed(&body)?))
}

fn text(page: &Page) -> String {
    let mut text = String::new();
    if page.next.as_ref().is_some_and(|next| !next.is_null()) {
        text.push_str("older ones are left out: --limit, --since and --until choose\n");
    }
    if page.events.is_empty() {
        text.push_str("no events\n");
    }
    for event in page.events.iter().rev() {
        text.push_str(&event.line());
        text.push('\n');
    }
    if page.lost > 0 {
        text.push_str(&lost(page.lost));
        text.push('\n');
    }
    text
}

/// What was never stored, or can't be had any more.
pub(crate) fn lost(count: u64) -> String {
    let events = crate::command::counted(count, "event", "events");
    format!("{events} lost: the appliance could not keep them")
}

impl Event {
    /// One line, safe to print.
    pub(crate) fn line(&self) -> String {
        let mut said = self.message.clone();
        // What the message does not say by itself.
        let policy = self
            .policy
            .as_ref()
            .map(|policy| ("policy", policy.clone()));
        let actor = self.actor.as_ref().map(|actor| ("by", actor.clone()));
        for (word, name) in [policy, actor].into_iter().flatten() {
            if !says(&self.message, &name) {
                said.push_str(&format!(", {word} {name}"));
            }
        }
        if let Some(session) = self.session {
            said.push_str(&format!(", session {session}"));
        }
        let (severity, kind) = (printable(&self.severity), printable(&self.kind));
        let at = units::moment_in_full(self.at);
        format!("{at}  {severity:<8}  {kind:<13}  {}", printable(&said))
    }
}

/// Whether a name is one of the words of a text.
fn says(text: &str, name: &str) -> bool {
    let is_of_a_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    text.split(|letter: char| !is_of_a_name(letter))
        .any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"events": [
        {"id": 8, "at": "2026-11-26T10:00:01.5Z", "kind": "login", "severity": "info",
         "message": "alice logged in", "actor": "alice", "via": "token", "colour": "unknown"},
        {"id": 7, "at": "2026-11-26T10:00:00.25Z", "kind": "denied", "severity": "notice", "session": 12,
         "policy": "p", "message": "tcp 192.0.2.10:1 \u001b[2J"}], "next": "7", "lost": 1}"#;

    #[test]
    fn the_newest_event_is_the_last_line() {
        let expected = "older ones are left out: --limit, --since and --until choose\n\
            2026-11-26 10:00:00.250Z  notice    denied         tcp 192.0.2.10:1 \\u{1b}[2J, policy p, session 12\n\
            2026-11-26 10:00:01.500Z  info      login          alice logged in\n\
            1 event lost: the appliance could not keep them\n";
        assert_eq!(text(&parsed(PAGE).unwrap()), expected);
        assert_eq!(text(&parsed(r#"{"events": []}"#).unwrap()), "no events\n");
    }

    #[test]
    fn every_filter_is_a_parameter() {
        let filter = Filter {
            kind: Some("commit,login".into()),
            port: Some(443),
            q: Some("a b".into()),
            ..Filter::default()
        };
        assert_eq!(
            with_query("/e", filter.parameters()),
            "/e?kind=commit%2Clogin&port=443&q=a%20b"
        );
    }
}
