//! `palisade policy`: the policies of the candidate and their order, and what would become of a packet.

mod matching;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Call, Client, with_query};
use crate::command::{CommandError, block_on, counted, print};
use crate::connection::Connection;
use crate::order::Move;
use crate::show::grid::{Grid, left, right, wrapping};
use crate::terminal;

const POLICIES: &str = "/api/v1/config/policies";

/// Look at policies, put them in order, and ask them about packets.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Print the API's answer.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The candidate's policies, in their order; `show policies` has those in force, with their hits.
    List {
        /// Only those in which this text occurs.
        #[arg(value_name = "TEXT")]
        text: Option<String>,
    },
    /// Put policies elsewhere in the candidate's order, together and in the order in which they are named.
    Move(Move),
    Match(Box<matching::Args>),
}

pub(crate) fn policy(args: &Args) -> Result<(), CommandError> {
    print(&block_on(answer(args, terminal::width()))?)
}

async fn answer(args: &Args, width: Option<usize>) -> Result<String, CommandError> {
    let mut client = Client::connect(&args.connection).await?;
    match &args.what {
        What::List { text } => {
            let path = with_query(POLICIES, [("q", text.clone())]);
            let answer = client.send(&Call::get(path)).await?;
            if args.json {
                return Ok(answer.body + "\n");
            }
            Ok(table(&answer.parsed()?, width))
        }
        What::Match(wanted) => wanted.answer(&mut client, args.json).await,
        What::Move(wanted) => {
            let body = wanted.within(POLICIES, &mut client).await?;
            Ok(if args.json {
                body + "\n"
            } else {
                let policies = counted(wanted.names.len() as u64, "policy", "policies");
                format!("{policies} moved in the candidate\n")
            })
        }
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Value>,
}

fn table(page: &Page, width: Option<usize>) -> String {
    if page.items.is_empty() {
        return "no policies\n".to_owned();
    }
    let mut grid = Grid::new([
        right("#"),
        left("NAME"),
        left("FROM"),
        left("TO"),
        wrapping("SOURCE"),
        wrapping("DESTINATION"),
        wrapping("APPLICATION"),
        left("ACTION"),
        left("ONLY"),
    ]);
    for (policy, position) in page.items.iter().zip(1_u64..) {
        let list = |key: &str| words(&policy[key]);
        grid.row([
            position.into(),
            list("name").into(),
            list("from").into(),
            list("to").into(),
            or_any(list("source")).into(),
            or_any(list("destination")).into(),
            or_any(list("application")).into(),
            list("action").into(),
            condition(policy).into(),
        ]);
    }
    grid.text(width)
}

/// What stands in the way of a policy: that it is off, or a schedule.
fn condition(policy: &Value) -> String {
    match (&policy["enabled"], &policy["schedule"]) {
        (Value::Bool(false), _) => "never".to_owned(),
        (_, Value::String(schedule)) => schedule.clone(),
        _ => String::new(),
    }
}

/// A name, or a list of names.
fn words(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn or_any(list: String) -> String {
    if list.is_empty() { "any".into() } else { list }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::exit::Exit;
    use crate::testing::Bench;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    async fn told(bench: &Bench, words: &str) -> Result<String, CommandError> {
        let words = ["policy"].into_iter().chain(words.split(' '));
        let mut args = Line::parse_from(words).args;
        args.connection = bench.local();
        answer(&args, Some(100)).await
    }

    async fn order(bench: &Bench) -> Vec<String> {
        let text = told(bench, "list --json").await.unwrap();
        let page: Page = serde_json::from_str(&text).unwrap();
        page.items.iter().map(|item| words(&item["name"])).collect()
    }

    #[tokio::test]
    async fn policies_are_listed_in_their_order() {
        let bench = Bench::start().await;
        let text = told(&bench, "list").await.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("1  web-out  trust  untrust  lan     any"),
            "{text}"
        );
        assert!(
            lines[3].contains("rest") && lines[3].contains("deny"),
            "{text}"
        );
        let text = told(&bench, "list SMTP").await.unwrap();
        assert!(
            text.contains("no-mail") && !text.contains("web-out"),
            "{text}"
        );
        assert_eq!(told(&bench, "list nothing").await.unwrap(), "no policies\n");
    }

    #[tokio::test]
    async fn policies_move_to_every_kind_of_place() {
        let bench = Bench::start().await;
        for (words, expected) in [
            ("move rest --first", ["rest", "web-out", "no-mail"]),
            ("move rest --last", ["web-out", "no-mail", "rest"]),
            (
                "move no-mail --before web-out",
                ["no-mail", "web-out", "rest"],
            ),
            ("move no-mail --after rest", ["web-out", "rest", "no-mail"]),
            (
                "move no-mail web-out --last",
                ["rest", "no-mail", "web-out"],
            ),
        ] {
            told(&bench, words).await.unwrap();
            assert_eq!(order(&bench).await, expected, "{words}");
        }
        let said = told(&bench, "move web-out no-mail --first").await.unwrap();
        assert_eq!(said, "2 policies moved in the candidate\n");
    }

    #[tokio::test]
    async fn a_policy_that_is_not_there_is_not_moved() {
        let bench = Bench::start().await;
        let error = told(&bench, "move web --first").await.unwrap_err();
        assert_eq!(error.exit(), Exit::WrongInput);
        assert!(error.to_string().contains("'web'"), "{error}");
    }

    #[test]
    fn a_place_is_needed_and_one_is_enough() {
        for words in [
            "policy move a",
            "policy move --first",
            "policy move a --first --last",
        ] {
            assert!(Line::try_parse_from(words.split(' ')).is_err(), "{words}");
        }
    }
}
