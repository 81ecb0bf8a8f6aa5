//! From the document to rules that can be asked.
//!
//! Every mistake is reported, each where it stands, and a rule that has one is left out.
//! What only shows when rules are compared is looked for in [`crate::conflicts`].

use std::collections::HashMap;

use rules::{AddressSet, Findings, Located, Names, Protocol, check_name, parse_ports, suggest};

use crate::address::{AddressError, AddressRange, merge, unicast, unicast_prefix};
use crate::conflicts;
use crate::document::{self, Addresses, Nat, SourceTranslation, Zones};
use crate::mapping::StaticMapping;
use crate::matching::{
    DestinationRule, NatRules, RuleId, RuleInfo, RuleKind, SourceAction, SourceRule, StaticRule,
    ZoneSet,
};
use crate::pool::{MAX_ADDRESSES, Pool};

pub(crate) fn compile(document: &Nat, names: &Names, findings: &mut Findings) -> NatRules {
    let mut compiler = Compiler {
        names,
        findings,
        compiled: NatRules::default(),
    };
    for (name, pool) in &document.pools {
        compiler.pool(name, pool);
    }
    compiler.unique_names("source", document.source.iter().map(|rule| &rule.name));
    for rule in &document.source {
        compiler.source(rule, document);
    }
    compiler.unique_names(
        "destination",
        document.destination.iter().map(|rule| &rule.name),
    );
    for rule in &document.destination {
        compiler.destination(rule);
    }
    compiler.unique_names("static", document.statics.iter().map(|rule| &rule.name));
    for rule in &document.statics {
        compiler.fixed(rule);
    }

    let mut compiled = compiler.compiled;
    compiled.translated = translated(&compiled);
    conflicts::check(&compiled, findings);
    compiled
}

struct Compiler<'a> {
    names: &'a Names,
    findings: &'a mut Findings,
    compiled: NatRules,
}

impl Compiler<'_> {
    fn pool(&mut self, name: &Located<String>, pool: &document::Pool) {
        check_name(name, "a pool", &[], self.findings);
        let mut ranges = Vec::new();
        for item in &pool.addresses {
            let Some(range) = self.address(item, AddressRange::parse) else {
                continue;
            };
            if ranges
                .iter()
                .any(|earlier: &AddressRange| earlier.overlaps(&range))
            {
                let message = format!(
                    "pool '{}' has addresses of '{}' already",
                    name.value, item.value
                );
                self.findings.warning(item.place, message);
            }
            ranges.push(range);
        }
        if pool.addresses.is_empty() && !self.findings.is_damaged("nat.pools", &name.value) {
            let message = format!("pool '{}' is empty: it has no address to give", name.value);
            self.findings.error(name.place, message);
        }
        let ports = pool.ports.as_ref().and_then(|text| {
            let ports = parse_ports(&text.value, 1);
            ports
                .map_err(|error| self.findings.error(text.place, error.to_string()))
                .ok()
        });
        let written = pool
            .addresses
            .iter()
            .map(|item| item.value.clone())
            .collect();
        match Pool::new(name, written, &ranges, ports) {
            Some(pool) => self.compiled.pools.push(pool),
            None => self.findings.error(
                name.place,
                format!(
                    "pool '{}' has more than {MAX_ADDRESSES} addresses",
                    name.value
                ),
            ),
        }
    }

    fn source(&mut self, rule: &document::SourceRule, document: &Nat) {
        let from = self.zones(&rule.from, "from", &rule.name);
        let to = self.zones(&rule.to, "to", &rule.name);
        let source = self.addresses(&rule.source, "source", &rule.name);
        let destination =
            self.optional_addresses(rule.destination.as_ref(), "destination", &rule.name);
        let action = match &rule.translate {
            SourceTranslation::None => Some(SourceAction::Keep),
            SourceTranslation::Interface => Some(SourceAction::Interface),
            SourceTranslation::Pool(name) => self.pool_named(name, document),
        };
        let (Some(from), Some(to), Some(source), Some(destination), Some(action)) =
            (from, to, source, destination, action)
        else {
            return;
        };

        let matches = match &rule.destination {
            Some(to) => format!("source {}, destination {}", words(&rule.source), words(to)),
            None => format!("source {}", words(&rule.source)),
        };
        let translates_to = match &rule.translate {
            SourceTranslation::Interface => "interface".to_owned(),
            SourceTranslation::None => "none".to_owned(),
            SourceTranslation::Pool(name) => format!("pool {}", name.value),
        };
        let id = self.number(RuleInfo {
            kind: RuleKind::Source,
            name: rule.name.value.clone(),
            from: words(&rule.from),
            to: Some(words(&rule.to)),
            matches,
            translates_to,
            place: rule.name.place,
        });
        self.compiled.source.push(SourceRule {
            id,
            from,
            to,
            source,
            destination,
            action,
        });
    }

    fn destination(&mut self, rule: &document::DestinationRule) {
        let from = self.zones(&rule.from, "from", &rule.name);
        let source = self.optional_addresses(rule.source.as_ref(), "source", &rule.name);
        let destination = self.address(&rule.destination, unicast);
        let address = self.address(&rule.translate.to, unicast);
        let protocol = self.protocol(rule);
        self.port(rule.port.as_ref());
        self.port(rule.translate.port.as_ref());
        let (Some(from), Some(source), Some(destination), Some(address), Some(protocol)) =
            (from, source, destination, address, protocol)
        else {
            return;
        };
        if destination.is_ipv4() != address.is_ipv4() {
            self.findings.error(
                rule.translate.to.place,
                format!("{destination} can't become {address}: they are of different families, and NAT64 isn't available"),
            );
            return;
        }

        let port = |port: &Option<Located<u16>>| match port {
            Some(port) => format!(" port {}", port.value),
            None => String::new(),
        };
        let protocol_word = protocol.map_or(String::new(), |protocol| format!(" {protocol}"));
        let from_whom = match &rule.source {
            Some(source) => format!(", source {}", words(source)),
            None => String::new(),
        };
        let id = self.number(RuleInfo {
            kind: RuleKind::Destination,
            name: rule.name.value.clone(),
            from: words(&rule.from),
            to: None,
            matches: format!(
                "destination {destination}{protocol_word}{}{from_whom}",
                port(&rule.port)
            ),
            translates_to: format!("{address}{}", port(&rule.translate.port)),
            place: rule.name.place,
        });
        self.compiled.destination.push(DestinationRule {
            id,
            from,
            source,
            destination,
            protocol,
            destination_port: rule.port.map(|port| port.value),
            address,
            port: rule.translate.port.map(|port| port.value),
        });
    }

    fn fixed(&mut self, rule: &document::StaticRule) {
        let zones = self.zones(&rule.from, "from", &rule.name);
        let outside = self.address(&rule.outside, unicast_prefix);
        let inside = self.address(&rule.inside, unicast_prefix);
        let (Some(zones), Some(outside), Some(inside)) = (zones, outside, inside) else {
            return;
        };
        let mapping = match StaticMapping::new(outside, inside) {
            Ok(mapping) => mapping,
            Err(error) => return self.findings.error(rule.inside.place, error.to_string()),
        };
        let id = self.number(RuleInfo {
            kind: RuleKind::Static,
            name: rule.name.value.clone(),
            from: words(&rule.from),
            to: None,
            matches: format!("outside {}", rule.outside.value),
            translates_to: rule.inside.value.clone(),
            place: rule.name.place,
        });
        self.compiled
            .statics
            .push(StaticRule { id, zones, mapping });
    }

    fn number(&mut self, info: RuleInfo) -> RuleId {
        let id = RuleId(self.compiled.rules.len() as u32);
        self.compiled.rules.push(info);
        id
    }

    fn zones(&mut self, zones: &Zones, key: &str, rule: &Located<String>) -> Option<ZoneSet> {
        if zones.is_empty() {
            let message = format!("'{}' matches nothing: `{key}` has no zone", rule.value);
            self.findings.error(rule.place, message);
            return None;
        }
        let mut these = Vec::new();
        let mut any = false;
        for name in zones {
            if name.value == "any" {
                any = true;
            } else if let Some(zone) = self.names.zone(&name.value) {
                these.push(zone);
            } else {
                let message = format!("no zone is named '{}'", name.value);
                let nearest = suggest(&name.value, self.names.zone_names().chain(["any"]));
                self.findings
                    .error_with_suggestion(name.place, message, nearest);
            }
        }
        let complete = any || these.len() == zones.iter().count();
        complete.then_some(if any {
            ZoneSet::Any
        } else {
            ZoneSet::These(these)
        })
    }

    fn addresses(
        &mut self,
        items: &Addresses,
        key: &str,
        rule: &Located<String>,
    ) -> Option<AddressSet> {
        if items.is_empty() {
            let message = format!("'{}' matches nothing: `{key}` has no address", rule.value);
            self.findings
                .error_with_suggestion(rule.place, message, Some("any".to_owned()));
            return None;
        }
        let extent = self.names.parse_addresses(items, self.findings)?;
        self.compiled.outside.extend(extent.depends_on().cloned());
        // What is translated is as good as permitted: only what is certain.
        Some(extent.certain().clone())
    }

    fn optional_addresses(
        &mut self,
        items: Option<&Addresses>,
        key: &str,
        rule: &Located<String>,
    ) -> Option<AddressSet> {
        match items {
            Some(items) => self.addresses(items, key, rule),
            None => Some(AddressSet::any()),
        }
    }

    fn address<T>(
        &mut self,
        text: &Located<String>,
        parse: impl Fn(&str) -> Result<T, AddressError>,
    ) -> Option<T> {
        let report = |error: AddressError| {
            self.findings
                .error_with_suggestion(text.place, error.to_string(), error.suggestion());
        };
        parse(&text.value).map_err(report).ok()
    }

    /// The outer `None` is a mistake, the inner one any protocol.
    fn protocol(&mut self, rule: &document::DestinationRule) -> Option<Option<Protocol>> {
        let Some(protocol) = &rule.protocol else {
            let Some(port) = rule.port.or(rule.translate.port) else {
                return Some(None);
            };
            let message = "a port needs `protocol: tcp` or `protocol: udp` beside it";
            self.findings.error(port.place, message);
            return None;
        };
        match protocol.value.as_str() {
            "tcp" => Some(Some(Protocol::TCP)),
            "udp" => Some(Some(Protocol::UDP)),
            other => {
                let message =
                    format!("protocol '{other}' has no ports to translate; it must be tcp or udp");
                let nearest = suggest(other, ["tcp", "udp"]);
                self.findings
                    .error_with_suggestion(protocol.place, message, nearest);
                None
            }
        }
    }

    fn port(&mut self, port: Option<&Located<u16>>) {
        // RFC 6335 §6: port 0 is reserved and never assigned.
        if let Some(port) = port.filter(|port| port.value == 0) {
            self.findings.error(port.place, "0 is no port");
        }
    }

    fn pool_named(&mut self, name: &Located<String>, document: &Nat) -> Option<SourceAction> {
        let found = self
            .compiled
            .pools
            .iter()
            .position(|pool| pool.name() == name.value);
        // A pool that has a mistake, or that couldn't even be read, was reported where it stands.
        let reported = document.pools.get(&name.value).is_some()
            || self.findings.is_damaged("nat.pools", &name.value);
        if found.is_none() && !reported {
            let message = format!("no pool is named '{}'", name.value);
            let nearest = suggest(
                &name.value,
                document.pools.iter().map(|(name, _)| name.value.as_str()),
            );
            self.findings
                .error_with_suggestion(name.place, message, nearest);
        }
        found.map(SourceAction::Pool)
    }

    fn unique_names<'n>(&mut self, kind: &str, names: impl Iterator<Item = &'n Located<String>>) {
        let mut first_uses = HashMap::new();
        for name in names {
            check_name(name, "a NAT rule", &[], self.findings);
            if let Some(first) = first_uses.get(name.value.as_str()) {
                let message = format!(
                    "the {kind} rule name '{}' is used twice; first in line {first}",
                    name.value
                );
                self.findings.error(name.place, message);
            } else {
                first_uses.insert(name.value.as_str(), name.place.line);
            }
        }
    }
}

fn words(items: &Addresses) -> String {
    let words: Vec<&str> = items.iter().map(|item| item.value.as_str()).collect();
    words.join(", ")
}

fn translated(compiled: &NatRules) -> Vec<AddressRange> {
    let pools = compiled.source.iter().filter_map(|rule| match rule.action {
        SourceAction::Pool(number) => compiled.pools.get(number),
        SourceAction::Keep | SourceAction::Interface => None,
    });
    let pools = pools.flat_map(Pool::ranges);
    let outside = compiled
        .statics
        .iter()
        .map(|rule| AddressRange::from(rule.mapping.outside()));
    let destinations = compiled
        .destination
        .iter()
        .map(|rule| AddressRange::from(rule.destination));
    merge(&pools.chain(outside).chain(destinations).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
