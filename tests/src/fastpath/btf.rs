//! The type information in the BPF object: structures with their fields, and enumerations.
//!
//! Read first: `Documentation/bpf/btf.rst` of the kernel.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use object::{Object as _, ObjectSection as _};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub bytes: usize,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub offset: usize,
    pub bytes: usize,
}

/// Structures and enumerations by name.
#[derive(Debug, Default)]
pub struct Types {
    pub records: BTreeMap<String, Record>,
    pub enumerations: BTreeMap<String, BTreeMap<String, u32>>,
}

const MAGIC: u16 = 0xeb9f;
const POINTER_BYTES: usize = 8;
const TYPE_BYTES: usize = 12;

const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNCTION_TYPE: u32 = 13;
const VARIABLE: u32 = 14;
const SECTION: u32 = 15;
const FLOAT: u32 = 16;
const DECLARATION_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

impl Types {
    pub fn of(object: &[u8]) -> Result<Self> {
        let file = object::File::parse(object).context("not an object")?;
        let section = file.section_by_name(".BTF").context("no .BTF")?;
        let raw = Raw::parse(section.data()?)?;
        let mut types = Self::default();
        for entry in &raw.entries {
            match entry.kind {
                STRUCT => {
                    types
                        .records
                        .insert(raw.name(entry.name)?, raw.record(entry)?);
                }
                ENUM => {
                    types
                        .enumerations
                        .insert(raw.name(entry.name)?, raw.enumeration(entry)?);
                }
                _ => {}
            }
        }
        Ok(types)
    }
}

/// A type as the section has it; its number is its position, from 1.
struct Entry<'a> {
    name: u32,
    kind: u32,
    size_or_type: u32,
    rest: &'a [u8],
}

struct Raw<'a> {
    entries: Vec<Entry<'a>>,
    names: &'a [u8],
}

impl<'a> Raw<'a> {
    fn parse(section: &'a [u8]) -> Result<Self> {
        let magic = section.get(..2).context("an empty .BTF")?;
        ensure!(
            magic == MAGIC.to_ne_bytes(),
            "not BTF of this machine's byte order"
        );
        let header_bytes = word(section, 4)? as usize;
        let part = |at| -> Result<&'a [u8]> {
            let start = header_bytes + word(section, at)? as usize;
            let bytes = word(section, at + 4)? as usize;
            section
                .get(start..start + bytes)
                .context("a part is cut short")
        };
        let (mut types, names) = (part(8)?, part(16)?);
        let mut entries = Vec::new();
        while !types.is_empty() {
            let info = word(types, 4)?;
            let (kind, count) = (info >> 24 & 0x1f, info as usize & 0xffff);
            let rest_bytes = match kind {
                INT | VARIABLE | DECLARATION_TAG => 4,
                ARRAY => 12,
                STRUCT | UNION | SECTION | ENUM64 => 12 * count,
                ENUM | FUNCTION_TYPE => 8 * count,
                _ => 0,
            };
            entries.push(Entry {
                name: word(types, 0)?,
                kind,
                size_or_type: word(types, 8)?,
                rest: types
                    .get(TYPE_BYTES..TYPE_BYTES + rest_bytes)
                    .context("a type is cut short")?,
            });
            types = &types[TYPE_BYTES + rest_bytes..];
        }
        Ok(Self { entries, names })
    }

    fn name(&self, at: u32) -> Result<String> {
        let rest = self.names.get(at as usize..).context("a name is missing")?;
        let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8(name.to_vec())?)
    }

    fn record(&self, entry: &Entry<'_>) -> Result<Record> {
        let fields = entry.rest.chunks_exact(12).map(|member| {
            let bits = word(member, 8)?;
            ensure!(bits % 8 == 0, "a bit field");
            Ok(Field {
                name: self.name(word(member, 0)?)?,
                offset: bits as usize / 8,
                bytes: self.bytes_of(word(member, 4)?)?,
            })
        });
        Ok(Record {
            bytes: entry.size_or_type as usize,
            fields: fields.collect::<Result<_>>()?,
        })
    }

    fn enumeration(&self, entry: &Entry<'_>) -> Result<BTreeMap<String, u32>> {
        let members = entry.rest.chunks_exact(8);
        members
            .map(|member| Ok((self.name(word(member, 0)?)?, word(member, 4)?)))
            .collect()
    }

    fn bytes_of(&self, number: u32) -> Result<usize> {
        let entry = (number as usize)
            .checked_sub(1)
            .and_then(|at| self.entries.get(at))
            .context("a type is missing")?;
        Ok(match entry.kind {
            INT | STRUCT | UNION | ENUM | ENUM64 | FLOAT => entry.size_or_type as usize,
            POINTER => POINTER_BYTES,
            ARRAY => self.bytes_of(word(entry.rest, 0)?)? * word(entry.rest, 8)? as usize,
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => {
                self.bytes_of(entry.size_or_type)?
            }
            other => bail!("a type of kind {other} has no size"),
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).context("cut short")?;
    Ok(u32::from_ne_bytes(word.try_into()?))
}
