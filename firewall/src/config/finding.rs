//! Findings with the place in the document that machines point at: a JSON pointer (RFC 6901).
//!
//! # Limits
//! A block begins where its first key does, and only line and column are known of a finding: what is
//! said about a block is pointed at its first key, unless it is that a key is missing: that is pointed at
//! where it would be. What is not part of the document (a key that is there twice, broken YAML) has the
//! empty pointer.

use std::collections::HashMap;

use json_patch::jsonptr::{PointerBuf, Token};
use rules::{Diagnostic, Findings, Place, Severity};
use serde::Serialize;

use super::json;
use super::yaml::{self, Kind, Node};

/// One finding, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Empty for the document as a whole.
    pub pointer: String,
    #[serde(flatten)]
    pub place: Place,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Finding {
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// What was found in a text, with pointers into it.
#[must_use]
pub fn findings(text: &str, diagnostics: &[Diagnostic]) -> Vec<Finding> {
    let mut pointers: HashMap<Place, Pointers> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.place != Place::NONE)
        .map(|diagnostic| (diagnostic.place, Pointers::default()))
        .collect();
    if !pointers.is_empty()
        && let Some(root) = yaml::parse(text, &mut Findings::default())
    {
        collect(&root, &mut PointerBuf::root(), &mut pointers);
    }
    let point = |diagnostic: &Diagnostic| {
        let of = pointers.get(&diagnostic.place);
        let block = of.and_then(|of| of.block.as_deref());
        match diagnostic.missing {
            Some(key) => format!(
                "{}/{}",
                block.unwrap_or_default(),
                Token::new(key).encoded()
            ),
            None => {
                let value = of.and_then(|of| of.value.as_deref());
                value.or(block).unwrap_or_default().to_owned()
            }
        }
    };
    diagnostics
        .iter()
        .map(|diagnostic| Finding {
            severity: diagnostic.severity,
            pointer: point(diagnostic),
            place: diagnostic.place,
            message: diagnostic.message.clone(),
            suggestion: diagnostic.suggestion.clone(),
        })
        .collect()
}

/// What begins at a place.
#[derive(Default)]
struct Pointers {
    /// A list or a map.
    block: Option<String>,
    /// A scalar, or a key.
    value: Option<String>,
}

/// Where a text repeats itself by aliases, the first pointer counts.
fn collect(node: &Node, path: &mut PointerBuf, pointers: &mut HashMap<Place, Pointers>) {
    let own = pointers.get_mut(&node.place);
    match &node.kind {
        Kind::Null | Kind::Scalar { .. } => {
            if let Some(own) = own {
                own.value.get_or_insert_with(|| path.to_string());
            }
        }
        Kind::Seq(items) => {
            if let Some(own) = own {
                own.block.get_or_insert_with(|| path.to_string());
            }
            for (index, item) in items.iter().enumerate() {
                path.push_back(index);
                collect(item, path, pointers);
                path.pop_back();
            }
        }
        Kind::Map(entries) => {
            if let Some(own) = own {
                own.block.get_or_insert_with(|| path.to_string());
            }
            for (key, value) in entries {
                path.push_back(json::key_of(key));
                if let Some(at_key) = pointers.get_mut(&key.place) {
                    at_key.value.get_or_insert_with(|| path.to_string());
                }
                collect(value, path, pointers);
                path.pop_back();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, parse};

    /// `POINTER MESSAGE` of everything that is found in a text.
    fn found(text: &str) -> Vec<String> {
        let diagnostics = match parse(text, "test.yaml") {
            Ok(config) => config.warnings,
            Err(ConfigError::Invalid(report)) => report.diagnostics,
            Err(error @ ConfigError::Unreadable { .. }) => panic!("{error}"),
        };
        findings(text, &diagnostics)
            .into_iter()
            .map(|finding| format!("{} {}", finding.pointer, finding.message))
            .collect()
    }

    #[track_caller]
    fn points(text: &str, pointer: &str, message: &str) {
        let found = found(text);
        assert!(
            found
                .iter()
                .any(|line| line.starts_with(&format!("{pointer} ")) && line.contains(message)),
            "no {pointer:?} {message:?} in {found:#?}"
        );
    }

    const SMALL: &str = "version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
zones:
  trust: { interfaces: [left] }
";

    #[test]
    fn a_value_a_key_and_a_list_are_pointed_at() {
        let policies = "policies:\n  - name: x\n    from: trsut\n    to: [trust, nowhere]\n    action: permit\n    colour: red\n";
        let text = format!("{SMALL}{policies}");
        points(&text, "/policies/0/from", "trsut");
        points(&text, "/policies/0/to/1", "nowhere");
        points(&text, "/policies/0/colour", "unknown key");
    }

    #[test]
    fn what_is_missing_is_pointed_at_where_it_would_be() {
        points(
            &format!("{SMALL}policies:\n  - name: x\n    from: trust\n    action: permit\n"),
            "/policies/0/to",
            "'to' is missing",
        );
        points("interfaces: {}\n", "/version", "'version' is missing");
        points("# Nothing yet.\n{}\n", "/version", "'version' is missing");
        points(
            &format!("{SMALL}services:\n  shop: {{ domains: [shop.example] }}\n"),
            "/services/shop/category",
            "'category' is missing",
        );
    }

    #[test]
    fn a_key_with_a_slash_is_escaped() {
        points(
            &format!("{SMALL}addresses:\n  a/b: [192.0.2.1]\n"),
            "/addresses/a~1b",
            "no name",
        );
    }

    #[test]
    fn a_json_document_is_read_with_its_places() {
        let text = "{\"version\": 1,\n \"zones\": {\"trust\": {\"interfaces\": [\"lfet\"]}}}";
        points(text, "/zones/trust/interfaces/0", "lfet");
    }

    #[test]
    fn broken_yaml_is_the_whole_document() {
        points("a: [", "", "");
    }
}
