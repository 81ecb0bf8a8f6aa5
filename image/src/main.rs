//! `palisade`: the appliance and its command line, in one binary.
//!
//! One file per subcommand. Each returns its own error; here it becomes one line on stderr and
//! an exit code: 0 done, 1 it failed while running, 2 the configuration or the usage is wrong
//! (as clap exits too).

mod check;
mod clear;
mod client;
mod lab;
mod logging;
mod management;
mod run;
mod show;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Where `run` serves the API and the other subcommands find it.
const SOCKET: &str = "/run/palisade/api.sock";

/// A firewall appliance: stateful filtering and NAT for virtual networks.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Show(show::Args),
    Clear(clear::Args),
    Lab(lab::Args),
    #[command(hide = true)]
    LabServer(lab::ServerArgs),
    #[command(hide = true)]
    LabClient(lab::ClientArgs),
}

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", terminal::printable(&failure.to_string()));
            failure.exit_code()
        }
    }
}

fn obey(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(&args)?,
        Command::Check(args) => check::check(&args)?,
        Command::Show(args) => show::show(&args)?,
        Command::Clear(args) => clear::clear(&args)?,
        Command::Lab(args) => lab::lab(&args)?,
        Command::LabServer(args) => lab::serve(&args)?,
        Command::LabClient(args) => lab::visit(&args)?,
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Run(#[from] run::RunError),
    #[error(transparent)]
    Check(#[from] check::CheckError),
    #[error(transparent)]
    Show(#[from] show::ShowError),
    #[error(transparent)]
    Clear(#[from] clear::ClearError),
    #[error(transparent)]
    Lab(#[from] lab::LabError),
    #[error(transparent)]
    LabServer(#[from] lab::ServerError),
    #[error(transparent)]
    LabClient(#[from] lab::ClientError),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        let wrong_input = match self {
            Self::Run(error) => error.is_wrong_input(),
            Self::Check(error) => error.is_wrong_input(),
            Self::Show(error) => error.is_wrong_input(),
            Self::Clear(error) => error.is_wrong_input(),
            Self::Lab(_) | Self::LabServer(_) | Self::LabClient(_) => false,
        };
        ExitCode::from(if wrong_input { 2 } else { 1 })
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
        assert_eq!(args.config.to_str(), Some("/etc/palisade/palisade.yaml"));
        assert_eq!(args.state_dir.to_str(), Some("/var/lib/palisade"));
        assert_eq!(args.socket.to_str(), Some("/run/palisade/api.sock"));
    }
}
