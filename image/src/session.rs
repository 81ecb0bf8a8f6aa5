//! `palisade session`: one conversation in full, and the end of some.

use clap::Subcommand;
use firewall::view::{Endpoint, SessionPage, SessionView};

use crate::clear;
use crate::client::{Client, parsed, with_query};
use crate::command::{CommandError, block_on, json, print};
use crate::connection::Connection;
use crate::show::{pairs, units};

/// Look at a session, or end some.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Show(Show),
    Clear(clear::Sessions),
}

/// All there is to say about one session; `show sessions` has many.
#[derive(Debug, clap::Args)]
struct Show {
    /// Its number, as `show sessions` has it.
    id: u64,
    /// Print it as the API does.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn session(args: &Args) -> Result<(), CommandError> {
    match &args.what {
        What::Show(show) => print(&block_on(show.answer())?),
        What::Clear(which) => clear::sessions(which),
    }
}

impl Show {
    async fn answer(&self) -> Result<String, CommandError> {
        let mut client = Client::connect(&self.connection).await?;
        let path = with_query("/api/v1/sessions", [("id", Some(self.id.to_string()))]);
        let page: SessionPage = parsed(&client.get(&path).await?)?;
        let session = page.sessions.first();
        let session = session.ok_or(CommandError::NoSession(self.id))?;
        if self.json {
            return json(session);
        }
        Ok(pairs(&facts(session)))
    }
}

fn facts(session: &SessionView) -> Vec<(&'static str, String)> {
    let end = |end: Endpoint| units::endpoint(end, &session.protocol);
    let translated = |from: Endpoint, to: Endpoint| {
        if from == to {
            end(from)
        } else {
            format!("{}, translated to {}", end(from), end(to))
        }
    };
    let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        ("session", session.id.to_string()),
        ("protocol", session.protocol.clone()),
        ("state", or_none(&session.tcp_state)),
        ("application", or_none(&session.application)),
        ("host", or_none(&session.host)),
        (
            "initiator",
            translated(session.initiator, session.translated_initiator),
        ),
        (
            "responder",
            translated(session.responder, session.translated_responder),
        ),
        (
            "zones",
            format!("{} → {}", session.from_zone, session.to_zone),
        ),
        (
            "interfaces",
            format!("{} → {}", session.ingress, session.egress),
        ),
        ("policy", or_none(&session.policy)),
        ("source NAT", or_none(&session.source_nat)),
        ("destination NAT", or_none(&session.destination_nat)),
        ("from initiator", units::traffic(session.from_initiator)),
        ("from responder", units::traffic(session.from_responder)),
        (
            "forwarded",
            format!(
                "→ {}, ← {}",
                session.offload.from_initiator.name(),
                session.offload.from_responder.name()
            ),
        ),
        ("age", units::duration(session.age_seconds)),
        ("expires in", units::duration(session.expires_seconds)),
        ("worker", session.worker.to_string()),
        ("generation", session.generation.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::testing::Bench;

    async fn shown(id: u64, json: bool) -> Result<String, CommandError> {
        let bench = Bench::start().await;
        let show = Show {
            id,
            json,
            connection: bench.local(),
        };
        show.answer().await
    }

    #[tokio::test]
    async fn a_session_is_told_in_full() {
        let text = shown(1018, false).await.unwrap();
        for line in [
            "session          1018",
            "responder        198.51.100.1:443, translated to 192.0.2.10:8443",
            "zones            untrust → trust",
            "source NAT       -",
            "destination NAT  web",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        let json = shown(1018, true).await.unwrap();
        let session: SessionView = serde_json::from_str(&json).unwrap();
        assert_eq!(session.id, 1018);
    }

    #[tokio::test]
    async fn a_session_that_is_over_is_not_found() {
        let error = shown(4, false).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no session 4 (any more)");
        assert_eq!(error.exit(), Exit::WrongInput);
    }
}
