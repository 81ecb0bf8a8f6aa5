//! What the filters of a configuration's profiles would have blocked in a capture.
//!
//! # Limits
//! Lists at a URL are not asked for: they are as if they had never been had.

use firewall::config::{Config, InspectionProfile};
use firewall::objects;
use inspection::Services;
use inspection::capture::{Report, WasAsked};
use inspection::filter::{Blocked, DnsAnswers, Filters, UrlAction};
use serde_json::{Value, json};

/// The filters of every profile.
pub(super) struct Filtering<'a> {
    filters: Vec<(&'a InspectionProfile, Filters)>,
    remarks: Vec<String>,
}

impl<'a> Filtering<'a> {
    /// `None` where no profile has any.
    pub(super) fn of(config: &'a Config) -> Option<Self> {
        let has_any = |profile: &InspectionProfile| {
            profile.url_filter.is_some() || profile.dns_filter.is_some()
        };
        let profiles = config.inspection.profiles();
        if !profiles.iter().any(has_any) {
            return None;
        }
        let (lists, remarks) = objects::read_url_lists(config);
        let filters = profiles
            .iter()
            .map(|profile| (profile, profile.filters(&lists)))
            .collect();
        Some(Self { filters, remarks })
    }

    /// What of the lists is not known here.
    pub(super) fn remarks(&self) -> impl Iterator<Item = String> {
        self.remarks.iter().cloned()
    }

    /// In the order of the session.
    pub(super) fn found<'r>(
        &self,
        report: &'r Report,
        profile: Option<&InspectionProfile>,
        services: &Services,
    ) -> Vec<Filtered<'r>> {
        let filters = self
            .filters
            .iter()
            .find(|(known, _)| profile.is_some_and(|profile| std::ptr::eq(profile, *known)));
        let Some((_, filters)) = filters else {
            return Vec::new();
        };
        let asked = report.asked.iter();
        asked
            .filter_map(|asked| {
                Some(Filtered {
                    blocked: filters.decide(&asked.question(), services)?,
                    action: action(asked, filters),
                    asked,
                })
            })
            .collect()
    }
}

/// Something that was blocked.
pub(super) struct Filtered<'r> {
    asked: &'r WasAsked,
    blocked: Blocked,
    action: &'static str,
}

impl Filtered<'_> {
    pub(super) fn object(&self) -> Value {
        json!({
            "filter": if self.ends_session() { "url" } else { "dns" },
            "asked": self.asked.question().to_string(),
            "by": self.blocked.by.to_string(),
            "entry": self.blocked.entry,
            "action": self.action,
        })
    }

    pub(super) fn line(&self) -> String {
        let asked = self.asked.question();
        format!("{asked} by {} ({})", self.blocked.by, self.action)
    }

    /// A name that is blocked is answered; the session goes on.
    pub(super) fn ends_session(&self) -> bool {
        match self.asked {
            WasAsked::Request(_) | WasAsked::ServerName(_) => true,
            WasAsked::Query(_) | WasAsked::Answer(_) => false,
        }
    }
}

/// What becomes of it.
fn action(asked: &WasAsked, filters: &Filters) -> &'static str {
    let url = filters.url.as_ref().map(|filter| filter.action);
    let dns = filters.dns.as_ref().map(|filter| &filter.answers);
    match (asked, url, dns) {
        (WasAsked::Request(request), Some(UrlAction::Page), _) if request.is_http1 => "page",
        (WasAsked::Request(_) | WasAsked::ServerName(_), _, _) => "reset",
        (WasAsked::Query(_) | WasAsked::Answer(_), _, Some(DnsAnswers::Zero)) => "zero",
        (WasAsked::Query(_) | WasAsked::Answer(_), _, Some(DnsAnswers::Sinkhole(_))) => "sinkhole",
        (WasAsked::Query(_) | WasAsked::Answer(_), _, Some(DnsAnswers::NxDomain) | None) => {
            "nxdomain"
        }
    }
}
