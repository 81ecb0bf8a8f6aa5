//! A million entries: how long a list takes to load, in how much memory, and a question to be answered.
//!
//! `cargo bench -p palisade-inspection --bench lists`. The peer is what one would write first: a set of texts, asked for each name that
//! the host is under. Loads and questions of both take turns; times are the best of several rounds, because what else the machine does
//! can only add to them. Memory is what the process grew by.

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade_inspection::Services;
use palisade_inspection::filter::{List, ListSlot, NameFilter};

const ENTRIES: usize = 1_000_000;
const QUESTIONS: usize = 100_000;
const ROUNDS: usize = 5;
const TOP: [&str; 8] = ["com", "net", "org", "example", "co.uk", "de", "info", "xyz"];

fn main() {
    let mut draw = numbers(7);
    let names: Vec<String> = (0..ENTRIES).map(|_| name(&mut draw)).collect();
    let text = names.join("\n");
    let asked: Vec<String> = (0..QUESTIONS)
        .map(|number| match number % 2 {
            0 => format!("www.{}", names[draw() as usize % ENTRIES]),
            _ => format!("www.{}", name(&mut draw)),
        })
        .collect();
    drop(names);
    println!("{ENTRIES} domains, {} bytes of text", text.len());

    let before = resident_bytes();
    let list = load(&text);
    let ours = resident_bytes().saturating_sub(before);
    let accounted = list.bytes();
    let before = resident_bytes();
    let peer = set(&text);
    let theirs = resident_bytes().saturating_sub(before);

    let (mut load_ours, mut load_theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        load_ours = load_ours.min(timed(|| load(&text)));
        load_theirs = load_theirs.min(timed(|| set(&text)));
    }
    let slot = ListSlot::new("list", false);
    slot.set(Arc::new(list));
    let filter = NameFilter {
        block: vec![Arc::new(slot)],
        ..NameFilter::default()
    };
    let services = Services::built_in();
    let blocked = |host: &str| filter.decide(host, None, &services).is_some();
    let found = |host: &str| {
        let mut rest = Some(host);
        while let Some(name) = rest {
            if peer.contains(name) {
                return true;
            }
            rest = name.split_once('.').map(|(_, parent)| parent);
        }
        false
    };
    let (mut ask_ours, mut ask_theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let count =
            |decide: &dyn Fn(&str) -> bool| asked.iter().filter(|host| decide(host)).count();
        let (mut one, mut other) = (0, 0);
        ask_ours = ask_ours.min(timed(|| one = count(&blocked)));
        ask_theirs = ask_theirs.min(timed(|| other = count(&found)));
        assert_eq!(one, other, "both know the same");
    }
    let per = |bytes: usize| bytes as f64 / ENTRIES as f64;
    let each = |time: Duration| time.as_nanos() as f64 / QUESTIONS as f64;
    println!("{:<12} {:>10} {:>10} {:>8}", "", "list", "set", "ratio");
    for (what, ours, theirs) in [
        (
            "load ms",
            load_ours.as_secs_f64() * 1e3,
            load_theirs.as_secs_f64() * 1e3,
        ),
        ("ns/question", each(ask_ours), each(ask_theirs)),
        ("bytes/entry", per(ours), per(theirs)),
    ] {
        println!(
            "{what:<12} {ours:>10.1} {theirs:>10.1} {:>8.2}",
            ours / theirs
        );
    }
    println!("bytes/entry as shown: {:.1}", per(accounted));
}

fn load(text: &str) -> List {
    List::read(text.as_bytes(), u32::MAX).expect("a list")
}

fn set(text: &str) -> HashSet<Box<str>> {
    text.lines().map(Into::into).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn name(draw: &mut impl FnMut() -> u64) -> String {
    let length = 6 + draw() % 12;
    let letters: Vec<_> = (0..length)
        .map(|_| char::from(b'a' + (draw() % 26) as u8))
        .collect();
    let top = TOP[draw() as usize % TOP.len()];
    letters
        .into_iter()
        .chain(['.'])
        .chain(top.chars())
        .collect()
}

/// splitmix64: the same numbers each time.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// `/proc/self/statm`: the second number, in pages.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or_default() * 4_096
}
