//! Whether what somebody was let in by still holds: for answers that go on for long.

use std::time::Instant;

use jiff::Timestamp;

use super::accounts::Standing;
use super::caller::Caller;
use super::{Access, lock};

/// What a caller was let in by.
#[derive(Clone, Debug)]
pub(super) enum LetInBy {
    Socket,
    /// A token, by its id.
    Token(String),
    /// A user, as they were then.
    User(Standing),
}

impl Access {
    /// Whether a caller would be let in again, as the same and with the same role. To ask is not to use: a browser's
    /// session that nobody uses otherwise ends.
    pub(crate) fn holds(&self, caller: &Caller) -> bool {
        let Some(accounts) = self.accounts() else {
            return matches!(caller.let_in_by, LetInBy::Socket);
        };
        match &caller.let_in_by {
            LetInBy::Socket => true,
            LetInBy::Token(id) => accounts
                .bearer_of(id, Timestamp::now())
                .is_ok_and(|bearer| bearer.role >= caller.role),
            LetInBy::User(standing) => {
                let user = accounts.user(&caller.actor.name);
                let is_in = |(cookie, _): &(super::secret::Digest, String)| {
                    lock(&self.sessions).has(cookie, Instant::now())
                };
                user.is_some_and(|user| user.standing() == *standing)
                    && caller.session.as_ref().is_none_or(is_in)
            }
        }
    }
}
