//! Host names and URLs with `*`.

/// Text in which `*` stands for any characters, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What is between the stars, in order.
    parts: Vec<String>,
}

/// RFC 1035 2.3.4, and a path that nobody writes by hand.
const MOST_CHARACTERS: usize = 2_048;

impl Pattern {
    /// `example.com` is that host alone; `*.example.com` is every one below it.
    pub(super) fn host(written: &str) -> Result<Self, String> {
        let is_fit = |letter: char| letter.is_alphanumeric() || "-_.*:[]".contains(letter);
        if written.is_empty() || !written.chars().all(is_fit) {
            return Err(format!(
                "'{written}' is no host name: example.com, or *.example.com for all below it"
            ));
        }
        Self::new(written, false)
    }

    /// `example.com/downloads/*`: host and path, without `http://`.
    pub(super) fn url(written: &str) -> Result<Self, String> {
        if let Some((_, rest)) = written.split_once("://") {
            return Err(format!("without the scheme, as '{rest}'"));
        }
        if !written.contains('/') {
            return Err(format!(
                "'{written}' is no URL: host and path, as {written}/*, or a host under `host`"
            ));
        }
        if written
            .chars()
            .any(|letter| letter.is_whitespace() || letter.is_control())
        {
            return Err("no spaces or control characters in a URL".to_owned());
        }
        Self::new(written, true)
    }

    fn new(written: &str, has_path: bool) -> Result<Self, String> {
        if written.len() > MOST_CHARACTERS {
            return Err(format!("at most {MOST_CHARACTERS} characters"));
        }
        // Letters count in a path, and not in a host.
        let host_end = written.find('/').filter(|_| has_path);
        let (host, path) = written.split_at(host_end.unwrap_or(written.len()));
        let text = format!("{}{path}", host.to_lowercase());
        Ok(Self {
            parts: text.split('*').map(ToOwned::to_owned).collect(),
        })
    }

    /// The first and the last part are fixed at their ends; each other one is wherever it comes first, because nothing is lost by
    /// taking the earliest place.
    pub(super) fn matches(&self, text: &str) -> bool {
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

        let url = |written: &str, url: &str| Pattern::url(written).unwrap().matches(url);
        assert!(url("example.com/a/*", "example.com/a/b?c"));
        assert!(!url("example.com/a/*", "example.com/A/b"));
        assert!(url("*/wp-login.php*", "www.example.com/x/wp-login.php?a=1"));
        assert!(url("Example.com/", "example.com/"));
    }

    #[test]
    fn what_is_no_host_or_url_is_refused_with_what_would_be() {
        assert!(Pattern::host("http://example.com").is_err());
        assert!(Pattern::host("").is_err());
        let said = Pattern::url("https://example.com/a").unwrap_err();
        assert_eq!(said, "without the scheme, as 'example.com/a'");
        assert!(
            Pattern::url("example.com")
                .unwrap_err()
                .contains("example.com/*")
        );
        assert!(Pattern::url("example.com/a b").is_err());
        assert!(Pattern::url(&format!("a/{}", "x".repeat(MOST_CHARACTERS))).is_err());
    }

    proptest! {
        /// By the definition: a star is any split.
        #[test]
        fn it_matches_what_its_definition_does(
            pattern in "[ab*]{1,8}", text in "[ab]{0,10}",
        ) {
            let written = format!("{pattern}.");
            let text = format!("{text}.");
            let matched = Pattern::host(&written).unwrap().matches(&text);
            prop_assert_eq!(matched, naive(written.as_bytes(), text.as_bytes()));
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
