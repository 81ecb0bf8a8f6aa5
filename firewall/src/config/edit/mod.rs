//! Changes to the text of a document that leave alone what they don't change.
//!
//! `text → nodes → tree that refers to them → changed tree → text`. What still refers to a node is
//! copied from the old text, with the comments that belong to it (`layout` says which); what is new
//! is written as people write it (`emit`). Then the new text is read: unless that gives the changed
//! tree, whatever was around the change is written anew, then what is around that, at last the whole
//! document. So comments may get lost, and values never.
//!
//! # Limits
//! Lines that are new end in LF. A comment inside a value that is replaced goes with it.

mod anchors;
mod apply;
mod emit;
mod flow;
mod layout;
mod order;
mod print;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashSet;

use json_patch::PatchOperation;
use rules::Findings;
use serde_json::Value;

use super::yaml::{self, Node};
use tree::{At, Tree};

pub(crate) use order::longest_run;
pub(crate) use tree::identity;

/// In one patch.
pub const MAX_OPERATIONS: usize = 10_000;

/// Why a patch can't be applied. The document is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {operation}: {path}: {problem}")]
pub struct PatchError {
    /// Counted from 0, as in the patch.
    pub operation: usize,
    /// The JSON pointer in question.
    pub path: String,
    pub problem: PatchProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchProblem {
    #[error("there is no such value")]
    NoSuchValue,
    #[error("not an index of the list, or past its end")]
    BadIndex,
    #[error("the value is another one")]
    TestFailed,
    #[error("a value cannot be moved into itself")]
    IntoItself,
    #[error("the document as a whole cannot be removed or moved")]
    WholeDocument,
    #[error("more than {MAX_OPERATIONS} operations")]
    TooManyOperations,
    #[error("the document would become too large")]
    TooLarge,
    #[error("values would nest too deeply")]
    TooDeep,
    #[error("it cannot be written as YAML")]
    Unwritable,
}

/// Applies a JSON patch (RFC 6902) to a document. All of it or nothing.
pub fn patch(text: &str, patch: &[PatchOperation]) -> Result<String, PatchError> {
    edit(text, |tree| apply::apply(tree, patch)).unwrap_or(Err(PatchError {
        operation: 0,
        path: String::new(),
        problem: PatchProblem::Unwritable,
    }))
}

/// Makes a document equal to a JSON value, and keeps what is equal already. `None` where it can't be
/// written as YAML.
#[must_use]
pub fn settle(text: &str, value: &Value) -> Option<String> {
    let settled: Option<Result<String, std::convert::Infallible>> = edit(text, |tree| {
        tree.settle(value);
        Ok(())
    });
    settled.map(|Ok(text)| text)
}

/// `None` where the text can't be read, or what becomes of it can't be written.
fn edit<E>(
    text: &str,
    change: impl FnOnce(&mut Tree<'_>) -> Result<(), E>,
) -> Option<Result<String, E>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = read(text)?;
    let mut tree = Tree::Kept(&source);
    if let Err(error) = change(&mut tree) {
        return Some(Err(error));
    }
    anchors::write_out(&mut tree, &source);
    (0..=yaml::MAX_DEPTH + 1)
        .map(|height| print::document(text, &source, &tree, around_changes(&tree, height)))
        .find(|new| read(new).is_some_and(|node| At::Kept(&node).is_read_like(tree.at())))
        .map(Ok)
}

fn read(text: &str) -> Option<Node> {
    let mut findings = Findings::default();
    yaml::parse(text, &mut findings).filter(|_| !findings.has_errors())
}

/// The nodes of lists and maps that have a change at most `height - 1` levels below: with 0 none,
/// with 1 those whose own children changed.
fn around_changes(tree: &Tree<'_>, height: usize) -> HashSet<u32> {
    let mut around = HashSet::new();
    distance_to_change(tree, height, &mut around);
    around
}

fn distance_to_change(tree: &Tree<'_>, height: usize, around: &mut HashSet<u32>) -> Option<usize> {
    let Tree::Changed(changed) = tree else {
        return None;
    };
    let below = changed
        .content
        .children()
        .into_iter()
        .filter_map(|(_, child)| distance_to_change(child, height, around))
        .min();
    let distance = below.map_or(0, |distance| distance + 1);
    if let Some(was) = changed.was
        && distance < height
    {
        around.insert(was.id);
    }
    Some(distance)
}
