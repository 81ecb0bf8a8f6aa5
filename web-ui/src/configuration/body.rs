//! What requests bring: documents, preconditions, parameters; each refused with a problem.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use firewall::lifecycle::{Format, IfMatch};
use serde::de::DeserializeOwned;

use crate::json_body::{media_type, unsupported};
use crate::problem::Problem;

/// A whole document, as YAML or JSON.
pub(super) struct DocumentBody {
    pub(super) text: String,
    pub(super) format: Format,
}

impl<S: Send + Sync> FromRequest<S> for DocumentBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let format = match media_type(request.headers()) {
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Format::Yaml,
            "application/json" => Format::Json,
            other => return Err(unsupported(other, "application/yaml or application/json")),
        };
        let bytes = Bytes::from_request(request, state).await?;
        let text = String::from_utf8(bytes.into()).map_err(|error| {
            Problem::of_status(
                StatusCode::BAD_REQUEST,
                format!("the body is not UTF-8: {}", error.utf8_error()),
            )
        })?;
        Ok(Self { text, format })
    }
}

/// A document that may be left out: what is not there is empty, or has no media type.
pub(super) struct OptionalDocument(pub(super) Option<String>);

impl<S: Send + Sync> FromRequest<S> for OptionalDocument {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if media_type(request.headers()).is_empty() {
            let bytes = Bytes::from_request(request, state).await?;
            return if bytes.is_empty() {
                Ok(Self(None))
            } else {
                Err(unsupported("", "application/yaml or application/json"))
            };
        }
        let body = DocumentBody::from_request(request, state).await?;
        Ok(Self(Some(body.text).filter(|text| !text.is_empty())))
    }
}

/// The header `If-Match`.
pub(super) struct Expected(pub(super) IfMatch);

impl<S: Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::IF_MATCH).into_iter();
        let Some(first) = values.next() else {
            return Ok(Self(IfMatch::Any));
        };
        let all = std::iter::once(first).chain(values);
        let text: Vec<&str> = all.filter_map(|value| value.to_str().ok()).collect();
        let Ok(expected) = text.join(",").parse();
        Ok(Self(expected))
    }
}

/// The query string. What is unknown or has a wrong value is refused.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(value) = Query::try_from_uri(&parts.uri)?;
        Ok(Self(value))
    }
}
