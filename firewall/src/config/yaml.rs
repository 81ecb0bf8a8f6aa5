//! YAML text into a tree whose every node knows its place.
//!
//! The only file that knows the YAML library. It composes the tree from the parser's events itself,
//! because a scalar must keep its text: `0123`, `1_000` or `12e4` may be a name, and `443` a port or
//! a string, which only the reader of that place can tell.
//!
//! # Limits
//! Size, depth and the number of nodes are bounded, aliases included. Tags and merge keys have no
//! meaning. One document a file.

use std::collections::{HashMap, HashSet};

use rules::{Findings, Place};
use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle};

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

/// A mistake after which the rest of the text means nothing.
struct Fatal {
    place: Place,
    message: String,
}

struct Composer<'a> {
    findings: &'a mut Findings,
    root: Option<Node>,
    /// Containers that are not closed yet, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: u32,
    documents: u32,
}

struct Open {
    id: u32,
    place: Place,
    source: Source,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map {
        entries: Vec<(Node, Node)>,
        keys: HashSet<String>,
        key: Option<Node>,
    },
}

impl Open {
    /// `end`: where the closing event stands. That of a block is somewhere behind it.
    fn into_node(self, end: usize) -> Node {
        let Self {
            id,
            place,
            mut source,
            content,
        } = self;
        let kind = match content {
            Content::Seq(items) => Kind::Seq(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let last = match &kind {
            Kind::Seq(items) => items.last(),
            Kind::Map(entries) => entries.last().map(|(_, value)| value),
            Kind::Null | Kind::Scalar { .. } => None,
        };
        source.end = match last {
            Some(last) if source.style == Style::Block => last.source.end,
            _ => end,
        };
        Node {
            id,
            place,
            source,
            kind,
        }
    }
}

impl Source {
    fn new(span: &Span, style: Style, anchor: usize) -> Self {
        Self {
            start: offset(span.start),
            end: offset(span.end),
            style,
            anchor,
            alias: 0,
        }
    }
}

impl From<StructureStyle> for Style {
    fn from(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Block => Self::Block,
            StructureStyle::Flow => Self::Flow,
        }
    }
}

impl<'a> Composer<'a> {
    fn new(findings: &'a mut Findings) -> Self {
        Self {
            findings,
            root: None,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fatal> {
        let place = place(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Fatal {
                        place,
                        message: "a second document starts here: a file holds one".to_owned(),
                    });
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.reject_tag(tag.is_some(), place);
                let id = self.count(place)?;
                let plain = matches!(style, ScalarStyle::Plain);
                let kind = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Kind::Null
                } else {
                    Kind::Scalar {
                        text: text.into_owned(),
                        quoted: !plain,
                    }
                };
                let style = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                    _ => Style::Flow,
                };
                let source = Source::new(span, style, anchor);
                self.close(Node {
                    id,
                    place,
                    source,
                    kind,
                })?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.reject_tag(tag.is_some(), place);
                let source = Source::new(span, style.into(), anchor);
                self.open(Content::Seq(Vec::new()), source, place)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.reject_tag(tag.is_some(), place);
                let content = Content::Map {
                    entries: Vec::new(),
                    keys: HashSet::new(),
                    key: None,
                };
                self.open(content, Source::new(span, style.into(), anchor), place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open.into_node(offset(span.end)))?;
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(Fatal {
                        place,
                        message: "this alias stands inside what it stands for".to_owned(),
                    });
                };
                let mut copy = node.clone();
                if self.open.len() + depth(&copy) > MAX_DEPTH {
                    return Err(too_deep(place));
                }
                self.renumber(&mut copy, place)?;
                copy.source = Source {
                    alias: anchor,
                    ..Source::new(span, Style::Flow, 0)
                };
                self.close(copy)?;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Anchor(..) => {}
            // Comments, where the library is built with them, and aliases to nothing, which it
            // reports as errors itself.
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, content: Content, source: Source, place: Place) -> Result<(), Fatal> {
        let id = self.count(place)?;
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep(place));
        }
        self.open.push(Open {
            id,
            place,
            source,
            content,
        });
        Ok(())
    }

    /// A node is complete: it becomes the next part of the innermost open container.
    fn close(&mut self, node: Node) -> Result<(), Fatal> {
        if node.source.anchor != 0 {
            let mut copy = node.clone();
            self.renumber(&mut copy, node.place)?;
            self.anchors.insert(node.source.anchor, copy);
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Seq(items)) => items.push(node),
            Some(Content::Map { entries, keys, key }) => match key.take() {
                None if matches!(node.kind, Kind::Seq(_) | Kind::Map(_)) => {
                    return Err(Fatal {
                        place: node.place,
                        message: "a key is a word, not a list or a map".to_owned(),
                    });
                }
                None => *key = Some(node),
                Some(of) => {
                    let name = of.text().unwrap_or("~");
                    if keys.insert(name.to_owned()) {
                        entries.push((of, node));
                    } else {
                        self.findings
                            .error(of.place, format!("the key '{name}' is here twice"));
                    }
                }
            },
        }
        Ok(())
    }

    fn reject_tag(&mut self, tagged: bool, place: Place) {
        if tagged {
            self.findings.error(
                place,
                "tags have no meaning here; quote what must be a string",
            );
        }
    }

    fn count(&mut self, place: Place) -> Result<u32, Fatal> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Fatal {
                place,
                message: format!("the document has more than {MAX_NODES} values, aliases included"),
            });
        }
        Ok(self.nodes)
    }

    fn renumber(&mut self, node: &mut Node, place: Place) -> Result<(), Fatal> {
        node.id = self.count(place)?;
        match &mut node.kind {
            Kind::Null | Kind::Scalar { .. } => Ok(()),
            Kind::Seq(items) => items
                .iter_mut()
                .try_for_each(|item| self.renumber(item, place)),
            Kind::Map(entries) => entries.iter_mut().try_for_each(|(key, value)| {
                self.renumber(key, place)?;
                self.renumber(value, place)
            }),
        }
    }
}

/// How many containers a node nests.
fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Null | Kind::Scalar { .. } => 0,
        Kind::Seq(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Map(entries) => {
            1 + entries
                .iter()
                .map(|(_, value)| depth(value))
                .max()
                .unwrap_or(0)
        }
    }
}

fn too_deep(place: Place) -> Fatal {
    Fatal {
        place,
        message: format!("values nest deeper than {MAX_DEPTH}"),
    }
}

/// The parser knows offsets in bytes, since it is given a `str`.
fn offset(marker: Marker) -> usize {
    marker.byte_offset().unwrap_or_default()
}

fn place(span: &Span) -> Place {
    place_at(span.start.line(), span.start.col())
}

fn place_at(line: usize, column_from_zero: usize) -> Place {
    let counted = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place {
        line: counted(line),
        column: counted(column_from_zero).saturating_add(1),
    }
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
