//! `palisade show url-lists`: what filters block and allow by, and how it came about.

use jiff::Timestamp;
use serde::Deserialize;

use super::grid::{Grid, left, right, wrapping};
use super::units;

/// How many of a list's bad lines are shown; `--json` has more.
const BAD_LINES: usize = 3;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct UrlList {
    name: String,
    source: String,
    #[serde(default)]
    origin: Option<String>,
    state: String,
    entries: u64,
    memory_bytes: u64,
    lines_for_browsers: u64,
    lines_bad: u64,
    bad_lines: Vec<BadLine>,
    #[serde(default)]
    last_success: Option<Timestamp>,
    #[serde(default)]
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct BadLine {
    line: u64,
    text: String,
    error: String,
}

pub(super) fn table(lists: &Vec<UrlList>, width: Option<usize>) -> Vec<String> {
    if lists.is_empty() {
        return vec!["no lists of URLs".to_owned()];
    }
    let mut grid = Grid::new([
        left("NAME"),
        left("STATE"),
        right("ENTRIES"),
        right("BAD LINES"),
        right("MEMORY"),
        left("LAST HAD"),
        wrapping("FROM"),
    ]);
    for list in lists {
        grid.row([
            list.name.as_str().into(),
            list.state.as_str().into(),
            list.entries.into(),
            list.lines_bad.into(),
            units::bytes(list.memory_bytes).into(),
            list.last_success.map(units::moment).into(),
            list.origin.as_deref().unwrap_or(&list.source).into(),
        ]);
    }
    let mut text: Vec<String> = grid.text(width).lines().map(str::to_owned).collect();
    for list in lists {
        let remark = |text: String| format!("{}: {}", list.name, crate::terminal::printable(&text));
        if let Some(error) = &list.last_error {
            text.push(remark(error.clone()));
        }
        // Those are of what is used, and not of what was refused since.
        let of_what = match list.last_error {
            Some(_) => "in what is used: ",
            None => "",
        };
        for bad in list.bad_lines.iter().take(BAD_LINES) {
            let BadLine {
                line,
                text: said,
                error,
            } = bad;
            text.push(remark(format!("{of_what}line {line}: '{said}': {error}")));
        }
        if list.lines_for_browsers > 0 {
            let are = match list.lines_for_browsers {
                1 => "1 line is".to_owned(),
                count => format!("{count} lines are"),
            };
            text.push(remark(format!(
                "{of_what}{are} for browsers, and not applied"
            )));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_is_in_it_and_what_is_wrong() {
        let lists = r#"[
            {"name": "ads", "source": "url", "origin": "https://lists.example/ads.txt", "state": "kept", "entries": 1000000,
             "urls": 0, "patterns": 0, "memory-bytes": 8300000, "lines": 1000001, "lines-for-browsers": 2, "lines-bad": 1,
             "bad-lines": [{"line": 7, "text": "<html>", "error": "it is no host name"}],
             "last-success": "2026-11-26T10:00:00Z", "last-error": "the server answered 404 Not Found"},
            {"name": "own", "source": "entries", "state": "known", "entries": 2, "urls": 1, "patterns": 0, "memory-bytes": 300,
             "lines": 2, "lines-for-browsers": 1, "lines-bad": 0, "bad-lines": []}]"#;
        let lines = table(&serde_json::from_str(lists).unwrap(), None);
        assert_eq!(
            lines[1..],
            [
                "ads   kept   1000000          1  8.3 MB  2026-11-26 10:00:00Z  https://lists.example/ads.txt",
                "own   known        2          0   300 B  -                     entries",
                "ads: the server answered 404 Not Found",
                "ads: in what is used: line 7: '<html>': it is no host name",
                "ads: in what is used: 2 lines are for browsers, and not applied",
                "own: 1 line is for browsers, and not applied"
            ]
        );
        assert_eq!(table(&Vec::new(), None), ["no lists of URLs"]);
    }
}
