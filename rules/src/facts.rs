//! What is known of the outside: the addresses behind names, feeds and countries, and what time it is.
//!
//! Rules are compiled by it and never ask for it: whoever has a clock and a network keeps it current and
//! compiles again when it changes.
//!
//! # What must hold
//! As long as something is not known, nothing is permitted that would not be permitted if it were. A
//! permit is therefore read as narrow as it may turn out to be, and a deny or reject as wide: an unknown
//! object is empty in the one and everything in the other, and `not:` turns that round. A translation
//! counts as a permit. An object that is known to be empty (a name that does not exist) is empty for
//! both.
//!
//! No error depends on facts: what compiled once compiles whatever the outside does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::{Action, AddressSet};

/// Something that an address list names and only the outside can say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outside {
    /// A host name, in lower case and without its final dot.
    Fqdn(String),
    /// A feed of the document.
    Feed(String),
    /// ISO 3166-1 alpha-2.
    Country(String),
}

impl Outside {
    /// As in the document, before the colon.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fqdn(_) => "fqdn",
            Self::Feed(_) => "feed",
            Self::Country(_) => "country",
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Fqdn(name) | Self::Feed(name) | Self::Country(name) => name,
        }
    }
}

/// As in the document: `fqdn:mirror.example.org`.
impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

/// What is known at an instant. The default knows nothing, at no time in particular: enough for a check,
/// and safe, but not to be enforced for long.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// By which schedules are on or off.
    pub now: Timestamp,
    pub known: BTreeMap<Outside, Arc<AddressSet>>,
}

/// The addresses that a list stands for, as far as is known.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    certain: Arc<AddressSet>,
    /// `None` where it is `certain`: nothing that it depends on is unknown.
    possible: Option<Arc<AddressSet>>,
    depends_on: BTreeSet<Outside>,
}

impl Extent {
    pub(crate) fn any() -> Self {
        AddressSet::any().into()
    }

    /// In place of what had a mistake, which was reported.
    pub(crate) fn undetermined() -> Self {
        Self {
            possible: Some(Arc::new(AddressSet::any())),
            ..Self::default()
        }
    }

    pub(crate) fn of(outside: Outside, facts: &Facts) -> Self {
        let known = facts.known.get(&outside).cloned();
        Self {
            possible: known.is_none().then(|| Arc::new(AddressSet::any())),
            certain: known.unwrap_or_default(),
            depends_on: BTreeSet::from([outside]),
        }
    }

    /// Everything in `included`, or simply everything where there is none, but what is in `excluded`.
    pub(crate) fn list(included: &[Self], excluded: &[Self]) -> Self {
        if let ([one], []) = (included, excluded) {
            return one.clone();
        }
        let all = || included.iter().chain(excluded);
        let union =
            |side: &[Self], of: fn(&Self) -> &AddressSet| AddressSet::union(side.iter().map(of));
        let base = |of: fn(&Self) -> &AddressSet| {
            if included.is_empty() {
                AddressSet::any()
            } else {
                union(included, of)
            }
        };
        let certain = base(Self::certain).without(&union(excluded, Self::possible));
        let is_exact = all().all(|extent| extent.possible.is_none());
        let possible = (!is_exact)
            .then(|| Arc::new(base(Self::possible).without(&union(excluded, Self::certain))));
        Self {
            certain: Arc::new(certain),
            possible,
            depends_on: all()
                .flat_map(|extent| extent.depends_on.iter().cloned())
                .collect(),
        }
    }

    /// In the list whatever the unknown turns out to be: what a permit may rely on.
    #[must_use]
    pub fn certain(&self) -> &AddressSet {
        &self.certain
    }

    /// In the list unless the unknown turns out otherwise: what a deny must cover.
    #[must_use]
    pub fn possible(&self) -> &AddressSet {
        self.possible.as_deref().unwrap_or(&self.certain)
    }

    /// What a policy of this action covers.
    pub(crate) fn for_action(&self, action: Action) -> Arc<AddressSet> {
        match action {
            Action::Permit => self.certain.clone(),
            Action::Deny | Action::Reject => {
                self.possible.as_ref().unwrap_or(&self.certain).clone()
            }
        }
    }

    /// What a policy of this action would cover if all that is not known turned out the other way; `None`
    /// where all is known.
    pub(crate) fn otherwise(&self, action: Action) -> Option<Arc<AddressSet>> {
        let possible = self.possible.as_ref()?;
        Some(match action {
            Action::Permit => possible.clone(),
            Action::Deny | Action::Reject => self.certain.clone(),
        })
    }

    /// Whether the document alone says what it is.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.possible.is_none() && self.depends_on.is_empty()
    }

    pub fn depends_on(&self) -> impl Iterator<Item = &Outside> {
        self.depends_on.iter()
    }
}

impl From<AddressSet> for Extent {
    fn from(set: AddressSet) -> Self {
        Self {
            certain: Arc::new(set),
            ..Self::default()
        }
    }
}
