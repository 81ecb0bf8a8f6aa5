//! `palisade health`: whether the appliance enforces its configuration, for a container's HEALTHCHECK.

use std::time::Duration;

use tokio::time::timeout;

use crate::client::Client;
use crate::command::{CommandError, block_on, print};
use crate::connection::Connection;
use crate::exit::Exit;

/// Shorter than engines wait, so that the reason is told and not only that there is one.
const PATIENCE: Duration = Duration::from_secs(3);

/// Say whether the datapath enforces the committed configuration; exits with 0 or 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
}

/// Docker reserves every status but 0 and 1.
pub(crate) fn health(args: &Args) -> Result<Exit, CommandError> {
    let asked = block_on(async {
        let ask = async { Client::connect(&args.connection).await?.readiness().await };
        Ok::<_, CommandError>(timeout(PATIENCE, ask).await)
    })?;
    let (said, exit) = match asked {
        Ok(Ok(readiness)) if readiness.ready => {
            let mut said = format!("ready: generation {} is enforced", readiness.generation);
            for waiting in &readiness.waiting {
                said += &format!("; {}: {}", waiting.interface, waiting.reason);
            }
            for advice in &readiness.advice {
                said += &format!("; {advice}");
            }
            (said, Exit::Done)
        }
        Ok(Ok(readiness)) => (
            format!("not ready: {}", readiness.missing.join("; ")),
            Exit::Failed,
        ),
        Ok(Err(error)) => (format!("not ready: {error}"), Exit::Failed),
        Err(_) => (
            format!("not ready: no answer in {} seconds", PATIENCE.as_secs()),
            Exit::Failed,
        ),
    };
    print(&(crate::terminal::printable(&said).to_string() + "\n"))?;
    Ok(exit)
}
