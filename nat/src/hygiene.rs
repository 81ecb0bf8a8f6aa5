//! Rules that can never match, and pools that no rule uses: right, and yet probably not meant.
//!
//! A question of its own, for whoever checks a document; it is asked about documents without errors.
//! As in [`rules::hygiene`], the answer is the document's alone: what is only so as long as the outside
//! says this or that is not said.
//!
//! # Limits
//! Rules are compared in pairs, and several that hide one together are not found.

use std::collections::HashSet;

use ipnet::IpNet;
use rules::{AddressSet, Extent, Findings, Names};

use crate::NatRules;
use crate::document::{Addresses, Nat, SourceTranslation};
use crate::matching::{DestinationRule, RuleId, SourceRule, StaticRule};

/// `names` must know nothing of the outside.
pub fn check(document: &Nat, names: &Names, findings: &mut Findings) {
    unused_pools(document, findings);
    // Whatever is wrong with the document was said when it was compiled.
    let rules = NatRules::compile(document, names, &mut Findings::default());
    hidden_source_rules(document, names, &rules, findings);
    hidden_destination_rules(document, names, &rules, findings);
}

fn unused_pools(document: &Nat, findings: &mut Findings) {
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

fn hidden_source_rules(document: &Nat, names: &Names, rules: &NatRules, findings: &mut Findings) {
    let written = document.source.iter();
    let sides: Vec<(Side<'_>, Side<'_>)> = written
        .map(|rule| {
            (
                Side::of(Some(&rule.source), names),
                Side::of(rule.destination.as_ref(), names),
            )
        })
        .collect();
    let ruled: Vec<(&SourceRule, &(Side<'_>, Side<'_>))> =
        rules.source.iter().zip(&sides).collect();
    for (position, (rule, (source, destination))) in ruled.iter().enumerate() {
        let fixed = rules.statics.iter().find(|fixed| {
            fixed.zones.covers(&rule.to) && source.is_within(fixed.mapping.inside(), destination)
        });
        let earlier = || {
            ruled[..position].iter().find(|(earlier, sides)| {
                earlier.from.covers(&rule.from)
                    && earlier.to.covers(&rule.to)
                    && cover(sides, (source, destination))
            })
        };
        let by = fixed.map(|fixed| fixed.id);
        let by = by.or_else(|| earlier().map(|(earlier, _)| earlier.id));
        if let Some(by) = by {
            report_hidden(rules, rule.id, by, findings);
        }
    }
}

fn hidden_destination_rules(
    document: &Nat,
    names: &Names,
    rules: &NatRules,
    findings: &mut Findings,
) {
    let written = document.destination.iter();
    let sources: Vec<Side<'_>> = written
        .map(|rule| Side::of(rule.source.as_ref(), names))
        .collect();
    let ruled: Vec<(&DestinationRule, &Side<'_>)> =
        rules.destination.iter().zip(&sources).collect();
    let hides = |(earlier, takes): &(&DestinationRule, &Side<'_>),
                 (rule, source): (&DestinationRule, &Side<'_>)| {
        let port = earlier.destination_port;
        earlier.destination == rule.destination
            && earlier.from.covers(&rule.from)
            && (earlier.protocol.is_none() || earlier.protocol == rule.protocol)
            && (port.is_none() || port == rule.destination_port)
            && takes.covers(source, rule.destination.is_ipv4())
    };
    let static_hides = |fixed: &StaticRule, rule: &DestinationRule| {
        fixed.mapping.outside().contains(&rule.destination) && fixed.zones.covers(&rule.from)
    };
    for (position, &(rule, source)) in ruled.iter().enumerate() {
        let fixed = rules.statics.iter().find(|fixed| static_hides(fixed, rule));
        let mut before = ruled[..position].iter();
        let by = fixed.map(|fixed| fixed.id);
        let by = by.or_else(|| {
            let earlier = before.find(|earlier| hides(earlier, (rule, source)))?;
            Some(earlier.0.id)
        });
        if let Some(by) = by {
            report_hidden(rules, rule.id, by, findings);
        }
    }
}

fn report_hidden(rules: &NatRules, hidden: RuleId, by: RuleId, findings: &mut Findings) {
    let (hidden, by) = (rules.rule(hidden), rules.rule(by));
    let message = format!(
        "rule '{}' never matches: '{}' in line {} comes first and matches all that it does",
        hidden.name, by.name, by.place.line
    );
    findings.warning(hidden.place, message);
}

/// The addresses of a rule at one end.
struct Side<'a> {
    extent: Extent,
    /// Sorted, where it depends on the outside.
    written: Vec<&'a str>,
}

impl<'a> Side<'a> {
    fn of(list: Option<&'a Addresses>, names: &Names) -> Self {
        let parse = |list| names.parse_addresses(list, &mut Findings::default());
        let extent = list.and_then(parse);
        let extent = extent.unwrap_or_else(|| AddressSet::any().into());
        let mut written = Vec::new();
        if let Some(list) = list.filter(|_| !extent.is_fixed()) {
            written.extend(list.iter().map(|item| item.value.as_str()));
            written.sort_unstable();
        }
        Self { extent, written }
    }

    /// Holds at any time what the other may hold.
    fn covers(&self, other: &Self, is_ipv4: bool) -> bool {
        let (own, others) = (self.extent.certain(), other.extent.possible());
        let alike = !self.written.is_empty() && self.written == other.written;
        alike
            || if is_ipv4 {
                own.covers_v4(others)
            } else {
                own.covers_v6(others)
            }
    }

    /// Whether a rule with these sources, and destinations of the other end, can only meet sources in a
    /// network.
    fn is_within(&self, network: IpNet, destination: &Self) -> bool {
        let network = Self {
            extent: AddressSet::from(network).into(),
            written: Vec::new(),
        };
        let any = Self::of(None, &Names::default());
        cover(&(network, any), (self, destination))
    }
}

/// Whether one pair of ends takes every packet that another may take. A packet is of one family; a pair
/// that can take none is not hidden.
fn cover(whole: &(Side<'_>, Side<'_>), part: (&Side<'_>, &Side<'_>)) -> bool {
    let (source, destination) = (part.0.extent.possible(), part.1.extent.possible());
    let families = [
        (true, source.has_v4() && destination.has_v4()),
        (false, source.has_v6() && destination.has_v6()),
    ];
    families.iter().any(|(_, exists)| *exists)
        && families.iter().all(|&(is_ipv4, exists)| {
            !exists || whole.0.covers(part.0, is_ipv4) && whole.1.covers(part.1, is_ipv4)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::checked;

    fn source(name: &str, source: &[&str], more: &Value) -> Value {
        let mut rule = json!({"name": name, "from": ["trust"], "to": ["untrust"], "source": source,
            "translate": "interface"});
        for (key, value) in more.as_object().unwrap() {
            rule[key] = value.clone();
        }
        rule
    }

    fn said(nat: &Value) -> Vec<String> {
        let findings = checked(nat).into_iter();
        findings.map(|finding| finding.message).collect()
    }

    #[track_caller]
    fn hidden(nat: &Value, name: &str, by: &str) {
        let said = said(nat);
        let expected = format!("rule '{name}' never matches: '{by}' in line ");
        assert!(
            said.len() == 1 && said[0].starts_with(&expected),
            "{said:#?}"
        );
    }

    #[test]
    fn a_source_rule_behind_a_wider_one_never_matches() {
        let none = json!({});
        let wide = source("a", &["lan"], &none);
        hidden(
            &json!({"source": [wide, source("b", &["lan"], &json!({"translate": "none"}))]}),
            "b",
            "a",
        );
        let narrow = source(
            "b",
            &["192.0.2.7"],
            &json!({"destination": ["203.0.113.0/24"]}),
        );
        hidden(&json!({"source": [wide, narrow]}), "b", "a");
        for visible in [
            source("b", &["192.0.2.7", "198.51.100.0/24"], &none),
            source("b", &["lan"], &json!({"to": ["dmz"]})),
            source("b", &["any"], &none),
        ] {
            assert_eq!(
                said(&json!({"source": [wide, visible]})),
                Vec::<String>::new()
            );
        }
        assert_eq!(
            said(&json!({"source": [narrow, wide]})),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_packet_has_one_family() {
        // What `b` names of IPv6 no destination of its goes with.
        let four = source("a", &["192.0.2.0/24"], &json!({}));
        let both = json!({"destination": ["203.0.113.0/24"]});
        let nat = json!({"source": [four, source("b", &["192.0.2.1", "2001:db8::/32"], &both)]});
        hidden(&nat, "b", "a");
    }

    #[test]
    fn what_hides_today_by_what_a_feed_holds_hides_nothing() {
        let none = json!({});
        let nat = |a: &[&str], b: &[&str]| json!({"source": [source("a", a, &none), source("b", b, &none)]});
        assert_eq!(
            said(&nat(&["feed:partners"], &["192.0.2.1"])),
            Vec::<String>::new()
        );
        assert_eq!(
            said(&nat(&["lan"], &["feed:partners"])),
            Vec::<String>::new()
        );
        hidden(&nat(&["any"], &["feed:partners"]), "b", "a");
        hidden(
            &nat(&["lan", "feed:partners"], &["feed:partners", "lan"]),
            "b",
            "a",
        );
        hidden(&nat(&["lan", "feed:partners"], &["192.0.2.1"]), "b", "a");
    }

    #[test]
    fn a_static_rule_comes_before_all_others() {
        let fixed = json!([{"name": "all", "from": ["untrust"], "outside": "198.51.100.0/24",
            "inside": "192.0.2.0/24"}]);
        let nat = json!({"static": fixed, "destination": [{"name": "web", "from": ["untrust"],
            "destination": "198.51.100.1", "translate": {"to": "192.0.2.10"}}]});
        hidden(&nat, "web", "all");
        let nat = json!({"static": fixed, "source": [source("lan", &["lan"], &json!({}))]});
        hidden(&nat, "lan", "all");
        let nat =
            json!({"static": fixed, "source": [source("lan", &["lan"], &json!({"to": ["dmz"]}))]});
        assert_eq!(said(&nat), Vec::<String>::new());
    }

    #[test]
    fn a_destination_rule_for_every_port_hides_those_for_one() {
        let rule = |name: &str, more: Value| {
            let mut rule = json!({"name": name, "from": ["untrust"], "destination": "198.51.100.1",
                "translate": {"to": "192.0.2.10"}});
            for (key, value) in more.as_object().unwrap() {
                rule[key] = value.clone();
            }
            rule
        };
        let all = rule("all", json!({}));
        let web = rule("web", json!({"protocol": "tcp", "port": 443}));
        hidden(&json!({"destination": [all, web]}), "web", "all");
        assert_eq!(
            said(&json!({"destination": [web, all]})),
            Vec::<String>::new()
        );
        let some = rule("some", json!({"source": ["203.0.113.0/24"]}));
        assert_eq!(
            said(&json!({"destination": [some, web]})),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_pool_that_no_rule_uses_is_unused() {
        let nat = json!({"pools": {"public": {"addresses": ["198.51.100.32/28"]}}});
        assert_eq!(said(&nat), ["no source rule uses pool 'public'"]);
    }
}
