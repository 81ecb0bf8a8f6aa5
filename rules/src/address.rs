//! Sets of addresses, IPv4 and IPv6 together, asked by binary search.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

/// Ranges of addresses: sorted, merged, so that none overlaps or touches another. A clone shares
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Arc<[(u32, u32)]>,
    v6: Arc<[(u128, u128)]>,
}

impl AddressSet {
    /// Every address of both families.
    pub fn any() -> Self {
        Self {
            v4: Arc::new([(0, u32::MAX)]),
            v6: Arc::new([(0, u128::MAX)]),
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }

    pub fn is_any(&self) -> bool {
        *self.v4 == [(0, u32::MAX)] && *self.v6 == [(0, u128::MAX)]
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn has_v4(&self) -> bool {
        !self.v4.is_empty()
    }

    pub fn has_v6(&self) -> bool {
        !self.v6.is_empty()
    }

    /// The IPv4 ranges, ascending, both ends included.
    pub fn v4_ranges(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> + '_ {
        self.v4
            .iter()
            .map(|&(first, last)| (first.into(), last.into()))
    }

    /// The IPv6 ranges, ascending, both ends included.
    pub fn v6_ranges(&self) -> impl Iterator<Item = (Ipv6Addr, Ipv6Addr)> + '_ {
        self.v6
            .iter()
            .map(|&(first, last)| (first.into(), last.into()))
    }

    pub(crate) fn v4(&self) -> &Arc<[(u32, u32)]> {
        &self.v4
    }

    pub(crate) fn v6(&self) -> &Arc<[(u128, u128)]> {
        &self.v6
    }

    /// All that is in any of the sets.
    pub fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sets = sets.into_iter().peekable();
        let first = sets.next();
        if let (Some(only), None) = (first, sets.peek()) {
            return only.clone();
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in first.into_iter().chain(sets) {
            v4.extend_from_slice(&set.v4);
            v6.extend_from_slice(&set.v6);
        }
        Self {
            v4: merge(v4, |end| end.checked_add(1)),
            v6: merge(v6, |end| end.checked_add(1)),
        }
    }

    /// All that is in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            v4: subtract(
                &self.v4,
                &other.v4,
                |at| at.checked_sub(1),
                |at| at.checked_add(1),
            ),
            v6: subtract(
                &self.v6,
                &other.v6,
                |at| at.checked_sub(1),
                |at| at.checked_add(1),
            ),
        }
    }

    /// Whether every IPv4 address of the other set is in this one.
    #[must_use]
    pub fn covers_v4(&self, other: &Self) -> bool {
        covers(&self.v4, &other.v4)
    }

    /// Whether every IPv6 address of the other set is in this one.
    #[must_use]
    pub fn covers_v6(&self, other: &Self) -> bool {
        covers(&self.v6, &other.v6)
    }

    /// How many ranges it takes to write it down.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

impl From<IpNet> for AddressSet {
    fn from(net: IpNet) -> Self {
        match net {
            IpNet::V4(net) => Self {
                v4: Arc::new([(net.network().to_bits(), net.broadcast().to_bits())]),
                ..Self::default()
            },
            IpNet::V6(net) => Self {
                v6: Arc::new([(net.network().to_bits(), net.broadcast().to_bits())]),
                ..Self::default()
            },
        }
    }
}

impl From<IpAddr> for AddressSet {
    fn from(address: IpAddr) -> Self {
        IpNet::from(address).into()
    }
}

/// What is wrong with an address, prefix or range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("'{0}' is no address, prefix or range of addresses")]
    Malformed(String),
    #[error("the prefix {0} has host bits set")]
    HostBits(IpNet),
    #[error("the range {0} runs backwards")]
    Backwards(String),
    #[error("the range {0} mixes IPv4 and IPv6")]
    MixedFamilies(String),
}

/// `192.0.2.10`, `192.0.2.16/28`, `192.0.2.40-192.0.2.50` and the same in IPv6.
pub fn parse_addresses(text: &str) -> Result<AddressSet, AddressError> {
    let malformed = || AddressError::Malformed(text.to_owned());
    if let Some((first, last)) = text.split_once('-') {
        let first = first.trim().parse().map_err(|_| malformed())?;
        let last = last.trim().parse().map_err(|_| malformed())?;
        return range(text, first, last);
    }
    if text.contains('/') {
        let net: IpNet = text.parse().map_err(|_| malformed())?;
        return if net.trunc() == net {
            Ok(net.into())
        } else {
            Err(AddressError::HostBits(net))
        };
    }
    text.parse::<IpAddr>()
        .map(AddressSet::from)
        .map_err(|_| malformed())
}

fn range(text: &str, first: IpAddr, last: IpAddr) -> Result<AddressSet, AddressError> {
    if first.is_ipv4() == last.is_ipv4() && first > last {
        return Err(AddressError::Backwards(text.to_owned()));
    }
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ok(AddressSet {
            v4: Arc::new([(first.to_bits(), last.to_bits())]),
            ..AddressSet::default()
        }),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ok(AddressSet {
            v6: Arc::new([(first.to_bits(), last.to_bits())]),
            ..AddressSet::default()
        }),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(AddressError::MixedFamilies(text.to_owned()))
        }
    }
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after > 0 && address <= ranges[after - 1].1
}

/// Both sorted, and none of `whole` touches another: what lies in several of them has a gap.
pub(crate) fn covers<T: Ord + Copy>(whole: &[(T, T)], part: &[(T, T)]) -> bool {
    part.iter().all(|&(first, last)| {
        let after = whole.partition_point(|&(start, _)| start <= first);
        after > 0 && last <= whole[after - 1].1
    })
}

/// `next` is the address after one, `None` after the last of the family.
pub(crate) fn merge<T: Ord + Copy>(
    mut ranges: Vec<(T, T)>,
    next: impl Fn(T) -> Option<T>,
) -> Arc<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if next(before.1).is_none_or(|touching| first <= touching) => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

/// What is left of `ranges` when `holes` are cut out; both sorted, neither overlapping itself. `before`
/// and `after` are `None` at the ends of the family.
fn subtract<T: Ord + Copy>(
    ranges: &[(T, T)],
    holes: &[(T, T)],
    before: impl Fn(T) -> Option<T>,
    after: impl Fn(T) -> Option<T>,
) -> Arc<[(T, T)]> {
    let mut left = Vec::with_capacity(ranges.len());
    let mut holes = holes.iter().peekable();
    for &(first, last) in ranges {
        let mut rest = Some(first);
        while let Some(from) = rest {
            // A hole that ends before this range ends before all that follow.
            while holes.next_if(|hole| hole.1 < from).is_some() {}
            let Some(&&(hole_first, hole_last)) = holes.peek().filter(|hole| hole.0 <= last) else {
                left.push((from, last));
                break;
            };
            if let Some(end) = before(hole_first).filter(|end| from <= *end) {
                left.push((from, end));
            }
            rest = after(hole_last).filter(|next| *next <= last);
        }
    }
    left.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_three_ways_to_write_addresses_are_read() {
        let set = AddressSet::union(&[
            parse_addresses("192.0.2.10").unwrap(),
            parse_addresses("192.0.2.16/28").unwrap(),
            parse_addresses("192.0.2.40-192.0.2.50").unwrap(),
            parse_addresses("2001:db8::/32").unwrap(),
        ]);
        for inside in [
            "192.0.2.10",
            "192.0.2.16",
            "192.0.2.31",
            "192.0.2.40",
            "192.0.2.50",
            "2001:db8:ffff::1",
        ] {
            assert!(set.contains(address(inside)), "{inside}");
        }
        for outside in [
            "192.0.2.9",
            "192.0.2.11",
            "192.0.2.32",
            "192.0.2.51",
            "2001:db9::",
            "::192.0.2.10",
        ] {
            assert!(!set.contains(address(outside)), "{outside}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        assert_eq!(
            parse_addresses("192.0.2.256"),
            Err(AddressError::Malformed("192.0.2.256".to_owned()))
        );
        assert_eq!(
            parse_addresses("192.0.2.0/33"),
            Err(AddressError::Malformed("192.0.2.0/33".to_owned()))
        );
        assert_eq!(
            parse_addresses("192.0.2.1/24"),
            Err(AddressError::HostBits("192.0.2.1/24".parse().unwrap()))
        );
        let backwards = "192.0.2.9-192.0.2.1";
        assert_eq!(
            parse_addresses(backwards),
            Err(AddressError::Backwards(backwards.to_owned()))
        );
        let mixed = "192.0.2.9-2001:db8::";
        assert_eq!(
            parse_addresses(mixed),
            Err(AddressError::MixedFamilies(mixed.to_owned()))
        );
    }

    #[test]
    fn any_is_both_families_whole() {
        let halves = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]
            .map(|half| parse_addresses(half).unwrap());
        assert!(AddressSet::union(&halves).is_any());
        assert!(!parse_addresses("0.0.0.0/0").unwrap().is_any());
    }

    #[test]
    fn what_is_cut_out_at_the_ends_of_a_family_leaves_the_rest() {
        let ends = ["0.0.0.0/8", "255.255.255.255", "::", "ffff::/16"]
            .map(|end| parse_addresses(end).unwrap());
        let left = AddressSet::any().without(&AddressSet::union(&ends));
        let v4: Vec<_> = left.v4_ranges().collect();
        assert_eq!(v4, [([1, 0, 0, 0].into(), [255, 255, 255, 254].into())]);
        assert!(!left.contains(address("::")) && left.contains(address("::1")));
        assert!(!left.contains(address("ffff::")) && left.contains(address("fffe::")));
        assert!(left.without(&AddressSet::any()).is_empty());
    }

    proptest! {
        #[test]
        fn a_difference_holds_exactly_what_only_the_first_holds(
            keep in prop::collection::vec((0u32..300, 0u32..40), 0..12),
            cut in prop::collection::vec((0u32..300, 0u32..40), 0..12),
        ) {
            let base = u32::MAX - 320;
            let set = |parts: &[(u32, u32)]| {
                let sets = parts.iter().map(|&(first, length)| {
                    let (first, last) = (base + first, (base + first).saturating_add(length));
                    AddressSet { v4: Arc::new([(first, last)]), ..AddressSet::default() }
                });
                AddressSet::union(&sets.collect::<Vec<_>>())
            };
            let (keep, cut) = (set(&keep), set(&cut));
            let left = keep.without(&cut);
            for asked in base..=u32::MAX {
                let asked = IpAddr::V4(asked.into());
                prop_assert_eq!(left.contains(asked), keep.contains(asked) && !cut.contains(asked));
            }
            // As sorted and merged as any other.
            prop_assert_eq!(AddressSet::union([&left]), left);
        }

        #[test]
        fn a_set_covers_what_adds_nothing_to_it(
            whole in prop::collection::vec((0u32..60, 0u32..12), 0..8),
            part in prop::collection::vec((0u32..60, 0u32..4), 0..4),
        ) {
            let set = |parts: &[(u32, u32)]| {
                let sets = parts.iter().map(|&(first, length)| AddressSet {
                    v4: Arc::new([(first, first + length)]),
                    ..AddressSet::default()
                });
                AddressSet::union(&sets.collect::<Vec<_>>())
            };
            let (whole, part) = (set(&whole), set(&part));
            prop_assert_eq!(whole.covers_v4(&part), AddressSet::union([&whole, &part]) == whole);
            prop_assert!(whole.covers_v6(&part));
        }

        #[test]
        fn a_union_holds_exactly_what_its_parts_hold(
            parts in prop::collection::vec((0u32..300, 0u32..40), 0..12),
            asked in 0u32..400,
        ) {
            let base = u32::MAX - 350;
            let parts: Vec<(u32, u32)> = parts
                .into_iter()
                .map(|(first, length)| (base.saturating_add(first), base.saturating_add(first + length)))
                .collect();
            let sets: Vec<AddressSet> = parts
                .iter()
                .map(|&(first, last)| AddressSet { v4: Arc::new([(first, last)]), ..AddressSet::default() })
                .collect();
            let asked = base.saturating_add(asked);
            let expected = parts.iter().any(|&(first, last)| first <= asked && asked <= last);
            prop_assert_eq!(AddressSet::union(&sets).contains(IpAddr::V4(asked.into())), expected);
        }
    }
}
