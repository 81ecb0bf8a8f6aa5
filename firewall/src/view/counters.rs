//! Hits, time series and rates, as they are shown.

use rules::ObjectKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ObjectView;
use crate::history::HitKind;

/// What has been counted under a name since `first-seen`, restarts or not. Times are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HitsView {
    /// Sessions, those that were denied included.
    pub hits: u64,
    #[serde(default)]
    pub last_hit: Option<String>,
    /// When the name first was in a configuration in force.
    #[serde(default)]
    pub first_seen: Option<String>,
}

/// A named thing that policies can refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NamedObjectView {
    #[schema(value_type = String)]
    pub kind: ObjectKind,
    pub name: String,
    /// Sessions that a policy decided which names the object, itself or through others, and whose
    /// packet was in it.
    #[serde(flatten)]
    pub hits: HitsView,
    /// What refers to it, as `policy web-out` or `address servers`.
    pub used_by: Vec<String>,
    /// What is known of it, where only the outside or the time can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<ObjectView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectPage {
    pub objects: Vec<NamedObjectView>,
    pub next: Option<String>,
}

/// `POST /counters/reset`: one name, all of a kind, or everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CounterReset {
    /// `policy`, `source-nat`, `destination-nat`, `static-nat`, `address`, `application`,
    /// `schedule`, `feed`, `fqdn` or `country`.
    #[schema(value_type = Option<String>)]
    pub kind: Option<HitKind>,
    /// Needs a kind.
    pub name: Option<String>,
    /// Everything, which no kind must say otherwise.
    pub all: bool,
}

/// How many counters began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CountersReset {
    pub reset: u64,
}

/// What a series is, and its points where they were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SeriesView {
    pub name: String,
    /// `rate`: so much happened in a second. `level`: so much there was.
    pub kind: String,
    /// `bytes/s`, `packets/s`, `sessions/s`, `hits/s`, `sessions`, `leases`, `bytes` or `ratio`.
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<PointsView>,
}

/// Columns of the same length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PointsView {
    pub step_seconds: u32,
    /// Of each point's beginning, in seconds since 1970.
    pub times: Vec<i64>,
    /// Mean over the step; null where nothing was sampled.
    pub values: Vec<Option<f64>>,
    /// The highest that a second of the step had.
    pub peaks: Vec<Option<f64>>,
    /// Of a rate: how much it was altogether.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// The last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RatesView {
    /// RFC 3339.
    pub at: String,
    pub interfaces: Vec<InterfaceRatesView>,
    pub sessions: u64,
    pub new_sessions_per_second: f64,
    pub ended_sessions_per_second: f64,
    /// Of the packets forwarded, from 0 to 1: those that the kernel forwarded by itself. 0 where there
    /// were none.
    pub fast_path_share: f64,
    /// Reasons that occurred.
    pub drops: Vec<ReasonRateView>,
    pub punts: Vec<ReasonRateView>,
    /// Processor seconds of the process in a second.
    pub cpu_share: f64,
    pub memory_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct InterfaceRatesView {
    pub name: String,
    #[serde(flatten)]
    pub rates: TrafficRates,
}

/// The last second's; zero until there has been one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TrafficRates {
    pub received_bits_per_second: f64,
    pub sent_bits_per_second: f64,
    pub received_packets_per_second: f64,
    pub sent_packets_per_second: f64,
    pub drops_per_second: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ReasonRateView {
    pub reason: String,
    pub per_second: f64,
}
