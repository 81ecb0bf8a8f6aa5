//! From a candidate to what is in force, and back: `check`, `commit`, `confirm`, `rollback`, `history`.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use web_ui::Mistake;

use super::candidate::{Document, edited};
use super::{ConfigError, Told};
use crate::client::{Call, Client};
use crate::command::counted;
use crate::exit::Exit;
use crate::show::grid::{Grid, left, right, wrapping};
use crate::show::{pairs, units};
use crate::terminal::printable;

/// Say what a commit of the candidate would say, or of FILE in its place. Exits with 2 where it would be
/// refused.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// `-` is standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Put the candidate in force.
///
/// From one packet to the next it decides about all sessions; those that it does not permit any more are closed.
/// Where nothing has changed, nothing is done, except that a commit that waits to be confirmed is.
#[derive(Debug, clap::Args)]
pub(super) struct Commit {
    /// Why; kept in the history.
    #[arg(long, short = 'm', value_name = "TEXT")]
    comment: Option<String>,
    /// Undo it after this long, 1s to 24h, unless `config confirm` comes before: for changes that may
    /// cut the way back.
    #[arg(long, value_name = "TIME")]
    confirm_within: Option<String>,
    /// Only check it, as `config check` does.
    #[arg(long, conflicts_with_all = ["comment", "confirm_within"])]
    check: bool,
}

/// Make an earlier revision the candidate; `config history` has their numbers.
#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    revision: u64,
    /// Put it in force at once.
    #[arg(long)]
    commit: bool,
    /// Why; kept in the history.
    #[arg(long, short = 'm', value_name = "TEXT", requires = "commit")]
    comment: Option<String>,
    /// Undo it after this long unless `config confirm` comes before.
    #[arg(long, value_name = "TIME", requires = "commit")]
    confirm_within: Option<String>,
}

/// List what was committed, newest first.
#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// As many at most.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    revision: u64,
    source: String,
    generation: u64,
    confirm_by: Option<Timestamp>,
    changed: bool,
    start_file: String,
    #[serde(default)]
    alarms: Vec<String>,
}

const STATUS: &str = "/api/v1/config";

pub(super) async fn status(client: &mut Client, json: bool) -> Result<String, ConfigError> {
    let answer = client.send(&Call::get(STATUS)).await?;
    if json {
        return Ok(answer.body + "\n");
    }
    let status: Status = answer.parsed()?;
    let candidate = if status.changed {
        "has changes that are not in force"
    } else {
        "is what is in force"
    };
    let mut facts = vec![
        ("revision", status.revision.to_string()),
        ("from", status.source),
        ("generation", status.generation.to_string()),
        ("candidate", candidate.to_owned()),
        ("start file", status.start_file),
    ];
    if let Some(deadline) = status.confirm_by {
        facts.push((
            "unless confirmed",
            format!("undone at {}", units::moment(deadline)),
        ));
    }
    facts.extend(status.alarms.into_iter().map(|alarm| ("alarm", alarm)));
    Ok(pairs(&facts))
}

#[derive(Debug, Deserialize)]
struct CheckView {
    valid: bool,
    findings: Vec<Mistake>,
}

impl Check {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<Told, ConfigError> {
        match &self.file {
            None => check(client, None, "candidate", json).await,
            Some(file) => {
                let document = Document::read(file)?;
                check(client, Some(document), &file.to_string_lossy(), json).await
            }
        }
    }
}

async fn check(
    client: &mut Client,
    document: Option<Document>,
    name: &str,
    json: bool,
) -> Result<Told, ConfigError> {
    let call = Call::post("/api/v1/config/check");
    let answer = client
        .send(&match document {
            Some(document) => call.body(document.media_type, document.text),
            None => call,
        })
        .await?;
    let view: CheckView = answer.parsed()?;
    let text = if json {
        answer.body + "\n"
    } else {
        let mut text: String = view
            .findings
            .iter()
            .map(|finding| found(name, finding))
            .collect();
        if view.valid {
            let warnings = match view.findings.len() as u64 {
                0 => String::new(),
                some => format!(", with {}", counted(some, "warning", "warnings")),
            };
            text.push_str(&format!("{}: valid{warnings}\n", printable(name)));
        }
        text
    };
    let exit = if view.valid {
        Exit::Done
    } else {
        Exit::WrongInput
    };
    Ok(Told { text, exit })
}

/// A line as compilers print them, so that editors can jump there.
pub(super) fn found(name: &str, finding: &Mistake) -> String {
    let place = match finding.line {
        0 => String::new(),
        line => format!("{line}:{}:", finding.column),
    };
    let hint = match &finding.suggestion {
        Some(suggestion) => format!("; did you mean '{suggestion}'?"),
        None => String::new(),
    };
    let said = format!(
        "{name}:{place} {}: {}{hint}",
        finding.severity, finding.message
    );
    printable(&said) + "\n"
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Committed {
    revision: u64,
    #[serde(default)]
    confirm_by: Option<Timestamp>,
}

impl Commit {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<Told, ConfigError> {
        if self.check {
            return check(client, None, "candidate", json).await;
        }
        let answer = client.send(&Call::get(STATUS)).await?;
        let status: Status = answer.parsed()?;
        if !status.changed && status.confirm_by.is_none() {
            let text = if json {
                let (revision, generation) = (status.revision, status.generation);
                json!({"revision": revision, "generation": generation}).to_string() + "\n"
            } else {
                format!(
                    "nothing has changed: revision {} stays in force\n",
                    status.revision
                )
            };
            return Ok(text.into());
        }
        let comment = self.comment.as_deref().unwrap_or_default();
        let within = self.confirm_within.as_deref();
        Ok(commit(client, comment, within, None, json).await?.into())
    }
}

async fn commit(
    client: &mut Client,
    comment: &str,
    confirm_within: Option<&str>,
    etag: Option<&str>,
    json: bool,
) -> Result<String, ConfigError> {
    let mut body = json!({"comment": comment});
    if let Some(within) = confirm_within {
        body["confirm-within"] = within.into();
    }
    let call = Call::post("/api/v1/config/commit");
    let answer = client.send(&call.json(&body)?.if_match(etag)).await?;
    if json {
        return Ok(answer.body + "\n");
    }
    let Committed {
        revision,
        confirm_by,
    } = answer.parsed()?;
    Ok(match confirm_by {
        None => format!("revision {revision} is in force\n"),
        Some(deadline) => format!(
            "revision {revision} is in force, and undone at {} unless `palisade config confirm` keeps it\n",
            units::moment(deadline)
        ),
    })
}

pub(super) async fn confirm(client: &mut Client, json: bool) -> Result<String, ConfigError> {
    let answer = client.send(&Call::post("/api/v1/config/confirm")).await?;
    if json {
        return Ok(answer.body + "\n");
    }
    let Committed { revision, .. } = answer.parsed()?;
    Ok(format!("revision {revision} stays in force\n"))
}

impl Rollback {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, ConfigError> {
        let call = Call::post("/api/v1/config/rollback");
        let call = call.json(&json!({"revision": self.revision}))?;
        let answer = client.send(&call).await?;
        if !self.commit {
            return edited(&answer, json);
        }
        let comment = match &self.comment {
            Some(comment) => comment.clone(),
            None => format!("rollback to revision {}", self.revision),
        };
        let within = self.confirm_within.as_deref();
        // What is committed is that revision, whoever edits meanwhile.
        commit(client, &comment, within, answer.etag.as_deref(), json).await
    }
}

#[derive(Debug, Deserialize, serde::Serialize)]
struct Revision {
    revision: u64,
    at: Timestamp,
    author: String,
    via: String,
    comment: String,
    state: String,
    source: String,
}

impl History {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
        width: Option<usize>,
    ) -> Result<String, ConfigError> {
        let answer = client.send(&Call::get("/api/v1/config/history")).await?;
        let mut revisions: Vec<Revision> = answer.parsed()?;
        revisions.truncate(self.limit.unwrap_or(usize::MAX));
        if json {
            return Ok(crate::command::json(&revisions)?);
        }
        let mut grid = Grid::new([
            right("REVISION"),
            left("COMMITTED"),
            left("BY"),
            left("STATE"),
            wrapping("COMMENT"),
        ]);
        for revision in revisions {
            grid.row([
                revision.revision.into(),
                units::moment(revision.at).into(),
                format!("{} ({})", revision.author, revision.via).into(),
                revision.state.into(),
                revision.comment.into(),
            ]);
        }
        Ok(grid.text(width))
    }
}
