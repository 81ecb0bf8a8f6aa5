//! A document that is being changed: what stays refers to the nodes that were read.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::super::json;
use super::super::yaml::{Kind, Node};
use super::scalar;

/// A value and everything below it.
#[derive(Debug)]
pub(super) enum Tree<'a> {
    /// As it was read.
    Kept(&'a Node),
    Changed(Changed<'a>),
}

#[derive(Debug)]
pub(super) struct Changed<'a> {
    /// In whose place it stands; `None` for what is new.
    pub(super) was: Option<&'a Node>,
    pub(super) content: Content<'a>,
}

#[derive(Debug)]
pub(super) enum Content<'a> {
    Null,
    Scalar { text: String, quoted: bool },
    Seq(Vec<Tree<'a>>),
    Map(Vec<(String, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    pub(super) fn new(value: &Value) -> Self {
        Self::Changed(Changed {
            was: None,
            content: Content::new(value),
        })
    }

    /// The node that it is, or stands for.
    pub(super) fn was(&self) -> Option<&'a Node> {
        match self {
            Self::Kept(node) => Some(node),
            Self::Changed(changed) => changed.was,
        }
    }

    pub(super) fn at(&self) -> At<'_, 'a> {
        match self {
            Self::Kept(node) => At::Kept(node),
            Self::Changed(changed) => At::Changed(&changed.content),
        }
    }

    /// Makes it one that can be changed, in the same place.
    pub(super) fn open(&mut self) -> &mut Content<'a> {
        if let Self::Kept(node) = *self {
            *self = Self::Changed(Changed {
                was: Some(node),
                content: Content::of(node),
            });
        }
        match self {
            Self::Changed(changed) => &mut changed.content,
            Self::Kept(_) => unreachable!("it was opened"),
        }
    }

    /// Makes it equal to a JSON value, and keeps of what is below all that is there already.
    pub(super) fn settle(&mut self, value: &Value) {
        if self.at().equals(value) {
            return;
        }
        match (self.open(), value) {
            (Content::Map(entries), Value::Object(wanted)) => {
                entries.retain(|(key, _)| wanted.contains_key(key));
                let mut places: HashMap<_, _> = entries
                    .iter_mut()
                    .map(|(key, entry)| (&*key, entry))
                    .collect();
                let mut added = Vec::new();
                for (key, value) in wanted {
                    match places.remove(key) {
                        Some(entry) => entry.settle(value),
                        None => added.push((key.clone(), Self::new(value))),
                    }
                }
                entries.extend(added);
            }
            (Content::Seq(items), Value::Array(wanted)) => settle_list(items, wanted),
            (content, value) => *content = Content::new(value),
        }
    }
}

/// Items are the same where their names are, or else where they are equal.
fn settle_list(items: &mut Vec<Tree<'_>>, wanted: &[Value]) {
    let mut known = HashMap::<String, VecDeque<usize>>::new();
    for (index, item) in items.iter().enumerate() {
        known
            .entry(identity(&item.at().json()))
            .or_default()
            .push_back(index);
    }
    let mut old: Vec<_> = items.drain(..).map(Some).collect();
    items.extend(wanted.iter().map(|value| {
        let index = known
            .get_mut(&identity(value))
            .and_then(VecDeque::pop_front);
        match index.and_then(|index| old.get_mut(index)?.take()) {
            Some(mut item) => {
                item.settle(value);
                item
            }
            None => Tree::new(value),
        }
    }));
}

/// What makes an item of a list the same in another one.
pub(crate) fn identity(value: &Value) -> String {
    match value.get("name").and_then(Value::as_str) {
        Some(name) => format!("name {name}"),
        None => value.to_string(),
    }
}

impl<'a> Content<'a> {
    fn new(value: &Value) -> Self {
        let plain = |text: String| Self::Scalar {
            text,
            quoted: false,
        };
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => plain(truth.to_string()),
            Value::Number(number) => plain(number.to_string()),
            Value::String(text) => Self::Scalar {
                text: text.clone(),
                quoted: scalar::needs_quotes(text),
            },
            Value::Array(items) => Self::Seq(items.iter().map(Tree::new).collect()),
            Value::Object(entries) => Self::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), Tree::new(value)))
                    .collect(),
            ),
        }
    }

    /// What is directly below: with their keys, in a map.
    pub(super) fn children(&self) -> Vec<(Option<&str>, &Tree<'a>)> {
        match self {
            Self::Null | Self::Scalar { .. } => Vec::new(),
            Self::Seq(items) => items.iter().map(|item| (None, item)).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| (Some(key.as_str()), value))
                .collect(),
        }
    }

    pub(super) fn children_mut(&mut self) -> impl Iterator<Item = &mut Tree<'a>> {
        let (items, entries) = match self {
            Self::Null | Self::Scalar { .. } => (&mut [][..], &mut [][..]),
            Self::Seq(items) => (items.as_mut_slice(), &mut [][..]),
            Self::Map(entries) => (&mut [][..], entries.as_mut_slice()),
        };
        items
            .iter_mut()
            .chain(entries.iter_mut().map(|(_, value)| value))
    }

    fn of(node: &'a Node) -> Self {
        match &node.kind {
            Kind::Null => Self::Null,
            Kind::Scalar { text, quoted } => Self::Scalar {
                text: text.clone(),
                quoted: *quoted,
            },
            Kind::Seq(items) => Self::Seq(items.iter().map(Tree::Kept).collect()),
            Kind::Map(entries) => Self::Map(
                entries
                    .iter()
                    .map(|(key, value)| (json::key_of(key).to_owned(), Tree::Kept(value)))
                    .collect(),
            ),
        }
    }
}

/// Somewhere in a tree, to look at.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'t, 'a> {
    Kept(&'a Node),
    Changed(&'t Content<'a>),
}

/// What stands there.
pub(super) enum Seen<'t> {
    Null,
    Scalar { text: &'t str, quoted: bool },
    Seq,
    Map,
}

impl<'t, 'a: 't> At<'t, 'a> {
    pub(super) fn seen(self) -> Seen<'t> {
        match self {
            Self::Kept(node) => match &node.kind {
                Kind::Null => Seen::Null,
                Kind::Scalar { text, quoted } => Seen::Scalar {
                    text,
                    quoted: *quoted,
                },
                Kind::Seq(_) => Seen::Seq,
                Kind::Map(_) => Seen::Map,
            },
            Self::Changed(content) => match content {
                Content::Null => Seen::Null,
                Content::Scalar { text, quoted } => Seen::Scalar {
                    text,
                    quoted: *quoted,
                },
                Content::Seq(_) => Seen::Seq,
                Content::Map(_) => Seen::Map,
            },
        }
    }

    /// What is directly below: with their keys, in a map.
    pub(super) fn below(self) -> Vec<(Option<&'t str>, Self)> {
        match self {
            Self::Kept(node) => match &node.kind {
                Kind::Null | Kind::Scalar { .. } => Vec::new(),
                Kind::Seq(items) => items.iter().map(|item| (None, Self::Kept(item))).collect(),
                Kind::Map(entries) => entries
                    .iter()
                    .map(|(key, value)| (Some(json::key_of(key)), Self::Kept(value)))
                    .collect(),
            },
            Self::Changed(content) => match content {
                Content::Null | Content::Scalar { .. } => Vec::new(),
                Content::Seq(items) => items.iter().map(|item| (None, item.at())).collect(),
                Content::Map(entries) => entries
                    .iter()
                    .map(|(key, value)| (Some(key.as_str()), value.at()))
                    .collect(),
            },
        }
    }

    /// The value that a key or an index leads to.
    pub(super) fn child(self, token: &str) -> Option<Self> {
        match self {
            Self::Kept(node) => match &node.kind {
                Kind::Null | Kind::Scalar { .. } => None,
                Kind::Seq(items) => items.get(index(token)?).map(Self::Kept),
                Kind::Map(entries) => entries
                    .iter()
                    .find(|(key, _)| json::key_of(key) == token)
                    .map(|(_, value)| Self::Kept(value)),
            },
            Self::Changed(content) => match content {
                Content::Null | Content::Scalar { .. } => None,
                Content::Seq(items) => items.get(index(token)?).map(Tree::at),
                Content::Map(entries) => entries
                    .iter()
                    .find(|(key, _)| key == token)
                    .map(|(_, value)| value.at()),
            },
        }
    }

    pub(super) fn json(self) -> Value {
        match self.seen() {
            Seen::Null => Value::Null,
            Seen::Scalar { text, quoted } => json::scalar(text, quoted),
            Seen::Seq => Value::Array(
                self.below()
                    .into_iter()
                    .map(|(_, item)| item.json())
                    .collect(),
            ),
            Seen::Map => Value::Object(
                self.below()
                    .into_iter()
                    .map(|(key, value)| (key.unwrap_or_default().to_owned(), value.json()))
                    .collect(),
            ),
        }
    }

    /// The same once more, as something new.
    pub(super) fn copied(self) -> Tree<'a> {
        let content = match self.seen() {
            Seen::Null => Content::Null,
            Seen::Scalar { text, quoted } => Content::Scalar {
                text: text.to_owned(),
                quoted,
            },
            Seen::Seq => Content::Seq(
                self.below()
                    .into_iter()
                    .map(|(_, item)| item.copied())
                    .collect(),
            ),
            Seen::Map => Content::Map(
                self.below()
                    .into_iter()
                    .map(|(key, value)| (key.unwrap_or_default().to_owned(), value.copied()))
                    .collect(),
            ),
        };
        Tree::Changed(Changed { was: None, content })
    }

    /// Whether it is that JSON value; the order of keys is no difference.
    pub(super) fn equals(self, value: &Value) -> bool {
        match (self.seen(), value) {
            (Seen::Null, Value::Null) => true,
            (Seen::Scalar { text, quoted }, value) => json::scalar(text, quoted) == *value,
            (Seen::Seq, Value::Array(wanted)) => {
                let items = self.below();
                items.len() == wanted.len()
                    && items
                        .iter()
                        .zip(wanted)
                        .all(|((_, item), value)| item.equals(value))
            }
            (Seen::Map, Value::Object(wanted)) => {
                let entries = self.below();
                entries.len() == wanted.len()
                    && entries.iter().all(|(key, entry)| {
                        wanted
                            .get(key.unwrap_or_default())
                            .is_some_and(|value| entry.equals(value))
                    })
            }
            _ => false,
        }
    }

    /// Whether a reader of the configuration would find the same in both.
    pub(super) fn is_read_like(self, other: At<'_, '_>) -> bool {
        match (self.seen(), other.seen()) {
            (Seen::Null, Seen::Null) => true,
            (
                Seen::Scalar { text, quoted },
                Seen::Scalar {
                    text: other_text,
                    quoted: other_quoted,
                },
            ) => {
                text == other_text
                    && (quoted == other_quoted
                        || json::scalar(text, quoted) == json::scalar(text, other_quoted))
            }
            (Seen::Seq, Seen::Seq) | (Seen::Map, Seen::Map) => {
                let (own, others) = (self.below(), other.below());
                own.len() == others.len()
                    && own
                        .iter()
                        .zip(&others)
                        .all(|((key, value), (other_key, other))| {
                            key == other_key && value.is_read_like(*other)
                        })
            }
            _ => false,
        }
    }

    /// How many values it has, and how many lists and maps nest in it.
    pub(super) fn extent(self) -> (usize, usize) {
        let container = matches!(self.seen(), Seen::Seq | Seen::Map);
        self.below()
            .into_iter()
            .map(|(_, value)| value.extent())
            .fold(
                (1, usize::from(container)),
                |(values, depth), (more, deep)| (values + more, depth.max(deep + 1)),
            )
    }
}

/// RFC 6901, section 4: digits without leading zeros.
pub(super) fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (token.len() > 1 && token.starts_with('0')) {
        return None;
    }
    token.parse().ok()
}
