//! The compiled rules of one generation, and the two questions they answer.
//!
//! Static rules go before the others, in both directions: they promise that an inside address is
//! always seen as the same outside one. Among rules of a kind the first match wins.
//!
//! `any` means every zone but never the appliance itself ([`ZoneId::HOST`]): what it sends already
//! leaves from an address of its own, and what it receives must arrive as it was sent.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rules::{AddressSet, Findings, Names, Outside, Place, Protocol, Tuple, ZoneId};

use crate::address::{self, AddressRange};
use crate::compile::compile;
use crate::document;
use crate::mapping::StaticMapping;
use crate::pool::Pool;

/// Immutable; one for each generation. The default translates nothing.
#[derive(Clone, Debug, Default)]
pub struct NatRules {
    pub(crate) source: Vec<SourceRule>,
    pub(crate) destination: Vec<DestinationRule>,
    pub(crate) statics: Vec<StaticRule>,
    pub(crate) pools: Vec<Pool>,
    /// By [`RuleId`].
    pub(crate) rules: Vec<RuleInfo>,
    /// Sorted and disjoint.
    pub(crate) translated: Vec<AddressRange>,
    pub(crate) outside: BTreeSet<Outside>,
}

/// A rule's number: source rules first, then destination, then static, each in the document's
/// order. From 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);

/// Where a packet goes instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub rule: RuleId,
    pub address: IpAddr,
    /// `None` keeps the port that was asked for.
    pub port: Option<u16>,
}

/// From where a packet comes instead.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub rule: RuleId,
    pub translate: Translate<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum Translate<'a> {
    /// An address of the interface by which it leaves; needs a lease.
    Interface,
    /// Needs a lease.
    Pool(&'a Pool),
    /// Static: this address, the port unchanged, and no lease.
    Address(IpAddr),
}

/// A rule as the document says it, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    pub kind: RuleKind,
    pub name: String,
    pub from: String,
    /// Source rules only.
    pub to: Option<String>,
    pub matches: String,
    pub translates_to: String,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleKind {
    Source,
    Destination,
    Static,
}

impl NatRules {
    /// Checks and compiles; everything wrong goes to `findings`. With errors there, what is
    /// returned is incomplete and must not be used.
    pub fn compile(document: &document::Nat, names: &Names, findings: &mut Findings) -> Self {
        compile(document, names, findings)
    }

    /// Asked on arrival, before routing.
    #[must_use]
    pub fn destination(&self, from: ZoneId, tuple: &Tuple) -> Option<Destination> {
        let fixed = self.statics.iter().find_map(|rule| {
            let address = rule.mapping.to_inside(tuple.destination)?;
            rule.zones.contain(from).then_some(Destination {
                rule: rule.id,
                address,
                port: None,
            })
        });
        fixed.or_else(|| {
            let rule = self
                .destination
                .iter()
                .find(|rule| rule.matches(from, tuple))?;
            Some(Destination {
                rule: rule.id,
                address: rule.address,
                port: rule.port,
            })
        })
    }

    /// Asked after routing, with the destination translated already.
    ///
    /// `None` where nothing matches and where the rule that matches says `none`.
    #[must_use]
    pub fn source(&self, from: ZoneId, to: ZoneId, tuple: &Tuple) -> Option<Source<'_>> {
        let fixed = self.statics.iter().find_map(|rule| {
            let address = rule.mapping.to_outside(tuple.source)?;
            let leaves = rule.zones.contain(to) && from != ZoneId::HOST;
            leaves.then_some(Source {
                rule: rule.id,
                translate: Translate::Address(address),
            })
        });
        fixed.or_else(|| {
            let rule = self
                .source
                .iter()
                .find(|rule| rule.matches(from, to, tuple))?;
            let translate = match rule.action {
                SourceAction::Keep => return None,
                SourceAction::Interface => Translate::Interface,
                SourceAction::Pool(number) => Translate::Pool(self.pools.get(number)?),
            };
            Some(Source {
                rule: rule.id,
                translate,
            })
        })
    }

    /// Whether packets to this address are for the appliance to translate: a pool's that a rule
    /// uses, the outside of a static rule, or what a destination rule matches. It answers ARP and
    /// ND for those that are on a link of its own and aren't its interface's anyway.
    #[must_use]
    pub fn is_translated(&self, address: IpAddr) -> bool {
        address::find(&self.translated, |range| range, address)
    }

    /// All that [`Self::is_translated`] is true for: sorted, disjoint, IPv4 first.
    pub fn translated_addresses(&self) -> impl Iterator<Item = AddressRange> {
        self.translated.iter().copied()
    }

    /// # Panics
    /// With the number of a rule of another generation.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> &RuleInfo {
        &self.rules[id.0 as usize]
    }

    /// By number.
    #[must_use]
    pub fn rules(&self) -> &[RuleInfo] {
        &self.rules
    }

    /// What the rules ask of the outside, unknown or not.
    #[must_use]
    pub fn outside(&self) -> &BTreeSet<Outside> {
        &self.outside
    }

    /// In the document's order.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// Whose addresses a source rule gives; `None` for any other rule, and for those of interfaces.
    #[must_use]
    pub fn pool_of(&self, id: RuleId) -> Option<&Pool> {
        let rule = self.source.iter().find(|rule| rule.id == id)?;
        match rule.action {
            SourceAction::Pool(number) => self.pools.get(number),
            SourceAction::Keep | SourceAction::Interface => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SourceRule {
    pub(crate) id: RuleId,
    pub(crate) from: ZoneSet,
    pub(crate) to: ZoneSet,
    pub(crate) source: AddressSet,
    pub(crate) destination: AddressSet,
    pub(crate) action: SourceAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceAction {
    Keep,
    Interface,
    /// Its position among the pools.
    Pool(usize),
}

impl SourceRule {
    fn matches(&self, from: ZoneId, to: ZoneId, tuple: &Tuple) -> bool {
        self.from.contain(from)
            && self.to.contain(to)
            && self.source.contains(tuple.source)
            && self.destination.contains(tuple.destination)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DestinationRule {
    pub(crate) id: RuleId,
    pub(crate) from: ZoneSet,
    pub(crate) source: AddressSet,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) destination_port: Option<u16>,
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

impl DestinationRule {
    fn matches(&self, from: ZoneId, tuple: &Tuple) -> bool {
        self.destination == tuple.destination
            && self.protocol.is_none_or(|only| only == tuple.protocol)
            && self
                .destination_port
                .is_none_or(|only| only == tuple.destination_port)
            && self.from.contain(from)
            && self.source.contains(tuple.source)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct StaticRule {
    pub(crate) id: RuleId,
    /// Where the outside address is seen.
    pub(crate) zones: ZoneSet,
    pub(crate) mapping: StaticMapping,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ZoneSet {
    Any,
    These(Vec<ZoneId>),
}

impl ZoneSet {
    fn contain(&self, zone: ZoneId) -> bool {
        match self {
            Self::Any => zone != ZoneId::HOST,
            Self::These(zones) => zones.contains(&zone),
        }
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::These(_), Self::Any) => false,
            (Self::These(zones), Self::These(others)) => {
                others.iter().all(|zone| zones.contains(zone))
            }
        }
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::These(zones), Self::These(others)) => {
                zones.iter().any(|zone| others.contains(zone))
            }
            (Self::Any, _) | (_, Self::Any) => true,
        }
    }
}

#[cfg(test)]
mod tests;
