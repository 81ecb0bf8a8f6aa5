//! HTTP methods.

/// Why no request has such a method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    #[error("'{0}' is no HTTP method, as in GET: letters, digits and a few signs, without spaces")]
    NoToken(String),
    #[error("'{written}' is no HTTP method: small letters are others than capital ones")]
    SmallLetters {
        written: String,
        meant: &'static str,
    },
}

impl MethodError {
    #[must_use]
    pub fn suggestion(&self) -> Option<&'static str> {
        match self {
            Self::NoToken(_) => None,
            Self::SmallLetters { meant, .. } => Some(meant),
        }
    }
}

/// IANA's registry of HTTP methods, but for `*`, which is reserved.
const REGISTERED: [&str; 40] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// RFC 9110 9.1: a token, and case-sensitive; those that are registered have capital letters.
pub fn check_method(written: &str) -> Result<(), MethodError> {
    // RFC 9110 5.6.2.
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if written.is_empty() || !written.bytes().all(is_tchar) {
        return Err(MethodError::NoToken(written.to_owned()));
    }
    let meant = REGISTERED
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(written) && *known != written);
    match meant {
        Some(meant) => Err(MethodError::SmallLetters {
            written: written.to_owned(),
            meant,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_a_token_in_the_letters_that_requests_have() {
        for right in ["GET", "VERSION-CONTROL", "M-SEARCH", "purge", "x!~"] {
            assert_eq!(check_method(right), Ok(()), "{right}");
        }
        for none in ["", "FOO BAR", "GET/", "GET,POST", "G\u{c9}T"] {
            let error = check_method(none).unwrap_err();
            assert_eq!(error, MethodError::NoToken(none.to_owned()));
            assert_eq!(error.suggestion(), None);
        }
        for (small, meant) in [("get", "GET"), ("Post", "POST")] {
            let error = check_method(small).unwrap_err();
            assert_eq!(error.suggestion(), Some(meant));
        }
    }
}
