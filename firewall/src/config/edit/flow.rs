//! Lists and maps in brackets: what is between their entries is kept, on one line or on many.

use std::collections::HashMap;

use super::super::json;
use super::super::yaml::{Kind, Node};
use super::order;
use super::print::{Child, Printer};
use super::tree::Tree;
use super::{emit, scalar};

/// One entry and what is around it.
struct Piece<'a> {
    key: Option<&'a Node>,
    value: &'a Node,
    /// Whitespace and comments before it.
    before: &'a str,
    /// From the key on, with its value and whatever else is before the comma.
    start: usize,
    end: usize,
    /// Behind the comma, up to the end of the line: where that has a comment.
    comment: &'a str,
}

struct Pieces<'a> {
    pieces: Vec<Piece<'a>>,
    /// A comma behind the last one, too.
    comma_at_the_end: bool,
    /// Before the closing bracket.
    closing: &'a str,
}

impl<'a> Printer<'a> {
    /// The text of a changed list or map, brackets included. `None` where its text is not followed.
    pub(super) fn flow(
        &self,
        was: &'a Node,
        children: &[Child<'_, 'a>],
        level: usize,
    ) -> Option<String> {
        let whole = self.raw(&(was.source.start..was.source.end));
        let (open, close) = match was.kind {
            Kind::Seq(_) => ('[', ']'),
            Kind::Map(_) => ('{', '}'),
            Kind::Null | Kind::Scalar { .. } => return None,
        };
        if whole.len() < 2 || !whole.starts_with(open) || !whole.ends_with(close) {
            return None;
        }
        let Pieces {
            pieces,
            comma_at_the_end,
            closing,
        } = self.pieces(was)?;
        let own: Vec<_> = pieces.iter().map(|piece| piece.value.id).collect();
        let places = order::places(&own, children.iter().map(|(_, child)| *child));
        let known: HashMap<u32, usize> = own
            .iter()
            .enumerate()
            .map(|(index, id)| (*id, index))
            .collect();
        let index_of = |child: &Tree<'_>| known.get(&child.was()?.id).copied();
        let on_many_lines = pieces
            .iter()
            .map(|piece| piece.before)
            .find(|before| before.contains('\n'));
        let first_gap = pieces.first().map_or("", |piece| piece.before);
        let mut out = String::from(open);
        for (number, ((key, child), place)) in children.iter().zip(&places).enumerate() {
            let index = place.or_else(|| index_of(child));
            let found = index.and_then(|index| pieces.get(index));
            let first = number == 0;
            let gap = match (found, on_many_lines) {
                (Some(piece), _) if (index == Some(0)) == first || piece.before.contains('\n') => {
                    piece.before
                }
                (_, Some(before)) => last_line(before),
                (_, None) if first => first_gap,
                (_, None) => " ",
            };
            out.push_str(gap);
            out.push_str(&match found {
                Some(piece) => self.piece(piece, *key, child, level),
                None => written(*key, child),
            });
            if number + 1 < children.len() || comma_at_the_end {
                out.push(',');
            }
            out.push_str(found.map_or("", |piece| piece.comment));
        }
        // A comment ends with its line.
        if !closing.contains('\n')
            && out
                .rsplit('\n')
                .next()
                .is_some_and(|line| line.contains(" #"))
        {
            out.push('\n');
        }
        out.push_str(closing);
        out.push(close);
        Some(out)
    }

    fn pieces(&self, was: &'a Node) -> Option<Pieces<'a>> {
        let children: Vec<(Option<&Node>, &Node)> = match &was.kind {
            Kind::Seq(items) => items.iter().map(|item| (None, item)).collect(),
            Kind::Map(entries) => entries
                .iter()
                .map(|(key, value)| (Some(key), value))
                .collect(),
            Kind::Null | Kind::Scalar { .. } => return None,
        };
        let end = was.source.end - 1;
        let mut at = was.source.start + 1;
        let mut pieces: Vec<Piece<'a>> = Vec::with_capacity(children.len());
        let mut comma_at_the_end = false;
        for (key, value) in children {
            let start = key.unwrap_or(value).source.start;
            let before = self.text.get(at..start)?;
            // An anchor or `?` would be taken for whitespace.
            if !is_blank(before) {
                return None;
            }
            let value_end = value.source.end.max(key.map_or(0, |key| key.source.end));
            let rest = self.text.get(value_end..end)?;
            let (own, comma) = up_to_the_comma(rest);
            let piece_end = value_end + own;
            let behind = self.text.get(piece_end + comma..end)?;
            comma_at_the_end = comma > 0;
            let line = behind.split('\n').next().unwrap_or_default();
            let is_comment = line.trim_start().starts_with('#') && behind.contains('\n');
            let comment = if is_comment { line.trim_end() } else { "" };
            at = piece_end + comma + comment.len();
            pieces.push(Piece {
                key,
                value,
                before,
                start,
                end: piece_end,
                comment,
            });
        }
        let closing = self.text.get(at..end)?;
        is_blank(closing).then_some(Pieces {
            pieces,
            comma_at_the_end,
            closing,
        })
    }

    fn piece(
        &self,
        piece: &Piece<'a>,
        key: Option<&str>,
        child: &Tree<'a>,
        level: usize,
    ) -> String {
        let renamed = key.is_some() && piece.key.map(json::key_of) != key;
        if renamed || key.is_some() != piece.key.is_some() {
            return written(key, child);
        }
        let whole = piece.start..piece.end;
        match child {
            Tree::Kept(_) => self.raw(&whole).to_owned(),
            Tree::Changed(changed) => match self.inside(changed, level + 1) {
                Some((range, new)) => self.spliced(&whole, &range, &new),
                None => written(key, child),
            },
        }
    }
}

fn written(key: Option<&str>, child: &Tree<'_>) -> String {
    match key {
        Some(key) => format!("{}: {}", scalar::write_key(key), emit::inline(child.at())),
        None => emit::inline(child.at()),
    }
}

/// How much of the text still belongs to an entry, and whether a comma follows: its length.
fn up_to_the_comma(text: &str) -> (usize, usize) {
    let mut own = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            ',' => return (at, 1),
            '#' => {
                // Before a comma, a comment belongs to the entry.
                let behind = text.get(at..).and_then(|rest| Some(at + rest.find('\n')?));
                return match behind.map(|behind| (behind, up_to_the_comma(&text[behind..]))) {
                    Some((behind, (own, 1))) => (behind + own, 1),
                    _ => (own, 0),
                };
            }
            letter if letter.is_whitespace() => {}
            letter => own = at + letter.len_utf8(),
        }
    }
    (own, 0)
}

/// Nothing but whitespace and comments.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let written = line.trim();
        written.is_empty() || written.starts_with('#')
    })
}

/// The line break and the indentation that an entry begins with.
fn last_line(before: &str) -> &str {
    before
        .rfind('\n')
        .and_then(|at| before.get(at..))
        .unwrap_or(before)
}
