//! What somebody may do.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Each may do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    ReadOnly,
    /// Change the configuration and the sessions.
    Operator,
    /// Users, everybody's tokens, and restarting.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "read-only",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}
