//! What is wrong with rules and pools that are each right on their own.

use rules::Findings;

use crate::address::AddressRange;
use crate::matching::{NatRules, StaticRule};

pub(crate) fn check(rules: &NatRules, findings: &mut Findings) {
    pools_that_share_addresses(rules, findings);
    pools_with_static_addresses(rules, findings);
    statics_that_overlap(rules, findings);
}

/// Two pools may share an address where they agree on its ports: leases are kept by address.
fn pools_that_share_addresses(rules: &NatRules, findings: &mut Findings) {
    for (position, pool) in rules.pools.iter().enumerate() {
        let earlier = rules.pools[..position]
            .iter()
            .filter(|earlier| !pool.agrees_on_ports(earlier));
        for earlier in earlier {
            let mut shared = pool.ranges().flat_map(|range| {
                let mut others = earlier.ranges();
                others.find(move |other| other.overlaps(&range))
            });
            if let Some(shared) = shared.next() {
                let message = format!(
                    "pools '{}' and '{}' share addresses of {shared} but differ in their ports",
                    earlier.name(),
                    pool.name()
                );
                findings.error(pool.place(), message);
            }
        }
    }
}

fn pools_with_static_addresses(rules: &NatRules, findings: &mut Findings) {
    for rule in &rules.statics {
        let outside = AddressRange::from(rule.mapping.outside());
        for pool in &rules.pools {
            if pool.ranges().any(|range| range.overlaps(&outside)) {
                let info = rules.rule(rule.id);
                let message = format!(
                    "the outside of static rule '{}', {outside}, is in pool '{}' too",
                    info.name,
                    pool.name()
                );
                findings.error(info.place, message);
            }
        }
    }
}

/// One outside address can't be two inside ones, nor one inside address two outside ones, as far
/// as one zone can see.
fn statics_that_overlap(rules: &NatRules, findings: &mut Findings) {
    let ranges = |rule: &StaticRule| {
        (
            AddressRange::from(rule.mapping.outside()),
            AddressRange::from(rule.mapping.inside()),
        )
    };
    for (position, rule) in rules.statics.iter().enumerate() {
        let (outside, inside) = ranges(rule);
        let earlier = rules.statics[..position]
            .iter()
            .filter(|earlier| earlier.zones.meets(&rule.zones));
        for earlier in earlier {
            let (earlier_outside, earlier_inside) = ranges(earlier);
            let side = if earlier_outside.overlaps(&outside) {
                "outside"
            } else if earlier_inside.overlaps(&inside) {
                "inside"
            } else {
                continue;
            };
            let (info, first) = (rules.rule(rule.id), &rules.rule(earlier.id).name);
            let message = format!(
                "static rules '{first}' and '{}' share {side} addresses and a zone",
                info.name
            );
            findings.error(info.place, message);
        }
    }
}
