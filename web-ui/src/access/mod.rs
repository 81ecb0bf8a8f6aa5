//! Who may do what: authentication, authorization, users and tokens.
//!
//! [`Guarded`] wraps the whole router, and the servers take nothing else: a route that nobody thought of
//! here needs credentials, too. A request comes in one of these ways:
//!
//! | way in | who it is | role |
//! |---|---|---|
//! | the unix socket, which only its owner may open | `root` | admin |
//! | `Authorization: Bearer palisade_…`, a token | its owner | the token's, not above the owner's, in the token's scopes |
//! | `Authorization: Basic`, a name and a password | the user | the user's |
//! | the cookie of `POST /login`, and `X-CSRF-Token` where something is changed | the user | the user's |
//!
//! Read first: OWASP's cheat sheets on authentication, session management, password storage and CSRF;
//! NIST SP 800-63B-4.
//!
//! What must hold: a refusal is the same, and takes as long, whether the user exists or not; no password
//! and no secret is kept or logged, but the one-time password of the first boot; what a client can make
//! this module remember is bounded.
//!
//! An answer that goes on for long asks again whether its caller may have it ([`Access::holds`]).
//!
//! # Limits
//! When a token was last used is written with the next change of users or tokens, and when the appliance stops.

mod accounts;
mod backoff;
mod caller;
mod credentials;
mod failure;
mod guard;
mod login;
mod own;
mod password;
mod refusal;
mod role;
mod scope;
mod secret;
mod sessions;
mod standing;
mod store;
mod tokens;
mod users;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum::extract::DefaultBodyLimit;
use firewall::audit::{Actor, Audit, AuditAction, AuditEntry, Outcome};
use jiff::Timestamp;
use tokio::task::{JoinError, spawn_blocking};

pub use caller::{Caller, Peer};
pub use guard::Guarded;
pub use role::Role;

use accounts::{AccountError, Accounts, User};
pub(crate) use backoff::Site;
use backoff::{Backoff, Told};
use password::{HashError, Judges, Password};
use sessions::Sessions;
use store::{SaveError, Store};

use crate::body::{self, Loads};
use crate::routes::{Routes, handlers};

/// Users, tokens and sessions of one appliance.
pub struct Access {
    /// `None`: there is a file of users that can't be used, so nobody gets in but by the socket.
    accounts: RwLock<Option<Arc<Accounts>>>,
    /// Held while a change is made, so that one is made at a time.
    store: Mutex<Store>,
    /// Since the last writing; only of tokens that exist.
    last_used: Mutex<HashMap<String, Timestamp>>,
    sessions: Mutex<Sessions>,
    backoff: Mutex<Backoff>,
    /// Whose wrong token was told.
    refused_tokens: Mutex<Told<Site>>,
    /// Who asks with a password in each request was told.
    seen: Mutex<Told<(String, Site)>>,
    judges: Judges,
    /// Bodies that are being read.
    loads: Loads,
    audit: Arc<dyn Audit>,
    /// From the beginning of a request with wrong credentials to its answer, at least.
    refusal_time: Duration,
}

impl Access {
    const REFUSAL_TIME: Duration = Duration::from_millis(500);

    /// As [`Access::open_with`], with a one-time password for the first user.
    ///
    /// # Errors
    /// Passwords can't be hashed on this machine.
    pub fn open(state_dir: Option<&Path>, audit: Arc<dyn Audit>) -> Result<Arc<Self>, AccessError> {
        Self::open_with(state_dir, audit, None)
    }

    /// Reads the users of a state directory; without one, they are in memory. Where there are none, makes the first
    /// one, `admin`, with the password that was given, or else with a one-time password that it logs. Logs what is
    /// wrong with the directory.
    ///
    /// # Errors
    /// Passwords can't be hashed on this machine.
    pub fn open_with(
        state_dir: Option<&Path>,
        audit: Arc<dyn Audit>,
        password: Option<FirstPassword>,
    ) -> Result<Arc<Self>, AccessError> {
        let (mut store, found) = match state_dir {
            Some(directory) => Store::open(directory),
            None => (Store::in_memory(), Ok(None)),
        };
        let accounts = match found {
            Ok(Some(accounts)) if !accounts.is_empty() => Some(accounts),
            Ok(_) => Some(first_boot(&mut store, password)?),
            Err(error) => {
                tracing::error!(target: "access", %error, "nobody can log in over the network; the unix socket can make users: 'palisade user'");
                None
            }
        };
        Ok(Arc::new(Self {
            accounts: RwLock::new(accounts.map(Arc::new)),
            store: Mutex::new(store),
            last_used: Mutex::default(),
            sessions: Mutex::default(),
            backoff: Mutex::default(),
            refused_tokens: Mutex::new(Told::every(Duration::from_secs(60))),
            seen: Mutex::new(Told::every(Duration::from_secs(900))),
            judges: Judges::new(),
            loads: Loads::default(),
            audit,
            refusal_time: Self::REFUSAL_TIME,
        }))
    }

    /// Writes when tokens were last used. Blocks; for when the appliance stops.
    pub fn flush(&self) {
        if lock(&self.last_used).is_empty() {
            return;
        }
        match self.change_now(|_| Ok(())) {
            Ok(()) | Err(ChangeError::Unreadable) => {}
            Err(error) => {
                tracing::warn!(target: "access", %error, "when tokens were last used is lost");
            }
        }
    }

    /// Tells the audit of a change that somebody made elsewhere.
    pub(crate) fn note(&self, actor: Actor, action: AuditAction, detail: String) {
        self.record(actor, action, Outcome::Done, detail);
    }

    /// The routes of this module, below `/api/v1`.
    pub(crate) fn routes<S: Clone + Send + Sync + 'static>(self: &Arc<Self>) -> Routes<S> {
        Routes::new()
            .routes(handlers!(own::login))
            .routes(handlers!(own::logout))
            .routes(handlers!(own::whoami))
            .routes(handlers!(own::change_password))
            .routes(handlers!(users::list, users::create))
            .routes(handlers!(users::show, users::change, users::delete))
            .routes(handlers!(tokens::list, tokens::issue))
            .routes(handlers!(tokens::revoke))
            .within(|router| router.layer(DefaultBodyLimit::max(body::SMALL_BYTES_MAX)))
            .with_state(Arc::clone(self))
    }

    fn accounts(&self) -> Option<Arc<Accounts>> {
        self.accounts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes a change that is on the disk before anybody sees it, and tells the audit. Goes on to its end
    /// when the caller hangs up.
    async fn change(
        self: &Arc<Self>,
        actor: Actor,
        (action, detail): (AuditAction, String),
        edit: impl FnOnce(&mut Accounts) -> Result<(), AccountError> + Send + 'static,
    ) -> Result<(), ChangeError> {
        let this = Arc::clone(self);
        spawn_blocking(move || {
            let changed = this.edit_now(edit);
            match &changed {
                Ok(()) => this.record(actor, action, Outcome::Done, detail),
                Err(error) => {
                    let detail = format!("{detail}: {error}");
                    this.record(actor, action, Outcome::Refused, detail);
                }
            }
            changed
        })
        .await?
    }

    /// A first change makes users where the file could not be used.
    fn edit_now(
        &self,
        edit: impl FnOnce(&mut Accounts) -> Result<(), AccountError>,
    ) -> Result<(), ChangeError> {
        let mut store = lock(&self.store);
        let mut accounts = self
            .accounts()
            .map_or_else(Accounts::default, |accounts| (*accounts).clone());
        edit(&mut accounts)?;
        let used = std::mem::take(&mut *lock(&self.last_used));
        for (id, at) in &used {
            accounts.note_use(id, *at);
        }
        if let Err(error) = store.save(&accounts) {
            let mut since = lock(&self.last_used);
            for (id, at) in used {
                since.entry(id).or_insert(at);
            }
            return Err(error.into());
        }
        *self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(accounts));
        Ok(())
    }

    fn change_now(
        &self,
        edit: impl FnOnce(&mut Accounts) -> Result<(), AccountError>,
    ) -> Result<(), ChangeError> {
        match self.accounts() {
            Some(_) => self.edit_now(edit),
            None => Err(ChangeError::Unreadable),
        }
    }

    pub(crate) fn record(
        &self,
        actor: Actor,
        action: AuditAction,
        outcome: Outcome,
        detail: String,
    ) {
        self.audit.record(AuditEntry {
            at: SystemTime::now(),
            actor,
            action,
            outcome,
            detail,
            revision: None,
            generation: None,
        });
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// The administrator of the first boot.
const FIRST_USER: &str = "admin";

/// The first user's password, chosen by whoever starts the appliance. Displays and debugs as nothing of it.
pub struct FirstPassword(Password);

impl FirstPassword {
    /// # Errors
    /// It is none that a user may have.
    pub fn new(text: String) -> Result<Self, FirstPasswordError> {
        Ok(Self(Password::chosen(text, FIRST_USER)?))
    }
}

impl fmt::Debug for FirstPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstPassword")
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FirstPasswordError(#[from] password::PasswordError);

/// Makes the first user, who has to change a password that the log shows, and may keep one that was chosen.
fn first_boot(store: &mut Store, chosen: Option<FirstPassword>) -> Result<Accounts, AccessError> {
    let (password, one_time) = match chosen {
        Some(FirstPassword(password)) => (password, None),
        None => {
            let text = secret::one_time_password();
            (Password::chosen(text.clone(), FIRST_USER)?, Some(text))
        }
    };
    let mut accounts = Accounts::default();
    let admin = User {
        role: Role::Admin,
        password: password::keep(&password, &mut password::Memory::default())?,
        must_change_password: one_time.is_some(),
        disabled: false,
        created: Timestamp::now(),
    };
    accounts.create(FIRST_USER, admin)?;
    if let Err(error) = store.save(&accounts) {
        tracing::warn!(target: "access", %error, "users and tokens are kept in memory: a restart forgets them");
        *store = Store::in_memory();
    }
    match one_time {
        Some(text) => {
            tracing::warn!(target: "access", user = FIRST_USER, password = text, "there was no user: log in with this one-time password and change it");
        }
        None => {
            tracing::info!(target: "access", user = FIRST_USER, "there was no user: the first has the password that was given");
        }
    }
    Ok(accounts)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, thiserror::Error)]
#[error("users can't be set up: {0}")]
pub struct AccessError(String);

impl From<HashError> for AccessError {
    fn from(error: HashError) -> Self {
        Self(error.to_string())
    }
}

impl From<password::PasswordError> for AccessError {
    fn from(error: password::PasswordError) -> Self {
        Self(error.to_string())
    }
}

impl From<AccountError> for AccessError {
    fn from(error: AccountError) -> Self {
        Self(error.to_string())
    }
}

/// Why users and tokens stay as they are.
#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("the file of users can't be used")]
    Unreadable,
    #[error("the change failed: {0}")]
    Died(#[from] JoinError),
}

#[cfg(test)]
mod tests;
