//! What requests bring: documents, JSON, preconditions, parameters; each refused with a problem.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use firewall::lifecycle::{Format, IfMatch};
use serde::de::DeserializeOwned;

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

/// A JSON value of a known shape. Takes the media types of patches, too.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match media_type(request.headers()) {
            "application/json" | "application/merge-patch+json" | "application/json-patch+json" => {
            }
            other => return Err(unsupported(other, "application/json")),
        }
        let bytes = Bytes::from_request(request, state).await?;
        let Json(value) = Json::from_bytes(&bytes)?;
        Ok(Self(value))
    }
}

/// JSON that may be left out altogether.
pub(super) struct OptionalJson<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = media_type(request.headers()).to_owned();
        let bytes = Bytes::from_request(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if media_type != "application/json" {
            return Err(unsupported(&media_type, "application/json"));
        }
        let Json(value) = Json::from_bytes(&bytes)?;
        Ok(Self(value))
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

/// Without parameters such as the character set.
fn media_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn unsupported(media_type: &str, wanted: &str) -> Problem {
    Problem::of_status(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the header 'content-type' is '{media_type}': send {wanted}"),
    )
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::of_status(rejection.status(), rejection.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::of_status(rejection.status(), rejection.body_text())
    }
}
