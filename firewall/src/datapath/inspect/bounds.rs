//! What inspection profiles say of a session.

use std::sync::Arc;

use inspection::Profile;
use inspection::filter::Filters;
use rules::PolicyId;

use super::Looking;
use crate::config::{AmbiguousSegments, Anomalies, SignatureUse, UrgentData};
use crate::datapath::shared::Generation;

/// By the profile of its policy.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) signatures: SignatureUse,
    pub(super) urgent: UrgentData,
    pub(super) ambiguous: AmbiguousSegments,
    pub(super) anomalies: Anomalies,
    pub(super) filters: Option<Arc<Filters>>,
    depth_bytes: u64,
}

impl Bounds {
    /// `None` where the policy's sessions are not inspected.
    pub(super) fn of(policy: Option<PolicyId>, generation: &Generation) -> Option<Self> {
        let policy = policy?;
        let profile = generation.config.inspection.of(policy)?;
        Some(Self {
            signatures: profile.signatures,
            urgent: profile.urgent,
            ambiguous: profile.ambiguous,
            anomalies: profile.anomalies,
            filters: generation.filters(policy).cloned(),
            depth_bytes: profile.depth_bytes,
        })
    }
}

/// How much of a session somebody wants, or may want once its policy is known for good.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    pub(super) signatures: bool,
    pub(super) filters: bool,
    /// Policies ask about each request.
    requests: bool,
    depth_bytes: Option<u64>,
}

impl Wants {
    /// `may_change`: another policy may permit it yet.
    pub(super) fn of(bounds: Option<&Bounds>, may_change: bool, generation: &Generation) -> Self {
        let asks_again = generation.config.rules.asks_about_requests();
        let nothing = Self {
            requests: asks_again,
            ..Self::default()
        };
        if may_change {
            let profiles = generation.config.inspection.profiles().iter();
            return profiles.fold(nothing, |wants, profile| Self {
                signatures: wants.signatures || profile.signatures != SignatureUse::Off,
                filters: wants.filters
                    || profile.url_filter.is_some()
                    || profile.dns_filter.is_some(),
                depth_bytes: wants.depth_bytes.max(Some(profile.depth_bytes)),
                ..wants
            });
        }
        bounds.map_or(nothing, |bounds| Self {
            signatures: bounds.signatures != SignatureUse::Off,
            filters: bounds.filters.is_some(),
            depth_bytes: Some(bounds.depth_bytes),
            ..nothing
        })
    }

    pub(super) fn how_far(self, ip_protocol: u8) -> Profile {
        // About requests, questions of DNS, and the names that its answers give.
        let asks = self.requests || self.filters;
        let profile = Profile {
            all_requests: asks,
            ..Profile::default()
        };
        let wanted_bytes = self.depth_bytes.unwrap_or(profile.depth_bytes);
        // Whoever asks by datagrams may ask from one port for days.
        let is_endless = asks && rules::Protocol(ip_protocol) == rules::Protocol::UDP;
        let depth_bytes = if is_endless { u64::MAX } else { wanted_bytes };
        Profile {
            depth_bytes,
            whole_bytes: if self.signatures { wanted_bytes } else { 0 },
            ..profile
        }
    }
}

impl Looking {
    /// The policy that permits the session from now on.
    pub(super) fn come_under(&mut self, policy: Option<PolicyId>, generation: &Generation) {
        self.bounds = Bounds::of(policy, generation);
        // What is no longer followed can't be taken up again when a request comes under a policy that wants it.
        let may_change =
            self.is_open || self.asks_again(generation.config.rules.asks_about_requests());
        let wants = Wants::of(self.bounds.as_ref(), may_change, generation);
        let ip_protocol = self.session.endpoints().ip_protocol;
        self.session.set_profile(&wants.how_far(ip_protocol));
        if !wants.signatures {
            self.watch = None;
            self.found.clear();
        }
        if wants.filters {
            self.asked.get_or_insert_default();
        } else {
            self.asked = None;
            self.questions.clear();
        }
    }
}
