//! A changed tree as text: what has not changed is copied from the text that it was read from.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::super::json;
use super::super::yaml::{Kind, Node, Style};
use super::emit::{self, Position, Written};
use super::layout::{self, Entry, Layout};
use super::order;
use super::tree::{Changed, Content, Tree};

pub(super) struct Printer<'a> {
    pub(super) text: &'a str,
    /// Of the block lists and maps in which something changed, by their nodes.
    layouts: HashMap<u32, Layout<'a>>,
    /// Where a value is an entry: of which of these, and which one.
    entries: HashMap<u32, (u32, usize)>,
    /// Containers that are to be written anew.
    forced: HashSet<u32>,
}

/// Child of a list or a map, and its key.
pub(super) type Child<'t, 'a> = (Option<&'t str>, &'t Tree<'a>);

/// The whole document.
pub(super) fn document<'a>(
    text: &'a str,
    source: &'a Node,
    root: &Tree<'a>,
    forced: HashSet<u32>,
) -> String {
    let Tree::Changed(changed) = root else {
        return text.to_owned();
    };
    let mut printer = Printer {
        text,
        layouts: HashMap::new(),
        entries: HashMap::new(),
        forced,
    };
    let mut opened = HashSet::new();
    collect_opened(root, &mut opened);
    let start = start_of_content(text, source);
    printer.collect(source, start..text.len(), &opened);
    match printer.inside(changed, 0) {
        Some((range, new)) => printer.spliced(&(0..text.len()), &range, &new),
        None => {
            // The comments at the top stay.
            let line = printer.raw(&(0..source.source.start)).rfind('\n');
            let top = line.map_or(start, |newline| start.max(newline + 1));
            format!("{}{}", printer.raw(&(0..top)), anew(root))
        }
    }
}

/// Written as if nothing had been there.
fn anew(root: &Tree<'_>) -> String {
    let position = Position {
        column: 0,
        level: 0,
    };
    match emit::value(root.at(), position) {
        Written::Inline(line) => line + "\n",
        Written::Block => emit::block(root.at(), position),
    }
}

/// Behind what comes before the document's own comments and values: `---`, directives.
fn start_of_content(text: &str, root: &Node) -> usize {
    let mut at = 0;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if at + line.len() > root.source.start {
            break;
        }
        at += line.len();
        let written = line.trim();
        if !written.is_empty() && !written.starts_with('#') {
            start = at;
        }
    }
    start
}

fn collect_opened(tree: &Tree<'_>, opened: &mut HashSet<u32>) {
    let Tree::Changed(changed) = tree else {
        return;
    };
    if let Some(node) = changed.was {
        opened.insert(node.id);
    }
    for (_, child) in changed.content.children() {
        collect_opened(child, opened);
    }
}

impl<'a> Printer<'a> {
    fn collect(&mut self, node: &'a Node, within: Range<usize>, opened: &HashSet<u32>) {
        if !opened.contains(&node.id) {
            return;
        }
        let Some(layout) = layout::of(node, self.text, within) else {
            return;
        };
        for (index, entry) in layout.entries.iter().enumerate() {
            self.entries.insert(entry.value.id, (node.id, index));
            self.collect(entry.value, entry.head_end..entry.body.end, opened);
        }
        self.layouts.insert(node.id, layout);
    }

    pub(super) fn raw(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// `outer` of the text, with `new` in place of `inner`.
    pub(super) fn spliced(&self, outer: &Range<usize>, inner: &Range<usize>, new: &str) -> String {
        let before = self.raw(&(outer.start..inner.start));
        let behind = self.raw(&(inner.end..outer.end));
        format!("{before}{new}{behind}")
    }

    /// The part of the text that a changed list or map was, and what it is now. `None` where it has
    /// to be written anew.
    pub(super) fn inside(
        &self,
        changed: &Changed<'a>,
        level: usize,
    ) -> Option<(Range<usize>, String)> {
        let was = changed.was?;
        if self.forced.contains(&was.id) || was.source.alias != 0 {
            return None;
        }
        let same = matches!(
            (&changed.content, &was.kind),
            (Content::Seq(_), Kind::Seq(_)) | (Content::Map(_), Kind::Map(_))
        );
        let children = changed.content.children();
        if !same || children.is_empty() {
            return None;
        }
        if was.source.style == Style::Flow {
            let text = self.flow(was, &children, level)?;
            return Some((was.source.start..was.source.end, text));
        }
        let layout = self.layouts.get(&was.id)?;
        Some((layout.range(), self.block(layout, &children, level)))
    }

    fn block(&self, layout: &Layout<'a>, children: &[Child<'_, 'a>], level: usize) -> String {
        let position = Position {
            column: layout.column,
            level,
        };
        let own: Vec<_> = layout.entries.iter().map(|entry| entry.value.id).collect();
        let places = order::places(&own, children.iter().map(|(_, child)| *child));
        let stays: HashSet<usize> = places.iter().flatten().copied().collect();
        let mut out = Lines::new(layout);
        let mut floats = layout.entries.iter().enumerate().map(|(index, entry)| {
            let float = self.raw(&entry.float);
            // Empty lines go with the entry that they were before.
            let stays = stays.contains(&index) || !float.trim().is_empty();
            (index, if stays { float } else { "" })
        });
        let mut floated = 0;
        let mut float_up_to = |out: &mut Lines, end: usize| {
            while floated < end {
                floated += 1;
                if let Some((_, float)) = floats.next() {
                    out.lines(float);
                }
            }
        };
        float_up_to(&mut out, 1);
        for ((key, child), place) in children.iter().zip(&places) {
            if let Some(place) = place {
                float_up_to(&mut out, place + 1);
            }
            match self.entry_of(child, key.is_some()) {
                Some((column, entry)) => {
                    let shift = Shift {
                        from: column,
                        to: layout.column,
                    };
                    let body = self.entry(entry, *key, child, Position { column, level });
                    let comments = self.raw(&entry.comments);
                    out.entry(&shift.lines(comments, true), &shift.lines(&body, false));
                }
                None => out.entry("", &emit::entry(*key, child.at(), position)),
            }
        }
        float_up_to(&mut out, layout.entries.len());
        out.lines(self.raw(&layout.tail));
        out.text
    }

    /// Where a value is an entry of a block, and in which column.
    fn entry_of(&self, child: &Tree<'a>, in_map: bool) -> Option<(usize, &Entry<'a>)> {
        let (container, index) = self.entries.get(&child.was()?.id)?;
        let layout = self.layouts.get(container)?;
        let entry = layout.entries.get(*index)?;
        (entry.key.is_some() == in_map).then_some((layout.column, entry))
    }

    /// An entry's lines, from the key or the dash on, in the column where it was.
    fn entry(
        &self,
        entry: &Entry<'a>,
        key: Option<&str>,
        child: &Tree<'a>,
        position: Position,
    ) -> String {
        let written = self.raw(&(entry.body.start..entry.head_end));
        let head = match key {
            Some(key) if entry.key.map(json::key_of) != Some(key) => {
                format!("{}:", super::scalar::write_key(key))
            }
            _ => written.to_owned(),
        };
        let after = entry.head_end..entry.body.end;
        let changed = match child {
            Tree::Kept(_) => return head + self.raw(&after),
            Tree::Changed(changed) => changed,
        };
        if let Some((range, new)) = self.inside(changed, position.level + 1) {
            return head + &self.spliced(&after, &range, &new);
        }
        self.replaced(&head, entry, child, position)
    }

    /// An entry with another value: the comment behind the old one stays.
    fn replaced(
        &self,
        head: &str,
        entry: &Entry<'a>,
        child: &Tree<'a>,
        position: Position,
    ) -> String {
        let old = entry.value.source;
        let on_the_line = !self.raw(&(entry.head_end..old.start)).contains('\n');
        let is_block = old.style == Style::Block && old.alias == 0;
        let behind = if is_block {
            "\n"
        } else {
            self.raw(&(old.end.max(entry.head_end)..entry.body.end))
        };
        let column = position.column + head.chars().count() + 1;
        match emit::value(child.at(), position.below(column)) {
            Written::Inline(line) => {
                let spaces = self.raw(&(entry.head_end..entry.body.end));
                let spaces = spaces.len() - spaces.trim_start_matches(' ').len();
                let aligned = on_the_line && !is_block && old.start > entry.head_end;
                let spaces = if aligned { spaces.max(1) } else { 1 };
                format!("{head}{}{line}{behind}", " ".repeat(spaces))
            }
            Written::Block => {
                let (comment, rest) = behind.split_once('\n').unwrap_or((behind, ""));
                let comment = comment.trim_end();
                if comment.is_empty() {
                    let is_item = entry.key.is_none();
                    format!(
                        "{head}{}{rest}",
                        emit::after_head(head, is_item, child.at(), position)
                    )
                } else {
                    let inner = position.below(position.column + 2);
                    let lines = emit::block(child.at(), inner);
                    format!("{head}{comment}\n{}{lines}{rest}", " ".repeat(inner.column))
                }
            }
        }
    }
}

/// The lines of a block, as they come together.
struct Lines {
    text: String,
    indentation: String,
    /// The first entry stands behind a dash.
    compact: bool,
}

impl Lines {
    fn new(layout: &Layout<'_>) -> Self {
        Self {
            text: String::new(),
            indentation: " ".repeat(layout.column),
            compact: layout.compact,
        }
    }

    fn end_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    fn lines(&mut self, lines: &str) {
        if !lines.is_empty() {
            self.end_line();
            self.text.push_str(lines);
        }
    }

    fn entry(&mut self, comments: &str, body: &str) {
        self.end_line();
        let behind_the_dash = self.compact && self.text.is_empty();
        if behind_the_dash && !comments.is_empty() {
            self.text.push('\n');
        }
        self.lines(comments);
        if !(behind_the_dash && comments.is_empty()) {
            self.end_line();
            self.text.push_str(&self.indentation);
        }
        self.text.push_str(body);
    }
}

/// Lines go from one column to another.
struct Shift {
    from: usize,
    to: usize,
}

impl Shift {
    fn lines(&self, text: &str, first_too: bool) -> String {
        if self.from == self.to {
            return text.to_owned();
        }
        let mut shifted = String::with_capacity(text.len());
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let bare = line.trim_start_matches(' ');
            if (number == 0 && !first_too) || bare.trim().is_empty() {
                shifted.push_str(line);
            } else {
                let column = (line.len() - bare.len() + self.to).saturating_sub(self.from);
                shifted.push_str(&" ".repeat(column));
                shifted.push_str(bare);
            }
        }
        shifted
    }
}
