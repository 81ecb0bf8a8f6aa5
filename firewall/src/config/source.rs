//! Where what somebody else keeps comes from, and how much of it there may be: what feeds and lists of URLs share.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use rules::{Findings, Located, parse_duration};

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

/// The keys of one, as written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    pub(super) noun: &'static str,
    pub(super) name: &'a Located<String>,
    pub(super) url: Option<&'a Located<String>>,
    pub(super) file: Option<&'a Located<String>>,
    pub(super) ca_file: Option<&'a Located<String>>,
    pub(super) refresh: Option<&'a Located<String>>,
}

/// How many entries there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) default: u32,
    /// That `at-most` may be.
    pub(super) most: u32,
}

const DEFAULT_REFRESH: Duration = Duration::from_secs(3_600);
/// More often than this is an attack on whoever publishes it.
const MIN_REFRESH: Duration = Duration::from_secs(30);

pub(super) fn compile(written: &Written<'_>, findings: &mut Findings) -> Option<FeedSource> {
    let Written { noun, name, .. } = written;
    match (written.url, written.file) {
        (Some(url), None) => Some(FeedSource::Url {
            ca_file: written.ca_file.and_then(|file| path(file, findings)),
            refresh: refresh(written.refresh, findings),
            url: parse_url(url, findings)?,
        }),
        (None, Some(file)) => {
            for key in [written.refresh, written.ca_file].into_iter().flatten() {
                let message = "a file is read when it changes: refresh and ca-file go with a url";
                findings.error(key.place, message);
            }
            path(file, findings).map(FeedSource::File)
        }
        (Some(url), Some(_)) => {
            findings.error(
                url.place,
                format!("{noun} '{}' has both a url and a file", name.value),
            );
            None
        }
        // Where it comes from could not be read.
        (None, None) if findings.is_damaged("feeds", &name.value) => None,
        (None, None) => {
            findings.error(
                name.place,
                format!("{noun} '{}' comes from nowhere: url or file", name.value),
            );
            None
        }
    }
}

/// `at-least` and `at-most`.
pub(super) fn counts(
    least: Option<Located<u32>>,
    most: Option<Located<u32>>,
    counts: &Counts,
    findings: &mut Findings,
) -> (u32, u32) {
    let at_least = least.map_or(1, |count| count.value);
    let at_most = most.map_or(counts.default, |count| count.value);
    if let Some(count) = most.filter(|count| count.value > counts.most) {
        let message = format!(
            "{} entries are too many: at most {}",
            count.value, counts.most
        );
        findings.error(count.place, message);
    } else if at_least > at_most
        && let Some(count) = least.or(most)
    {
        let message = format!("at-least {at_least} is more than at-most {at_most}");
        findings.error(count.place, message);
    }
    (at_least, at_most)
}

/// `most-change`, in percent.
pub(super) fn share(text: Option<&Located<String>>, findings: &mut Findings) -> Option<u8> {
    let text = text?;
    let number = text.value.strip_suffix('%').map(str::parse);
    match number {
        Some(Ok(percent @ 1..=100)) => Some(percent),
        _ => {
            let message = format!("'{}' is no share: from 1% to 100%", text.value);
            findings.error(text.place, message);
            None
        }
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
                "'{}' is no address to ask: https://HOST/PATH, or http:// where nothing else is to be had",
                text.value
            ),
        );
    }
    uri
}

pub(super) fn path(text: &Located<String>, findings: &mut Findings) -> Option<PathBuf> {
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
