//! `palisade monitor`: what the appliance does, while it does it.
//!
//! A stream that ends, because the appliance restarts or the network is gone, is taken up again behind the last
//! event that was seen. Ctrl-C ends it, and so does whoever reads the output and has seen enough.

mod events;
mod rates;

use std::io::{self, Write};
use std::time::Duration;

use clap::Subcommand;
use tokio::signal::ctrl_c;
use tokio::time::sleep;

use crate::client::{Call, Client, ClientError, Event};
use crate::command::{CommandError, block_on};
use crate::connection::Connection;
use crate::terminal::printable;

/// Follow what the running appliance does, until Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Print a line of JSON for each, as the API sends it.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum What {
    Events(events::Args),
    Rates(rates::Args),
}

pub(crate) fn monitor(args: &Args) -> Result<(), CommandError> {
    let stream = Stream {
        connection: &args.connection,
        path: match &args.what {
            What::Events(events) => events.path(),
            What::Rates(_) => rates::PATH.to_owned(),
        },
        patience: PATIENCE,
    };
    let mut output = io::stdout();
    block_on(async {
        let following = async {
            match &args.what {
                What::Events(_) => {
                    stream
                        .follow(events::Lines::new(args.json), &mut output)
                        .await
                }
                What::Rates(rates) => stream.follow(rates.screen(args.json), &mut output).await,
            }
        };
        tokio::select! {
            ended = following => ended,
            interrupted = ctrl_c() => interrupted.map_err(CommandError::Runtime),
        }
    })
}

/// Between two attempts to come back: from the first to the last.
const PATIENCE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];

/// Turns what comes into text.
trait Display {
    /// What is to be printed of an event; nothing, where it is empty.
    fn show(&mut self, event: &Event) -> Result<String, ClientError>;

    /// Something else was printed: what stands above is not this display's.
    fn interrupted(&mut self) {}
}

struct Stream<'a> {
    connection: &'a Connection,
    path: String,
    patience: [Duration; 2],
}

/// How far it has come.
#[derive(Debug, Default)]
struct Progress {
    /// There was a stream.
    begun: bool,
    /// It was said that there is none at present.
    gone: bool,
    last_id: Option<String>,
}

impl Stream<'_> {
    /// Until the output is closed, or the appliance refuses.
    async fn follow(
        &self,
        mut display: impl Display,
        output: &mut impl Write,
    ) -> Result<(), CommandError> {
        let [first, longest] = self.patience;
        let mut progress = Progress::default();
        let mut wait = first;
        loop {
            let why = match self.once(&mut display, output, &mut progress).await {
                Ok(Ended::ByReader) => return Ok(()),
                Ok(Ended::ByAppliance) => "it ended the stream".to_owned(),
                // What was never there is not waited for.
                Err(CommandError::Client(error)) if progress.begun && error.is_passing() => {
                    error.to_string()
                }
                Err(error) => return Err(error),
            };
            if !progress.gone {
                eprintln!(
                    "the appliance is gone ({}); waiting for it",
                    printable(&why)
                );
                display.interrupted();
                (progress.gone, wait) = (true, first);
            }
            sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }

    async fn once(
        &self,
        display: &mut impl Display,
        output: &mut impl Write,
        progress: &mut Progress,
    ) -> Result<Ended, CommandError> {
        let client = Client::connect(self.connection).await?;
        let call = Call::get(&self.path).after_event(progress.last_id.as_deref());
        let mut events = client.events(&call).await?;
        progress.begun = true;
        if std::mem::take(&mut progress.gone) {
            eprintln!("the appliance is back");
        }
        while let Some(event) = events.next().await? {
            progress.last_id.clone_from(&event.id);
            let text = display.show(&event)?;
            match output
                .write_all(text.as_bytes())
                .and_then(|()| output.flush())
            {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(Ended::ByReader);
                }
                outcome => outcome.map_err(CommandError::Output)?,
            }
        }
        Ok(Ended::ByAppliance)
    }
}

enum Ended {
    ByReader,
    ByAppliance,
}

#[cfg(test)]
mod tests;
