//! Why somebody is not let in, and what they are told.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::password::JudgeError;
use super::role::Role;
use super::scope::Scope;
use crate::problem::Problem;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this needs a login: a token, a name with a password, or the session of a browser")]
    NoCredentials,
    #[error("the header 'authorization' can't be read: Bearer with a token, or Basic")]
    Malformed,
    #[error("the credentials are wrong, or not valid any more")]
    Wrong,
    #[error("too many attempts: wait {} s", seconds(*.0))]
    Wait(Duration),
    #[error("too many logins at once: try again")]
    Busy,
    #[error("nobody can log in at present: the appliance's log says why")]
    Closed,
    #[error("the password has to be changed first: POST /api/v1/password")]
    PasswordChangeRequired,
    #[error("the header 'x-csrf-token' has to be that of the session: GET /api/v1/whoami tells it")]
    CsrfToken,
    #[error("the request comes from another site")]
    CrossSite,
    #[error("this needs the role {needed}, and yours is {has}")]
    Role { needed: Role, has: Role },
    #[error("the token is not for this: its scopes are {}", words(.has))]
    Scope { has: Vec<Scope> },
    #[error("a token can't be made for more than one's own is for: {}", words(.has))]
    ScopesBeyond { has: Vec<Scope> },
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, kind) = match &self {
            Self::NoCredentials | Self::Malformed | Self::Wrong => (StatusCode::UNAUTHORIZED, None),
            // RFC 6585, section 4.
            Self::Wait(_) => (StatusCode::TOO_MANY_REQUESTS, None),
            Self::Busy | Self::Closed => (StatusCode::SERVICE_UNAVAILABLE, None),
            Self::PasswordChangeRequired => {
                (StatusCode::FORBIDDEN, Some("password-change-required"))
            }
            Self::CsrfToken => (StatusCode::FORBIDDEN, Some("csrf-token")),
            Self::CrossSite => (StatusCode::FORBIDDEN, Some("cross-site")),
            Self::Role { .. } => (StatusCode::FORBIDDEN, Some("role")),
            Self::Scope { .. } | Self::ScopesBeyond { .. } => {
                (StatusCode::FORBIDDEN, Some("scope"))
            }
        };
        let mut problem = Problem::of_status(status, self.to_string());
        if let Some(kind) = kind {
            problem.kind = format!("urn:palisade:problem:{kind}").into();
        }
        let mut response = problem.into_response();
        let retry_after = match self {
            Self::Wait(wait) => Some(seconds(wait)),
            Self::Busy => Some(1),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn words(scopes: &[Scope]) -> String {
    let words: Vec<_> = scopes.iter().map(Scope::to_string).collect();
    words.join(", ")
}

/// Rounded up: who comes back after that does not come too early.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<JudgeError> for Refusal {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Busy => Self::Busy,
            JudgeError::Hash(_) | JudgeError::Died(_) => {
                tracing::error!(target: "access", %error, "a password can't be judged");
                Self::Closed
            }
        }
    }
}
