//! What the tests of several modules start from.

use std::net::IpAddr;

use rules::document::Sections;
use rules::{
    Diagnostic, Facts, Findings, Named, Names, Protocol, Rules, Tuple, Vocabulary, ZoneId,
};
use serde_json::{Value, json};

use crate::document::Nat;
use crate::{NatRules, Pool};

pub(crate) const TRUST: ZoneId = ZoneId(1);
pub(crate) const UNTRUST: ZoneId = ZoneId(2);
pub(crate) const DMZ: ZoneId = ZoneId(3);

/// Zones `trust`, `untrust` and `dmz`; addresses `lan`; a feed `partners` that is not known.
pub(crate) fn names() -> Names {
    let zones = r#"{
        "trust": {"interfaces": ["left"]},
        "untrust": {"interfaces": ["right"]},
        "dmz": {"interfaces": ["middle"]}
    }"#;
    let sections = Sections {
        zones: &serde_json::from_str(zones).unwrap(),
        addresses: &serde_json::from_str(r#"{"lan": ["192.0.2.0/24"]}"#).unwrap(),
        feeds: &serde_json::from_str(r#"{"partners": {"file": "/etc/partners"}}"#).unwrap(),
        countries: None,
        applications: &Named::default(),
        schedules: &Named::default(),
        policies: &[],
        vocabulary: &Vocabulary::EMPTY,
    };
    let mut findings = Findings::default();
    let (_, names) = Rules::compile(sections, &Facts::default(), &mut findings);
    assert!(!findings.has_errors());
    names
}

pub(crate) fn document(nat: &Value) -> Nat {
    serde_json::from_str(&nat.to_string()).unwrap()
}

pub(crate) fn compile(nat: &Value) -> (NatRules, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let compiled = NatRules::compile(&document(nat), &names(), &mut findings);
    (compiled, findings.into_sorted())
}

/// A document without anything to complain about.
pub(crate) fn good(nat: &Value) -> NatRules {
    let (compiled, findings) = compile(nat);
    assert_eq!(findings, []);
    compiled
}

/// What there is to say about a document without errors.
pub(crate) fn checked(nat: &Value) -> Vec<Diagnostic> {
    good(nat);
    let mut findings = Findings::default();
    crate::hygiene::check(&document(nat), &names(), &mut findings);
    findings.into_sorted()
}

pub(crate) fn pool(addresses: &[&str], ports: Option<&str>) -> Pool {
    let mut pool = json!({"addresses": addresses});
    if let Some(ports) = ports {
        pool["ports"] = ports.into();
    }
    let (compiled, findings) = compile(&json!({"pools": {"public": pool}}));
    assert_eq!(findings, []);
    compiled.pools()[0].clone()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn tuple(protocol: Protocol, source: (&str, u16), destination: (&str, u16)) -> Tuple {
    Tuple {
        source: ip(source.0),
        destination: ip(destination.0),
        protocol,
        source_port: source.1,
        destination_port: destination.1,
    }
}

/// The same numbers each time (splitmix64, upper half).
pub(crate) fn numbers(mut seed: u64) -> impl FnMut() -> u32 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }
}
