//! The parser's events into a tree of nodes, with every limit that one text must keep to.

use std::collections::{HashMap, HashSet};

use rules::{Findings, Place};
use serde_saphyr::granit_parser::{Event, Marker, ScalarStyle, Span, StructureStyle};

use super::{Kind, MAX_DEPTH, MAX_NODES, Node, Source, Style};

/// A mistake after which the rest of the text means nothing.
pub(super) struct Fatal {
    pub(super) place: Place,
    pub(super) message: String,
}

pub(super) struct Composer<'a> {
    findings: &'a mut Findings,
    pub(super) root: Option<Node>,
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
    pub(super) fn new(findings: &'a mut Findings) -> Self {
        Self {
            findings,
            root: None,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
        }
    }

    pub(super) fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fatal> {
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

pub(super) fn place_at(line: usize, column_from_zero: usize) -> Place {
    let counted = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place {
        line: counted(line),
        column: counted(column_from_zero).saturating_add(1),
    }
}
