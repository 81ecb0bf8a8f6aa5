//! How long a session lives without a packet.

use std::time::Duration;

use rules::Protocol;

use super::tcp::State;

/// RFC 5382 REQ-5: an established connection is kept at least 2 h 4 min.
const TCP_ESTABLISHED: Duration = Duration::from_secs(2 * 3_600 + 4 * 60);
/// RFC 5382 REQ-5: partially open and closing connections at least 4 min.
const TCP_TRANSITORY: Duration = Duration::from_secs(4 * 60);
/// RFC 5382 section 5: a connection that was reset in its window is over; this long its stray
/// segments are still recognised.
const TCP_CLOSED: Duration = Duration::from_secs(10);
/// What is not permitted for what it carries needs no more: what its ends still send must not begin a new one.
const REFUSED: Duration = Duration::from_secs(10);
/// RFC 4787 REQ-5: not under 2 min.
const UDP_UNANSWERED: Duration = Duration::from_secs(2 * 60);
/// RFC 4787 REQ-5: 5 min recommended.
const UDP: Duration = Duration::from_secs(5 * 60);
/// RFC 5508 REQ-2: at least 60 s.
const ICMP: Duration = Duration::from_secs(60);
/// No RFC says; tunnels send keepalives within this.
const OTHER: Duration = Duration::from_secs(10 * 60);

/// Idle time after which a session ends. `application` is the application's own, which replaces
/// the protocol's once the conversation runs.
#[must_use]
pub fn idle(protocol: Protocol, progress: Progress, application: Option<Duration>) -> Duration {
    if progress.is_refused {
        return REFUSED;
    }
    match protocol {
        Protocol::TCP => match progress.tcp {
            State::Established => application.unwrap_or(TCP_ESTABLISHED),
            State::SynSent | State::SynReceived | State::HalfClosed | State::TimeWait => {
                TCP_TRANSITORY
            }
            State::Closed => TCP_CLOSED,
        },
        Protocol::UDP => application.unwrap_or(if progress.is_answered {
            UDP
        } else {
            UDP_UNANSWERED
        }),
        Protocol::ICMP | Protocol::ICMPV6 => application.unwrap_or(ICMP),
        _ => application.unwrap_or(OTHER),
    }
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of a TCP session.
    pub tcp: State,
    /// The responder was heard.
    pub is_answered: bool,
    /// Nothing of it goes on.
    pub is_refused: bool,
}
