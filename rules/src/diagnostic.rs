//! What is said about a configuration, and where in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in the document: line and column, both counted from 1. `Place::NONE` where a value did
/// not come from a document.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub const NONE: Self = Self { line: 0, column: 0 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Error,
    Warning,
}

/// One finding: what is wrong, where, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Where the document is several files: the one that the place is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub place: Place,
    pub message: String,
    pub suggestion: Option<String>,
    /// That it is about is not there: the key, of the map that begins at the place.
    #[serde(skip)]
    pub missing: Option<&'static str>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}",
            self.place.line, self.place.column, self.message
        )?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean '{suggestion}'?"),
            None => Ok(()),
        }
    }
}
