//! `palisade token`: secrets for programs, and for this command line on other machines.

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::{Call, Client, encoded, parsed};
use crate::command::{CommandError, block_on, print};
use crate::connection::Connection;
use crate::show::grid::{Grid, left};
use crate::show::units;
use crate::terminal::{self, printable};
use crate::user::ROLES;

const TOKENS: &str = "/api/v1/tokens";

/// Manage tokens, which let programs in over the network.
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
    /// Your own tokens; an administrator's list has all.
    List,
    Create(Create),
    /// Let tokens in no more.
    Revoke {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Make a token. It is printed, and never again: `palisade token create backup --role read-only > FILE`.
#[derive(Debug, clap::Args)]
struct Create {
    /// What it is for.
    name: String,
    /// What it may do; not more than its owner.
    #[arg(long, value_parser = ROLES)]
    role: String,
    /// A user; needed over the unix socket, which is none.
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// How long it is good for: `12h`, `90d`, at most 366 days [default: 90d].
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Token {
    id: String,
    name: String,
    owner: String,
    role: String,
    expires: Timestamp,
    #[serde(default)]
    last_used: Option<Timestamp>,
    #[serde(default)]
    token: Option<String>,
}

pub(crate) fn token(args: &Args) -> Result<(), CommandError> {
    print(&block_on(answer(args, terminal::width()))?)
}

async fn answer(args: &Args, width: Option<usize>) -> Result<String, CommandError> {
    let mut client = Client::connect(&args.connection).await?;
    match &args.what {
        What::List => {
            let body = client.get(TOKENS).await?;
            if args.json {
                return Ok(body + "\n");
            }
            Ok(table(&parsed::<Vec<Token>>(&body)?, width))
        }
        What::Create(create) => {
            let answer = client
                .send(&Call::post(TOKENS).json(&create.body())?)
                .await?;
            if args.json {
                return Ok(answer.body + "\n");
            }
            let token: Token = answer.parsed()?;
            Ok(printable(&token.token.unwrap_or_default()) + "\n")
        }
        What::Revoke { ids } => {
            for id in ids {
                client.delete(&format!("{TOKENS}/{}", encoded(id))).await?;
            }
            Ok(String::new())
        }
    }
}

impl Create {
    fn body(&self) -> Value {
        let fields = [
            ("name", Some(&self.name)),
            ("role", Some(&self.role)),
            ("owner", self.owner.as_ref()),
            ("expires-in", self.expires_in.as_ref()),
        ];
        let given = fields
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.as_str().into())));
        Value::Object(Map::from_iter(given))
    }
}

fn table(tokens: &[Token], width: Option<usize>) -> String {
    if tokens.is_empty() {
        return "no tokens\n".to_owned();
    }
    let mut grid = Grid::new([
        left("ID"),
        left("NAME"),
        left("OWNER"),
        left("ROLE"),
        left("EXPIRES"),
        left("LAST USED"),
    ]);
    for token in tokens {
        grid.row([
            token.id.as_str().into(),
            token.name.as_str().into(),
            token.owner.as_str().into(),
            token.role.as_str().into(),
            units::moment(token.expires).into(),
            token.last_used.map(units::moment).into(),
        ]);
    }
    grid.text(width)
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
        let words = ["token"].into_iter().chain(words.split(' '));
        let mut args = Line::parse_from(words).args;
        args.connection = bench.local();
        answer(&args, None).await
    }

    #[tokio::test]
    async fn a_token_is_printed_alone_listed_and_revoked() {
        let bench = Bench::start().await;
        assert_eq!(told(&bench, "list").await.unwrap(), "no tokens\n");
        let create = "create ci --role read-only --owner admin --expires-in 1d";
        let secret = told(&bench, create).await.unwrap();
        assert!(
            secret.starts_with("palisade_") && secret.lines().count() == 1,
            "{secret}"
        );
        let list = told(&bench, "list").await.unwrap();
        assert!(!list.contains(secret.trim()), "{list}");
        let id = list.lines().nth(1).unwrap().split(' ').next().unwrap();
        told(&bench, &format!("revoke {id}")).await.unwrap();
        assert_eq!(told(&bench, "list").await.unwrap(), "no tokens\n");
        let error = told(&bench, &format!("revoke {id}")).await.unwrap_err();
        assert_eq!(error.exit(), Exit::WrongInput);
    }

    #[tokio::test]
    async fn a_token_over_the_socket_needs_an_owner() {
        let bench = Bench::start().await;
        let error = told(&bench, "create ci --role admin").await.unwrap_err();
        assert_eq!(error.exit(), Exit::WrongInput);
        assert_eq!(error.details(), ["at /owner"]);
    }
}
