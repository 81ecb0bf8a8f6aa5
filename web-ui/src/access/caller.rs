//! Who asks, and by which connection.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use firewall::audit::{Actor, Via};

use super::refusal::Refusal;
use super::role::Role;
use super::scope::Scopes;
use super::secret::Digest;
use super::standing::LetInBy;

/// The other end of a connection. The server puts it into every request; one without it gets nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Of the unix socket, which only its owner may open.
    Socket,
    Network(SocketAddr),
}

impl Peer {
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Socket => None,
            Self::Network(address) => Some(address.ip().to_canonical()),
        }
    }
}

/// Who asks. The guard puts it into every request that needs credentials, and into every one from
/// the unix socket.
#[derive(Clone, Debug)]
pub struct Caller {
    pub actor: Actor,
    pub role: Role,
    pub(super) scopes: Scopes,
    pub(super) must_change_password: bool,
    /// What is kept of the session's cookie, and its CSRF token.
    pub(super) session: Option<(Digest, String)>,
    pub(super) let_in_by: LetInBy,
}

impl Caller {
    /// Whoever opened the unix socket.
    pub(super) fn root() -> Self {
        Self {
            actor: Actor {
                name: "root".into(),
                via: Via::Socket,
                address: None,
            },
            role: Role::Admin,
            scopes: Scopes::ALL,
            must_change_password: false,
            session: None,
            let_in_by: LetInBy::Socket,
        }
    }

    /// The user's name; whoever opened the unix socket is none.
    pub(super) fn user(&self) -> Option<&str> {
        (self.actor.via != Via::Socket).then_some(&self.actor.name)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or(Refusal::NoCredentials)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}
