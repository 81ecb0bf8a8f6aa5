//! `config edit`: the candidate in an editor.
//!
//! What was typed is never lost: where the appliance does not take it, it stays in its file, and the
//! error says which.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hyper::Method;
use tokio::process::Command;

use super::candidate::edited;
use super::life::found;
use super::{CANDIDATE, ConfigError};
use crate::client::{Call, Client, ClientError};
use crate::exit::Exit;

/// Whom a document is shown to, and who is asked about it.
pub(super) trait Person {
    /// Opens an editor on a file, and waits until it is closed.
    async fn edit(&mut self, file: &Path) -> Result<(), EditError>;

    /// Whether to go on after mistakes, which are told.
    fn again(&mut self, mistakes: &str) -> bool;
}

/// Edits the candidate as it is written.
pub(super) async fn edit(
    client: &mut Client,
    json: bool,
    person: &mut impl Person,
) -> Result<String, ConfigError> {
    let seen = client.send(&Call::get(CANDIDATE).written()).await?;
    let draft = Draft::new(&seen.body)?;
    loop {
        person.edit(draft.path()).await?;
        let text = draft.read()?;
        if text == seen.body {
            return Ok("nothing was changed\n".to_owned());
        }
        let call = Call::new(Method::PUT, CANDIDATE)
            .body("application/yaml", text)
            .if_match(seen.etag.as_deref());
        let error = match client.send(&call).await {
            Ok(answer) => return edited(&answer, json),
            Err(error) => error,
        };
        let mistakes = mistakes(&error, draft.path());
        if mistakes.is_empty() || !person.again(&mistakes) {
            return Err(EditError::NotTaken {
                kept: draft.keep(),
                error: Box::new(error),
            }
            .into());
        }
    }
}

/// What is wrong with the document itself, a line each.
fn mistakes(error: &ClientError, file: &Path) -> String {
    let name = file.to_string_lossy();
    let ClientError::Refused(refusal) = error else {
        return String::new();
    };
    refusal
        .mistakes()
        .iter()
        .map(|mistake| found(&name, mistake))
        .collect()
}

/// A file of its own, which goes unless it is kept.
#[derive(Debug)]
struct Draft(Option<PathBuf>);

impl Draft {
    fn new(text: &str) -> Result<Self, EditError> {
        let directory = env::temp_dir();
        let mut number = std::process::id();
        loop {
            let path = directory.join(format!("palisade-candidate-{number}.yaml"));
            let mut options = OpenOptions::new();
            // Nobody else's business, and no file that somebody has put there.
            match options.write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    number = number.wrapping_add(1);
                }
                file => {
                    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
                    return match written {
                        Ok(()) => Ok(Self(Some(path))),
                        Err(source) => Err(EditError::File { path, source }),
                    };
                }
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    fn read(&self) -> Result<String, EditError> {
        fs::read_to_string(self.path()).map_err(|source| EditError::File {
            path: self.path().to_owned(),
            source,
        })
    }

    fn keep(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            fs::remove_file(path).unwrap_or_default();
        }
    }
}

/// Whoever sits at this terminal.
#[derive(Debug)]
pub(super) struct Shell;

impl Person for Shell {
    async fn edit(&mut self, file: &Path) -> Result<(), EditError> {
        let editor = ["VISUAL", "EDITOR"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
            .unwrap_or_else(|| "vi".to_owned());
        // As git does: it may have arguments of its own, or be a line of shell.
        let status = Command::new("/bin/sh")
            .args(["-c", &format!("{editor} \"$@\""), &editor])
            .arg(file)
            .status()
            .await;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(EditError::Editor {
                editor,
                problem: status.to_string(),
            }),
            Err(error) => Err(EditError::Editor {
                editor,
                problem: error.to_string(),
            }),
        }
    }

    fn again(&mut self, mistakes: &str) -> bool {
        eprint!("{mistakes}");
        if !io::stdin().is_terminal() {
            return false;
        }
        eprint!("edit again? [Y/n] ");
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok_and(|bytes| bytes > 0) && !answer.trim().to_lowercase().starts_with('n')
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the editor '{editor}' did not do it ({problem}): VISUAL or EDITOR names another")]
    Editor { editor: String, problem: String },
    #[error("{error}; what you typed is in {}", kept.display())]
    NotTaken {
        kept: PathBuf,
        error: Box<ClientError>,
    },
}

impl EditError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::File { .. } | Self::Editor { .. } => Exit::Failed,
            Self::NotTaken { error, .. } => error.exit(),
        }
    }

    pub(super) fn details(&self) -> Vec<String> {
        match self {
            Self::NotTaken { error, .. } => error.details(),
            Self::File { .. } | Self::Editor { .. } => Vec::new(),
        }
    }
}
