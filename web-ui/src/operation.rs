//! What the appliance is doing: sessions, interfaces, policies, translation, drops, routes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use firewall::audit::{AuditAction, Outcome};
use firewall::view::{
    Cleared, DropsView, InterfaceView, NatView, PolicyView, Readiness, RoutesView, SessionFilter,
    SessionPage, SystemView,
};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{Access, Caller};
use crate::appliance::Appliance;
use crate::filter::{NoParameters, Sessions};
use crate::problem::Problem;

type Shared = State<Arc<dyn Appliance>>;

/// Below `/api/v1`.
pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Appliance>> {
    OpenApiRouter::new()
        .routes(routes!(sessions, clear_sessions))
        .routes(routes!(interfaces))
        .routes(routes!(policies))
        .routes(routes!(nat))
        .routes(routes!(drops))
        .routes(routes!(kernel_routes))
        .routes(routes!(system))
}

/// Outside of `/api/v1`: whether the process lives, and whether the datapath does its work.
pub(crate) fn probes() -> OpenApiRouter<Arc<dyn Appliance>> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// A page of sessions.
#[utoipa::path(get, path = "/sessions", tag = "operation", params(SessionFilter),
    responses((status = OK, body = SessionPage)))]
async fn sessions(
    State(appliance): Shared,
    Sessions(filter): Sessions,
) -> Result<Json<SessionPage>, Problem> {
    if filter.all.is_some() {
        let detail = "all: pages hold at most 1000; 'next' leads to the following".to_owned();
        return Err(Problem::parameter("all", detail));
    }
    Ok(Json(appliance.sessions(&filter)?))
}

/// Close all sessions that match.
///
/// A page makes no sense here: what matches is closed, all of it.
#[utoipa::path(delete, path = "/sessions", tag = "operation", params(SessionFilter),
    responses((status = OK, body = Cleared)))]
async fn clear_sessions(
    State(appliance): Shared,
    Extension(access): Extension<Arc<Access>>,
    Caller { actor, .. }: Caller,
    Sessions(filter): Sessions,
) -> Result<Json<Cleared>, Problem> {
    for (name, given) in [
        ("cursor", filter.cursor.is_some()),
        ("limit", filter.limit.is_some()),
    ] {
        if given {
            let detail = format!("{name}: all sessions that match are closed, not a page of them");
            return Err(Problem::parameter(name, detail));
        }
    }
    // Not by an empty variable in somebody's script.
    let names_some = filter
        != SessionFilter {
            all: filter.all,
            ..SessionFilter::default()
        };
    if names_some == (filter.all == Some(true)) {
        let detail = "all: say which sessions by filters, or all=true; not both".to_owned();
        return Err(Problem::parameter("all", detail));
    }
    let cleared = appliance.clear_sessions(&filter)?;
    let mut named = serde_json::to_value(&filter).unwrap_or_default();
    if let Some(members) = named.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    let detail = format!("{} closed, of those that match {named}", cleared.cleared);
    access.record(actor, AuditAction::SessionsCleared, Outcome::Done, detail);
    Ok(Json(cleared))
}

/// Interfaces with their addresses, links and counters.
#[utoipa::path(get, path = "/interfaces", tag = "operation", responses((status = OK, body = [InterfaceView])))]
async fn interfaces(State(appliance): Shared, _: NoParameters) -> Json<Vec<InterfaceView>> {
    Json(appliance.interfaces())
}

/// Policies in force, in their order, with hits and sessions.
#[utoipa::path(get, path = "/policies", tag = "operation", responses((status = OK, body = [PolicyView])))]
async fn policies(State(appliance): Shared, _: NoParameters) -> Json<Vec<PolicyView>> {
    Json(appliance.policies())
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

/// The kernel's routes and neighbours, as the datapath follows them.
#[utoipa::path(get, path = "/routes", tag = "operation", responses((status = OK, body = RoutesView)))]
async fn kernel_routes(State(appliance): Shared, _: NoParameters) -> Json<RoutesView> {
    Json(appliance.routes())
}

/// Version, uptime, workers, sessions.
#[utoipa::path(get, path = "/system", tag = "operation", responses((status = OK, body = SystemView)))]
async fn system(State(appliance): Shared, _: NoParameters) -> Json<SystemView> {
    Json(appliance.system())
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
