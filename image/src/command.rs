//! What the commands that talk to an appliance have in common.

use std::future::Future;
use std::io::{self, Write};

use serde::Serialize;

use crate::client::ClientError;
use crate::exit::Exit;
use crate::secret::SecretError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write the answer: {0}")]
    Output(io::Error),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("there is no session {0} (any more)")]
    NoSession(u64),
    /// Arguments that clap can't judge.
    #[error("{0}")]
    Usage(&'static str),
}

impl CommandError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => error.exit(),
            Self::Usage(_) | Self::NoSession(_) | Self::Secret(_) => Exit::WrongInput,
            Self::Runtime(_) | Self::Output(_) => Exit::Failed,
        }
    }

    /// More lines than the one that the error itself is.
    pub(crate) fn details(&self) -> Vec<String> {
        match self {
            Self::Client(error) => error.details(),
            Self::Secret(_)
            | Self::Usage(_)
            | Self::NoSession(_)
            | Self::Runtime(_)
            | Self::Output(_) => Vec::new(),
        }
    }
}

/// Runs what a command has to ask.
pub(crate) fn block_on<T, E: From<CommandError>>(
    asking: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    runtime.block_on(asking)
}

/// Writes to standard output. Whoever reads may have seen enough: `palisade show sessions | head`.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(CommandError::Output),
    }
}

/// One line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<String, CommandError> {
    let text = serde_json::to_string(value).map_err(|error| ClientError::Body(error.into()))?;
    Ok(text + "\n")
}

/// `1 policy`, `2 policies`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
