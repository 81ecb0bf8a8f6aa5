//! `palisade config`: the candidate, and what becomes of it.
//!
//! Everything is said and done by the appliance; here paths and files become requests, and answers
//! become text. The candidate is the appliance's, not the shell's: whoever else edits it at the same
//! time edits the same one.

mod candidate;
mod change;
mod compare;
mod edit;
mod life;
mod merge;
mod path;

use clap::Subcommand;

use crate::client::{Client, ClientError};
use crate::command::{CommandError, block_on, print};
use crate::connection::Connection;
use crate::exit::Exit;
use crate::terminal;

const CANDIDATE: &str = "/api/v1/config/candidate";

/// Change the configuration: edit the candidate, compare, check and commit it.
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
    /// Which configuration is in force, and whether the candidate is another.
    Status,
    Show(compare::Show),
    Export(compare::Export),
    Load(candidate::Load),
    Edit,
    Set(candidate::Set),
    Delete(candidate::Delete),
    Move(candidate::Reorder),
    /// Throw the candidate's changes away.
    Discard,
    Diff(compare::Diff),
    Check(life::Check),
    Commit(life::Commit),
    /// Keep what was committed with --confirm-within.
    Confirm,
    Rollback(life::Rollback),
    History(life::History),
}

pub(crate) fn config(args: &Args) -> Result<Exit, ConfigError> {
    let told = block_on(answer(args, terminal::width()))?;
    print(&told.text)?;
    Ok(told.exit)
}

/// What a command prints, and how it ends.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    text: String,
    exit: Exit,
}

impl From<String> for Told {
    fn from(text: String) -> Self {
        Self {
            text,
            exit: Exit::Done,
        }
    }
}

async fn answer(args: &Args, width: Option<usize>) -> Result<Told, ConfigError> {
    let mut client = Client::connect(&args.connection).await?;
    let (client, json) = (&mut client, args.json);
    Ok(match &args.what {
        What::Status => life::status(client, json).await?.into(),
        What::Show(show) => show.answer(client, json).await?.into(),
        What::Export(export) => export.answer(client, json).await?.into(),
        What::Load(load) => load.answer(client, json).await?.into(),
        What::Edit => edit::edit(client, json, &mut edit::Shell).await?.into(),
        What::Set(set) => set.answer(client, json).await?.into(),
        What::Delete(delete) => delete.answer(client, json).await?.into(),
        What::Move(reorder) => reorder.answer(client, json).await?.into(),
        What::Discard => candidate::discard(client, json).await?.into(),
        What::Diff(diff) => diff.answer(client, json).await?,
        What::Check(check) => check.answer(client, json).await?,
        What::Commit(commit) => commit.answer(client, json).await?,
        What::Confirm => life::confirm(client, json).await?.into(),
        What::Rollback(rollback) => rollback.answer(client, json).await?.into(),
        What::History(history) => history.answer(client, json, width).await?.into(),
    })
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Path(#[from] path::PathError),
    #[error(transparent)]
    Change(#[from] change::ChangeError),
    #[error(transparent)]
    Input(#[from] candidate::InputError),
    #[error(transparent)]
    Edit(#[from] edit::EditError),
}

impl From<ClientError> for ConfigError {
    fn from(error: ClientError) -> Self {
        Self::Command(error.into())
    }
}

impl ConfigError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Command(error) => error.exit(),
            Self::Path(_) | Self::Change(_) | Self::Input(_) => Exit::WrongInput,
            Self::Edit(error) => error.exit(),
        }
    }

    /// More lines than the one that the error itself is.
    pub(crate) fn details(&self) -> Vec<String> {
        match self {
            Self::Command(error) => error.details(),
            Self::Edit(error) => error.details(),
            Self::Path(_) | Self::Change(_) | Self::Input(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
