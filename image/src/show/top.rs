//! `palisade show top`: whose sessions carry most.

use firewall::view::{TopBy, TopSessions};

use super::grid::{Grid, left, right};
use super::sessions::Filter;
use super::units;
use crate::client::with_query;

/// Top talkers: whose sessions have carried most, of those that are open.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Added up by the initiator's address, by the one that it aimed at, by application or by policy.
    #[arg(long, value_enum, default_value_t)]
    by: By,
    #[command(flatten)]
    filter: Filter,
    /// How many, 1 to 1000.
    #[arg(long, default_value_t = 10)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum By {
    #[default]
    Source,
    Destination,
    Application,
    Policy,
}

pub(super) fn path(args: &Args) -> String {
    let by = match args.by {
        By::Source => "source",
        By::Destination => "destination",
        By::Application => "application",
        By::Policy => "policy",
    };
    let own = [
        ("by", Some(by.to_owned())),
        ("limit", Some(args.limit.to_string())),
    ];
    with_query(
        "sessions/top",
        args.filter.parameters().into_iter().chain(own),
    )
}

pub(super) fn table(top: &TopSessions, width: Option<usize>) -> Vec<String> {
    if top.top.is_empty() {
        return vec![match top.total {
            0 => "no sessions".to_owned(),
            total => format!("no sessions match; {total} in the table"),
        }];
    }
    let whose = match top.by {
        TopBy::Source => "SOURCE",
        TopBy::Destination => "DESTINATION",
        TopBy::Application => "APPLICATION",
        TopBy::Policy => "POLICY",
    };
    let mut grid = Grid::new([
        left(whose),
        right("SESSIONS"),
        right("PACKETS"),
        right("BYTES"),
    ]);
    for one in &top.top {
        grid.row([
            one.name.as_deref().into(),
            units::count(one.sessions).into(),
            units::count(one.traffic.packets).into(),
            units::bytes(one.traffic.bytes).into(),
        ]);
    }
    let mut lines = grid.lines(width);
    lines.push(format!("of {} sessions in the table", top.total));
    lines
}
