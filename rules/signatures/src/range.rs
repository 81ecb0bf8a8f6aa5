//! Sets of addresses, ports and other numbers, as sorted inclusive ranges.

use std::fmt::Debug;

/// A number that ranges can be made of.
pub(crate) trait Domain: Copy + Ord + Debug {
    const LOWEST: Self;
    const HIGHEST: Self;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

macro_rules! domain {
    ($($number:ty),*) => {$(
        impl Domain for $number {
            const LOWEST: Self = <$number>::MIN;
            const HIGHEST: Self = <$number>::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}

domain!(u16, u32, u128);

/// Disjoint, sorted, and with gaps between neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RangeSet<T> {
    ranges: Box<[(T, T)]>,
}

impl<T: Domain> RangeSet<T> {
    pub(crate) fn all() -> Self {
        Self {
            ranges: Box::new([(T::LOWEST, T::HIGHEST)]),
        }
    }

    pub(crate) fn none() -> Self {
        Self {
            ranges: Box::new([]),
        }
    }

    pub(crate) fn of(mut ranges: Vec<(T, T)>) -> Self {
        ranges.retain(|(low, high)| low <= high);
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if last.1.next().is_none_or(|after| low <= after) => {
                    last.1 = last.1.max(high);
                }
                Some(_) | None => merged.push((low, high)),
            }
        }
        Self {
            ranges: merged.into(),
        }
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self::of([&*self.ranges, &*other.ranges].concat())
    }

    pub(crate) fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.ranges.len() + 1);
        let mut from = Some(T::LOWEST);
        for &(low, high) in &self.ranges {
            if let (Some(from), Some(to)) = (from, low.previous()) {
                gaps.push((from, to));
            }
            from = high.next();
        }
        if let Some(from) = from {
            gaps.push((from, T::HIGHEST));
        }
        Self::of(gaps)
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        // A \ B = not (not A or B)
        self.complement().union(other).complement()
    }

    pub(crate) fn contains(&self, value: T) -> bool {
        let after = self.ranges.partition_point(|&(low, _)| low <= value);
        after > 0 && value <= self.ranges[after - 1].1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    #[cfg(test)]
    fn is_all(&self) -> bool {
        matches!(*self.ranges, [(low, high)] if low == T::LOWEST && high == T::HIGHEST)
    }

    pub(crate) fn ranges(&self) -> &[(T, T)] {
        &self.ranges
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one_range() {
        let set = RangeSet::<u16>::of(vec![(5, 9), (1, 4), (20, 30), (25, 26)]);
        assert_eq!(set.ranges(), [(1, 9), (20, 30)]);
    }

    #[test]
    fn the_complement_of_nothing_is_all() {
        assert!(RangeSet::<u32>::none().complement().is_all());
        assert!(RangeSet::<u32>::all().complement().is_empty());
    }

    proptest! {
        #[test]
        fn set_operations_are_those_of_sets(
            a in proptest::collection::vec((any::<u16>(), 0u16..2000), 0..6),
            b in proptest::collection::vec((any::<u16>(), 0u16..2000), 0..6),
            probe in any::<u16>(),
        ) {
            let of = |ranges: &[(u16, u16)]| RangeSet::of(
                ranges.iter().map(|&(low, size)| (low, low.saturating_add(size))).collect(),
            );
            let naive = |ranges: &[(u16, u16)]| ranges
                .iter()
                .any(|&(low, size)| (low..=low.saturating_add(size)).contains(&probe));
            let (x, y) = (of(&a), of(&b));
            prop_assert_eq!(x.contains(probe), naive(&a));
            prop_assert_eq!(x.union(&y).contains(probe), naive(&a) || naive(&b));
            prop_assert_eq!(x.without(&y).contains(probe), naive(&a) && !naive(&b));
            prop_assert_eq!(x.complement().contains(probe), !naive(&a));
        }
    }
}
