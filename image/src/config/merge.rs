//! `config load --merge`: a document on top of the candidate.
//!
//! Maps are merged key by key, lists of named things entry by entry; what has a new name goes to the end.
//! Everything else replaces what was there. Nothing is ever taken away.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation};
use serde_json::Value;

use super::path::key_of;

/// The operations (RFC 6902) that put `new` on top of `old`.
pub(super) fn operations(old: &Value, new: &Value) -> Patch {
    let mut operations = Vec::new();
    merge(old, new, &PointerBuf::new(), &mut operations);
    Patch(operations)
}

fn merge(old: &Value, new: &Value, pointer: &PointerBuf, operations: &mut Vec<PatchOperation>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in after {
                let path = pointer.with_trailing_token(key.as_str());
                match before.get(key) {
                    Some(before) => merge(before, value, &path, operations),
                    None => operations.push(add(path, value)),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if are_named_alike(old, new) => {
            let key = key_of(new).unwrap_or_default();
            for entry in after {
                let known = before
                    .iter()
                    .position(|known| known.get(key) == entry.get(key));
                match known {
                    Some(index) => {
                        let path = pointer.with_trailing_token(index.to_string().as_str());
                        merge(&before[index], entry, &path, operations);
                    }
                    None => operations.push(add(pointer.with_trailing_token("-"), entry)),
                }
            }
        }
        _ => operations.push(PatchOperation::Replace(ReplaceOperation {
            path: pointer.clone(),
            value: new.clone(),
        })),
    }
}

fn are_named_alike(old: &Value, new: &Value) -> bool {
    key_of(new).is_some_and(|key| key_of(old) == Some(key))
}

fn add(path: PointerBuf, value: &Value) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path,
        value: value.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(old: &Value, new: &Value) -> Value {
        let mut merged = old.clone();
        json_patch::patch(&mut merged, &operations(old, new).0).unwrap();
        merged
    }

    #[test]
    fn named_things_are_changed_or_added_and_none_is_lost() {
        let old = json!({"version": 1, "zones": {"trust": {"interfaces": ["left"]}},
            "policies": [{"name": "a", "action": "deny", "log": ["start"]}, {"name": "b"}]});
        let new = json!({"version": 1, "zones": {"dmz": {}},
            "policies": [{"name": "c"}, {"name": "a", "action": "permit"}]});
        let expected = json!({"version": 1, "zones": {"trust": {"interfaces": ["left"]}, "dmz": {}},
            "policies": [{"name": "a", "action": "permit", "log": ["start"]}, {"name": "b"}, {"name": "c"}]});
        assert_eq!(merged(&old, &new), expected);
        assert_eq!(operations(&old, &old).0, []);
    }

    #[test]
    fn a_list_of_words_is_replaced() {
        let old = json!({"addresses": {"lan": ["192.0.2.0/24", "2001:db8::/64"]}});
        let new = json!({"addresses": {"lan": ["192.0.2.0/25"]}});
        assert_eq!(merged(&old, &new), new);
    }
}
