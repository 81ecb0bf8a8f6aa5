//! `palisade show policies`: the policies in force, and what each decided.

use clap::ValueEnum;

use crate::client::with_query;

/// Policies in their order, and what each decided.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// By this order, instead of their own.
    #[arg(long)]
    sort: Option<Order>,
    /// The first so many, 1 to 1000.
    #[arg(long)]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    /// Most hits first.
    Hits,
}

/// What the API is asked.
pub(super) fn path(args: &Args) -> String {
    let sort = args.sort.map(|Order::Hits| "hits".to_owned());
    let limit = args.limit.map(|limit| limit.to_string());
    with_query("policies", [("sort", sort), ("limit", limit)])
}
