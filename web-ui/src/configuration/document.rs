//! Whole documents: the candidate, what is in force, and the sections that are one thing.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firewall::config::document::{Document, Events, Management, System};
use firewall::lifecycle::{IfMatch, Text};
use json_patch::Patch;
use serde_json::{Map, Value};

use super::answer::{EditedView, Tagged, listed};
use super::body::{DocumentBody, Expected};
use super::{Configuration, edits};
use crate::access::Caller;
use crate::filter::NoParameters;
use crate::json_body::JsonBody;
use crate::problem::Problem;
use crate::routes::{Routes, handlers};

pub(super) fn routes() -> Routes<Configuration> {
    Routes::new()
        .routes(handlers!(running))
        .routes(handlers!(candidate, replace, patch, discard))
        .routes(handlers!(system, change_system))
        .routes(handlers!(management, change_management))
        .routes(handlers!(events, change_events))
}

/// The configuration in force.
///
/// As JSON, or as the YAML that was committed where the header `Accept` asks for `application/yaml`.
#[utoipa::path(get, path = "/config/running", tag = "configuration",
    responses((status = OK, content((Value = "application/json"), (String = "application/yaml")), description = "As it is written: where one value makes a list, it may stand for it")))]
async fn running(
    State(state): State<Configuration>,
    headers: HeaderMap,
    _: NoParameters,
) -> Response {
    let text = state.lifecycle.in_force().await.text;
    whole(&text, &headers)
}

/// The configuration that the next commit puts in force.
#[utoipa::path(get, path = "/config/candidate", tag = "configuration",
    responses((status = OK, content((Value = "application/json"), (String = "application/yaml")), description = "As it is written: where one value makes a list, it may stand for it")))]
async fn candidate(
    State(state): State<Configuration>,
    headers: HeaderMap,
    _: NoParameters,
) -> Response {
    let text = state.lifecycle.candidate().await.text;
    whole(&text, &headers)
}

/// Make a document the candidate.
#[utoipa::path(put, path = "/config/candidate", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The candidate's entity tag.")),
    request_body(content((Document = "application/json"), (String = "application/yaml"))),
    responses((status = OK, body = EditedView)))]
async fn replace(
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    body: DocumentBody,
) -> Result<Response, Problem> {
    let edited = state
        .lifecycle
        .replace(body.text, body.format, &expected, &actor)
        .await?;
    Ok(answer(edited))
}

/// Change the candidate by operations (RFC 6902), all of them or none.
#[utoipa::path(patch, path = "/config/candidate", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The candidate's entity tag.")),
    request_body(content = Vec<Object>, content_type = "application/json-patch+json"),
    responses((status = OK, body = EditedView)))]
async fn patch(
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    JsonBody(patch): JsonBody<Patch>,
) -> Result<Response, Problem> {
    let edited = state.lifecycle.patch(patch, &expected, &actor).await?;
    Ok(answer(edited))
}

/// Throw the changes away: the candidate is what is in force.
#[utoipa::path(delete, path = "/config/candidate", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The candidate's entity tag.")),
    responses((status = OK, body = EditedView)))]
async fn discard(
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
) -> Result<Response, Problem> {
    Ok(answer(state.lifecycle.discard(&expected, &actor).await?))
}

/// The appliance itself, in the candidate.
#[utoipa::path(get, path = "/config/system", tag = "configuration", responses((status = OK, body = System)))]
async fn system(State(state): State<Configuration>, _: NoParameters) -> Result<Response, Problem> {
    section(&state, "system").await
}

/// Change fields of the appliance itself (RFC 7396).
#[utoipa::path(patch, path = "/config/system", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The candidate's entity tag.")),
    request_body(content = Object, content_type = "application/merge-patch+json"),
    responses((status = OK, body = System)))]
async fn change_system(
    State(state): State<Configuration>,
    caller: Caller,
    expected: Expected,
    body: JsonBody<Map<String, Value>>,
) -> Result<Response, Problem> {
    change_section(&state, "system", caller, expected, body).await
}

/// How the appliance is managed, in the candidate.
#[utoipa::path(get, path = "/config/management", tag = "configuration", responses((status = OK, body = Management)))]
async fn management(
    State(state): State<Configuration>,
    _: NoParameters,
) -> Result<Response, Problem> {
    section(&state, "management").await
}

/// Change fields of how the appliance is managed (RFC 7396).
#[utoipa::path(patch, path = "/config/management", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The candidate's entity tag.")),
    request_body(content = Object, content_type = "application/merge-patch+json"),
    responses((status = OK, body = Management)))]
async fn change_management(
    State(state): State<Configuration>,
    caller: Caller,
    expected: Expected,
    body: JsonBody<Map<String, Value>>,
) -> Result<Response, Problem> {
    change_section(&state, "management", caller, expected, body).await
}

/// How many events are kept and for how long, in the candidate.
#[utoipa::path(get, path = "/config/events", tag = "configuration", responses((status = OK, body = Events)))]
async fn events(State(state): State<Configuration>, _: NoParameters) -> Result<Response, Problem> {
    section(&state, "events").await
}

/// Change how many events are kept, and for how long (RFC 7396).
#[utoipa::path(patch, path = "/config/events", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The candidate's entity tag.")),
    request_body(content = Object, content_type = "application/merge-patch+json"),
    responses((status = OK, body = Events)))]
async fn change_events(
    State(state): State<Configuration>,
    caller: Caller,
    expected: Expected,
    body: JsonBody<Map<String, Value>>,
) -> Result<Response, Problem> {
    change_section(&state, "events", caller, expected, body).await
}

async fn section(state: &Configuration, name: &str) -> Result<Response, Problem> {
    let snapshot = state.candidate().await?;
    let section = snapshot.shown.get(name).cloned().unwrap_or_default();
    Ok(Tagged(snapshot.etag(), Json(section)).into_response())
}

async fn change_section(
    state: &Configuration,
    name: &'static str,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Response, Problem> {
    let snapshot = state.candidate().await?;
    let operations = edits::merge_section(snapshot.written(), &snapshot.shown, name, body);
    // Between the look and the change, nobody else may have changed it.
    let seen = match expected {
        IfMatch::Any => IfMatch::from(snapshot.etag().clone()),
        IfMatch::OneOf(_) => expected,
    };
    if !operations.is_empty() {
        state
            .lifecycle
            .patch(Patch(operations), &seen, &actor)
            .await?;
    }
    section(state, name).await
}

pub(super) fn answer(edited: firewall::lifecycle::Edited) -> Response {
    let view = EditedView {
        etag: edited.etag.to_string(),
        changed: edited.changed,
        warnings: listed(edited.warnings),
    };
    Tagged(&edited.etag, Json(view)).into_response()
}

/// The document in the form that was asked for.
pub(super) fn whole(text: &Text, headers: &HeaderMap) -> Response {
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    let accepts = |name: &str| {
        accepted
            .split(',')
            .any(|kind| kind.split(';').next().unwrap_or_default().trim() == name)
    };
    if accepts("application/json") || accepts("*/*") || accepts("application/*") {
        return Tagged(&text.etag, Json(text.json())).into_response();
    }
    if accepts("application/yaml") || accepts("text/yaml") || accepts("text/*") {
        let kind = [(header::CONTENT_TYPE, "application/yaml")];
        return Tagged(&text.etag, (kind, text.yaml.to_string())).into_response();
    }
    Problem::of_status(
        StatusCode::NOT_ACCEPTABLE,
        "the header 'accept': application/json or application/yaml",
    )
    .into_response()
}
