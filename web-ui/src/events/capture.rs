//! Keeping every session event for a while, whatever the policies ask for.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use firewall::audit::{AuditAction, Outcome};
use firewall::events::{CaptureView, LONGEST_CAPTURE, Wanted};
use serde::Deserialize;
use utoipa::ToSchema;

use super::EventLog;
use crate::access::Caller;
use crate::filter::NoParameters;
use crate::json_body::JsonBody;
use crate::problem::Problem;

/// What to keep, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CaptureBody {
    /// `10m`; an hour at most.
    #[serde(rename = "for")]
    lasts: String,
    policy: Option<String>,
    /// Of either end, before or after translation.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
}

/// Whether all session events are kept at present.
#[utoipa::path(get, path = "/events/capture", tag = "events", responses((status = OK, body = CaptureView)))]
pub(super) async fn show(State(log): State<EventLog>, _: NoParameters) -> Json<CaptureView> {
    Json(log.events.capture())
}

/// Keep all session events for a while, in place of a capture that runs.
///
/// It ends by itself when its time is over, or when it has kept as many events as it may.
#[utoipa::path(post, path = "/events/capture", tag = "events", request_body = CaptureBody,
    responses((status = OK, body = CaptureView)))]
pub(super) async fn start(
    State(log): State<EventLog>,
    Caller { actor, .. }: Caller,
    _: NoParameters,
    JsonBody(body): JsonBody<CaptureBody>,
) -> Result<Json<CaptureView>, Problem> {
    let lasts = lasts(&body.lasts)?;
    let mut detail = format!("every session event is kept for {}", body.lasts);
    if let Some(policy) = &body.policy {
        detail.push_str(&format!(", of policy {policy}"));
    }
    if let Some(address) = body.address {
        detail.push_str(&format!(", of {address}"));
    }
    let wanted = Wanted {
        policy: body.policy,
        address: body.address,
    };
    log.events.start_capture(wanted, lasts);
    log.access
        .record(actor, AuditAction::CaptureChanged, Outcome::Done, detail);
    Ok(Json(log.events.capture()))
}

/// End the capture that runs.
#[utoipa::path(delete, path = "/events/capture", tag = "events",
    responses((status = NO_CONTENT, description = "None runs")))]
pub(super) async fn end(
    State(log): State<EventLog>,
    Caller { actor, .. }: Caller,
    _: NoParameters,
) -> StatusCode {
    if log.events.end_capture() {
        let detail = "it has ended".to_owned();
        log.access
            .record(actor, AuditAction::CaptureChanged, Outcome::Done, detail);
    }
    StatusCode::NO_CONTENT
}

fn lasts(text: &str) -> Result<Duration, Problem> {
    let wrong =
        |detail: String| Problem::of_status(StatusCode::UNPROCESSABLE_ENTITY, detail).at("/for");
    match rules::parse_duration(text) {
        Ok(lasts) if lasts <= LONGEST_CAPTURE => Ok(lasts),
        Ok(_) => Err(wrong(format!("for: {text} is too long: an hour at most"))),
        Err(error) => Err(wrong(format!("for: {error}"))),
    }
}
