//! `palisade chain exec`: a program of this machine in the network of a part of the chain.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::status::{self, Status};
use super::{ChainError, named, need_root};
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A chain's file, or its name.
    #[arg(value_name = "CHAIN")]
    chain: String,
    /// A host, an instance (`firewall.1`) or a network, where its router is.
    #[arg(value_name = "PART")]
    part: String,
    /// What to run there.
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

/// Returns only where it can't.
pub(super) async fn exec(args: &Args) -> Result<Exit, ChainError> {
    let state = named(&args.chain)?;
    need_root()?;
    let status = status::of(&state).await?;
    let parts = parts(&status);
    let Some((_, namespace)) = parts.iter().find(|(name, _)| *name == args.part) else {
        return Err(ChainError::NoPart {
            chain: status.name.clone(),
            part: args.part.clone(),
            known: parts
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", "),
        });
    };
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", namespace])
        .args(&args.command);
    Err(ChainError::Exec {
        program: "ip netns exec".to_owned(),
        source: command.exec(),
    })
}

fn parts(status: &Status) -> Vec<(&str, &str)> {
    let networks = status
        .networks
        .iter()
        .map(|part| (&part.name, &part.namespace));
    let hosts = status
        .hosts
        .iter()
        .map(|part| (&part.name, &part.namespace));
    let instances = status
        .services
        .iter()
        .flat_map(|service| &service.instances);
    let instances = instances.map(|part| (&part.name, &part.namespace));
    hosts
        .chain(instances)
        .chain(networks)
        .map(|(name, namespace)| (name.as_str(), namespace.as_str()))
        .collect()
}
