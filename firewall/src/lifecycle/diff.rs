//! What leads from one configuration to another: for people the lines, for programs a JSON patch.
//!
//! Items of a list are the same where their names are, or else where they are equal. So a policy that
//! was put elsewhere has moved, and one that was changed has changed, and those around it have not.

use std::collections::{HashMap, HashSet};

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, MoveOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation,
};
use serde::Serialize;
use serde_json::Value;

use super::text::Text;
use super::unified::unified;
use crate::config::edit::{identity, longest_run};

/// From one configuration to another.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    pub changed: bool,
    /// Unified, of the texts.
    pub text: String,
    /// RFC 6902, of the documents: applied to the one it gives the other.
    pub patch: Patch,
}

pub(super) fn between(from: &Text, to: &Text, names: [&str; 2]) -> Diff {
    let mut operations = Vec::new();
    value(from.json(), to.json(), &PointerBuf::root(), &mut operations);
    Diff {
        changed: from.etag != to.etag,
        text: unified(&from.yaml, &to.yaml, names),
        patch: Patch(operations),
    }
}

fn value(from: &Value, to: &Value, path: &PointerBuf, out: &mut Vec<PatchOperation>) {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            for (key, old) in from {
                let path = path.with_trailing_token(key);
                match to.get(key) {
                    Some(new) => value(old, new, &path, out),
                    None => out.push(PatchOperation::Remove(RemoveOperation { path })),
                }
            }
            for (key, new) in to.iter().filter(|(key, _)| !from.contains_key(*key)) {
                out.push(PatchOperation::Add(AddOperation {
                    path: path.with_trailing_token(key),
                    value: new.clone(),
                }));
            }
        }
        (Value::Array(from), Value::Array(to)) => list(from, to, path, out),
        (from, to) if from == to => {}
        (_, to) => out.push(PatchOperation::Replace(ReplaceOperation {
            path: path.clone(),
            value: to.clone(),
        })),
    }
}

/// First what is gone goes, then everything comes to its place behind what is before it there, then
/// the items themselves change.
fn list(from: &[Value], to: &[Value], path: &PointerBuf, out: &mut Vec<PatchOperation>) {
    let at = |index: usize| path.with_trailing_token(index);
    let mut ids = HashMap::new();
    let old = identify(from, &mut ids);
    let wanted = identify(to, &mut ids);
    let places: HashMap<usize, usize> = (0..).zip(&old).map(|(place, id)| (*id, place)).collect();
    let stay: Vec<bool> = {
        let places: Vec<_> = wanted.iter().map(|id| places.get(id).copied()).collect();
        longest_run(&places)
    };

    let kept: HashSet<usize> = wanted.iter().copied().collect();
    let mut now = Vec::with_capacity(wanted.len());
    for (place, id) in old.iter().enumerate().rev() {
        if kept.contains(id) {
            now.push(*id);
        } else {
            out.push(PatchOperation::Remove(RemoveOperation { path: at(place) }));
        }
    }
    now.reverse();

    let mut before = None;
    for ((item, id), stays) in to.iter().zip(&wanted).zip(stay) {
        let previous = before.replace(*id);
        if stays {
            continue;
        }
        let was = now.iter().position(|known| known == id);
        if let Some(was) = was {
            now.remove(was);
        }
        let behind = now.iter().position(|known| Some(*known) == previous);
        let place = behind.map_or(0, |index| index + 1);
        now.insert(place, *id);
        out.push(match was {
            Some(was) => PatchOperation::Move(MoveOperation {
                from: at(was),
                path: at(place),
            }),
            None => PatchOperation::Add(AddOperation {
                path: at(place),
                value: item.clone(),
            }),
        });
    }

    for (index, (item, id)) in to.iter().zip(&wanted).enumerate() {
        if let Some(old) = places.get(id).and_then(|place| from.get(*place)) {
            value(old, item, &at(index), out);
        }
    }
}

/// A number for every item, the same for the same items of both lists, and different within one.
fn identify(items: &[Value], ids: &mut HashMap<(String, usize), usize>) -> Vec<usize> {
    let mut times = HashMap::<String, usize>::new();
    items
        .iter()
        .map(|item| {
            let identity = identity(item);
            let time = times.entry(identity.clone()).or_default();
            *time += 1;
            let next = ids.len();
            *ids.entry((identity, *time)).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn patch(from: &Value, to: &Value) -> Value {
        let mut operations = Vec::new();
        value(from, to, &PointerBuf::root(), &mut operations);
        let patch = Patch(operations);
        let mut patched = from.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        assert_eq!(&patched, to, "{patch}");
        serde_json::to_value(patch).unwrap()
    }

    fn policies(names: &str) -> Value {
        let policy =
            |name: char| json!({"name": name.to_string(), "from": "trust", "log": ["start"]});
        json!({ "policies": names.chars().map(policy).collect::<Vec<_>>() })
    }

    #[test]
    fn a_policy_that_is_put_elsewhere_has_moved() {
        assert_eq!(
            patch(&policies("abcd"), &policies("bcda")),
            json!([{"op": "move", "from": "/policies/0", "path": "/policies/3"}])
        );
        assert_eq!(
            patch(&policies("abcd"), &policies("dabc")),
            json!([{"op": "move", "from": "/policies/3", "path": "/policies/0"}])
        );
    }

    #[test]
    fn a_policy_that_comes_first_changes_no_other() {
        let patch = patch(&policies("abc"), &policies("xabc"));
        assert_eq!(patch.as_array().unwrap().len(), 1);
        assert_eq!(
            (&patch[0]["op"], &patch[0]["path"]),
            (&json!("add"), &json!("/policies/0"))
        );
    }

    #[test]
    fn a_policy_that_moves_and_changes_is_found_by_its_name() {
        let from = policies("abc");
        let mut to = policies("cab");
        to["policies"][0]["log"] = json!(["start", "end"]);
        assert_eq!(
            patch(&from, &to),
            json!([
                {"op": "move", "from": "/policies/2", "path": "/policies/0"},
                {"op": "add", "path": "/policies/0/log/1", "value": "end"},
            ])
        );
    }

    #[test]
    fn what_is_gone_is_removed_by_its_place() {
        assert_eq!(
            patch(&policies("abcd"), &policies("bd")),
            json!([{"op": "remove", "path": "/policies/2"}, {"op": "remove", "path": "/policies/0"}])
        );
    }

    #[test]
    fn the_text_shows_the_lines() {
        let (from, to) = (Text::new("a: 1\nb: 2\n"), Text::new("a: 1\nb: 3\n"));
        let diff = between(&from, &to, ["revision 1", "candidate"]);
        assert_eq!(
            diff.text,
            "--- revision 1\n+++ candidate\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
        );
        assert!(diff.changed && !between(&from, &from, ["", ""]).changed);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            (0..4u8).prop_map(|n| json!(n)),
            "[ab~/]{0,2}".prop_map(|text| json!(text))
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::vec(("[a-d/~]|name", inner.clone()), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
                proptest::collection::vec(("[a-f]", inner), 0..7).prop_map(|items| {
                    items
                        .into_iter()
                        .map(|(name, value)| json!({"name": name, "value": value}))
                        .collect()
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_patch_leads_exactly_there(from in values(), to in values()) {
            patch(&from, &to);
        }
    }
}
