//! What the API says when it can't do what was asked: RFC 9457, problem details.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use firewall::control::{FilterError, MatchError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every error, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: `about:blank` where the status says it all (RFC 9457 §4.2.1).
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The same for every problem of this type.
    pub title: Box<str>,
    pub status: u16,
    /// What is wrong with this request, and how to mend it.
    pub detail: String,
    /// JSON pointer (RFC 6901) to what is wrong in the request's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Box<str>>,
    /// The query parameter that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<Box<str>>,
    /// What is wrong with a document, where it is one: the first 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Mistake>,
}

/// What is wrong with a document, and where: an error, or a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mistake {
    pub severity: String,
    /// RFC 6901; empty for the document as a whole.
    pub pointer: String,
    /// From 1, in the document as YAML.
    pub line: u32,
    pub column: u32,
    pub message: String,
    /// What was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// What one answer lists of them: a document of some megabytes can have a million.
pub(crate) const MISTAKES_MAX: usize = 1_000;

impl Problem {
    const INVALID_PARAMETER: &str = "urn:palisade:problem:invalid-parameter";

    /// 400: a query parameter that is unknown, or has a value that can't be.
    pub(crate) fn parameter(parameter: impl Into<Box<str>>, detail: impl Into<String>) -> Self {
        Self {
            kind: Self::INVALID_PARAMETER.into(),
            title: "A query parameter is wrong".into(),
            status: StatusCode::BAD_REQUEST.as_u16(),
            detail: detail.into(),
            pointer: None,
            parameter: Some(parameter.into()),
            errors: Vec::new(),
        }
    }

    /// A problem of a kind that programs may want to know.
    pub(crate) fn of_kind(
        kind: &str,
        title: &str,
        status: StatusCode,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.into(),
            title: title.into(),
            ..Self::of_status(status, detail)
        }
    }

    /// Points into the request's body.
    pub(crate) fn at(self, pointer: impl Into<Box<str>>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            ..self
        }
    }

    /// 500: not the client's fault. The log says more.
    pub(crate) fn internal() -> Self {
        Self::of_status(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this could not be answered; the log says why",
        )
    }

    /// A problem that its status describes.
    pub(crate) fn of_status(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: detail.into(),
            pointer: None,
            parameter: None,
            errors: Vec::new(),
        }
    }
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Self {
        Self::parameter(error.parameter, error.to_string())
    }
}

impl From<MatchError> for Problem {
    fn from(error: MatchError) -> Self {
        Self::of_status(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            .at(format!("/{}", error.member))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            Json(self),
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_are_left_out_of_the_body() {
        let body =
            serde_json::to_value(Problem::of_status(StatusCode::NOT_FOUND, "no /x")).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "detail": "no /x"
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_filter_error_names_its_parameter() {
        let problem = Problem::from(FilterError {
            parameter: "protocol",
            problem: "'tpc' is no protocol".into(),
        });
        assert_eq!(
            (problem.status, problem.parameter.as_deref()),
            (400, Some("protocol"))
        );
        assert_eq!(problem.detail, "protocol: 'tpc' is no protocol");
    }
}
