//! Which sessions are meant, and `palisade show sessions`: those, page by page.

use std::net::IpAddr;

use firewall::view::SessionPage;

use super::lines;
use super::session_table::table;
use crate::client::{Client, ClientError, parsed, with_query};

/// Which sessions.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only the session with this number.
    #[arg(long)]
    id: Option<u64>,
    /// Only sessions with this address at either end, translated or not.
    #[arg(long)]
    address: Option<IpAddr>,
    /// Only sessions with this port at either end, translated or not.
    #[arg(long)]
    port: Option<u16>,
    /// Only this protocol, by name or number.
    #[arg(long)]
    protocol: Option<String>,
    /// Only sessions that this policy permitted.
    #[arg(long)]
    policy: Option<String>,
    /// Only sessions from or to this zone.
    #[arg(long)]
    zone: Option<String>,
    /// Only this application.
    #[arg(long)]
    application: Option<String>,
    /// Only sessions with a host of this name or below it, as far as inspection has read one.
    #[arg(long)]
    host_name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Sessions a page, 1 to 1000.
    #[arg(long)]
    limit: Option<usize>,
    /// Go on where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
    /// Every page, not just one.
    #[arg(long)]
    all: bool,
}

pub(crate) async fn answer(
    client: &mut Client,
    args: &Args,
    json: bool,
    width: Option<usize>,
) -> Result<String, ClientError> {
    if json && !args.all {
        return Ok(client.get(&path(args, args.cursor.as_deref())).await? + "\n");
    }
    let page = if args.all {
        every_page(client, args).await?
    } else {
        parsed(&client.get(&path(args, args.cursor.as_deref())).await?)?
    };
    if json {
        return Ok(serde_json::to_string(&page).map_err(ClientError::Unexpected)? + "\n");
    }
    Ok(lines(&table(&page, width)))
}

/// The pages as one. The table changes while it is read: a session may be missing or seen twice.
async fn every_page(client: &mut Client, args: &Args) -> Result<SessionPage, ClientError> {
    let mut page: SessionPage = parsed(&client.get(&path(args, args.cursor.as_deref())).await?)?;
    while let Some(cursor) = page.next.take() {
        let following: SessionPage = parsed(&client.get(&path(args, Some(&cursor))).await?)?;
        if following.next.as_ref() == Some(&cursor) {
            return Err(ClientError::Circle(cursor));
        }
        page.sessions.extend(following.sessions);
        page = SessionPage {
            sessions: page.sessions,
            ..following
        };
    }
    Ok(page)
}

fn path(args: &Args, cursor: Option<&str>) -> String {
    /// The most that a page may hold: fewer questions for the same answer.
    const WHOLE: usize = 1000;

    let limit = args.limit.or(args.all.then_some(WHOLE));
    let page = [
        ("cursor", cursor.map(str::to_owned)),
        ("limit", limit.map(|limit| limit.to_string())),
    ];
    sessions_path(args.filter.parameters().into_iter().chain(page))
}

impl Filter {
    pub(crate) fn is_empty(&self) -> bool {
        self.parameters().iter().all(|(_, value)| value.is_none())
    }

    pub(crate) fn parameters(&self) -> [(&'static str, Option<String>); 8] {
        [
            ("id", self.id.map(|id| id.to_string())),
            ("address", self.address.map(|address| address.to_string())),
            ("port", self.port.map(|port| port.to_string())),
            ("protocol", self.protocol.clone()),
            ("policy", self.policy.clone()),
            ("zone", self.zone.clone()),
            ("application", self.application.clone()),
            ("host", self.host_name.clone()),
        ]
    }
}

/// The API's path for sessions with these parameters, as far as they have values.
pub(crate) fn sessions_path(
    parameters: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> String {
    with_query("/api/v1/sessions", parameters)
}
