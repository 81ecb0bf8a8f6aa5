//! New values as text: sections as blocks, what is short in brackets on one line.

use super::scalar;
use super::tree::{At, Seen};

/// Lines longer than this are broken up.
const MAX_COLUMNS: usize = 100;

/// Where something is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// Of the first letter.
    pub(super) column: usize,
    /// 0 for the document, 1 for a section.
    pub(super) level: usize,
}

impl Position {
    pub(super) fn below(self, column: usize) -> Self {
        Self {
            column,
            level: self.level + 1,
        }
    }
}

/// On one line, in brackets where it is a list or a map.
pub(super) fn inline(at: At<'_, '_>) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match at.seen() {
        Seen::Null => "null".to_owned(),
        Seen::Scalar { text, quoted } => scalar::write(text, quoted),
        Seen::Seq => {
            let items = at.below().into_iter().map(|(_, item)| inline(item));
            format!("[{}]", joined(items.collect()))
        }
        Seen::Map => {
            let entries = at.below().into_iter().map(|(key, value)| {
                format!(
                    "{}: {}",
                    scalar::write_key(key.unwrap_or_default()),
                    inline(value)
                )
            });
            match joined(entries.collect()) {
                entries if entries.is_empty() => "{}".to_owned(),
                entries => format!("{{ {entries} }}"),
            }
        }
    }
}

/// What is written after a key or a dash: on the same line, or as a block.
pub(super) fn value(at: At<'_, '_>, position: Position) -> Written {
    let one_line = || inline(at);
    let (values, depth) = at.extent();
    match at.seen() {
        Seen::Null | Seen::Scalar { .. } => Written::Inline(one_line()),
        Seen::Seq | Seen::Map if values == 1 => Written::Inline(one_line()),
        Seen::Seq | Seen::Map if position.level <= 1 || depth > 2 => Written::Block,
        Seen::Seq | Seen::Map => {
            let line = one_line();
            if position.column + line.chars().count() <= MAX_COLUMNS {
                Written::Inline(line)
            } else {
                Written::Block
            }
        }
    }
}

pub(super) enum Written {
    Inline(String),
    Block,
}

/// A list or a map that is not empty, as lines. The first one is not indented: the caller is there
/// already.
pub(super) fn block(at: At<'_, '_>, position: Position) -> String {
    let mut text = String::new();
    for (key, child) in at.below() {
        if !text.is_empty() {
            text.push_str(&" ".repeat(position.column));
        }
        text.push_str(&entry(key, child, position));
    }
    text
}

/// One item of a list, or one entry of a map, whose column and level `position` tells.
pub(super) fn entry(key: Option<&str>, child: At<'_, '_>, position: Position) -> String {
    let head = match key {
        Some(key) => format!("{}:", scalar::write_key(key)),
        None => "-".to_owned(),
    };
    format!(
        "{head}{}",
        after_head(&head, key.is_none(), child, position)
    )
}

/// What follows `key:` or `-`, up to the end of the line or of the block.
pub(super) fn after_head(
    head: &str,
    is_item: bool,
    child: At<'_, '_>,
    position: Position,
) -> String {
    let column = position.column + head.chars().count() + 1;
    match value(child, position.below(column)) {
        Written::Inline(line) => format!(" {line}\n"),
        Written::Block => {
            let inner = position.below(position.column + 2);
            let lines = block(child, inner);
            if is_item {
                format!(" {lines}")
            } else {
                format!("\n{}{lines}", " ".repeat(inner.column))
            }
        }
    }
}
