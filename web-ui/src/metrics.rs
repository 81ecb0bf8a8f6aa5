//! `/metrics`: every counter for Prometheus, in the OpenMetrics text format.
//!
//! What is read are counters alone, whatever the number of sessions. Names follow Prometheus's conventions:
//! base units, and `_total` for what only grows (hits begin anew when somebody resets them).

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use firewall::control::{HitTotals, Totals};
use firewall::history::open_files;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::appliance::Appliance;
use crate::filter::NoParameters;
use crate::problem::Problem;
use crate::routes::{Routes, handlers};

/// OpenMetrics 1.0.0, section 5.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Outside of `/api/v1`.
pub(crate) fn routes() -> Routes<Arc<dyn Appliance>> {
    Routes::new().routes(handlers!(metrics))
}

/// Counters for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = OK, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(
    State(appliance): State<Arc<dyn Appliance>>,
    _: NoParameters,
) -> Result<impl IntoResponse, Problem> {
    // Ten thousand policies take some milliseconds.
    let text = tokio::task::spawn_blocking(move || text(Scrape::of(&*appliance)));
    match text.await {
        Ok(Ok(text)) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text)),
        Ok(Err(_)) | Err(_) => Err(Problem::internal()),
    }
}

fn text(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// What one scrape found.
#[derive(Debug)]
struct Scrape {
    totals: Totals,
    hits: HitTotals,
    open_files: Option<u64>,
    version: String,
}

impl Scrape {
    fn of(appliance: &dyn Appliance) -> Self {
        Self {
            totals: appliance.totals(),
            hits: appliance.hit_totals(),
            open_files: open_files(),
            version: appliance.system().version,
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.appliance(&mut page)?;
        self.traffic(&mut page)?;
        self.sessions(&mut page)?;
        self.hits(&mut page)?;
        self.inspection(&mut page)?;
        self.pools(&mut page)?;
        self.workers(&mut page)?;
        self.process(&mut page)
    }
}

impl Scrape {
    fn appliance(&self, page: &mut Page<'_>) -> fmt::Result {
        let totals = &self.totals;
        page.gauges(
            "palisade_build_info",
            "The version that runs",
            None,
            [([("version", self.version.as_str())], 1i64)],
        )?;
        page.gauge(
            "palisade_configuration_generation",
            "The number of the configuration in force, since the start",
            None,
            totals.generation as i64,
        )?;
        page.counters(
            "palisade_commits",
            "Commits since the start, changes of objects and schedules among them",
            None,
            [
                ([("outcome", "done")], totals.commits_done),
                ([("outcome", "refused")], totals.commits_refused),
            ],
        )?;
        if let Some(last) = totals.last_commit {
            page.gauge(
                "palisade_last_commit_timestamp",
                "When the last commit was done",
                Some(&Unit::Seconds),
                last.as_millisecond() as f64 / 1e3,
            )?;
        }
        page.counter(
            "palisade_log_events_lost",
            "Session events that the log was too slow for",
            None,
            totals.events_lost,
        )
    }

    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        let totals = &self.totals;
        let interfaces = || {
            let all = totals.interfaces.iter();
            all.map(|interface| ([("interface", interface.name.as_str())], interface))
        };
        let bytes = Some(&Unit::Bytes);
        page.counters(
            "palisade_interface_receive",
            "Bytes received at an interface",
            bytes,
            interfaces().map(|(labels, interface)| (labels, interface.received.bytes)),
        )?;
        page.counters(
            "palisade_interface_transmit",
            "Bytes sent by an interface",
            bytes,
            interfaces().map(|(labels, interface)| (labels, interface.sent.bytes)),
        )?;
        page.counters(
            "palisade_interface_receive_packets",
            "Packets received at an interface",
            None,
            interfaces().map(|(labels, interface)| (labels, interface.received.packets)),
        )?;
        page.counters(
            "palisade_interface_transmit_packets",
            "Packets sent by an interface",
            None,
            interfaces().map(|(labels, interface)| (labels, interface.sent.packets)),
        )?;
        for (name, help, reasons) in [
            (
                "palisade_dropped_packets",
                "Packets dropped, by the interface that they arrived at",
                &totals.drops,
            ),
            (
                "palisade_punted_packets",
                "Packets that the fast path gave to workers",
                &totals.punts,
            ),
        ] {
            let each = reasons.iter().map(|total| {
                let labels = [
                    ("interface", total.interface.as_str()),
                    ("reason", total.reason),
                ];
                (labels, total.packets)
            });
            page.counters(name, help, None, each)?;
        }
        page.counter(
            "palisade_fast_path_packets",
            "Packets that the fast path forwarded",
            None,
            totals.fast_path_packets,
        )
    }

    fn sessions(&self, page: &mut Page<'_>) -> fmt::Result {
        let totals = &self.totals;
        page.gauge(
            "palisade_sessions",
            "Sessions in the table",
            None,
            totals.sessions as i64,
        )?;
        page.gauge(
            "palisade_sessions_capacity",
            "Sessions that the table has room for",
            None,
            totals.session_capacity as i64,
        )?;
        page.counter(
            "palisade_sessions_opened",
            "Sessions opened",
            None,
            totals.sessions_opened,
        )?;
        page.counter(
            "palisade_sessions_closed",
            "Sessions ended",
            None,
            totals.sessions_ended(),
        )
    }

    fn hits(&self, page: &mut Page<'_>) -> fmt::Result {
        let policies = self.hits.policies.iter();
        page.counters(
            "palisade_policy_hits",
            "Sessions that a policy decided",
            None,
            policies.map(|(name, hits)| ([("policy", name.as_str())], *hits)),
        )?;
        let rules = self.hits.translations.iter();
        page.counters(
            "palisade_nat_rule_hits",
            "Sessions that a rule translated",
            None,
            rules.map(|(kind, name, hits)| {
                ([("kind", kind.name()), ("rule", name.as_str())], *hits)
            }),
        )
    }

    fn inspection(&self, page: &mut Page<'_>) -> fmt::Result {
        let inspection = &self.totals.inspection;
        page.gauge(
            "palisade_inspected_sessions",
            "Sessions whose content is looked into",
            None,
            inspection.sessions as i64,
        )?;
        page.counter(
            "palisade_inspected_sessions_begun",
            "Sessions whose content was ever looked into",
            None,
            inspection.sessions_begun,
        )?;
        let bytes = Some(&Unit::Bytes);
        page.gauge(
            "palisade_inspection_memory",
            "What inspection holds: segments that are not acknowledged or wait for others, and what parsers keep",
            bytes,
            inspection.memory_bytes as i64,
        )?;
        page.gauge(
            "palisade_inspection_memory_limit",
            "What inspection may hold",
            bytes,
            inspection.memory_limit_bytes as i64,
        )?;
        let rules = inspection.signatures.unwrap_or_default();
        page.gauge(
            "palisade_signatures",
            "Signatures that are looked for",
            None,
            i64::from(rules.loaded),
        )?;
        page.gauge(
            "palisade_signatures_faulty",
            "Signatures that can't be used",
            None,
            i64::from(rules.faulty),
        )?;
        page.gauge(
            "palisade_signature_files",
            "Files that signatures were read from",
            None,
            i64::from(rules.files),
        )?;
        page.gauge(
            "palisade_signature_files_unread",
            "Files of signatures, or patterns of files, that can't be read",
            None,
            i64::from(rules.unread),
        )?;
        let matches = inspection.matches.iter();
        page.counters(
            "palisade_signature_matches",
            "Matches of signatures, by what was done for them",
            None,
            matches.map(|(action, count)| ([("action", *action)], *count)),
        )?;
        let blocked = inspection.blocked.iter();
        page.counters(
            "palisade_filter_blocked",
            "Requests and queries that a filter did not let through",
            None,
            blocked.map(|(by, count)| ([("filter", *by)], *count)),
        )
    }

    fn pools(&self, page: &mut Page<'_>) -> fmt::Result {
        let pools = || {
            let all = self.totals.pools.iter();
            all.map(|pool| ([("pool", pool.name.as_str())], pool))
        };
        page.gauges(
            "palisade_nat_pool_leases",
            "Translated addresses and ports that sessions hold",
            None,
            pools().map(|(labels, pool)| (labels, pool.leases as i64)),
        )?;
        page.gauges(
            "palisade_nat_pool_capacity",
            "Ports that a pool has, for each protocol",
            None,
            pools().map(|(labels, pool)| (labels, pool.capacity as i64)),
        )?;
        page.counters(
            "palisade_nat_pool_refused",
            "Sessions that found no free port",
            None,
            pools().map(|(labels, pool)| (labels, pool.refused)),
        )
    }

    fn workers(&self, page: &mut Page<'_>) -> fmt::Result {
        let workers = || {
            let all = self.totals.workers.iter().enumerate();
            all.map(|(number, worker)| ([("worker", number.to_string())], worker))
        };
        page.counters(
            "palisade_worker_packets",
            "Packets that a worker received",
            None,
            workers().map(|(labels, worker)| (labels, worker.packets)),
        )?;
        page.counters(
            "palisade_worker_busy",
            "Time that a worker was on a processor",
            Some(&Unit::Seconds),
            workers().filter_map(|(labels, worker)| Some((labels, worker.busy?.as_secs_f64()))),
        )
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let process = &self.totals.process;
        page.counter(
            "process_cpu",
            "Processor time of the process",
            Some(&Unit::Seconds),
            process.busy.as_secs_f64(),
        )?;
        page.gauge(
            "process_resident_memory",
            "Resident memory of the process",
            Some(&Unit::Bytes),
            process.resident_bytes as i64,
        )?;
        page.gauge(
            "process_virtual_memory",
            "Virtual memory of the process",
            Some(&Unit::Bytes),
            process.virtual_bytes as i64,
        )?;
        match self.open_files {
            Some(open) => page.gauge("process_open_fds", "Open files", None, open as i64),
            None => Ok(()),
        }
    }
}

/// Metrics one after the other, each with a line for every set of labels.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter<V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: V,
    ) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: V,
    ) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        each: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, value) in each {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        each: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in each {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http_body_util::BodyExt;

    use super::*;
    use crate::fake::Fake;
    use crate::testing::request;

    /// A line: name, labels, value.
    #[derive(Debug, PartialEq)]
    struct Line {
        name: String,
        labels: BTreeMap<String, String>,
        value: f64,
    }

    /// Reads the text by OpenMetrics 1.0.0, section 4.1, as far as counters and gauges need; refuses
    /// what is not of it.
    fn parse(text: &str) -> Vec<Line> {
        let mut types: BTreeMap<String, String> = BTreeMap::new();
        let mut lines = Vec::new();
        let body = text.strip_suffix("# EOF\n").expect("the end");
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (what, name) = (words.next().unwrap(), words.next().unwrap());
                let rest = words.next().unwrap();
                match what {
                    "TYPE" => {
                        let before = types.insert(name.to_owned(), rest.to_owned());
                        assert!(before.is_none(), "{name} is described twice");
                    }
                    "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{name}: {rest}"),
                    "HELP" => assert!(!rest.is_empty(), "{name}"),
                    other => panic!("# {other}"),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels_of(labels.strip_suffix('}').unwrap())),
                None => (series, BTreeMap::new()),
            };
            let family = name.strip_suffix("_total").unwrap_or(name);
            let expected = if family == name { "gauge" } else { "counter" };
            assert_eq!(
                types.get(family).map(String::as_str),
                Some(expected),
                "{line}"
            );
            lines.push(Line {
                name: name.to_owned(),
                labels,
                value: value.parse().unwrap(),
            });
        }
        lines
    }

    fn labels_of(mut text: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        while let Some((key, rest)) = text.split_once("=\"") {
            let mut value = String::new();
            let mut letters = rest.char_indices();
            let end = loop {
                match letters.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => match letters.next().unwrap().1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (_, letter) => value.push(letter),
                }
            };
            assert!(labels.insert(key.to_owned(), value).is_none());
            text = rest[end + 1..].trim_start_matches(',');
        }
        assert_eq!(text, "");
        labels
    }

    async fn scrape(fake: Fake) -> Vec<Line> {
        let response = request(fake, "GET", "/metrics", None).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], CONTENT_TYPE);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        parse(std::str::from_utf8(&body).unwrap())
    }

    fn value(lines: &[Line], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let found = lines
            .iter()
            .find(|line| line.name == name && line.labels == labels);
        found.map(|line| line.value)
    }

    #[tokio::test]
    async fn every_counter_is_there_by_its_name_and_labels() {
        let lines = scrape(Fake::running()).await;
        for (name, labels, expected) in [
            ("palisade_build_info", &[("version", "0.1.0")][..], 1.0),
            (
                "palisade_interface_receive_bytes_total",
                &[("interface", "left")],
                300_000.0,
            ),
            (
                "palisade_interface_receive_packets_total",
                &[("interface", "left")],
                3_000.0,
            ),
            (
                "palisade_dropped_packets_total",
                &[("interface", "right"), ("reason", "policy-denied")],
                60.0,
            ),
            ("palisade_sessions", &[], 5.0),
            ("palisade_sessions_opened_total", &[], 30.0),
            ("palisade_sessions_closed_total", &[], 25.0),
            (
                "palisade_policy_hits_total",
                &[("policy", "web-out")],
                40_113.0,
            ),
            (
                "palisade_nat_rule_hits_total",
                &[("kind", "source-nat"), ("rule", "internet")],
                40_113.0,
            ),
            (
                "palisade_worker_busy_seconds_total",
                &[("worker", "0")],
                3.0,
            ),
            ("palisade_inspected_sessions", &[], 3.0),
            ("palisade_inspected_sessions_begun_total", &[], 12.0),
            ("palisade_inspection_memory_bytes", &[], 6_000.0),
            ("palisade_signatures", &[], 1_204.0),
            ("palisade_signatures_faulty", &[], 3.0),
            ("palisade_signature_files", &[], 2.0),
            ("palisade_signature_files_unread", &[], 0.0),
            (
                "palisade_signature_matches_total",
                &[("action", "drop")],
                2.0,
            ),
            (
                "palisade_filter_blocked_total",
                &[("filter", "url-filter")],
                4.0,
            ),
            ("palisade_commits_total", &[("outcome", "done")], 6.0),
            ("process_cpu_seconds_total", &[], 6.0),
        ] {
            assert_eq!(
                value(&lines, name, labels),
                Some(expected),
                "{name}: {lines:#?}"
            );
        }
        let mut seen = std::collections::BTreeSet::new();
        for line in &lines {
            assert!(
                seen.insert(format!("{}{:?}", line.name, line.labels)),
                "{line:?} twice"
            );
        }
    }

    #[tokio::test]
    async fn ten_thousand_policies_and_odd_names_are_no_trouble() {
        let mut fake = Fake::running();
        fake.hits.policies = (0..10_000)
            .map(|number| (format!("a \"policy\"\\ {number}"), number))
            .collect();
        let lines = scrape(fake).await;
        let labels = [("policy", "a \"policy\"\\ 9999")];
        assert_eq!(
            value(&lines, "palisade_policy_hits_total", &labels),
            Some(9_999.0)
        );
    }
}
