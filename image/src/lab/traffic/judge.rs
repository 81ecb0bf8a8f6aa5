//! Whether an attempt ended as configured: what its ends saw, beside what the appliance says.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use firewall::view::{CountView, DropsView, PolicyView, SessionPage, SessionView};

use super::{ALLOWING, Attempt, Expected, Seen};
use crate::client::{Client, ClientError, parsed};
use crate::connection::Connection;
use crate::lab::client::Outcome;

/// A reject is answered at once, or it is none.
const AT_ONCE_MILLISECONDS: u64 = 500;

/// The appliance's own word.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) sessions: Vec<SessionView>,
    pub(super) policies: Vec<PolicyView>,
    pub(super) drops: DropsView,
}

impl Account {
    pub(super) async fn of(socket: &Path) -> Result<Self, ClientError> {
        let mut client = Client::connect(&Connection::local(socket)).await?;
        let page: SessionPage = parsed(&client.get("/api/v1/sessions?limit=1000").await?)?;
        Ok(Self {
            sessions: page.sessions,
            policies: parsed(&client.get("/api/v1/policies").await?)?,
            drops: parsed(&client.get("/api/v1/drops").await?)?,
        })
    }

    fn dropped(&self, reason: &str, interface: &str) -> u64 {
        let of_it = |count: &&CountView| count.reason == reason && count.interface == interface;
        let counts = self.drops.drops.iter().filter(of_it);
        counts.map(|count| count.packets).sum()
    }

    fn hits(&self, policy: &str) -> u64 {
        let of_it = self.policies.iter().filter(|known| known.name == policy);
        of_it.map(|policy| policy.hits.hits).sum()
    }
}

/// What happened, in words; as an error where something else was to happen.
pub(super) fn judge(attempt: &Attempt, seen: &Seen, account: &Account) -> Result<String, String> {
    match (attempt.expected, seen) {
        (
            Expected::Allowed { source },
            Seen::Connection(Outcome::Answered { local, seen: peer }),
        ) => {
            let session = account.sessions.iter().find(|session| {
                session.protocol == "tcp"
                    && SocketAddr::new(session.initiator.address, session.initiator.port) == *local
                    && session.responder.address == attempt.to
            });
            let translated = permitted(session, source)?;
            if *peer != translated {
                return Err(format!(
                    "the session says {translated}, and the server saw {peer}"
                ));
            }
            Ok(said(attempt, source, &translated.to_string()))
        }
        (Expected::Allowed { source }, Seen::Echo) => {
            let session = account.sessions.iter().find(|session| {
                session.protocol.starts_with("icmp")
                    && session.initiator.address == attempt.from
                    && session.responder.address == attempt.to
            });
            let translated = permitted(session, source)?;
            Ok(said(attempt, source, &translated.ip().to_string()))
        }
        (Expected::Denied { ingress }, Seen::Connection(Outcome::Silent { seconds })) => {
            match account.dropped("policy-denied", ingress) {
                0 => Err("no answer, and nothing was counted as policy-denied".to_owned()),
                packets => Ok(format!(
                    "denied: silent for {seconds} s, {packets} packets dropped"
                )),
            }
        }
        (
            Expected::Rejected { policy },
            Seen::Connection(Outcome::Refused { after_milliseconds }),
        ) => {
            if account.hits(policy) == 0 {
                return Err(format!("refused, and not by {policy}"));
            }
            if *after_milliseconds > AT_ONCE_MILLISECONDS {
                return Err(format!("refused only after {after_milliseconds} ms"));
            }
            Ok(format!(
                "rejected by {policy}: refused after {after_milliseconds} ms"
            ))
        }
        (expected, seen) => Err(format!("{}, and was to be {expected}", words(seen))),
    }
}

/// The source that the responder sees, where the session is as it should be.
fn permitted(session: Option<&SessionView>, source: IpAddr) -> Result<SocketAddr, String> {
    let session = session.ok_or("answered, and there is no session")?;
    match session.policy.as_deref() {
        Some(ALLOWING) => {}
        Some(other) => return Err(format!("allowed by {other}, not by {ALLOWING}")),
        None => return Err("allowed by no policy".to_owned()),
    }
    let translated = session.translated_initiator;
    if translated.address != source {
        return Err(format!(
            "allowed, and the session says its source is {}, not {source}",
            translated.address
        ));
    }
    Ok(SocketAddr::new(translated.address, translated.port))
}

fn said(attempt: &Attempt, source: IpAddr, translated: &str) -> String {
    if source == attempt.from {
        format!("allowed by {ALLOWING}")
    } else {
        format!("allowed by {ALLOWING}, translated to {translated}")
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { source } => write!(f, "allowed by {ALLOWING}, seen from {source}"),
            Self::Denied { .. } => f.write_str("denied in silence"),
            Self::Rejected { policy } => write!(f, "rejected by {policy}"),
        }
    }
}

fn words(seen: &Seen) -> String {
    match seen {
        Seen::Connection(Outcome::Answered { seen, .. }) => format!("answered, seen from {seen}"),
        Seen::Connection(Outcome::Refused { after_milliseconds }) => {
            format!("refused after {after_milliseconds} ms")
        }
        Seen::Connection(Outcome::Silent { seconds }) => format!("no answer in {seconds} s"),
        Seen::Connection(Outcome::Failed { problem }) => problem.clone(),
        Seen::Echo => "answered".to_owned(),
        Seen::NoEcho(said) => format!("no answer ({said})"),
    }
}
