//! Up to a quarter of a million rows, and the first of them that a key satisfies.

use std::collections::BTreeMap;
use std::fmt;

use super::bitmap::{MAX_ROWS, ones};
use super::dimension::{Dimension, Ranges, Satisfied, Sets, Value};

/// What a table is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<T> {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) source: T,
    pub(crate) destination: T,
    /// See [`super::service::key`].
    pub(crate) service: u32,
    pub(crate) source_port: u32,
}

/// A product of sets: a key satisfies it if every value is in its set. `None` is open: any value.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    pub(crate) policy: u32,
    pub(crate) from: Option<Ranges<u32>>,
    pub(crate) to: Option<Ranges<u32>>,
    pub(crate) source: Option<Ranges<T>>,
    pub(crate) destination: Option<Ranges<T>>,
    pub(crate) service: Option<Ranges<u32>>,
    pub(crate) source_port: Option<Ranges<u32>>,
}

impl<T> Row<T> {
    fn shape(&self) -> Shape {
        let narrow = [
            self.source.is_some(),
            self.destination.is_some(),
            self.service.is_some(),
            self.source_port.is_some(),
            self.from.is_some(),
            self.to.is_some(),
        ];
        Shape((0..).zip(narrow).fold(0, |shape, (dimension, narrow)| {
            shape | u8::from(narrow) << dimension
        }))
    }
}

/// Which dimensions are not open, as bits: the ones that tell rows apart best come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape(u8);

const DIMENSIONS: usize = 6;

/// Every group of rows begins with a word of its own.
const MOST_ROWS: usize = MAX_ROWS - 64 * (1 << DIMENSIONS);

#[derive(Clone)]
pub(crate) struct Table<T> {
    /// By their first policy.
    groups: Box<[Group]>,
    /// By row; `NO_POLICY` for those that fill up the last word of a group.
    policies: Box<[u32]>,
    source: Dimension<T>,
    destination: Dimension<T>,
    service: Dimension<u32>,
    source_port: Dimension<u32>,
    from: Dimension<u32>,
    to: Dimension<u32>,
}

/// Rows of one shape, in the order of their policies.
#[derive(Clone, Copy, Debug)]
struct Group {
    shape: Shape,
    first_policy: u32,
    /// The words that its rows are in.
    first_word: u32,
    end_word: u32,
}

impl Group {
    fn blocks(&self) -> u64 {
        between(self.first_word / 64, (self.end_word - 1) / 64 + 1)
    }

    fn words_of(&self, block: u32) -> u64 {
        let first = self.first_word.saturating_sub(block * 64);
        let end = (self.end_word - block * 64).min(64);
        between(first, end)
    }
}

/// The bits from `first` on and before `end`, which is more than `first` and at most 64.
fn between(first: u32, end: u32) -> u64 {
    (u64::MAX << first) & (u64::MAX >> (64 - end))
}

const NO_POLICY: u32 = u32::MAX;

impl<T: Value> Table<T> {
    /// Rows in the order of their policies. As many tables as it takes.
    pub(crate) fn compile(rows: &[Row<T>], budget: usize) -> Vec<Self> {
        rows.chunks(MOST_ROWS)
            .map(|rows| Self::of(rows, budget))
            .collect()
    }

    fn of(rows: &[Row<T>], budget: usize) -> Self {
        let mut shapes: BTreeMap<Shape, Vec<&Row<T>>> = BTreeMap::new();
        for row in rows {
            shapes.entry(row.shape()).or_default().push(row);
        }
        let mut shapes: Vec<_> = shapes.into_iter().collect();
        shapes.sort_by_key(|(_, rows)| rows.first().map(|row| row.policy));

        let mut sets = AllSets::new();
        let mut groups = Vec::with_capacity(shapes.len());
        let mut policies = Vec::new();
        for (shape, rows) in shapes {
            let first_row = policies.len() as u32;
            for (number, row) in (first_row..).zip(&rows) {
                sets.insert(row, number);
                policies.push(row.policy);
            }
            policies.resize(policies.len().next_multiple_of(64), NO_POLICY);
            groups.push(Group {
                shape,
                first_policy: policies[first_row as usize],
                first_word: first_row / 64,
                end_word: policies.len() as u32 / 64,
            });
        }
        Self {
            groups: groups.into(),
            policies: policies.into(),
            source: sets.source.compile(budget),
            destination: sets.destination.compile(budget),
            service: sets.service.compile(budget),
            source_port: sets.source_port.compile(budget),
            from: sets.from.compile(budget),
            to: sets.to.compile(budget),
        }
    }

    /// The first policy, of those before `below`, that the key satisfies and that `accept` takes.
    /// It is asked about some, not all, of those that come later.
    pub(crate) fn first<M>(
        &self,
        key: &Key<T>,
        below: u32,
        mut accept: impl FnMut(u32) -> Option<M>,
    ) -> Option<(u32, M)> {
        let satisfied = [
            self.source.satisfied_by(key.source),
            self.destination.satisfied_by(key.destination),
            self.service.satisfied_by(key.service),
            self.source_port.satisfied_by(key.source_port),
            self.from.satisfied_by(key.from),
            self.to.satisfied_by(key.to),
        ];
        let mut best = None;
        let mut below = below;
        for group in &self.groups {
            if group.first_policy >= below {
                break;
            }
            if let Some((policy, found)) = self.first_of(group, &satisfied, below, &mut accept) {
                below = policy;
                best = Some((policy, found));
            }
        }
        best
    }

    fn first_of<M>(
        &self,
        group: &Group,
        satisfied: &[Satisfied<'_>; DIMENSIONS],
        below: u32,
        mut accept: impl FnMut(u32) -> Option<M>,
    ) -> Option<(u32, M)> {
        let narrow =
            || ones(u64::from(group.shape.0)).map(|dimension| satisfied[dimension as usize]);
        let blocks = narrow().fold(group.blocks(), |blocks, of| blocks & of.blocks());
        for block in ones(blocks) {
            let in_block = || narrow().map(|of| of.block(block));
            let words = in_block().fold(group.words_of(block), |words, of| words & of.words());
            for word in ones(words) {
                let rows = in_block().fold(u64::MAX, |rows, of| rows & of.word(word));
                for row in ones(rows) {
                    let policy = self.policies[(block << 12 | word << 6 | row) as usize];
                    if policy >= below {
                        return None;
                    }
                    if let Some(found) = accept(policy) {
                        return Some((policy, found));
                    }
                }
            }
        }
        None
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.groups)
            + size_of_val(&*self.policies)
            + self.source.bytes()
            + self.destination.bytes()
            + self.service.bytes()
            + self.source_port.bytes()
            + self.from.bytes()
            + self.to.bytes()
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("groups", &self.groups)
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("service", &self.service)
            .field("source_port", &self.source_port)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// What rows have in each dimension, where they are not open.
struct AllSets<T> {
    source: Sets<T>,
    destination: Sets<T>,
    service: Sets<u32>,
    source_port: Sets<u32>,
    from: Sets<u32>,
    to: Sets<u32>,
}

impl<T: Value> AllSets<T> {
    fn new() -> Self {
        Self {
            source: Sets::new(),
            destination: Sets::new(),
            service: Sets::new(),
            source_port: Sets::new(),
            from: Sets::new(),
            to: Sets::new(),
        }
    }

    fn insert(&mut self, row: &Row<T>, number: u32) {
        fn insert<T: Value>(sets: &mut Sets<T>, ranges: Option<&Ranges<T>>, row: u32) {
            if let Some(ranges) = ranges {
                sets.insert(ranges, row);
            }
        }
        insert(&mut self.source, row.source.as_ref(), number);
        insert(&mut self.destination, row.destination.as_ref(), number);
        insert(&mut self.service, row.service.as_ref(), number);
        insert(&mut self.source_port, row.source_port.as_ref(), number);
        insert(&mut self.from, row.from.as_ref(), number);
        insert(&mut self.to, row.to.as_ref(), number);
    }
}
