//! Looking at configurations: `show`, `export`, `diff`.

use std::io::{self, IsTerminal};

use serde::Deserialize;
use serde_json::Value;

use super::path::Path;
use super::{CANDIDATE, ConfigError, Told};
use crate::client::{Call, Client, with_query};
use crate::command;
use crate::exit::Exit;
use crate::terminal::{self, printable};

/// Show a configuration as it was written.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// `running`, `candidate`, or a revision's number.
    #[arg(default_value = "running", value_name = "WHICH")]
    which: Which,
    /// Only what is there: `policies`, `policies.web-out`, `nat.source[0]`.
    #[arg(long, value_name = "PATH")]
    section: Option<Path>,
}

/// Print a configuration, byte for byte, to be kept or loaded elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// `running`, `candidate`, or a revision's number.
    #[arg(default_value = "running", value_name = "WHICH")]
    which: Which,
}

/// Show what differs between two configurations.
#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// `running`, `candidate`, or a revision's number.
    #[arg(default_value = "running")]
    from: Which,
    /// As FROM.
    #[arg(default_value = "candidate")]
    to: Which,
    /// Exit with 6 where something differs, and with 0 where nothing does.
    #[arg(long)]
    exit_code: bool,
}

/// A configuration, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Running,
    Candidate,
    Revision(u64),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "running" => Ok(Self::Running),
            "candidate" => Ok(Self::Candidate),
            number => number
                .parse()
                .map(Self::Revision)
                .map_err(|_| "running, candidate, or the number of a revision".to_owned()),
        }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Candidate => f.write_str("candidate"),
            Self::Revision(number) => number.fmt(f),
        }
    }
}

impl Which {
    fn path(self) -> String {
        match self {
            Self::Running => "/api/v1/config/running".to_owned(),
            Self::Candidate => CANDIDATE.to_owned(),
            Self::Revision(number) => format!("/api/v1/config/history/{number}"),
        }
    }
}

impl Show {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, ConfigError> {
        let call = Call::get(self.which.path());
        let Some(section) = &self.section else {
            return Ok(if json {
                client.send(&call).await?.body + "\n"
            } else {
                safe(&client.send(&call.written()).await?.body)
            });
        };
        let text = client.send(&call.written()).await?.body;
        let document = firewall::config::to_json(&text).unwrap_or_default();
        let pointer = section.find(&document)?;
        if json {
            return Ok(command::json(&document.pointer(pointer.as_str()))?);
        }
        let tokens: Vec<String> = pointer
            .tokens()
            .map(|token| token.decoded().into_owned())
            .collect();
        let only = only(&document, &tokens);
        // With the comments that stand there.
        Ok(safe(
            &firewall::config::edit::settle(&text, &only).unwrap_or_default(),
        ))
    }
}

/// The document with nothing in it but what is at a pointer.
fn only(document: &Value, tokens: &[String]) -> Value {
    let Some((token, rest)) = tokens.split_first() else {
        return document.clone();
    };
    match document {
        Value::Object(entries) => entries
            .get(token)
            .map(|value| (token.clone(), only(value, rest)))
            .into_iter()
            .collect(),
        Value::Array(items) => {
            let item = token.parse().ok().and_then(|index: usize| items.get(index));
            item.map(|item| only(item, rest)).into_iter().collect()
        }
        scalar => scalar.clone(),
    }
}

impl Export {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, ConfigError> {
        let call = Call::get(self.which.path());
        let call = if json { call } else { call.written() };
        Ok(client.send(&call).await?.body)
    }
}

#[derive(Debug, Deserialize)]
struct DiffView {
    changed: bool,
    text: String,
    patch: Value,
}

impl Diff {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<Told, ConfigError> {
        let parameters = [
            ("from", Some(self.from.to_string())),
            ("to", Some(self.to.to_string())),
        ];
        let path = with_query("/api/v1/config/diff", parameters);
        let diff: DiffView = client.send(&Call::get(path)).await?.parsed()?;
        let text = if json {
            command::json(&diff.patch)?
        } else if terminal::has_colours() {
            coloured(&diff.text)
        } else {
            safe(&diff.text)
        };
        let exit = if self.exit_code && diff.changed {
            Exit::Differs
        } else {
            Exit::Done
        };
        Ok(Told { text, exit })
    }
}

/// A text of many lines as it is where a program reads it, and without a character that a terminal would obey.
fn safe(text: &str) -> String {
    if io::stdout().is_terminal() {
        text.lines().map(|line| shown(line) + "\n").collect()
    } else {
        text.to_owned()
    }
}

/// Tabs stay.
fn shown(line: &str) -> String {
    line.split('\t')
        .map(printable)
        .collect::<Vec<_>>()
        .join("\t")
}

/// A unified diff in the colours of git.
fn coloured(text: &str) -> String {
    const PLAIN: &str = "\x1b[0m";

    text.lines()
        .map(|line| {
            let colour = match line.as_bytes() {
                [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "\x1b[1m",
                [b'@', b'@', ..] => "\x1b[36m",
                [b'+', ..] => "\x1b[32m",
                [b'-', ..] => "\x1b[31m",
                _ => return shown(line) + "\n",
            };
            format!("{colour}{}{PLAIN}\n", shown(line))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_section_stands_under_what_it_is_part_of() {
        let document = json!({"version": 1, "policies": [{"name": "a", "to": "x"}, {"name": "b"}]});
        let of = |pointer: &str| {
            let tokens: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
            only(&document, &tokens)
        };
        assert_eq!(of("/policies/1"), json!({"policies": [{"name": "b"}]}));
        assert_eq!(of("/policies/0/to"), json!({"policies": [{"to": "x"}]}));
        assert_eq!(of(""), document);
    }

    #[test]
    fn a_diff_is_coloured_and_nothing_in_it_is_obeyed() {
        let text = coloured("--- running\n+++ candidate\n@@ -1 +1 @@\n same\n-old\n+new\x1b[2J\n");
        assert!(text.contains("\x1b[31m-old\x1b[0m\n"), "{text:?}");
        assert!(text.contains("\x1b[32m+new\\u{1b}[2J\x1b[0m\n"), "{text:?}");
        assert!(text.contains("\n same\n"), "{text:?}");
    }
}
