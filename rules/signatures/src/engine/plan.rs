//! How a set of rules is matched: each rule taken apart into what can be told at one time, and what is common to
//! rules told once.
//!
//! A rule's conditions come at different times: a request's head in one piece, its body in many, the stream's bytes
//! beside both. So a rule becomes *plans*, one for each direction it is for, and a plan has *parts*, one for each
//! time. Rules share parts. A plan holds when all its parts do; it is looked at when the last of them does.

use std::fmt::Write as _;

use rustc_hash::FxHashMap;

use super::chain::Chain;
use super::prefilter::{Key, Prefilter};
use crate::buffer::{App, Buffer, Direction, Group};
use crate::range::RangeSet;
use crate::rule::{
    Absent, BitChange, Matcher, PacketTest, PayloadKind, Place, Protocol, Rule, Section, Transform,
    Value,
};

/// Rules for at most so many ports are matched on those only; others on all, with their ports looked at afterwards.
const FEW_PORTS: usize = 64;

/// The protocol that carries a packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Carrier {
    Tcp,
    Udp,
    Icmp,
    Other,
}

impl Carrier {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Icmp, Self::Other];

    pub(crate) fn of(protocol: u8) -> Self {
        match protocol {
            6 => Self::Tcp,
            17 => Self::Udp,
            1 | 58 => Self::Icmp,
            _ => Self::Other,
        }
    }
}

/// When a part can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Moment {
    Packet(Carrier),
    Stream,
    Whole(Group),
    Body,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rule: u32,
    pub(crate) parts: Box<[u32]>,
    /// What must not have been in the stream when all else holds.
    pub(crate) aside: Option<u32>,
    /// The headers of a packet are there to be tested.
    pub(crate) has_packet: bool,
    /// For packets of a stream but the first: the stream's own part sees that.
    pub(crate) skips_first: bool,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) sections: Box<[PartSection]>,
    /// The plans that may be complete when this part is.
    pub(crate) completes: Box<[u32]>,
    /// Other plans need to know that it held.
    pub(crate) is_kept: bool,
    /// Every occurrence of its string counts, because a rule counts.
    pub(crate) counts: bool,
    /// The step that its string is from: section and step.
    pub(crate) pin: Option<(usize, usize)>,
}

#[derive(Debug)]
pub(crate) struct PartSection {
    pub(crate) buffer: Buffer,
    pub(crate) transforms: Box<[Transform]>,
    pub(crate) chain: Chain,
    pub(crate) absent: Absent,
}

/// What is looked for in one kind of bytes: in all sessions, in those of some ports, and of one application.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    pub(crate) common: Option<u32>,
    pub(crate) ports: FxHashMap<u16, u32>,
    pub(crate) apps: FxHashMap<App, AppFilters>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct AppFilters {
    /// The application's alone, for what came before it was known.
    pub(crate) own: u32,
    /// In the place of the common one.
    pub(crate) with_common: u32,
}

/// A whole buffer as it is scanned.
#[derive(Debug)]
pub(crate) struct WholeFilter {
    pub(crate) buffer: Buffer,
    pub(crate) transforms: Box<[Transform]>,
    pub(crate) filter: u32,
}

#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) prefilter: Option<Prefilter>,
    /// Parts without a string to look for.
    pub(crate) always: Box<[u32]>,
}

#[derive(Debug, Default)]
pub(crate) struct Plans {
    pub(crate) plans: Vec<Plan>,
    pub(crate) parts: Vec<Part>,
    pub(crate) filters: Vec<Filter>,
    /// By direction.
    pub(crate) stream: [Filters; 2],
    pub(crate) packet: [FxHashMap<Carrier, Filters>; 2],
    pub(crate) whole: [Vec<WholeFilter>; 2],
    pub(crate) whole_always: [FxHashMap<Group, Box<[u32]>>; 2],
    pub(crate) body: [Option<u32>; 2],
}

/// Where a part's filter is: what sessions it is for, and what bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum FilterPlace {
    Common(Moment),
    Port(Moment, u16),
    App(Moment, App),
    Whole(Buffer, Box<[Transform]>),
    WholeAlways(Group),
    Body,
}

/// Those that leave bits come before those that look for them; among the rest `pass` comes first.
pub(crate) fn order(rules: &mut [Rule]) {
    let mut levels: FxHashMap<std::sync::Arc<str>, u32> = FxHashMap::default();
    let level = |rule: &Rule, levels: &FxHashMap<_, u32>| {
        let conditions = rule
            .bits
            .iter()
            .filter(|bit| bit.change == BitChange::IsSet);
        let names = conditions.flat_map(|bit| bit.names.iter());
        names
            .filter_map(|name| levels.get(name))
            .map(|level| level + 1)
            .max()
            .unwrap_or(0)
    };
    // Chains of bits are short; a circle ends with the rounds.
    for _ in 0..8 {
        for rule in rules.iter() {
            let own = level(rule, &levels);
            for bit in rule.bits.iter().filter(|bit| bit.change == BitChange::Set) {
                for name in &bit.names {
                    let known = levels.entry(std::sync::Arc::clone(name)).or_insert(own);
                    *known = (*known).max(own).min(8);
                }
            }
        }
    }
    rules.sort_by_cached_key(|rule| (level(rule, &levels), rule.action));
}

impl Plans {
    pub(crate) fn of(rules: &mut [Rule]) -> Self {
        let mut draft = Draft::default();
        for (number, rule) in (0..).zip(rules.iter_mut()) {
            let sections = std::mem::take(&mut rule.sections);
            for direction in directions(rule, &sections) {
                draft.plan(number, rule, &sections, direction);
            }
        }
        draft.finish()
    }
}

fn directions(rule: &Rule, sections: &[Section]) -> impl Iterator<Item = Direction> {
    let wanted = rule.flow.direction;
    let possible = Direction::BOTH.map(|direction| {
        wanted.is_none_or(|wanted| wanted == direction)
            && sections
                .iter()
                .all(|section| section.buffer.side().has(direction))
    });
    Direction::BOTH
        .into_iter()
        .filter(move |direction| possible[direction.index()])
}

#[derive(Default)]
struct Draft {
    plans: Vec<Plan>,
    parts: Vec<DraftPart>,
    /// What a part is, written out → its number.
    known: FxHashMap<String, u32>,
}

struct DraftPart {
    direction: Direction,
    places: Vec<FilterPlace>,
    key: Option<Key>,
    part: Part,
    completes: Vec<u32>,
}

impl Draft {
    fn plan(&mut self, number: u32, rule: &Rule, sections: &[Section], direction: Direction) {
        for moment in payload_moments(rule, sections) {
            let mut parts: Vec<(Moment, Vec<&Section>)> = Vec::new();
            for section in sections {
                let moment = match section.buffer.group() {
                    Group::Payload => moment,
                    Group::Body => Moment::Body,
                    group => Moment::Whole(group),
                };
                match parts.iter_mut().find(|(known, _)| *known == moment) {
                    Some((_, list)) => list.push(section),
                    None => parts.push((moment, vec![section])),
                }
            }
            if parts.is_empty() {
                parts.push((moment, Vec::new()));
            }
            parts.sort_by_key(|(moment, _)| *moment);
            let has_packet = parts
                .iter()
                .any(|(moment, _)| matches!(moment, Moment::Packet(_)));
            let anchored = parts.iter().any(|(moment, sections)| {
                *moment == Moment::Packet(Carrier::Tcp) && !sections.is_empty()
            });
            let plan = u32::try_from(self.plans.len()).unwrap_or(u32::MAX);
            // Without a string there is nothing that could be found first.
            let aside = parts
                .first()
                .filter(|(moment, sections)| {
                    *moment == Moment::Stream && parts.len() > 1 && best_key(sections).is_none()
                })
                .map(|(_, sections)| self.aside(sections));
            if aside.is_some() {
                parts.remove(0);
            }
            let numbers: Vec<u32> = parts
                .iter()
                .map(|(moment, sections)| self.part(rule, *moment, sections, direction))
                .collect();
            let payload = parts
                .iter()
                .any(|(moment, _)| matches!(moment, Moment::Stream | Moment::Packet(_)));
            for (place, &part) in numbers.iter().enumerate() {
                // The payload's bytes may be seen before and after what is parsed from them.
                let is_last = place + 1 == numbers.len();
                let draft = &mut self.parts[part as usize];
                if is_last || payload {
                    draft.completes.push(plan);
                }
                draft.part.is_kept |= numbers.len() > 1;
                draft.part.counts |= !rule.rates.is_empty();
            }
            self.plans.push(Plan {
                rule: number,
                parts: numbers.into(),
                aside,
                has_packet,
                skips_first: anchored && has_both_views(rule, sections),
            });
        }
    }

    /// A part that nothing leads to.
    fn aside(&mut self, sections: &[&Section]) -> u32 {
        self.parts.push(DraftPart {
            direction: Direction::ToResponder,
            places: Vec::new(),
            key: None,
            part: part_of(sections, None),
            completes: Vec::new(),
        });
        u32::try_from(self.parts.len() - 1).unwrap_or(u32::MAX)
    }

    fn part(
        &mut self,
        rule: &Rule,
        moment: Moment,
        sections: &[&Section],
        direction: Direction,
    ) -> u32 {
        let mut identity = format!("{moment:?} {direction:?} {:?}", !rule.rates.is_empty());
        let is_payload = matches!(moment, Moment::Stream | Moment::Packet(_));
        let places = if is_payload {
            payload_places(rule, moment, direction)
        } else {
            Vec::new()
        };
        // Writing to a `String` can't fail.
        write!(identity, "{places:?} {sections:?}").unwrap_or_default();
        if let Some(&known) = self.known.get(&identity) {
            return known;
        }
        let number = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        self.known.insert(identity, number);
        let best = best_key(sections);
        let places = match (is_payload, moment, &best) {
            (true, _, _) => places,
            (false, Moment::Whole(_), Some((_, section, _))) => vec![FilterPlace::Whole(
                sections[*section].buffer,
                sections[*section].transforms.clone(),
            )],
            (false, Moment::Whole(group), None) => vec![FilterPlace::WholeAlways(group)],
            (false, Moment::Body | Moment::Stream | Moment::Packet(_), _) => {
                vec![FilterPlace::Body]
            }
        };
        // What isn't a whole buffer is transformed where it is looked at, so that the strings aren't there before.
        let is_whole = matches!(moment, Moment::Whole(_));
        let best =
            best.filter(|(_, section, _)| is_whole || sections[*section].transforms.is_empty());
        self.parts.push(DraftPart {
            direction,
            places,
            part: part_of(sections, best.as_ref()),
            key: best.map(|(key, _, _)| key),
            completes: Vec::new(),
        });
        number
    }

    fn finish(mut self) -> Plans {
        let mut places: std::collections::BTreeMap<(Direction, FilterPlace), Vec<u32>> =
            std::collections::BTreeMap::new();
        for (number, part) in (0..).zip(&mut self.parts) {
            for place in part.places.drain(..) {
                places
                    .entry((part.direction, place))
                    .or_default()
                    .push(number);
            }
        }
        let mut plans = Plans::default();
        let mut commons: FxHashMap<(Direction, Moment), Vec<u32>> = FxHashMap::default();
        // Ports with the same rules share a filter.
        let mut known: FxHashMap<Vec<u32>, u32> = FxHashMap::default();
        for ((direction, place), numbers) in places {
            let side = direction.index();
            if let FilterPlace::WholeAlways(group) = place {
                plans.whole_always[side].insert(group, numbers.into());
                continue;
            }
            let filter = match known.get(&numbers) {
                Some(&filter) => filter,
                None => {
                    let filter = u32::try_from(plans.filters.len()).unwrap_or(u32::MAX);
                    plans.filters.push(self.filter(&numbers));
                    known.insert(numbers.clone(), filter);
                    filter
                }
            };
            match place {
                FilterPlace::Common(moment) => {
                    plans.filters_mut(side, moment).common = Some(filter);
                    commons.insert((direction, moment), numbers);
                }
                FilterPlace::Port(moment, port) => {
                    plans.filters_mut(side, moment).ports.insert(port, filter);
                }
                FilterPlace::App(moment, app) => {
                    let common = commons.get(&(direction, moment));
                    let with_common = match common {
                        Some(common) => {
                            let both = [&common[..], &numbers[..]].concat();
                            plans.filters.push(self.filter(&both));
                            u32::try_from(plans.filters.len() - 1).unwrap_or(u32::MAX)
                        }
                        None => filter,
                    };
                    let own = AppFilters {
                        own: filter,
                        with_common,
                    };
                    plans.filters_mut(side, moment).apps.insert(app, own);
                }
                FilterPlace::Whole(buffer, transforms) => plans.whole[side].push(WholeFilter {
                    buffer,
                    transforms,
                    filter,
                }),
                FilterPlace::Body | FilterPlace::WholeAlways(_) => plans.body[side] = Some(filter),
            }
        }
        plans.parts = self
            .parts
            .into_iter()
            .map(|draft| Part {
                completes: draft.completes.into(),
                ..draft.part
            })
            .collect();
        plans.plans = self.plans;
        plans
    }

    fn filter(&self, numbers: &[u32]) -> Filter {
        let mut keys = Vec::new();
        let mut always = Vec::new();
        for &number in numbers {
            let draft = &self.parts[number as usize];
            match &draft.key {
                Some(key) => keys.push((key.clone(), number, reach_of(&draft.part))),
                None => always.push(number),
            }
        }
        Filter {
            prefilter: (!keys.is_empty()).then(|| Prefilter::new(&keys)),
            always: always.into(),
        }
    }
}

impl Plans {
    fn filters_mut(&mut self, side: usize, moment: Moment) -> &mut Filters {
        match moment {
            Moment::Packet(carrier) => self.packet[side].entry(carrier).or_default(),
            Moment::Stream | Moment::Whole(_) | Moment::Body => &mut self.stream[side],
        }
    }
}

fn part_of(sections: &[&Section], best: Option<&(Key, usize, Option<usize>)>) -> Part {
    Part {
        sections: sections
            .iter()
            .map(|section| PartSection {
                buffer: section.buffer,
                transforms: section.transforms.clone(),
                chain: Chain::of(&section.matchers),
                absent: section.absent,
            })
            .collect(),
        completes: Box::default(),
        is_kept: false,
        counts: false,
        pin: best.and_then(|(_, section, step)| Some((*section, (*step)?))),
    }
}

/// Before which place of its buffer a part's string has to end.
fn reach_of(part: &Part) -> Option<usize> {
    let (section, step) = part.pin?;
    match &part.sections[section].chain.steps[step].matcher {
        Matcher::Content(content) => match content.place {
            Place::Absolute {
                offset: Value::Literal(offset),
                depth: Some(Value::Literal(depth)),
            } => usize::try_from(offset.saturating_add(depth)).ok(),
            Place::Absolute { .. } | Place::Relative { .. } => None,
        },
        _ => None,
    }
}

/// In which views of a session's bytes a rule's payload conditions are told.
fn payload_moments(rule: &Rule, sections: &[Section]) -> Vec<Moment> {
    let looks_at_payload = sections
        .iter()
        .any(|section| section.buffer == Buffer::Payload);
    let tests_packets = rule
        .packet
        .iter()
        .any(|test| !matches!(test, PacketTest::StreamSize(..)));
    if !looks_at_payload && !sections.is_empty() {
        // It makes no difference; the parts are the buffers' own.
        return vec![Moment::Stream];
    }
    let carriers: &[Carrier] = match rule.protocol {
        Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 => &Carrier::ALL,
        Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream => &[Carrier::Tcp],
        Protocol::Udp => &[Carrier::Udp],
        Protocol::Icmp => &[Carrier::Icmp],
        Protocol::App(_) => &[Carrier::Tcp, Carrier::Udp],
    };
    let packets_only = !looks_at_payload
        || tests_packets
        || rule.protocol == Protocol::TcpPacket
        || rule.flow.payload == PayloadKind::Packet;
    let mut moments = Vec::new();
    for &carrier in carriers {
        if carrier != Carrier::Tcp || packets_only {
            moments.push(Moment::Packet(carrier));
            continue;
        }
        moments.push(Moment::Stream);
        if has_both_views(rule, sections) {
            moments.push(Moment::Packet(carrier));
        }
    }
    moments
}

/// Places counted from the beginning mean the stream's, and any segment's.
fn has_both_views(rule: &Rule, sections: &[Section]) -> bool {
    let allowed = match rule.protocol {
        Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 | Protocol::Tcp | Protocol::App(_) => {
            rule.flow.payload == PayloadKind::Any
        }
        Protocol::TcpPacket | Protocol::TcpStream | Protocol::Udp | Protocol::Icmp => false,
    };
    let tests_packets = rule
        .packet
        .iter()
        .any(|test| !matches!(test, PacketTest::StreamSize(..)));
    allowed
        && !tests_packets
        && sections.iter().any(|section| {
            section.buffer == Buffer::Payload && Chain::of(&section.matchers).is_anchored()
        })
}

/// Which sessions' payload a rule's part is looked for in.
fn payload_places(rule: &Rule, moment: Moment, direction: Direction) -> Vec<FilterPlace> {
    if let Protocol::App(app) = rule.protocol {
        return vec![FilterPlace::App(moment, app)];
    }
    let has_ports = matches!(
        moment,
        Moment::Stream | Moment::Packet(Carrier::Tcp | Carrier::Udp)
    );
    // The responder's port is the one that says something.
    let ports: &RangeSet<u16> = match direction {
        Direction::ToResponder => &rule.header.destination_ports,
        Direction::ToInitiator => &rule.header.source_ports,
    };
    let count: usize = ports
        .ranges()
        .iter()
        .map(|&(low, high)| usize::from(high - low) + 1)
        .sum();
    if !has_ports || rule.header.both_ways || count > FEW_PORTS {
        return vec![FilterPlace::Common(moment)];
    }
    ports
        .ranges()
        .iter()
        .flat_map(|&(low, high)| low..=high)
        .map(|port| FilterPlace::Port(moment, port))
        .collect()
}

/// The rarest string that has to be there, the section that it is from, and the step where that is a content.
fn best_key(sections: &[&Section]) -> Option<(Key, usize, Option<usize>)> {
    /// What the author of a rule knows is worth as much as two rare bytes.
    const CHOSEN: u32 = 16;
    let mut best: Option<(Key, usize, Option<usize>)> = None;
    for (number, section) in sections.iter().enumerate() {
        if section.absent != Absent::No {
            continue;
        }
        for (step, matcher) in section.matchers.iter().enumerate() {
            let (mut key, step) = match matcher {
                Matcher::Content(content) if !content.negated => {
                    let mut key = Key::of(&content.pattern);
                    if content.fast && content.pattern.len() > 3 {
                        key.worth += CHOSEN;
                    }
                    (key, Some(step))
                }
                Matcher::Regex(regex) if !regex.negated => match &regex.regex.literal {
                    Some(literal) => (Key::of(&literal.bytes), None),
                    None => continue,
                },
                _ => continue,
            };
            // Few values, and every message has one of them.
            if matches!(
                section.buffer,
                Buffer::HttpMethod | Buffer::HttpStatusCode | Buffer::HttpProtocol
            ) {
                key.worth = 1;
            }
            if best
                .as_ref()
                .is_none_or(|(known, ..)| key.worth > known.worth)
            {
                best = Some((key, number, step));
            }
        }
    }
    best
}
