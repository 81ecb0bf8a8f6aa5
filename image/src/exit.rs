//! What the process ends with, so that scripts can tell one failure from another.

use std::process::ExitCode;

use hyper::StatusCode;

/// A number is never used for another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// It went wrong, and neither of the reasons below is why.
    Failed = 1,
    /// The command line, the configuration or what else was given is wrong; as clap exits, too.
    WrongInput = 2,
    /// There is no appliance where it was looked for, or none that can be trusted.
    Unreachable = 3,
    NotAllowed = 4,
    /// Somebody else was faster, or the appliance is not in the state that this needs.
    Conflict = 5,
    /// `config diff --exit-code` has found differences.
    Differs = 6,
    /// The kernel or the container's engine does not permit what the appliance needs.
    NotPermitted = 7,
}

impl Exit {
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                Self::NotAllowed
            }
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Self::Conflict,
            status if status.is_client_error() => Self::WrongInput,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What `--help` says at its end.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line, the configuration, or what else was given is wrong
  3  no appliance can be reached there, or it can't be trusted
  4  not allowed: no login, a wrong one, or one that may not do this
  5  conflict: somebody else was faster, or the appliance is in no state for this
  6  `config diff --exit-code`: there are differences
  7  `run`: the kernel or the container's engine does not permit what is needed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whose_mistake_it_was() {
        for (status, exit) in [
            (400, Exit::WrongInput),
            (401, Exit::NotAllowed),
            (403, Exit::NotAllowed),
            (404, Exit::WrongInput),
            (409, Exit::Conflict),
            (412, Exit::Conflict),
            (422, Exit::WrongInput),
            (429, Exit::NotAllowed),
            (503, Exit::Failed),
            (507, Exit::Failed),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Exit::of_status(status), exit, "{status}");
        }
    }

    #[test]
    fn every_code_is_explained() {
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::WrongInput,
            Exit::Unreachable,
            Exit::NotAllowed,
            Exit::Conflict,
            Exit::Differs,
            Exit::NotPermitted,
        ] {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
