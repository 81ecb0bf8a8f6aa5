//! `palisade clear`: ends what is going on.

use clap::Subcommand;
use firewall::view::Cleared;

use crate::client::{self, Client};
use crate::command::{CommandError, block_on, counted, print};
use crate::connection::Connection;
use crate::show::{SessionFilter, sessions_path};

/// End sessions of the running appliance.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Sessions(Sessions),
}

/// Close the sessions that match: whether their next packets may open others is for the policies.
#[derive(Debug, clap::Args)]
pub(crate) struct Sessions {
    #[command(flatten)]
    filter: SessionFilter,
    /// Every session; needed where no filter is given.
    #[arg(long)]
    all: bool,
    /// Print the API's answer.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn clear(args: &Args) -> Result<(), CommandError> {
    let What::Sessions(sessions) = &args.what;
    self::sessions(sessions)
}

pub(crate) fn sessions(args: &Sessions) -> Result<(), CommandError> {
    if args.filter.is_empty() != args.all {
        return Err(CommandError::Usage(
            "say which sessions, by --address and others, or --all; not both",
        ));
    }
    let body = block_on(async {
        let mut client = Client::connect(&args.connection).await?;
        let every = ("all", args.all.then(|| "true".to_owned()));
        let parameters = args.filter.parameters().into_iter().chain([every]);
        let body = client.delete(&sessions_path(parameters)).await?;
        Ok::<_, CommandError>(body)
    })?;
    if args.json {
        return print(&(body + "\n"));
    }
    let Cleared { cleared } = client::parsed(&body)?;
    let sessions = counted(cleared, "session", "sessions");
    print(&format!("{sessions} closed\n"))
}
