//! What the filters of a configuration's profiles would have blocked in a capture.
//!
//! # Limits
//! Lists at a URL are not asked for: they are as if they had never been had. Whether an answer could have been written is not seen: a
//! datagram that has none is dropped.

use firewall::config::{Config, InspectionProfile};
use firewall::objects;
use inspection::Services;
use inspection::capture::Report;
use inspection::filter::{Blocked, Filters, Question};
use rules::Protocol;
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
                    blocked: filters.decide(asked, services)?,
                    action: filters.instead(asked).name(),
                    is_stream: Protocol(report.endpoints.ip_protocol) == Protocol::TCP,
                    asked,
                })
            })
            .collect()
    }
}

/// Something that was blocked.
pub(super) struct Filtered<'r> {
    asked: &'r Question,
    blocked: Blocked,
    action: &'static str,
    is_stream: bool,
}

impl Filtered<'_> {
    pub(super) fn object(&self) -> Value {
        json!({
            "filter": if self.is_of_url_filter() { "url" } else { "dns" },
            "asked": self.asked.to_string(),
            "by": self.blocked.by.to_string(),
            "entry": self.blocked.entry,
            "action": self.action,
        })
    }

    pub(super) fn line(&self) -> String {
        format!("{} by {} ({})", self.asked, self.blocked.by, self.action)
    }

    /// A name that is blocked is answered, and only a connection ends with that.
    pub(super) fn ends_session(&self) -> bool {
        self.is_stream || self.is_of_url_filter()
    }

    fn is_of_url_filter(&self) -> bool {
        match self.asked {
            Question::Request(_) | Question::ServerName(_) | Question::Unnamed => true,
            Question::Query(_) | Question::Answer { .. } => false,
        }
    }
}
