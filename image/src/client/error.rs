//! Why the appliance did not do what a command asked of it.

use std::io;
use std::path::PathBuf;

use hyper::StatusCode;
use web_ui::{Mistake, Problem};

use super::tls::{Fingerprint, TrustError};
use crate::connection::{ConnectionError, Host};
use crate::exit::Exit;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("palisade is not running here: cannot connect to {}: {source}", socket.display())]
    NotRunning { socket: PathBuf, source: io::Error },
    #[error("cannot connect to {}: only its owner may; run this as root", socket.display())]
    Forbidden { socket: PathBuf },
    #[error("{}: {problem}", host.name)]
    NoAddress { host: Host, problem: String },
    #[error("cannot connect to {host}: {source}")]
    Connect { host: Host, source: io::Error },
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("{host} can't be trusted: {source}{}", advice(shown.as_ref()))]
    Tls {
        host: Host,
        source: io::Error,
        /// Of the certificate, where it came to that.
        shown: Option<Fingerprint>,
    },
    #[error("the appliance broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the appliance did not answer within {seconds} seconds")]
    Silent { seconds: u64 },
    #[error("the appliance's answer can't be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the request can't be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    #[error(
        "the appliance's answer isn't what this version of palisade expects ({0}); use the appliance's own"
    )]
    Unexpected(serde_json::Error),
    #[error("the appliance's pages go in a circle at cursor {0}")]
    Circle(String),
}

/// It answered, and the answer was no.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// `None` where something else than an appliance answered.
    pub(crate) problem: Option<Problem>,
}

impl Refusal {
    pub(super) fn of(status: StatusCode, body: &str) -> Box<Self> {
        Box::new(Self {
            status,
            problem: serde_json::from_str(body).ok(),
        })
    }

    pub(crate) fn mistakes(&self) -> &[Mistake] {
        self.problem.as_ref().map_or(&[], |problem| &problem.errors)
    }

    /// What is wrong where, a line each.
    fn details(&self) -> Vec<String> {
        let Some(problem) = &self.problem else {
            return Vec::new();
        };
        match (&problem.errors[..], &problem.pointer) {
            ([], Some(pointer)) if !pointer.is_empty() => vec![format!("at {pointer}")],
            (errors, _) => errors.iter().map(line).collect(),
        }
    }
}

/// `/policies/3/to (line 14): no zone 'trsut'; did you mean 'trust'?`
fn line(mistake: &Mistake) -> String {
    let place = match (mistake.pointer.as_str(), mistake.line) {
        ("", 0) => String::new(),
        ("", line) => format!("line {line}: "),
        (pointer, 0) => format!("{pointer}: "),
        (pointer, line) => format!("{pointer} (line {line}): "),
    };
    let hint = match &mistake.suggestion {
        Some(suggestion) => format!("; did you mean '{suggestion}'?"),
        None => String::new(),
    };
    format!("{place}{}{hint}", mistake.message)
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.problem {
            Some(problem) if self.status.is_client_error() => f.write_str(&problem.detail),
            Some(problem) => write!(
                f,
                "the appliance answered {}: {}",
                self.status, problem.detail
            ),
            None => write!(f, "the answer was {}, without a reason", self.status),
        }
    }
}

fn advice(shown: Option<&Fingerprint>) -> String {
    match shown {
        Some(shown) => format!(
            "; its certificate's fingerprint is {shown}: if the appliance's log has the same, --fingerprint trusts it"
        ),
        None => String::new(),
    }
}

impl ClientError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Connection(error) => error.exit(),
            Self::Refused(refusal) => Exit::of_status(refusal.status),
            Self::NotRunning { .. }
            | Self::NoAddress { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Silent { .. }
            | Self::Broken(_) => Exit::Unreachable,
            Self::Forbidden { .. } => Exit::NotAllowed,
            Self::Trust(TrustError::File { .. }) => Exit::WrongInput,
            Self::Trust(TrustError::Setup(_))
            | Self::Body(_)
            | Self::Request(_)
            | Self::Unexpected(_)
            | Self::Circle(_) => Exit::Failed,
        }
    }

    /// More lines than the one that the error itself is.
    pub(crate) fn details(&self) -> Vec<String> {
        if let Self::Refused(refusal) = self {
            return refusal.details();
        }
        Vec::new()
    }

    /// Whether it may be better a moment later: the appliance restarts, or the network is gone.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NotRunning { .. }
            | Self::Connect { .. }
            | Self::NoAddress { .. }
            | Self::Broken(_)
            | Self::Silent { .. }
            | Self::Body(_) => true,
            Self::Refused(refusal) => refusal.status.is_server_error(),
            Self::Connection(_)
            | Self::Forbidden { .. }
            | Self::Trust(_)
            | Self::Tls { .. }
            | Self::Request(_)
            | Self::Unexpected(_)
            | Self::Circle(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_is_wrong_and_then_each_place() {
        let body = r#"{"type": "urn:palisade:problem:invalid-configuration", "title": "t", "status": 422,
            "detail": "no zone 'trsut' (and 1 more)", "pointer": "/policies/0/from", "errors": [
            {"severity": "error", "pointer": "/policies/0/from", "line": 14, "column": 3,
             "message": "no zone 'trsut'", "suggestion": "trust"},
            {"severity": "error", "pointer": "", "line": 0, "column": 0, "message": "no interfaces"}]}"#;
        let error = ClientError::from(Refusal::of(StatusCode::UNPROCESSABLE_ENTITY, body));
        assert_eq!(error.to_string(), "no zone 'trsut' (and 1 more)");
        assert_eq!(
            error.details(),
            [
                "/policies/0/from (line 14): no zone 'trsut'; did you mean 'trust'?",
                "no interfaces"
            ]
        );
        assert_eq!(error.exit(), Exit::WrongInput);
    }

    #[test]
    fn a_pointer_into_a_request_is_shown() {
        let body = r#"{"type": "about:blank", "title": "t", "status": 422, "detail": "too long", "pointer": "/comment"}"#;
        let error = ClientError::from(Refusal::of(StatusCode::UNPROCESSABLE_ENTITY, body));
        assert_eq!(error.details(), ["at /comment"]);
    }

    #[test]
    fn an_answer_from_something_else_is_no_riddle() {
        let error = ClientError::from(Refusal::of(StatusCode::BAD_GATEWAY, "<html>"));
        assert_eq!(
            error.to_string(),
            "the answer was 502 Bad Gateway, without a reason"
        );
        assert_eq!(error.exit(), Exit::Failed);
    }
}
