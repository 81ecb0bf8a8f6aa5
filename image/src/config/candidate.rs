//! What makes the candidate another: `load`, `set`, `delete`, `discard`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path as FilePath, PathBuf};

use hyper::Method;
use json_patch::Patch;
use serde::Deserialize;
use serde_json::Value;
use web_ui::Mistake;

use super::change::{self, Change};
use super::life::found;
use super::path::Path;
use super::{CANDIDATE, ConfigError, merge};
use crate::client::{Answer, Call, Client};
use crate::exit::Exit;
use crate::order::Move;

/// Make a document the candidate.
///
/// FILE is YAML, or JSON where its name ends with .json; `-` is standard input.
#[derive(Debug, clap::Args)]
pub(super) struct Load {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Put it on top of the candidate: maps are merged, named things changed or added, and all else
    /// stays. What FILE does not name is not deleted.
    #[arg(long)]
    merge: bool,
}

/// Set values in the candidate.
///
/// PATH goes down by keys and names: `policies.web-out.action`, `nat.source[0].translate`,
/// `interfaces.left.addresses[+]` for one more at the end of a list, `routes["0.0.0.0/0"].via` where a
/// name has dots. VALUE is YAML: `permit`, `[http, https]`, `{pool: public}`. A name that a list does not
/// have yet becomes a new entry at its end. Several PATHs and VALUEs are one change.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    #[arg(required = true, num_args = 2.., value_names = ["PATH", "VALUE"])]
    pairs: Vec<String>,
}

/// Delete values from the candidate; PATH as for `config set`. Several are one change.
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<Path>,
}

/// Put entries of a list elsewhere in its order, where the order means something.
#[derive(Debug, clap::Args)]
pub(super) struct Reorder {
    #[arg(value_name = "LIST", value_parser = ["policies", "routes", "nat.source", "nat.destination", "nat.static"])]
    list: String,
    #[command(flatten)]
    order: Move,
}

/// What an edit made of the candidate.
#[derive(Debug, Deserialize)]
struct Edited {
    changed: bool,
    #[serde(default)]
    warnings: Vec<Mistake>,
}

impl Load {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, ConfigError> {
        let document = Document::read(&self.file)?;
        if !self.merge {
            let call = Call::new(Method::PUT, CANDIDATE);
            let call = call.body(document.media_type, document.text);
            return edited(&client.send(&call).await?, json);
        }
        let new = document.value()?;
        change(client, json, |old| Ok(merge::operations(old, &new))).await
    }
}

impl Set {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, ConfigError> {
        let changes: Vec<Change> = self
            .pairs
            .chunks(2)
            .map(|pair| match pair {
                [path, value] => Ok(Change::Set(path.parse()?, yaml(value)?)),
                [path, ..] => Err(InputError::NoValue(path.clone()).into()),
                [] => Err(InputError::NoValue(String::new()).into()),
            })
            .collect::<Result<_, ConfigError>>()?;
        change(client, json, |old| Ok(change::operations(old, &changes)?)).await
    }
}

impl Delete {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, ConfigError> {
        let changes: Vec<Change> = self.paths.iter().cloned().map(Change::Delete).collect();
        change(client, json, |old| Ok(change::operations(old, &changes)?)).await
    }
}

impl Reorder {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, ConfigError> {
        let collection = format!("/api/v1/config/{}", self.list.replace('.', "/"));
        let body = self.order.within(&collection, client).await?;
        edited(&Answer { etag: None, body }, json)
    }
}

pub(super) async fn discard(client: &mut Client, json: bool) -> Result<String, ConfigError> {
    let call = Call::new(Method::DELETE, CANDIDATE);
    edited(&client.send(&call).await?, json)
}

/// Changes the candidate by what `make` says of it. Positions are those of the candidate that was looked at: where
/// somebody else was faster, it is looked at again.
async fn change(
    client: &mut Client,
    json: bool,
    make: impl Fn(&Value) -> Result<Patch, ConfigError>,
) -> Result<String, ConfigError> {
    const ATTEMPTS: usize = 8;

    let mut attempt = 1;
    loop {
        let seen = client.send(&Call::get(CANDIDATE)).await?;
        let patch = make(&seen.parsed()?)?;
        let call = Call::new(Method::PATCH, CANDIDATE)
            .json(&patch)?
            .media_type("application/json-patch+json")
            .if_match(seen.etag.as_deref());
        match client.send(&call).await {
            Err(error) if error.exit() == Exit::Conflict && attempt < ATTEMPTS => attempt += 1,
            answer => return edited(&answer?, json),
        }
    }
}

/// What is said of an edit that was made.
pub(super) fn edited(answer: &Answer, json: bool) -> Result<String, ConfigError> {
    if json {
        return Ok(format!("{}\n", answer.body));
    }
    let edited: Edited = answer.parsed()?;
    let mut text: String = edited
        .warnings
        .iter()
        .map(|warning| found("candidate", warning))
        .collect();
    text.push_str(if edited.changed {
        "the candidate has changes: `palisade config diff` shows them, `palisade config commit` puts them in force\n"
    } else {
        "the candidate is what is in force\n"
    });
    Ok(text)
}

/// A document that was given.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) text: String,
    pub(super) media_type: &'static str,
}

impl Document {
    /// From a file, or standard input for `-`.
    pub(super) fn read(file: &FilePath) -> Result<Self, InputError> {
        let failed = |source| InputError::File {
            file: file.to_owned(),
            source,
        };
        let text = if file == FilePath::new("-") {
            bounded(io::stdin().lock())
        } else {
            File::open(file).and_then(bounded)
        };
        let is_json = file
            .extension()
            .is_some_and(|extension| extension == "json");
        Ok(Self {
            text: text.map_err(failed)?,
            media_type: if is_json {
                "application/json"
            } else {
                "application/yaml"
            },
        })
    }

    fn value(&self) -> Result<Value, InputError> {
        yaml(&self.text)
    }
}

fn bounded(input: impl Read) -> io::Result<String> {
    let most = firewall::config::MAX_BYTES as u64;
    let mut text = String::new();
    input.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(text)
}

/// A value as the appliance reads it.
fn yaml(text: &str) -> Result<Value, InputError> {
    firewall::config::to_json(text).ok_or_else(|| InputError::NoYaml(excerpt(text)))
}

fn excerpt(text: &str) -> String {
    const CHARACTERS: usize = 40;

    let mut excerpt: String = text.chars().take(CHARACTERS).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot read {}: {source}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("'{0}' can't be read as YAML")]
    NoYaml(String),
    #[error("there is no value for {0}")]
    NoValue(String),
}
