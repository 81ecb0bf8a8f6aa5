//! Anchors and aliases: what refers to something that changes is written out.
//!
//! An alias stays where what it repeats is still written as it was, in its place. Else the alias
//! becomes a copy of it.

use std::collections::HashSet;

use super::super::yaml::{Kind, Node};
use super::order;
use super::tree::{Content, Tree};

/// Anchors may nest, and each round may find one more.
const MAX_ROUNDS: usize = 8;

pub(super) fn write_out(root: &mut Tree<'_>, source: &Node) {
    let mut all = HashSet::new();
    anchors_of(source, &mut all);
    if all.is_empty() {
        return;
    }
    for _ in 0..MAX_ROUNDS {
        let mut kept = HashSet::new();
        anchors_in_place(root, &mut kept);
        let touched: HashSet<_> = all.difference(&kept).copied().collect();
        if !open_aliases(root, &touched, false) {
            return;
        }
    }
}

/// Those that are written in the text of a node.
fn anchors_of(node: &Node, anchors: &mut HashSet<usize>) {
    if node.source.anchor != 0 {
        anchors.insert(node.source.anchor);
    }
    for child in written_below(node) {
        anchors_of(child, anchors);
    }
}

fn anchors_in_place(tree: &Tree<'_>, anchors: &mut HashSet<usize>) {
    match tree {
        Tree::Kept(node) => anchors_of(node, anchors),
        Tree::Changed(changed) => {
            for (child, stays) in with_places(changed.was, &changed.content) {
                if stays {
                    anchors_in_place(child, anchors);
                }
            }
        }
    }
}

/// Whether any was found.
fn open_aliases(tree: &mut Tree<'_>, touched: &HashSet<usize>, moved: bool) -> bool {
    if let Tree::Kept(node) = *tree {
        if !repeats(node, touched, moved) {
            return false;
        }
        tree.open();
        if node.source.alias != 0 {
            return true;
        }
    }
    let Tree::Changed(changed) = tree else {
        return false;
    };
    if changed.was.is_some_and(|node| node.source.alias != 0) {
        return false;
    }
    let stay: Vec<bool> = with_places(changed.was, &changed.content)
        .map(|(_, stays)| stays)
        .collect();
    let mut found = false;
    for (child, stays) in changed.content.children_mut().zip(stay) {
        found |= open_aliases(child, touched, moved || !stays);
    }
    found
}

/// Whether its text has an alias of one of these, or any alias.
fn repeats(node: &Node, touched: &HashSet<usize>, any: bool) -> bool {
    let own = node.source.alias;
    (own != 0 && (any || touched.contains(&own)))
        || written_below(node).any(|child| repeats(child, touched, any))
}

/// The children of a node, where they are written in its own text.
fn written_below(node: &Node) -> impl Iterator<Item = &Node> {
    let (items, entries) = match &node.kind {
        _ if node.source.alias != 0 => (&[][..], &[][..]),
        Kind::Null | Kind::Scalar { .. } => (&[][..], &[][..]),
        Kind::Seq(items) => (items.as_slice(), &[][..]),
        Kind::Map(entries) => (&[][..], entries.as_slice()),
    };
    items
        .iter()
        .chain(entries.iter().flat_map(|(key, value)| [key, value]))
}

/// The children, and whether they are where they were.
fn with_places<'t, 'a>(
    was: Option<&Node>,
    content: &'t Content<'a>,
) -> impl Iterator<Item = (&'t Tree<'a>, bool)> {
    let own: Vec<u32> = match was.map(|node| &node.kind) {
        None | Some(Kind::Null | Kind::Scalar { .. }) => Vec::new(),
        Some(Kind::Seq(items)) => items.iter().map(|item| item.id).collect(),
        Some(Kind::Map(entries)) => entries.iter().map(|(_, value)| value.id).collect(),
    };
    let children: Vec<_> = content
        .children()
        .into_iter()
        .map(|(_, child)| child)
        .collect();
    let places = order::places(&own, children.iter().copied());
    children
        .into_iter()
        .zip(places)
        .map(|(child, place)| (child, place.is_some()))
}
