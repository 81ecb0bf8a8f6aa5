//! Feeds and the country database: where they come from and what they may hold.

use std::path::PathBuf;

use rules::document::{self, FeedContent};
use rules::{Findings, Named};

use super::source::{self, Counts, FeedSource, Written};

/// A list of addresses that somebody else keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Feed {
    pub name: String,
    pub source: FeedSource,
    pub limits: FeedLimits,
}

/// What a feed must be for it to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeedLimits {
    /// Entries.
    pub at_least: u32,
    pub at_most: u32,
    /// Percent of the entries that one refresh may add and take away; `None` for any.
    pub most_change_percent: Option<u8>,
    pub private: bool,
    pub wide: bool,
}

const DEFAULT_AT_MOST: u32 = 100_000;
const MAX_AT_MOST: u32 = 1_000_000;
/// Each may hold many entries, which are all looked through at every change.
const MAX_FEEDS: usize = 64;

/// Those that have a source, in the order of the document.
pub(super) fn compile(document: &Named<document::Feed>, findings: &mut Findings) -> Vec<Feed> {
    if let Some((name, _)) = document.0.get(MAX_FEEDS) {
        findings.error(name.place, format!("there are more than {MAX_FEEDS} feeds"));
    }
    document
        .iter()
        .filter_map(|(name, feed)| {
            let limits = limits(feed, findings);
            let written = Written {
                noun: "feed",
                name,
                url: feed.url.as_ref(),
                file: feed.file.as_ref(),
                ca_file: feed.ca_file.as_ref(),
                refresh: feed.refresh.as_ref(),
            };
            Some(Feed {
                name: name.value.clone(),
                source: source::compile(&written, findings)?,
                limits,
            })
        })
        .collect()
}

pub(super) fn compile_countries(
    document: Option<&document::Countries>,
    findings: &mut Findings,
) -> Option<PathBuf> {
    source::path(&document?.file, findings)
}

fn limits(feed: &document::Feed, findings: &mut Findings) -> FeedLimits {
    let counts = source::counts(
        feed.at_least,
        feed.at_most,
        &Counts {
            default: DEFAULT_AT_MOST,
            most: MAX_AT_MOST,
        },
        findings,
    );
    FeedLimits {
        at_least: counts.0,
        at_most: counts.1,
        most_change_percent: source::share(feed.most_change.as_ref(), findings),
        private: feed.allow.0.contains(&FeedContent::Private),
        wide: feed.allow.0.contains(&FeedContent::Wide),
    }
}
