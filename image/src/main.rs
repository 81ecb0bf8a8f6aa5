//! `palisade`: the appliance and its command line, in one binary.
//!
//! One file per subcommand. Each returns its own error; here it becomes a line on stderr, with a line
//! for each place that is wrong, and an exit code (`exit`).

mod again;
mod chain;
mod check;
mod clear;
mod client;
mod command;
mod completion;
mod config;
mod connection;
mod enforcer;
mod environment;
mod exit;
mod health;
mod inspect;
mod lab;
mod logging;
mod management;
mod monitor;
mod order;
mod policy;
mod privileges;
mod processors;
mod reaper;
mod run;
mod secret;
mod session;
mod show;
mod signatures;
mod start;
mod terminal;
#[cfg(test)]
mod testing;
mod token;
mod user;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use command::CommandError;
use exit::Exit;
use terminal::printable;

/// Where `run` serves the API and the other subcommands find it.
const SOCKET: &str = "/run/palisade/api.sock";

/// A firewall appliance: stateful filtering and NAT for virtual networks.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, arg_required_else_help = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Health(health::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    Signatures(signatures::Args),
    Show(show::Args),
    Clear(clear::Args),
    Session(session::Args),
    Policy(policy::Args),
    Config(config::Args),
    Monitor(monitor::Args),
    User(user::Args),
    Token(token::Args),
    Completion(completion::Args),
    Lab(lab::Args),
    Chain(chain::Args),
    #[command(hide = true)]
    ChainSupervise(chain::SuperviseArgs),
    #[command(hide = true)]
    LabServer(lab::ServerArgs),
    #[command(hide = true)]
    LabClient(lab::ClientArgs),
}

fn main() -> ExitCode {
    let begun = Instant::now();
    let exit = match obey(Cli::parse().command, begun) {
        Ok(exit) => exit,
        // The log has it.
        Err(Failure::Run(run::RunError::Logged(exit))) => exit,
        Err(failure) => {
            eprintln!("error: {}", printable(&failure.to_string()));
            for line in failure.details() {
                eprintln!("  {}", printable(&line));
            }
            failure.exit()
        }
    };
    exit.into()
}

fn obey(command: Command, begun: Instant) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(&args, begun)?,
        Command::Health(args) => return Ok(health::health(&args)?),
        Command::Check(args) => check::check(&args)?,
        Command::Inspect(args) => return Ok(inspect::inspect(&args)?),
        Command::Signatures(args) => signatures::signatures(&args)?,
        Command::Show(args) => show::show(&args)?,
        Command::Clear(args) => clear::clear(&args)?,
        Command::Session(args) => session::session(&args)?,
        Command::Policy(args) => policy::policy(&args)?,
        Command::Config(args) => return Ok(config::config(&args)?),
        Command::Monitor(args) => monitor::monitor(&args)?,
        Command::User(args) => user::user(&args)?,
        Command::Token(args) => token::token(&args)?,
        Command::Completion(args) => completion::completion::<Cli>(&args)?,
        Command::Lab(args) => lab::lab(&args)?,
        Command::Chain(args) => return Ok(chain::chain(&args)?),
        Command::ChainSupervise(args) => chain::supervise(&args)?,
        Command::LabServer(args) => lab::serve(&args)?,
        Command::LabClient(args) => lab::visit(&args)?,
    }
    Ok(Exit::Done)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Run(#[from] run::RunError),
    #[error(transparent)]
    Check(#[from] check::CheckError),
    #[error(transparent)]
    Inspect(#[from] inspect::InspectError),
    #[error(transparent)]
    Signatures(#[from] signatures::SignaturesError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    Lab(#[from] lab::LabError),
    #[error(transparent)]
    Chain(#[from] chain::ChainError),
    #[error(transparent)]
    Supervisor(#[from] chain::SupervisorError),
    #[error(transparent)]
    LabServer(#[from] lab::ServerError),
    #[error(transparent)]
    LabClient(#[from] lab::ClientError),
}

impl Failure {
    fn exit(&self) -> Exit {
        let wrong_input = match self {
            Self::Command(error) => return error.exit(),
            Self::Config(error) => return error.exit(),
            Self::Run(error) => return error.exit(),
            Self::Chain(error) => return error.exit(),
            Self::Signatures(error) => return error.exit(),
            Self::Check(error) => error.is_wrong_input(),
            Self::Inspect(error) => error.is_wrong_input(),
            Self::Lab(_) | Self::Supervisor(_) | Self::LabServer(_) | Self::LabClient(_) => false,
        };
        if wrong_input {
            Exit::WrongInput
        } else {
            Exit::Failed
        }
    }

    /// More lines than the one that the error itself is.
    fn details(&self) -> Vec<String> {
        match self {
            Self::Command(error) => error.details(),
            Self::Config(error) => error.details(),
            Self::Inspect(error) => error.details(),
            Self::Run(error) => error.details(),
            Self::Chain(error) => error.details(),
            Self::Check(_)
            | Self::Signatures(_)
            | Self::Lab(_)
            | Self::Supervisor(_)
            | Self::LabServer(_)
            | Self::LabClient(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_appliance() {
        let Command::Run(args) = Cli::parse_from(["palisade", "run"]).command else {
            panic!("run")
        };
        assert_eq!(args.config, None);
        assert_eq!(args.state_dir.to_str(), Some("/var/lib/palisade"));
        assert_eq!(args.socket.to_str(), Some("/run/palisade/api.sock"));
    }
}
