//! Paths and what answers them.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::get;
use firewall::events::Events;
use firewall::lifecycle::Lifecycle;

use crate::access::{Access, Guarded};
use crate::appliance::Appliance;
use crate::conditional::not_modified;
use crate::configuration::{self, Configuration};
use crate::events::{self, EventLog};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::system::{Machine, System};
use crate::tables::Tables;
use crate::{
    applications, explain, metrics, objects, openapi, operation, pages, series, system, tables,
};

/// The API of `appliance`, its configuration and its events, for those whom `access` lets in.
pub fn router(
    appliance: Arc<dyn Appliance>,
    lifecycle: Lifecycle,
    events: Events,
    access: Arc<Access>,
    machine: Machine,
) -> Guarded {
    let router = api(appliance, lifecycle, events, &access, machine)
        .into_router()
        .route("/api/v1/openapi.json", get(openapi::show))
        .merge(pages::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(not_modified))
        .layer(map_response(never_stored));
    Guarded::new(router, access)
}

/// What has a description in `openapi.json`.
pub(crate) fn api(
    appliance: Arc<dyn Appliance>,
    lifecycle: Lifecycle,
    events: Events,
    access: &Arc<Access>,
    machine: Machine,
) -> Routes<()> {
    let event_log = EventLog::new(events.clone(), Arc::clone(access));
    let tables = Tables::new(Arc::clone(&appliance), Arc::clone(access));
    let system = System {
        appliance: Arc::clone(&appliance),
        lifecycle: lifecycle.clone(),
        events,
        access: Arc::clone(access),
        machine,
    };
    let api = Routes::new()
        .merge(operation::routes())
        .merge(explain::routes(appliance.clone(), lifecycle.clone()))
        .merge(tables::routes().with_state(tables))
        .merge(system::routes().with_state(system))
        .merge(events::routes().with_state(event_log))
        .merge(objects::routes(access))
        .merge(applications::routes())
        .merge(series::routes(access))
        .merge(configuration::routes().with_state(Configuration::new(lifecycle)))
        .merge(access.routes());
    Routes::new()
        .nest("/api/v1", api)
        .merge(operation::probes())
        .merge(metrics::routes())
        .with_state(appliance)
}

async fn not_found(uri: Uri) -> Problem {
    Problem::of_status(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

async fn method_not_allowed(method: Method, request: Request) -> Problem {
    let detail = format!(
        "{} takes no {method}; the header 'allow' says what it takes",
        request.uri().path()
    );
    Problem::of_status(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Every answer is of this moment, unless it says otherwise; a cache in between would show the past.
async fn never_stored(mut response: Response) -> Response {
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use firewall::view::{PolicyFilter, Readiness};
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;

    use super::*;
    use crate::access::Peer;
    use crate::fake::{self, Fake};

    async fn ask_of(appliance: Fake, method: Method, path: &str) -> (Response, Vec<u8>) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .extension(Peer::Socket)
            .body(Body::empty())
            .unwrap();
        let site = fake::site(appliance).await.into_router();
        let response = TowerToHyperService::new(site).call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (Response::from_parts(head, Body::empty()), body)
    }

    async fn ask(path: &str) -> (StatusCode, Value) {
        let (response, body) = ask_of(Fake::running(), Method::GET, path).await;
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        let expected = if response.status().is_success() {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(content_type, expected, "{path}");
        (response.status(), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn each_view_is_served_as_the_appliance_tells_it() {
        let fake = Fake::running();
        let cases = [
            ("interfaces", serde_json::to_value(fake.interfaces())),
            (
                "policies",
                serde_json::to_value(fake.policies(&PolicyFilter::default())),
            ),
            ("nat", serde_json::to_value(fake.nat())),
            ("drops", serde_json::to_value(fake.drops())),
        ];
        for (name, expected) in cases {
            assert_eq!(
                ask(&format!("/api/v1/{name}")).await,
                (StatusCode::OK, expected.unwrap()),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn policies_carry_their_hits() {
        let (_, policies) = ask("/api/v1/policies").await;
        assert!(
            policies
                .as_array()
                .unwrap()
                .iter()
                .all(|policy| policy["hits"].is_u64())
        );
        let (_, most) = ask("/api/v1/policies?sort=hits&limit=2").await;
        let most: Vec<_> = most.as_array().unwrap().iter().collect();
        let names: Vec<_> = most.iter().map(|policy| &policy["name"]).collect();
        assert_eq!(names, ["default", "web-out"]);
        for (query, parameter) in [
            ("sort=name", "sort"),
            ("limit=0", "limit"),
            ("page=2", "page"),
        ] {
            let (status, problem) = ask(&format!("/api/v1/policies?{query}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert_eq!(problem["parameter"], parameter);
        }
    }

    #[tokio::test]
    async fn sessions_are_filtered_and_paged() {
        let (status, page) = ask("/api/v1/sessions?protocol=tcp&limit=1").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(page["sessions"].as_array().unwrap().len(), 1);
        let next = page["next"].as_str().unwrap();
        let (_, second) = ask(&format!(
            "/api/v1/sessions?protocol=tcp&limit=1&cursor={next}"
        ))
        .await;
        assert_ne!(page["sessions"][0]["id"], second["sessions"][0]["id"]);

        let (_, later) = ask("/api/v1/sessions?protocol=tcp&limit=1&offset=1&count=true").await;
        assert_eq!(later["sessions"], second["sessions"]);
        assert_eq!(
            (&page["matching"], &later["matching"]),
            (&Value::Null, &3.into())
        );

        let (_, page) = ask("/api/v1/sessions?address=2001%3Adb8%3A1%3A%3A10").await;
        assert!(!page["sessions"].as_array().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_bad_filter_is_a_problem_that_names_the_parameter() {
        for (query, parameter) in [
            ("port=http", "port"),
            ("protocol=tpc", "protocol"),
            ("adress=::1", "adress"),
        ] {
            let (status, problem) = ask(&format!("/api/v1/sessions?{query}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(problem["parameter"], parameter);
            assert_eq!(problem["status"], 400);
            assert!(!problem["detail"].as_str().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn a_view_without_filters_refuses_parameters() {
        let (status, problem) = ask("/api/v1/interfaces?zone=trust").await;
        assert_eq!(
            (status, &problem["parameter"]),
            (StatusCode::BAD_REQUEST, &Value::from("zone"))
        );
    }

    #[tokio::test]
    async fn an_unknown_path_is_a_problem_under_and_outside_the_api() {
        for path in ["/uix", "/api/v1", "/api/v1/session", "/api/v2/sessions"] {
            let (status, problem) = ask(path).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
            assert_eq!(problem["detail"], format!("there is no {path}"));
        }
    }

    #[tokio::test]
    async fn sessions_are_cleared_by_what_they_are_shown_by() {
        let clear = async |query: &str| {
            let path = format!("/api/v1/sessions{query}");
            let (response, body) = ask_of(Fake::running(), Method::DELETE, &path).await;
            let body: Value = serde_json::from_slice(&body).unwrap();
            (response.status(), body)
        };
        let (status, body) = clear("?protocol=tcp&zone=trust").await;
        assert_eq!((status, &body["cleared"]), (StatusCode::OK, &3.into()));
        let (_, body) = clear("?id=1018").await;
        assert_eq!(body["cleared"], 1);
        let (_, body) = clear("?all=true").await;
        assert_eq!(body["cleared"], 5);
        for query in [
            "",
            "?all=false",
            "?all=true&zone=trust",
            "?limit=1",
            "?cursor=1",
            "?offset=1",
            "?count=true",
            "?adress=192.0.2.1",
        ] {
            let (status, body) = clear(query).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
        }
    }

    #[tokio::test]
    async fn sessions_are_added_up_by_whose_they_are() {
        let (status, top) = ask("/api/v1/sessions/top?by=policy&protocol=tcp&limit=2").await;
        assert_eq!((status, &top["by"]), (StatusCode::OK, &"policy".into()));
        assert_eq!(top["total"], 5);
        assert_eq!(top["top"].as_array().unwrap().len(), 2);
        let first = &top["top"][0];
        assert_eq!(
            (&first["name"], &first["sessions"]),
            (&"web-out".into(), &2.into())
        );
        assert!(first["bytes"].as_u64() > top["top"][1]["bytes"].as_u64());
        for (query, parameter) in [
            ("", "by"),
            ("?by=port", "by"),
            ("?by=source&sort=bytes", "sort"),
            ("?by=source&limit=0", "limit"),
            ("?by=source&protocol=tpc", "protocol"),
        ] {
            let (status, problem) = ask(&format!("/api/v1/sessions/top{query}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(problem["parameter"], parameter, "{query}");
        }
    }

    #[tokio::test]
    async fn one_session_is_shown_and_closed_by_its_number() {
        let (status, session) = ask("/api/v1/sessions/1018").await;
        assert_eq!((status, &session["id"]), (StatusCode::OK, &1018.into()));
        for number in ["1", "x", "-1", "1018x", "%2e%2e", "18446744073709551616"] {
            let (status, _) = ask(&format!("/api/v1/sessions/{number}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{number}");
        }
        let delete = async |path| {
            ask_of(Fake::running(), Method::DELETE, path)
                .await
                .0
                .status()
        };
        assert_eq!(
            delete("/api/v1/sessions/1018").await,
            StatusCode::NO_CONTENT
        );
        assert_eq!(delete("/api/v1/sessions/1").await, StatusCode::NOT_FOUND);
        assert_eq!(ask("/api/v1/sessions/%ff").await.0, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn large_tables_come_in_pages() {
        let fake = Fake::running();
        let (_, page) = ask("/api/v1/routes?kind=static").await;
        assert_eq!(page["routes"].as_array().unwrap().len(), 2);
        assert_eq!(page["total"], fake.routes.len());
        let (_, page) = ask("/api/v1/neighbours?state=failed").await;
        assert_eq!(page["neighbours"][0]["address"], "198.51.100.254");
        let (_, page) = ask("/api/v1/nat/leases?holder=192.0.2.10").await;
        assert_eq!(page["leases"][0]["session"], 1017);
        for path in ["routes?kind=none", "neighbours?zone=x", "nat/leases?port=x"] {
            let (status, problem) = ask(&format!("/api/v1/{path}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
            assert!(problem["parameter"].is_string(), "{problem}");
        }
    }

    #[tokio::test]
    async fn an_interface_is_found_by_its_name() {
        let (status, interface) = ask("/api/v1/interfaces/right").await;
        assert_eq!(
            (status, &interface["device"]),
            (StatusCode::OK, &"eth2".into())
        );
        assert_eq!(
            ask("/api/v1/interfaces/eth2").await.0,
            StatusCode::NOT_FOUND
        );
    }

    #[tokio::test]
    async fn the_system_tells_what_it_takes_and_what_is_wrong() {
        let (_, system) = ask("/api/v1/system").await;
        assert_eq!(system["host-name"], "edge-1");
        assert!(system["resources"]["resident-bytes"].as_u64().unwrap() > 0);
        assert!(system["alarms"].is_array());
    }

    #[tokio::test]
    async fn who_has_an_answer_does_not_get_it_again() {
        let path = "/api/v1/openapi.json";
        let (first, body) = ask_of(Fake::running(), Method::GET, path).await;
        assert!(!body.is_empty());
        let request = Request::builder()
            .uri(path)
            .header(header::IF_NONE_MATCH, &first.headers()[header::ETAG])
            .extension(Peer::Socket)
            .body(Body::empty())
            .unwrap();
        let site = fake::site(Fake::running()).await.into_router();
        let again = TowerToHyperService::new(site).call(request).await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let body = again.into_body().collect().await.unwrap().to_bytes();
        assert!(body.is_empty());
    }

    #[tokio::test]
    async fn a_method_that_is_not_taken_says_what_is() {
        for path in ["/api/v1/routes", "/readyz"] {
            let (response, body) = ask_of(Fake::running(), Method::DELETE, path).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            assert!(
                problem
                    .detail
                    .starts_with(&format!("{path} takes no DELETE")),
                "{}",
                problem.detail
            );
        }
    }

    #[tokio::test]
    async fn ready_only_when_the_configuration_is_enforced() {
        let (response, _) = ask_of(Fake::running(), Method::GET, "/readyz").await;
        assert_eq!(response.status(), StatusCode::OK);

        let missing = vec!["interface left: device eth1 is absent".to_owned()];
        let waiting = Readiness {
            ready: false,
            generation: 0,
            missing,
            waiting: Vec::new(),
            advice: Vec::new(),
        };
        let fake = Fake {
            readiness: waiting.clone(),
            ..Fake::running()
        };
        let (response, body) = ask_of(fake, Method::GET, "/readyz").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(serde_json::from_slice::<Readiness>(&body).unwrap(), waiting);
    }

    #[tokio::test]
    async fn alive_even_when_not_ready() {
        let waiting = Readiness {
            ready: false,
            generation: 0,
            missing: vec!["everything".into()],
            waiting: Vec::new(),
            advice: Vec::new(),
        };
        let fake = Fake {
            readiness: waiting,
            ..Fake::running()
        };
        let (response, body) = ask_of(fake, Method::GET, "/healthz").await;
        assert_eq!(
            (response.status(), body.as_slice()),
            (StatusCode::OK, b"ok\n".as_slice())
        );
    }

    #[tokio::test]
    async fn no_answer_may_be_cached() {
        for path in ["/api/v1/system", "/nowhere"] {
            let (response, _) = ask_of(Fake::running(), Method::GET, path).await;
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}
