//! Lists of URLs, as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /url-lists`: a list of hosts and URLs, what is in it, and how that came about. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct UrlListView {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `entries`, `file` or `url`: where it stands.
    pub source: String,
    /// The file or URL.
    #[serde(default)]
    pub origin: Option<String>,
    /// `known`; `kept`, from before the attempts failed or the appliance started; `unknown`.
    pub state: String,
    /// Different ones, exceptions among them.
    pub entries: u64,
    /// Of the entries, those with a path.
    pub urls: u64,
    /// Of the entries, those with an asterisk in their midst.
    pub patterns: u64,
    pub memory_bytes: u64,
    /// That say anything: neither empty nor comments.
    pub lines: u64,
    /// Rules about what is inside a page, which only a browser can apply.
    pub lines_for_browsers: u64,
    /// That are no entries, and were passed over.
    pub lines_bad: u64,
    /// The first of them.
    pub bad_lines: Vec<BadLineView>,
    #[serde(default)]
    pub last_success: Option<String>,
    /// Of the attempts since.
    #[serde(default)]
    pub last_error: Option<String>,
    #[serde(default)]
    pub last_error_at: Option<String>,
    /// When its URL is asked again.
    #[serde(default)]
    pub next_attempt: Option<String>,
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct BadLineView {
    pub line: u64,
    /// Its beginning.
    pub text: String,
    pub error: String,
}
