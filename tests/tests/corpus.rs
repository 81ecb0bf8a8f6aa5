//! Every file of the corpus, and mutations of it that are the same each time, through the fuzz
//! targets: what a fuzzer once found can't come back, and stable Rust is all it takes.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use palisade_tests::fuzzing::{Target, targets};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
const MUTATIONS_PER_FILE: usize = 2_000;
/// A target whose mutations take longer is cut short; its corpus itself always runs whole.
const TIME_PER_TARGET: Duration = Duration::from_millis(200);

#[test]
fn the_corpus_and_its_mutations_hold() {
    let failed: Vec<&str> = targets()
        .iter()
        .filter(|target| !holds(target))
        .map(|target| target.name)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

fn holds(target: &Target) -> bool {
    let files = corpus(target.name);
    assert!(files.len() >= 3, "no corpus for {}", target.name);
    let all = files
        .iter()
        .all(|(file, bytes)| survives(target, file, bytes));
    let mutations = all.then(|| mutate_all(target, &files)).flatten();
    println!(
        "{}: {} files, {mutations:?} mutations",
        target.name,
        files.len()
    );
    mutations.is_some()
}

/// `tests/fuzz/run.sh` takes the directories for the targets.
#[test]
fn every_corpus_is_a_targets() {
    let targets = targets();
    for entry in fs::read_dir(CORPUS).expect("the corpus") {
        let name = entry.expect("an entry of the corpus").file_name();
        assert!(
            targets.iter().any(|target| *target.name == *name),
            "{name:?}"
        );
    }
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(CORPUS).join(name);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry of the corpus").path())
        .map(|path| {
            (
                path.display().to_string(),
                fs::read(&path).expect("a file of the corpus"),
            )
        })
        .collect();
    files.sort();
    files
}

fn survives(target: &Target, file: &str, bytes: &[u8]) -> bool {
    let survives = std::panic::catch_unwind(AssertUnwindSafe(|| target.run(bytes))).is_ok();
    if !survives {
        eprintln!("{} failed on {file}: {bytes:02x?}", target.name);
    }
    survives
}

/// How many there were, if all of them were survived.
fn mutate_all(target: &Target, files: &[(String, Vec<u8>)]) -> Option<usize> {
    let started = Instant::now();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut count = 0;
    // Round by round, so that a target that is cut short has still seen every file.
    for _ in 0..MUTATIONS_PER_FILE {
        for (file, bytes) in files {
            let mutated = mutate(bytes, &files[random.below(files.len())].1, &mut random);
            if !survives(target, &format!("a mutation of {file}"), &mutated) {
                return None;
            }
            count += 1;
        }
        if started.elapsed() > TIME_PER_TARGET {
            break;
        }
    }
    Some(count)
}

fn mutate(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 => bytes.truncate(at),
            4 => bytes.insert(at, random.next() as u8),
            _ => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + random.below(16)).min(other.len())];
                bytes.splice(
                    at..(at + piece.len()).min(bytes.len()),
                    piece.iter().copied(),
                );
            }
        }
    }
    bytes
}

/// Marsaglia's xorshift64*: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
