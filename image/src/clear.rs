//! `palisade clear`: ends what is going on.

use std::path::PathBuf;

use clap::Subcommand;
use firewall::view::Cleared;

use crate::client::{self, Client, ClientError};
use crate::show::{SessionFilter, sessions_path};

/// End sessions of the running appliance.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Where the appliance serves its API.
    #[arg(long, global = true, value_name = "PATH", default_value = crate::SOCKET)]
    socket: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Close the sessions that match: whether their next packets may open others is for the policies.
    Sessions {
        #[command(flatten)]
        filter: SessionFilter,
        /// Every session; needed where no filter is given.
        #[arg(long)]
        all: bool,
    },
}

pub(crate) fn clear(args: &Args) -> Result<(), ClearError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClearError::Runtime)?;
    let What::Sessions { filter, all } = &args.what;
    if filter.is_empty() != *all {
        return Err(ClearError::Which);
    }
    let body = runtime.block_on(async {
        let mut client = Client::connect(&args.socket).await?;
        let every = ("all", all.then(|| "true".to_owned()));
        let parameters = filter.parameters().into_iter().chain([every]);
        client.delete(&sessions_path(parameters)).await
    })?;
    let Cleared { cleared } = client::parsed(&body)?;
    let sessions = if cleared == 1 { "session" } else { "sessions" };
    println!("{cleared} {sessions} closed");
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClearError {
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("say which sessions, by --address and others, or --all; not both")]
    Which,
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl ClearError {
    pub(crate) fn is_wrong_input(&self) -> bool {
        match self {
            Self::Which => true,
            Self::Client(error) => error.is_wrong_input(),
            Self::Runtime(_) => false,
        }
    }
}
