//! One item of an address list, as it is written: which of the many kinds it is, and whether it is well
//! formed.
//!
//! ```text
//! any   lan   192.0.2.10   192.0.2.16/28   192.0.2.40-192.0.2.50
//! fqdn:mirror.example.org   feed:blocklist   country:SE   not:ITEM
//! ```
//! An IPv6 address may begin like a kind (`feed:beef::1`); it has two colons at least, and a kind's name
//! none.

use crate::address::{AddressError, AddressSet, parse_addresses};
use crate::facts::Outside;
use crate::findings::suggest;

/// What an item stands for. Names have not been looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Any,
    Object(&'a str),
    Addresses(AddressSet),
    Outside(Outside),
}

/// What is wrong with an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ItemError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("'{kind}' is no kind of address: one of {kinds}", kinds = KINDS.join(", "))]
    Kind { kind: String, name: String },
    #[error("not: stands before what it excludes, once")]
    TwiceNot,
    #[error(
        "'{0}' is no host name: letters, digits and '-' between dots, as in mirror.example.org"
    )]
    HostName(String),
    #[error("'{0}' stands for no particular host: name each that is meant")]
    Wildcard(String),
    #[error("'{0}' is no country: two capital letters as in ISO 3166-1, such as SE")]
    Country(String),
}

impl ItemError {
    /// What was probably meant, in the item's place.
    pub(crate) fn suggestion(&self) -> Option<String> {
        match self {
            Self::Address(AddressError::HostBits(net)) => Some(net.trunc().to_string()),
            Self::Kind { kind, name } => suggest(kind, KINDS).map(|kind| format!("{kind}:{name}")),
            Self::Country(code) => {
                let code = code.to_uppercase();
                // What people write for the two whose code is another.
                let meant = match code.as_str() {
                    "UK" => "GB",
                    "EL" => "GR",
                    code => code,
                };
                is_country(meant).then(|| format!("country:{meant}"))
            }
            Self::Address(_) | Self::TwiceNot | Self::HostName(_) | Self::Wildcard(_) => None,
        }
    }
}

const KINDS: [&str; 4] = ["country", "feed", "fqdn", "not"];

/// `not:` taken off, where it stands.
pub(crate) fn split_not(text: &str) -> (bool, &str) {
    match text.strip_prefix("not:") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    }
}

/// An item without its `not:`.
pub(crate) fn parse_item(text: &str) -> Result<Item<'_>, ItemError> {
    if text == "any" {
        return Ok(Item::Any);
    }
    if looks_like_a_name(text) {
        return Ok(Item::Object(text));
    }
    match parse_addresses(text) {
        Ok(set) => Ok(Item::Addresses(set)),
        Err(error) => match text.split_once(':') {
            Some((kind, name)) if looks_like_a_name(kind) && !name.contains(':') => {
                outside(kind, name.trim()).map(Item::Outside)
            }
            _ if text.starts_with("not:") => Err(ItemError::TwiceNot),
            _ => Err(error.into()),
        },
    }
}

fn outside(kind: &str, name: &str) -> Result<Outside, ItemError> {
    match kind {
        "fqdn" => host_name(name).map(Outside::Fqdn),
        "feed" => Ok(Outside::Feed(name.to_owned())),
        "country" if is_country(name) => Ok(Outside::Country(name.to_owned())),
        "country" => Err(ItemError::Country(name.to_owned())),
        "not" => Err(ItemError::TwiceNot),
        _ => Err(ItemError::Kind {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }),
    }
}

/// RFC 1123, section 2.1, and the underscores that are in use all the same; at least two labels, because
/// a resolver's search list has no say here. RFC 1035, section 2.3.4: 253 letters, labels of 63.
fn host_name(text: &str) -> Result<String, ItemError> {
    if text.contains('*') {
        return Err(ItemError::Wildcard(text.to_owned()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let last = name.rsplit('.').next().unwrap_or_default();
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(label) || is_number(last) {
        return Err(ItemError::HostName(text.to_owned()));
    }
    Ok(name.to_ascii_lowercase())
}

fn is_country(code: &str) -> bool {
    code.len() == 2
        && COUNTRIES
            .split_ascii_whitespace()
            .any(|known| known == code)
}

/// Names start with a letter and hold no colon; only an IPv6 address could start so otherwise.
fn looks_like_a_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic()) && !text.contains([':', '/'])
}

/// ISO 3166-1 alpha-2, and XK, which is reserved for users and stands for Kosovo in the databases.
const COUNTRIES: &str = "\
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT \
MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG \
UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM XK ZW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_item_is_told_from_the_others() {
        let fqdn = |name: &str| Ok(Item::Outside(Outside::Fqdn(name.to_owned())));
        assert_eq!(parse_item("any"), Ok(Item::Any));
        assert_eq!(parse_item("web-servers"), Ok(Item::Object("web-servers")));
        assert_eq!(
            parse_item("fqdn:Mirror.Example.ORG."),
            fqdn("mirror.example.org")
        );
        assert_eq!(
            parse_item("feed:blocklist"),
            Ok(Item::Outside(Outside::Feed("blocklist".to_owned())))
        );
        assert_eq!(
            parse_item("country:SE"),
            Ok(Item::Outside(Outside::Country("SE".to_owned())))
        );
        for address in ["feed:beef::1", "fe80::1-fe80::9", "::", "192.0.2.0/24"] {
            assert!(
                matches!(parse_item(address), Ok(Item::Addresses(_))),
                "{address}"
            );
        }
        assert_eq!(split_not("not:lan"), (true, "lan"));
        assert_eq!(split_not("nothing"), (false, "nothing"));
    }

    #[test]
    fn what_is_no_item_says_why_and_what_was_meant() {
        let said = |text: &str| {
            let error = parse_item(text).unwrap_err();
            (error.to_string(), error.suggestion())
        };
        assert_eq!(
            said("fdqn:a.example.org").1.as_deref(),
            Some("fqdn:a.example.org")
        );
        assert_eq!(said("country:UK").1.as_deref(), Some("country:GB"));
        assert_eq!(said("country:se").1.as_deref(), Some("country:SE"));
        assert_eq!(said("country:QQ").1, None);
        assert_eq!(parse_item("not:not:lan"), Err(ItemError::TwiceNot));
        assert_eq!(parse_item("not:lan"), Err(ItemError::TwiceNot));
        for name in [
            "localhost",
            "a..org",
            "-a.org",
            "192.0.2.1",
            "a b.org",
            "",
            "ä.org",
        ] {
            let text = format!("fqdn:{name}");
            assert_eq!(parse_item(&text), Err(ItemError::HostName(name.to_owned())));
        }
        assert!(matches!(
            parse_item("fqdn:*.example.org"),
            Err(ItemError::Wildcard(_))
        ));
    }

    #[test]
    fn no_country_is_listed_twice() {
        let codes: std::collections::HashSet<_> = COUNTRIES.split_ascii_whitespace().collect();
        assert!(codes.iter().all(|code| code.len() == 2));
        assert_eq!(codes.len(), COUNTRIES.split_ascii_whitespace().count());
        assert_eq!(codes.len(), 250);
    }
}
