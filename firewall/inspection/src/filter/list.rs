//! A list of hosts and URLs: its text read once, line by line, and then only what it covers.
//!
//! # Limits
//! A line that is no entry is passed over and counted; the first of them are kept to be shown. Whoever loads a list judges by the
//! counts whether it is one. Of an exception to an exception, and of which entry covers more closely, nothing is known: an exception of
//! a list stands above its entries.

use arc_swap::ArcSwapOption;
use std::sync::Arc;

use super::entry::{self, EntryError, Line};
use super::host::Host;
use super::host_set::{Builder, HostSet};
use super::target::Target;

/// What a list covers.
#[derive(Clone, Debug, Default)]
pub struct List {
    covered: HostSet,
    excepted: HostSet,
    report: ListReport,
}

/// What became of a list's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReport {
    /// That say anything: neither empty nor a comment.
    pub lines: u64,
    /// Of blockers in browsers, about what is inside a page: not applied.
    pub for_browsers: u64,
    pub bad: u64,
    /// The first of them.
    pub bad_lines: Vec<BadLine>,
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub line: u64,
    /// Its beginning, without control characters.
    pub text: String,
    pub error: EntryError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("more entries than at-most {0}")]
    TooMany(u32),
}

impl BadLine {
    fn of(line: u64, bytes: &[u8], error: EntryError) -> Self {
        let start = &bytes[..bytes.len().min(SHOWN_LETTERS * 4)];
        let text = String::from_utf8_lossy(start);
        let shown = text.chars().filter(|letter| !letter.is_control());
        Self {
            line,
            text: shown.take(SHOWN_LETTERS).collect(),
            error,
        }
    }
}

/// How many lines are kept to be shown.
const BAD_LINES: usize = 20;
const SHOWN_LETTERS: usize = 60;

impl List {
    /// The whole text of a list, in any of the forms that lists have.
    pub fn read(text: &[u8], at_most: u32) -> Result<Self, ListError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut collected = Collected::default();
        let mut unclear = Unclear::default();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            unclear.look(line);
            match entry::read(line) {
                Ok(Line::Nothing) => {}
                Ok(Line::ForBrowsers) => {
                    collected.for_browser();
                    unclear.for_blockers += 1;
                }
                Ok(Line::Entries(entries)) => {
                    if let Err(error) = collected.take(&entries) {
                        collected.bad(number, line, error);
                    }
                    if collected.entries > u64::from(at_most) {
                        return Err(ListError::TooMany(at_most));
                    }
                }
                Err(error @ (EntryError::NoHost | EntryError::OneLabel)) if is_one_word(line) => {
                    unclear.add(number, line, error);
                }
                Err(error) => collected.bad(number, line, error),
            }
        }
        collected.settle(unclear);
        Ok(collected.build())
    }

    /// Entries that somebody wrote one by one; which of them is wrong, and why.
    pub fn of<'a>(
        entries: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Vec<(usize, EntryError)>> {
        let mut collected = Collected::default();
        let mut errors = Vec::new();
        for (number, text) in entries.into_iter().enumerate() {
            let added = match entry::read(text.as_bytes()) {
                Ok(Line::Entries(entries)) => collected.take(&entries),
                Ok(Line::Nothing) => Err(EntryError::Nothing),
                Ok(Line::ForBrowsers) => Err(EntryError::ForBrowsers),
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                errors.push((number, error));
            }
        }
        if errors.is_empty() {
            Ok(collected.build())
        } else {
            Err(errors)
        }
    }

    pub(super) fn find(&self, host: &Host, target: Option<&Target>) -> Option<String> {
        self.covered
            .find(host, target)
            .filter(|_| self.excepted.find(host, target).is_none())
    }

    /// Different entries, exceptions among them.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.covered.len() + self.excepted.len()
    }

    /// Of the entries, those with a path.
    #[must_use]
    pub fn urls(&self) -> u64 {
        u64::from(self.covered.urls()) + u64::from(self.excepted.urls())
    }

    /// Of the entries, those with an asterisk in their midst.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.covered.patterns() + self.excepted.patterns()
    }

    /// What it takes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.covered.bytes() + self.excepted.bytes() + size_of::<Self>()
    }

    #[must_use]
    pub fn report(&self) -> &ListReport {
        &self.report
    }

    /// Whether it covers anything else.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.differing(other) > 0
    }

    /// How many entries have come and gone since `before`, in percent of those that there were.
    #[must_use]
    pub fn changed_percent(&self, before: &Self) -> usize {
        (self.differing(before) * 100).div_ceil(before.entries().max(1))
    }

    fn differing(&self, other: &Self) -> usize {
        self.covered.differing(&other.covered) + self.excepted.differing(&other.excepted)
    }
}

/// Lines that are no entries, but could be for a browser: such rules are for parts of pages, and look like anything. Which they are
/// is known when the whole list is.
#[derive(Debug, Default)]
struct Unclear {
    count: u64,
    first: Vec<BadLine>,
    /// Lines as only lists for blockers have them.
    for_blockers: u64,
    has_heading: bool,
}

impl Unclear {
    fn look(&mut self, line: &[u8]) {
        let starts = |with: &[u8]| line.starts_with(with);
        self.for_blockers += u64::from(starts(b"||") || starts(b"@@||"));
        self.has_heading |= starts(b"[Adblock");
    }

    fn add(&mut self, number: u64, line: &[u8], error: EntryError) {
        self.count += 1;
        if self.first.len() < BAD_LINES {
            self.first.push(BadLine::of(number, line, error));
        }
    }
}

/// A rule for browsers has no blanks within.
fn is_one_word(line: &[u8]) -> bool {
    !line.trim_ascii().iter().any(u8::is_ascii_whitespace)
}

#[derive(Debug, Default)]
struct Collected {
    covered: Builder,
    excepted: Builder,
    entries: u64,
    report: ListReport,
}

impl Collected {
    fn take(&mut self, entries: &[entry::Entry]) -> Result<(), EntryError> {
        self.report.lines += 1;
        for entry in entries {
            self.entries += 1;
            let set = if entry.is_exception {
                &mut self.excepted
            } else {
                &mut self.covered
            };
            // A line is counted once, as what it is in the end.
            set.add(entry).inspect_err(|_| self.report.lines -= 1)?;
        }
        Ok(())
    }

    fn for_browser(&mut self) {
        self.report.lines += 1;
        self.report.for_browsers += 1;
    }

    fn bad(&mut self, line: u64, bytes: &[u8], error: EntryError) {
        self.report.lines += 1;
        self.report.bad += 1;
        if self.report.bad_lines.len() < BAD_LINES {
            self.report.bad_lines.push(BadLine::of(line, bytes, error));
        }
    }

    /// A list is for blockers where it says so, or where half of it can be for nobody else.
    fn settle(&mut self, unclear: Unclear) {
        self.report.lines += unclear.count;
        if unclear.has_heading || unclear.for_blockers * 2 >= self.report.lines {
            self.report.for_browsers += unclear.count;
            return;
        }
        self.report.bad += unclear.count;
        let lines = &mut self.report.bad_lines;
        lines.extend(unclear.first);
        lines.sort_by_key(|bad| bad.line);
        lines.truncate(BAD_LINES);
    }

    fn build(self) -> List {
        List {
            covered: self.covered.build(),
            excepted: self.excepted.build(),
            report: self.report,
        }
    }
}

/// A list by its name, whose content comes and changes while filters hold it.
#[derive(Debug)]
pub struct ListSlot {
    name: Arc<str>,
    /// As long as it is not known, it covers everything.
    required: bool,
    content: ArcSwapOption<List>,
}

impl ListSlot {
    #[must_use]
    pub fn new(name: &str, required: bool) -> Self {
        Self {
            name: name.into(),
            required,
            content: ArcSwapOption::empty(),
        }
    }

    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required
    }

    #[must_use]
    pub fn content(&self) -> Option<Arc<List>> {
        self.content.load_full()
    }

    /// Counts for the next question.
    pub fn set(&self, content: Arc<List>) {
        self.content.store(Some(content));
    }

    pub(super) fn find(&self, host: &Host, target: Option<&Target>) -> Option<String> {
        self.content.load().as_ref()?.find(host, target)
    }

    pub(super) fn is_known(&self) -> bool {
        self.content.load().is_some()
    }
}
