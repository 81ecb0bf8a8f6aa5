//! Users, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use firewall::audit::AuditAction;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Access;
use super::accounts::{AccountError, User, UserChange, check_name};
use super::caller::Caller;
use super::failure::Failure;
use super::password::{Kept, Password};
use super::role::Role;
use super::secret::one_time_password;
use crate::filter::NoParameters;
use crate::json_body::JsonBody;
use crate::problem::Problem;
use crate::segment::Segment;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct UserView {
    name: String,
    role: Role,
    disabled: bool,
    must_change_password: bool,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// Shown once, where the request had no password.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_time_password: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NewUser {
    /// A letter, then letters, digits, `-`, `_` and `.`, at most 63; not `root` or `system`.
    name: String,
    role: Role,
    /// Left out: one is made, and shown once.
    #[schema(format = Password)]
    password: Option<String>,
    /// Whether the user has to choose another one at first login.
    #[serde(default = "yes")]
    #[schema(default = true)]
    must_change_password: bool,
}

fn yes() -> bool {
    true
}

/// What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ChangedUser {
    role: Option<Role>,
    disabled: Option<bool>,
    /// The user has to choose another one at next login, unless `must-change-password` says otherwise.
    #[schema(format = Password)]
    password: Option<String>,
    must_change_password: Option<bool>,
}

/// All users.
#[utoipa::path(get, path = "/users", tag = "access", responses(
    (status = 200, body = [UserView]),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
))]
pub(super) async fn list(
    State(access): State<Arc<Access>>,
    _: NoParameters,
) -> Json<Vec<UserView>> {
    let accounts = access.accounts().unwrap_or_default();
    Json(
        accounts
            .users()
            .map(|(name, user)| view(name, user))
            .collect(),
    )
}

/// One user.
#[utoipa::path(get, path = "/users/{name}", tag = "access", params(("name" = String, Path)), responses(
    (status = 200, body = UserView),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is none of this name"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
))]
pub(super) async fn show(
    State(access): State<Arc<Access>>,
    Segment(name): Segment,
    _: NoParameters,
) -> Result<Json<UserView>, Failure> {
    Ok(Json(access.user_view(&name)?))
}

/// Makes a user.
#[utoipa::path(post, path = "/users", tag = "access", request_body = NewUser, responses(
    (status = 201, body = UserView, headers(("Location" = String))),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "The name is taken, or there are too many"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "The name or the password is not taken"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many passwords at once, or it can't be written"),
))]
pub(super) async fn create(
    State(access): State<Arc<Access>>,
    caller: Caller,
    _: NoParameters,
    JsonBody(new): JsonBody<NewUser>,
) -> Result<Response, Failure> {
    let NewUser {
        name,
        role,
        password,
        must_change_password,
    } = new;
    check_name(&name)?;
    let made = password.is_none().then(one_time_password);
    let text = password.or_else(|| made.clone()).unwrap_or_default();
    let user = User {
        role,
        password: access.kept(text, &name).await?,
        must_change_password: must_change_password || made.is_some(),
        disabled: false,
        created: Timestamp::now(),
    };
    let what = (
        AuditAction::UserChanged,
        format!("user {name} made, {role}"),
    );
    let mut view = view(&name, &user);
    view.one_time_password = made;
    access
        .change(caller.actor, what, move |accounts| {
            accounts.create(&name, user)
        })
        .await?;
    let location = format!("/api/v1/users/{}", view.name);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(view),
    )
        .into_response())
}

/// Changes a user. Another password, role or state ends the user's sessions.
#[utoipa::path(patch, path = "/users/{name}", tag = "access", params(("name" = String, Path)), request_body = ChangedUser, responses(
    (status = 200, body = UserView),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is none of this name"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "It is the last administrator"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "The password is not taken"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many passwords at once, or it can't be written"),
))]
pub(super) async fn change(
    State(access): State<Arc<Access>>,
    caller: Caller,
    Segment(name): Segment,
    _: NoParameters,
    JsonBody(changed): JsonBody<ChangedUser>,
) -> Result<Json<UserView>, Failure> {
    let ChangedUser {
        role,
        disabled,
        password,
        must_change_password,
    } = changed;
    let words = [
        role.map(|role| format!("now {role}")),
        disabled.map(|off| if off { "disabled" } else { "enabled" }.to_owned()),
        password.as_ref().map(|_| "another password".to_owned()),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    let password = match password {
        Some(text) => Some(access.kept(text, &name).await?),
        None => None,
    };
    let change = UserChange {
        role,
        must_change_password: must_change_password.or(password.as_ref().map(|_| true)),
        password,
        disabled,
    };
    let what = (
        AuditAction::UserChanged,
        format!("user {name}: {}", words.join(", ")),
    );
    let user = name.clone();
    access
        .change(caller.actor, what, move |accounts| {
            accounts.change(&user, change)
        })
        .await?;
    Ok(Json(access.user_view(&name)?))
}

/// Deletes a user, with sessions and tokens.
#[utoipa::path(delete, path = "/users/{name}", tag = "access", params(("name" = String, Path)), responses(
    (status = 204, description = "Deleted"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is none of this name"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "It is the last administrator"),
    (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "It can't be written"),
))]
pub(super) async fn delete(
    State(access): State<Arc<Access>>,
    caller: Caller,
    Segment(name): Segment,
    _: NoParameters,
) -> Result<StatusCode, Failure> {
    let what = (AuditAction::UserChanged, format!("user {name} deleted"));
    access
        .change(caller.actor, what, move |accounts| accounts.delete(&name))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Access {
    fn user_view(&self, name: &str) -> Result<UserView, Failure> {
        let accounts = self.accounts().unwrap_or_default();
        let user = accounts
            .user(name)
            .ok_or_else(|| AccountError::NoSuchUser(name.to_owned()))?;
        Ok(view(name, user))
    }

    async fn kept(&self, text: String, user: &str) -> Result<Kept, Failure> {
        let password = Password::chosen(text, user).map_err(|error| Failure::Password {
            pointer: "/password",
            error,
        })?;
        Ok(self.judges.keep(password).await?)
    }
}

fn view(name: &str, user: &User) -> UserView {
    UserView {
        name: name.to_owned(),
        role: user.role,
        disabled: user.disabled,
        must_change_password: user.must_change_password,
        created: user.created,
        one_time_password: None,
    }
}
