//! Tokens: one's own, and for administrators everybody's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use firewall::audit::AuditAction;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{AccountError, Token};
use super::caller::Caller;
use super::failure::Failure;
use super::refusal::Refusal;
use super::role::Role;
use super::scope::{Scope, Scopes};
use super::secret::TokenText;
use super::{Access, lock};
use crate::filter::NoParameters;
use crate::json_body::JsonBody;
use crate::problem::Problem;
use crate::segment::Segment;

const LIFE_DEFAULT: Duration = Duration::from_secs(90 * 86_400);
const LIFE_MAX: Duration = Duration::from_secs(366 * 86_400);
const NAME_CHARACTERS_MAX: usize = 63;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TokenView {
    id: String,
    name: String,
    owner: String,
    role: Role,
    /// Where it may do what its role says. Left out: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<Scope>>,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used: Option<Timestamp>,
    /// Shown once, to whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NewToken {
    /// What it is for: 1 to 63 printable characters.
    name: String,
    /// Not above the owner's, and not above one's own.
    role: Role,
    /// Where it may do what its role says; within those of the token that asks. Left out: everywhere.
    #[schema(value_type = Option<Vec<Scope>>, min_items = 1)]
    scopes: Option<BTreeSet<Scope>>,
    /// `12h`, `90d`: at most 366 days. Left out: 90 days.
    expires_in: Option<String>,
    /// For administrators; left out: oneself.
    owner: Option<String>,
}

/// One's own tokens; an administrator's answer has all.
#[utoipa::path(get, path = "/tokens", tag = "access", responses(
    (status = 200, body = [TokenView]),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
))]
pub(super) async fn list(
    State(access): State<Arc<Access>>,
    caller: Caller,
    _: NoParameters,
) -> Json<Vec<TokenView>> {
    let accounts = access.accounts().unwrap_or_default();
    let used = lock(&access.last_used);
    let tokens = accounts
        .tokens()
        .filter(|(_, token)| may_see(&caller, token))
        .map(|(id, token)| TokenView {
            last_used: used.get(id).copied().or(token.last_used),
            ..view(id, token)
        });
    Json(tokens.collect())
}

/// Makes a token.
#[utoipa::path(post, path = "/tokens", tag = "access", request_body = NewToken, responses(
    (status = 201, body = TokenView, headers(("Location" = String))),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "The role, the scopes or the owner are not the caller's to choose"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "There are too many"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "The name, the role, the time or the owner can't be"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "It can't be written"),
))]
pub(super) async fn issue(
    State(access): State<Arc<Access>>,
    caller: Caller,
    _: NoParameters,
    JsonBody(new): JsonBody<NewToken>,
) -> Result<Response, Failure> {
    let owner = owner(&access, &caller, new.owner.as_deref())?;
    if new.role > caller.role {
        let refusal = Refusal::Role {
            needed: new.role,
            has: caller.role,
        };
        return Err(refusal.into());
    }
    let printable = !new.name.chars().any(char::is_control);
    if !(1..=NAME_CHARACTERS_MAX).contains(&new.name.chars().count()) || !printable {
        let detail = "a token's name has 1 to 63 printable characters";
        return Err(Failure::wrong("/name", detail));
    }
    let scopes = scopes(&caller, new.scopes)?;
    let life = life(new.expires_in.as_deref())?;
    let now = Timestamp::now();
    let text = TokenText::random();
    let token = Token {
        name: new.name,
        owner,
        role: new.role,
        scopes,
        hash: text.secret.digest(),
        created: now,
        expires: now.saturating_add(life).unwrap_or(now),
        last_used: None,
    };
    let view = TokenView {
        token: Some(text.text()),
        ..view(&text.id, &token)
    };
    let confined = view.scopes.as_ref().map(|only| {
        let words: Vec<_> = only.iter().map(Scope::to_string).collect();
        format!(" in {}", words.join(", "))
    });
    let detail = format!(
        "token {} ({}) for {}, {}{}, until {}",
        view.id,
        view.name,
        view.owner,
        view.role,
        confined.unwrap_or_default(),
        view.expires
    );
    access
        .change(
            caller.actor,
            (AuditAction::TokenIssued, detail),
            move |accounts| accounts.issue(&text.id, token, now),
        )
        .await?;
    let location = format!("/api/v1/tokens/{}", view.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(view),
    )
        .into_response())
}

/// Revokes a token: from now on it lets nobody in.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access", params(("id" = String, Path)), responses(
    (status = 204, description = "Revoked"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is none, or it is not the caller's"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "It can't be written"),
))]
pub(super) async fn revoke(
    State(access): State<Arc<Access>>,
    caller: Caller,
    Segment(id): Segment,
    _: NoParameters,
) -> Result<StatusCode, Failure> {
    let accounts = access.accounts().unwrap_or_default();
    let token = accounts
        .token(&id)
        .filter(|token| may_see(&caller, token))
        .ok_or_else(|| AccountError::NoSuchToken(id.clone()))?;
    let detail = format!("token {id} ({}) of {}", token.name, token.owner);
    access
        .change(
            caller.actor,
            (AuditAction::TokenRevoked, detail),
            move |accounts| accounts.revoke(&id),
        )
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn may_see(caller: &Caller, token: &Token) -> bool {
    caller.role == Role::Admin || caller.user() == Some(&token.owner)
}

fn owner(access: &Access, caller: &Caller, named: Option<&str>) -> Result<String, Failure> {
    let Some(owner) = named.or(caller.user()) else {
        let detail = "the unix socket is no user: say whose token it is to be";
        return Err(Failure::wrong("/owner", detail));
    };
    if caller.user() != Some(owner) && caller.role < Role::Admin {
        let refusal = Refusal::Role {
            needed: Role::Admin,
            has: caller.role,
        };
        return Err(refusal.into());
    }
    if access
        .accounts()
        .is_none_or(|accounts| accounts.user(owner).is_none())
    {
        let detail = AccountError::NoSuchUser(owner.to_owned()).to_string();
        return Err(Failure::wrong("/owner", detail));
    }
    Ok(owner.to_owned())
}

fn scopes(caller: &Caller, given: Option<BTreeSet<Scope>>) -> Result<Scopes, Failure> {
    let scopes = match given {
        None => Scopes::ALL,
        Some(none) if none.is_empty() => {
            let detail = "a token that is for nothing is of no use: leave it out for everything";
            return Err(Failure::wrong("/scopes", detail));
        }
        Some(only) => Scopes::only(only),
    };
    if !scopes.are_within(&caller.scopes) {
        let has = caller.scopes.listed().unwrap_or_default();
        return Err(Refusal::ScopesBeyond { has }.into());
    }
    Ok(scopes)
}

fn life(text: Option<&str>) -> Result<Duration, Failure> {
    let Some(text) = text else {
        return Ok(LIFE_DEFAULT);
    };
    match rules::parse_duration(text) {
        Ok(life) if life <= LIFE_MAX => Ok(life),
        Ok(_) => Err(Failure::wrong(
            "/expires-in",
            "a token lives for at most 366 days: '366d'",
        )),
        Err(error) => Err(Failure::wrong("/expires-in", error.to_string())),
    }
}

fn view(id: &str, token: &Token) -> TokenView {
    TokenView {
        id: id.to_owned(),
        name: token.name.clone(),
        owner: token.owner.clone(),
        role: token.role,
        scopes: token.scopes.listed(),
        created: token.created,
        expires: token.expires,
        last_used: token.last_used,
        token: None,
    }
}
