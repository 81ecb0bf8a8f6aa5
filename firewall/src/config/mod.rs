//! The appliance's configuration as a whole: one YAML document, read, checked and compiled.
//!
//! `text → tree (yaml) → document (reader) → Config (system, interfaces, routes, rules, nat)`. Each
//! arrow reports everything that it finds, with line and column, and the next one still runs where
//! that makes sense, so that one check shows every mistake. Only what had no error becomes a
//! `Config`, and only a `Config` reaches the datapath.

mod access;
mod document;
pub mod edit;
mod finding;
mod interfaces;
mod json;
mod mistake;
mod pass;
mod reader;
mod report;
mod routes;
mod stand_in;
mod system;
#[cfg(test)]
mod tests;
mod yaml;

use std::path::Path;

use rules::document::Sections;
use rules::{Diagnostic, Findings, Place, Rules};

pub use document::{Attach, Document, Mode, PacketDriver};
pub use edit::{PatchError, PatchProblem};
pub use finding::{Finding, findings};
pub use interfaces::Interface;
pub use report::{ConfigError, Report};
pub use routes::StaticRoute;
pub use system::{Management, System, Workers};
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
    /// In the order of the document.
    pub interfaces: Vec<Interface>,
    pub routes: Vec<StaticRoute>,
    pub rules: Rules,
    pub nat: nat::NatRules,
    pub warnings: Vec<Diagnostic>,
}

/// Reads a file; its path names it in every finding.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, &path.display().to_string())
}

/// Reads a text; `file` names it in every finding.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    let mut findings = Findings::default();
    let config = read(text, &mut findings);
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

/// `None` only after an error.
fn read(text: &str, findings: &mut Findings) -> Option<Config> {
    let root = yaml::parse(text, findings)?;
    let document: Document = reader::read(&root, findings)?;
    check_version(&document, findings);
    let system = system::compile(&document.system, findings);
    let management = system::compile_management(&document.management, findings);
    let (rules, names) = Rules::compile(
        Sections {
            zones: &document.zones,
            addresses: &document.addresses,
            applications: &document.applications,
            policies: &document.policies,
        },
        findings,
    );
    let interfaces = interfaces::compile(&document, &names, findings);
    let routes = routes::compile(&document, &interfaces, findings);
    let nat = nat::NatRules::compile(&document.nat.value, &names, findings);
    if system.mode == Mode::Wire && document.nat.value != nat::document::Nat::default() {
        findings.error(
            document.nat.place,
            "nothing is translated in wire mode: nat needs mode routing",
        );
    }
    let text = text.to_owned();
    Some(Config {
        document,
        text,
        system,
        management,
        interfaces,
        routes,
        rules,
        nat,
        warnings: Vec::new(),
    })
}

/// The document as JSON, as it was written; `None` where it can't be read.
#[must_use]
pub fn to_json(text: &str) -> Option<serde_json::Value> {
    let root = yaml::parse(text, &mut Findings::default())?;
    Some(json::of(&root))
}

fn check_version(document: &Document, findings: &mut Findings) {
    match document.version {
        Some(version) if version.value == 1 => {}
        Some(version) => findings.error(
            version.place,
            format!("this is version 1, not {}", version.value),
        ),
        None => findings.error(
            Place { line: 1, column: 1 },
            "the key 'version' is missing: version: 1",
        ),
    }
}
