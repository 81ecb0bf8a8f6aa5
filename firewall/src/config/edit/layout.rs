//! Which lines of the text belong to which entry of a block list or map.
//!
//! To an entry belong the comments right above it, without an empty line between, its own lines, and
//! comments behind it that are indented deeper. What is left between two entries floats: it stays
//! where it is when they go.

use std::ops::Range;

use super::super::yaml::{Kind, Node, Style};

#[derive(Debug)]
pub(super) struct Layout<'a> {
    /// Of every entry.
    pub(super) column: usize,
    /// The first entry stands behind the dash of what it is in.
    pub(super) compact: bool,
    pub(super) entries: Vec<Entry<'a>>,
    /// Behind the last entry.
    pub(super) tail: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    /// In a map.
    pub(super) key: Option<&'a Node>,
    pub(super) value: &'a Node,
    /// Empty lines and comments that belong to nobody. Whole lines.
    pub(super) float: Range<usize>,
    /// Whole lines.
    pub(super) comments: Range<usize>,
    /// From the key or the dash on, up to the end of the last line.
    pub(super) body: Range<usize>,
    /// Behind the colon or the dash.
    pub(super) head_end: usize,
}

impl Layout<'_> {
    /// All of it.
    pub(super) fn range(&self) -> Range<usize> {
        let start = self.entries.first().map_or(self.tail.start, |first| {
            if self.compact {
                first.body.start
            } else {
                first.float.start
            }
        });
        start..self.tail.end
    }
}

/// The layout of a block, whose lines lie in `from..to`: from the end of the head of what it is in.
/// `None` where it is written in a way that is not followed: properties before a key, `?`, empty.
pub(super) fn of<'a>(node: &'a Node, text: &str, within: Range<usize>) -> Option<Layout<'a>> {
    if node.source.style != Style::Block || node.source.alias != 0 {
        return None;
    }
    let children: Vec<(Option<&Node>, &Node)> = match &node.kind {
        Kind::Null | Kind::Scalar { .. } => return None,
        Kind::Seq(items) => items.iter().map(|item| (None, item)).collect(),
        Kind::Map(entries) => entries
            .iter()
            .map(|(key, value)| (Some(key), value))
            .collect(),
    };
    let mut lines = Lines {
        text,
        at: within.start,
        end: within.end,
    };
    let compact = lines.first_is_on_this_line()?;
    let mut entries: Vec<Entry<'a>> = Vec::with_capacity(children.len());
    let mut column = None;
    for (key, value) in children {
        let gap = if compact && entries.is_empty() {
            Gap::nothing(lines.skip_spaces())
        } else {
            lines.gap(entries.last().and(column))
        };
        if let Some(last) = entries.last_mut() {
            last.body.end = gap.float.start;
        }
        let start = lines.skip_spaces();
        let own_column = start
            - text
                .get(..start)?
                .rfind('\n')
                .map_or(0, |newline| newline + 1);
        if *column.get_or_insert(own_column) != own_column {
            return None;
        }
        let head_end = match key {
            None => text.get(start..)?.starts_with('-').then_some(start + 1)?,
            Some(key) => {
                if key.source.start != start || key.source.anchor != 0 || key.source.alias != 0 {
                    return None;
                }
                let rest = text.get(key.source.end..)?;
                let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                let colon = key.source.end + spaces;
                text.get(colon..)?.starts_with(':').then_some(colon + 1)?
            }
        };
        lines.at = end_of_line(value, head_end, text)?;
        entries.push(Entry {
            key,
            value,
            float: gap.float,
            comments: gap.comments,
            body: start..lines.at,
            head_end,
        });
    }
    let column = column?;
    let tail = lines.gap(Some(column));
    if let Some(last) = entries.last_mut() {
        last.body.end = tail.float.start;
    }
    Some(Layout {
        column,
        compact,
        entries,
        tail: tail.float.start..tail.comments.end,
    })
}

/// The end of the line that a value ends in; `None` where more than a comment follows it there.
fn end_of_line(value: &Node, head_end: usize, text: &str) -> Option<usize> {
    let last = last_leaf(value);
    let end = last.source.end.max(head_end);
    if last.source.style == Style::Block {
        // A block scalar's span may reach into the indentation of what follows.
        let whole = text
            .get(..end)?
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        return Some(if end == text.len() { end } else { whole });
    }
    // The null of `key:` ends before its colon.
    let rest = text.get(end..)?;
    let line = rest.split_inclusive('\n').next().unwrap_or_default();
    let written = line.trim();
    let is_comment = written.starts_with('#') && line.starts_with(char::is_whitespace);
    let is_colon = matches!(last.kind, Kind::Null)
        && written.strip_prefix(':').is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.is_empty() || rest.starts_with('#')
        });
    (written.is_empty() || is_comment || is_colon).then_some(end + line.len())
}

/// What a block ends with.
fn last_leaf(node: &Node) -> &Node {
    let last = match &node.kind {
        _ if node.source.alias != 0 || node.source.style == Style::Flow => None,
        Kind::Null | Kind::Scalar { .. } => None,
        Kind::Seq(items) => items.last(),
        Kind::Map(entries) => entries.last().map(|(_, value)| value),
    };
    last.map_or(node, last_leaf)
}

struct Gap {
    float: Range<usize>,
    comments: Range<usize>,
}

impl Gap {
    fn nothing(at: usize) -> Self {
        Self {
            float: at..at,
            comments: at..at,
        }
    }
}

struct Lines<'t> {
    text: &'t str,
    at: usize,
    end: usize,
}

impl Lines<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    fn skip_spaces(&mut self) -> usize {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
        self.at
    }

    /// Whether something follows on the line where the head ended. If not, goes to the next line.
    fn first_is_on_this_line(&mut self) -> Option<bool> {
        let line = self.rest().split_inclusive('\n').next().unwrap_or_default();
        // At the start of the document there is no head.
        let starts_a_line = self.at == 0 || self.text.get(..self.at)?.ends_with('\n');
        if starts_a_line {
            return Some(false);
        }
        let written = line.trim();
        if written.is_empty() || written.starts_with('#') {
            self.at += line.len();
            return Some(false);
        }
        Some(true)
    }

    /// Goes over empty lines and comments. Those that are indented deeper than `column` still belong
    /// to what was before, with all above them: the gap starts behind them.
    fn gap(&mut self, column: Option<usize>) -> Gap {
        let mut start = self.at;
        let mut comments = self.at;
        while let Some(line) = self.rest().split_inclusive('\n').next() {
            let written = line.trim();
            let indentation = line.len() - line.trim_start().len();
            if written.is_empty() {
                self.at += line.len();
                comments = self.at;
            } else if written.starts_with('#') {
                self.at += line.len();
                if column.is_some_and(|column| indentation > column) {
                    start = self.at;
                    comments = self.at;
                }
            } else {
                break;
            }
        }
        Gap {
            float: start..comments,
            comments: comments..self.at,
        }
    }
}
