//! Entity tags, and problems made from what the lifecycle refuses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firewall::config::Finding;
use firewall::lifecycle::{
    CommitFailed, ConfirmError, ETag, EditError, IfMatch, NoSuchRevision, ReadOnly,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Configuration, Snapshot};
use crate::problem::{MISTAKES_MAX, Mistake, Problem};

/// An answer with the header `ETag`.
pub(super) struct Tagged<'a, T>(pub(super) &'a ETag, pub(super) T);

impl<T: IntoResponse> IntoResponse for Tagged<'_, T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        // Hexadecimal digits in quotes.
        if let Ok(tag) = HeaderValue::try_from(self.0.to_string()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// What an edit made of the candidate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct EditedView {
    pub(super) etag: String,
    /// The candidate is not what is in force.
    pub(super) changed: bool,
    /// The first 1,000.
    pub(super) warnings: Vec<Mistake>,
}

/// For edits that went by operations.
pub(super) async fn edited(state: &Configuration, snapshot: &Snapshot) -> Response {
    let changed = state.lifecycle.candidate().await.changed;
    let view = EditedView {
        etag: snapshot.etag().to_string(),
        changed,
        warnings: Vec::new(),
    };
    Tagged(snapshot.etag(), Json(view)).into_response()
}

/// A name as one segment of a path (RFC 3986 §3.3).
pub(super) fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// RFC 9110, section 13.1.1.
pub(super) fn conflict(expected: &IfMatch, actual: &ETag) -> Problem {
    Problem::of_kind(
        "urn:palisade:problem:conflict",
        "Somebody else was faster",
        StatusCode::PRECONDITION_FAILED,
        format!("the candidate is {actual} now, not {expected}: look at it again"),
    )
}

/// The document would have mistakes; nothing was changed.
pub(crate) fn invalid(findings: Vec<Finding>) -> Problem {
    let errors: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.severity == rules::Severity::Error)
        .collect();
    let (detail, pointer) = match errors.as_slice() {
        [] => ("the document has mistakes".to_owned(), None),
        [only] => (only.message.clone(), Some(only.pointer.as_str().into())),
        [first, rest @ ..] => (
            format!("{} (and {} more)", first.message, rest.len()),
            Some(first.pointer.as_str().into()),
        ),
    };
    let problem = Problem::of_kind(
        "urn:palisade:problem:invalid-configuration",
        "The configuration would have mistakes",
        StatusCode::UNPROCESSABLE_ENTITY,
        detail,
    );
    Problem {
        pointer,
        errors: listed(errors),
        ..problem
    }
}

pub(super) fn listed(findings: Vec<Finding>) -> Vec<Mistake> {
    findings
        .into_iter()
        .take(MISTAKES_MAX)
        .map(Mistake::from)
        .collect()
}

fn read_only(error: &ReadOnly) -> Problem {
    Problem::of_kind(
        "urn:palisade:problem:read-only",
        "The configuration cannot be changed",
        StatusCode::CONFLICT,
        error.to_string(),
    )
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Conflict { expected, actual } => conflict(&expected, &actual),
            EditError::Invalid(findings) => invalid(findings),
            EditError::Patch(error) => {
                Self::of_status(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            EditError::NoSuchRevision(error) => error.into(),
            EditError::ReadOnly(error) => read_only(&error),
            EditError::Store(error) => {
                Self::of_status(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
            }
        }
    }
}

impl From<CommitFailed> for Problem {
    fn from(error: CommitFailed) -> Self {
        let text = error.to_string();
        match error {
            CommitFailed::Conflict { expected, actual } => conflict(&expected, &actual),
            CommitFailed::NothingChanged | CommitFailed::Datapath(_) => {
                Self::of_status(StatusCode::CONFLICT, text)
            }
            CommitFailed::Invalid(findings) => invalid(findings),
            CommitFailed::Deadline => {
                Self::of_status(StatusCode::UNPROCESSABLE_ENTITY, text).at("/confirm-within")
            }
            CommitFailed::Comment => {
                Self::of_status(StatusCode::UNPROCESSABLE_ENTITY, text).at("/comment")
            }
            CommitFailed::ReadOnly(error) => read_only(&error),
            CommitFailed::Store(_) => Self::of_status(StatusCode::INSUFFICIENT_STORAGE, text),
            CommitFailed::Stopping => Self::of_status(StatusCode::SERVICE_UNAVAILABLE, text),
        }
    }
}

impl From<ConfirmError> for Problem {
    fn from(error: ConfirmError) -> Self {
        let status = match &error {
            ConfirmError::NothingToConfirm => StatusCode::CONFLICT,
            ConfirmError::Store(_) => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self::of_status(status, error.to_string())
    }
}

impl From<NoSuchRevision> for Problem {
    fn from(error: NoSuchRevision) -> Self {
        Self::of_status(StatusCode::NOT_FOUND, error.to_string())
    }
}

impl From<Finding> for Mistake {
    fn from(finding: Finding) -> Self {
        Self {
            severity: match finding.severity {
                rules::Severity::Error => "error".into(),
                rules::Severity::Warning => "warning".into(),
            },
            pointer: finding.pointer,
            line: finding.place.line,
            column: finding.place.column,
            message: finding.message,
            suggestion: finding.suggestion,
        }
    }
}
