//! YAML text into a tree whose every node knows its place.
//!
//! The only module that knows the YAML library. It composes the tree from the parser's events itself,
//! because a scalar must keep its text: `0123`, `1_000` or `12e4` may be a name, and `443` a port or
//! a string, which only the reader of that place can tell.
//!
//! # Limits
//! Size, depth and the number of nodes are bounded, aliases included. Tags and merge keys have no
//! meaning. One document a file.

mod composer;

use rules::{Findings, Place};
use serde_saphyr::granit_parser::Parser;

use composer::{Composer, Fatal, place_at};

/// The largest document.
pub const MAX_BYTES: usize = 8 << 20;
/// The shape of a configuration needs eight.
pub(super) const MAX_DEPTH: usize = 32;
pub(super) const MAX_NODES: u32 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Different for every node of a tree.
    pub(super) id: u32,
    pub(super) place: Place,
    pub(super) source: Source,
    pub(super) kind: Kind,
}

/// How a node is written in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Bytes; without the anchor before it. A block list starts at its first item, dash included or
    /// not.
    pub(super) start: usize,
    /// Of a block scalar, whitespace behind it may be included.
    pub(super) end: usize,
    pub(super) style: Style,
    /// The anchor that it has; 0 for none.
    pub(super) anchor: usize,
    /// The anchor that it repeats; 0 for none. What is below such a node is written elsewhere.
    pub(super) alias: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Lists and maps by indentation; scalars after `|` and `>`.
    Block,
    /// Lists and maps in brackets; all other scalars.
    Flow,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    /// A quoted scalar is never anything but a string; a plain one is what its reader expects.
    Scalar {
        text: String,
        quoted: bool,
    },
    Seq(Vec<Node>),
    /// Keys are scalars, and no two are equal.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null | Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    /// The node and everything below it.
    pub(super) fn all(&self) -> Vec<&Node> {
        let mut found = vec![self];
        let mut next = 0;
        while next < found.len() {
            match &found[next].kind {
                Kind::Null | Kind::Scalar { .. } => {}
                Kind::Seq(items) => found.extend(items),
                Kind::Map(entries) => {
                    found.extend(entries.iter().flat_map(|(key, value)| [key, value]));
                }
            }
            next += 1;
        }
        found
    }
}

/// The tree of the text; `None` where it cannot be read at all. An empty text is `Null`.
pub(super) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let start = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        findings.error(
            start,
            format!("the document is larger than {} MiB", MAX_BYTES >> 20),
        );
        return None;
    }
    let mut composer = Composer::new(findings);
    for event in Parser::new_from_str(text) {
        let outcome = match event {
            Ok((event, span)) => composer.event(event, &span),
            Err(error) => {
                let mark = error.marker();
                Err(Fatal {
                    place: place_at(mark.line(), mark.col()),
                    message: error.info(),
                })
            }
        };
        if let Err(Fatal { place, message }) = outcome {
            findings.error(place, message);
            return None;
        }
    }
    Some(composer.root.unwrap_or(Node {
        id: 0,
        place: start,
        source: Source {
            start: text.len(),
            end: text.len(),
            style: Style::Flow,
            anchor: 0,
            alias: 0,
        },
        kind: Kind::Null,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(u32, u32, String)> {
        let mut findings = Findings::default();
        parse(text, &mut findings);
        let found = findings.into_sorted().into_iter();
        found
            .map(|finding| (finding.place.line, finding.place.column, finding.message))
            .collect()
    }

    #[test]
    fn scalars_keep_their_text() {
        let mut findings = Findings::default();
        let text = "[1024-65535, 10m, 0.0.0.0/0, 8080, 0123, \"2001:db8::1/64\", 192.0.2.40-192.0.2.50, 1e3, yes]";
        let root = parse(text, &mut findings).unwrap();
        let texts: Vec<_> = root.all().into_iter().filter_map(Node::text).collect();
        let expected = [
            "1024-65535",
            "10m",
            "0.0.0.0/0",
            "8080",
            "0123",
            "2001:db8::1/64",
            "192.0.2.40-192.0.2.50",
            "1e3",
            "yes",
        ];
        assert_eq!(texts, expected);
        assert!(findings.is_empty());
    }

    #[test]
    fn nodes_know_line_and_column() {
        let root = parse("a: 1\nb:\n  - x\n  - {c: y}\n", &mut Findings::default()).unwrap();
        let places: Vec<_> = root
            .all()
            .into_iter()
            .filter_map(|node| Some((node.text()?, node.place.line, node.place.column)))
            .collect();
        assert_eq!(
            places,
            [
                ("a", 1, 1),
                ("1", 1, 4),
                ("b", 2, 1),
                ("x", 3, 5),
                ("c", 4, 6),
                ("y", 4, 9)
            ]
        );
    }

    #[test]
    fn a_duplicate_key_is_reported_where_it_is_repeated() {
        assert_eq!(
            problems("a: 1\nb: 2\na: 3\n"),
            [(3, 1, "the key 'a' is here twice".to_owned())]
        );
    }

    #[test]
    fn broken_yaml_says_where() {
        let found = problems("a: [1, 2\nb: 3\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, 2);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let members = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{members}]\n"));
        }
        let found = problems(&text);
        assert_eq!(found.len(), 1);
        assert!(found[0].2.contains("more than 1000000 values"), "{found:?}");
    }

    #[test]
    fn an_alias_into_itself_is_refused() {
        assert_eq!(
            problems("a: &a [*a]\n")[0].2,
            "this alias stands inside what it stands for"
        );
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("{}{}", "[".repeat(60), "]".repeat(60));
        assert!(problems(&text)[0].2.contains("deeper"));
    }

    #[test]
    fn tags_and_second_documents_are_refused() {
        assert!(problems("a: !!int 5\n")[0].2.contains("tags"));
        assert!(
            problems("a: 1\n---\nb: 2\n")[0]
                .2
                .contains("second document")
        );
    }
}
