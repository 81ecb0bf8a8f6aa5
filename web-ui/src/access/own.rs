//! What everybody does for themselves: log in and out, see who they are, change the password.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use firewall::audit::{Actor, AuditAction, Outcome, Via};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{AccountError, UserChange};
use super::caller::{Caller, Peer};
use super::credentials::{COOKIE, is_cross_site};
use super::failure::Failure;
use super::password::Password;
use super::refusal::Refusal;
use super::role::Role;
use super::scope::Scope;
use super::{Access, lock};
use crate::filter::NoParameters;
use crate::json_body::JsonBody;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Login {
    name: String,
    #[schema(format = Password)]
    password: String,
}

/// Who is logged in. Whoever opened the unix socket is `root`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Identity {
    name: String,
    role: Role,
    /// Of a token: where it may do what its role says. Left out: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<Scope>>,
    /// `socket`, `password`, `token` or `browser`.
    #[schema(value_type = String)]
    via: Via,
    /// Until then, nothing but that is allowed.
    must_change_password: bool,
    /// Where the request comes from; left out on the unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "ip")]
    address: Option<IpAddr>,
    /// Of a browser's session: unsafe requests show it in `X-CSRF-Token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PasswordChange {
    #[schema(format = Password)]
    current: String,
    /// At least 15 characters, at most 256 bytes; not with the user's name in it.
    #[schema(format = Password)]
    new: String,
}

/// Begins a browser's session.
#[utoipa::path(post, path = "/login", tag = "access", security(()), request_body = Login, responses(
    (status = 200, body = Identity, description = "Logged in; the session is in the cookie",
        headers(("Set-Cookie" = String))),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "The name or the password is wrong"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "The request comes from another site"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "The body is wrong"),
    (status = 429, body = Problem, content_type = "application/problem+json", description = "Too many attempts; Retry-After says when"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many logins at once, or none is possible"),
))]
pub(super) async fn login(
    State(access): State<Arc<Access>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    _: NoParameters,
    JsonBody(given): JsonBody<Login>,
) -> Result<Response, Refusal> {
    if is_cross_site(&headers) {
        return Err(Refusal::CrossSite);
    }
    let Login { name, password } = given;
    let user = access
        .judge(&name, password, Via::Browser, peer.address())
        .await?;
    let (cookie, csrf) =
        lock(&access.sessions).begin(name.clone(), user.standing(), std::time::Instant::now());
    let actor = Actor {
        name: name.clone(),
        via: Via::Browser,
        address: peer.address(),
    };
    let detail = "a browser's session began".to_owned();
    access.record(actor, AuditAction::Login, Outcome::Done, detail);
    let identity = Identity {
        name,
        role: user.role,
        scopes: None,
        via: Via::Browser,
        must_change_password: user.must_change_password,
        address: peer.address(),
        csrf_token: Some(csrf),
    };
    let cookie = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict",
        cookie.text()
    );
    Ok((
        AppendHeaders([(header::SET_COOKIE, cookie)]),
        Json(identity),
    )
        .into_response())
}

/// Ends the browser's session.
#[utoipa::path(post, path = "/logout", tag = "access", responses(
    (status = 204, description = "The session has ended"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "This is no session of a browser"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
))]
pub(super) async fn logout(
    State(access): State<Arc<Access>>,
    caller: Caller,
    _: NoParameters,
) -> Result<Response, Failure> {
    let Some((cookie, _)) = &caller.session else {
        return Err(Failure::WayIn(
            "only a browser's session can be ended; a token is revoked",
        ));
    };
    lock(&access.sessions).end(cookie);
    let detail = "a browser's session ended".to_owned();
    access.record(caller.actor, AuditAction::Logout, Outcome::Done, detail);
    Ok((
        AppendHeaders([(header::SET_COOKIE, no_cookie())]),
        StatusCode::NO_CONTENT,
    )
        .into_response())
}

/// Who is asking, and what they may do.
#[utoipa::path(get, path = "/whoami", tag = "access", responses(
    (status = 200, body = Identity),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
))]
pub(super) async fn whoami(caller: Caller, _: NoParameters) -> Json<Identity> {
    Json(Identity {
        name: caller.actor.name,
        role: caller.role,
        scopes: caller.scopes.listed(),
        via: caller.actor.via,
        must_change_password: caller.must_change_password,
        address: caller.actor.address,
        csrf_token: caller.session.map(|(_, csrf)| csrf),
    })
}

/// Changes one's own password, and so ends one's sessions, this one included.
#[utoipa::path(post, path = "/password", tag = "access", request_body = PasswordChange, responses(
    (status = 204, description = "Changed: log in again"),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "The current password is wrong"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "The unix socket has no password"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "The new password is not taken"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many logins at once, or it can't be written"),
))]
pub(super) async fn change_password(
    State(access): State<Arc<Access>>,
    caller: Caller,
    _: NoParameters,
    JsonBody(given): JsonBody<PasswordChange>,
) -> Result<Response, Failure> {
    let Some(name) = caller.user().map(str::to_owned) else {
        return Err(Failure::WayIn(
            "the unix socket has no password; PATCH /api/v1/users/NAME sets a user's",
        ));
    };
    let PasswordChange { current, new } = given;
    if new == current {
        return Err(Failure::wrong("/new", "this is the current password"));
    }
    let new = Password::chosen(new, &name).map_err(|error| Failure::Password {
        pointer: "/new",
        error,
    })?;
    let judged = access
        .judge(&name, current, caller.actor.via, caller.actor.address)
        .await?;
    let kept = access.judges.keep(new).await?;
    let what = (AuditAction::PasswordChanged, "their own".to_owned());
    let before = judged.standing();
    access
        .change(caller.actor, what, move |accounts| {
            // Somebody else may have set another one since; theirs stays.
            if accounts
                .user(&name)
                .is_none_or(|user| user.standing() != before)
            {
                return Err(AccountError::Changed(name));
            }
            let change = UserChange {
                password: Some(kept),
                must_change_password: Some(false),
                ..UserChange::default()
            };
            accounts.change(&name, change)
        })
        .await?;
    let gone = AppendHeaders([(header::SET_COOKIE, no_cookie())]);
    Ok((gone, StatusCode::NO_CONTENT).into_response())
}

fn no_cookie() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}
