//! A tree into document structs, with every mistake of the file at once.
//!
//! Serde stops at the first error, and a derived struct cannot go on without a value. So the tree is
//! read again and again: each pass ends at a mistake, which is reported at its node, and the next
//! pass leaves that node out. What is left out takes nothing with it but a struct that cannot do
//! without, which is then left out too, silently. A required key that is missing is reported, stood
//! in for by a made-up value so that the rest of its struct is still looked at, and its struct is
//! left out at the end.

use rules::{Findings, LOCATED, ONE_OR_MANY, suggest};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::access::{Choice, Entries, Items, WithPlace};
use super::mistake::{Found, Mistake};
use super::pass::Pass;
use super::yaml::{Kind, Node};

/// About a pass per mistake: more than this, and the file is something else.
const MAX_PASSES: usize = 500;

/// Reads the root. `None` where nothing usable came out or a whole section was lost: what else could
/// be said would be about what is missing. Entries that were not read in full are marked as damaged
/// in `findings`, by the path to their map (`zones`, `nat.pools`) and their name.
pub(super) fn read<T: DeserializeOwned>(root: &Node, findings: &mut Findings) -> Option<T> {
    read_section(root, "", findings)
}

/// The same of a text that has one section's entries and nothing else.
pub(super) fn read_section<T: DeserializeOwned>(
    root: &Node,
    section: &str,
    findings: &mut Findings,
) -> Option<T> {
    let pass = Pass::default();
    for _ in 0..MAX_PASSES {
        let value = T::deserialize(Reader {
            node: root,
            pass: &pass,
        })
        .ok();
        if value.is_some() || pass.is_left_out(root) {
            let whole = pass.finish(root, section, findings);
            return value.filter(|_| whole);
        }
    }
    pass.finish(root, section, findings);
    findings.error(
        root.place,
        "there are too many mistakes: the rest was not looked at",
    );
    None
}

/// A node, as serde sees it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) pass: &'a Pass,
}

impl<'a> Reader<'a> {
    /// Reports a mistake where it happened; whoever is further out only sees that it was.
    pub(super) fn settle<T>(self, result: Result<T, Mistake>) -> Result<T, Mistake> {
        let (message, suggestion) = match result {
            Ok(value) => return Ok(value),
            Err(Mistake::Reported) => return Err(Mistake::Reported),
            Err(Mistake::MissingKey(name)) => {
                self.pass.missing_key(self.node, name);
                return Err(Mistake::Reported);
            }
            Err(Mistake::UnknownWord(word, known)) => {
                let suggestion = suggest(&word, known);
                (
                    format!("'{word}' is not one of {}", known.join(", ")),
                    suggestion,
                )
            }
            Err(Mistake::UnknownKey(key, known)) => {
                (format!("unknown key '{key}'"), suggest(&key, known))
            }
            Err(Mistake::Other(message)) => (message, None),
        };
        Err(self.pass.report(self.node, message, suggestion))
    }

    fn unexpected(&self) -> Unexpected<'a> {
        match &self.node.kind {
            Kind::Null => Unexpected::Other("nothing"),
            Kind::Scalar { text, .. } => Unexpected::Str(text),
            Kind::Seq(_) => Unexpected::Seq,
            Kind::Map(_) => Unexpected::Map,
        }
    }

    fn wrong<V: Visitor<'a>>(self, visitor: &V) -> Mistake {
        de::Error::invalid_type(self.unexpected(), visitor)
    }

    /// The text of a scalar that is not quoted.
    fn plain(&self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::Scalar {
                text,
                quoted: false,
            } => Some(text),
            Kind::Null | Kind::Scalar { .. } | Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    fn string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.text() {
            Some(text) => visitor.visit_str(text),
            None => Err(de::Error::invalid_type(self.unexpected(), &"a word")),
        }
    }

    fn list<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.kind {
            Kind::Null => visitor.visit_seq(Items::new(&[], self.pass)),
            Kind::Seq(items) => visitor.visit_seq(Items::new(items, self.pass)),
            Kind::Scalar { .. } | Kind::Map(_) => Err(self.wrong(&visitor)),
        }
    }

    /// `known`: the keys that may stand here, where that is limited.
    fn map<V: Visitor<'a>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if !matches!(self.node.kind, Kind::Null | Kind::Map(_)) {
            return Err(self.wrong(&visitor));
        }
        let incomplete = !self.pass.missing_from(self.node).is_empty();
        let value = visitor.visit_map(Entries::new(self.node, known, self.pass))?;
        if incomplete {
            Err(self.pass.leave_out(self.node))
        } else {
            Ok(value)
        }
    }

    fn any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Seq(_) => self.list(visitor),
            Kind::Map(_) => self.map(None, visitor),
            Kind::Scalar { text, quoted: true } => visitor.visit_str(text),
            Kind::Scalar {
                text,
                quoted: false,
            } => match text.as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                text => match text.parse::<u64>() {
                    Ok(number) if number.to_string() == text => visitor.visit_u64(number),
                    _ => visitor.visit_str(text),
                },
            },
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
            let result = match self.plain().and_then(|text| text.parse::<$type>().ok()) {
                Some(number) => visitor.$visit(number),
                None => Err(Mistake::Other(format!(
                    "expected a whole number from {} to {}, found {}",
                    <$type>::MIN,
                    <$type>::MAX,
                    Found(self.unexpected()),
                ))),
            };
            self.settle(result)
        }
    )*};
}

macro_rules! settled {
    ($($method:ident => $read:ident;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
            let result = self.$read(visitor);
            self.settle(result)
        }
    )*};
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = Mistake;

    whole_numbers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
    }

    settled! {
        deserialize_any => any;
        deserialize_str => string;
        deserialize_string => string;
        deserialize_char => string;
        deserialize_identifier => string;
        deserialize_seq => list;
        deserialize_bytes => any;
        deserialize_byte_buf => any;
        deserialize_unit => any;
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let result = match self.plain() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"true or false")),
        };
        self.settle(result)
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let result = match self.plain().and_then(|text| text.parse::<f64>().ok()) {
            Some(number) if number.is_finite() => visitor.visit_f64(number),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a number")),
        };
        self.settle(result)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            Kind::Scalar { .. } | Kind::Seq(_) | Kind::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let result = self.map(None, visitor);
        self.settle(result)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let result = match self.node.kind {
            Kind::Null | Kind::Map(_) => self.map(Some(fields), visitor),
            Kind::Scalar { .. } | Kind::Seq(_) => {
                let keys = format!("a map with {}", fields.join(", "));
                Err(de::Error::invalid_type(self.unexpected(), &keys.as_str()))
            }
        };
        self.settle(result)
    }

    fn deserialize_tuple<V: Visitor<'a>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let result = match (name, &self.node.kind) {
            (LOCATED, _) => visitor.visit_seq(WithPlace::new(self)),
            (ONE_OR_MANY, Kind::Scalar { .. } | Kind::Map(_)) => {
                visitor.visit_seq(Items::new(std::slice::from_ref(self.node), self.pass))
            }
            (ONE_OR_MANY, Kind::Null | Kind::Seq(_)) => self.list(visitor),
            _ => visitor.visit_newtype_struct(self),
        };
        self.settle(result)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let result = match &self.node.kind {
            Kind::Scalar { text, .. } => visitor.visit_enum(text.as_str().into_deserializer()),
            Kind::Map(entries) => match entries.as_slice() {
                [(key, value)] => visitor.visit_enum(Choice::new(key, value, self.pass)),
                _ => Err(Mistake::Other(format!(
                    "expected a map with one key, of {}",
                    words.join(", ")
                ))),
            },
            Kind::Null | Kind::Seq(_) => {
                let one_of = format!("one of {}", words.join(", "));
                Err(de::Error::invalid_type(self.unexpected(), &one_of.as_str()))
            }
        };
        self.settle(result)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }
}
