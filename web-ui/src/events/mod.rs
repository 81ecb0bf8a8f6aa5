//! Events over the API: pages of them, a stream of them, what is captured, and the alarms that are active.

mod capture;
mod filter;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use firewall::events::{Alarm, Event, Events, QueryError};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::access::Access;
use crate::filter::NoParameters;
use crate::problem::Problem;
use crate::routes::{Routes, handlers};
use filter::{Paging, Selection, Wanted};
use stream::Seats;

/// Queries at once. Each may keep a thread and a disk busy for a second.
const QUERIES: usize = 4;
/// How long one waits for the others.
const QUEUE_TIME: Duration = Duration::from_secs(5);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct EventLog {
    events: Events,
    access: Arc<Access>,
    queries: Arc<Semaphore>,
    seats: Arc<Seats>,
}

impl EventLog {
    pub(crate) fn new(events: Events, access: Arc<Access>) -> Self {
        Self {
            events,
            access,
            queries: Arc::new(Semaphore::new(QUERIES)),
            seats: Arc::default(),
        }
    }

    /// Asks the store on a thread of its own, when it is this query's turn.
    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Events) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let turn = timeout(QUEUE_TIME, Arc::clone(&self.queries).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Unanswered::Busy);
        };
        let events = self.events.clone();
        // The turn goes on to the query's end, also when nobody waits for the answer any more.
        let answer = spawn_blocking(move || {
            let answer = query(&events);
            drop(turn);
            answer
        });
        Ok(answer.await.map_err(|_| Unanswered::Died)??)
    }
}

/// Below `/api/v1`.
pub(crate) fn routes() -> Routes<EventLog> {
    Routes::new()
        .routes(handlers!(page))
        .routes(handlers!(stream::follow))
        .routes(handlers!(capture::show, capture::start, capture::end))
        .routes(handlers!(alarms))
}

/// A page of events, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct EventPage {
    events: Vec<Event>,
    /// Where the next page begins; it may come before there is nothing more, with a page that is not full.
    next: Option<String>,
    /// Events since the start that were not stored, because the disk was too slow or full.
    lost: u64,
    /// When the oldest event happened that is stored, RFC 3339.
    #[schema(value_type = Option<String>)]
    oldest: Option<Timestamp>,
}

/// Events that are stored, newest first.
///
/// A search that takes long is answered with what it has found so far, and where it goes on.
#[utoipa::path(get, path = "/events", tag = "events", params(Selection, Paging),
    responses((status = OK, body = EventPage)))]
async fn page(
    State(log): State<EventLog>,
    Wanted(selection, Paging { limit, cursor }): Wanted<Paging>,
) -> Result<Json<EventPage>, Problem> {
    let filter = selection.into_filter();
    let limit = limit.unwrap_or(100);
    let page = log
        .ask(move |events| events.page(&filter, cursor, limit))
        .await?;
    Ok(Json(EventPage {
        events: page.events,
        next: page.next.map(|below| below.to_string()),
        lost: log.events.lost(),
        oldest: page.oldest,
    }))
}

/// The alarms that are active.
#[derive(Debug, Serialize, ToSchema)]
struct ActiveAlarms {
    alarms: Vec<Alarm>,
}

/// What is wrong now.
#[utoipa::path(get, path = "/alarms", tag = "events", responses((status = OK, body = ActiveAlarms)))]
async fn alarms(State(log): State<EventLog>, _: NoParameters) -> Json<ActiveAlarms> {
    Json(ActiveAlarms {
        alarms: log.events.alarms(),
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("too many searches at once: try again")]
    Busy,
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("the search has ended early")]
    Died,
}

impl From<Unanswered> for Problem {
    fn from(error: Unanswered) -> Self {
        let status = match &error {
            Unanswered::Busy
            | Unanswered::Query(QueryError::TooLong | QueryError::Unreadable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Unanswered::Died => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::of_status(status, error.to_string())
    }
}
