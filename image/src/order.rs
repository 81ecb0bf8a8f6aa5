//! Order where it means something: entries of the candidate's lists, put elsewhere.

use serde::Deserialize;
use serde_json::json;

use crate::client::{Call, Client, ClientError, with_query};

/// What goes where: all together, in the order in which they are named.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("place").required(true))]
pub(crate) struct Move {
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// In front of this one.
    #[arg(long, group = "place", value_name = "NAME")]
    before: Option<String>,
    /// Behind this one.
    #[arg(long, group = "place", value_name = "NAME")]
    after: Option<String>,
    /// In front of all others.
    #[arg(long, group = "place")]
    first: bool,
    /// Behind all others.
    #[arg(long, group = "place")]
    last: bool,
}

#[derive(Debug, Deserialize)]
struct Page {
    total: usize,
}

impl Move {
    /// Moves entries of the collection at this path of the API; returns what the API says.
    pub(crate) async fn within(
        &self,
        collection: &str,
        client: &mut Client,
    ) -> Result<String, ClientError> {
        let names = &self.names;
        let mut etag = None;
        let body = if let Some(before) = &self.before {
            json!({"names": names, "before": before})
        } else if let Some(after) = &self.after {
            json!({"names": names, "after": after})
        } else if self.first {
            json!({"names": names, "position": 1})
        } else {
            let path = with_query(collection, [("limit", Some("1".to_owned()))]);
            let answer = client.send(&Call::get(path)).await?;
            let page: Page = answer.parsed()?;
            // It is the last place only of the list that was counted.
            etag = answer.etag;
            let position = page.total.saturating_sub(names.len()) + 1;
            json!({"names": names, "position": position})
        };
        let call = Call::post(format!("{collection}/move"));
        let call = call.json(&body)?.if_match(etag.as_deref());
        Ok(client.send(&call).await?.body)
    }
}
