//! Paths into a configuration as people type them: `policies.web-out.action`, `nat.source[0]`.
//!
//! Segments are keys, or in lists the names of entries: `web-out` is the policy of that name, `left` the
//! item that says so. `[2]` is the third entry, `[+]` one that is added at the end, and `["0.0.0.0/0"]` a key or
//! name that has dots in it. A JSON pointer (RFC 6901), as errors have it, is taken as well.

use std::fmt;
use std::str::FromStr;

use json_patch::jsonptr::PointerBuf;
use serde_json::{Map, Value};

/// What names an entry of a list in the document: routes go by their prefix.
const KEYS: [&str; 2] = ["name", "to"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Name(String),
    Index(usize),
    /// One more at the end of a list.
    New,
    /// Of a JSON pointer: a key, or a position in a list.
    Token(String),
}

/// Where a path leads in one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pointer: PointerBuf,
    /// What is missing below it; empty where it is all there.
    pub(super) missing: Vec<Missing>,
}

/// What has to be made before a value can stand where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Key(String),
    /// An entry of a list of named things.
    Named {
        key: &'static str,
        name: String,
    },
    /// An entry at the end of a list.
    Entry,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error(
        "the path '{path}' can't be read at '{rest}': policies.web-out.action, nat.source[0], routes[\"0.0.0.0/0\"].via"
    )]
    Syntax { path: String, rest: String },
    #[error("there is no '{segment}' in {parent}{}", hint(suggestion.as_ref()))]
    NotFound {
        segment: String,
        parent: String,
        suggestion: Option<String>,
    },
    #[error("{parent} is a value, and has no '{segment}' in it")]
    NoParent { segment: String, parent: String },
}

fn hint(suggestion: Option<&String>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean '{word}'?"))
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.starts_with('/') {
            let tokens = text.split('/').skip(1);
            let segments =
                tokens.map(|token| Segment::Token(token.replace("~1", "/").replace("~0", "~")));
            return Ok(Self {
                segments: segments.collect(),
            });
        }
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let (segment, after) = segment(rest).ok_or_else(|| PathError::Syntax {
                path: text.to_owned(),
                rest: rest.to_owned(),
            })?;
            segments.push(segment);
            rest = match after.strip_prefix('.') {
                Some(next) => next,
                None if after.is_empty() => return Ok(Self { segments }),
                // `source[0]`, with nothing in between.
                None => after,
            };
        }
    }
}

/// The first segment, and what follows it.
fn segment(text: &str) -> Option<(Segment, &str)> {
    if let Some(quoted) = text.strip_prefix("[\"") {
        let (name, rest) = quoted.split_once("\"]")?;
        return Some((Segment::Name(name.to_owned()), rest));
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, rest) = bracketed.split_once(']')?;
        let segment = match inside {
            "+" => Segment::New,
            number => Segment::Index(number.parse().ok()?),
        };
        return Some((segment, rest));
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (Segment::Name(name.to_owned()), rest))
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) | Self::Token(name) => f.write_str(name),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::New => f.write_str("[+]"),
        }
    }
}

impl Path {
    /// Where it leads; whatever is missing there can be made.
    pub(super) fn locate(&self, document: &Value) -> Result<Found, PathError> {
        let mut pointer = PointerBuf::new();
        let mut here = document;
        for (depth, segment) in self.segments.iter().enumerate() {
            let Some(token) = token(here, segment) else {
                let missing = self.missing(depth, here)?;
                return Ok(Found { pointer, missing });
            };
            let below = match here {
                Value::Object(entries) => entries.get(&token),
                Value::Array(items) => token.parse().ok().and_then(|index: usize| items.get(index)),
                // A single value stands for a list of one.
                scalar => Some(scalar).filter(|_| depth + 1 == self.segments.len()),
            };
            let Some(below) = below else {
                return Err(self.not_found(depth, here));
            };
            if here.is_array() || here.is_object() {
                pointer = pointer.with_trailing_token(token.as_str());
            }
            here = below;
        }
        Ok(Found {
            pointer,
            missing: Vec::new(),
        })
    }

    /// Where it leads, to something that is there.
    pub(super) fn find(&self, document: &Value) -> Result<PointerBuf, PathError> {
        let found = self.locate(document)?;
        if found.missing.is_empty() {
            return Ok(found.pointer);
        }
        let depth = self.segments.len() - found.missing.len();
        let parent = document.pointer(found.pointer.as_str());
        Err(self.not_found(depth, parent.unwrap_or(&Value::Null)))
    }

    /// What has to be made from a depth on, below `here`, which has no such thing.
    fn missing(&self, depth: usize, here: &Value) -> Result<Vec<Missing>, PathError> {
        let mut missing = Vec::new();
        for (below, segment) in self.segments.iter().enumerate().skip(depth) {
            let first = below == depth;
            missing.push(match segment {
                Segment::New => Missing::Entry,
                Segment::Name(name) | Segment::Token(name) if !(first && here.is_array()) => {
                    if first && !(here.is_object() || here.is_null()) {
                        return Err(PathError::NoParent {
                            segment: name.clone(),
                            parent: self.before(depth),
                        });
                    }
                    Missing::Key(name.clone())
                }
                Segment::Name(name) => match key_of(here) {
                    Some(key) => Missing::Named {
                        key,
                        name: name.clone(),
                    },
                    None => return Err(self.not_found(depth, here)),
                },
                Segment::Index(_) | Segment::Token(_) => {
                    return Err(self.not_found(depth, here));
                }
            });
        }
        Ok(missing)
    }

    fn not_found(&self, depth: usize, here: &Value) -> PathError {
        let segment = self.segments.get(depth).map(ToString::to_string);
        let segment = segment.unwrap_or_default();
        let known: Vec<&str> = match here {
            Value::Object(entries) => entries.keys().map(String::as_str).collect(),
            Value::Array(items) => items.iter().filter_map(name_of).collect(),
            _ => Vec::new(),
        };
        PathError::NotFound {
            suggestion: rules::suggest(&segment, known),
            segment,
            parent: self.before(depth),
        }
    }

    /// The path down to a depth.
    fn before(&self, depth: usize) -> String {
        let mut text = String::new();
        for segment in self.segments.iter().take(depth) {
            let dot = match segment {
                _ if text.is_empty() => "",
                Segment::Index(_) | Segment::New => "",
                Segment::Name(_) | Segment::Token(_) => ".",
            };
            text = format!("{text}{dot}{segment}");
        }
        if text.is_empty() {
            "the configuration".to_owned()
        } else {
            text
        }
    }
}

/// The key or position below a value that a segment means, where there is one.
fn token(here: &Value, segment: &Segment) -> Option<String> {
    match (here, segment) {
        (Value::Object(entries), Segment::Name(name) | Segment::Token(name)) => {
            entries.contains_key(name).then(|| name.clone())
        }
        (Value::Array(items), Segment::Name(name)) => items
            .iter()
            .position(|item| name_of(item) == Some(name))
            .map(|index| index.to_string()),
        (Value::Array(_), Segment::Index(index)) => Some(index.to_string()),
        (Value::Array(_), Segment::Token(token)) => {
            token.parse::<usize>().is_ok().then(|| token.clone())
        }
        (Value::String(only), Segment::Name(name)) => (only == name).then(|| "0".to_owned()),
        (Value::String(_) | Value::Number(_) | Value::Bool(_), Segment::Index(0)) => {
            Some("0".to_owned())
        }
        _ => None,
    }
}

/// What an entry of a list is called: its name, or itself where it is a word.
fn name_of(item: &Value) -> Option<&str> {
    match item {
        Value::Object(fields) => KEYS
            .iter()
            .find_map(|key| fields.get(*key))
            .and_then(Value::as_str),
        Value::String(word) => Some(word),
        _ => None,
    }
}

/// The field that names the entries of a list; `None` where they are no named things.
pub(super) fn key_of(list: &Value) -> Option<&'static str> {
    let items = list.as_array()?;
    let has = |key: &str| {
        items
            .iter()
            .all(|item| item.get(key).is_some_and(Value::is_string))
    };
    if items.is_empty() {
        return None;
    }
    KEYS.into_iter().find(|key| has(key))
}

impl Missing {
    /// What stands for it, with `value` inside.
    pub(super) fn around(&self, value: Value) -> Value {
        match self {
            Self::Key(key) => Value::Object(Map::from_iter([(key.clone(), value)])),
            Self::Entry => Value::Array(vec![value]),
            Self::Named { key, name } => {
                let mut entry = Map::from_iter([((*key).to_owned(), name.clone().into())]);
                if let Value::Object(fields) = value {
                    entry.extend(fields);
                }
                Value::Object(entry)
            }
        }
    }
}

#[cfg(test)]
mod tests;
