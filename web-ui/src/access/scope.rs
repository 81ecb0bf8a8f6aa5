//! What a token is for: areas of the API that it is confined to. Its role says what it may do there.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// `/metrics`, and counters over time.
    Metrics,
    /// Events and the audit.
    Events,
    /// Sessions and the leases that they hold.
    Sessions,
    /// Interfaces, routes, neighbours, policies, translation, drops: what the datapath does.
    Network,
    /// Everything below `/config`.
    Configuration,
    /// The appliance as a whole.
    System,
    /// Users, passwords and tokens.
    Access,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metrics => "metrics",
            Self::Events => "events",
            Self::Sessions => "sessions",
            Self::Network => "network",
            Self::Configuration => "configuration",
            Self::System => "system",
            Self::Access => "access",
        })
    }
}

/// In which areas somebody may do what their role says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Scopes(Option<BTreeSet<Scope>>);

impl Scopes {
    /// In all, those of later versions included.
    pub(super) const ALL: Self = Self(None);

    pub(super) fn only(scopes: BTreeSet<Scope>) -> Self {
        Self(Some(scopes))
    }

    pub(super) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// `None` for all.
    pub(super) fn listed(&self) -> Option<Vec<Scope>> {
        self.0.as_ref().map(|only| only.iter().copied().collect())
    }

    /// Whether these go nowhere where `others` don't.
    pub(super) fn are_within(&self, others: &Self) -> bool {
        match (&self.0, &others.0) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(these), Some(others)) => these.is_subset(others),
        }
    }

    pub(super) fn admit(&self, area: Area) -> bool {
        match (&self.0, area) {
            (None, _) | (Some(_), Area::Everybodys) => true,
            (Some(only), Area::Of(scope)) => only.contains(&scope),
            (Some(_), Area::Unlisted) => false,
        }
    }
}

/// Where a path belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Of(Scope),
    /// About whoever asks, or about the API itself.
    Everybodys,
    /// Nobody thought of it here: for those who are not confined.
    Unlisted,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(scopes: &[Scope]) -> Scopes {
        Scopes::only(scopes.iter().copied().collect())
    }

    #[test]
    fn who_is_confined_stays_there() {
        let metrics = only(&[Scope::Metrics]);
        assert!(metrics.admit(Area::Of(Scope::Metrics)) && metrics.admit(Area::Everybodys));
        assert!(!metrics.admit(Area::Of(Scope::System)) && !metrics.admit(Area::Unlisted));
        assert!(Scopes::ALL.admit(Area::Unlisted));
        assert!(!only(&[]).admit(Area::Of(Scope::Metrics)));
    }

    #[test]
    fn fewer_are_within_more_and_all_only_within_all() {
        let (one, two) = (
            only(&[Scope::Metrics]),
            only(&[Scope::Metrics, Scope::Events]),
        );
        assert!(one.are_within(&two) && one.are_within(&one) && two.are_within(&Scopes::ALL));
        assert!(!two.are_within(&one) && !Scopes::ALL.are_within(&two));
    }
}
