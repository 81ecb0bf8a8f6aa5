//! What policies ask of a session's content: the application that its bytes show, names, methods, versions.
//!
//! Nobody knows that when the session begins. [`Content`] is what has been learnt so far, and a condition on what has not been is
//! neither met nor missed: [`Holds::Maybe`]. Whoever asks decides again when more is known, until nothing is open.
//!
//! # What must hold
//! More knowledge turns `Maybe` into `Yes` or `No`, and never one of these into another, but for what changes with each request of a
//! session (host, URL, method): those are asked about anew for each.

mod host;
mod method;
mod pattern;
mod tls;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::document;
use crate::{Findings, Located, OneOrMany, suggest};
use pattern::{Pattern, PatternError};

pub use host::{HostError, host_name, ipv6};
pub use method::{MethodError, check_method};
pub use tls::{is_ja4, tls_version, tls_version_name};

/// One thing about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Learnt<T> {
    /// It may turn up.
    #[default]
    NotYet,
    /// The session has no such thing, or nobody will ever see it.
    Never,
    Known(T),
}

impl<T> Learnt<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotYet | Self::Never => None,
        }
    }

    fn holds(&self, condition: impl FnOnce(&T) -> bool) -> Holds {
        match self {
            Self::NotYet => Holds::Maybe,
            Self::Never => Holds::No,
            Self::Known(value) if condition(value) => Holds::Yes,
            Self::Known(_) => Holds::No,
        }
    }
}

/// What has been learnt of a session's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What it is, by all its names: the protocol, what carries it, the service.
    pub applications: Learnt<Vec<Arc<str>>>,
    /// More specific names may follow: the service behind the protocol.
    pub may_be_refined: bool,
    pub category: Learnt<Arc<str>>,
    /// From 1 to 5.
    pub risk: Learnt<u8>,
    /// In small letters, without a port and the root's dot; an IPv6 address as [`ipv6`] has it.
    pub host: Learnt<Arc<str>>,
    /// The host and the path with its query, in the form that [`Vocabulary::plain_target`] gives to patterns.
    pub url: Learnt<Arc<str>>,
    pub method: Learnt<Arc<str>>,
    /// As the wire has it: 0x0303 is TLS 1.2.
    pub tls_version: Learnt<u16>,
    pub ja4: Learnt<Arc<str>>,
}

impl Content {
    /// Of a session that nobody looks into.
    pub const NEVER: Self = Self {
        applications: Learnt::Never,
        may_be_refined: false,
        category: Learnt::Never,
        risk: Learnt::Never,
        host: Learnt::Never,
        url: Learnt::Never,
        method: Learnt::Never,
        tls_version: Learnt::Never,
        ja4: Learnt::Never,
    };

    /// No more will be learnt: what is not known by now never will be.
    pub fn close(&mut self) {
        fn close<T>(one: &mut Learnt<T>) {
            if matches!(one, Learnt::NotYet) {
                *one = Learnt::Never;
            }
        }
        close(&mut self.applications);
        self.may_be_refined = false;
        close(&mut self.category);
        close(&mut self.risk);
        close(&mut self.host);
        close(&mut self.url);
        close(&mut self.method);
        close(&mut self.tls_version);
        close(&mut self.ja4);
    }
}

/// Whether a condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Yes,
    /// Not enough is known.
    Maybe,
    No,
}

impl Holds {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Maybe, _) | (_, Self::Maybe) => Self::Maybe,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

/// What whoever looks into sessions knows of what conditions ask for.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// The names that conditions may use.
    pub applications: BTreeSet<String>,
    pub categories: BTreeSet<String>,
    /// The path and query of a URL as [`Content::url`] has them.
    pub plain_target: fn(&[u8]) -> Vec<u8>,
}

impl Vocabulary {
    pub const EMPTY: Self = Self {
        applications: BTreeSet::new(),
        categories: BTreeSet::new(),
        plain_target: <[u8]>::to_vec,
    };
}

/// As the document says it: `application: ssh, dns`.
fn written(document: &document::L7) -> Vec<String> {
    let lists = [
        ("application", &document.application),
        ("category", &document.category),
        ("host", &document.host),
        ("url", &document.url),
        ("method", &document.method),
        ("tls-version", &document.tls_version),
        ("ja4", &document.ja4),
    ];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let lists = lists.map(|(name, list)| {
        let items: Vec<&str> = list.iter().map(|item| item.value.as_str()).collect();
        format!("{name}: {}", items.join(", "))
    });
    let risk = document.risk.iter();
    lists
        .chain(risk.map(|risk| format!("risk: {}", risk.value.level())))
        .collect()
}

/// All that a policy asks; each list by itself must be met, by any of its items. An empty one asks nothing.
#[derive(Clone, Debug, Default)]
pub struct ContentConditions {
    /// As the document says them.
    pub written: Vec<String>,
    applications: BTreeSet<Arc<str>>,
    categories: BTreeSet<Arc<str>>,
    least_risk: Option<u8>,
    hosts: Vec<Pattern>,
    urls: Vec<Pattern>,
    methods: BTreeSet<String>,
    tls_versions: BTreeSet<u16>,
    /// In small letters. Only what an ALPN begins and ends with can have others on the wire.
    ja4: BTreeSet<String>,
}

/// The section that brings applications of the user's own.
const SERVICES: &str = "services";

/// One thing that may be asked for.
struct Condition {
    key: &'static str,
    is_asked: fn(&ContentConditions) -> bool,
    holds: fn(&ContentConditions, &Content) -> Holds,
}

const CONDITIONS: [Condition; 8] = [
    Condition {
        key: "application",
        is_asked: |it| !it.applications.is_empty(),
        holds: ContentConditions::application,
    },
    Condition {
        key: "category",
        is_asked: |it| !it.categories.is_empty(),
        holds: |it, content| {
            let is_one = |category: &Arc<str>| it.categories.contains(category);
            content.category.holds(is_one)
        },
    },
    Condition {
        key: "risk",
        is_asked: |it| it.least_risk.is_some(),
        holds: |it, content| content.risk.holds(|risk| it.least_risk <= Some(*risk)),
    },
    Condition {
        key: "host",
        is_asked: |it| !it.hosts.is_empty(),
        holds: |it, content| content.host.holds(|host| any(&it.hosts, host)),
    },
    Condition {
        key: "url",
        is_asked: |it| !it.urls.is_empty(),
        holds: |it, content| content.url.holds(|url| any(&it.urls, url)),
    },
    Condition {
        key: "method",
        is_asked: |it| !it.methods.is_empty(),
        holds: |it, content| {
            content
                .method
                .holds(|method| it.methods.contains(&**method))
        },
    },
    Condition {
        key: "tls-version",
        is_asked: |it| !it.tls_versions.is_empty(),
        holds: |it, content| {
            let is_one = |version: &u16| it.tls_versions.contains(version);
            content.tls_version.holds(is_one)
        },
    },
    Condition {
        key: "ja4",
        is_asked: |it| !it.ja4.is_empty(),
        holds: |it, content| {
            let is_one = |ja4: &Arc<str>| it.ja4.contains(&ja4.to_ascii_lowercase());
            content.ja4.holds(is_one)
        },
    },
];

impl ContentConditions {
    pub(crate) fn compile(
        document: &Located<document::L7>,
        vocabulary: &Vocabulary,
        findings: &mut Findings,
    ) -> Self {
        let place = document.place;
        let document = &document.value;
        let mut conditions = Self {
            written: written(document),
            applications: named(
                &document.application,
                "an application that is told by its content",
                &vocabulary.applications,
                |name, findings| findings.is_damaged(SERVICES, name),
                findings,
            ),
            categories: named(
                &document.category,
                "a category of applications",
                &vocabulary.categories,
                // It may be the one of a service that could not be read.
                |_, findings| findings.damaged(SERVICES).next().is_some(),
                findings,
            ),
            hosts: patterns(&document.host, Pattern::host, findings),
            urls: patterns(
                &document.url,
                |written| Pattern::url(written, vocabulary.plain_target),
                findings,
            ),
            methods: methods(&document.method, findings),
            least_risk: document.risk.map(|risk| risk.value.level()),
            ..Self::default()
        };
        for version in &document.tls_version {
            match tls_version(&version.value) {
                Some(number) => {
                    conditions.tls_versions.insert(number);
                }
                None => findings.error(
                    version.place,
                    format!(
                        "'{}' is no version of TLS: 1.0, 1.1, 1.2, 1.3 or ssl-3.0",
                        version.value
                    ),
                ),
            }
        }
        for fingerprint in &document.ja4 {
            if is_ja4(&fingerprint.value) {
                conditions
                    .ja4
                    .insert(fingerprint.value.to_ascii_lowercase());
            } else {
                findings.error(
                    fingerprint.place,
                    format!(
                        "'{}' is no JA4 fingerprint, which looks like t13d1516h2_8daaf6152771_b186095e22b6",
                        fingerprint.value
                    ),
                );
            }
        }
        if document.is_empty() && !findings.is_damaged_at(place) {
            findings.error(
                place,
                "l7 asks for nothing: name something, or leave it out",
            );
        }
        conditions
    }

    /// Whether what has been learnt meets them.
    #[must_use]
    pub fn holds(&self, content: &Content) -> Holds {
        let mut all = Holds::Yes;
        for condition in CONDITIONS {
            if all != Holds::No && (condition.is_asked)(self) {
                all = all.and((condition.holds)(self, content));
            }
        }
        all
    }

    /// What is asked for and not met so far, by its key in the document.
    #[must_use]
    pub fn unmet(&self, content: &Content) -> Vec<&'static str> {
        let asked = CONDITIONS.iter().filter(|one| (one.is_asked)(self));
        asked
            .filter(|one| (one.holds)(self, content) != Holds::Yes)
            .map(|one| one.key)
            .collect()
    }

    /// They may hold for one request of a session and not for the next.
    #[must_use]
    pub fn change_with_requests(&self) -> bool {
        !self.hosts.is_empty() || !self.urls.is_empty() || !self.methods.is_empty()
    }

    fn application(&self, content: &Content) -> Holds {
        let found = content
            .applications
            .holds(|names| names.iter().any(|name| self.applications.contains(name)));
        match found {
            // "https" is known, and "youtube" may follow.
            Holds::No if content.may_be_refined => Holds::Maybe,
            Holds::Yes | Holds::Maybe | Holds::No => found,
        }
    }
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

fn named(
    list: &OneOrMany<Located<String>>,
    what: &str,
    known: &BTreeSet<String>,
    was_reported: impl Fn(&str, &Findings) -> bool,
    findings: &mut Findings,
) -> BTreeSet<Arc<str>> {
    let mut names = BTreeSet::new();
    for name in list {
        if !known.contains(&name.value) && !was_reported(&name.value, findings) {
            findings.error_with_suggestion(
                name.place,
                format!("'{}' is not {what}", name.value),
                suggest(&name.value, known),
            );
        }
        names.insert(Arc::from(name.value.as_str()));
    }
    names
}

fn patterns(
    list: &OneOrMany<Located<String>>,
    read: impl Fn(&str) -> Result<Pattern, PatternError>,
    findings: &mut Findings,
) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for item in list {
        match read(&item.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => findings.error(item.place, error.to_string()),
        }
    }
    patterns
}

fn methods(list: &OneOrMany<Located<String>>, findings: &mut Findings) -> BTreeSet<String> {
    for method in list {
        if let Err(error) = check_method(&method.value) {
            let meant = error.suggestion().map(ToOwned::to_owned);
            findings.error_with_suggestion(method.place, error.to_string(), meant);
        }
    }
    list.iter().map(|method| method.value.clone()).collect()
}

#[cfg(test)]
mod tests;
