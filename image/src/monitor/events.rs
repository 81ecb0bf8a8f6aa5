//! `palisade monitor events`: a line for each as it happens.

use serde::Deserialize;

use super::Display;
use crate::client::{ClientError, Event, parsed, with_query};
use crate::show::events::{self, Filter};

/// Sessions, denials, commits, logins and alarms, as they happen; `show events` has those of the past.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: Filter,
}

impl Args {
    pub(super) fn path(&self) -> String {
        with_query("/api/v1/events/stream", self.filter.parameters())
    }
}

#[derive(Debug)]
pub(super) struct Lines {
    json: bool,
}

impl Lines {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }
}

/// Told in place of events that can't be had any more.
#[derive(Debug, Deserialize)]
struct Lost {
    count: u64,
}

impl Display for Lines {
    fn show(&mut self, event: &Event) -> Result<String, ClientError> {
        if self.json {
            return Ok(event.data.clone() + "\n");
        }
        let line = if event.kind == "lost" {
            events::lost(parsed::<Lost>(&event.data)?.count)
        } else {
            parsed::<events::Event>(&event.data)?.line()
        };
        Ok(line + "\n")
    }
}
