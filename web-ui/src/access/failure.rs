//! Why a request about users or tokens comes to nothing.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::ChangeError;
use super::accounts::AccountError;
use super::password::{JudgeError, PasswordError};
use super::refusal::Refusal;
use crate::problem::Problem;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Change(ChangeError),
    /// A password that is not taken, and where it stands in the body.
    #[error("{error}")]
    Password {
        pointer: &'static str,
        error: PasswordError,
    },
    /// What can't be, and where it stands in the body.
    #[error("{detail}")]
    Wrong {
        pointer: &'static str,
        detail: String,
    },
    /// Not by this way in.
    #[error("{0}")]
    WayIn(&'static str),
}

impl Failure {
    pub(super) fn wrong(pointer: &'static str, detail: impl Into<String>) -> Self {
        Self::Wrong {
            pointer,
            detail: detail.into(),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Account(error) => Self::Account(error),
            other => Self::Change(other),
        }
    }
}

impl From<JudgeError> for Failure {
    fn from(error: JudgeError) -> Self {
        Self::Refused(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, pointer) = match &self {
            Self::Refused(refusal) => return refusal.clone().into_response(),
            Self::Account(error) => place(error),
            Self::Change(error) => {
                tracing::error!(target: "access", %error, "users and tokens stay as they are");
                (StatusCode::SERVICE_UNAVAILABLE, None)
            }
            Self::Password { pointer, .. } | Self::Wrong { pointer, .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some(*pointer))
            }
            Self::WayIn(_) => (StatusCode::CONFLICT, None),
        };
        let problem = Problem {
            pointer: pointer.map(Into::into),
            ..Problem::of_status(status, self.to_string())
        };
        problem.into_response()
    }
}

fn place(error: &AccountError) -> (StatusCode, Option<&'static str>) {
    match error {
        AccountError::BadName(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("/name")),
        AccountError::NameTaken(_) => (StatusCode::CONFLICT, Some("/name")),
        AccountError::AboveOwner { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Some("/role")),
        AccountError::NoSuchUser(_) | AccountError::NoSuchToken(_) => (StatusCode::NOT_FOUND, None),
        AccountError::LastAdmin(_) | AccountError::Changed(_) | AccountError::TooMany { .. } => {
            (StatusCode::CONFLICT, None)
        }
        // Only a file can be of another version.
        AccountError::Version(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
    }
}
