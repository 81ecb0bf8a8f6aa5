//! Findings with the place in the document that machines point at: a JSON pointer (RFC 6901).

use rules::{Place, Severity};
use serde::Serialize;

/// One finding, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Empty for the document as a whole.
    pub pointer: String,
    #[serde(flatten)]
    pub place: Place,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}
