//! The collections of the candidate: what they are, where they stand, and their requests.
//!
//! All are served alike. An entry of a map in the document is a resource with its `name`; so is an
//! entry of a list, whose order means something and can be changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use firewall::audit::Actor;
use firewall::lifecycle::IfMatch;
use json_patch::Patch;
use json_patch::jsonptr::PointerBuf;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::answer::{self, Tagged, edited};
use super::body::{Expected, Parameters};
use super::edits::{self, Impossible, Place};
use super::{Configuration, Snapshot};
use crate::access::Caller;
use crate::json_body::JsonBody;
use crate::problem::Problem;
use crate::segment::Segment;

/// A section of the document that holds named things.
#[derive(Debug)]
pub(super) struct Collection {
    /// Below `/api/v1/config`.
    pub(super) path: &'static str,
    /// One of its things, in words.
    pub(super) noun: &'static str,
    /// Where it stands in the document.
    pub(super) at: &'static [&'static str],
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Names to things. Where a thing is a list, it is the resource's field of this name.
    Map { content: Option<&'static str> },
    /// In order; each has its name in this field.
    List { key: &'static str },
}

impl Collection {
    pub(super) fn pointer(&self) -> PointerBuf {
        PointerBuf::from_tokens(self.at.iter().copied())
    }

    /// The field of a resource that names it.
    pub(super) fn key(&self) -> &'static str {
        match self.shape {
            Shape::Map { .. } => "name",
            Shape::List { key } => key,
        }
    }

    pub(super) fn is_ordered(&self) -> bool {
        matches!(self.shape, Shape::List { .. })
    }
}

/// The paths of a collection, below `/config/{path}`.
pub(super) fn handlers(
    collection: &'static Collection,
) -> Vec<(String, MethodRouter<Configuration>)> {
    let all = get(
        move |state: State<Configuration>, query: Parameters<ListQuery>| {
            list(collection, state, query)
        },
    )
    .post(
        move |state: State<Configuration>,
              caller: Caller,
              expected: Expected,
              query: Parameters<PlaceQuery>,
              body: JsonBody<Map<String, Value>>| {
            create(collection, state, caller, expected, query, body)
        },
    );
    let one = get(move |state: State<Configuration>, name: Segment| show(collection, state, name))
        .put(
            move |state: State<Configuration>,
                  caller: Caller,
                  expected: Expected,
                  name: Segment,
                  body: JsonBody<Map<String, Value>>| {
                replace(collection, state, caller, expected, name, body)
            },
        )
        .patch(
            move |state: State<Configuration>,
                  caller: Caller,
                  expected: Expected,
                  name: Segment,
                  body: JsonBody<Map<String, Value>>| {
                merge(collection, state, caller, expected, name, body)
            },
        )
        .delete(
            move |state: State<Configuration>,
                  caller: Caller,
                  expected: Expected,
                  name: Segment| { remove(collection, state, caller, expected, name) },
        );
    let mut paths = vec![
        (format!("/config/{}", collection.path), all),
        (format!("/config/{}/{{name}}", collection.path), one),
    ];
    if collection.is_ordered() {
        let moves = post(
            move |state: State<Configuration>,
                  caller: Caller,
                  expected: Expected,
                  body: JsonBody<Move>| {
                reorder(collection, state, caller, expected, body)
            },
        );
        paths.push((format!("/config/{}/move", collection.path), moves));
    }
    paths
}

/// Which entries, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only entries in which this text occurs, in any field; letter case does not matter.
    q: Option<String>,
    /// From `next` of the page before.
    cursor: Option<usize>,
    /// All unless told.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

/// Where a new entry goes: at the end unless told.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[into_params(parameter_in = Query)]
pub(super) struct PlaceQuery {
    /// In front of the entry of this name.
    before: Option<String>,
    /// Behind the entry of this name.
    after: Option<String>,
    /// From 1.
    #[param(minimum = 1)]
    position: Option<usize>,
}

/// Entries that go, together and in this order, to one place: `before`, `after` or `position`, exactly
/// one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Move {
    #[schema(min_items = 1)]
    names: Vec<String>,
    /// In front of the entry of this name.
    before: Option<String>,
    /// Behind the entry of this name.
    after: Option<String>,
    /// Where the first of them stands afterwards, from 1.
    #[schema(minimum = 1)]
    position: Option<usize>,
}

/// A page of a collection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Page {
    items: Vec<Value>,
    /// Entries that match, on all pages.
    total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<usize>,
}

async fn list(
    collection: &'static Collection,
    State(state): State<Configuration>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Response, Problem> {
    if query.limit == Some(0) {
        return Err(Problem::parameter("limit", "limit: from 1"));
    }
    let snapshot = state.candidate().await?;
    let mut items = edits::resources(&snapshot.shown, collection);
    if let Some(words) = query.q.map(|words| words.to_lowercase()) {
        items.retain(|item| item.to_string().to_lowercase().contains(&words));
    }
    let total = items.len();
    let first = query.cursor.unwrap_or(0).min(total);
    let end = query
        .limit
        .map_or(total, |limit| first.saturating_add(limit).min(total));
    let items = items.drain(first..end).collect();
    let next = (end < total).then_some(end);
    Ok(Tagged(snapshot.etag(), Json(Page { items, total, next })).into_response())
}

async fn show(
    collection: &'static Collection,
    State(state): State<Configuration>,
    Segment(name): Segment,
) -> Result<Response, Problem> {
    let snapshot = state.candidate().await?;
    let found = found(&snapshot, collection, &name)?;
    Ok(Tagged(snapshot.etag(), Json(found)).into_response())
}

async fn create(
    collection: &'static Collection,
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    Parameters(place): Parameters<PlaceQuery>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Response, Problem> {
    let place = place_of(place.before, place.after, place.position)?;
    if place != Place::Last && !collection.is_ordered() {
        return Err(Problem::of_status(
            StatusCode::BAD_REQUEST,
            format!("the order of {} means nothing", collection.path),
        ));
    }
    let name = name_in(&body, collection)?.to_owned();
    let make = |snapshot: &Snapshot| {
        edits::create(snapshot.written(), collection, &name, body.clone(), &place)
    };
    let snapshot = change(&state, &actor, &expected, make).await?;
    let made = found(&snapshot, collection, &name)?;
    let location = format!(
        "/api/v1/config/{}/{}",
        collection.path,
        answer::segment(&name)
    );
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Tagged(snapshot.etag(), Json(made)),
    )
        .into_response())
}

async fn replace(
    collection: &'static Collection,
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    Segment(name): Segment,
    JsonBody(mut body): JsonBody<Map<String, Value>>,
) -> Result<Response, Problem> {
    match body.get(collection.key()) {
        Some(Value::String(named)) if *named == name => {}
        None => {
            body.insert(collection.key().to_owned(), name.clone().into());
        }
        Some(_) => return Err(renamed(collection)),
    }
    let make = |snapshot: &Snapshot| {
        edits::replace(
            snapshot.written(),
            &snapshot.shown,
            collection,
            &name,
            body.clone(),
        )
    };
    let snapshot = change(&state, &actor, &expected, make).await?;
    let made = found(&snapshot, collection, &name)?;
    Ok(Tagged(snapshot.etag(), Json(made)).into_response())
}

async fn merge(
    collection: &'static Collection,
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    Segment(name): Segment,
    JsonBody(patch): JsonBody<Map<String, Value>>,
) -> Result<Response, Problem> {
    if patch
        .get(collection.key())
        .is_some_and(|named| *named != Value::String(name.clone()))
    {
        return Err(renamed(collection));
    }
    let patch = Value::Object(patch);
    let make = |snapshot: &Snapshot| {
        let mut wanted =
            edits::find(&snapshot.shown, collection, &name).ok_or_else(|| Impossible::NoSuch {
                noun: collection.noun,
                name: name.clone(),
            })?;
        edits::merge(&mut wanted, &patch);
        let Value::Object(wanted) = wanted else {
            return Ok(Vec::new());
        };
        edits::replace(
            snapshot.written(),
            &snapshot.shown,
            collection,
            &name,
            wanted,
        )
    };
    let snapshot = change(&state, &actor, &expected, make).await?;
    let made = found(&snapshot, collection, &name)?;
    Ok(Tagged(snapshot.etag(), Json(made)).into_response())
}

async fn remove(
    collection: &'static Collection,
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    Segment(name): Segment,
) -> Result<Response, Problem> {
    let make = |snapshot: &Snapshot| edits::remove(snapshot.written(), collection, &name);
    let snapshot = change(&state, &actor, &expected, make).await?;
    Ok(Tagged(snapshot.etag(), StatusCode::NO_CONTENT).into_response())
}

async fn reorder(
    collection: &'static Collection,
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    JsonBody(wanted): JsonBody<Move>,
) -> Result<Response, Problem> {
    let place = place_of(wanted.before, wanted.after, wanted.position)?;
    if place == Place::Last {
        return Err(Problem::of_status(
            StatusCode::UNPROCESSABLE_ENTITY,
            "say where to: before, after or position",
        ));
    }
    let make =
        |snapshot: &Snapshot| edits::reorder(snapshot.written(), collection, &wanted.names, &place);
    let snapshot = change(&state, &actor, &expected, make).await?;
    let candidate = edited(&state, &snapshot).await;
    Ok(candidate.into_response())
}

/// Edits the candidate. Nobody was told which candidate `make` looked at, so where somebody else was
/// faster, it is asked again, unless the caller named the one that is meant.
async fn change(
    state: &Configuration,
    actor: &Actor,
    expected: &IfMatch,
    make: impl Fn(&Snapshot) -> Result<Vec<json_patch::PatchOperation>, Impossible>,
) -> Result<Arc<Snapshot>, Problem> {
    const ATTEMPTS: usize = 16;

    for _ in 0..ATTEMPTS {
        let snapshot = state.candidate().await?;
        if !expected.allows(snapshot.etag()) {
            return Err(answer::conflict(expected, snapshot.etag()));
        }
        let operations = make(&snapshot)?;
        if operations.is_empty() {
            return Ok(snapshot);
        }
        let seen = IfMatch::from(snapshot.etag().clone());
        match state.lifecycle.patch(Patch(operations), &seen, actor).await {
            Ok(_) => return state.candidate().await,
            Err(firewall::lifecycle::EditError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::of_status(
        StatusCode::CONFLICT,
        "others are changing the candidate all the time; try again",
    ))
}

fn found(
    snapshot: &Snapshot,
    collection: &'static Collection,
    name: &str,
) -> Result<Value, Impossible> {
    edits::find(&snapshot.shown, collection, name).ok_or_else(|| Impossible::NoSuch {
        noun: collection.noun,
        name: name.to_owned(),
    })
}

fn name_in<'a>(body: &'a Map<String, Value>, collection: &Collection) -> Result<&'a str, Problem> {
    let key = collection.key();
    body.get(key).and_then(Value::as_str).ok_or_else(|| {
        Problem::of_status(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("a {} needs its {key}, as text", collection.noun),
        )
        .at(format!("/{key}"))
    })
}

fn renamed(collection: &Collection) -> Problem {
    let key = collection.key();
    Problem::of_status(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!(
            "the {key} of a {} cannot change: create another, and delete this one",
            collection.noun
        ),
    )
    .at(format!("/{key}"))
}

fn place_of(
    before: Option<String>,
    after: Option<String>,
    position: Option<usize>,
) -> Result<Place, Problem> {
    match (before, after, position) {
        (None, None, None) => Ok(Place::Last),
        (Some(name), None, None) => Ok(Place::Before(name)),
        (None, Some(name), None) => Ok(Place::After(name)),
        (None, None, Some(position)) => Ok(Place::Position(position)),
        _ => Err(Problem::of_status(
            StatusCode::BAD_REQUEST,
            "before, after, position: only one of them",
        )),
    }
}

impl From<Impossible> for Problem {
    fn from(error: Impossible) -> Self {
        let status = match &error {
            Impossible::NoSuch { .. } => StatusCode::NOT_FOUND,
            Impossible::Exists { .. } => StatusCode::CONFLICT,
            Impossible::RelativeToItself { .. }
            | Impossible::Twice { .. }
            | Impossible::NoSuchPosition { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::of_status(status, error.to_string())
    }
}
