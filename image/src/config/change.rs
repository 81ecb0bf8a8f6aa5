//! `config set` and `config delete`: values at paths, as operations on the candidate (RFC 6902).
//!
//! Several are one change: the candidate takes all of them or none, and in between it may be wrong.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;

use super::path::{Found, Missing, Path, PathError};

/// What is to be done at a path.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(Path, Value),
    Delete(Path),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(
        "'{0}' would be a new entry, which is a map: {{from: trust, to: untrust, action: permit}}"
    )]
    NotAnEntry(String),
    #[error("{0}")]
    Patch(#[from] json_patch::PatchError),
}

/// The operations that make all changes, one after the other.
pub(super) fn operations(document: &Value, changes: &[Change]) -> Result<Patch, ChangeError> {
    let mut document = document.clone();
    let mut all = Vec::new();
    for change in changes {
        let operation = match change {
            Change::Set(path, value) => set(&document, path.locate(&document)?, value.clone())?,
            Change::Delete(path) => PatchOperation::Remove(RemoveOperation {
                path: path.find(&document)?,
            }),
        };
        json_patch::patch(&mut document, std::slice::from_ref(&operation))?;
        all.push(operation);
    }
    Ok(Patch(all))
}

fn set(document: &Value, found: Found, value: Value) -> Result<PatchOperation, ChangeError> {
    let Found { pointer, missing } = found;
    let Some((first, rest)) = missing.split_first() else {
        return Ok(PatchOperation::Replace(ReplaceOperation {
            path: pointer,
            value,
        }));
    };
    let value = rest
        .iter()
        .rev()
        .fold(value, |value, missing| missing.around(value));
    if let Missing::Named { name, .. } = first
        && !value.is_object()
    {
        return Err(ChangeError::NotAnEntry(name.clone()));
    }
    Ok(match first {
        Missing::Key(key) => add(pointer.with_trailing_token(key.as_str()), value),
        Missing::Named { .. } => add(pointer.with_trailing_token("-"), first.around(value)),
        Missing::Entry => match document.pointer(pointer.as_str()) {
            Some(Value::Array(_)) => add(pointer.with_trailing_token("-"), value),
            // A single value stands for a list of one.
            Some(only) if !only.is_null() => PatchOperation::Replace(ReplaceOperation {
                path: pointer,
                value: Value::Array(vec![only.clone(), value]),
            }),
            _ => PatchOperation::Replace(ReplaceOperation {
                path: pointer,
                value: Value::Array(vec![value]),
            }),
        },
    })
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(path: &str, value: Value) -> Change {
        Change::Set(path.parse().unwrap(), value)
    }

    fn delete(path: &str) -> Change {
        Change::Delete(path.parse().unwrap())
    }

    /// What the changes make of a document.
    fn made(document: &Value, changes: &[Change]) -> Result<Value, ChangeError> {
        let Patch(operations) = operations(document, changes)?;
        let mut made = document.clone();
        json_patch::patch(&mut made, &operations).unwrap();
        Ok(made)
    }

    #[test]
    fn a_value_is_replaced_added_or_made_with_all_above_it() {
        let document = json!({"policies": [{"name": "web", "action": "deny"}], "zones": {"a": {"interfaces": "x"}}});
        for (change, pointer, expected) in [
            (
                set("policies.web.action", json!("permit")),
                "/policies/0/action",
                json!("permit"),
            ),
            (
                set("policies.web.log", json!(["start"])),
                "/policies/0/log/0",
                json!("start"),
            ),
            (
                set("policies.new", json!({"action": "deny"})),
                "/policies/1",
                json!({"name": "new", "action": "deny"}),
            ),
            (
                set("policies[+]", json!({"name": "new"})),
                "/policies/1/name",
                json!("new"),
            ),
            (
                set("nat.pools.public.addresses", json!(["192.0.2.0/28"])),
                "/nat/pools/public/addresses/0",
                json!("192.0.2.0/28"),
            ),
            (
                set("nat.source[+]", json!({"name": "x"})),
                "/nat/source/0/name",
                json!("x"),
            ),
            (
                set("zones.a.interfaces[+]", json!("y")),
                "/zones/a/interfaces",
                json!(["x", "y"]),
            ),
        ] {
            let made = made(&document, std::slice::from_ref(&change)).unwrap();
            assert_eq!(made.pointer(pointer), Some(&expected), "{change:?}: {made}");
        }
    }

    #[test]
    fn later_changes_see_the_earlier_ones() {
        let document = json!({"policies": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
        let changes = [
            delete("policies.a"),
            set("policies.c.action", json!("deny")),
            delete("policies[0]"),
        ];
        let made = made(&document, &changes).unwrap();
        assert_eq!(made, json!({"policies": [{"name": "c", "action": "deny"}]}));
    }

    #[test]
    fn a_new_entry_is_no_word() {
        let document = json!({"policies": [{"name": "web", "action": "deny"}]});
        let error = made(&document, &[set("policies.wbe", json!("permit"))]).unwrap_err();
        assert!(
            error.to_string().starts_with("'wbe' would be a new entry"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_there_is_not_deleted() {
        let error = made(&json!({"zones": {"trust": {}}}), &[delete("zones.trsut")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no 'trsut' in zones; did you mean 'trust'?"
        );
    }
}
