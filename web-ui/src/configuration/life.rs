//! Check, diff, commit, confirm, roll back; and the history.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use firewall::audit::Via;
use firewall::lifecycle::{CommitRequest, Report, Revision, RevisionState, Source, Which};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Configuration;
use super::answer::{EditedView, listed};
use super::body::{Expected, OptionalDocument, Parameters};
use super::document::{answer, whole};
use crate::access::Caller;
use crate::filter::NoParameters;
use crate::json_body::{JsonBody, OptionalJson};
use crate::problem::{MISTAKES_MAX, Mistake, Problem};
use crate::routes::{Routes, handlers};
use crate::segment::Segment;

pub(super) fn routes() -> Routes<Configuration> {
    Routes::new()
        .routes(handlers!(status))
        .routes(handlers!(check, check_candidate))
        .routes(handlers!(diff))
        .routes(handlers!(commit))
        .routes(handlers!(confirm))
        .routes(handlers!(rollback))
        .routes(handlers!(history))
        .routes(handlers!(revision))
}

/// Which configuration is in force, and where it came from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct ConfigView {
    /// Of the configuration in force.
    revision: u64,
    /// `start-file`, `generated` (there was no file) or `commit`.
    source: String,
    generation: u64,
    /// When it is undone unless somebody confirms; RFC 3339.
    confirm_by: Option<String>,
    /// The candidate is not what is in force.
    changed: bool,
    /// The file that the appliance was started with. It is never written.
    start_file: String,
    /// SHA-256 of what was last taken from it.
    start_file_sha256: Option<String>,
    /// What is wrong with the configuration's files.
    alarms: Vec<String>,
}

/// A committed configuration.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct RevisionView {
    revision: u64,
    /// RFC 3339.
    at: String,
    author: String,
    via: String,
    comment: String,
    /// `in-force`, `awaiting-confirmation`, `superseded` or `undone`.
    state: String,
    /// `start-file`, `generated` (there was no file) or `commit`.
    source: String,
}

/// Whether a document could be committed.
#[derive(Debug, Serialize, ToSchema)]
struct CheckView {
    valid: bool,
    /// The first 1,000.
    findings: Vec<Mistake>,
    /// How many more there are; beyond 10,000 nobody counts.
    omitted: usize,
}

/// What to compare: `running`, `candidate`, or a revision's number.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct DiffQuery {
    /// `running` unless told.
    from: Option<String>,
    /// `candidate` unless told.
    to: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct DiffView {
    changed: bool,
    /// Unified, of the YAML.
    text: String,
    /// RFC 6902, of the JSON.
    #[schema(value_type = Vec<Object>)]
    patch: json_patch::Patch,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct CommitBody {
    #[schema(max_length = 1024)]
    comment: String,
    /// The commit is undone after this long unless it is confirmed: `60s`, `10m`; 1 s to 24 h.
    confirm_within: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct CommittedView {
    revision: u64,
    generation: u64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm_by: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ConfirmedView {
    revision: u64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    revision: u64,
}

/// Which configuration is in force, and whether the candidate is another.
#[utoipa::path(get, path = "/config", tag = "configuration", responses((status = OK, body = ConfigView)))]
async fn status(State(state): State<Configuration>, _: NoParameters) -> Json<ConfigView> {
    let in_force = state.lifecycle.in_force().await;
    let changed = state.lifecycle.candidate().await.changed;
    Json(ConfigView {
        revision: in_force.revision,
        source: source(in_force.source).into(),
        generation: in_force.generation,
        confirm_by: in_force.confirm_by.map(rfc3339),
        changed,
        start_file: in_force.file.display().to_string(),
        start_file_sha256: in_force.file_hash,
        alarms: in_force.alarms.iter().map(ToString::to_string).collect(),
    })
}

/// Look at a document as a commit would, or at the candidate where there is no body.
#[utoipa::path(post, path = "/config/check", tag = "configuration",
    request_body(content((Option<firewall::config::document::Document> = "application/json"), (String = "application/yaml"))),
    responses((status = OK, body = CheckView)))]
async fn check(
    State(state): State<Configuration>,
    OptionalDocument(document): OptionalDocument,
) -> Result<Json<CheckView>, Problem> {
    look(state, document).await
}

/// Look at the candidate as a commit would.
#[utoipa::path(get, path = "/config/check", tag = "configuration", responses((status = OK, body = CheckView)))]
async fn check_candidate(
    State(state): State<Configuration>,
    _: NoParameters,
) -> Result<Json<CheckView>, Problem> {
    look(state, None).await
}

async fn look(state: Configuration, document: Option<String>) -> Result<Json<CheckView>, Problem> {
    // To its end, and in turn, also when the client goes away.
    let checked = tokio::spawn(async move {
        let _turn = state.check.acquire().await;
        state.lifecycle.check(document).await
    });
    let report = checked.await.map_err(|error| {
        tracing::error!(%error, "a document could not be checked");
        Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR, "the check failed")
    })?;
    Ok(Json(report.into()))
}

/// What differs between two configurations.
#[utoipa::path(get, path = "/config/diff", tag = "configuration", params(DiffQuery), responses((status = OK, body = DiffView)))]
async fn diff(
    State(state): State<Configuration>,
    Parameters(query): Parameters<DiffQuery>,
) -> Result<Json<DiffView>, Problem> {
    let from = which(query.from.as_deref().unwrap_or("running"), "from")?;
    let to = which(query.to.as_deref().unwrap_or("candidate"), "to")?;
    let diff = state.lifecycle.diff(from, to).await?;
    Ok(Json(DiffView {
        changed: diff.changed,
        text: diff.text,
        patch: diff.patch,
    }))
}

/// Put the candidate in force.
#[utoipa::path(post, path = "/config/commit", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The entity tag of the candidate that is meant.")),
    request_body = CommitBody,
    responses((status = OK, body = CommittedView)))]
async fn commit(
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(if_match): Expected,
    OptionalJson(body): OptionalJson<CommitBody>,
) -> Result<Json<CommittedView>, Problem> {
    let confirm_within = body.confirm_within.as_deref().map(|text| {
        rules::parse_duration(text).map_err(|error| {
            Problem::of_status(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("confirm-within: {error}"),
            )
            .at("/confirm-within")
        })
    });
    let request = CommitRequest {
        comment: body.comment,
        confirm_within: confirm_within.transpose()?,
        if_match,
        actor,
    };
    let committed = state.lifecycle.commit(request).await?;
    Ok(Json(CommittedView {
        revision: committed.revision,
        generation: committed.generation,
        confirm_by: committed.confirm_by.map(rfc3339),
    }))
}

/// Keep what was committed to be confirmed.
#[utoipa::path(post, path = "/config/confirm", tag = "configuration", responses((status = OK, body = ConfirmedView)))]
async fn confirm(
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
) -> Result<Json<ConfirmedView>, Problem> {
    let revision = state.lifecycle.confirm(&actor).await?;
    Ok(Json(ConfirmedView { revision }))
}

/// Make an earlier revision the candidate.
#[utoipa::path(post, path = "/config/rollback", tag = "configuration",
    params(("If-Match" = Option<String>, Header, description = "The candidate's entity tag.")),
    request_body = RollbackBody, responses((status = OK, body = EditedView)))]
async fn rollback(
    State(state): State<Configuration>,
    Caller { actor, .. }: Caller,
    Expected(expected): Expected,
    JsonBody(body): JsonBody<RollbackBody>,
) -> Result<Response, Problem> {
    let edited = state
        .lifecycle
        .load(body.revision, &expected, &actor)
        .await?;
    Ok(answer(edited))
}

/// Committed configurations, newest first.
#[utoipa::path(get, path = "/config/history", tag = "configuration", responses((status = OK, body = [RevisionView])))]
async fn history(State(state): State<Configuration>, _: NoParameters) -> Json<Vec<RevisionView>> {
    let history = state.lifecycle.history();
    Json(history.into_iter().map(RevisionView::from).collect())
}

/// A committed configuration as it was.
#[utoipa::path(get, path = "/config/history/{revision}", tag = "configuration",
    params(("revision" = u64, Path)),
    responses((status = OK, content((serde_json::Value = "application/json"), (String = "application/yaml")), description = "As it was written")))]
async fn revision(
    State(state): State<Configuration>,
    Segment(number): Segment,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let number = number.parse().map_err(|_| {
        Problem::of_status(
            StatusCode::NOT_FOUND,
            format!("there is no revision '{number}'"),
        )
    })?;
    let (_, text) = state.lifecycle.revision(number).await?;
    Ok(whole(&text, &headers))
}

fn which(text: &str, parameter: &str) -> Result<Which, Problem> {
    match text {
        "running" => Ok(Which::InForce),
        "candidate" => Ok(Which::Candidate),
        number => number.parse().map(Which::Revision).map_err(|_| {
            let detail = format!("{parameter}: '{text}' is not running, candidate or a revision");
            Problem::parameter(parameter, detail)
        }),
    }
}

impl From<Report> for CheckView {
    fn from(report: Report) -> Self {
        Self {
            valid: report.valid,
            omitted: report.findings.len().saturating_sub(MISTAKES_MAX),
            findings: listed(report.findings),
        }
    }
}

impl From<Revision> for RevisionView {
    fn from(revision: Revision) -> Self {
        Self {
            revision: revision.number,
            at: rfc3339(revision.at),
            author: revision.author.name,
            via: via(revision.author.via).into(),
            comment: revision.comment,
            state: match revision.state {
                RevisionState::InForce => "in-force",
                RevisionState::AwaitingConfirmation => "awaiting-confirmation",
                RevisionState::Superseded => "superseded",
                RevisionState::Undone => "undone",
            }
            .into(),
            source: source(revision.source).into(),
        }
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::StartFile => "start-file",
        Source::Generated => "generated",
        Source::Commit => "commit",
    }
}

fn via(via: Via) -> &'static str {
    match via {
        Via::Socket => "socket",
        Via::Password => "password",
        Via::Token => "token",
        Via::Browser => "browser",
        Via::Boot => "boot",
        Via::Signal => "signal",
        Via::Timer => "timer",
    }
}

/// Times before the epoch, which a clock that was never set may show, are shown as the epoch.
fn rfc3339(at: SystemTime) -> String {
    Timestamp::try_from(at).unwrap_or_default().to_string()
}
