//! `palisade show`: what the running appliance tells of itself, as tables or as the API's JSON.

mod alarms;
pub(crate) mod events;
pub(crate) mod grid;
mod objects;
mod policies;
mod session_table;
mod sessions;
mod tables;
mod top;
pub(crate) mod units;
mod url_lists;

pub(crate) use sessions::{Filter as SessionFilter, sessions_path};

use clap::Subcommand;
use serde::de::DeserializeOwned;

use crate::client::{self, Client, ClientError};
use crate::command::{CommandError, block_on, print};
use crate::connection::Connection;
use crate::terminal;

/// Show what the running appliance is doing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Print the API's answer instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Conversations in progress: who, under which policy, translated how.
    Sessions(sessions::Args),
    Top(top::Args),
    /// Interfaces, their addresses and counters.
    Interfaces,
    Policies(policies::Args),
    /// Translation rules, and how full the pools are.
    Nat,
    /// Packets dropped, and packets given to userspace, by reason.
    Drops,
    /// Routes, as the datapath sees them.
    Routes,
    /// Neighbours of the appliance's interfaces.
    Neighbours,
    Events(events::Args),
    Objects(objects::Args),
    /// Lists of hosts and URLs: what is in them, and how that came about.
    UrlLists,
    /// What is wrong now.
    Alarms,
    /// The appliance as a whole.
    System,
}

pub(crate) fn show(args: &Args) -> Result<(), CommandError> {
    print(&block_on(async {
        Ok::<_, CommandError>(answer(args, terminal::width()).await?)
    })?)
}

/// All that is to be printed; `width` is `None` where lines may be of any length.
async fn answer(args: &Args, width: Option<usize>) -> Result<String, ClientError> {
    let mut client = Client::connect(&args.connection).await?;
    match &args.what {
        What::Sessions(filter) => sessions::answer(&mut client, filter, args.json, width).await,
        What::Top(which) => {
            let path = top::path(which);
            view(&mut client, &path, args.json, width, top::table).await
        }
        What::Interfaces => {
            view(
                &mut client,
                "interfaces",
                args.json,
                width,
                tables::interfaces,
            )
            .await
        }
        What::Policies(which) => {
            let path = policies::path(which);
            view(&mut client, &path, args.json, width, tables::policies).await
        }
        What::Nat => view(&mut client, "nat", args.json, width, tables::nat).await,
        What::Drops => view(&mut client, "drops", args.json, width, tables::drops).await,
        What::Routes => view(&mut client, "routes", args.json, width, tables::routes).await,
        What::Events(which) => events::answer(&mut client, which, args.json).await,
        What::Objects(which) => objects::answer(&mut client, which, args.json, width).await,
        What::UrlLists => view(&mut client, "url-lists", args.json, width, url_lists::table).await,
        What::Alarms => view(&mut client, "alarms", args.json, width, alarms::table).await,
        What::Neighbours => {
            view(
                &mut client,
                "neighbours",
                args.json,
                width,
                tables::neighbours,
            )
            .await
        }
        What::System => view(&mut client, "system", args.json, width, tables::system).await,
    }
}

async fn view<T: DeserializeOwned>(
    client: &mut Client,
    name: &str,
    json: bool,
    width: Option<usize>,
    table: fn(&T, Option<usize>) -> Vec<String>,
) -> Result<String, ClientError> {
    let body = client.get(&format!("/api/v1/{name}")).await?;
    if json {
        return Ok(body + "\n");
    }
    Ok(lines(&table(&client::parsed(&body)?, width)))
}

/// What it is and how it is, a line each.
pub(crate) fn pairs(facts: &[(&str, String)]) -> String {
    let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts
        .iter()
        .map(|(name, value)| format!("{name:widest$}  {}\n", terminal::printable(value)))
        .collect()
}

fn lines(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use web_ui::fake::{Fake, TempDir};

    use super::*;
    use crate::exit::Exit;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// What `palisade show WORDS` prints of `appliance` at 100 columns.
    async fn shown(appliance: Fake, words: &str) -> Result<String, ClientError> {
        let dir = TempDir::new();
        let socket = dir.path().join("api.sock");
        let (listener, _file) = web_ui::bind(&socket).unwrap();
        tokio::spawn(web_ui::serve(
            listener,
            web_ui::fake::site(appliance).await,
            std::future::pending(),
        ));
        answer(&args(words, &socket.to_string_lossy()), Some(100)).await
    }

    fn args(words: &str, socket: &str) -> Args {
        Line::parse_from(
            ["show"]
                .into_iter()
                .chain(words.split(' '))
                .chain(["--socket", socket]),
        )
        .args
    }

    #[tokio::test]
    async fn every_view_is_shown_and_none_breaks_the_width() {
        for name in [
            "sessions",
            "interfaces",
            "policies",
            "nat",
            "drops",
            "routes",
            "neighbours",
            "url-lists",
            "system",
        ] {
            let text = shown(Fake::running(), name).await.unwrap();
            assert!(
                text.ends_with('\n') && text.lines().count() > 3,
                "{name}:\n{text}"
            );
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{name}:\n{text}"
            );
        }
    }

    #[tokio::test]
    async fn json_is_the_body_of_the_api() {
        let fake = Fake::running();
        let text = shown(fake.clone(), "interfaces --json").await.unwrap();
        assert_eq!(
            text,
            serde_json::to_string(&fake.interfaces).unwrap() + "\n"
        );
    }

    #[tokio::test]
    async fn an_empty_appliance_says_what_there_is_none_of() {
        assert_eq!(
            shown(Fake::empty(), "sessions").await.unwrap(),
            "no sessions\n"
        );
        assert_eq!(
            shown(Fake::empty(), "interfaces").await.unwrap(),
            "no interfaces\n"
        );
        assert_eq!(
            shown(Fake::empty(), "policies").await.unwrap(),
            "no policies\n"
        );
        assert_eq!(
            shown(Fake::empty(), "nat").await.unwrap(),
            "no NAT rules\nno NAT pools\n"
        );
        assert_eq!(
            shown(Fake::empty(), "drops").await.unwrap(),
            "no drops\nno punts\n"
        );
        assert_eq!(shown(Fake::empty(), "routes").await.unwrap(), "no routes\n");
        assert_eq!(
            shown(Fake::empty(), "neighbours").await.unwrap(),
            "no neighbours\n"
        );
    }

    #[tokio::test]
    async fn filters_reach_the_appliance() {
        let text = shown(
            Fake::running(),
            "sessions --address 2001:db8:1::10 --protocol tcp --json",
        )
        .await
        .unwrap();
        assert!(
            text.contains("\"id\":1019") && !text.contains("\"id\":1017"),
            "{text}"
        );
        let text = shown(
            Fake::running(),
            "sessions --port 5353 --zone trust --policy web-out",
        )
        .await
        .unwrap();
        assert!(text.contains("1020") && !text.contains("1018"), "{text}");
    }

    #[tokio::test]
    async fn all_follows_the_cursors() {
        let text = shown(Fake::running(), "sessions --limit 2").await.unwrap();
        assert!(
            text.contains("1018") && !text.contains("1019") && text.contains("--cursor 2"),
            "{text}"
        );
        let text = shown(Fake::running(), "sessions --limit 2 --all")
            .await
            .unwrap();
        assert!(
            text.contains("1017") && text.contains("1021") && !text.contains("--cursor"),
            "{text}"
        );
        let text = shown(Fake::running(), "sessions --limit 2 --all --json")
            .await
            .unwrap();
        let page: firewall::view::SessionPage = serde_json::from_str(&text).unwrap();
        assert_eq!((page.sessions.len(), page.next), (5, None));
    }

    #[tokio::test]
    async fn sessions_are_added_up_by_source_unless_told_otherwise() {
        let text = shown(Fake::running(), "top --protocol tcp").await.unwrap();
        let at = |name| text.find(name).unwrap();
        assert!(at("2001:db8:1::10") < at("192.0.2.10"), "{text}");
        assert!(text.ends_with("of 5 sessions in the table\n"), "{text}");
        let text = shown(Fake::running(), "top --by policy --limit 1 --json")
            .await
            .unwrap();
        let top: firewall::view::TopSessions = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (top.top.len(), top.top[0].name.as_deref()),
            (1, Some("web-out"))
        );
        let none = shown(Fake::empty(), "top").await.unwrap();
        assert_eq!(none, "no sessions\n");
    }

    #[tokio::test]
    async fn policies_are_shown_by_their_hits() {
        let text = shown(Fake::running(), "policies --sort hits --limit 2")
            .await
            .unwrap();
        let at = |name| text.find(name);
        assert!(at("default") < at("web-out"), "{text}");
        assert_eq!((at("default").is_some(), at("publish")), (true, None));
        let all = shown(Fake::running(), "policies").await.unwrap();
        assert!(all.find("web-out") < all.find("publish"), "{all}");
        let error = shown(Fake::running(), "policies --limit 0").await;
        assert_eq!(error.unwrap_err().exit(), Exit::WrongInput);
    }

    #[tokio::test]
    async fn a_refused_filter_is_the_users_to_mend() {
        let error = shown(Fake::running(), "sessions --protocol tpc")
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "protocol: unknown");
        assert_eq!(error.exit(), Exit::WrongInput);
    }

    #[tokio::test]
    async fn without_an_appliance_the_path_is_named() {
        let error = answer(&args("system", "/nowhere/api.sock"), None)
            .await
            .unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("palisade is not running here: cannot connect to /nowhere/api.sock: "),
            "{said}"
        );
        assert_eq!(error.exit(), Exit::Unreachable);
    }
}
