//! Feeds and the country database: where they come from and what they may hold.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use rules::document::{self, FeedContent};
use rules::{Findings, Located, Named, parse_duration};

/// A list of addresses that somebody else keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Feed {
    pub name: String,
    pub source: FeedSource,
    pub limits: FeedLimits,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeedSource {
    /// Read again whenever it changes.
    File(PathBuf),
    Url {
        /// `http` or `https`, with a host.
        url: Uri,
        /// Instead of the public ones.
        ca_file: Option<PathBuf>,
        refresh: Duration,
    },
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

const DEFAULT_REFRESH: Duration = Duration::from_secs(3_600);
/// More often than this is an attack on whoever publishes it.
const MIN_REFRESH: Duration = Duration::from_secs(30);
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
            Some(Feed {
                name: name.value.clone(),
                source: source(name, feed, findings)?,
                limits,
            })
        })
        .collect()
}

pub(super) fn compile_countries(
    document: Option<&document::Countries>,
    findings: &mut Findings,
) -> Option<PathBuf> {
    path(&document?.file, findings)
}

fn source(
    name: &Located<String>,
    feed: &document::Feed,
    findings: &mut Findings,
) -> Option<FeedSource> {
    match (&feed.url, &feed.file) {
        (Some(url), None) => Some(FeedSource::Url {
            ca_file: feed.ca_file.as_ref().and_then(|file| path(file, findings)),
            refresh: refresh(feed.refresh.as_ref(), findings),
            url: parse_url(url, findings)?,
        }),
        (None, Some(file)) => {
            for key in [&feed.refresh, &feed.ca_file].into_iter().flatten() {
                let message = "a file is read when it changes: refresh and ca-file go with a url";
                findings.error(key.place, message);
            }
            path(file, findings).map(FeedSource::File)
        }
        (Some(url), Some(_)) => {
            findings.error(
                url.place,
                format!("feed '{}' has both a url and a file", name.value),
            );
            None
        }
        (None, None) => {
            findings.error(
                name.place,
                format!("feed '{}' comes from nowhere: url or file", name.value),
            );
            None
        }
    }
}

fn limits(feed: &document::Feed, findings: &mut Findings) -> FeedLimits {
    let at_least = feed.at_least.map_or(1, |count| count.value);
    let at_most = feed.at_most.map_or(DEFAULT_AT_MOST, |count| count.value);
    if let Some(count) = feed.at_most.filter(|count| count.value > MAX_AT_MOST) {
        let message = format!(
            "{} entries are too many: at most {MAX_AT_MOST}",
            count.value
        );
        findings.error(count.place, message);
    } else if at_least > at_most
        && let Some(count) = feed.at_least.or(feed.at_most)
    {
        let message = format!("at-least {at_least} is more than at-most {at_most}");
        findings.error(count.place, message);
    }
    let percent = feed.most_change.as_ref().and_then(|text| {
        let number = text.value.strip_suffix('%').map(str::parse);
        match number {
            Some(Ok(percent @ 1..=100)) => Some(percent),
            _ => {
                let message = format!("'{}' is no share: from 1% to 100%", text.value);
                findings.error(text.place, message);
                None
            }
        }
    });
    FeedLimits {
        at_least,
        at_most,
        most_change_percent: percent,
        private: feed.allow.0.contains(&FeedContent::Private),
        wide: feed.allow.0.contains(&FeedContent::Wide),
    }
}

fn refresh(text: Option<&Located<String>>, findings: &mut Findings) -> Duration {
    let Some(text) = text else {
        return DEFAULT_REFRESH;
    };
    match parse_duration(&text.value) {
        Ok(interval) if interval >= MIN_REFRESH => return interval,
        Ok(_) => findings.error(
            text.place,
            format!(
                "{} is too often: at least {}s",
                text.value,
                MIN_REFRESH.as_secs()
            ),
        ),
        Err(error) => findings.error(text.place, error.to_string()),
    }
    DEFAULT_REFRESH
}

fn parse_url(text: &Located<String>, findings: &mut Findings) -> Option<Uri> {
    let uri = text.value.parse::<Uri>().ok().filter(|uri| {
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        // A password in a URL would be shown wherever the URL is.
        let plain = uri
            .authority()
            .is_some_and(|host| !host.as_str().contains('@'));
        scheme && plain && uri.host().is_some_and(|host| !host.is_empty())
    });
    if uri.is_none() {
        findings.error(
            text.place,
            format!(
                "'{}' is no address of a feed: https://HOST/PATH, or http:// where nothing else is to be had",
                text.value
            ),
        );
    }
    uri
}

fn path(text: &Located<String>, findings: &mut Findings) -> Option<PathBuf> {
    let path = PathBuf::from(&text.value);
    if !path.is_absolute() {
        let message = format!(
            "'{}' is no full path, as in /etc/palisade/feed.txt",
            text.value
        );
        findings.error(text.place, message);
        return None;
    }
    Some(path)
}
