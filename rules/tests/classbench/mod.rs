//! Filter sets in ClassBench form (Taylor and Turner, 2007), read from beside the repository:
//! `@SRC/len DST/len sport : sport dport : dport proto/mask flags/mask`, tab separated.
//!
//! What policies cannot say is left out: TCP flags.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use palisade_rules::document::{
    Application, ApplicationItem, NameList, Policy, Sections, Term, Zone,
};
use palisade_rules::{
    Action, Facts, Findings, IcmpType, Located, Named, OneOrMany, Place, Protocol, Question, Rules,
    Tuple, Vocabulary, ZoneId,
};

pub(crate) const FAMILIES: [&str; 3] = ["acl1", "fw1", "ipc1"];

#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) source: Ipv4Net,
    pub(crate) destination: Ipv4Net,
    pub(crate) source_ports: (u16, u16),
    pub(crate) destination_ports: (u16, u16),
    /// `None` is any, whatever the ports say.
    pub(crate) protocol: Option<u8>,
    pub(crate) icmp_type: Option<u8>,
}

/// The filters of one set, such as `acl1_1k`, or why there are none.
pub(crate) fn read(name: &str) -> Result<Vec<Filter>, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/classbench")
        .join(name);
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    text.lines().map(Filter::parse).collect()
}

impl Filter {
    fn parse(line: &str) -> Result<Self, String> {
        let not_one = || format!("not a filter: {line}");
        let fields: Vec<&str> = line.trim().split('\t').collect();
        let [
            source,
            destination,
            source_ports,
            destination_ports,
            protocol,
            flags,
        ] = fields[..]
        else {
            return Err(not_one());
        };
        let net = |text: &str| text.parse::<Ipv4Net>().ok().map(|net| net.trunc());
        let ports = |text: &str| {
            let (first, last) = text.split_once(" : ")?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let masked = |text: &str| {
            let (value, mask) = text.split_once('/')?;
            let number = |text: &str| u16::from_str_radix(text.strip_prefix("0x")?, 16).ok();
            Some((number(value)?, number(mask)?))
        };
        let parsed = || {
            let (protocol, of_protocol) = masked(protocol)?;
            let protocol = (of_protocol == 0xff).then_some(protocol as u8);
            let (flags, of_flags) = masked(flags)?;
            Some(Self {
                source: net(source.strip_prefix('@')?)?,
                destination: net(destination)?,
                source_ports: ports(source_ports)?,
                destination_ports: ports(destination_ports)?,
                protocol,
                icmp_type: (protocol == Some(1) && of_flags == 0xff00)
                    .then_some((flags >> 8) as u8),
            })
        };
        parsed().ok_or_else(not_one)
    }

    pub(crate) fn matches(&self, question: &Question) -> bool {
        let Tuple {
            source: IpAddr::V4(source),
            destination: IpAddr::V4(destination),
            protocol,
            source_port,
            destination_port,
        } = question.tuple
        else {
            return false;
        };
        let within = |ports: (u16, u16), port| ports.0 <= port && port <= ports.1;
        self.source.contains(&source)
            && self.destination.contains(&destination)
            && self.protocol.is_none_or(|only| {
                only == protocol.0
                    && within(self.source_ports, source_port)
                    && within(self.destination_ports, destination_port)
            })
            && self
                .icmp_type
                .is_none_or(|kind| question.icmp.map(|icmp| icmp.kind) == Some(kind))
    }

    /// A packet that matches, at corners and in between as `draw` says.
    pub(crate) fn packet(&self, mut draw: impl FnMut() -> u64) -> Question {
        let mut between = |first: u32, last: u32| match draw() % 4 {
            0 => first,
            1 => last,
            _ => first + (draw() % (u64::from(last - first) + 1)) as u32,
        };
        let mut address = |net: Ipv4Net| {
            Ipv4Addr::from(between(net.network().to_bits(), net.broadcast().to_bits()))
        };
        let (source, destination) = (address(self.source), address(self.destination));
        let mut port = |ports: (u16, u16)| between(ports.0.into(), ports.1.into()) as u16;
        let (source_port, destination_port) =
            (port(self.source_ports), port(self.destination_ports));
        let protocol = self
            .protocol
            .unwrap_or([6, 17, 1, 47][(draw() % 4) as usize]);
        let kind = self.icmp_type.unwrap_or(draw() as u8);
        question(
            source,
            destination,
            protocol,
            (source_port, destination_port),
            kind,
        )
    }
}

/// Any packet at all.
pub(crate) fn any_packet(mut draw: impl FnMut() -> u64) -> Question {
    let addresses = draw();
    let ports = draw();
    let protocol = [6, 17, 1, 47][(draw() % 4) as usize];
    question(
        Ipv4Addr::from(addresses as u32),
        Ipv4Addr::from((addresses >> 32) as u32),
        protocol,
        (ports as u16, (ports >> 16) as u16),
        (ports >> 32) as u8,
    )
}

fn question(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    ports: (u16, u16),
    kind: u8,
) -> Question {
    let (source_port, destination_port) = match protocol {
        6 | 17 => ports,
        _ => (0, 0),
    };
    Question {
        from: ZoneId(1),
        to: ZoneId(2),
        tuple: Tuple {
            source: source.into(),
            destination: destination.into(),
            protocol: Protocol(protocol),
            source_port,
            destination_port,
        },
        icmp: (protocol == 1).then_some(IcmpType { kind, code: 0 }),
    }
}

/// A policy for each filter, between any zones; every third denies.
pub(crate) struct Document {
    pub(crate) zones: Named<Zone>,
    pub(crate) applications: Named<Application>,
    pub(crate) policies: Vec<Policy>,
}

impl Document {
    pub(crate) fn of(filters: &[Filter]) -> Self {
        let mut applications: Named<Application> = Named::default();
        let mut policies = Vec::new();
        let mut known = std::collections::HashSet::new();
        for (number, filter) in filters.iter().enumerate() {
            let application = filter.protocol.map(|protocol| {
                let name = application_name(filter, protocol);
                if known.insert(name.clone()) {
                    applications
                        .0
                        .push((located(&name), application(filter, protocol)));
                }
                name
            });
            policies.push(Policy {
                name: located(&format!("filter-{number}")),
                description: None,
                enabled: true,
                schedule: None,
                l7: None,
                inspect: None,
                from: list("any"),
                to: list("any"),
                source: Some(list(&filter.source.to_string())),
                destination: Some(list(&filter.destination.to_string())),
                application: application.as_deref().map(list),
                action: [Action::Permit, Action::Permit, Action::Deny][number % 3],
                log: OneOrMany::default(),
            });
        }
        Self {
            zones: Named(
                ["one", "two"]
                    .map(|zone| (located(zone), Zone::default()))
                    .into(),
            ),
            applications,
            policies,
        }
    }

    pub(crate) fn compile(&self) -> (Rules, Findings) {
        let mut findings = Findings::default();
        let rules = self
            .with_sections(|sections| Rules::compile(sections, &Facts::default(), &mut findings).0);
        (rules, findings)
    }

    /// What there is to say of its hygiene.
    pub(crate) fn check(&self) -> Findings {
        let mut findings = Findings::default();
        self.with_sections(|sections| {
            palisade_rules::hygiene::check(sections, [], &mut findings);
        });
        findings
    }

    fn with_sections<T>(&self, ask: impl FnOnce(Sections<'_>) -> T) -> T {
        ask(Sections {
            zones: &self.zones,
            addresses: &Named::default(),
            feeds: &Named::default(),
            countries: None,
            applications: &self.applications,
            schedules: &Named::default(),
            policies: &self.policies,
            vocabulary: &Vocabulary::EMPTY,
        })
    }
}

fn application_name(filter: &Filter, protocol: u8) -> String {
    let (source, destination) = (filter.source_ports, filter.destination_ports);
    let kind = filter
        .icmp_type
        .map_or(String::new(), |kind| format!("-type-{kind}"));
    format!(
        "p{protocol}-{}-{}-{}-{}{kind}",
        source.0, source.1, destination.0, destination.1
    )
}

fn application(filter: &Filter, protocol: u8) -> Application {
    let ports = |ports: (u16, u16)| match ports {
        (0, u16::MAX) => OneOrMany::default(),
        (first, last) => OneOrMany(vec![located(&format!("{first}-{last}"))]),
    };
    let term = Term {
        protocol: located(&protocol.to_string()),
        source_port: ports(filter.source_ports),
        destination_port: ports(filter.destination_ports),
        icmp_type: filter.icmp_type.map(|value| Located {
            value,
            place: Place::NONE,
        }),
        icmp_code: None,
        idle_timeout: None,
    };
    OneOrMany(vec![ApplicationItem::Term(Located {
        value: term,
        place: Place::NONE,
    })])
}

pub(crate) fn located(text: &str) -> Located<String> {
    Located {
        value: text.to_owned(),
        place: Place::NONE,
    }
}

pub(crate) fn list(item: &str) -> NameList {
    Located {
        value: OneOrMany(vec![located(item)]),
        place: Place::NONE,
    }
}

/// The same numbers each time (splitmix64).
pub(crate) fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
