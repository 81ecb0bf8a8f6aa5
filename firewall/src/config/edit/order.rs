//! Which children of a list or map stay where they are when others come, go and move.

use std::collections::HashMap;

use super::tree::Tree;

/// For every child, its place among those that were there, if it keeps it: the longest run of
/// children that are in their old order does, and the others move around them.
pub(super) fn places<'t, 'a: 't>(
    own: &[u32],
    children: impl Iterator<Item = &'t Tree<'a>>,
) -> Vec<Option<usize>> {
    let index: HashMap<u32, usize> = own
        .iter()
        .enumerate()
        .map(|(index, id)| (*id, index))
        .collect();
    let old: Vec<Option<usize>> = children
        .map(|child| index.get(&child.was()?.id).copied())
        .collect();
    let stay = longest_run(&old);
    old.into_iter()
        .zip(stay)
        .map(|(old, stays)| old.filter(|_| stays))
        .collect()
}

/// The longest increasing subsequence, by patience sorting: O(n log n).
pub(crate) fn longest_run(values: &[Option<usize>]) -> Vec<bool> {
    // The position of the smallest value that ends a run of each length, and what comes before each.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut before = vec![None; values.len()];
    for (position, value) in values.iter().enumerate() {
        let Some(value) = *value else { continue };
        let length = ends.partition_point(|(end, _)| *end < value);
        if let (Some(before), Some((_, previous))) = (
            before.get_mut(position),
            length.checked_sub(1).and_then(|shorter| ends.get(shorter)),
        ) {
            *before = Some(*previous);
        }
        match ends.get_mut(length) {
            Some(end) => *end = (value, position),
            None => ends.push((value, position)),
        }
    }
    let mut stay = vec![false; values.len()];
    let mut next = ends.last().map(|(_, position)| *position);
    while let Some(position) = next {
        if let Some(stays) = stay.get_mut(position) {
            *stays = true;
        }
        next = before.get(position).copied().flatten();
    }
    stay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_run_in_order_stays() {
        let run = |values: &[usize]| -> Vec<usize> {
            let values: Vec<_> = values.iter().copied().map(Some).collect();
            let stay = longest_run(&values);
            values
                .iter()
                .zip(stay)
                .filter(|(_, stays)| *stays)
                .filter_map(|(value, _)| *value)
                .collect()
        };
        assert_eq!(run(&[0, 1, 2, 3]), [0, 1, 2, 3]);
        assert_eq!(run(&[3, 0, 1, 2]), [0, 1, 2], "one moved to the top");
        assert_eq!(run(&[1, 2, 3, 0]), [1, 2, 3], "one moved to the end");
        assert_eq!(run(&[2, 1, 0]).len(), 1);
        assert_eq!(run(&[]), [0; 0]);
    }

    #[test]
    fn what_is_new_has_no_place() {
        assert_eq!(longest_run(&[Some(0), None, Some(1)]), [true, false, true]);
    }
}
