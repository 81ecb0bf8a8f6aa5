//! The operations of a JSON patch (RFC 6902), on a tree.
//!
//! # Limits
//! The number of operations, and of the values that they add: copying a list into itself doubles it.

use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;

use super::super::yaml::{MAX_DEPTH, MAX_NODES};
use super::tree::{At, Content, Tree, index};
use super::{MAX_OPERATIONS, PatchError, PatchProblem};

pub(super) fn apply(root: &mut Tree<'_>, patch: &[PatchOperation]) -> Result<(), PatchError> {
    if patch.len() > MAX_OPERATIONS {
        return Err(PatchError {
            operation: MAX_OPERATIONS,
            path: String::new(),
            problem: PatchProblem::TooManyOperations,
        });
    }
    let mut budget = Budget(MAX_NODES as usize);
    for (number, operation) in patch.iter().enumerate() {
        one(root, operation, &mut budget).map_err(|Failed { path, problem }| PatchError {
            operation: number,
            path: path.as_str().to_owned(),
            problem,
        })?;
    }
    Ok(())
}

struct Failed<'p> {
    path: &'p Pointer,
    problem: PatchProblem,
}

fn one<'p>(
    root: &mut Tree<'_>,
    operation: &'p PatchOperation,
    budget: &mut Budget,
) -> Result<(), Failed<'p>> {
    let path = operation.path();
    match operation {
        PatchOperation::Add(by) => {
            let value = Tree::new(&by.value);
            budget.spend(value.at(), path)?;
            match existing(root, path) {
                Some(entry) => entry.settle(&by.value),
                None => insert(root, path, value)?,
            }
        }
        PatchOperation::Remove(_) => {
            remove(root, path)?;
        }
        PatchOperation::Replace(by) => {
            budget.spend(Tree::new(&by.value).at(), path)?;
            find(root, path)?.settle(&by.value);
        }
        PatchOperation::Move(by) => {
            let from = by.from.as_ptr();
            if path == from {
                look(root, from)?;
            } else if path.starts_with(from) {
                return Err(Failed {
                    path,
                    problem: PatchProblem::IntoItself,
                });
            } else {
                let value = remove(root, from)?;
                budget.nests(value.at(), path)?;
                insert(root, path, value)?;
            }
        }
        PatchOperation::Copy(by) => {
            let value = look(root, by.from.as_ptr())?;
            budget.spend(value, path)?;
            let value = value.copied();
            insert(root, path, value)?;
        }
        PatchOperation::Test(by) => {
            if !look(root, path)?.equals(&by.value) {
                return Err(Failed {
                    path,
                    problem: PatchProblem::TestFailed,
                });
            }
        }
    }
    Ok(())
}

/// How many values a patch may still add.
struct Budget(usize);

impl Budget {
    fn spend<'p>(&mut self, value: At<'_, '_>, path: &'p Pointer) -> Result<(), Failed<'p>> {
        self.nests(value, path)?;
        let (values, _) = value.extent();
        self.0 = self.0.checked_sub(values).ok_or(Failed {
            path,
            problem: PatchProblem::TooLarge,
        })?;
        Ok(())
    }

    fn nests<'p>(&self, value: At<'_, '_>, path: &'p Pointer) -> Result<(), Failed<'p>> {
        let (_, depth) = value.extent();
        if path.count() + depth > MAX_DEPTH {
            return Err(Failed {
                path,
                problem: PatchProblem::TooDeep,
            });
        }
        Ok(())
    }
}

fn no_such_value(path: &Pointer) -> Failed<'_> {
    Failed {
        path,
        problem: PatchProblem::NoSuchValue,
    }
}

fn look<'t, 'a: 't, 'p>(root: &'t Tree<'a>, path: &'p Pointer) -> Result<At<'t, 'a>, Failed<'p>> {
    path.tokens().try_fold(root.at(), |at, token| {
        at.child(&token.decoded()).ok_or(no_such_value(path))
    })
}

/// Opens everything on the way; only where there is something.
fn find<'t, 'a, 'p>(
    root: &'t mut Tree<'a>,
    path: &'p Pointer,
) -> Result<&'t mut Tree<'a>, Failed<'p>> {
    look(root, path)?;
    path.tokens().try_fold(root, |tree, token| {
        let token = token.decoded();
        match tree.open() {
            Content::Null | Content::Scalar { .. } => None,
            Content::Seq(items) => index(&token).and_then(|index| items.get_mut(index)),
            Content::Map(entries) => entries
                .iter_mut()
                .find(|(key, _)| *key == token)
                .map(|(_, value)| value),
        }
        .ok_or(no_such_value(path))
    })
}

/// What adding would replace: the whole, or the value of a key.
fn existing<'t, 'a>(root: &'t mut Tree<'a>, path: &Pointer) -> Option<&'t mut Tree<'a>> {
    if let Some((parent, _)) = path.split_back()
        && !matches!(look(root, parent).ok()?.seen(), super::tree::Seen::Map)
    {
        return None;
    }
    find(root, path).ok()
}

fn insert<'a, 'p>(
    root: &mut Tree<'a>,
    path: &'p Pointer,
    value: Tree<'a>,
) -> Result<(), Failed<'p>> {
    let Some((parent, last)) = path.split_back() else {
        root.settle(&value.at().json());
        return Ok(());
    };
    let token = last.decoded();
    look(root, parent).map_err(|_| no_such_value(path))?;
    let parent = find(root, parent).map_err(|_| no_such_value(path))?;
    match parent.open() {
        Content::Null | Content::Scalar { .. } => Err(no_such_value(path)),
        Content::Seq(items) => {
            let place = match &*token {
                "-" => Some(items.len()),
                token => index(token).filter(|index| *index <= items.len()),
            };
            let place = place.ok_or(Failed {
                path,
                problem: PatchProblem::BadIndex,
            })?;
            items.insert(place, value);
            Ok(())
        }
        Content::Map(entries) => {
            match entries.iter_mut().find(|(key, _)| *key == token) {
                Some((_, entry)) => *entry = value,
                None => entries.push((token.into_owned(), value)),
            }
            Ok(())
        }
    }
}

fn remove<'a, 'p>(root: &mut Tree<'a>, path: &'p Pointer) -> Result<Tree<'a>, Failed<'p>> {
    let Some((parent, last)) = path.split_back() else {
        return Err(Failed {
            path,
            problem: PatchProblem::WholeDocument,
        });
    };
    look(root, path)?;
    let token = last.decoded();
    match find(root, parent).map_err(|_| no_such_value(path))?.open() {
        Content::Null | Content::Scalar { .. } => None,
        Content::Seq(items) => index(&token)
            .filter(|index| *index < items.len())
            .map(|index| items.remove(index)),
        Content::Map(entries) => entries
            .iter()
            .position(|(key, _)| *key == token)
            .map(|index| entries.remove(index).1),
    }
    .ok_or(no_such_value(path))
}
