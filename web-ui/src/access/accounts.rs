//! Users and their tokens: what may be in the file, and which changes are allowed.
//!
//! What always holds: names are well-formed, every token has an owner, no token is above its owner at the
//! time of use, and once there is an enabled administrator, there stays one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::password::Kept;
use super::role::Role;
use super::scope::Scopes;
use super::secret::{Digest, TokenText};

const VERSION: u32 = 1;
const USERS_MAX: usize = 256;
const TOKENS_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 63;
/// Names that an audit entry has for somebody else: whoever is at the socket, and the appliance itself.
const RESERVED: [&str; 2] = ["root", "system"];

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Accounts {
    version: u32,
    users: BTreeMap<String, User>,
    /// By their public part.
    tokens: BTreeMap<String, Token>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct User {
    pub(crate) role: Role,
    pub(crate) password: Kept,
    pub(crate) must_change_password: bool,
    pub(crate) disabled: bool,
    pub(crate) created: Timestamp,
}

impl User {
    /// What a session is bound to.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            password: self.password.clone(),
            role: self.role,
            disabled: self.disabled,
        }
    }
}

/// Password, role and state of a user at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    password: Kept,
    role: Role,
    disabled: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Scopes::is_all")]
    pub(crate) scopes: Scopes,
    pub(crate) hash: Digest,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    /// As of the last writing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<Timestamp>,
}

/// What to change of a user; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserChange {
    pub(crate) role: Option<Role>,
    pub(crate) password: Option<Kept>,
    pub(crate) must_change_password: Option<bool>,
    pub(crate) disabled: Option<bool>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            version: VERSION,
            users: BTreeMap::new(),
            tokens: BTreeMap::new(),
        }
    }
}

impl Accounts {
    /// What a file may not say even if it can be read.
    pub(crate) fn check(&self) -> Result<(), AccountError> {
        if self.version != VERSION {
            return Err(AccountError::Version(self.version));
        }
        for name in self.users.keys() {
            check_name(name)?;
        }
        match self
            .tokens
            .values()
            .find(|token| !self.users.contains_key(&token.owner))
        {
            Some(orphan) => Err(AccountError::NoSuchUser(orphan.owner.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = (&String, &User)> {
        self.users.iter()
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub(crate) fn create(&mut self, name: &str, user: User) -> Result<(), AccountError> {
        check_name(name)?;
        if self.users.contains_key(name) {
            return Err(AccountError::NameTaken(name.to_owned()));
        }
        if self.users.len() >= USERS_MAX {
            return Err(AccountError::TooMany {
                what: "users",
                max: USERS_MAX,
            });
        }
        self.users.insert(name.to_owned(), user);
        Ok(())
    }

    pub(crate) fn change(&mut self, name: &str, change: UserChange) -> Result<(), AccountError> {
        let had_admin = self.has_admin();
        let user = self
            .users
            .get_mut(name)
            .ok_or_else(|| AccountError::NoSuchUser(name.to_owned()))?;
        let before = user.clone();
        let UserChange {
            role,
            password,
            must_change_password,
            disabled,
        } = change;
        user.role = role.unwrap_or(user.role);
        user.password = password.unwrap_or_else(|| before.password.clone());
        user.must_change_password = must_change_password.unwrap_or(user.must_change_password);
        user.disabled = disabled.unwrap_or(user.disabled);
        if had_admin && !self.has_admin() {
            self.users.insert(name.to_owned(), before);
            return Err(AccountError::LastAdmin(name.to_owned()));
        }
        Ok(())
    }

    /// The user's tokens go, too.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), AccountError> {
        let had_admin = self.has_admin();
        let user = self
            .users
            .remove(name)
            .ok_or_else(|| AccountError::NoSuchUser(name.to_owned()))?;
        if had_admin && !self.has_admin() {
            self.users.insert(name.to_owned(), user);
            return Err(AccountError::LastAdmin(name.to_owned()));
        }
        self.tokens.retain(|_, token| token.owner != name);
        Ok(())
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = (&String, &Token)> {
        self.tokens.iter()
    }

    pub(crate) fn token(&self, id: &str) -> Option<&Token> {
        self.tokens.get(id)
    }

    /// Expired ones make room.
    pub(crate) fn issue(
        &mut self,
        id: &str,
        token: Token,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        let Some(owner) = self.users.get(&token.owner) else {
            return Err(AccountError::NoSuchUser(token.owner));
        };
        if token.role > owner.role {
            return Err(AccountError::AboveOwner {
                role: token.role,
                owner: token.owner,
                owners: owner.role,
            });
        }
        if self.tokens.len() >= TOKENS_MAX {
            self.tokens.retain(|_, token| token.expires > now);
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(AccountError::TooMany {
                what: "tokens",
                max: TOKENS_MAX,
            });
        }
        self.tokens.insert(id.to_owned(), token);
        Ok(())
    }

    pub(crate) fn revoke(&mut self, id: &str) -> Result<(), AccountError> {
        self.tokens
            .remove(id)
            .map(|_| ())
            .ok_or_else(|| AccountError::NoSuchToken(id.to_owned()))
    }

    pub(crate) fn note_use(&mut self, id: &str, at: Timestamp) {
        if let Some(token) = self.tokens.get_mut(id) {
            token.last_used = Some(at);
        }
    }

    /// Whose token this is and what it may do: no more than its owner may now.
    pub(crate) fn bearer(
        &self,
        given: &TokenText,
        now: Timestamp,
    ) -> Result<Bearer<'_>, TokenRefused> {
        let token = self.tokens.get(&given.id);
        if !token.is_some_and(|token| token.hash.is_of(&given.secret)) {
            return Err(TokenRefused::Unknown);
        }
        self.bearer_of(&given.id, now)
    }

    /// The same of a token that was shown before.
    pub(crate) fn bearer_of(&self, id: &str, now: Timestamp) -> Result<Bearer<'_>, TokenRefused> {
        let token = self.tokens.get(id).ok_or(TokenRefused::Unknown)?;
        let owner = self.users.get(&token.owner).ok_or(TokenRefused::Unknown)?;
        if token.expires <= now {
            return Err(TokenRefused::Expired);
        }
        if owner.disabled {
            return Err(TokenRefused::OwnerDisabled);
        }
        Ok(Bearer {
            owner: &token.owner,
            role: token.role.min(owner.role),
            scopes: &token.scopes,
            must_change_password: owner.must_change_password,
        })
    }

    fn has_admin(&self) -> bool {
        self.users
            .values()
            .any(|user| user.role == Role::Admin && !user.disabled)
    }
}

/// Who asks with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bearer<'a> {
    pub(crate) owner: &'a str,
    pub(crate) role: Role,
    pub(crate) scopes: &'a Scopes,
    pub(crate) must_change_password: bool,
}

/// Why a token doesn't let anybody in. The client isn't told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenRefused {
    #[error("a token that is not known")]
    Unknown,
    #[error("a token that has expired")]
    Expired,
    #[error("a token whose owner is disabled")]
    OwnerDisabled,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("this is version 1 of the file, not {0}")]
    Version(u32),
    #[error(
        "'{0}' can't be a user's name: a letter, then letters, digits, '-', '_' and '.', at most {NAME_BYTES_MAX}; not 'root' or 'system'"
    )]
    BadName(String),
    #[error("there is a user '{0}' already")]
    NameTaken(String),
    #[error("there is no user '{0}'")]
    NoSuchUser(String),
    #[error("'{0}' was changed by somebody else meanwhile")]
    Changed(String),
    #[error("there is no token '{0}'")]
    NoSuchToken(String),
    #[error("'{0}' is the last administrator who can log in: make another one first")]
    LastAdmin(String),
    #[error("a token of '{owner}', who is {owners}, can't be {role}")]
    AboveOwner {
        role: Role,
        owner: String,
        owners: Role,
    },
    #[error("there are {max} {what} already, which is the most there can be")]
    TooMany { what: &'static str, max: usize },
}

pub(crate) fn check_name(name: &str) -> Result<(), AccountError> {
    let letters = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic());
    if !letters || !starts || name.len() > NAME_BYTES_MAX || RESERVED.contains(&name) {
        // What somebody typed into the wrong field is not repeated at length.
        return Err(AccountError::BadName(name.chars().take(64).collect()));
    }
    Ok(())
}

#[cfg(test)]
impl Standing {
    pub(crate) fn for_test() -> Self {
        tests::user(Role::Operator).standing()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use jiff::ToSpan;

    use super::*;
    use crate::access::password::{Memory, Password, keep};

    pub(crate) fn user(role: Role) -> User {
        static KEPT: LazyLock<Kept> = LazyLock::new(kept);
        User {
            role,
            password: KEPT.clone(),
            must_change_password: false,
            disabled: false,
            created: now(),
        }
    }

    fn kept() -> Kept {
        let password = Password::given("correct horse battery".into()).unwrap();
        keep(&password, &mut Memory::default()).unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn accounts() -> Accounts {
        let mut accounts = Accounts::default();
        accounts.create("alice", user(Role::Admin)).unwrap();
        accounts.create("bob", user(Role::Operator)).unwrap();
        accounts
    }

    fn issue(accounts: &mut Accounts, owner: &str, role: Role) -> Result<TokenText, AccountError> {
        let text = TokenText::random();
        let token = Token {
            name: "ci".into(),
            owner: owner.into(),
            role,
            scopes: Scopes::ALL,
            hash: text.secret.digest(),
            created: now(),
            expires: now() + 24.hours(),
            last_used: None,
        };
        accounts.issue(&text.id, token, now()).map(|()| text)
    }

    #[test]
    fn names_are_checked_and_taken_once() {
        let mut accounts = accounts();
        for bad in ["", "1st", "a b", "ünal", "root", "system", &"a".repeat(64)] {
            let error = accounts.create(bad, user(Role::Admin)).unwrap_err();
            assert!(matches!(error, AccountError::BadName(_)), "{bad}");
        }
        assert_eq!(
            accounts.create("bob", user(Role::Admin)),
            Err(AccountError::NameTaken("bob".into()))
        );
    }

    #[test]
    fn the_last_administrator_can_not_be_lost() {
        let mut accounts = accounts();
        let lost = Err(AccountError::LastAdmin("alice".into()));
        let demote = UserChange {
            role: Some(Role::Operator),
            ..UserChange::default()
        };
        let disable = UserChange {
            disabled: Some(true),
            ..UserChange::default()
        };
        assert_eq!(accounts.delete("alice"), lost);
        assert_eq!(accounts.change("alice", demote.clone()), lost);
        assert_eq!(accounts.change("alice", disable.clone()), lost);
        assert_eq!(accounts.user("alice").unwrap().role, Role::Admin);

        accounts.create("carol", user(Role::Admin)).unwrap();
        accounts.change("carol", disable).unwrap();
        assert_eq!(accounts.delete("alice"), lost, "carol can't log in");
        let enable = UserChange {
            disabled: Some(false),
            ..UserChange::default()
        };
        accounts.change("carol", enable).unwrap();
        accounts.change("alice", demote).unwrap();
        accounts.delete("alice").unwrap();
    }

    #[test]
    fn a_token_is_never_above_its_owner() {
        let mut accounts = accounts();
        assert!(matches!(
            issue(&mut accounts, "bob", Role::Admin),
            Err(AccountError::AboveOwner { .. })
        ));
        let token = issue(&mut accounts, "bob", Role::Operator).unwrap();
        assert_eq!(accounts.bearer(&token, now()).unwrap().role, Role::Operator);
        let demote = UserChange {
            role: Some(Role::ReadOnly),
            ..UserChange::default()
        };
        accounts.change("bob", demote).unwrap();
        assert_eq!(accounts.bearer(&token, now()).unwrap().role, Role::ReadOnly);
    }

    #[test]
    fn a_token_ends_when_it_expires_is_revoked_or_its_owner_goes() {
        let mut accounts = accounts();
        let token = issue(&mut accounts, "bob", Role::ReadOnly).unwrap();
        let expires = now() + 24.hours();
        assert!(accounts.bearer(&token, expires - 1.second()).is_ok());
        assert_eq!(accounts.bearer(&token, expires), Err(TokenRefused::Expired));

        let disable = UserChange {
            disabled: Some(true),
            ..UserChange::default()
        };
        accounts.change("bob", disable).unwrap();
        assert_eq!(
            accounts.bearer(&token, now()),
            Err(TokenRefused::OwnerDisabled)
        );
        accounts.delete("bob").unwrap();
        assert_eq!(accounts.bearer(&token, now()), Err(TokenRefused::Unknown));
        accounts.create("bob", user(Role::Operator)).unwrap();
        assert_eq!(accounts.bearer(&token, now()), Err(TokenRefused::Unknown));

        let token = issue(&mut accounts, "alice", Role::Admin).unwrap();
        accounts.revoke(&token.id).unwrap();
        assert_eq!(accounts.bearer(&token, now()), Err(TokenRefused::Unknown));
    }

    #[test]
    fn a_token_with_another_secret_is_not_known() {
        let mut accounts = accounts();
        let token = issue(&mut accounts, "bob", Role::ReadOnly).unwrap();
        let forged = TokenText {
            id: token.id,
            secret: TokenText::random().secret,
        };
        assert_eq!(accounts.bearer(&forged, now()), Err(TokenRefused::Unknown));
    }

    #[test]
    fn every_change_of_standing_is_another_standing() {
        let before = user(Role::Operator);
        let mut after = before.clone();
        after.must_change_password = true;
        assert_eq!(before.standing(), after.standing());
        after.role = Role::ReadOnly;
        assert_ne!(before.standing(), after.standing());
        let mut after = before.clone();
        after.disabled = true;
        assert_ne!(before.standing(), after.standing());
        let mut after = before.clone();
        after.password = kept();
        assert_ne!(before.standing(), after.standing());
    }

    #[test]
    fn users_and_tokens_are_bounded_and_expired_tokens_make_room() {
        let mut accounts = accounts();
        for number in 0..USERS_MAX - 2 {
            accounts
                .create(&format!("user{number}"), user(Role::ReadOnly))
                .unwrap();
        }
        assert!(matches!(
            accounts.create("dave", user(Role::ReadOnly)),
            Err(AccountError::TooMany { .. })
        ));
        for _ in 0..TOKENS_MAX {
            issue(&mut accounts, "bob", Role::ReadOnly).unwrap();
        }
        assert!(matches!(
            issue(&mut accounts, "bob", Role::ReadOnly),
            Err(AccountError::TooMany { .. })
        ));
        let token = accounts.tokens.values().next().unwrap().clone();
        accounts.issue("later", token, now() + 48.hours()).unwrap();
        assert_eq!(accounts.tokens.len(), 1);
    }
}
