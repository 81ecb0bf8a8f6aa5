//! `palisade show objects`: what policies name, who uses it, and what is known of it.

use jiff::Timestamp;
use serde::Deserialize;

use super::grid::{Grid, left, right, wrapping};
use super::units;
use crate::client::{Call, Client, ClientError, with_query};

/// Addresses, applications, feeds, host names, countries, schedules: their hits and uses.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these: `address`, `application`, `country`, `feed`, `fqdn` or `schedule`.
    #[arg(long)]
    kind: Option<String>,
    /// Only those with this in their names.
    #[arg(long)]
    name: Option<String>,
    /// Only those that nothing refers to.
    #[arg(long)]
    unused: bool,
    /// Go on where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    objects: Vec<Object>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Object {
    kind: String,
    name: String,
    #[serde(default)]
    hits: u64,
    #[serde(default)]
    last_hit: Option<Timestamp>,
    #[serde(default)]
    used_by: Vec<String>,
    #[serde(default)]
    outside: Option<Outside>,
}

/// Of what only the outside can say.
#[derive(Debug, Deserialize)]
struct Outside {
    state: String,
}

pub(super) async fn answer(
    client: &mut Client,
    args: &Args,
    json: bool,
    width: Option<usize>,
) -> Result<String, ClientError> {
    let parameters = [
        ("kind", args.kind.clone()),
        ("name", args.name.clone()),
        ("used", args.unused.then(|| "false".to_owned())),
        ("cursor", args.cursor.clone()),
    ];
    let path = with_query("/api/v1/objects", parameters);
    let answer = client.send(&Call::get(path)).await?;
    if json {
        return Ok(answer.body + "\n");
    }
    Ok(text(&answer.parsed()?, width))
}

fn text(page: &Page, width: Option<usize>) -> String {
    if page.objects.is_empty() {
        return "no objects\n".to_owned();
    }
    let mut grid = Grid::new([
        left("KIND"),
        left("NAME"),
        left("STATE"),
        right("HITS"),
        left("LAST HIT"),
        wrapping("USED BY"),
    ]);
    for object in &page.objects {
        grid.row([
            object.kind.as_str().into(),
            object.name.as_str().into(),
            object
                .outside
                .as_ref()
                .map(|outside| outside.state.as_str())
                .into(),
            object.hits.into(),
            object.last_hit.map(units::moment).into(),
            object.used_by.join(", ").into(),
        ]);
    }
    let mut text = grid.text(width);
    if let Some(cursor) = &page.next {
        text.push_str(&format!(
            "more with --cursor {}\n",
            crate::terminal::printable(cursor)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_who_uses_it_and_what_is_known() {
        let page = r#"{"objects": [
            {"kind": "address", "name": "lan", "hits": 7, "last-hit": "2026-11-26T10:00:00Z",
             "first-seen": null, "used-by": ["policy web-out", "address all"]},
            {"kind": "feed", "name": "bad", "hits": 0, "used-by": [], "outside": {"state": "kept", "ranges": 4}}],
            "next": "f/bad"}"#;
        let text = text(&serde_json::from_str(page).unwrap(), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1..],
            [
                "address  lan   -         7  2026-11-26 10:00:00Z  policy web-out, address all",
                "feed     bad   kept      0  -",
                "more with --cursor f/bad"
            ]
        );
    }
}
