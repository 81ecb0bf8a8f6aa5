//! Named objects with their hits, and beginning anew with hits.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::{Extension, Json};
use firewall::audit::AuditAction;
use firewall::control::ObjectFilter;
use firewall::view::{CounterReset, CountersReset, ObjectPage, UrlListView};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use utoipa::IntoParams;

use crate::access::{Access, Caller};
use crate::appliance::Appliance;
use crate::filter::{BadParameter, NoParameters, pairs, parsed, word};
use crate::json_body::JsonBody;
use crate::problem::Problem;
use crate::routes::{Routes, handlers};

type Shared = State<Arc<dyn Appliance>>;

/// Below `/api/v1`.
pub(crate) fn routes(access: &Arc<Access>) -> Routes<Arc<dyn Appliance>> {
    Routes::new()
        .routes(handlers!(objects))
        .routes(handlers!(url_lists))
        .routes(handlers!(reset_counters))
        .within(|router| router.layer(Extension(Arc::clone(access))))
}

/// Which objects.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Objects` reads")]
struct ObjectQuery {
    /// `address`, `application`, `country`, `feed`, `fqdn` or `schedule`.
    kind: Option<String>,
    /// Part of the name.
    name: Option<String>,
    /// `false`: those that nothing refers to; `true`: the others.
    used: Option<bool>,
    /// Opaque; from `next` of the page before.
    cursor: Option<String>,
}

/// Objects that policies name, or could, with their hits and uses.
///
/// A hit of an object is a session that a policy decided which names it, itself or through other objects, and
/// whose packet was in it.
#[utoipa::path(get, path = "/objects", tag = "operation", params(ObjectQuery),
    responses((status = OK, body = ObjectPage)))]
async fn objects(
    State(appliance): Shared,
    Objects(filter): Objects,
) -> Result<Json<ObjectPage>, Problem> {
    // Uses are looked for in the whole configuration.
    let page = tokio::task::spawn_blocking(move || appliance.objects(&filter));
    page.await.map(Json).map_err(|_| Problem::internal())
}

/// Lists of hosts and URLs that filters block and allow by, as they are now.
#[utoipa::path(get, path = "/url-lists", tag = "operation", responses((status = OK, body = [UrlListView])))]
async fn url_lists(State(appliance): Shared, _: NoParameters) -> Json<Vec<UrlListView>> {
    Json(appliance.url_lists())
}

/// Begin anew with hits.
///
/// Of one name, of all of a kind, or (`all`) of everything. When a name was first seen stays. Traffic and
/// drops are counted on: they are what graphs are made of.
#[utoipa::path(post, path = "/counters/reset", tag = "operation", request_body = CounterReset,
    responses((status = OK, body = CountersReset)))]
async fn reset_counters(
    State(appliance): Shared,
    Extension(access): Extension<Arc<Access>>,
    caller: Caller,
    JsonBody(asked): JsonBody<CounterReset>,
) -> Result<Json<CountersReset>, Problem> {
    let wrong = |pointer: &str, detail: &str| {
        let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        Err(Problem::of_status(status, detail).at(pointer))
    };
    let detail = match (&asked, asked.kind) {
        (
            CounterReset {
                all: true,
                name: None,
                ..
            },
            None,
        ) => "hits of everything".to_owned(),
        (CounterReset { all: true, .. }, _) => {
            return wrong("/all", "all: say which, or all; not both");
        }
        (CounterReset { name: Some(_), .. }, None) => {
            return wrong("/name", "name: of what kind? 'kind' says it");
        }
        (_, None) => return wrong("", "say which: a kind, a kind and a name, or all: true"),
        (
            CounterReset {
                name: Some(name), ..
            },
            Some(kind),
        ) => {
            format!("hits of {} {name}", kind.name())
        }
        (_, Some(kind)) => format!("hits of every {}", kind.name()),
    };
    let reset = appliance.reset_hits(&asked);
    if let (Some(name), 0) = (&asked.name, reset) {
        return wrong("/name", &format!("there is no '{name}' of this kind"));
    }
    access.note(caller.actor, AuditAction::CountersReset, detail);
    Ok(Json(CountersReset { reset }))
}

struct Objects(ObjectFilter);

impl<S: Sync> FromRequestParts<S> for Objects {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut filter = ObjectFilter::default();
        let mut seen = BTreeSet::new();
        for (name, value) in pairs(parts)? {
            match name.as_str() {
                "kind" => filter.kind = Some(kind(&value)?),
                "name" => filter.name = Some(word(&name, &value)?),
                "used" => filter.used = Some(parsed(&name, &value, "'true' or 'false'")?),
                "cursor" => filter.cursor = Some(word(&name, &value)?),
                _ => {
                    let detail =
                        format!("'{name}' is no filter: they are kind, name, used and cursor");
                    return Err(BadParameter::new(&name, detail).into());
                }
            }
            if !seen.insert(name.clone()) {
                let detail = format!("'{name}' is given twice; give it once");
                return Err(BadParameter::new(&name, detail).into());
            }
        }
        Ok(Self(filter))
    }
}

fn kind(value: &str) -> Result<rules::ObjectKind, BadParameter> {
    let read: Result<_, ValueError> = rules::ObjectKind::deserialize(value.into_deserializer());
    read.map_err(|_| {
        let detail =
            format!("kind: '{value}' is not address, application, country, feed, fqdn or schedule");
        BadParameter::new("kind", detail)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;

    use crate::fake::Fake;
    use crate::testing::ask;

    #[tokio::test]
    async fn objects_are_filtered_and_carry_hits_and_uses() {
        let (status, page) =
            ask(Fake::running(), "GET", "/api/v1/objects?kind=address", None).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let lan = &page["objects"][0];
        assert_eq!(lan["name"], "lan");
        assert_eq!(lan["used-by"], json!(["policy web-out"]));
        assert!(
            lan["hits"].as_u64() > Some(0) && lan["last-hit"].is_string(),
            "{lan}"
        );
        for query in [
            "kind=adress",
            "used=maybe",
            "colour=red",
            "kind=feed&kind=feed",
        ] {
            let path = format!("/api/v1/objects?{query}");
            let (status, problem) = ask(Fake::running(), "GET", &path, None).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            assert!(problem["parameter"].is_string(), "{problem}");
        }
    }

    #[tokio::test]
    async fn hits_begin_anew_of_a_name_a_kind_or_all() {
        for (body, status, pointer) in [
            (json!({ "kind": "policy", "name": "web-out" }), 200, None),
            (json!({ "kind": "policy" }), 200, None),
            (json!({ "all": true }), 200, None),
            (json!({}), 422, Some("")),
            (json!({ "all": true, "kind": "policy" }), 422, Some("/all")),
            (json!({ "name": "web-out" }), 422, Some("/name")),
            (
                json!({ "kind": "policy", "name": "nobody" }),
                422,
                Some("/name"),
            ),
            (json!({ "kind": "interface" }), 422, Some("/kind")),
            (json!({ "kinds": "policy" }), 422, Some("/kinds")),
        ] {
            let path = "/api/v1/counters/reset";
            let (found, answer) = ask(Fake::running(), "POST", path, Some(&body)).await;
            assert_eq!(found.as_u16(), status, "{body}: {answer}");
            assert_eq!(answer["pointer"].as_str(), pointer, "{body}: {answer}");
        }
    }
}
