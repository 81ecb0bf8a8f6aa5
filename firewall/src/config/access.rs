//! How serde walks from one node into the next: elements, entries, keys and variants.

use rules::LOCATED;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::mistake::Mistake;
use super::pass::{Pass, entries};
use super::reader::Reader;
use super::stand_in::StandIn;
use super::yaml::{Kind, Node};

/// The elements of a list that are not left out.
pub(super) struct Items<'a> {
    items: &'a [Node],
    pass: &'a Pass,
}

impl<'a> Items<'a> {
    pub(super) fn new(items: &'a [Node], pass: &'a Pass) -> Self {
        Self { items, pass }
    }
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mistake> {
        while let Some((item, rest)) = self.items.split_first() {
            self.items = rest;
            if !self.pass.is_left_out(item) {
                return seed
                    .deserialize(Reader {
                        node: item,
                        pass: self.pass,
                    })
                    .map(Some);
            }
        }
        Ok(None)
    }
}

/// The entries of a map that are not left out, then those that stand in for missing ones.
pub(super) struct Entries<'a> {
    map: &'a Node,
    rest: std::slice::Iter<'a, (Node, Node)>,
    /// The value of the key given last; a stand-in if `None`.
    current: Option<&'a Node>,
    known: Option<&'static [&'static str]>,
    missing: std::vec::IntoIter<&'static str>,
    pass: &'a Pass,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Mistake;

    fn next_key_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mistake> {
        while let Some((key, value)) = self.rest.next() {
            // A key without a value says nothing about a struct; in a map of names it is an entry.
            let nothing = self.known.is_some() && matches!(value.kind, Kind::Null);
            if self.pass.is_left_out(value) || (nothing && self.is_known(key)) {
                continue;
            }
            if let Some(known) = self.known
                && !self.is_known(key)
            {
                self.pass.unknown_key(self.map, key, value, known);
                continue;
            }
            self.current = Some(value);
            // Not settled by a reader of the key: an unknown one takes its value with it.
            return match seed.deserialize(Key {
                key,
                pass: self.pass,
            }) {
                Err(Mistake::UnknownKey(_, known)) => {
                    Err(self.pass.unknown_key(self.map, key, value, known))
                }
                Err(mistake) => {
                    let result: Result<(), Mistake> = Reader {
                        node: key,
                        pass: self.pass,
                    }
                    .settle(Err(mistake));
                    self.pass.leave_out(value);
                    Err(result.err().unwrap_or(Mistake::Reported))
                }
                Ok(key) => Ok(Some(key)),
            };
        }
        self.current = None;
        match self.missing.next() {
            Some(name) => seed
                .deserialize(StrDeserializer::<Mistake>::new(name))
                .map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        match self.current.take() {
            Some(value) => seed.deserialize(Reader {
                node: value,
                pass: self.pass,
            }),
            None => seed
                .deserialize(StandIn)
                .map_err(|_| self.pass.leave_out(self.map)),
        }
    }
}

impl<'a> Entries<'a> {
    /// `known`: the keys that may stand here, where that is limited.
    pub(super) fn new(
        map: &'a Node,
        known: Option<&'static [&'static str]>,
        pass: &'a Pass,
    ) -> Self {
        let missing = pass.missing_from(map).into_iter();
        Self {
            map,
            rest: entries(map).iter(),
            current: None,
            known,
            missing,
            pass,
        }
    }

    fn is_known(&self, key: &Node) -> bool {
        self.known
            .is_some_and(|known| key.text().is_some_and(|text| known.contains(&text)))
    }
}

/// A key: a word, with its place for who asks.
struct Key<'a> {
    key: &'a Node,
    pass: &'a Pass,
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(self.key.text().unwrap_or("~"))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match name {
            LOCATED => visitor.visit_seq(WithPlace::new(Reader {
                node: self.key,
                pass: self.pass,
            })),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Line, column and value: what `Located` asks for.
pub(super) struct WithPlace<'a> {
    reader: Reader<'a>,
    part: u8,
}

impl<'a> WithPlace<'a> {
    pub(super) fn new(reader: Reader<'a>) -> Self {
        Self { reader, part: 0 }
    }
}

impl<'a> SeqAccess<'a> for WithPlace<'a> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mistake> {
        self.part += 1;
        match self.part {
            1 => seed
                .deserialize(self.reader.node.place.line.into_deserializer())
                .map(Some),
            2 => seed
                .deserialize(self.reader.node.place.column.into_deserializer())
                .map(Some),
            3 => seed.deserialize(self.reader).map(Some),
            _ => Ok(None),
        }
    }
}

/// A map with one key, which chooses a variant that holds something: `{ pool: public }`.
pub(super) struct Choice<'a> {
    key: &'a Node,
    value: &'a Node,
    pass: &'a Pass,
}

impl<'a> Choice<'a> {
    pub(super) fn new(key: &'a Node, value: &'a Node, pass: &'a Pass) -> Self {
        Self { key, value, pass }
    }
}

impl<'a> EnumAccess<'a> for Choice<'a> {
    type Error = Mistake;
    type Variant = Reader<'a>;

    fn variant_seed<S: DeserializeSeed<'a>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Reader<'a>), Mistake> {
        let word = seed.deserialize(Key {
            key: self.key,
            pass: self.pass,
        })?;
        Ok((
            word,
            Reader {
                node: self.value,
                pass: self.pass,
            },
        ))
    }
}

impl<'a> VariantAccess<'a> for Reader<'a> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.node.kind {
            Kind::Null => Ok(()),
            Kind::Scalar { .. } | Kind::Seq(_) | Kind::Map(_) => Err(Mistake::Other(
                "this word takes nothing after it".to_owned(),
            )),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Mistake> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'a>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_struct("", fields, visitor)
    }
}
