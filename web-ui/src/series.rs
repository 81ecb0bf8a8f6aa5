//! What was counted, over time: series with their points, and the last second's rates.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::{Extension, Json};
use firewall::history::{RangeError, SeriesError, SeriesRange};
use firewall::view::{RatesView, SeriesView};
use futures_util::Stream;
use futures_util::stream::unfold;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use tokio::sync::{Semaphore, TryAcquireError};
use utoipa::IntoParams;

use crate::access::{Access, Caller};
use crate::appliance::Appliance;
use crate::filter::{BadParameter, NoParameters, pairs, parsed, word};
use crate::problem::Problem;
use crate::routes::{Routes, handlers};

type Shared = State<Arc<dyn Appliance>>;

/// Series in one answer that has points.
const MOST_NAMES: usize = 32;
/// Clients that follow rates at a time.
const MOST_STREAMS: usize = 32;

/// Below `/api/v1`.
pub(crate) fn routes(access: &Arc<Access>) -> Routes<Arc<dyn Appliance>> {
    let places = Arc::new(Semaphore::new(MOST_STREAMS));
    Routes::new()
        .routes(handlers!(all_series))
        .routes(handlers!(one_series))
        .routes(handlers!(rates))
        .routes(handlers!(follow_rates))
        .within(|router| {
            router
                .layer(Extension(places))
                .layer(Extension(Arc::clone(access)))
        })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Query` reads")]
struct RangeQuery {
    /// `hour`, `day` or `month`, until now.
    range: Option<String>,
    /// RFC 3339, or seconds since 1970; 30 days ago at most.
    since: Option<String>,
    until: Option<String>,
    /// Seconds between points. Longer where there would be more than 3,660; about 720 points unless told.
    step: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Query` reads")]
struct NamesQuery {
    /// Of a series whose points are wanted; up to 32 of them.
    name: Option<Vec<String>>,
}

/// Every series that there is, or the points of those that are named.
#[utoipa::path(get, path = "/series", tag = "operation", params(NamesQuery, RangeQuery),
    responses((status = OK, body = [SeriesView])))]
async fn all_series(
    State(appliance): Shared,
    query: Query,
) -> Result<Json<Vec<SeriesView>>, Problem> {
    if query.names.is_empty() {
        if query.has_range {
            let detail = "name: of which series? Without one, this lists what there is";
            return Err(Problem::parameter("name", detail));
        }
        return read(move || appliance.history().series()).await;
    }
    read(move || {
        let now = Timestamp::now();
        let points = |name: &String| appliance.history().points(name, &query.range, now);
        query.names.iter().map(points).collect()
    })
    .await
}

/// A series with its points.
///
/// A rate's are a second's mean and peak over each step, a level's its mean and peak. The last hour is kept by
/// the second, 30 days by the minute.
#[utoipa::path(get, path = "/series/{name}", tag = "operation",
    params(("name" = String, Path), RangeQuery), responses((status = OK, body = SeriesView)))]
async fn one_series(
    State(appliance): Shared,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<SeriesView>, Problem> {
    if !query.names.is_empty() {
        let detail = "name: the path says which series";
        return Err(Problem::parameter("name", detail));
    }
    read(move || {
        appliance
            .history()
            .points(&name, &query.range, Timestamp::now())
    })
    .await
}

/// What happened in the last second.
#[utoipa::path(get, path = "/rates", tag = "operation", responses((status = OK, body = RatesView)))]
async fn rates(State(appliance): Shared, _: NoParameters) -> Json<RatesView> {
    Json(RatesView::clone(&appliance.history().rates()))
}

/// What happened in the last second, and then in each, as server-sent events of the name `rates`.
#[utoipa::path(get, path = "/rates/stream", tag = "operation",
    responses((status = OK, body = RatesView, content_type = "text/event-stream")))]
async fn follow_rates(
    State(appliance): Shared,
    Extension(places): Extension<Arc<Semaphore>>,
    Extension(access): Extension<Arc<Access>>,
    caller: Caller,
    _: NoParameters,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = places.try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits | TryAcquireError::Closed => Problem::of_status(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{MOST_STREAMS} clients follow rates already"),
        ),
    })?;
    let watch = appliance.history().watch_rates();
    let events = unfold((watch, place), move |(mut watch, place)| {
        let (access, caller) = (Arc::clone(&access), caller.clone());
        async move {
            let rates = watch.next().await?;
            // The session may have ended since, or the token been revoked.
            if !access.holds(&caller) {
                return None;
            }
            let event = Event::default().event("rates").json_data(&*rates).ok()?;
            Some((Ok(event), (watch, place)))
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// On a thread that may wait for the disk.
async fn read<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SeriesError> + Send + 'static,
) -> Result<Json<T>, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => Ok(Json(answer)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::internal()),
    }
}

impl From<SeriesError> for Problem {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::Unknown(_) => Self::of_status(StatusCode::NOT_FOUND, error.to_string()),
            SeriesError::Range(RangeError::Reversed) => Self::parameter("since", error.to_string()),
            SeriesError::Range(RangeError::Step) => Self::parameter("step", error.to_string()),
            SeriesError::Store(_) => {
                tracing::error!(%error, "a question for a time series is not answered");
                Self::internal()
            }
        }
    }
}

/// The query of both paths.
#[derive(Debug, Default)]
struct Query {
    names: Vec<String>,
    range: SeriesRange,
    has_range: bool,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(pairs(parts)?, Timestamp::now())?)
    }
}

impl Query {
    fn of(pairs: Vec<(String, String)>, now: Timestamp) -> Result<Self, BadParameter> {
        let mut query = Self::default();
        let mut seen = std::collections::BTreeSet::new();
        for (name, value) in pairs {
            match name.as_str() {
                "name" => {
                    query.names.push(word(&name, &value)?);
                    if query.names.len() > MOST_NAMES {
                        let detail = format!("name: more than {MOST_NAMES} of them");
                        return Err(BadParameter::new(&name, detail));
                    }
                    continue;
                }
                "range" => query.range.since = Some(since(&value, now)?),
                "since" => query.range.since = Some(instant(&name, &value)?),
                "until" => query.range.until = Some(instant(&name, &value)?),
                "step" => {
                    query.range.step_seconds = Some(parsed(&name, &value, "a number of seconds")?);
                }
                _ => {
                    let detail = format!(
                        "'{name}' is no parameter: they are name, range, since, until and step"
                    );
                    return Err(BadParameter::new(&name, detail));
                }
            }
            query.has_range = true;
            if !seen.insert(name.clone()) {
                let detail = format!("'{name}' is given twice; give it once");
                return Err(BadParameter::new(&name, detail));
            }
        }
        if seen.contains("range") && (seen.contains("since") || seen.contains("until")) {
            let detail = "range: it is until now; give it, or since and until".to_owned();
            return Err(BadParameter::new("range", detail));
        }
        Ok(query)
    }
}

fn since(range: &str, now: Timestamp) -> Result<Timestamp, BadParameter> {
    let hours = match range {
        "hour" => 1,
        "day" => 24,
        "month" => 30 * 24,
        _ => {
            let detail = format!("range: '{range}' is not hour, day or month");
            return Err(BadParameter::new("range", detail));
        }
    };
    Ok(now.checked_sub(hours.hours()).unwrap_or(now))
}

fn instant(name: &str, value: &str) -> Result<Timestamp, BadParameter> {
    let seconds = value.parse().ok().map(Timestamp::from_second);
    let read = seconds.unwrap_or_else(|| value.parse());
    read.map_err(|_| {
        let detail =
            format!("{name}: '{value}' is no date: 2026-01-31T12:00:00Z, or seconds since 1970");
        BadParameter::new(name, detail)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use http_body_util::BodyExt;

    use super::*;
    use crate::fake::{self, Fake};
    use crate::testing::{ask, request};

    #[tokio::test]
    async fn series_are_listed_and_have_points() {
        let (status, list) = ask(Fake::running(), "GET", "/api/v1/series", None).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let names: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert!(
            names.contains(&&"interface.left.received-bytes".into()),
            "{names:?}"
        );
        let path = "/api/v1/series/interface.left.received-packets?range=hour&step=1";
        let (status, one) = ask(Fake::running(), "GET", path, None).await;
        assert_eq!(
            (status, &one["kind"]),
            (StatusCode::OK, &"rate".into()),
            "{one}"
        );
        assert_eq!(one["unit"], "packets/s");
        let points = &one["points"];
        let column = |name: &str| points[name].as_array().unwrap().clone();
        assert_eq!(column("times").len(), column("values").len());
        assert_eq!(points["total"], 30.0 * 100.0);

        let path = "/api/v1/series?name=sessions&name=process.memory&range=month";
        let (_, both) = ask(Fake::running(), "GET", path, None).await;
        assert_eq!(
            (&both[0]["name"], &both[1]["name"]),
            (&"sessions".into(), &"process.memory".into())
        );
    }

    #[tokio::test]
    async fn a_question_that_makes_no_sense_names_its_parameter() {
        for (query, status, parameter) in [
            ("?range=hour", 400, Some("name")),
            ("/sessions?range=year", 400, Some("range")),
            ("/sessions?since=yesterday", 400, Some("since")),
            (
                "/sessions?since=2000000000&until=1900000000",
                400,
                Some("since"),
            ),
            ("/sessions?step=0", 400, Some("step")),
            ("/sessions?step=x", 400, Some("step")),
            ("/sessions?step=1&step=2", 400, Some("step")),
            ("/sessions?range=day&since=1790000000", 400, Some("range")),
            ("/sessions?points=7", 400, Some("points")),
            ("/sessions?name=sessions", 400, Some("name")),
            ("/nothing", 404, None),
            ("?name=nothing", 404, None),
        ] {
            let path = format!("/api/v1/series{query}");
            let (found, problem) = ask(Fake::running(), "GET", &path, None).await;
            assert_eq!(found.as_u16(), status, "{query}: {problem}");
            assert_eq!(
                problem["parameter"].as_str(),
                parameter,
                "{query}: {problem}"
            );
        }
        let many = "name=sessions&".repeat(MOST_NAMES + 1);
        let path = format!("/api/v1/series?{}", many.trim_end_matches('&'));
        assert_eq!(
            ask(Fake::running(), "GET", &path, None).await.0,
            StatusCode::BAD_REQUEST
        );
    }

    #[tokio::test]
    async fn the_last_second_is_told_and_it_and_the_next_ones_are_streamed() {
        let fake = Fake::running();
        let history = fake.history.clone();
        let (_, rates) = ask(fake.clone(), "GET", "/api/v1/rates", None).await;
        assert_eq!(
            rates["interfaces"][0]["received-packets-per-second"], 100.0,
            "{rates}"
        );
        let response = request(fake, "GET", "/api/v1/rates/stream", None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let mut told_at = Vec::new();
        for _ in 0..2 {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let text = String::from_utf8(frame.to_vec()).unwrap();
            assert!(text.contains("event: rates\n"), "{text}");
            let data = text
                .lines()
                .find_map(|line| line.strip_prefix("data: "))
                .unwrap();
            let rates: RatesView = serde_json::from_str(data).unwrap();
            assert_eq!(rates.interfaces[0].rates.received_packets_per_second, 100.0);
            told_at.push(rates.at);
            let _ = history.take(&fake::sample(31));
        }
        assert!(told_at[0] < told_at[1], "{told_at:?}");
    }

    #[tokio::test]
    async fn streams_are_bounded_and_a_closed_one_makes_room() {
        let site = fake::site(Fake::running()).await;
        let follow = async || {
            let request = crate::testing::request_to(&site, "GET", "/api/v1/rates/stream", None);
            request.await
        };
        let mut open = Vec::new();
        for _ in 0..MOST_STREAMS {
            open.push(follow().await);
        }
        assert!(
            open.iter()
                .all(|response| response.status() == StatusCode::OK)
        );
        assert_eq!(follow().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        open.pop();
        assert_eq!(follow().await.status(), StatusCode::OK);
    }
}
