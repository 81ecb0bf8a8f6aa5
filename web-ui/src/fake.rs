//! An appliance of plain data, for tests: IPv4 and IPv6, translated and not, every view filled.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use firewall::CommitError;
use firewall::audit::AuditLog;
use firewall::clock::{Moment, Timestamp};
use firewall::config::{Config, EventBounds};
use firewall::control::{
    FilterError, HitTotals, InspectionTotals, InterfaceTotals, MatchError, ObjectFilter,
    ReasonTotal, Totals, WorkerTotals,
};
use firewall::events::Events;
use firewall::history::{History, HitKind, ProcessTotals, Sample};
use firewall::lifecycle::{Datapath, Lifecycle, Occasion};
use firewall::view::{
    BadLineView, Cleared, CountView, CounterReset, DestinationNatView, DropsView, Endpoint,
    FailureView, HitsView, InterfaceState, InterfaceView, LeaseFilter, LeasePage, LeaseView,
    MatchEnds, MatchRequest, MatchView, NamedObjectView, NatPoolView, NatRuleView, NatView,
    NearMissView, NeighbourFilter, NeighbourPage, NeighbourView, ObjectPage, Offload, OffloadView,
    PolicyFilter, PolicyOrder, PolicyView, Readiness, RouteFilter, RouteKind, RoutePage,
    RouteTaken, RouteView, SessionFilter, SessionPage, SessionQuery, SessionView, SignaturesView,
    StepView, SystemView, TopBy, TopQuery, TopSessions, TopView, Traffic, TrafficRates,
    UrlListView, WhichConfiguration,
};
use futures_util::future::BoxFuture;
use rules::ObjectKind;

use crate::access::{Access, Guarded};
use crate::appliance::Appliance;
use crate::system::Machine;

/// What the views answer; a test changes what it is about.
#[derive(Clone, Debug)]
pub struct Fake {
    pub system: SystemView,
    pub sessions: Vec<SessionView>,
    pub interfaces: Vec<InterfaceView>,
    pub policies: Vec<PolicyView>,
    pub nat: NatView,
    pub drops: DropsView,
    pub routes: Vec<RouteView>,
    pub neighbours: Vec<NeighbourView>,
    pub readiness: Readiness,
    /// What becomes of any packet.
    pub explanation: MatchView,
    pub objects: Vec<NamedObjectView>,
    pub url_lists: Vec<UrlListView>,
    pub hits: HitTotals,
    /// Half a minute of [`sample`]s, up to now.
    pub history: History,
}

impl Fake {
    /// An edge firewall at work.
    pub fn running() -> Self {
        let sessions = sessions();
        Self {
            system: SystemView {
                host_name: "edge-1".into(),
                version: "0.1.0".into(),
                mode: "routing".into(),
                generation: 7,
                uptime_seconds: 273_845,
                workers: 2,
                sessions: sessions.len() as u64,
                session_capacity: 65_536,
                signatures: Some(SIGNATURES),
            },
            sessions,
            interfaces: interfaces(),
            policies: policies(),
            nat: nat(),
            drops: drops(),
            routes: routes(),
            neighbours: neighbours(),
            readiness: Readiness {
                ready: true,
                generation: 7,
                missing: Vec::new(),
                waiting: Vec::new(),
                advice: Vec::new(),
            },
            explanation: explanation(),
            objects: objects(),
            url_lists: url_lists(),
            hits: hit_totals(),
            history: history(),
        }
    }

    /// Booted, and nothing has happened yet.
    pub fn empty() -> Self {
        Self {
            sessions: Vec::new(),
            interfaces: Vec::new(),
            policies: Vec::new(),
            nat: NatView {
                rules: Vec::new(),
                pools: Vec::new(),
            },
            drops: DropsView {
                drops: Vec::new(),
                punts: Vec::new(),
            },
            routes: Vec::new(),
            neighbours: Vec::new(),
            ..Self::running()
        }
    }
}

impl Fake {
    /// With their positions.
    fn matching(&self, filter: &SessionFilter) -> Result<Vec<(usize, &SessionView)>, FilterError> {
        if let Some(protocol) = &filter.protocol
            && !["tcp", "udp", "icmp", "icmpv6"].contains(&protocol.as_str())
        {
            return Err(wrong("protocol", "unknown"));
        }
        let is_wanted = |session: &SessionView| {
            let ends = [
                session.initiator,
                session.responder,
                session.translated_initiator,
                session.translated_responder,
            ];
            filter.id.is_none_or(|id| id == session.id)
                && filter
                    .address
                    .is_none_or(|prefix| ends.iter().any(|end| prefix.contains(&end.address)))
                && filter
                    .port
                    .is_none_or(|port| ends.iter().any(|end| end.port == port))
                && filter
                    .protocol
                    .as_ref()
                    .is_none_or(|protocol| *protocol == session.protocol)
                && filter
                    .policy
                    .as_ref()
                    .is_none_or(|policy| session.policy.as_ref() == Some(policy))
                && filter
                    .zone
                    .as_ref()
                    .is_none_or(|zone| [&session.from_zone, &session.to_zone].contains(&zone))
        };
        let sessions = self.sessions.iter().enumerate();
        Ok(sessions.filter(|(_, session)| is_wanted(session)).collect())
    }
}

impl Appliance for Fake {
    fn system(&self) -> SystemView {
        self.system.clone()
    }

    fn clear_sessions(&self, filter: &SessionFilter) -> Result<Cleared, FilterError> {
        let matching = self.matching(filter)?;
        Ok(Cleared {
            cleared: matching.len() as u64,
        })
    }

    fn sessions(&self, query: &SessionQuery) -> Result<SessionPage, FilterError> {
        let start = match &query.cursor {
            None => 0,
            Some(cursor) => cursor
                .parse()
                .map_err(|_| wrong("cursor", "from elsewhere"))?,
        };
        let matching = self.matching(&query.which)?;
        let (first, limit) = (
            query.offset.unwrap_or(0) as usize,
            query.limit.unwrap_or(100),
        );
        let from = matching
            .iter()
            .skip_while(|(position, _)| *position < start);
        let mut rest = from.skip(first);
        let sessions = rest.by_ref().take(limit);
        let sessions = sessions.map(|(_, session)| (*session).clone()).collect();
        Ok(SessionPage {
            sessions,
            total: self.sessions.len() as u64,
            matching: query
                .count
                .unwrap_or(false)
                .then_some(matching.len() as u64),
            capacity: self.system.session_capacity,
            next: rest.next().map(|(position, _)| position.to_string()),
        })
    }

    fn top_sessions(&self, query: &TopQuery) -> Result<TopSessions, FilterError> {
        let mut top: Vec<TopView> = Vec::new();
        for (_, session) in self.matching(&query.which)? {
            let name = match query.by {
                TopBy::Source => Some(session.initiator.address.to_string()),
                TopBy::Destination => Some(session.responder.address.to_string()),
                TopBy::Application => session.application.clone(),
                TopBy::Policy => session.policy.clone(),
            };
            let known = top.iter().position(|known| known.name == name);
            let position = known.unwrap_or(top.len());
            if known.is_none() {
                let (sessions, traffic) = (0, Traffic::default());
                top.push(TopView {
                    name,
                    sessions,
                    traffic,
                });
            }
            top[position].sessions += 1;
            for traffic in [session.from_initiator, session.from_responder] {
                top[position].traffic.packets += traffic.packets;
                top[position].traffic.bytes += traffic.bytes;
            }
        }
        top.sort_by_key(|sum| Reverse(sum.traffic.bytes));
        top.truncate(query.limit.unwrap_or(100));
        Ok(TopSessions {
            by: query.by,
            top,
            total: self.sessions.len() as u64,
        })
    }

    fn interfaces(&self) -> Vec<InterfaceView> {
        self.interfaces.clone()
    }

    fn policies(&self, filter: &PolicyFilter) -> Vec<PolicyView> {
        let mut policies = self.policies.clone();
        if let Some(PolicyOrder::Hits) = filter.sort {
            policies.sort_by_key(|policy| Reverse(policy.hits.hits));
        }
        policies.truncate(filter.limit.unwrap_or(usize::MAX));
        policies
    }

    fn nat(&self) -> NatView {
        self.nat.clone()
    }

    fn drops(&self) -> DropsView {
        self.drops.clone()
    }

    /// Of what is translated by a source rule, on one page.
    fn leases(&self, filter: &LeaseFilter) -> Result<LeasePage, FilterError> {
        let of_sessions = self.sessions.iter().filter_map(|session| {
            let outside = session.translated_initiator;
            Some(LeaseView {
                pool: outside.address.to_string(),
                address: outside.address,
                port: Some(outside.port),
                protocol: session.protocol.clone(),
                rule: session.source_nat.clone()?,
                session: session.id,
                holder: session.initiator,
            })
        });
        let wanted = |lease: &LeaseView| {
            filter
                .holder
                .is_none_or(|prefix| prefix.contains(&lease.holder.address))
        };
        Ok(LeasePage {
            leases: of_sessions.filter(wanted).collect(),
            next: None,
        })
    }

    /// On one page.
    fn routes(&self, filter: &RouteFilter) -> Result<RoutePage, FilterError> {
        let wanted = |route: &&RouteView| filter.kind.is_none_or(|kind| kind == route.kind);
        Ok(RoutePage {
            routes: self.routes.iter().filter(wanted).cloned().collect(),
            total: self.routes.len() as u64,
            next: None,
        })
    }

    /// On one page.
    fn neighbours(&self, filter: &NeighbourFilter) -> Result<NeighbourPage, FilterError> {
        let wanted = |neighbour: &&NeighbourView| {
            filter
                .state
                .as_ref()
                .is_none_or(|state| *state == neighbour.state)
        };
        Ok(NeighbourPage {
            neighbours: self.neighbours.iter().filter(wanted).cloned().collect(),
            total: self.neighbours.len() as u64,
            next: None,
        })
    }

    fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// The packet is the request's; what becomes of it is always the same.
    fn explain(
        &self,
        request: &MatchRequest,
        candidate: Option<Config>,
    ) -> Result<MatchView, MatchError> {
        if request.source.is_ipv4() != request.destination.is_ipv4() {
            return Err(MatchError {
                member: "destination",
                problem: "of another family".into(),
            });
        }
        Ok(MatchView {
            configuration: match candidate {
                Some(_) => WhichConfiguration::Candidate,
                None => WhichConfiguration::Running,
            },
            packet: MatchEnds {
                source: request.source,
                destination: request.destination,
                protocol: request.protocol.clone(),
                source_port: request.source_port.unwrap_or(49_152),
                destination_port: request.destination_port.unwrap_or(0),
                icmp_type: request.icmp_type,
                icmp_code: request.icmp_code,
            },
            ..self.explanation.clone()
        })
    }
    fn objects(&self, filter: &ObjectFilter) -> ObjectPage {
        let wanted = self.objects.iter().filter(|object| {
            filter.kind.is_none_or(|kind| kind == object.kind)
                && filter
                    .name
                    .as_ref()
                    .is_none_or(|part| object.name.contains(part))
                && filter
                    .used
                    .is_none_or(|used| used != object.used_by.is_empty())
        });
        ObjectPage {
            objects: wanted.cloned().collect(),
            next: None,
        }
    }

    fn url_lists(&self) -> Vec<UrlListView> {
        self.url_lists.clone()
    }

    fn reset_hits(&self, reset: &CounterReset) -> u64 {
        let policies = self.policies.iter().filter(|policy| {
            reset.kind.is_none_or(|kind| kind == HitKind::Policy)
                && reset.name.as_ref().is_none_or(|name| *name == policy.name)
        });
        policies.count() as u64
    }

    fn totals(&self) -> Totals {
        sample(30).totals
    }

    fn hit_totals(&self) -> HitTotals {
        self.hits.clone()
    }

    fn history(&self) -> &History {
        &self.history
    }
}

/// What there is after so many seconds of even traffic.
///
/// # Panics
/// After more seconds than there are dates for.
pub fn sample(second: u64) -> Sample {
    let interface = |name: &str, drops: u64| InterfaceTotals {
        name: name.into(),
        received: traffic(second * 100, second * 10_000),
        sent: traffic(second * 100, second * 10_000),
        drops: drops * second,
    };
    let now = jiff::Timestamp::now();
    let ago = jiff::SignedDuration::from_secs(30 - second.cast_signed());
    Sample {
        at: Moment {
            steady: Timestamp(second * 1_000_000_000),
            wall: now.checked_sub(ago).expect("a date"),
        },
        totals: Totals {
            generation: 7,
            commits_done: 6,
            last_commit: Some(now),
            interfaces: vec![interface("left", 0), interface("right", 2)],
            drops: vec![ReasonTotal {
                reason: "policy-denied",
                interface: "right".into(),
                packets: second * 2,
            }],
            sessions: 5,
            session_capacity: 65_536,
            sessions_opened: second,
            fast_path_packets: second * 180,
            worker_packets: second * 20,
            pools: nat().pools,
            workers: vec![WorkerTotals {
                packets: second * 20,
                busy: Some(Duration::from_millis(second * 100)),
            }],
            inspection: InspectionTotals {
                sessions: 3,
                sessions_begun: 12,
                memory_bytes: 6_000,
                memory_limit_bytes: 64 << 20,
                matches: vec![("drop", 2)],
                signatures: Some(SIGNATURES),
                blocked: vec![("url-filter", 4)],
            },
            process: ProcessTotals {
                busy: Duration::from_millis(second * 200),
                resident_bytes: 20 << 20,
                virtual_bytes: 90 << 20,
            },
            ..Totals::default()
        },
        policy_hits: vec![("web-out".into(), 1)],
    }
}

fn history() -> History {
    let history = History::in_memory().expect("a database in memory");
    for second in 0..=30 {
        // What is over is for the disk, which a fake has none of.
        let _ = history.take(&sample(second));
    }
    history
}

/// The API of `appliance`, with users in memory and [`CONFIGURATION`] in force.
///
/// # Panics
/// Where passwords can't be hashed, or the system has no place for temporary files.
pub async fn site(appliance: Fake) -> Guarded {
    let access = Access::open(None, Arc::new(AuditLog)).expect("users in memory");
    crate::router(
        Arc::new(appliance),
        lifecycle(&TempDir::new()).await,
        events(),
        access,
        machine(),
    )
}

/// What is described of it.
#[cfg(test)]
pub(crate) async fn api(appliance: Fake) -> crate::routes::Routes<()> {
    let access = Access::open(None, Arc::new(AuditLog)).expect("users in memory");
    let lifecycle = lifecycle(&TempDir::new()).await;
    crate::router::api(Arc::new(appliance), lifecycle, events(), &access, machine())
}

/// One that nobody starts anew.
#[must_use]
pub fn machine() -> Machine {
    Machine::new(std::env::temp_dir()).0
}

/// A store of events in memory.
pub fn events() -> Events {
    let events = Events::new();
    events.start(None, EventBounds::default());
    events
}

/// What is in force in a [`lifecycle`] at first.
pub const CONFIGURATION: &str = "\
version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: left, host-inbound: [ping] }
  untrust: { interfaces: right }
# Who is where.
addresses:
  lan: 192.0.2.0/24   # everybody
  web-servers: [192.0.2.10, 192.0.2.16/28]
policies:
  # Everybody may look at pages.
  - { name: web-out, from: trust, to: untrust, source: lan, application: [http, https], action: permit }
  - { name: no-mail, from: trust, to: untrust, application: smtp, action: reject }
  - name: rest
    from: any
    to: any
    action: deny
";

/// A configuration's life, with a datapath that enforces anything at once.
///
/// # Panics
/// Where the system has no place for temporary files.
pub async fn lifecycle(dir: &TempDir) -> Lifecycle {
    let file = dir.path().join("palisade.yaml");
    std::fs::write(&file, CONFIGURATION).expect("a file");
    let options = firewall::lifecycle::Options {
        start: firewall::config::StartDocument::at(file),
        state_dir: dir.path().join("state"),
        audit: Arc::new(AuditLog),
        compile: Arc::new(firewall::config::parse),
    };
    let (_, opened) = Lifecycle::open(options).expect("a configuration");
    opened.enforced(Box::new(Obedient(1)), 1).await
}

const SIGNATURES: SignaturesView = SignaturesView {
    loaded: 1_204,
    faulty: 3,
    files: 2,
    unread: 0,
};

/// A datapath that counts generations.
#[derive(Debug)]
struct Obedient(u64);

impl Datapath for Obedient {
    fn commit(&mut self, _: Config, _: Occasion) -> BoxFuture<'_, Result<u64, CommitError>> {
        self.0 += 1;
        let generation = self.0;
        Box::pin(async move { Ok(generation) })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// A directory that goes when its test ends, also when it fails.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// # Panics
    /// Where the system has no place for temporary files.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("palisade-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

fn wrong(parameter: &'static str, problem: &str) -> FilterError {
    FilterError {
        parameter,
        problem: problem.into(),
    }
}

fn end(address: &str, port: u16) -> Endpoint {
    Endpoint {
        address: ip(address),
        port,
    }
}

fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address literal")
}

fn traffic(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn sessions() -> Vec<SessionView> {
    let web = SessionView {
        id: 1017,
        protocol: "tcp".into(),
        initiator: end("192.0.2.10", 51_234),
        responder: end("203.0.113.80", 443),
        translated_initiator: end("198.51.100.1", 40_001),
        translated_responder: end("203.0.113.80", 443),
        from_zone: "trust".into(),
        to_zone: "untrust".into(),
        ingress: "left".into(),
        egress: "right".into(),
        policy: Some("web-out".into()),
        source_nat: Some("internet".into()),
        destination_nat: None,
        tcp_state: Some("established".into()),
        application: Some("https".into()),
        host: Some("www.example.com".into()),
        generation: 7,
        worker: 0,
        age_seconds: 133,
        expires_seconds: 7_199,
        from_initiator: traffic(1_204, 96_320),
        from_responder: traffic(8_412, 11_904_221),
        offload: OffloadView {
            from_initiator: Offload::Offloaded,
            from_responder: Offload::Offloaded,
        },
    };
    let published = SessionView {
        id: 1018,
        initiator: end("203.0.113.7", 33_001),
        responder: end("198.51.100.1", 443),
        translated_initiator: end("203.0.113.7", 33_001),
        translated_responder: end("192.0.2.10", 8_443),
        from_zone: "untrust".into(),
        to_zone: "trust".into(),
        policy: Some("publish-the-shop".into()),
        source_nat: None,
        destination_nat: Some("web".into()),
        tcp_state: Some("syn-received".into()),
        age_seconds: 1,
        expires_seconds: 29,
        from_initiator: traffic(1, 60),
        from_responder: traffic(1, 60),
        ..web.clone()
    };
    let ipv6 = SessionView {
        id: 1019,
        initiator: end("2001:db8:1::10", 51_300),
        responder: end("2001:db8:2::53", 443),
        translated_initiator: end("2001:db8:1::10", 51_300),
        translated_responder: end("2001:db8:2::53", 443),
        source_nat: None,
        age_seconds: 90_061,
        from_initiator: traffic(18_222_104, 1_311_991_488),
        from_responder: traffic(41_003_921, 58_005_221_904),
        ..web.clone()
    };
    let dns = SessionView {
        id: 1020,
        protocol: "udp".into(),
        initiator: end("192.0.2.11", 5_353),
        responder: end("203.0.113.53", 53),
        translated_initiator: end("198.51.100.1", 40_002),
        translated_responder: end("203.0.113.53", 53),
        tcp_state: None,
        application: Some("dns".into()),
        host: None,
        age_seconds: 4,
        expires_seconds: 26,
        from_initiator: traffic(1, 71),
        from_responder: traffic(1, 188),
        offload: OffloadView {
            from_initiator: Offload::Offloaded,
            from_responder: Offload::NoNeighbour,
        },
        ..web.clone()
    };
    let ping = SessionView {
        id: 1021,
        protocol: "icmpv6".into(),
        initiator: end("2001:db8:2::99", 17),
        responder: end("2001:db8:2::1", 17),
        translated_initiator: end("2001:db8:2::99", 17),
        translated_responder: end("2001:db8:2::1", 17),
        from_zone: "untrust".into(),
        to_zone: "host".into(),
        policy: None,
        source_nat: None,
        application: Some("ping".into()),
        host: None,
        offload: web.offload,
        ..dns.clone()
    };
    vec![web, published, ipv6, dns, ping]
}

fn interfaces() -> Vec<InterfaceView> {
    let left = InterfaceView {
        name: "left".into(),
        device: "eth1".into(),
        vlan: None,
        state: InterfaceState::Attached,
        reason: None,
        attach: "tc".into(),
        zone: "trust".into(),
        addresses: words(&["192.0.2.1/24"]),
        mac: "02:42:c0:00:02:01".into(),
        mtu: 1500,
        up: true,
        received: traffic(19_204_881, 1_455_003_112),
        sent: traffic(49_416_321, 69_910_004_223),
        dropped: 12,
        punted: 40_211,
        rates: TrafficRates {
            received_bits_per_second: 8_214_000.0,
            sent_bits_per_second: 412_880_311.0,
            received_packets_per_second: 9_104.0,
            sent_packets_per_second: 34_871.0,
            drops_per_second: 0.0,
        },
    };
    let right = InterfaceView {
        name: "right".into(),
        device: "eth2".into(),
        vlan: Some(120),
        attach: "xdp".into(),
        zone: "untrust".into(),
        addresses: words(&[
            "198.51.100.1/24",
            "2001:db8:2::1/64",
            "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128",
        ]),
        up: false,
        received: traffic(49_420_002, 69_911_000_000),
        sent: traffic(19_204_000, 1_455_000_000),
        dropped: 90_114,
        ..left.clone()
    };
    vec![left, right]
}

/// A visitor of the shop, whom nothing lets in.
fn explanation() -> MatchView {
    let packet = |destination: &str, port| MatchEnds {
        source: ip("203.0.113.7"),
        destination: ip(destination),
        protocol: "tcp".into(),
        source_port: 49_152,
        destination_port: port,
        icmp_type: None,
        icmp_code: None,
    };
    let step = |step: &str, passes, detail: &str| StepView {
        step: step.into(),
        passes,
        detail: detail.into(),
    };
    MatchView {
        configuration: WhichConfiguration::Running,
        verdict: "deny".into(),
        drop_reason: Some("policy-denied".into()),
        from: "untrust".into(),
        ingress: "right".into(),
        to: Some("trust".into()),
        egress: Some("left".into()),
        to_differs: false,
        packet: packet("198.51.100.1", 443),
        translated: Some(packet("192.0.2.10", 8443)),
        destination_nat: Some(DestinationNatView {
            rule: "web".into(),
            kind: "destination".into(),
            address: ip("192.0.2.10"),
            port: 8443,
        }),
        route: Some(RouteTaken {
            to: "192.0.2.0/24".into(),
            via: None,
            interface: Some("left".into()),
            neighbour: Some("reachable".into()),
        }),
        policy: Some("default".into()),
        position: None,
        application: None,
        not_known: Vec::new(),
        content: None,
        filtered: None,
        source_nat: None,
        session: None,
        near_misses: vec![NearMissView {
            position: 2,
            policy: "publish-the-shop".into(),
            action: "permit".into(),
            failed: vec![FailureView {
                condition: "application".into(),
                parts: words(&["destination-port"]),
                packet: "tcp 8443 from 49152".into(),
                policy: words(&["shop-api"]),
                not_known: Vec::new(),
            }],
        }],
        steps: vec![
            step("ingress", true, "right, zone untrust"),
            step("session", true, "none takes it: it opens one"),
            step(
                "destination-nat",
                true,
                "198.51.100.1:443 becomes 192.0.2.10:8443 by rule web",
            ),
            step(
                "policy",
                false,
                "no policy matches tcp 8443 from 49152; default: deny",
            ),
        ],
    }
}

fn hits(hits: u64) -> HitsView {
    HitsView {
        hits,
        last_hit: (hits > 0).then(|| "2026-01-31T12:00:07Z".into()),
        first_seen: Some("2026-01-03T09:30:00Z".into()),
    }
}

fn hit_totals() -> HitTotals {
    HitTotals {
        policies: policies()
            .into_iter()
            .map(|policy| (policy.name, policy.hits.hits))
            .collect(),
        translations: nat()
            .rules
            .into_iter()
            .map(|rule| {
                let kind = match rule.kind.as_str() {
                    "source" => HitKind::SourceNat,
                    "destination" => HitKind::DestinationNat,
                    _ => HitKind::StaticNat,
                };
                (kind, rule.name, rule.hits.hits)
            })
            .collect(),
    }
}

fn objects() -> Vec<NamedObjectView> {
    let object = |kind, name: &str, count, used_by: &[&str]| NamedObjectView {
        kind,
        name: name.into(),
        hits: hits(count),
        used_by: words(used_by),
        outside: None,
    };
    vec![
        object(ObjectKind::Address, "lan", 40_113, &["policy web-out"]),
        object(ObjectKind::Address, "old-servers", 0, &[]),
        object(
            ObjectKind::Application,
            "shop-api",
            98,
            &["policy publish-the-shop"],
        ),
    ]
}

fn url_lists() -> Vec<UrlListView> {
    let list = |name: &str, origin: Option<&str>| UrlListView {
        name: name.into(),
        description: None,
        source: origin.map_or("entries", |_| "url").into(),
        origin: origin.map(Into::into),
        state: "known".into(),
        entries: 412_776,
        urls: 0,
        patterns: 12,
        memory_bytes: 3_412_880,
        lines: 412_790,
        lines_for_browsers: 0,
        lines_bad: 2,
        bad_lines: vec![BadLineView {
            line: 1_044,
            text: "www..example".into(),
            error: "it is no host name".into(),
        }],
        last_success: Some("2026-11-26T10:00:00Z".into()),
        last_error: None,
        last_error_at: None,
        next_attempt: Some("2026-11-26T11:00:00Z".into()),
    };
    vec![
        list("trackers", Some("https://lists.example.org/trackers.txt")),
        list("own", None),
    ]
}

fn policies() -> Vec<PolicyView> {
    let web = PolicyView {
        position: Some(1),
        name: "web-out".into(),
        from: "trust".into(),
        to: "untrust".into(),
        source: words(&["lan"]),
        destination: words(&["any"]),
        application: words(&["http", "https", "dns", "ping"]),
        l7: Vec::new(),
        action: "permit".into(),
        hits: hits(40_113),
        sessions: 3,
    };
    let shop = PolicyView {
        position: Some(2),
        name: "publish-the-shop".into(),
        from: "untrust".into(),
        to: "trust".into(),
        source: words(&["any"]),
        destination: words(&["web-servers", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:0/112"]),
        application: words(&["shop-api"]),
        hits: hits(98),
        sessions: 1,
        ..web.clone()
    };
    let default = PolicyView {
        position: None,
        name: "default".into(),
        from: "any".into(),
        to: "any".into(),
        source: words(&["any"]),
        destination: words(&["any"]),
        application: words(&["any"]),
        l7: Vec::new(),
        action: "deny".into(),
        hits: hits(90_002),
        sessions: 0,
    };
    vec![web, shop, default]
}

fn nat() -> NatView {
    let rule = |kind: &str, name: &str, matches: &str, translates_to: &str, count| NatRuleView {
        kind: kind.into(),
        name: name.into(),
        from: if kind == "source" { "trust" } else { "untrust" }.into(),
        to: (kind == "source").then(|| "untrust".into()),
        matches: matches.into(),
        translates_to: translates_to.into(),
        hits: hits(count),
    };
    NatView {
        rules: vec![
            rule("source", "internet", "source lan", "interface", 40_113),
            rule(
                "destination",
                "web",
                "198.51.100.1 tcp port 443",
                "192.0.2.10 port 8443",
                98,
            ),
            rule("static", "mail", "198.51.100.20", "192.0.2.20", 0),
        ],
        pools: vec![NatPoolView {
            name: "public".into(),
            addresses: words(&["198.51.100.32/28"]),
            ports: "1024-65535".into(),
            leases: 2,
            capacity: 1_032_192,
            refused: 0,
        }],
    }
}

fn drops() -> DropsView {
    let count = |number, reason: &str, interface: &str, packets| CountView {
        number,
        reason: reason.into(),
        interface: interface.into(),
        packets,
    };
    DropsView {
        drops: vec![
            count(3, "ipv4-bad-checksum", "left", 12),
            count(20, "policy-denied", "right", 90_002),
            count(31, "tcp-out-of-window", "right", 112),
        ],
        punts: vec![
            count(1, "flow-miss", "left", 40_199),
            count(6, "fragment", "left", 12),
        ],
    }
}

fn routes() -> Vec<RouteView> {
    let route = |to: &str, via: Option<&str>, interface: Option<&str>, kind| RouteView {
        to: to.into(),
        via: via.map(ip),
        interface: interface.map(Into::into),
        kind,
        metric: 0,
    };
    vec![
        route(
            "0.0.0.0/0",
            Some("198.51.100.254"),
            Some("right"),
            RouteKind::Static,
        ),
        route("192.0.2.0/24", None, Some("left"), RouteKind::Connected),
        route(
            "2001:db8:aaaa:bbbb:cccc:dddd:eeee:0/112",
            Some("2001:db8:2::fffe"),
            Some("right"),
            RouteKind::Static,
        ),
        route("10.0.0.0/8", None, None, RouteKind::Blackhole),
    ]
}

fn neighbours() -> Vec<NeighbourView> {
    let neighbour =
        |address: &str, interface: &str, mac: Option<&str>, state: &str| NeighbourView {
            address: ip(address),
            interface: interface.into(),
            mac: mac.map(Into::into),
            state: state.into(),
        };
    vec![
        neighbour("192.0.2.10", "left", Some("02:42:c0:00:02:0a"), "reachable"),
        neighbour("198.51.100.254", "right", None, "failed"),
        neighbour(
            "fe80::1034:56ff:fe78:9abc",
            "right",
            Some("02:42:c6:33:64:fe"),
            "stale",
        ),
    ]
}
