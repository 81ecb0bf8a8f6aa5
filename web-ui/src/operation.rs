//! What the appliance is doing, as far as it fits one answer: interfaces, translation, drops.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use firewall::view::{DropsView, InterfaceView, NatView, Readiness};
use serde_json::json;

use crate::access::Caller;
use crate::appliance::Appliance;
use crate::filter::NoParameters;
use crate::problem::Problem;
use crate::routes::{Routes, handlers};
use crate::segment::Segment;

type Shared = State<Arc<dyn Appliance>>;

/// Below `/api/v1`.
pub(crate) fn routes() -> Routes<Arc<dyn Appliance>> {
    Routes::new()
        .routes(handlers!(interfaces))
        .routes(handlers!(interface))
        .routes(handlers!(nat))
        .routes(handlers!(drops))
}

/// Outside of `/api/v1`: whether the process lives, and whether the datapath does its work.
pub(crate) fn probes() -> Routes<Arc<dyn Appliance>> {
    Routes::new()
        .routes(handlers!(healthz))
        .routes(handlers!(readyz))
}

/// Interfaces with their addresses, links and counters.
#[utoipa::path(get, path = "/interfaces", tag = "operation", responses((status = OK, body = [InterfaceView])))]
async fn interfaces(State(appliance): Shared, _: NoParameters) -> Json<Vec<InterfaceView>> {
    Json(appliance.interfaces())
}

/// An interface.
#[utoipa::path(get, path = "/interfaces/{name}", tag = "operation", params(("name" = String, Path)),
    responses((status = OK, body = InterfaceView)))]
async fn interface(
    State(appliance): Shared,
    Segment(name): Segment,
    _: NoParameters,
) -> Result<Json<InterfaceView>, Problem> {
    let mut all = appliance.interfaces().into_iter();
    all.find(|interface| interface.name == name)
        .map(Json)
        .ok_or_else(|| {
            let detail = format!("there is no interface '{name}'");
            Problem::of_status(StatusCode::NOT_FOUND, detail)
        })
}

/// Translation rules in force, and the pools with their leases.
#[utoipa::path(get, path = "/nat", tag = "operation", responses((status = OK, body = NatView)))]
async fn nat(State(appliance): Shared, _: NoParameters) -> Json<NatView> {
    Json(appliance.nat())
}

/// Packets that were dropped or left to a worker, by reason.
#[utoipa::path(get, path = "/drops", tag = "operation", responses((status = OK, body = DropsView)))]
async fn drops(State(appliance): Shared, _: NoParameters) -> Json<DropsView> {
    Json(appliance.drops())
}

/// The process lives; says nothing of the datapath.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = OK, body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the datapath enforces the committed configuration.
///
/// Needs no credentials, so over the network it tells nothing but whether.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = OK, body = Readiness), (status = SERVICE_UNAVAILABLE, body = Readiness)))]
async fn readyz(State(appliance): Shared, caller: Option<Caller>) -> Response {
    let readiness = appliance.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    match caller {
        Some(_) => (status, Json(readiness)).into_response(),
        None => (status, Json(json!({ "ready": readiness.ready }))).into_response(),
    }
}
