//! The appliance's log: to standard output, as text for people or JSON for collectors.

use std::env;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line an event, for people.
    Text,
    /// One JSON object an event, for collectors.
    Json,
}

/// Starts the log of this process, at level `info` where `filter` does not say otherwise. Legal once.
///
/// # Errors
/// `filter` can't be understood.
pub(crate) fn start(format: Format, filter: Option<&str>) -> Result<(), ParseError> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(filter.unwrap_or_default())?;
    let log = fmt().with_env_filter(filter).with_writer(io::stdout);
    match format {
        Format::Text => {
            let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
            log.with_target(false).with_ansi(colours).init();
        }
        Format::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .init(),
    }
    Ok(())
}
