//! `palisade show sessions`: which are asked for, page by page.

use std::net::IpAddr;

use firewall::view::SessionPage;

use super::lines;
use super::session_table::table;
use crate::client::{Client, ClientError, parameter, parsed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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
    let given = [
        ("address", args.address.map(|address| address.to_string())),
        ("port", args.port.map(|port| port.to_string())),
        ("protocol", args.protocol.clone()),
        ("policy", args.policy.clone()),
        ("zone", args.zone.clone()),
        ("cursor", cursor.map(str::to_owned)),
        ("limit", limit.map(|limit| limit.to_string())),
    ];
    let query: Vec<String> = given
        .iter()
        .filter_map(|(name, value)| Some(parameter(name, value.as_deref()?)))
        .collect();
    if query.is_empty() {
        "/api/v1/sessions".into()
    } else {
        format!("/api/v1/sessions?{}", query.join("&"))
    }
}
