//! One line of a list, in the forms that lists come in.
//!
//! | written | covers |
//! |---|---|
//! | `example.com`, `.example.com`, `\|\|example.com^` | the name and every name below it |
//! | `=example.com`, `0.0.0.0 example.com`, `https://example.com` | the name alone |
//! | `*.example.com` | every name below it |
//! | `ads*.example.com` | names of this form; `*` stands for any letters, dots among them |
//! | `*` | every name |
//! | `example.com/path`, `https://example.com/path` | the path and all below it, of this host alone |
//! | `*.example.com/path`, `\|\|example.com/path` | likewise, of the names below; of the name and those below |
//! | `example.com/*.exe` | paths of this form, with their query |
//! | `@@…` | takes what it covers out of its list |
//!
//! Letters count in either case, a port or a scheme says nothing, and names in other scripts are their punycode. `#`, `!` and `;`
//! begin a comment line, and a blank with `#` a comment at a line's end. What only a browser can do (element hiding, third parties,
//! types of content) is `ForBrowsers`.

use std::net::IpAddr;

use super::host::{LABEL_BYTES, NAME_BYTES, address, to_ascii, without_port};
use super::target::{MOST_STEPS, Target};

/// What a line may be long.
pub(super) const LINE_BYTES: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A comment, a heading, a name that hosts files have for the machine itself.
    Nothing,
    /// Only a browser could tell.
    ForBrowsers,
    Entries(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Takes out of the list.
    pub(super) is_exception: bool,
    pub(super) host: HostPattern,
    pub(super) path: PathPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    Name {
        name: String,
        covers: Covers,
    },
    /// With an asterisk; the name that each of them is under is behind its last one.
    Glob(String),
}

/// Which names one stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Covers {
    Itself,
    Below,
    Both,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathPattern {
    Any,
    /// Itself and what is below.
    Prefix(Target),
    Glob(Target),
}

/// Why a line is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EntryError {
    #[error("it is not UTF-8")]
    NotText,
    #[error("it is longer than {LINE_BYTES} bytes")]
    TooLong,
    #[error("it is no host name: letters, digits, '-', '_' and dots")]
    NoHost,
    #[error(
        "a name without a dot would cover a whole top-level domain: write '.NAME' if that is meant, '=NAME' for a host"
    )]
    OneLabel,
    #[error("lists are of names: prefixes of addresses belong into a feed")]
    Prefix,
    #[error("of URLs, only http and https are known")]
    Scheme,
    #[error("its path has more than {MOST_STEPS} steps")]
    TooDeep,
    #[error("there are too many patterns below one name already")]
    TooManyPatterns,
    #[error("there is nothing in it")]
    Nothing,
    #[error("only a browser could apply it")]
    ForBrowsers,
}

/// Marks of rules that hide elements or run scripts in pages.
const COSMETIC: [&str; 6] = ["##", "#@#", "#?#", "#$#", "#%#", "#@?#"];
/// Options that leave a rule what it is for a whole session or request.
const PLAIN_OPTIONS: [&str; 4] = ["all", "doc", "document", "important"];
/// What hosts files call the machine itself, and groups of machines.
const OWN_NAMES: [&str; 4] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
];

/// `bytes` is a line without its end.
pub(super) fn read(bytes: &[u8]) -> Result<Line, EntryError> {
    if bytes.len() > LINE_BYTES {
        return Err(EntryError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| EntryError::NotText)?;
    let text = text.trim();
    let is_heading = text.starts_with('[') && text.ends_with(']') && !text.contains(':');
    let is_comment = text.starts_with(['#', '!', ';']) || text.starts_with("//");
    if text.is_empty() || is_comment || is_heading {
        return Ok(Line::Nothing);
    }
    if COSMETIC.iter().any(|mark| text.contains(mark)) {
        return Ok(Line::ForBrowsers);
    }
    let text = match text.split_once(" #").or_else(|| text.split_once("\t#")) {
        Some((text, _)) => text.trim_end(),
        None => text,
    };
    if text.starts_with("||") || text.starts_with("@@") || text.starts_with('|') {
        return for_blockers(text);
    }
    let mut words = text.split_whitespace();
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        return plain(text).map(|entry| Line::Entries(vec![entry]));
    };
    if address(first).is_none() {
        return Err(EntryError::NoHost);
    }
    let names = [second].into_iter().chain(words);
    let names = names.filter(|name| !is_own(name)).map(|name| {
        Ok(Entry {
            is_exception: false,
            host: exactly(name)?,
            path: PathPattern::Any,
        })
    });
    let entries: Vec<_> = names.collect::<Result<_, EntryError>>()?;
    Ok(if entries.is_empty() {
        Line::Nothing
    } else {
        Line::Entries(entries)
    })
}

fn is_own(name: &str) -> bool {
    OWN_NAMES.contains(&name) || name.starts_with("ip6-") || address(name).is_some()
}

/// The syntax of blockers in browsers, as far as it is about whole hosts and URLs.
fn for_blockers(text: &str) -> Result<Line, EntryError> {
    let (is_exception, text) = match text.strip_prefix("@@") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (text, options) = text.rsplit_once('$').unwrap_or((text, ""));
    let is_plain = options.is_empty()
        || options
            .split(',')
            .all(|option| PLAIN_OPTIONS.contains(&option));
    if !is_plain {
        return Ok(Line::ForBrowsers);
    }
    let text = text.strip_suffix('|').unwrap_or(text);
    let entry = if let Some(rest) = text.strip_prefix("||") {
        below_too(rest)?
    } else {
        let rest = text.strip_prefix('|').unwrap_or(text);
        // Of the rest, only what begins with a host is about one.
        if !rest.contains("://") && (rest.is_empty() || rest.contains(['/', '^'])) {
            return Ok(Line::ForBrowsers);
        }
        Some(plain(rest)?)
    };
    Ok(match entry {
        Some(entry) => Line::Entries(vec![Entry {
            is_exception,
            ..entry
        }]),
        None => Line::ForBrowsers,
    })
}

/// Behind `||`. A `^` is the end of a name or of a step of a path.
fn below_too(text: &str) -> Result<Option<Entry>, EntryError> {
    let end = text.find(['/', '^', '?']).unwrap_or(text.len());
    let (host, rest) = text.split_at(end);
    let rest = match rest {
        "^" | "^*" | "^/" | "/" | "/*" | "/^" => "",
        rest => rest.strip_prefix('^').unwrap_or(rest),
    };
    // `||ads.` is the beginning of names.
    if host.ends_with('.') || host.is_empty() {
        return Ok(None);
    }
    let host = without_port(host);
    let host = if host.contains('*') {
        glob(host)?
    } else if address(host).is_some() {
        exactly(host)?
    } else {
        HostPattern::Name {
            name: name(host)?,
            covers: Covers::Both,
        }
    };
    let path = match rest.strip_suffix(['^', '*']) {
        None if !rest.is_empty() && !rest.contains('^') => path(&format!("{rest}*"))?,
        None if rest.is_empty() => PathPattern::Any,
        Some(step) if rest.ends_with('^') && !step.contains('^') => path(step)?,
        Some(beginning) if !beginning.contains('^') => path(&format!("{beginning}*"))?,
        Some(_) | None => return Ok(None),
    };
    Ok(Some(Entry {
        is_exception: false,
        host,
        path,
    }))
}

/// A name, pattern or URL.
fn plain(text: &str) -> Result<Entry, EntryError> {
    let entry = |host, path| Entry {
        is_exception: false,
        host,
        path,
    };
    if let Some(host) = text.strip_prefix('=') {
        return Ok(entry(exactly(host)?, PathPattern::Any));
    }
    let (is_url, rest) = match text.split_once("://") {
        Some((scheme, rest))
            if ["http", "https", "*"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known)) =>
        {
            (true, rest)
        }
        Some(_) => return Err(EntryError::Scheme),
        None => (false, text),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, said) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = without_port(host);
    if said.is_empty() && !is_url {
        return Ok(entry(broadly(host)?, PathPattern::Any));
    }
    let is_prefix = |said: &str| {
        said.strip_prefix('/')
            .is_some_and(|bits| bits.parse::<u8>().is_ok())
    };
    if !is_url && address(host).is_some() && is_prefix(said) {
        return Err(EntryError::Prefix);
    }
    let host = if host.contains('*') {
        broadly(host)?
    } else {
        exactly(host)?
    };
    Ok(entry(host, path(said)?))
}

/// As in a list of domains: the name and what is below it.
fn broadly(text: &str) -> Result<HostPattern, EntryError> {
    let named = |text: &str, covers| {
        // There is nothing below an address.
        if address(text).is_some() {
            return Err(EntryError::NoHost);
        }
        Ok(HostPattern::Name {
            name: name(text)?,
            covers,
        })
    };
    if text == "*" {
        return Ok(HostPattern::Name {
            name: String::new(),
            covers: Covers::Below,
        });
    }
    match text.strip_prefix("*.") {
        Some(rest) if !rest.contains('*') => return named(rest, Covers::Below),
        _ if text.contains('*') => return glob(text),
        _ => {}
    }
    if let Some(rest) = text.strip_prefix('.') {
        return named(rest, Covers::Both);
    }
    if address(text).is_some() {
        return exactly(text);
    }
    let name = name(text)?;
    if name.contains('.') {
        Ok(HostPattern::Name {
            name,
            covers: Covers::Both,
        })
    } else {
        Err(EntryError::OneLabel)
    }
}

fn exactly(text: &str) -> Result<HostPattern, EntryError> {
    Ok(HostPattern::Name {
        name: name(text)?,
        covers: Covers::Itself,
    })
}

fn glob(text: &str) -> Result<HostPattern, EntryError> {
    let text = to_ascii(text).ok_or(EntryError::NoHost)?;
    let is_label = |label: &str| label.len() <= LABEL_BYTES && !label.is_empty();
    let fits = text.len() <= NAME_BYTES
        && text.split('.').all(is_label)
        && text
            .bytes()
            .all(|byte| is_letter(byte) || matches!(byte, b'.' | b'*'));
    fits.then(|| HostPattern::Glob(text.into_owned()))
        .ok_or(EntryError::NoHost)
}

/// A name of labels, or an address in its one form.
fn name(text: &str) -> Result<String, EntryError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Some(address @ (IpAddr::V4(_) | IpAddr::V6(_))) = address(bare) {
        return Ok(address.to_string());
    }
    let name = to_ascii(text).ok_or(EntryError::NoHost)?;
    let is_label =
        |label: &str| (1..=LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_letter);
    let is_number = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() <= NAME_BYTES && name.split('.').all(is_label) && !is_number {
        Ok(name.into_owned())
    } else {
        Err(EntryError::NoHost)
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}

/// `/dir/` and `/dir/*` are `/dir`: whoever lists a directory means what is in it.
fn path(said: &str) -> Result<PathPattern, EntryError> {
    let target = Target::of(said.as_bytes());
    let bytes = target.bytes();
    let has_query = bytes.contains(&b'?');
    let bytes = bytes.strip_suffix(b"/*").unwrap_or(bytes);
    if bytes.contains(&b'*') {
        return Ok(PathPattern::Glob(target));
    }
    let bytes = match bytes.strip_suffix(b"/") {
        Some(directory) if !has_query => directory,
        _ => bytes,
    };
    if bytes.is_empty() {
        return Ok(PathPattern::Any);
    }
    let target = Target::of(bytes);
    if target.steps().last() != Some(target.bytes().len()) {
        return Err(EntryError::TooDeep);
    }
    Ok(PathPattern::Prefix(target))
}
