//! JSON that requests bring. What is wrong with it is pointed at, so that a form shows it at its field.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::Problem;

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
        read(&bytes).map(Self)
    }
}

/// JSON that may be left out altogether.
pub(crate) struct OptionalJson<T>(pub(crate) T);

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
        read(&bytes).map(Self)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, problem) = (error.path(), error.inner());
        if problem.classify() != Category::Data {
            return no_json(problem);
        }
        let text = problem.to_string();
        let place = format!(" at line {} column {}", problem.line(), problem.column());
        let said = text.strip_suffix(&place).unwrap_or(&text);
        let pointer = pointer(path);
        let detail = if pointer.is_empty() {
            said.to_owned()
        } else {
            format!("{path}: {said}")
        };
        Problem::of_status(StatusCode::UNPROCESSABLE_ENTITY, detail).at(pointer)
    })?;
    json.end().map_err(|error| no_json(&error))?;
    Ok(value)
}

fn no_json(error: &serde_json::Error) -> Problem {
    let detail = format!("the body is no JSON: {error}");
    Problem::of_status(StatusCode::BAD_REQUEST, detail)
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let token = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => break,
        };
        pointer.push('/');
        pointer.push_str(&token);
    }
    pointer
}

/// Without parameters such as the character set.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

pub(crate) fn unsupported(media_type: &str, wanted: &str) -> Problem {
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(rename = "name/of~it")]
        _name: Option<String>,
        #[serde(default, rename = "addresses")]
        _addresses: Vec<IpAddr>,
    }

    #[track_caller]
    fn refused(text: &str, status: u16, pointer: Option<&str>, detail: &str) {
        let problem = read::<Asked>(text.as_bytes()).unwrap_err();
        assert_eq!(
            (problem.status, problem.pointer.as_deref(), &*problem.detail),
            (status, pointer, detail)
        );
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        refused(
            r#"{ "addresses": ["192.0.2.1", "192.0.2.300"] }"#,
            422,
            Some("/addresses/1"),
            "addresses[1]: invalid IP address syntax",
        );
        refused(
            r#"{ "name/of~it": 7 }"#,
            422,
            Some("/name~1of~0it"),
            "name/of~it: invalid type: integer `7`, expected a string",
        );
        refused(
            "[1]",
            422,
            Some("/0"),
            "[0]: invalid type: integer `1`, expected a string",
        );
    }

    #[test]
    fn an_unknown_member_is_named() {
        let problem = read::<Asked>(br#"{ "colour": "red" }"#).unwrap_err();
        assert_eq!(problem.status, 422);
        assert!(
            problem.detail.contains("unknown field `colour`"),
            "{problem:?}"
        );
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        refused(
            "{",
            400,
            None,
            "the body is no JSON: EOF while parsing an object at line 1 column 1",
        );
        refused(
            "{} {}",
            400,
            None,
            "the body is no JSON: trailing characters at line 1 column 4",
        );
    }
}
