//! What is wrong with rules and pools that are each right on their own.

use std::collections::HashSet;

use rules::{AddressSet, Findings};

use crate::address::AddressRange;
use crate::document::{Nat, SourceTranslation};
use crate::matching::{DestinationRule, NatRules, RuleId, SourceRule, StaticRule};

pub(crate) fn check(rules: &NatRules, findings: &mut Findings) {
    pools_that_share_addresses(rules, findings);
    pools_with_static_addresses(rules, findings);
    statics_that_overlap(rules, findings);
    hidden_source_rules(rules, findings);
    hidden_destination_rules(rules, findings);
}

pub(crate) fn unused_pools(document: &Nat, findings: &mut Findings) {
    let used: HashSet<&str> = document
        .source
        .iter()
        .filter_map(|rule| match &rule.translate {
            SourceTranslation::Pool(name) => Some(name.value.as_str()),
            SourceTranslation::Interface | SourceTranslation::None => None,
        })
        .collect();
    for (name, _) in &document.pools {
        if !used.contains(name.value.as_str()) {
            let message = format!("no source rule uses pool '{}'", name.value);
            findings.warning(name.place, message);
        }
    }
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

fn hidden_source_rules(rules: &NatRules, findings: &mut Findings) {
    let hides = |earlier: &SourceRule, rule: &SourceRule| {
        earlier.from.covers(&rule.from)
            && earlier.to.covers(&rule.to)
            && covers(&earlier.source, &rule.source)
            && covers(&earlier.destination, &rule.destination)
    };
    for (position, rule) in rules.source.iter().enumerate() {
        let mut earlier = rules.source[..position].iter();
        if let Some(earlier) = earlier.find(|earlier| hides(earlier, rule)) {
            report_hidden(rules, rule.id, earlier.id, findings);
        }
    }
}

fn hidden_destination_rules(rules: &NatRules, findings: &mut Findings) {
    let hides = |earlier: &DestinationRule, rule: &DestinationRule| {
        let port = earlier.destination_port;
        earlier.destination == rule.destination
            && earlier.from.covers(&rule.from)
            && covers(&earlier.source, &rule.source)
            && (earlier.protocol.is_none() || earlier.protocol == rule.protocol)
            && (port.is_none() || port == rule.destination_port)
    };
    let static_hides = |fixed: &StaticRule, rule: &DestinationRule| {
        fixed.mapping.outside().contains(&rule.destination) && fixed.zones.covers(&rule.from)
    };
    for (position, rule) in rules.destination.iter().enumerate() {
        let mut earlier = rules.destination[..position].iter();
        let mut statics = rules.statics.iter();
        let by = earlier
            .find(|earlier| hides(earlier, rule))
            .map(|earlier| earlier.id);
        let by = by.or_else(|| {
            statics
                .find(|fixed| static_hides(fixed, rule))
                .map(|fixed| fixed.id)
        });
        if let Some(by) = by {
            report_hidden(rules, rule.id, by, findings);
        }
    }
}

fn report_hidden(rules: &NatRules, hidden: RuleId, by: RuleId, findings: &mut Findings) {
    let (hidden, by) = (rules.rule(hidden), rules.rule(by));
    let message = format!(
        "rule '{}' never matches: '{}' comes first and matches all that it does",
        hidden.name, by.name
    );
    findings.warning(hidden.place, message);
}

/// What has no addresses yet may have some soon, and is not hidden by anything.
fn covers(whole: &AddressSet, part: &AddressSet) -> bool {
    !part.is_empty() && (whole.is_any() || AddressSet::union([whole, part]) == *whole)
}
