//! `palisade chain`: service chains on this machine.
//!
//! A file describes virtual networks, services between them, and which traffic goes through which (`document`,
//! `description`); `plan` says what that is in the kernel, `lay` makes it so, and a process of its own watches over it
//! (`supervisor`). All that a chain makes bears its name, so that `sweep` finds it whatever happened.
//!
//! # Limits
//! One machine. IPv6 flows by `distribution: addresses` and all by `flows`: ICMP errors from routers in between are
//! spread by their own addresses, and may meet another instance than the flow that they are about.

mod address;
mod configuration;
mod container;
mod course;
mod description;
mod document;
mod down;
mod draw;
mod exec;
mod health;
mod lay;
mod log;
mod namespace;
mod permitted;
mod plan;
mod probe;
mod responder;
mod runner;
mod show;
mod slots;
mod state;
mod status;
mod supervisor;
mod sweep;
mod tools;
mod up;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::command::{CommandError, block_on, print};
use crate::exit::Exit;
use crate::terminal::printable;
use description::{Description, DescriptionError};
use state::{State, StateError};
use sweep::SweepError;

pub(crate) use supervisor::{Args as SuperviseArgs, SupervisorError, supervise};

/// Service chains on this machine: networks, and the services between them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check a chain's description, and the configurations of its instances.
    Check(CheckArgs),
    /// Make a chain, and wait until its instances work.
    Up(up::Args),
    /// Draw a chain, with rates and health; without a name, list the chains that are up.
    Show(show::Args),
    /// Take a chain down, whatever is left of it.
    Down(down::Args),
    /// Run a program in a network, an instance or a host of a chain.
    Exec(exec::Args),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the findings as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn chain(args: &Args) -> Result<Exit, ChainError> {
    match &args.what {
        What::Check(args) => check(args),
        What::Up(args) => block_on(up::up(args)),
        What::Show(args) => block_on(show::show(args)),
        What::Down(args) => block_on(down::down(args)),
        What::Exec(args) => block_on(exec::exec(args)),
    }
}

fn check(args: &CheckArgs) -> Result<Exit, ChainError> {
    let loaded = description::load(&args.file);
    if args.json {
        return check_json(args, loaded);
    }
    let description = loaded?;
    warn(&description);
    print(&format!(
        "{}: {}\n",
        args.file.display(),
        summary(&description)
    ))?;
    Ok(Exit::Done)
}

fn check_json(
    args: &CheckArgs,
    loaded: Result<Description, DescriptionError>,
) -> Result<Exit, ChainError> {
    let (valid, reports) = match loaded {
        Ok(description) => (true, vec![description.warnings]),
        Err(DescriptionError::Invalid { reports, .. }) => (false, reports),
        Err(error @ DescriptionError::Unreadable { .. }) => return Err(error.into()),
    };
    let findings: Vec<_> = reports
        .iter()
        .flat_map(|report| {
            report.diagnostics.iter().map(|diagnostic| {
                serde_json::json!({
                    "file": report.file,
                    "severity": diagnostic.severity,
                    "place": diagnostic.place,
                    "message": diagnostic.message,
                    "suggestion": diagnostic.suggestion,
                })
            })
        })
        .collect();
    let whole = serde_json::json!({
        "file": args.file,
        "valid": valid,
        "diagnostics": findings,
    });
    print(&format!("{whole}\n"))?;
    Ok(if valid { Exit::Done } else { Exit::WrongInput })
}

fn summary(description: &Description) -> String {
    let counted = |count: usize, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let instances = description
        .services
        .iter()
        .map(|service| service.instances.len())
        .sum();
    let mut text = format!("chain {}: ", description.name);
    let parts = [
        counted(description.networks.len(), "network", "networks"),
        counted(description.services.len(), "service", "services"),
        counted(instances, "instance", "instances"),
        counted(description.courses.len(), "policy", "policies"),
    ];
    // Writing to a `String` can't fail.
    write!(text, "{}", parts.join(", ")).unwrap_or_default();
    text
}

/// Warnings go to stderr, so that scripts read answers alone.
fn warn(description: &Description) {
    if !description.warnings.diagnostics.is_empty() {
        for line in description.warnings.to_string().lines() {
            eprintln!("{}", printable(line));
        }
    }
}

/// The chain that is meant by a file's name, or by its own.
fn named(chain: &str) -> Result<State, ChainError> {
    let path = Path::new(chain);
    if path.exists() {
        let description = description::load(path)?;
        return Ok(State::of(&description.name));
    }
    if chain.contains(['/', '.']) || chain.is_empty() {
        return Err(ChainError::NoFile(chain.to_owned()));
    }
    Ok(State::of(chain))
}

fn need_root() -> Result<(), ChainError> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(ChainError::NotRoot)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainError {
    #[error("a chain is made of network namespaces, which needs root: sudo palisade chain …")]
    NotRoot,
    #[error("there is no file {0}, and no chain has such a name")]
    NoFile(String),
    #[error(transparent)]
    Description(#[from] DescriptionError),
    #[error("{problem}")]
    Conflict { problem: String },
    #[error("{problem}")]
    Failed {
        problem: String,
        details: Vec<String>,
    },
    #[error("chain {0} is not up")]
    NotUp(String),
    #[error(
        "chain {chain}: its supervisor does not answer: {source}; 'palisade chain down {chain}' removes what is left"
    )]
    Unanswered { chain: String, source: io::Error },
    #[error("chain {chain} has no part named '{part}'; it has: {known}")]
    NoPart {
        chain: String,
        part: String,
        known: String,
    },
    #[error("cannot run {program}: {source}")]
    Exec { program: String, source: io::Error },
    #[error("cannot start the chain's supervisor: {0}")]
    Supervisor(io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl ChainError {
    fn failed(problem: impl Into<String>) -> Self {
        Self::Failed {
            problem: problem.into(),
            details: Vec::new(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoFile(_) | Self::Description(_) | Self::NoPart { .. } => Exit::WrongInput,
            Self::Conflict { .. } => Exit::Conflict,
            Self::NotUp(_) | Self::Unanswered { .. } => Exit::Unreachable,
            Self::NotRoot => Exit::NotAllowed,
            Self::Command(error) => error.exit(),
            Self::Failed { .. }
            | Self::Exec { .. }
            | Self::Supervisor(_)
            | Self::State(_)
            | Self::Sweep(_) => Exit::Failed,
        }
    }

    /// Findings are lines of their own.
    pub(crate) fn details(&self) -> Vec<String> {
        match self {
            Self::Command(error) => error.details(),
            Self::Description(error) => error.details(),
            Self::Failed { details, .. } => details.clone(),
            Self::NotRoot
            | Self::NoFile(_)
            | Self::Conflict { .. }
            | Self::NotUp(_)
            | Self::Unanswered { .. }
            | Self::NoPart { .. }
            | Self::Exec { .. }
            | Self::Supervisor(_)
            | Self::State(_)
            | Self::Sweep(_) => Vec::new(),
        }
    }
}
