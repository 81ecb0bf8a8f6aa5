//! How long rules take to compile, to be checked, and to say why; how long a first packet takes to be
//! classified; and in how much memory.
//!
//! `cargo bench -p palisade-rules`. Filter sets are read from beside the repository where they are
//! there; packets are drawn from their filters (three of four) and at random (the fourth). Times
//! are the best of several rounds, because what else the machine does can only add to them. The
//! peer is the same filters asked one after the other.

#[path = "../tests/classbench/mod.rs"]
mod classbench;

use std::hint::black_box;
use std::time::{Duration, Instant};

use classbench::{Document, FAMILIES, Filter, any_packet, list, located, numbers, read};
use palisade_rules::document::{Addresses, Policy, Sections, Zone};
use palisade_rules::{
    Action, Facts, Findings, Named, OneOrMany, Protocol, Question, Rules, Tuple, Vocabulary, ZoneId,
};

const PACKETS: usize = 4_096;
const ROUNDS: usize = 7;

fn main() {
    println!(
        "{:<14} {:>9} {:>11} {:>9} {:>7} {:>11} {:>11} {:>11} {:>9} {:>10}",
        "rules",
        "policies",
        "compile ms",
        "check ms",
        "hidden",
        "explain ms",
        "index KiB",
        "ns/packet",
        "growth",
        "one by one"
    );
    for family in FAMILIES {
        let mut small = None;
        for size in ["1k", "10k"] {
            let name = format!("{family}_{size}");
            match read(&name) {
                Ok(filters) => {
                    let packet = filter_set(&name, &filters, small);
                    small = small.or(Some(packet));
                }
                Err(reason) => println!("{name:<14} SKIPPED: {reason}"),
            }
        }
    }
    synthetic();
}

fn filter_set(name: &str, filters: &[Filter], small: Option<Duration>) -> Duration {
    let document = Document::of(filters);
    let (compile, rules) = best(ROUNDS, || document.compile().0);
    let mut draw = numbers(1);
    let questions: Vec<Question> = (0..PACKETS)
        .map(|number| match number % 4 {
            0 => any_packet(&mut draw),
            _ => filters[(draw() % filters.len() as u64) as usize].packet(&mut draw),
        })
        .collect();
    let packet = classify(&rules, &questions);
    let (check, findings) = best(2, || document.check());
    let (linear, ()) = best(2, || {
        for question in &questions[..PACKETS / 16] {
            black_box(filters.iter().position(|filter| filter.matches(question)));
        }
    });
    let linear = linear / (PACKETS / 16) as u32;
    let times = Times {
        compile,
        check,
        explain: explain(&rules, &questions),
        packet,
        linear: Some(linear),
    };
    report(name, &rules, &hidden(findings), &times, small);
    packet
}

fn classify(rules: &Rules, questions: &[Question]) -> Duration {
    let (all, ()) = best(ROUNDS * 3, || {
        for question in questions {
            black_box(rules.classify(black_box(question)));
        }
    });
    all / questions.len() as u32
}

/// Of the decision that comes last, for which most policies are asked.
fn explain(rules: &Rules, questions: &[Question]) -> Duration {
    let decided_by =
        |question: &&Question| rules.decide(question).policy.map_or(u32::MAX, |id| id.0);
    let Some(question) = questions.iter().max_by_key(decided_by) else {
        return Duration::ZERO;
    };
    best(ROUNDS, || {
        black_box(rules.explain(black_box(question)).near_misses.len());
    })
    .0
}

fn hidden(findings: Findings) -> String {
    let findings = findings.into_sorted();
    let is_hidden = |message: &str| message.contains("can never match");
    let hidden = findings
        .iter()
        .filter(|finding| is_hidden(&finding.message));
    hidden.count().to_string()
}

struct Times {
    compile: Duration,
    check: Duration,
    explain: Duration,
    packet: Duration,
    linear: Option<Duration>,
}

/// The same, and each named thing that the decision went through.
fn follow(rules: &Rules, questions: &[Question]) -> Duration {
    let (all, ()) = best(ROUNDS * 3, || {
        for question in questions {
            let question = black_box(question);
            let decision = rules.classify(question);
            rules.follow(question, &decision, |object| {
                black_box(object);
            });
        }
    });
    all / questions.len() as u32
}

fn best<T>(rounds: usize, mut run: impl FnMut() -> T) -> (Duration, T) {
    let mut timed = || {
        let start = Instant::now();
        let result = run();
        (start.elapsed(), result)
    };
    let mut best = timed();
    for _ in 1..rounds {
        let next = timed();
        if next.0 < best.0 {
            best = next;
        }
    }
    best
}

fn report(name: &str, rules: &Rules, hidden: &str, times: &Times, small: Option<Duration>) {
    let Times { packet, linear, .. } = *times;
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let growth = small.map_or(String::new(), |small| {
        format!("× {:.2}", packet.as_secs_f64() / small.as_secs_f64())
    });
    let linear = linear.map_or(String::new(), |linear| {
        format!("× {:.0}", linear.as_secs_f64() / packet.as_secs_f64())
    });
    println!(
        "{name:<14} {:>9} {:>11} {:>9} {hidden:>7} {:>11} {:>11} {:>11} {growth:>9} {linear:>10}",
        rules.policies().len(),
        ms(times.compile),
        ms(times.check),
        ms(times.explain),
        rules.index_bytes() / 1024,
        packet.as_nanos(),
    );
}

const ZONES: u64 = 12;
const OBJECTS: u64 = 2_000;

/// 100,000 policies as a big network has them: between pairs of zones, of objects and literals of
/// both families, and catalogue applications.
fn synthetic() {
    let mut draw = numbers(3);
    let zone = |number: u64| located(&format!("zone-{number}"));
    let zones = Named(
        (0..ZONES)
            .map(|number| (zone(number), Zone::default()))
            .collect(),
    );
    let addresses: Named<Addresses> = Named(
        (0..OBJECTS)
            .map(|number| {
                let items = (0..1 + draw() % 20).map(|_| located(&literal(&mut draw)));
                (
                    located(&format!("object-{number}")),
                    OneOrMany(items.collect()),
                )
            })
            .collect(),
    );
    const APPLICATIONS: [&str; 8] = [
        "https", "http", "dns", "ssh", "ping", "ntp", "rdp", "syslog",
    ];
    let policies: Vec<Policy> = (0..100_000)
        .map(|number| {
            let mut end = || match draw() % 8 {
                0 => None,
                1..4 => Some(list(&format!("object-{}", draw() % OBJECTS))),
                _ => Some(list(&literal(&mut draw))),
            };
            let (source, destination) = (end(), end());
            let (from, to) = (draw() % ZONES, draw() % ZONES);
            Policy {
                name: located(&format!("policy-{number}")),
                description: None,
                enabled: true,
                schedule: None,
                l7: None,
                inspect: None,
                from: list(&zone(from).value),
                to: list(&zone(to).value),
                source,
                destination,
                application: Some(list(APPLICATIONS[(draw() % 8) as usize])),
                action: Action::Permit,
                log: OneOrMany::default(),
            }
        })
        .collect();
    let sections = Sections {
        zones: &zones,
        addresses: &addresses,
        feeds: &Named::default(),
        countries: None,
        applications: &Named::default(),
        schedules: &Named::default(),
        policies: &policies,
        vocabulary: &Vocabulary::EMPTY,
    };
    let (compile, rules) = best(2, || {
        Rules::compile(sections, &Facts::default(), &mut Findings::default()).0
    });
    let questions: Vec<Question> = (0..PACKETS)
        .map(|_| Question {
            from: ZoneId(1 + (draw() % ZONES) as u16),
            to: ZoneId(1 + (draw() % ZONES) as u16),
            tuple: Tuple {
                source: (0x0a00_0000 | draw() as u32 & 0xff_ffff)
                    .to_be_bytes()
                    .into(),
                destination: (0x0a00_0000 | draw() as u32 & 0xff_ffff)
                    .to_be_bytes()
                    .into(),
                protocol: Protocol::TCP,
                source_port: 50_000,
                destination_port: [443, 80, 53, 22][(draw() % 4) as usize],
            },
            icmp: None,
        })
        .collect();
    let (check, findings) = best(2, || {
        let mut findings = Findings::default();
        palisade_rules::hygiene::check(sections, [], &mut findings);
        findings
    });
    let times = Times {
        compile,
        check,
        explain: explain(&rules, &questions),
        packet: classify(&rules, &questions),
        linear: None,
    };
    report("synthetic", &rules, &hidden(findings), &times, None);
    let followed = follow(&rules, &questions).saturating_sub(times.packet);
    println!("its objects: {} ns more", followed.as_nanos());
}

fn literal(mut draw: impl FnMut() -> u64) -> String {
    let address = draw() as u32;
    let [_, a, b, c] = address.to_be_bytes();
    match draw() % 8 {
        0 => format!("2001:db8:{a:x}:{b:x}::/64"),
        1 => format!("10.{a}.0.0/16"),
        2..5 => format!("10.{a}.{b}.0/24"),
        _ => format!("10.{a}.{b}.{c}"),
    }
}
