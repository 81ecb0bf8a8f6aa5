//! The browser's sessions: who is logged in, and for how long.
//!
//! A session lives in memory only, so a restart ends it. It holds for one standing of its user: any
//! change of password, role or state makes another standing, and so ends it, without anybody having
//! to remember to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::accounts::Standing;
use super::secret::{Digest, Secret};

/// OWASP Session Management Cheat Sheet: 15 to 30 minutes without a request.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// A working day.
const LIFE: Duration = Duration::from_secs(12 * 3600);
const SESSIONS_MAX: usize = 256;
const SESSIONS_OF_A_USER_MAX: usize = 16;

/// By what is kept of the cookie.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<Digest, Session>);

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) standing: Standing,
    /// What an unsafe request must show besides the cookie.
    pub(crate) csrf: String,
    began: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE
            || now.saturating_duration_since(self.began) >= LIFE
    }
}

impl Sessions {
    /// The cookie's secret and the CSRF token of a new session. Where there is no room, that which
    /// was used longest ago ends.
    pub(crate) fn begin(
        &mut self,
        user: String,
        standing: Standing,
        now: Instant,
    ) -> (Secret, String) {
        self.0.retain(|_, session| !session.is_over(now));
        let of_user = self.0.values().filter(|other| other.user == user).count();
        if of_user >= SESSIONS_OF_A_USER_MAX {
            self.end_oldest(|session| session.user == user);
        } else if self.0.len() >= SESSIONS_MAX {
            self.end_oldest(|_| true);
        }
        let (cookie, csrf) = (Secret::random(), Secret::random().text());
        let session = Session {
            user,
            standing,
            csrf: csrf.clone(),
            began: now,
            used: now,
        };
        self.0.insert(cookie.digest(), session);
        (cookie, csrf)
    }

    /// The session of a cookie, which is used by that.
    pub(crate) fn find(&mut self, cookie: &Digest, now: Instant) -> Option<&Session> {
        if self.0.get(cookie)?.is_over(now) {
            self.0.remove(cookie);
            return None;
        }
        let session = self.0.get_mut(cookie)?;
        session.used = now;
        Some(session)
    }

    /// Whether there is a session of this cookie, without using it.
    pub(crate) fn has(&self, cookie: &Digest, now: Instant) -> bool {
        let session = self.0.get(cookie);
        session.is_some_and(|session| !session.is_over(now))
    }

    pub(crate) fn end(&mut self, cookie: &Digest) {
        self.0.remove(cookie);
    }

    fn end_oldest(&mut self, among: impl Fn(&Session) -> bool) {
        let oldest = self
            .0
            .iter()
            .filter(|(_, session)| among(session))
            .min_by_key(|(_, session)| session.used)
            .map(|(cookie, _)| cookie.clone());
        if let Some(cookie) = oldest {
            self.0.remove(&cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &mut Sessions, user: &str, now: Instant) -> Digest {
        sessions
            .begin(user.to_owned(), Standing::for_test(), now)
            .0
            .digest()
    }

    #[test]
    fn a_session_is_found_by_its_cookie_alone() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        let (cookie, csrf) = sessions.begin("alice".into(), Standing::for_test(), now);
        let found = sessions.find(&cookie.digest(), now).unwrap();
        assert_eq!((found.user.as_str(), &found.csrf), ("alice", &csrf));
        assert!(sessions.find(&Secret::random().digest(), now).is_none());
        sessions.end(&cookie.digest());
        assert!(sessions.find(&cookie.digest(), now).is_none());
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        let cookie = begin(&mut sessions, "alice", now);
        let almost = now + IDLE - Duration::from_secs(1);
        assert!(sessions.find(&cookie, almost).is_some());
        assert!(sessions.find(&cookie, almost + IDLE).is_none());
        assert!(sessions.find(&cookie, almost).is_none(), "for good");
    }

    #[test]
    fn a_session_ends_after_its_life_however_busy() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        let cookie = begin(&mut sessions, "alice", now);
        let mut later = now;
        while later < now + LIFE - IDLE {
            later += IDLE / 2;
            assert!(sessions.find(&cookie, later).is_some());
        }
        later += IDLE / 2;
        assert!(sessions.find(&cookie, later.max(now + LIFE)).is_none());
    }

    #[test]
    fn a_user_can_not_push_out_the_sessions_of_others() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        let bob = begin(&mut sessions, "bob", now);
        let first = begin(&mut sessions, "alice", now);
        for count in 1..=1000 {
            begin(&mut sessions, "alice", now + Duration::from_millis(count));
        }
        assert_eq!(sessions.0.len(), SESSIONS_OF_A_USER_MAX + 1);
        assert!(sessions.find(&bob, now).is_some());
        assert!(sessions.find(&first, now).is_none());
    }

    #[test]
    fn all_sessions_together_are_bounded() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        for count in 0..1000 {
            begin(&mut sessions, &format!("user{count}"), now);
        }
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
    }
}
