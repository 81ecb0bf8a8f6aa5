//! A feed's content: read, and judged before it is applied.
//!
//! One address, prefix or range a line; `#` and `;` begin a comment. A feed is somebody else's text and
//! takes part in decisions, so it is applied whole or not at all:
//! - A line that is none of these is passed over where they are few (one in a hundred); more, and this is
//!   no list of addresses but perhaps an error page.
//! - It has as many entries as the configuration says, and no more of them have changed.
//! - Never all addresses of a family; no network larger than anybody has, and nothing that is nobody's in
//!   the Internet, unless the configuration allows it: a list that blocks 10.0.0.0/8 is more likely a mistake
//!   than meant.

use ipnet::IpNet;
use rules::AddressSet;
use rules::address::parse_addresses;

use crate::config::FeedLimits;

/// Why a feed is not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ContentError {
    #[error("it is not text")]
    NotText,
    #[error("{bad} of {entries} lines are no addresses; the first is line {line}: '{text}'")]
    Malformed {
        bad: usize,
        entries: usize,
        line: usize,
        text: String,
    },
    #[error("{0} entries are fewer than at-least {1}")]
    TooFew(usize, u32),
    #[error("more entries than at-most {0}")]
    TooMany(u32),
    #[error("line {line}: {text} is wider than a feed may say (allow: wide)")]
    Wide { line: usize, text: String },
    #[error("line {line}: {text} stands for every address")]
    Everything { line: usize, text: String },
    #[error("line {line}: {text} is private or reserved (allow: private)")]
    Private { line: usize, text: String },
    #[error("{0}% of the entries have changed, more than most-change {1}%")]
    Changed(usize, u8),
}

/// Lines of which one may be something else.
const LINES_PER_MISTAKE: usize = 100;
/// The widest that registries hand out to one holder, and so that a feed may say of one.
const WIDEST_V4_BITS: u32 = 32 - 8;
const WIDEST_V6_BITS: u32 = 128 - 16;
/// RFC 6890 and its updates, without what documents use as examples.
const PRIVATE: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// What a feed says, if it may say so in place of `before`.
pub(super) fn judge(
    bytes: &[u8],
    limits: &FeedLimits,
    before: Option<&AddressSet>,
) -> Result<AddressSet, ContentError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ContentError::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let private = private();
    let mut sets = Vec::new();
    let mut malformed: Option<(usize, String)> = None;
    let (mut entries, mut bad) = (0, 0);
    for (number, line) in (1..).zip(text.lines()) {
        let entry = line.split(['#', ';']).next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        entries += 1;
        if entries > limits.at_most as usize {
            return Err(ContentError::TooMany(limits.at_most));
        }
        match parse_addresses(entry) {
            Ok(set) => {
                check(&set, &private, limits, number, entry)?;
                sets.push(set);
            }
            Err(_) => {
                bad += 1;
                malformed.get_or_insert_with(|| (number, shortened(entry)));
            }
        }
    }
    if let Some((line, text)) = malformed
        && bad * LINES_PER_MISTAKE > entries
    {
        return Err(ContentError::Malformed {
            bad,
            entries,
            line,
            text,
        });
    }
    if sets.len() < limits.at_least as usize {
        return Err(ContentError::TooFew(sets.len(), limits.at_least));
    }
    let set = AddressSet::union(&sets);
    if let (Some(most), Some(before)) = (limits.most_change_percent, before) {
        let percent = changed_percent(before, &set);
        if percent > usize::from(most) {
            return Err(ContentError::Changed(percent, most));
        }
    }
    Ok(set)
}

fn check(
    set: &AddressSet,
    private: &AddressSet,
    limits: &FeedLimits,
    line: usize,
    text: &str,
) -> Result<(), ContentError> {
    let v4 = set.v4_ranges().next();
    let v6 = set.v6_ranges().next();
    let wide_v4 = v4.map_or(0, |(first, last)| last.to_bits() - first.to_bits());
    let wide_v6 = v6.map_or(0, |(first, last)| last.to_bits() - first.to_bits());
    let text = || shortened(text);
    if wide_v4 == u32::MAX || wide_v6 == u128::MAX {
        return Err(ContentError::Everything { line, text: text() });
    }
    let is_wide = wide_v4 >> WIDEST_V4_BITS > 0 || wide_v6 >> WIDEST_V6_BITS > 0;
    if is_wide && !limits.wide {
        return Err(ContentError::Wide { line, text: text() });
    }
    if !limits.private && set.without(private) != *set {
        return Err(ContentError::Private { line, text: text() });
    }
    Ok(())
}

/// Of the ranges that there were, how many have come and gone, in percent.
fn changed_percent(before: &AddressSet, after: &AddressSet) -> usize {
    let changed = after.without(before).ranges() + before.without(after).ranges();
    (changed * 100).div_ceil(before.ranges().max(1))
}

fn private() -> AddressSet {
    let nets = PRIVATE.iter().filter_map(|net| net.parse::<IpNet>().ok());
    AddressSet::union(&nets.map(AddressSet::from).collect::<Vec<_>>())
}

/// As much of somebody else's text as a message can take.
fn shortened(text: &str) -> String {
    let clean = text.chars().filter(|letter| !letter.is_control());
    clean.take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FeedLimits = FeedLimits {
        at_least: 1,
        at_most: 1_000,
        most_change_percent: None,
        private: false,
        wide: false,
    };

    fn set(items: &[&str]) -> AddressSet {
        let sets: Vec<_> = items
            .iter()
            .map(|item| parse_addresses(item).unwrap())
            .collect();
        AddressSet::union(&sets)
    }

    #[test]
    fn addresses_prefixes_ranges_and_comments_are_read() {
        let text = "\u{feff}# a list\r\n203.0.113.7\r\n; more\n198.51.100.0/24 ; SBL1\n\n  \
                    192.0.2.1 - 192.0.2.9 # a range\n2001:db8::/32\n";
        let expected = set(&[
            "203.0.113.7",
            "198.51.100.0/24",
            "192.0.2.1-192.0.2.9",
            "2001:db8::/32",
        ]);
        assert_eq!(judge(text.as_bytes(), &LIMITS, None), Ok(expected));
    }

    #[test]
    fn one_bad_line_in_a_hundred_is_passed_over_and_more_are_not() {
        let good: String = (0..99).map(|host| format!("203.0.113.{host}\n")).collect();
        let one = format!("{good}what is this\n");
        assert_eq!(judge(one.as_bytes(), &LIMITS, None).unwrap().ranges(), 1);
        let two = format!("<html>\n{one}");
        let error = judge(two.as_bytes(), &LIMITS, None).unwrap_err();
        let expected = ContentError::Malformed {
            bad: 2,
            entries: 101,
            line: 1,
            text: "<html>".to_owned(),
        };
        assert_eq!(error, expected);
    }

    #[test]
    fn a_feed_has_as_many_entries_as_it_may() {
        let limits = FeedLimits {
            at_least: 2,
            at_most: 3,
            ..LIMITS
        };
        let judged = |lines: usize| {
            let text: String = (0..lines)
                .map(|host| format!("203.0.113.{host}\n"))
                .collect();
            judge(text.as_bytes(), &limits, None).map(|_| ())
        };
        assert_eq!(judged(0), Err(ContentError::TooFew(0, 2)));
        assert_eq!(judged(1), Err(ContentError::TooFew(1, 2)));
        assert_eq!(judged(3), Ok(()));
        assert_eq!(judged(4), Err(ContentError::TooMany(3)));
    }

    #[test]
    fn what_would_block_too_much_is_refused_unless_it_is_allowed() {
        let judged =
            |text: &str, limits: &FeedLimits| judge(text.as_bytes(), limits, None).map(|_| ());
        let allowing = FeedLimits {
            private: true,
            wide: true,
            ..LIMITS
        };
        for text in ["0.0.0.0/0", "::/0", "0.0.0.0-255.255.255.255"] {
            let refused = judged(text, &allowing);
            assert!(
                matches!(refused, Err(ContentError::Everything { .. })),
                "{text}"
            );
        }
        for text in ["64.0.0.0/7", "2000::/15", "1.0.0.0-2.0.0.0"] {
            assert!(
                matches!(judged(text, &LIMITS), Err(ContentError::Wide { .. })),
                "{text}"
            );
            assert_eq!(judged(text, &allowing), Ok(()));
        }
        assert_eq!(judged("8.0.0.0/8", &LIMITS), Ok(()));
        for text in [
            "192.168.1.1",
            "9.255.255.255-10.0.0.0",
            "fe80::1",
            "127.0.0.1",
        ] {
            assert!(
                matches!(judged(text, &LIMITS), Err(ContentError::Private { .. })),
                "{text}"
            );
            assert_eq!(judged(text, &allowing), Ok(()));
        }
    }

    #[test]
    fn a_feed_that_changes_more_than_it_may_is_refused() {
        let limits = FeedLimits {
            most_change_percent: Some(50),
            ..LIMITS
        };
        let before = set(&["203.0.113.1", "203.0.113.3", "203.0.113.5", "203.0.113.7"]);
        let judged = |text: &str| judge(text.as_bytes(), &limits, Some(&before)).map(|_| ());
        assert_eq!(
            judged("203.0.113.1\n203.0.113.3\n203.0.113.5\n203.0.113.9\n"),
            Ok(())
        );
        assert_eq!(judged("203.0.113.1\n"), Err(ContentError::Changed(75, 50)));
        let first = judge(b"203.0.113.1\n", &limits, None);
        assert!(first.is_ok(), "there was nothing to change");
    }

    #[test]
    fn what_is_not_text_is_refused() {
        assert_eq!(
            judge(&[0x1f, 0x8b, 0x08], &LIMITS, None),
            Err(ContentError::NotText)
        );
    }
}
