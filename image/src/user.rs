//! `palisade user`: who may log in over the network, and what they may do.

use clap::Subcommand;
use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::client::{Call, Client, encoded};
use crate::command::{CommandError, block_on, print};
use crate::connection::Connection;
use crate::secret;
use crate::show::grid::{Grid, left};
use crate::show::units;
use crate::terminal::{self, printable};

const USERS: &str = "/api/v1/users";

/// Manage users.
///
/// `read-only` looks, `operator` changes the configuration and closes sessions, `admin` manages users.
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
    List,
    Add(Add),
    Set(Set),
    /// Delete users, with their tokens.
    Delete {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    Password(Password),
}

/// Make a user, with a password that is made up and shown once.
#[derive(Debug, clap::Args)]
struct Add {
    name: String,
    #[arg(long, value_parser = ROLES)]
    role: String,
    /// Ask for the password, or read it from standard input where that is no terminal.
    #[arg(long)]
    password: bool,
    /// The user need not choose another password at first.
    #[arg(long, requires = "password")]
    keep_password: bool,
    /// For a program: nobody is told the password, and only tokens let it in.
    #[arg(long, conflicts_with = "password")]
    tokens_only: bool,
}

/// Change what a user may do.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").multiple(true).required(true))]
struct Set {
    name: String,
    #[arg(long, value_parser = ROLES, group = "change")]
    role: Option<String>,
    /// Let the user in no more.
    #[arg(long, group = "change", conflicts_with = "enable")]
    disable: bool,
    /// Let the user in again.
    #[arg(long, group = "change")]
    enable: bool,
    /// The user has to choose another password first.
    #[arg(long, group = "change")]
    must_change_password: bool,
}

/// Give a user another password, or yourself.
///
/// It is asked for, or read from standard input where that is no terminal: for yourself the current one, and
/// then the new one.
#[derive(Debug, clap::Args)]
struct Password {
    /// Yourself unless told.
    name: Option<String>,
    /// The user has to choose another one at next login.
    #[arg(long, requires = "name")]
    must_change: bool,
}

/// As the API names them.
pub(crate) const ROLES: [&str; 3] = ["read-only", "operator", "admin"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    name: String,
    role: String,
    disabled: bool,
    must_change_password: bool,
    created: Timestamp,
    #[serde(default)]
    one_time_password: Option<String>,
}

pub(crate) fn user(args: &Args) -> Result<(), CommandError> {
    // Before anything is asked of the appliance, which does not wait for people.
    let secrets = args.what.ask()?;
    print(&block_on(answer(args, secrets, terminal::width()))?)
}

/// What was typed without being shown.
#[derive(Debug, Default)]
struct Secrets {
    current: String,
    new: Option<String>,
}

impl What {
    fn ask(&self) -> Result<Secrets, CommandError> {
        let mut secrets = Secrets::default();
        match self {
            Self::Add(add) if add.password => secrets.new = Some(secret::ask("password", true)?),
            Self::Password(Password { name, .. }) => {
                if name.is_none() {
                    secrets.current = secret::ask("current password", false)?;
                }
                secrets.new = Some(secret::ask("new password", true)?);
            }
            Self::List | Self::Add(_) | Self::Set(_) | Self::Delete { .. } => {}
        }
        Ok(secrets)
    }
}

async fn answer(
    args: &Args,
    secrets: Secrets,
    width: Option<usize>,
) -> Result<String, CommandError> {
    let mut client = Client::connect(&args.connection).await?;
    let body = match &args.what {
        What::List => client.get(USERS).await?,
        What::Add(add) => {
            let call = Call::post(USERS).json(&add.body(secrets.new))?;
            let made = client.send(&call).await?.body;
            if add.tokens_only {
                // Else its tokens would wait for somebody to choose a password.
                let settled = json!({"must-change-password": false});
                change(&mut client, &add.name, &settled).await?
            } else {
                made
            }
        }
        What::Set(set) => change(&mut client, &set.name, &set.body()).await?,
        What::Delete { names } => {
            for name in names {
                client.delete(&path(name)).await?;
            }
            return Ok(String::new());
        }
        What::Password(Password { name, must_change }) => match name {
            Some(name) => {
                let body = json!({"password": secrets.new, "must-change-password": must_change});
                change(&mut client, name, &body).await?
            }
            None => {
                let body = json!({"current": secrets.current, "new": secrets.new});
                client
                    .send(&Call::post("/api/v1/password").json(&body)?)
                    .await?;
                return Ok(String::new());
            }
        },
    };
    if args.json {
        return Ok(body + "\n");
    }
    Ok(match &args.what {
        What::List => table(&crate::client::parsed::<Vec<User>>(&body)?, width),
        What::Add(_) | What::Set(_) | What::Delete { .. } | What::Password(_) => {
            told(&crate::client::parsed(&body)?)
        }
    })
}

async fn change(client: &mut Client, name: &str, body: &Value) -> Result<String, CommandError> {
    let call = Call::new(Method::PATCH, path(name)).json(body)?;
    Ok(client.send(&call).await?.body)
}

fn path(name: &str) -> String {
    format!("{USERS}/{}", encoded(name))
}

impl Add {
    fn body(&self, password: Option<String>) -> Value {
        let mut body = json!({"name": self.name, "role": self.role});
        if let Some(password) = password {
            body["password"] = password.into();
            body["must-change-password"] = (!self.keep_password).into();
        }
        body
    }
}

impl Set {
    fn body(&self) -> Value {
        let mut body = Map::new();
        if let Some(role) = &self.role {
            body.insert("role".into(), role.as_str().into());
        }
        if self.disable || self.enable {
            body.insert("disabled".into(), self.disable.into());
        }
        if self.must_change_password {
            body.insert("must-change-password".into(), true.into());
        }
        Value::Object(body)
    }
}

fn told(user: &User) -> String {
    let state = if user.disabled { ", disabled" } else { "" };
    let mut text = format!(
        "{}: {}{state}\n",
        printable(&user.name),
        printable(&user.role)
    );
    if let Some(password) = &user.one_time_password {
        text.push_str(&format!(
            "password, to be changed at first login: {}\n",
            printable(password)
        ));
    }
    text
}

fn table(users: &[User], width: Option<usize>) -> String {
    if users.is_empty() {
        return "no users\n".to_owned();
    }
    let mut grid = Grid::new([left("NAME"), left("ROLE"), left("CREATED"), left("STATE")]);
    for user in users {
        let state = match (user.disabled, user.must_change_password) {
            (true, _) => "disabled",
            (false, true) => "must change the password",
            (false, false) => "",
        };
        grid.row([
            user.name.as_str().into(),
            user.role.as_str().into(),
            units::moment(user.created).into(),
            state.into(),
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

    async fn told(bench: &Bench, words: &str, new: Option<&str>) -> Result<String, CommandError> {
        let words = ["user"].into_iter().chain(words.split(' '));
        let mut args = Line::parse_from(words).args;
        args.connection = bench.local();
        let secrets = Secrets {
            new: new.map(str::to_owned),
            ..Secrets::default()
        };
        answer(&args, secrets, None).await
    }

    #[tokio::test]
    async fn a_user_is_made_changed_listed_and_deleted() {
        let bench = Bench::start().await;
        let said = told(&bench, "add alice --role operator", None)
            .await
            .unwrap();
        assert!(
            said.starts_with("alice: operator\npassword, to be changed at first login: "),
            "{said}"
        );
        let list = told(&bench, "list", None).await.unwrap();
        let alice = list.lines().find(|line| line.starts_with("alice")).unwrap();
        assert!(
            alice.contains("operator") && alice.ends_with("must change the password"),
            "{list}"
        );
        let said = told(&bench, "set alice --role read-only --disable", None)
            .await
            .unwrap();
        assert_eq!(said, "alice: read-only, disabled\n");
        assert_eq!(told(&bench, "delete alice", None).await.unwrap(), "");
        let error = told(&bench, "delete alice", None).await.unwrap_err();
        assert_eq!(error.exit(), Exit::WrongInput);
    }

    #[tokio::test]
    async fn a_program_gets_no_password() {
        let bench = Bench::start().await;
        let add = "add ci --role operator --tokens-only";
        assert_eq!(told(&bench, add, None).await.unwrap(), "ci: operator\n");
        let list = told(&bench, "list", None).await.unwrap();
        let ci = list.lines().find(|line| line.starts_with("ci")).unwrap();
        assert!(!ci.contains("must change"), "{list}");
    }

    #[tokio::test]
    async fn a_password_that_is_not_taken_is_wrong_input() {
        let bench = Bench::start().await;
        let add = "add bob --role admin --password --keep-password";
        let error = told(&bench, add, Some("short")).await.unwrap_err();
        assert_eq!(error.exit(), Exit::WrongInput);
        assert_eq!(error.details(), ["at /password"]);
        let said = told(&bench, add, Some("correct horse battery"))
            .await
            .unwrap();
        assert_eq!(said, "bob: admin\n");
        let error = told(&bench, add, Some("correct horse battery"))
            .await
            .unwrap_err();
        assert_eq!(error.exit(), Exit::Conflict);
        told(&bench, "password bob", Some("another horse entirely"))
            .await
            .unwrap();
    }

    #[test]
    fn a_password_is_no_argument() {
        for words in [
            "user add a --role admin --password=secret",
            "user set a",
            "user add a --role root",
        ] {
            assert!(Line::try_parse_from(words.split(' ')).is_err(), "{words}");
        }
    }
}
