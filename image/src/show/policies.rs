//! `palisade show policies`: the policies in force, and what each decided.

use clap::ValueEnum;

use super::{lines, tables};
use crate::client::{Client, ClientError, parsed, with_query};

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

pub(super) async fn answer(
    client: &mut Client,
    args: &Args,
    json: bool,
    width: Option<usize>,
) -> Result<String, ClientError> {
    let sort = args.sort.map(|Order::Hits| "hits".to_owned());
    let limit = args.limit.map(|limit| limit.to_string());
    let path = with_query("/api/v1/policies", [("sort", sort), ("limit", limit)]);
    let body = client.get(&path).await?;
    if json {
        return Ok(body + "\n");
    }
    Ok(lines(&tables::policies(&parsed(&body)?, width)))
}
