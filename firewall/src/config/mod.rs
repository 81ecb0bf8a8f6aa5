//! The appliance's configuration as a whole: one YAML document, read, checked and compiled.
//!
//! `text → tree (yaml) → document (reader) → Config (system, interfaces, routes, rules, nat)`. Each
//! arrow reports everything that it finds, with line and column, and the next one still runs where
//! that makes sense, so that one check shows every mistake. Only what had no error becomes a
//! `Config`, and only a `Config` reaches the datapath.

mod access;
mod content;
mod device;
pub mod document;
pub mod edit;
mod events;
mod feeds;
mod filters;
mod finding;
mod inspection;
mod interfaces;
mod json;
mod mistake;
mod pass;
mod reader;
mod report;
mod routes;
mod services;
mod signatures;
mod source;
mod stand_in;
mod start;
mod system;
#[cfg(test)]
mod tests;
mod url_lists;
mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::inspection::Services;
use jsonptr::Pointer;
use rules::document::Sections;
use rules::{
    Diagnostic, Facts, Findings, Located, Named, Object, ObjectKind, Outside, Place, Rules,
    Vocabulary,
};
use serde::de::DeserializeOwned;
use yaml::Kind;

pub use device::Device;
pub use document::{
    AmbiguousSegments, Anomalies, Attach, Document, Mode, PacketDriver, SignatureUse, UrgentData,
};
pub use edit::{PatchError, PatchProblem};
pub use events::EventBounds;
pub use feeds::{Feed, FeedLimits};
pub use filters::{DnsFilterRule, FilterNames, UrlFilterRule};
pub use finding::{Finding, findings};
pub use inspection::{DEFAULT_DEPTH_BYTES, Inspection, InspectionProfile};
pub use interfaces::Interface;
pub use report::{ConfigError, Report};
pub use routes::StaticRoute;
pub use signatures::{RuleFiles, SignatureRules};
pub use source::FeedSource;
pub use start::{Start, StartDocument, is_directory_of_files};
pub use system::{CertificateFiles, Management, System, Workers};
pub use url_lists::{KeptList, UrlList, UrlListContent, UrlListLimits};
pub use yaml::MAX_BYTES;

/// A configuration without errors, compiled. Immutable; a commit makes a new one.
#[derive(Debug)]
pub struct Config {
    /// As it was written; serializes for whoever shows it.
    pub document: Document,
    /// The text that it was read from.
    pub text: String,
    pub system: System,
    pub management: Management,
    pub events: EventBounds,
    /// In the order of the document.
    pub interfaces: Vec<Interface>,
    pub routes: Vec<StaticRoute>,
    pub feeds: Vec<Feed>,
    pub url_lists: Vec<UrlList>,
    /// Those that come with Palisade, and the document's.
    pub services: Arc<Services>,
    /// The country database.
    pub countries: Option<PathBuf>,
    pub rules: Rules,
    pub inspection: Inspection,
    pub signatures: SignatureRules,
    pub nat: nat::NatRules,
    pub warnings: Vec<Diagnostic>,
}

/// Reads a file, or the files of a directory; the path names them in every finding.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    StartDocument::at(path).load(parse)
}

/// Reads a text as if nothing were known of the outside, which is safe to enforce until
/// [`recompile`] knows more. `file` names it in every finding.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    parse_with(text, file, &Facts::default())
}

/// The same by what is known of the outside.
pub fn parse_with(text: &str, file: &str, facts: &Facts) -> Result<Config, ConfigError> {
    let mut findings = Findings::default();
    let document = yaml::parse(text, &mut findings)
        .and_then(|root| reader::read::<Document>(&root, &mut findings));
    let config = document.map(|document| compile(document, text, facts, &mut findings));
    finish(config, findings, file)
}

/// The same document by other facts. What was right stays so: see [`rules::facts`].
pub fn recompile(config: &Config, facts: &Facts) -> Result<Config, ConfigError> {
    let mut findings = Findings::default();
    let document = config.document.clone();
    let config = compile(document, &config.text, facts, &mut findings);
    finish(Some(config), findings, "the configuration in force")
}

/// `config` may be `None` only after an error.
fn finish(config: Option<Config>, findings: Findings, file: &str) -> Result<Config, ConfigError> {
    let failed = findings.has_errors();
    let diagnostics = findings.into_sorted();
    match config {
        Some(config) if !failed => Ok(Config {
            warnings: diagnostics,
            ..config
        }),
        _ => Err(ConfigError::Invalid(Report {
            file: file.to_owned(),
            diagnostics,
        })),
    }
}

fn compile(document: Document, text: &str, facts: &Facts, findings: &mut Findings) -> Config {
    check_version(&document, findings);
    let system = system::compile(&document.system, findings);
    let management = system::compile_management(&document.management, findings);
    let events = events::compile(&document.events, findings);
    let feeds = feeds::compile(&document.feeds, findings);
    let url_lists = url_lists::compile(&document.url_lists, findings);
    let services = services::compile(&document.services, findings);
    let vocabulary = content::vocabulary(&services);
    let countries = feeds::compile_countries(document.countries.as_ref(), findings);
    let (rules, names) = Rules::compile(sections(&document, &vocabulary), facts, findings);
    let rules = rules.with_management(management.listen.map(|address| address.port()));
    system::check_management_zones(&document, findings);
    let interfaces = interfaces::compile(&document, &names, findings);
    let routes = routes::compile(&document, &interfaces, findings);
    let inspection = inspection::compile(&document, (&url_lists, &services), findings);
    let signatures = signatures::compile(&document.signatures, findings);
    let nat = nat::NatRules::compile(&document.nat.value, &names, findings);
    if system.mode == Mode::Wire && document.nat.value != nat::document::Nat::default() {
        findings.error(
            document.nat.place,
            "nothing is translated in wire mode: nat needs mode routing",
        );
    }
    Config {
        document,
        text: text.to_owned(),
        system,
        management,
        events,
        interfaces,
        routes,
        feeds,
        url_lists,
        services,
        countries,
        rules,
        inspection,
        signatures,
        nat,
        warnings: Vec::new(),
    }
}

fn sections<'a>(document: &'a Document, vocabulary: &'a Vocabulary) -> Sections<'a> {
    Sections {
        zones: &document.zones,
        addresses: &document.addresses,
        feeds: &document.feeds,
        countries: document.countries.as_ref(),
        applications: &document.applications,
        schedules: &document.schedules,
        policies: &document.policies,
        vocabulary,
    }
}

impl Config {
    /// What is right and yet probably not meant: rules that can never match, objects that nothing uses.
    /// Takes about as long as compiling did, which is why `warnings` do not hold it: whoever checks asks.
    #[must_use]
    pub fn hygiene(&self) -> Vec<Diagnostic> {
        let mut findings = Findings::default();
        let nat = &self.document.nat.value;
        let vocabulary = content::vocabulary(&self.services);
        let sections = sections(&self.document, &vocabulary);
        let names = rules::hygiene::check(sections, nat.address_items(), &mut findings);
        nat::hygiene::check(nat, &names, &mut findings);
        inspection::check_unused(&self.document, &mut findings);
        filters::check_unused(&self.document, &mut findings);
        findings.into_sorted()
    }

    /// Everything that it asks of the outside: all feeds, and the names and countries in use.
    #[must_use]
    pub fn outside(&self) -> BTreeSet<Outside> {
        let feeds = self
            .feeds
            .iter()
            .map(|feed| Outside::Feed(feed.name.clone()));
        let used = self.rules.outside().union(self.nat.outside()).cloned();
        feeds.chain(used).collect()
    }

    /// The lists of URLs that stand elsewhere.
    pub fn kept_lists(&self) -> impl Iterator<Item = &KeptList> {
        self.url_lists.iter().filter_map(UrlList::kept)
    }

    /// What the document gives a name to and policies may refer to, whether or not any does.
    pub fn named_objects(&self) -> impl Iterator<Item = Object> {
        let document = &self.document;
        let of = |kind| {
            move |name: &Located<String>| Object {
                kind,
                name: name.value.clone(),
            }
        };
        let addresses = document.addresses.iter().map(|(name, _)| name);
        let applications = document.applications.iter().map(|(name, _)| name);
        let schedules = document.schedules.iter().map(|(name, _)| name);
        let feeds = document.feeds.iter().map(|(name, _)| name);
        addresses
            .map(of(ObjectKind::Address))
            .chain(applications.map(of(ObjectKind::Application)))
            .chain(schedules.map(of(ObjectKind::Schedule)))
            .chain(feeds.map(of(ObjectKind::Feed)))
    }
}

/// The document as JSON, as it was written; `None` where it can't be read.
#[must_use]
pub fn to_json(text: &str) -> Option<serde_json::Value> {
    let root = yaml::parse(text, &mut Findings::default())?;
    Some(json::of(&root))
}

/// The document as JSON, in the shapes of [`document`]: lists are lists even where a single value was
/// written, and defaults are left out. `None` where it can't be read.
#[must_use]
pub fn shown(text: &str) -> Option<serde_json::Value> {
    let mut findings = Findings::default();
    let root = yaml::parse(text, &mut findings)?;
    let document: Document = reader::read(&root, &mut findings)?;
    serde_json::to_value(&document).ok()
}

/// Services of a text that has what a document has under `services`, beside those that come with Palisade. `file` names it in every
/// finding.
pub fn services(text: &str, file: &str) -> Result<Arc<Services>, Report> {
    let mut findings = Findings::default();
    let document = yaml::parse(text, &mut findings).and_then(|root| {
        reader::read_section::<Named<document::Service>>(&root, services::SECTION, &mut findings)
    });
    let services = document.map(|document| services::compile(&document, &mut findings));
    match services {
        Some(services) if !findings.has_errors() => Ok(services),
        _ => Err(Report {
            file: file.to_owned(),
            diagnostics: findings.into_sorted(),
        }),
    }
}

/// Reads a document of another shape in the same way: every mistake at once, each with its place. `None` where
/// nothing usable came out, which `findings` then tells.
pub fn read<T: DeserializeOwned>(text: &str, findings: &mut Findings) -> Option<T> {
    let root = yaml::parse(text, findings)?;
    reader::read(&root, findings)
}

/// Where the value of a JSON pointer begins in a text; of a pointer that leads further than the text does, the
/// last value on its way.
#[must_use]
pub fn place_of(text: &str, pointer: &str) -> Option<Place> {
    let mut node = yaml::parse(text, &mut Findings::default())?;
    for token in Pointer::parse(pointer).ok()?.tokens() {
        let place = node.place;
        let next = match node.kind {
            Kind::Map(entries) => entries
                .into_iter()
                .find(|(key, _)| json::key_of(key) == token.decoded())
                .map(|(_, value)| value),
            Kind::Seq(items) => token
                .decoded()
                .parse()
                .ok()
                .and_then(|index| items.into_iter().nth(index)),
            Kind::Null | Kind::Scalar { .. } => None,
        };
        match next {
            Some(next) => node = next,
            None => return Some(place),
        }
    }
    Some(node.place)
}

fn check_version(document: &Document, findings: &mut Findings) {
    match document.version {
        Some(version) if version.value == 1 => {}
        Some(version) => findings.error(
            version.place,
            format!("this is version 1, not {}", version.value),
        ),
        None => findings.missing_key(Place { line: 1, column: 1 }, "version", ": version: 1"),
    }
}
