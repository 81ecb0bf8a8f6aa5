//! Whom a session may talk to by name: lists of hosts and URLs, and categories of services.
//!
//! What the parsers read becomes questions ([`Asked`]), which the [`Filters`] of a profile decide. Two filters ask the same lists. A
//! [`UrlFilter`] is asked about each request (its host and target) and each TLS or QUIC session (its
//! server name); a [`DnsFilter`] about each name that is asked for, and it writes the answer that the asker gets instead. What is
//! sent in place of a page is [`BlockPage`].
//!
//! An allowed name is never blocked. A list that was never had covers nothing, in `block` as in `allow`, unless it is `required`: then it
//! blocks everything. Lists change beneath a filter ([`ListSlot`]); a question is answered by what they are at that moment.
//!
//! # Limits
//! A path is known only of HTTP that is not encrypted: of TLS and QUIC, entries with a path say nothing.

mod asked;
mod block_page;
mod dns;
mod entry;
mod glob;
mod hash;
mod host;
mod host_set;
mod list;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::Services;
use host::Host;
use target::Target;

pub use asked::{Asked, Filters, Instead, Question, Request};
pub use block_page::BlockPage;
pub use dns::{DnsAnswers, Transport};
pub use entry::EntryError;
pub use list::{BadLine, List, ListError, ListReport, ListSlot};
pub use target::plain as plain_target;

/// Why a name or URL is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub by: BlockedBy,
    /// The entry that covers it, as a list would say; of a category, the service.
    pub entry: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockedBy {
    List(Arc<str>),
    /// A list that must be known, and is not.
    Unknown(Arc<str>),
    Category(Arc<str>),
}

impl fmt::Display for BlockedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(name) => write!(f, "list {name}"),
            Self::Unknown(name) => write!(f, "list {name}, which is not known yet"),
            Self::Category(name) => write!(f, "category {name}"),
        }
    }
}

/// What names are blocked by, and which are not whatever else says so.
#[derive(Clone, Debug, Default)]
pub struct NameFilter {
    pub block: Vec<Arc<ListSlot>>,
    pub allow: Vec<Arc<ListSlot>>,
    /// Of services.
    pub categories: Vec<Arc<str>>,
}

impl NameFilter {
    /// It can block nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.block.is_empty() && self.categories.is_empty()
    }

    /// Whether a host is blocked, or what is asked of it: `target` is a request's, as it stands in its first line. A host that stands in
    /// the target is asked about as well, for whichever of the two the responder believes.
    #[must_use]
    pub fn decide(
        &self,
        host: &str,
        target: Option<&[u8]>,
        services: &Services,
    ) -> Option<Blocked> {
        if self.is_empty() {
            return None;
        }
        let Some(target) = target else {
            return self.decide_one(&Host::of(host), None, services);
        };
        let (named, path) = target::parts(target);
        let target = Target::of(path);
        let by_target =
            named.and_then(|named| self.decide_one(&Host::of(&named), Some(&target), services));
        by_target.or_else(|| self.decide_one(&Host::of(host), Some(&target), services))
    }

    fn decide_one(
        &self,
        host: &Host,
        target: Option<&Target>,
        services: &Services,
    ) -> Option<Blocked> {
        if host.text().is_empty() {
            // No list has it, but one that nobody knows might have whoever it is for.
            return self.block.iter().find_map(|list| unknown(list));
        }
        if self
            .allow
            .iter()
            .any(|list| list.find(host, target).is_some())
        {
            return None;
        }
        self.block
            .iter()
            .find_map(|list| listed(list, host, target))
            .or_else(|| self.by_category(host, services))
    }

    fn by_category(&self, host: &Host, services: &Services) -> Option<Blocked> {
        if self.categories.is_empty() {
            return None;
        }
        let service = services.of(host.text())?;
        let category = self
            .categories
            .iter()
            .find(|category| ***category == *service.category)?;
        Some(Blocked {
            by: BlockedBy::Category(Arc::clone(category)),
            entry: service.title.clone(),
        })
    }
}

fn listed(list: &ListSlot, host: &Host, target: Option<&Target>) -> Option<Blocked> {
    unknown(list).or_else(|| {
        list.find(host, target).map(|entry| Blocked {
            by: BlockedBy::List(Arc::clone(list.name())),
            entry,
        })
    })
}

/// By a list that must be known, and is not.
fn unknown(list: &ListSlot) -> Option<Blocked> {
    (list.is_required() && !list.is_known()).then(|| Blocked {
        by: BlockedBy::Unknown(Arc::clone(list.name())),
        entry: "*".to_owned(),
    })
}

/// What a blocked HTTP request gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlAction {
    /// A page that says who blocked what; of what is no HTTP/1 request, a reset.
    #[default]
    Page,
    Reset,
}

/// Which decisions are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterLog {
    Nothing,
    #[default]
    Blocked,
    Everything,
}

/// Of requests, and of sessions that name their host.
#[derive(Clone, Debug, Default)]
pub struct UrlFilter {
    pub names: NameFilter,
    pub action: UrlAction,
    pub log: FilterLog,
}

impl UrlFilter {
    /// See [`NameFilter::decide`].
    #[must_use]
    pub fn decide(
        &self,
        host: &str,
        target: Option<&[u8]>,
        services: &Services,
    ) -> Option<Blocked> {
        self.names.decide(host, target, services)
    }
}

/// Of names that are asked for.
#[derive(Clone, Debug, Default)]
pub struct DnsFilter {
    pub names: NameFilter,
    pub answers: DnsAnswers,
    pub log: FilterLog,
}

impl DnsFilter {
    /// Of a question's name; of an answer's, where it leads to others by CNAME.
    #[must_use]
    pub fn decide(&self, name: &str, services: &Services) -> Option<Blocked> {
        self.names.decide(name, None, services)
    }
}
