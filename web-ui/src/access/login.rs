//! From credentials to a caller.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::HeaderMap;
use firewall::audit::{Actor, AuditAction, Outcome, Via};
use jiff::Timestamp;
use tokio::time::sleep_until;

use super::accounts::{TokenRefused, User};
use super::backoff::Site;
use super::caller::{Caller, Peer};
use super::credentials::{self, Credentials};
use super::password::Password;
use super::refusal::Refusal;
use super::scope::Scopes;
use super::secret::{Secret, TokenText};
use super::standing::LetInBy;
use super::{Access, lock};

impl Access {
    /// Who asks, by what the request shows.
    pub(super) async fn authenticate(
        &self,
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal> {
        let Peer::Network(address) = peer else {
            return Ok(Caller::root());
        };
        let address = address.ip().to_canonical();
        let began = Instant::now();
        let caller = match credentials::read(headers)? {
            Credentials::Password { name, password } => {
                return self.by_password(name, password, address).await;
            }
            Credentials::Token(token) => self.by_token(token.as_ref(), address),
            Credentials::Cookie(cookie) => return self.by_session(&cookie, address),
        };
        if caller.is_err() {
            self.refuse_slowly(began).await;
        }
        caller
    }

    async fn by_password(
        &self,
        name: String,
        password: String,
        address: IpAddr,
    ) -> Result<Caller, Refusal> {
        let user = self
            .judge(&name, password, Via::Password, Some(address))
            .await?;
        let caller = caller(name, &user, Via::Password, address);
        let seen = (caller.actor.name.clone(), Site::from(address));
        if lock(&self.seen).first(seen, Instant::now()) {
            let detail = "with a password in each request".to_owned();
            self.record(
                caller.actor.clone(),
                AuditAction::Login,
                Outcome::Done,
                detail,
            );
        }
        Ok(caller)
    }

    /// `None` is a text that can be nobody's token.
    fn by_token(&self, token: Option<&TokenText>, address: IpAddr) -> Result<Caller, Refusal> {
        let accounts = self.accounts().ok_or(Refusal::Closed)?;
        let now = Timestamp::now();
        let bearer = match token {
            Some(token) => accounts.bearer(token, now).map(|bearer| (token, bearer)),
            None => Err(TokenRefused::Unknown),
        };
        match bearer {
            Ok((token, bearer)) => {
                lock(&self.last_used).insert(token.id.clone(), now);
                Ok(Caller {
                    actor: Actor {
                        name: bearer.owner.to_owned(),
                        via: Via::Token,
                        address: Some(address),
                    },
                    role: bearer.role,
                    scopes: bearer.scopes.clone(),
                    must_change_password: bearer.must_change_password,
                    session: None,
                    let_in_by: LetInBy::Token(token.id.clone()),
                })
            }
            Err(why) => {
                if lock(&self.refused_tokens).first(address.into(), Instant::now()) {
                    let known = token.and_then(|token| accounts.token(&token.id));
                    let owner = known.map(|token| token.owner.as_str());
                    let actor = Actor {
                        name: owner.unwrap_or(UNKNOWN).to_owned(),
                        via: Via::Token,
                        address: Some(address),
                    };
                    self.record(actor, AuditAction::Login, Outcome::Refused, why.to_string());
                }
                Err(Refusal::Wrong)
            }
        }
    }

    fn by_session(&self, cookie: &Secret, address: IpAddr) -> Result<Caller, Refusal> {
        let accounts = self.accounts().ok_or(Refusal::Closed)?;
        let cookie = cookie.digest();
        let mut sessions = lock(&self.sessions);
        let session = sessions
            .find(&cookie, Instant::now())
            .ok_or(Refusal::Wrong)?;
        match accounts.user(&session.user) {
            Some(user) if user.standing() == session.standing => Ok(Caller {
                session: Some((cookie, session.csrf.clone())),
                ..caller(session.user.clone(), user, Via::Browser, address)
            }),
            _ => {
                sessions.end(&cookie);
                Err(Refusal::Wrong)
            }
        }
    }

    /// The user of this name with this password. Without an address nobody waits: whoever opened the unix
    /// socket is root anyway.
    pub(super) async fn judge(
        &self,
        name: &str,
        password: String,
        via: Via,
        address: Option<IpAddr>,
    ) -> Result<User, Refusal> {
        let began = Instant::now();
        let accounts = self.accounts().ok_or(Refusal::Closed)?;
        let user = accounts.user(name);
        // All names that nobody can have are one.
        let counted = if super::accounts::check_name(name).is_ok() {
            name
        } else {
            ""
        };
        if let Some(address) = address {
            lock(&self.backoff)
                .attempt(counted, address, began)
                .map_err(Refusal::Wait)?;
        }
        // Judged as nobody's where it can't be right, for the same time.
        let may_log_in = user.filter(|user| !user.disabled);
        let (password, kept) = match Password::given(password) {
            Some(password) => (password, may_log_in.map(|user| user.password.clone())),
            None => (Password::empty(), None),
        };
        let right = match self.judges.judge(password, kept).await {
            Ok(right) => right,
            Err(error) => {
                if let Some(address) = address {
                    lock(&self.backoff).withdrawn(counted, address);
                }
                return Err(error.into());
            }
        };
        if let Some(user) = may_log_in.filter(|_| right) {
            if let Some(address) = address {
                lock(&self.backoff).succeeded(counted, address);
            }
            return Ok(user.clone());
        }
        let (actor, why) = match user {
            // It may be a password, typed into the wrong field.
            None => (UNKNOWN, "there is no such user"),
            Some(user) if user.disabled => (name, "the user is disabled"),
            Some(_) => (name, "the password is wrong"),
        };
        let actor = Actor {
            name: actor.to_owned(),
            via,
            address,
        };
        self.record(actor, AuditAction::Login, Outcome::Refused, why.to_owned());
        self.refuse_slowly(began).await;
        Err(Refusal::Wrong)
    }

    /// Refusals take equally long, whatever was wrong.
    async fn refuse_slowly(&self, began: Instant) {
        sleep_until((began + self.refusal_time).into()).await;
    }
}

/// Who gave a name or a token that nobody has.
const UNKNOWN: &str = "unknown";

fn caller(name: String, user: &User, via: Via, address: IpAddr) -> Caller {
    Caller {
        actor: Actor {
            name,
            via,
            address: Some(address),
        },
        role: user.role,
        scopes: Scopes::ALL,
        must_change_password: user.must_change_password,
        session: None,
        let_in_by: LetInBy::User(user.standing()),
    }
}
