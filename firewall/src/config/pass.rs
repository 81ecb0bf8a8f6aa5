//! What the reader's passes learn: mistakes, and what to leave out of the next pass.

use std::cell::RefCell;
use std::collections::HashSet;

use rules::{Findings, suggest};

use super::mistake::Mistake;
use super::yaml::{Kind, Node};

/// What the passes have learnt so far.
#[derive(Default)]
pub(super) struct Pass {
    findings: RefCell<Findings>,
    left_out: RefCell<HashSet<u32>>,
    /// Values of keys that nothing knows or resembles; leaving them out loses nothing.
    strangers: RefCell<HashSet<u32>>,
    /// Keys missing from a map, reported or known to be a mistake of another kind.
    missing: RefCell<Vec<(u32, &'static str)>>,
    /// Keys that an unknown key of a map was probably meant to be.
    misspelt: RefCell<HashSet<(u32, String)>>,
}

impl Pass {
    pub(super) fn is_left_out(&self, node: &Node) -> bool {
        self.left_out.borrow().contains(&node.id)
    }

    pub(super) fn leave_out(&self, node: &Node) -> Mistake {
        self.left_out.borrow_mut().insert(node.id);
        Mistake::Reported
    }

    /// A mistake that costs the node.
    pub(super) fn report(
        &self,
        node: &Node,
        message: String,
        suggestion: Option<String>,
    ) -> Mistake {
        self.findings
            .borrow_mut()
            .error_with_suggestion(node.place, message, suggestion);
        self.leave_out(node)
    }

    pub(super) fn unknown_key(
        &self,
        map: &Node,
        key: &Node,
        value: &Node,
        expected: &[&str],
    ) -> Mistake {
        let name = key.text().unwrap_or("~");
        let suggestion = suggest(name, expected);
        match &suggestion {
            Some(meant) => {
                self.misspelt.borrow_mut().insert((map.id, meant.clone()));
            }
            None => {
                self.strangers.borrow_mut().insert(value.id);
            }
        }
        let message = match expected {
            [] => format!("unknown key '{name}': nothing may stand here"),
            _ if suggestion.is_some() => format!("unknown key '{name}'"),
            _ => format!("unknown key '{name}': one of {}", expected.join(", ")),
        };
        self.findings
            .borrow_mut()
            .error_with_suggestion(key.place, message, suggestion);
        self.leave_out(value)
    }

    pub(super) fn missing_key(&self, map: &Node, name: &'static str) {
        let mut missing = self.missing.borrow_mut();
        let known = missing.contains(&(map.id, name));
        let misspelt = self.misspelt.borrow().contains(&(map.id, name.to_owned()));
        let unreadable = entries(map)
            .iter()
            .any(|(key, value)| key.text() == Some(name) && self.is_left_out(value));
        if !known {
            missing.push((map.id, name));
        } else {
            // Not even standing in for it helped.
            self.leave_out(map);
        }
        if !known && !misspelt && !unreadable {
            let mut findings = self.findings.borrow_mut();
            findings.missing_key(map.place, name, "");
        }
    }

    pub(super) fn missing_from(&self, map: &Node) -> Vec<&'static str> {
        self.missing
            .borrow()
            .iter()
            .filter(|(id, _)| *id == map.id)
            .map(|(_, name)| *name)
            .collect()
    }

    /// True if every section was read, if not in full. `section` is what the root is; of a whole document, nothing.
    pub(super) fn finish(self, root: &Node, section: &str, findings: &mut Findings) -> bool {
        findings.append(self.findings.into_inner());
        let left_out = self.left_out.into_inner();
        if left_out.is_empty() {
            return true;
        }
        mark_damage(section, root, &left_out, findings);
        mark_places(root, &left_out, findings);
        let strangers = self.strangers.into_inner();
        let lost = |node: &Node| left_out.contains(&node.id) && !strangers.contains(&node.id);
        let is_whole = || !entries(root).iter().any(|(_, section)| lost(section));
        !lost(root) && (!section.is_empty() || is_whole())
    }
}

/// Marks every entry of a map inside `holder` that lost something, by the dotted path to its map:
/// `zones`, `nat.pools`.
fn mark_damage(path: &str, holder: &Node, left_out: &HashSet<u32>, findings: &mut Findings) {
    for (key, value) in entries(holder) {
        if !value.all().iter().any(|node| left_out.contains(&node.id)) {
            continue;
        }
        let name = key.text().unwrap_or("~");
        if path.is_empty() {
            mark_damage(name, value, left_out, findings);
        } else {
            findings.mark_damaged(path, name);
            mark_damage(&format!("{path}.{name}"), value, left_out, findings);
        }
    }
}

/// Marks every map and list inside `node`, itself included, of which anything was left out. Whether that is so of the node.
fn mark_places(node: &Node, left_out: &HashSet<u32>, findings: &mut Findings) -> bool {
    let mut mark = |below: &mut dyn Iterator<Item = &Node>| {
        let mut lost = false;
        for node in below {
            lost |= mark_places(node, left_out, findings);
        }
        if lost {
            findings.mark_damaged_at(node.place);
        }
        lost
    };
    let lost_below = match &node.kind {
        Kind::Null | Kind::Scalar { .. } => false,
        Kind::Seq(items) => mark(&mut items.iter()),
        Kind::Map(entries) => mark(&mut entries.iter().map(|(_, value)| value)),
    };
    lost_below || left_out.contains(&node.id)
}

pub(super) fn entries(node: &Node) -> &[(Node, Node)] {
    match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null | Kind::Scalar { .. } | Kind::Seq(_) => &[],
    }
}
