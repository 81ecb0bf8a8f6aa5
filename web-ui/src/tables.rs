//! The appliance's large tables: sessions, leases, policies' sessions, routes, neighbours. Whoever asks for them waits
//! for a [`Scans`]; all other requests are answered meanwhile.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use firewall::audit::{Actor, AuditAction, Outcome};
use firewall::control::FilterError;
use firewall::view::{
    Cleared, LeaseFilter, LeasePage, NeighbourFilter, NeighbourPage, PolicyFilter, PolicyView,
    RouteFilter, RoutePage, SessionFilter, SessionPage, SessionQuery, SessionView, TopQuery,
    TopSessions,
};

use crate::access::{Access, Caller};
use crate::appliance::Appliance;
use crate::filter::{Asked, ClearQuery, NoParameters, TopParameters};
use crate::problem::Problem;
use crate::routes::{Routes, handlers};
use crate::scan::Scans;
use crate::segment::Segment;

/// Of a query, in an audit entry.
const WHICH_CHARACTERS_MAX: usize = 256;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Tables {
    appliance: Arc<dyn Appliance>,
    access: Arc<Access>,
    scans: Scans,
}

impl Tables {
    pub(crate) fn new(appliance: Arc<dyn Appliance>, access: Arc<Access>) -> Self {
        Self {
            appliance,
            access,
            scans: Scans::default(),
        }
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Appliance) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let appliance = Arc::clone(&self.appliance);
        self.scans.run(move || look(&*appliance)).await
    }

    /// Closes what matches and tells the audit, also when the client goes away meanwhile.
    async fn clear(
        &self,
        filter: SessionFilter,
        actor: Actor,
        which: String,
    ) -> Result<Cleared, Problem> {
        let access = Arc::clone(&self.access);
        let clear = move |appliance: &dyn Appliance| {
            let cleared = appliance.clear_sessions(&filter)?;
            let which: String = which.chars().take(WHICH_CHARACTERS_MAX).collect();
            let plural = if cleared.cleared == 1 { "" } else { "s" };
            let detail = format!("{} session{plural}: {which}", cleared.cleared);
            access.record(actor, AuditAction::SessionsCleared, Outcome::Done, detail);
            Ok::<_, FilterError>(cleared)
        };
        Ok(self.look(clear).await??)
    }
}

/// Below `/api/v1`.
pub(crate) fn routes() -> Routes<Tables> {
    Routes::new()
        .routes(handlers!(sessions, clear_sessions))
        .routes(handlers!(top_sessions))
        .routes(handlers!(session, clear_session))
        .routes(handlers!(leases))
        .routes(handlers!(policies))
        .routes(handlers!(kernel_routes))
        .routes(handlers!(neighbours))
}

/// Sessions: a page in the order of the table, or with `sort` the first by another order.
///
/// The table changes while it is read: over several pages, a session may be missing or seen twice.
#[utoipa::path(get, path = "/sessions", tag = "operation", params(SessionFilter, SessionQuery),
    responses((status = OK, body = SessionPage)))]
async fn sessions(
    State(tables): State<Tables>,
    Asked(query, _): Asked<SessionQuery>,
) -> Result<Json<SessionPage>, Problem> {
    let page = tables.look(move |appliance| appliance.sessions(&query));
    Ok(Json(page.await??))
}

/// Close all sessions that match.
///
/// Which, must be said: by filters, or with `all`.
#[utoipa::path(delete, path = "/sessions", tag = "operation",
    params(SessionFilter, ("all" = Option<bool>, Query, description = "Every session; no filter goes with it.")),
    responses((status = OK, body = Cleared)))]
async fn clear_sessions(
    State(tables): State<Tables>,
    caller: Caller,
    Asked(ClearQuery { which, all }, query): Asked<ClearQuery>,
) -> Result<Json<Cleared>, Problem> {
    // Not by an empty variable in somebody's script.
    let names_some = which != SessionFilter::default();
    if names_some == (all == Some(true)) {
        let detail = "all: say which sessions by filters, or all=true; not both".to_owned();
        return Err(Problem::parameter("all", detail));
    }
    tables.clear(which, caller.actor, query).await.map(Json)
}

/// Whose sessions carry most: top talkers, and the same by application and policy.
///
/// Added up over the sessions that match and are in the table now, with what they have carried since they began.
#[utoipa::path(get, path = "/sessions/top", tag = "operation", params(SessionFilter, TopQuery),
    responses((status = OK, body = TopSessions)))]
async fn top_sessions(
    State(tables): State<Tables>,
    Asked(query, _): Asked<TopParameters>,
) -> Result<Json<TopSessions>, Problem> {
    let query = query.whole()?;
    let top = tables.look(move |appliance| appliance.top_sessions(&query));
    Ok(Json(top.await??))
}

/// A session.
#[utoipa::path(get, path = "/sessions/{id}", tag = "operation", params(("id" = u64, Path)),
    responses((status = OK, body = SessionView)))]
async fn session(
    State(tables): State<Tables>,
    Segment(id): Segment,
    _: NoParameters,
) -> Result<Json<SessionView>, Problem> {
    let query = SessionQuery {
        which: of_number(&id)?,
        ..SessionQuery::default()
    };
    let page = tables.look(move |appliance| appliance.sessions(&query));
    let found = page.await??.sessions.pop();
    found.map(Json).ok_or_else(|| no_session(&id))
}

/// Close a session.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "operation", params(("id" = u64, Path)),
    responses((status = NO_CONTENT, description = "Closed")))]
async fn clear_session(
    State(tables): State<Tables>,
    caller: Caller,
    Segment(id): Segment,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    let filter = of_number(&id)?;
    let cleared = tables.clear(filter, caller.actor, format!("id={id}"));
    match cleared.await?.cleared {
        0 => Err(no_session(&id)),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Who holds which translated address and port.
#[utoipa::path(get, path = "/nat/leases", tag = "operation", params(LeaseFilter),
    responses((status = OK, body = LeasePage)))]
async fn leases(
    State(tables): State<Tables>,
    Asked(filter, _): Asked<LeaseFilter>,
) -> Result<Json<LeasePage>, Problem> {
    let page = tables.look(move |appliance| appliance.leases(&filter));
    Ok(Json(page.await??))
}

/// Policies in force, in their order or with `sort` by another, with hits and sessions; the default is one of them.
#[utoipa::path(get, path = "/policies", tag = "operation", params(PolicyFilter),
    responses((status = OK, body = [PolicyView])))]
async fn policies(
    State(tables): State<Tables>,
    Asked(filter, _): Asked<PolicyFilter>,
) -> Result<Json<Vec<PolicyView>>, Problem> {
    let policies = tables.look(move |appliance| appliance.policies(&filter));
    policies.await.map(Json)
}

/// The kernel's routes, as the datapath follows them.
#[utoipa::path(get, path = "/routes", tag = "operation", params(RouteFilter),
    responses((status = OK, body = RoutePage)))]
async fn kernel_routes(
    State(tables): State<Tables>,
    Asked(filter, _): Asked<RouteFilter>,
) -> Result<Json<RoutePage>, Problem> {
    let page = tables.look(move |appliance| appliance.routes(&filter));
    Ok(Json(page.await??))
}

/// Neighbours of the appliance's interfaces, as the kernel knows them.
#[utoipa::path(get, path = "/neighbours", tag = "operation", params(NeighbourFilter),
    responses((status = OK, body = NeighbourPage)))]
async fn neighbours(
    State(tables): State<Tables>,
    Asked(filter, _): Asked<NeighbourFilter>,
) -> Result<Json<NeighbourPage>, Problem> {
    let page = tables.look(move |appliance| appliance.neighbours(&filter));
    Ok(Json(page.await??))
}

fn of_number(id: &str) -> Result<SessionFilter, Problem> {
    let id = id.parse().map_err(|_| no_session(id))?;
    Ok(SessionFilter {
        id: Some(id),
        ..SessionFilter::default()
    })
}

fn no_session(id: &str) -> Problem {
    Problem::of_status(StatusCode::NOT_FOUND, format!("there is no session '{id}'"))
}
