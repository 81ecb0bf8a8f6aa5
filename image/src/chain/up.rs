//! `palisade chain up`: starts the supervisor, and waits for its word.

use std::env;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::description::{self, Description};
use super::state::{Standing, State};
use super::supervisor::SEPARATOR;
use super::{ChainError, need_root, status, sweep, warn};
use crate::command::print;
use crate::exit::Exit;

/// After which it says that it is waiting.
const SLOW: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn up(args: &Args) -> Result<Exit, ChainError> {
    let description = description::load(&args.file)?;
    warn(&description);
    need_root()?;
    let state = State::of(&description.name);
    let name = &description.name;
    match state.standing()? {
        Standing::Supervised(_) if is_the_same(&state, &description, &args.file) => {
            print(&format!("chain {name} is up already\n"))?;
            return Ok(Exit::Done);
        }
        Standing::Supervised(_) => {
            return Err(ChainError::Conflict {
                problem: format!(
                    "chain {name} is up, as another description had it: first 'palisade chain down {name}'"
                ),
            });
        }
        Standing::Absent if sweep::namespaces(name).is_empty() => {}
        Standing::Absent | Standing::Abandoned => {
            return Err(ChainError::Conflict {
                problem: format!(
                    "chain {name} was left half-way when its supervisor ended: 'palisade chain down {name}' removes what is left"
                ),
            });
        }
    }
    prepare(&state, &args.file)?;
    start(&state).await?;
    print(&format!("chain {name} is up: palisade chain show {name}\n"))?;
    Ok(Exit::Done)
}

/// Whether a file says what is up already, with the configurations that it refers to.
fn is_the_same(state: &State, description: &Description, file: &Path) -> bool {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let same_text = read(&state.description()).is_some_and(|text| read(file) == Some(text));
    let instances = description
        .services
        .iter()
        .filter(|service| service.is_palisade())
        .flat_map(|service| &service.instances);
    same_text
        && instances.into_iter().all(|instance| {
            let path = state
                .instance_directory(&instance.name)
                .join("palisade.yaml");
            read(&path).as_deref() == Some(instance.configuration.as_str())
        })
}

fn prepare(state: &State, file: &Path) -> Result<(), ChainError> {
    state.make(&state.file(""))?;
    let text =
        fs::read_to_string(file).map_err(|source| description::DescriptionError::Unreadable {
            path: file.to_owned(),
            source,
        })?;
    state.write(&state.description(), &text)?;
    let absolute = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    state.write(&state.source(), &absolute.display().to_string())?;
    Ok(())
}

async fn start(state: &State) -> Result<(), ChainError> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(state.log())
        .map_err(ChainError::Supervisor)?;
    let program = env::current_exe().map_err(ChainError::Supervisor)?;
    let mut supervisor = Command::new(program)
        .arg("chain-supervise")
        .arg(state.chain())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(ChainError::Supervisor)?;
    let Some(stdout) = supervisor.stdout.take() else {
        return Err(ChainError::failed("the supervisor says nothing"));
    };
    let mut word = String::new();
    let mut reader = BufReader::new(stdout);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut waiting = std::pin::pin!(tokio::time::sleep(SLOW));
    let mut said = false;
    loop {
        tokio::select! {
            read = reader.read_line(&mut word) => {
                read.map_err(ChainError::Supervisor)?;
                break;
            }
            _ = &mut interrupted => {
                super::down::stop(state).await?;
                return Err(ChainError::failed("interrupted: the chain is down again"));
            }
            () = &mut waiting, if !said => {
                said = true;
                eprintln!("waiting for the instances to work");
            }
        }
    }
    if word.is_empty() {
        // It has ended without a word.
        let end = supervisor.wait().await.map_err(ChainError::Supervisor)?;
        return Err(ChainError::failed(format!(
            "the supervisor ended: {end}; see {}",
            state.log().display()
        )));
    }
    verdict(state, &word, &mut supervisor).await
}

/// Nothing to say is good news. What else is said is about a chain that failed, or one that is up and not well.
async fn verdict(state: &State, word: &str, supervisor: &mut Child) -> Result<(), ChainError> {
    let details: Vec<_> = word
        .trim_end()
        .split(SEPARATOR)
        .map(str::to_owned)
        .collect();
    if word.trim_end().is_empty() {
        return Ok(());
    }
    let name = state.chain();
    if status::ask(&state.socket()).await.is_ok() {
        return Err(ChainError::Failed {
            problem: format!(
                "chain {name} is up, but not all of its instances work; 'palisade chain down {name}' takes it down, {} says more",
                state.log().display(),
            ),
            details,
        });
    }
    supervisor.wait().await.map_err(ChainError::Supervisor)?;
    Err(ChainError::Failed {
        problem: format!("chain {name} can't be made, and nothing of it is left:"),
        details,
    })
}
