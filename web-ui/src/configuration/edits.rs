//! What is asked of a collection, as operations on the document (RFC 6902).
//!
//! An edit touches as little of the document as it can, so that the rest of the user's text, comments
//! included, stays as it is. Works on two views of one document: `written`, which is what operations
//! are applied to, and `shown`, in which lists are always lists and defaults are left out.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

use super::collection::{Collection, Shape};

/// Where something goes in an ordered collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Last,
    Before(String),
    After(String),
    /// From 1.
    Position(usize),
}

/// Why there is no such edit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Impossible {
    #[error("there is no {noun} '{name}'")]
    NoSuch { noun: &'static str, name: String },
    #[error("there is a {noun} '{name}' already")]
    Exists { noun: &'static str, name: String },
    #[error("the place is given by '{name}', which is moved itself")]
    RelativeToItself { name: String },
    #[error("'{name}' is named twice")]
    Twice { name: String },
    #[error("position {position} does not exist: from 1 to {last}")]
    NoSuchPosition { position: usize, last: usize },
}

type Operations = Vec<PatchOperation>;

/// The collection's entries as resources, in their order.
pub(super) fn resources(shown: &Value, collection: &Collection) -> Vec<Value> {
    let section = section(shown, collection);
    match (&collection.shape, section) {
        (Shape::Map { content }, Some(Value::Object(entries))) => entries
            .iter()
            .map(|(name, value)| resource(name, value.clone(), *content))
            .collect(),
        (Shape::List { .. }, Some(Value::Array(items))) => items.clone(),
        _ => Vec::new(),
    }
}

/// The name of a resource.
pub(super) fn name_of<'a>(resource: &'a Value, collection: &Collection) -> Option<&'a str> {
    resource.get(collection.key()).and_then(Value::as_str)
}

pub(super) fn find(shown: &Value, collection: &Collection, name: &str) -> Option<Value> {
    match (&collection.shape, section(shown, collection)?) {
        (Shape::Map { content }, Value::Object(entries)) => {
            Some(resource(name, entries.get(name)?.clone(), *content))
        }
        (Shape::List { .. }, Value::Array(items)) => items
            .iter()
            .find(|item| name_of(item, collection) == Some(name))
            .cloned(),
        _ => None,
    }
}

/// `body` has the collection's key.
pub(super) fn create(
    written: &Value,
    collection: &Collection,
    name: &str,
    body: Map<String, Value>,
    place: &Place,
) -> Result<Operations, Impossible> {
    let names = names(written, collection);
    if names.iter().any(|known| known == name) {
        return Err(Impossible::Exists {
            noun: collection.noun,
            name: name.to_owned(),
        });
    }
    let mut operations = make_section(written, collection);
    let at = match &collection.shape {
        Shape::Map { .. } => name.to_owned(),
        Shape::List { .. } => index_for(&names, place, collection)?.to_string(),
    };
    operations.push(add(
        collection.pointer().with_trailing_token(at.as_str()),
        entry(body, collection),
    ));
    Ok(operations)
}

/// Makes the entry what `body` says, by changing what differs.
pub(super) fn replace(
    written: &Value,
    shown: &Value,
    collection: &Collection,
    name: &str,
    body: Map<String, Value>,
) -> Result<Operations, Impossible> {
    let (pointer, before) = located(written, collection, name)?;
    let shown = shown.pointer(pointer.as_str()).unwrap_or(&Value::Null);
    let mut operations = Vec::new();
    differences(
        before,
        shown,
        entry(body, collection),
        &pointer,
        &mut operations,
    );
    Ok(operations)
}

pub(super) fn remove(
    written: &Value,
    collection: &Collection,
    name: &str,
) -> Result<Operations, Impossible> {
    let (path, _) = located(written, collection, name)?;
    Ok(vec![PatchOperation::Remove(RemoveOperation { path })])
}

/// Moves entries of a list to one place, where they stand in the order of `moved`.
pub(super) fn reorder(
    written: &Value,
    collection: &Collection,
    moved: &[String],
    place: &Place,
) -> Result<Operations, Impossible> {
    let mut names = names(written, collection);
    for (index, name) in moved.iter().enumerate() {
        if moved[..index].contains(name) {
            return Err(Impossible::Twice { name: name.clone() });
        }
        if !names.contains(name) {
            return Err(Impossible::NoSuch {
                noun: collection.noun,
                name: name.clone(),
            });
        }
    }
    if let Place::Before(anchor) | Place::After(anchor) = place
        && moved.contains(anchor)
    {
        return Err(Impossible::RelativeToItself {
            name: anchor.clone(),
        });
    }
    let staying: Vec<String> = names
        .iter()
        .filter(|name| !moved.contains(name))
        .cloned()
        .collect();
    let index = index_for(&staying, place, collection)?;
    let mut before = index
        .checked_sub(1)
        .and_then(|index| staying.get(index))
        .cloned();
    let mut operations = Vec::new();
    for name in moved {
        let Some(from) = names.iter().position(|known| known == name) else {
            continue;
        };
        let name = names.remove(from);
        let to = match &before {
            Some(before) => names
                .iter()
                .position(|known| known == before)
                .map_or(names.len(), |index| index + 1),
            None => 0,
        };
        if to != from {
            let at = |index: usize| {
                collection
                    .pointer()
                    .with_trailing_token(index.to_string().as_str())
            };
            operations.push(PatchOperation::Move(MoveOperation {
                from: at(from),
                path: at(to),
            }));
        }
        names.insert(to, name.clone());
        before = Some(name);
    }
    Ok(operations)
}

/// RFC 7396, on a resource.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

fn section<'a>(document: &'a Value, collection: &Collection) -> Option<&'a Value> {
    document.pointer(collection.pointer().as_str())
}

fn resource(name: &str, value: Value, content: Option<&'static str>) -> Value {
    let mut resource = Map::new();
    resource.insert("name".to_owned(), name.into());
    match (content, value) {
        (Some(content), value) => {
            resource.insert(content.to_owned(), value);
        }
        (None, Value::Object(fields)) => resource.extend(fields),
        (None, _) => {}
    }
    Value::Object(resource)
}

/// What stands in the document for a resource.
fn entry(mut body: Map<String, Value>, collection: &Collection) -> Value {
    match collection.shape {
        Shape::List { .. } => Value::Object(body),
        Shape::Map { content } => {
            body.shift_remove("name");
            match content {
                Some(content) => body.shift_remove(content).unwrap_or_default(),
                None => Value::Object(body),
            }
        }
    }
}

fn names(written: &Value, collection: &Collection) -> Vec<String> {
    match (&collection.shape, section(written, collection)) {
        (Shape::Map { .. }, Some(Value::Object(entries))) => entries.keys().cloned().collect(),
        (Shape::List { .. }, Some(Value::Array(items))) => items
            .iter()
            .map(|item| name_of(item, collection).unwrap_or_default().to_owned())
            .collect(),
        _ => Vec::new(),
    }
}

fn located<'a>(
    written: &'a Value,
    collection: &Collection,
    name: &str,
) -> Result<(PointerBuf, &'a Value), Impossible> {
    let no_such = || Impossible::NoSuch {
        noun: collection.noun,
        name: name.to_owned(),
    };
    let (token, value) = match (&collection.shape, section(written, collection)) {
        (Shape::Map { .. }, Some(Value::Object(entries))) => {
            (name.to_owned(), entries.get(name).ok_or_else(no_such)?)
        }
        (Shape::List { .. }, Some(Value::Array(items))) => items
            .iter()
            .enumerate()
            .find(|(_, item)| name_of(item, collection) == Some(name))
            .map(|(index, item)| (index.to_string(), item))
            .ok_or_else(no_such)?,
        _ => return Err(no_such()),
    };
    Ok((
        collection.pointer().with_trailing_token(token.as_str()),
        value,
    ))
}

/// Adds what the collection's entries need above them and is not there.
fn make_section(written: &Value, collection: &Collection) -> Operations {
    let mut operations = Vec::new();
    let mut pointer = PointerBuf::new();
    let last = collection.at.len() - 1;
    for (depth, token) in collection.at.iter().enumerate() {
        pointer = pointer.with_trailing_token(*token);
        if written.pointer(pointer.as_str()).is_none_or(Value::is_null) {
            let empty = match collection.shape {
                Shape::List { .. } if depth == last => Value::Array(Vec::new()),
                Shape::List { .. } | Shape::Map { .. } => Value::Object(Map::new()),
            };
            operations.push(add(pointer.clone(), empty));
        }
    }
    operations
}

fn index_for(
    names: &[String],
    place: &Place,
    collection: &Collection,
) -> Result<usize, Impossible> {
    let of = |anchor: &String| {
        names
            .iter()
            .position(|name| name == anchor)
            .ok_or_else(|| Impossible::NoSuch {
                noun: collection.noun,
                name: anchor.clone(),
            })
    };
    match place {
        Place::Last => Ok(names.len()),
        Place::Before(anchor) => of(anchor),
        Place::After(anchor) => of(anchor).map(|index| index + 1),
        &Place::Position(position) => {
            let last = names.len() + 1;
            if (1..=last).contains(&position) {
                Ok(position - 1)
            } else {
                Err(Impossible::NoSuchPosition { position, last })
            }
        }
    }
}

/// What leads from one value to another. Lists are replaced whole: their members have no names.
fn differences(
    written: &Value,
    shown: &Value,
    after: Value,
    pointer: &PointerBuf,
    operations: &mut Operations,
) {
    if *written == after || *shown == after {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (written, &after) else {
        operations.push(PatchOperation::Replace(ReplaceOperation {
            path: pointer.clone(),
            value: after,
        }));
        return;
    };
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        operations.push(PatchOperation::Remove(RemoveOperation {
            path: pointer.with_trailing_token(key.as_str()),
        }));
    }
    for (key, value) in after {
        let path = pointer.with_trailing_token(key.as_str());
        match before.get(key) {
            Some(old) => {
                let shown = shown.get(key).unwrap_or(&Value::Null);
                differences(old, shown, value.clone(), &path, operations);
            }
            None if shown.get(key) == Some(value) => {}
            None => operations.push(add(path, value.clone())),
        }
    }
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

/// RFC 7396, on a section that is one thing.
pub(super) fn merge_section(
    written: &Value,
    shown: &Value,
    name: &str,
    patch: Map<String, Value>,
) -> Operations {
    let pointer = PointerBuf::from_tokens([name]);
    let before = written.get(name).filter(|section| section.is_object());
    let shown = shown.get(name).cloned().unwrap_or_default();
    let mut wanted = before.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    merge(&mut wanted, &Value::Object(patch));
    let mut operations = Vec::new();
    match before {
        Some(before) => differences(before, &shown, wanted, &pointer, &mut operations),
        None => operations.push(add(pointer, wanted)),
    }
    operations
}
