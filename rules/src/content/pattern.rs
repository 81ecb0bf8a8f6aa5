//! Host names and URLs with `*`.

use super::host::{HostError, host_pattern};

/// Text in which `*` stands for any characters, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What is between the stars, in order.
    parts: Vec<String>,
    /// Of a URL with a query, what stands before it is enough.
    takes_any_query: bool,
}

/// Why there is nothing that it could match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("without the scheme, as '{0}'")]
    Scheme(String),
    #[error("'{0}' is no URL: host and path, as {0}/*, or a host under `host`")]
    NoPath(String),
    #[error("'{0}' has no host: example.com{0}, or *{0} for any")]
    NoHost(String),
    #[error("no spaces or control characters in a URL")]
    Space,
    #[error("at most {MOST_CHARACTERS} characters")]
    TooLong,
}

/// RFC 1035 2.3.4, and a path that nobody writes by hand.
const MOST_CHARACTERS: usize = 2_048;

impl Pattern {
    /// `example.com` is that host alone; `*.example.com` is every one below it.
    pub(super) fn host(written: &str) -> Result<Self, PatternError> {
        Ok(Self::new(&host_pattern(written)?, false))
    }

    /// `example.com/downloads/*`: host and path, without `http://`. The path is compared in the form that `plain` gives to those of
    /// requests, and a query only where the pattern has one.
    pub(super) fn url(written: &str, plain: fn(&[u8]) -> Vec<u8>) -> Result<Self, PatternError> {
        if let Some((_, rest)) = written.split_once("://") {
            return Err(PatternError::Scheme(rest.to_owned()));
        }
        let Some(slash) = written.find('/') else {
            return Err(PatternError::NoPath(written.to_owned()));
        };
        if written
            .chars()
            .any(|letter| letter.is_whitespace() || letter.is_control())
        {
            return Err(PatternError::Space);
        }
        if written.len() > MOST_CHARACTERS {
            return Err(PatternError::TooLong);
        }
        let (host, target) = written.split_at(slash);
        if host.is_empty() {
            return Err(PatternError::NoHost(written.to_owned()));
        }
        let host = host_pattern(host)?;
        let target = plain(target.as_bytes());
        let target = String::from_utf8_lossy(&target);
        Ok(Self::new(&format!("{host}{target}"), !target.contains('?')))
    }

    fn new(text: &str, takes_any_query: bool) -> Self {
        Self {
            parts: text.split('*').map(ToOwned::to_owned).collect(),
            takes_any_query,
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let before_query = text.split_once('?').filter(|_| self.takes_any_query);
        self.matches_all(text) || before_query.is_some_and(|(path, _)| self.matches_all(path))
    }

    /// The first and the last part are fixed at their ends; each other one is wherever it comes first, because nothing is lost by
    /// taking the earliest place.
    fn matches_all(&self, text: &str) -> bool {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else {
            return false;
        };
        let is_alone = self.parts.len() == 1;
        if is_alone {
            return first == text;
        }
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in &self.parts[1..self.parts.len() - 1] {
            let Some(at) = rest.find(part.as_str()) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_everything_else_for_itself() {
        let host = |written: &str, host: &str| Pattern::host(written).unwrap().matches(host);
        assert!(host("example.com", "example.com"));
        assert!(host("Example.COM", "example.com"));
        assert!(!host("example.com", "www.example.com"));
        assert!(host("*.example.com", "a.b.example.com"));
        assert!(!host("*.example.com", "example.com"));
        assert!(!host("*.example.com", "badexample.com"));
        assert!(host("ads*.example.*", "ads7.example.net"));

        let url = |written: &str, url: &str| {
            let pattern = Pattern::url(written, <[u8]>::to_vec);
            pattern.unwrap().matches(url)
        };
        assert!(url("example.com/a/*", "example.com/a/b?c"));
        assert!(!url("example.com/a/*", "example.com/A/b"));
        assert!(url("*/wp-login.php*", "www.example.com/x/wp-login.php?a=1"));
        assert!(url("Example.com/", "example.com/"));
    }

    #[test]
    fn a_query_is_compared_where_the_pattern_has_one() {
        let url = |written: &str, url: &str| {
            let pattern = Pattern::url(written, <[u8]>::to_vec);
            pattern.unwrap().matches(url)
        };
        for asked in ["q.example/x", "q.example/x?", "q.example/x?a=b?c"] {
            assert!(url("q.example/x", asked), "{asked}");
            assert!(url("q.example/*x", asked), "{asked}");
        }
        assert!(!url("q.example/x", "q.example/x/y?a"));
        assert!(!url("q.example/x", "q.example/?x"));
        // A star takes a query, too.
        assert!(url("*/admin/*", "q.example/x?to=/admin/y"));
        assert!(url("q.example/x?a=*", "q.example/x?a=b"));
        assert!(!url("q.example/x?a=b", "q.example/x?a=b?"));
        assert!(!url("q.example/x?a=b", "q.example/x"));
    }

    #[test]
    fn a_path_is_compared_in_the_form_of_requests_and_its_stars_stay() {
        let small = |target: &[u8]| target.to_ascii_lowercase();
        let pattern = Pattern::url("a.example/X/*?Y", small).unwrap();
        assert!(pattern.matches("a.example/x/z?y"));
    }

    #[test]
    fn what_is_no_host_or_url_is_refused_with_what_would_be() {
        assert!(Pattern::host("http://example.com").is_err());
        assert!(Pattern::host("").is_err());
        let said = |written: &str| {
            let refused = Pattern::url(written, <[u8]>::to_vec);
            refused.unwrap_err().to_string()
        };
        assert_eq!(
            said("https://example.com/a"),
            "without the scheme, as 'example.com/a'"
        );
        assert!(said("example.com").contains("example.com/*"));
        assert_eq!(
            said("/foo"),
            "'/foo' has no host: example.com/foo, or */foo for any"
        );
        assert!(said("example.com:8080/x").contains("'example.com:8080' has a port"));
        assert!(said(".example.com/x").contains("begins with a dot"));
        assert!(said("m\u{fc}nchen.example/x").contains("xn--"));
        assert!(said("user@example.com/x").contains("is no host name"));
        assert!(said("example.com/a b").contains("no spaces"));
        let long = format!("a/{}", "x".repeat(MOST_CHARACTERS));
        assert_eq!(said(&long), "at most 2048 characters");
    }

    proptest! {
        /// By the definition: a star is any split.
        #[test]
        fn it_matches_what_its_definition_does(
            pattern in "[ab*]{1,8}", text in "[ab]{0,10}",
        ) {
            let matched = Pattern::host(&pattern).unwrap().matches(&text);
            prop_assert_eq!(matched, naive(pattern.as_bytes(), text.as_bytes()));
        }
    }

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some((b'*', rest)), None) => naive(rest, text),
            (Some((b'*', rest)), Some((_, behind))) => naive(rest, text) || naive(pattern, behind),
            (Some((one, rest)), Some((other, behind))) => one == other && naive(rest, behind),
            (Some(_), None) => false,
        }
    }
}
