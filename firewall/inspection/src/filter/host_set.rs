//! Hosts and URLs by the million: a sorted array of hashes, eight bytes an entry, and patterns beside it.
//!
//! An entry is a [`Chain`] hash, with what it covers in its lowest bits. The array is cut into buckets of eight to sixteen by the hashes'
//! highest bits, so a question costs one look a label, whatever the size; a URL one more a step of its path, and only under hosts of
//! which URLs are listed. Patterns are asked under the name that is behind their last asterisk; there are few under each.

use std::collections::HashMap;
use std::net::IpAddr;

use super::entry::{Covers, Entry, EntryError, HostPattern, PathPattern};
use super::glob::Glob;
use super::hash::{Chain, FLAGS};
use super::host::{Host, address};
use super::target::Target;

const ITSELF: u64 = 0b001;
const BELOW: u64 = 0b010;
/// URLs of this host are listed, or of what is below it.
const HAS_URLS: u64 = 0b100;

/// Each is compared with every question under its name.
const PATTERNS_PER_NAME: usize = 256;
const BUCKET_BITS: u32 = 3;

#[derive(Clone, Debug, Default)]
pub(super) struct HostSet {
    /// Sorted, each hash once.
    entries: Box<[u64]>,
    /// Where each bucket begins, and where the last ends.
    buckets: Box<[u32]>,
    /// How far a hash is shifted to be a bucket's number.
    shift: u32,
    /// By the hash of the name that they are under.
    patterns: HashMap<u64, Vec<Pattern>>,
    urls: u32,
    /// Entries of the array that cover anything; a host that is only there for its URLs does not.
    covering: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    host: HostPart,
    path: PathPart,
    written: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPart {
    /// The name that the pattern is kept under.
    Name(Covers),
    Glob(Glob),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathPart {
    Any,
    Prefix(Target),
    Glob(Glob),
}

/// Collects entries; the set is made when all are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Builder {
    entries: Vec<u64>,
    patterns: HashMap<u64, Vec<Pattern>>,
    urls: u32,
}

impl Builder {
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), EntryError> {
        match (&entry.host, &entry.path) {
            (HostPattern::Name { name, covers }, PathPattern::Any) => {
                self.entries.push(Chain::of(name).hash() | flags(*covers));
                Ok(())
            }
            (HostPattern::Name { name, covers }, PathPattern::Prefix(target)) => {
                let mut chain = Chain::of(name);
                self.entries.push(chain.hash() | HAS_URLS);
                chain.path(target.bytes());
                self.entries.push(chain.hash() | flags(*covers));
                self.urls += 1;
                Ok(())
            }
            (HostPattern::Name { name, covers }, PathPattern::Glob(target)) => {
                self.pattern(name, HostPart::Name(*covers), &entry.path, || {
                    let path = target.text(target.bytes().len());
                    format!("{}{path}", shown_host(name, *covers))
                })
            }
            (HostPattern::Glob(glob), path) => {
                let behind = glob.rsplit('*').next().unwrap_or_default();
                let under = behind.split_once('.').map_or("", |(_, name)| name);
                let host = HostPart::Glob(Glob::new(glob.as_bytes()));
                self.pattern(under, host, path, || match path {
                    PathPattern::Any => glob.clone(),
                    PathPattern::Prefix(target) | PathPattern::Glob(target) => {
                        format!("{glob}{}", target.text(target.bytes().len()))
                    }
                })
            }
        }
    }

    fn pattern(
        &mut self,
        under: &str,
        host: HostPart,
        path: &PathPattern,
        written: impl FnOnce() -> String,
    ) -> Result<(), EntryError> {
        let patterns = self.patterns.entry(Chain::of(under).hash()).or_default();
        let pattern = Pattern {
            host,
            path: match path {
                PathPattern::Any => PathPart::Any,
                PathPattern::Prefix(target) => PathPart::Prefix(target.clone()),
                PathPattern::Glob(target) => PathPart::Glob(Glob::new(target.bytes())),
            },
            written: written().into(),
        };
        if patterns.contains(&pattern) {
            return Ok(());
        }
        if patterns.len() >= PATTERNS_PER_NAME {
            return Err(EntryError::TooManyPatterns);
        }
        patterns.push(pattern);
        Ok(())
    }

    pub(super) fn build(self) -> HostSet {
        let Self {
            mut entries,
            patterns,
            urls,
        } = self;
        entries.sort_unstable();
        entries.dedup_by(|next, kept| {
            let is_same = (*next ^ *kept) & !FLAGS == 0;
            if is_same {
                *kept |= *next;
            }
            is_same
        });
        let entries = entries.into_boxed_slice();
        let bits = (entries.len() >> BUCKET_BITS)
            .checked_ilog2()
            .unwrap_or_default()
            .max(1);
        let shift = u64::BITS - bits;
        let mut buckets = vec![0; (1 << bits) + 1];
        for entry in &entries {
            buckets[(entry >> shift) as usize + 1] += 1;
        }
        let mut before = 0;
        for end in &mut buckets {
            before += *end;
            *end = before;
        }
        let covering = entries
            .iter()
            .filter(|entry| *entry & (ITSELF | BELOW) != 0)
            .count();
        HostSet {
            covering,
            entries,
            buckets: buckets.into_boxed_slice(),
            shift,
            patterns,
            urls,
        }
    }
}

impl HostSet {
    /// The entry that covers a host, or what is asked of it where that is known: as it might have been written.
    pub(super) fn find(&self, host: &Host, target: Option<&Target>) -> Option<String> {
        for suffix in host.suffixes() {
            let flags = self.flags(suffix.hash);
            let name = host.suffix(suffix);
            if let Some(covers) = covering(flags, suffix.is_host) {
                return Some(shown(name, covers));
            }
            if let Some(target) = target.filter(|_| flags & HAS_URLS != 0)
                && let Some(found) = self.find_url(name, suffix.is_host, target)
            {
                return Some(found);
            }
            if !self.patterns.is_empty()
                && let Some(patterns) = self.patterns.get(&suffix.hash)
                && let Some(pattern) = patterns
                    .iter()
                    .find(|pattern| pattern.fits(host, suffix.is_host, target))
            {
                return Some(pattern.written.to_string());
            }
        }
        None
    }

    fn find_url(&self, name: &str, is_host: bool, target: &Target) -> Option<String> {
        let mut chain = Chain::of(name);
        let mut before = 0;
        for end in target.steps() {
            chain.path(&target.bytes()[before..end]);
            before = end;
            if let Some(covers) = covering(self.flags(chain.hash()), is_host) {
                return Some(format!("{}{}", shown_host(name, covers), target.text(end)));
            }
        }
        None
    }

    fn flags(&self, hash: u64) -> u64 {
        let Some([begin, end]) = self
            .buckets
            .get((hash.checked_shr(self.shift).unwrap_or(0)) as usize..)
            .and_then(|buckets| buckets.first_chunk())
        else {
            return 0;
        };
        self.entries[*begin as usize..*end as usize]
            .iter()
            .find(|entry| **entry & !FLAGS == hash)
            .map_or(0, |entry| entry & FLAGS)
    }

    /// What it holds.
    pub(super) fn len(&self) -> usize {
        self.covering + self.patterns()
    }

    pub(super) fn urls(&self) -> u32 {
        self.urls
    }

    pub(super) fn patterns(&self) -> usize {
        self.patterns.values().map(Vec::len).sum()
    }

    /// On the heap.
    pub(super) fn bytes(&self) -> usize {
        let pattern = |pattern: &Pattern| {
            let host = match &pattern.host {
                HostPart::Name(_) => 0,
                HostPart::Glob(glob) => glob.pattern().len(),
            };
            let path = match &pattern.path {
                PathPart::Any => 0,
                PathPart::Prefix(target) => target.bytes().len(),
                PathPart::Glob(glob) => glob.pattern().len(),
            };
            size_of::<Pattern>() + pattern.written.len() + host + path
        };
        let patterns: usize = self
            .patterns
            .values()
            .map(|list| size_of::<(u64, Vec<Pattern>)>() + list.iter().map(pattern).sum::<usize>())
            .sum();
        size_of_val(&*self.entries) + size_of_val(&*self.buckets) + patterns
    }

    /// How many are in one of the two and not in the other.
    pub(super) fn differing(&self, other: &Self) -> usize {
        let (mut mine, mut theirs) = (
            self.entries.iter().peekable(),
            other.entries.iter().peekable(),
        );
        let mut count = 0;
        loop {
            let (next, other) = match (mine.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(_), None) => {
                    count += mine.len();
                    break;
                }
                (None, Some(_)) => {
                    count += theirs.len();
                    break;
                }
                (Some(next), Some(other)) => (**next, **other),
            };
            count += usize::from(next != other);
            if next <= other {
                mine.next();
            }
            if other <= next {
                theirs.next();
            }
        }
        let missing = |one: &Self, other: &Self| {
            let all = one
                .patterns
                .iter()
                .flat_map(|(name, list)| list.iter().map(move |pattern| (name, pattern)));
            all.filter(|(name, pattern)| {
                !other
                    .patterns
                    .get(name)
                    .is_some_and(|list| list.contains(pattern))
            })
            .count()
        };
        count + missing(self, other) + missing(other, self)
    }
}

impl Pattern {
    fn fits(&self, host: &Host, is_host: bool, target: Option<&Target>) -> bool {
        let is_of = match &self.host {
            HostPart::Name(Covers::Itself) => is_host,
            HostPart::Name(Covers::Below) => !is_host,
            HostPart::Name(Covers::Both) => true,
            HostPart::Glob(glob) => glob.matches(host.text().as_bytes()),
        };
        is_of
            && match (&self.path, target) {
                (PathPart::Any, _) => true,
                (PathPart::Prefix(_) | PathPart::Glob(_), None) => false,
                (PathPart::Prefix(prefix), Some(target)) => target
                    .steps()
                    .any(|end| &target.bytes()[..end] == prefix.bytes()),
                (PathPart::Glob(glob), Some(target)) => glob.matches(target.bytes()),
            }
    }
}

fn flags(covers: Covers) -> u64 {
    match covers {
        Covers::Itself => ITSELF,
        Covers::Below => BELOW,
        Covers::Both => ITSELF | BELOW,
    }
}

/// Whether an entry's flags cover the host, that it is of or below.
fn covering(flags: u64, is_host: bool) -> Option<Covers> {
    let covers = match flags & (ITSELF | BELOW) {
        ITSELF => Covers::Itself,
        BELOW => Covers::Below,
        0 => return None,
        _ => Covers::Both,
    };
    let applies = match covers {
        Covers::Itself => is_host,
        Covers::Below => !is_host,
        Covers::Both => true,
    };
    applies.then_some(covers)
}

/// As lists write it.
fn shown(name: &str, covers: Covers) -> String {
    match covers {
        Covers::Itself => format!("={name}"),
        Covers::Below if name.is_empty() => "*".to_owned(),
        Covers::Below => format!("*.{name}"),
        Covers::Both if name.contains('.') => name.to_owned(),
        Covers::Both => format!(".{name}"),
    }
}

/// Before a path.
fn shown_host(name: &str, covers: Covers) -> String {
    match (covers, address(name)) {
        // Without a scheme it would look like a prefix.
        (Covers::Itself, Some(IpAddr::V4(address))) => format!("http://{address}"),
        (Covers::Itself, Some(IpAddr::V6(address))) => format!("http://[{address}]"),
        (Covers::Itself, None) => name.to_owned(),
        (Covers::Below, _) if name.is_empty() => "*".to_owned(),
        (Covers::Below, _) => format!("*.{name}"),
        (Covers::Both, _) => format!("||{name}"),
    }
}
