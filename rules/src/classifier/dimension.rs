//! One of the values that a question has, and the rows that a value of it satisfies.
//!
//! The ends of all rows' ranges cut the values into intervals, within each of which the same rows
//! are satisfied. A sweep over the ends goes from interval to interval by taking out the rows whose
//! ranges end and putting in those whose ranges begin. Rows with the same ranges go together, and a
//! step that was made before is remembered; so what a range costs does not depend on how many rows
//! share it, nor on how often two sets take turns.
//!
//! # Limits
//! Sets of rows that all differ and hold many rows each cost memory: ranges that overlap at random
//! are the worst of it. Past the budget, ends are moved outwards to every fourth, sixteenth… of them.
//! A value may then seem to satisfy rows that it does not (never the other way round), which the
//! last look at a policy's conditions finds out.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash};
use std::sync::Arc;

use super::bitmap::{Bitmap, Bitmaps, Builder, Mixer, Node};

/// Sorted, and none overlaps or touches another.
pub(crate) type Ranges<T> = Arc<[(T, T)]>;

/// A value, and the next one, if there is one.
pub(crate) trait Value: Copy + Ord + Default + Hash + fmt::Debug {
    fn next(self) -> Option<Self>;
}

impl Value for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Value for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Frozen; made by [`Sets::compile`].
#[derive(Clone)]
pub(super) struct Dimension<T> {
    /// Where each interval begins; the first begins with the lowest value.
    starts: Box<[T]>,
    /// The rows that the values of each interval satisfy.
    satisfied: Box<[Bitmap]>,
    bitmaps: Bitmaps,
}

impl<T: Value> Dimension<T> {
    pub(super) fn satisfied_by(&self, value: T) -> Satisfied<'_> {
        let interval = self.starts.partition_point(|start| *start <= value) - 1;
        Satisfied {
            bitmaps: &self.bitmaps,
            top: self.bitmaps.top(self.satisfied[interval]),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.satisfied) + self.bitmaps.bytes()
    }
}

impl<T> fmt::Debug for Dimension<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dimension")
            .field("intervals", &self.starts.len())
            .field("bitmaps", &self.bitmaps)
            .finish_non_exhaustive()
    }
}

/// The rows that one value satisfies.
#[derive(Clone, Copy)]
pub(super) struct Satisfied<'a> {
    bitmaps: &'a Bitmaps,
    top: Node,
}

impl<'a> Satisfied<'a> {
    pub(super) fn blocks(self) -> u64 {
        self.top.bits
    }

    pub(super) fn block(self, number: u32) -> Block<'a> {
        Block {
            bitmaps: self.bitmaps,
            node: self.bitmaps.block(self.top, number),
        }
    }
}

/// 4,096 of them.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    bitmaps: &'a Bitmaps,
    node: Node,
}

impl Block<'_> {
    pub(super) fn words(self) -> u64 {
        self.node.bits
    }

    pub(super) fn word(self, number: u32) -> u64 {
        self.bitmaps.word(self.node, number)
    }
}

/// Different sets of ranges, each with the rows that have it.
pub(super) struct Sets<T> {
    sets: Vec<(Ranges<T>, Vec<u32>)>,
    by_content: HashMap<Ranges<T>, u32>,
    /// Big sets are shared, and not to be compared for every row that has them.
    by_address: HashMap<(usize, usize), u32, BuildHasherDefault<Mixer>>,
}

impl<T: Value> Sets<T> {
    pub(super) fn new() -> Self {
        Self {
            sets: Vec::new(),
            by_content: HashMap::new(),
            by_address: HashMap::default(),
        }
    }

    /// Rows come in ascending order.
    pub(super) fn insert(&mut self, ranges: &Ranges<T>, row: u32) {
        let address = (ranges.as_ptr().addr(), ranges.len());
        let set = match self.by_address.get(&address) {
            Some(known) => *known,
            None => {
                let next = self.sets.len() as u32;
                let set = *self.by_content.entry(ranges.clone()).or_insert(next);
                if set == next {
                    self.sets.push((ranges.clone(), Vec::new()));
                    // An address means something for as long as its memory is kept, which for
                    // these it is.
                    self.by_address.insert(address, set);
                }
                set
            }
        };
        self.sets[set as usize].1.push(row);
    }

    /// `budget`: bytes for the sets of rows.
    pub(super) fn compile(&self, budget: usize) -> Dimension<T> {
        let exact: Vec<Event<T>> = (0..)
            .zip(&self.sets)
            .flat_map(|(set, (ranges, _))| events(set, ranges.iter().copied()))
            .collect();
        if let Some(dimension) = self.sweep(exact, budget) {
            return dimension;
        }
        let ends = self.ends();
        let mut every = 4;
        loop {
            let kept: Vec<T> = ends.iter().copied().step_by(every).collect();
            // With no ends left there is but one interval, which has to do.
            let budget = if kept.len() < 2 { usize::MAX } else { budget };
            if let Some(dimension) = self.sweep(self.coarse(&kept), budget) {
                return dimension;
            }
            every *= 4;
        }
    }

    /// `None` past the budget.
    fn sweep(&self, mut events: Vec<Event<T>>, budget: usize) -> Option<Dimension<T>> {
        events.sort_unstable();
        let mut steps = Steps::new(&self.sets);
        let mut now = Bitmap::default();
        let mut starts = vec![T::default()];
        let mut satisfied = vec![now];
        for events in events.chunk_by(|a, b| a.at == b.at) {
            now = match events {
                [one] => steps.step(now, one.set),
                [one, two] => {
                    let between = steps.step(now, one.set);
                    steps.step(between, two.set)
                }
                many => steps.leap(now, many.iter().map(|event| event.set)),
            };
            if steps.builder.bytes() > budget {
                return None;
            }
            let (at, last) = (events[0].at, starts.len() - 1);
            if starts[last] == at {
                satisfied[last] = now;
            } else if satisfied[last] != now {
                starts.push(at);
                satisfied.push(now);
            }
        }
        Some(Dimension {
            starts: starts.into(),
            satisfied: satisfied.into(),
            bitmaps: steps.builder.finish(),
        })
    }

    /// Every value at which a range begins or has ended, ascending.
    fn ends(&self) -> Vec<T> {
        let ranges = self.sets.iter().flat_map(|(ranges, _)| ranges.iter());
        let mut ends: Vec<T> = ranges
            .flat_map(|&(first, last)| [Some(first), last.next()])
            .flatten()
            .collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// The events of ranges that begin and end only at `kept`.
    fn coarse(&self, kept: &[T]) -> Vec<Event<T>> {
        let mut all = Vec::new();
        for (set, (ranges, _)) in (0..).zip(&self.sets) {
            // From one cell of the grid to another, both included; cell 0 is before the first end.
            let cell = |value: T| kept.partition_point(|end| *end <= value);
            let mut cells: Vec<(usize, usize)> = Vec::new();
            for &(first, last) in ranges.iter() {
                let (first, last) = (cell(first), cell(last));
                match cells.last_mut() {
                    Some(before) if first <= before.1 + 1 => before.1 = last,
                    _ => cells.push((first, last)),
                }
            }
            for (first, last) in cells {
                let at = first.checked_sub(1).map_or(T::default(), |end| kept[end]);
                all.push(Event {
                    at,
                    begins: true,
                    set,
                });
                all.extend(kept.get(last).map(|&at| Event {
                    at,
                    begins: false,
                    set,
                }));
            }
        }
        all
    }
}

/// The way from one set of rows to the next, with a memory for it.
struct Steps<'a, T> {
    sets: &'a [(Ranges<T>, Vec<u32>)],
    builder: Builder,
    known: HashMap<(Bitmap, u32), Bitmap, BuildHasherDefault<Mixer>>,
}

impl<'a, T> Steps<'a, T> {
    fn new(sets: &'a [(Ranges<T>, Vec<u32>)]) -> Self {
        Self {
            sets,
            builder: Builder::new(),
            known: HashMap::default(),
        }
    }

    fn step(&mut self, before: Bitmap, set: u32) -> Bitmap {
        if let Some(known) = self.known.get(&(before, set)) {
            return *known;
        }
        let after = self.builder.toggle(before, &self.sets[set as usize].1);
        self.known.insert((before, set), after);
        self.known.insert((after, set), before);
        after
    }

    /// Many steps at once; what would be in between is not kept. A row is in one set only, so the
    /// order does not matter.
    fn leap(&mut self, before: Bitmap, sets: impl Iterator<Item = u32>) -> Bitmap {
        let rows = sets.flat_map(|set| &self.sets[set as usize].1);
        let mut rows: Vec<u32> = rows.copied().collect();
        rows.sort_unstable();
        self.builder.toggle(before, &rows)
    }
}

/// A range of a set begins, or has ended. Those that have ended are gone before others begin, so
/// that what is in between is seldom new.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event<T> {
    at: T,
    begins: bool,
    set: u32,
}

fn events<T: Value>(
    set: u32,
    ranges: impl Iterator<Item = (T, T)>,
) -> impl Iterator<Item = Event<T>> {
    ranges.flat_map(move |(first, last)| {
        let begin = Event {
            at: first,
            begins: true,
            set,
        };
        let end = last.next().map(|at| Event {
            at,
            begins: false,
            set,
        });
        std::iter::once(begin).chain(end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bitmap::ones;
    use super::*;

    fn rows(satisfied: Satisfied<'_>) -> Vec<u32> {
        let mut rows = Vec::new();
        for block in ones(satisfied.blocks()) {
            let of_block = satisfied.block(block);
            for word in ones(of_block.words()) {
                let first = block << 12 | word << 6;
                rows.extend(ones(of_block.word(word)).map(|row| first | row));
            }
        }
        rows
    }

    fn merged(mut ranges: Vec<(u32, u32)>) -> Ranges<u32> {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if u64::from(first) <= u64::from(before.1) + 1 => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        merged.into()
    }

    fn sets() -> impl Strategy<Value = Vec<Ranges<u32>>> {
        let value = || prop_oneof![0u32..40, (u32::MAX - 10)..=u32::MAX];
        let range = (value(), value()).prop_map(|(a, b)| (a.min(b), a.max(b)));
        prop::collection::vec(prop::collection::vec(range, 1..5).prop_map(merged), 0..30)
    }

    fn compile(sets: &[Ranges<u32>], budget: usize) -> Dimension<u32> {
        let mut all = Sets::new();
        for (row, ranges) in (0..).zip(sets) {
            all.insert(ranges, row * 100);
        }
        all.compile(budget)
    }

    fn naive(sets: &[Ranges<u32>], value: u32) -> Vec<u32> {
        let rows = (0..).zip(sets).filter(|(_, ranges)| {
            let mut ranges = ranges.iter();
            ranges.any(|(first, last)| (first..=last).contains(&&value))
        });
        rows.map(|(row, _)| row * 100).collect()
    }

    proptest! {
        #[test]
        fn a_value_satisfies_the_rows_whose_ranges_hold_it(sets in sets(), value: u32, low in 0u32..42) {
            let dimension = compile(&sets, usize::MAX);
            for value in [value, low, u32::MAX - low] {
                prop_assert_eq!(rows(dimension.satisfied_by(value)), naive(&sets, value));
            }
        }

        #[test]
        fn without_memory_more_rows_may_seem_satisfied_but_never_fewer(
            sets in sets(), budget in 0usize..2_000, value in 0u32..42,
        ) {
            let dimension = compile(&sets, budget);
            for value in [value, u32::MAX - value] {
                let found = rows(dimension.satisfied_by(value));
                for row in naive(&sets, value) {
                    prop_assert!(found.contains(&row));
                }
            }
        }
    }

    #[test]
    fn a_tight_budget_is_kept() {
        let sets: Vec<Ranges<u32>> = (0..2_000)
            .map(|set| Arc::from([(set, set * 7 + 1_000)]))
            .collect();
        let whole = compile(&sets, usize::MAX).bitmaps.bytes();
        let small = compile(&sets, whole / 10).bitmaps.bytes();
        assert!(small <= whole / 10, "{small} of {whole}");
    }
}
