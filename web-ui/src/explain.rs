//! What would become of a packet that nobody has sent.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use firewall::lifecycle::Lifecycle;
use firewall::view::{MatchRequest, MatchView, WhichConfiguration};
use tokio::sync::Semaphore;

use crate::appliance::Appliance;
use crate::configuration::invalid;
use crate::json_body::JsonBody;
use crate::problem::Problem;
use crate::routes::{Routes, handlers};

/// Questions that are looked into at once; a candidate is compiled for each. Others wait.
const AT_ONCE: usize = 2;

#[derive(Clone)]
struct Explain {
    appliance: Arc<dyn Appliance>,
    lifecycle: Lifecycle,
    turns: Arc<Semaphore>,
}

/// Below `/api/v1`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
    appliance: Arc<dyn Appliance>,
    lifecycle: Lifecycle,
) -> Routes<S> {
    let state = Explain {
        appliance,
        lifecycle,
        turns: Arc::new(Semaphore::new(AT_ONCE)),
    };
    Routes::new().routes(handlers!(explain)).with_state(state)
}

/// Ask what would become of a packet.
///
/// Which rule decides, which addresses it gets, which way it goes, and which rules before that one nearly
/// matched. Nothing is sent, and nothing changes. It is one that would open a session: of TCP, a SYN.
#[utoipa::path(post, path = "/policies/match", tag = "operation",
    request_body = MatchRequest, responses((status = OK, body = MatchView)))]
async fn explain(
    State(state): State<Explain>,
    JsonBody(request): JsonBody<MatchRequest>,
) -> Result<Json<MatchView>, Problem> {
    let unavailable =
        || Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR, "there is no answer");
    let _turn = state.turns.acquire().await.map_err(|_| unavailable())?;
    let candidate = match request.configuration {
        WhichConfiguration::Running => None,
        WhichConfiguration::Candidate => {
            let compiled = state.lifecycle.compile_candidate().await;
            Some(compiled.map_err(invalid)?)
        }
    };
    let appliance = state.appliance;
    let answer = move || appliance.explain(&request, candidate);
    let answer = tokio::task::spawn_blocking(answer).await;
    Ok(Json(answer.map_err(|_| unavailable())??))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::{Value, json};

    use crate::access::Peer;
    use crate::fake::{self, Fake};

    async fn ask(body: &Value) -> (u16, Value) {
        let request = Request::post("/api/v1/policies/match")
            .header(header::CONTENT_TYPE, "application/json")
            .extension(Peer::Socket)
            .body(Body::from(body.to_string()))
            .unwrap();
        let site = fake::site(Fake::running()).await.into_router();
        let response = TowerToHyperService::new(site).call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn packet(more: &Value) -> Value {
        let mut packet = json!({ "from": "untrust", "source": "203.0.113.7",
            "destination": "198.51.100.1", "protocol": "tcp", "destination-port": 443 });
        for (key, value) in more.as_object().unwrap() {
            packet[key] = value.clone();
        }
        packet
    }

    #[tokio::test]
    async fn the_answer_is_the_appliances() {
        let (status, answer) = ask(&packet(&json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["verdict"], "deny");
        assert_eq!(answer["drop-reason"], "policy-denied");
        assert_eq!(answer["packet"]["source"], "203.0.113.7");
        assert_eq!(answer["near-misses"][0]["policy"], "publish-the-shop");
        assert_eq!(answer["configuration"], "running");
    }

    #[tokio::test]
    async fn a_candidate_is_compiled_for_the_question() {
        let (status, answer) = ask(&packet(&json!({ "configuration": "candidate" }))).await;
        assert_eq!(
            (status, &answer["configuration"]),
            (200, &"candidate".into())
        );
    }

    #[tokio::test]
    async fn what_can_not_be_is_refused_by_its_member() {
        let (status, problem) = ask(&packet(&json!({ "destination": "2001:db8::1" }))).await;
        assert_eq!((status, &problem["pointer"]), (422, &"/destination".into()));
        for wrong in [
            json!({ "destination-port": 65_536 }),
            json!({ "destination": "example.org" }),
            json!({ "colour": "red" }),
            json!({ "configuration": "yesterday" }),
        ] {
            let (status, problem) = ask(&packet(&wrong)).await;
            assert_eq!(status, 422, "{problem}");
            let (member, _) = wrong.as_object().unwrap().iter().next().unwrap();
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(member.as_str()), "{detail}");
        }
    }
}
