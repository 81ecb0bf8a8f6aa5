//! Stands where `firewall::config` will: the same names and shapes, and no configuration is read.

#![expect(
    dead_code,
    reason = "the shapes are all here, and nothing makes them yet"
)]

use std::path::{Path, PathBuf};

use rules::Diagnostic;

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) warnings: Vec<Diagnostic>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not valid", .0.file.display())]
    Invalid(Report),
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) file: PathBuf,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
    let source = std::io::Error::other("this build reads no configuration");
    Err(ConfigError::Unreadable {
        file: path.to_owned(),
        source,
    })
}
