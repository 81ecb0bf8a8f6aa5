//! Which events a query string asks for, and that nothing else was asked.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use firewall::control::parse_protocol;
use firewall::events::{Filter, Kind, Severity, Words};
use jiff::Timestamp;
use utoipa::IntoParams;

use crate::filter::{BadParameter, limit, number, pairs, parsed, unknown, word};
use crate::problem::Problem;

/// Which events; all that is named must hold.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub(super) struct Selection {
    /// Several times, or with commas between: any of them.
    #[param(value_type = Vec<Kind>, explode)]
    kind: BTreeSet<Kind>,
    /// At least this severe.
    severity: Option<Severity>,
    policy: Option<String>,
    /// A session's number.
    session: Option<u64>,
    /// Of either end, before or after translation, or of who acted.
    #[param(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// Of either end, before or after translation.
    port: Option<u16>,
    /// Name or number: `tcp`, `udp`, `icmp`, `icmpv6`, `47`.
    protocol: Option<String>,
    /// Where a session came from, or went to.
    zone: Option<String>,
    actor: Option<String>,
    revision: Option<u64>,
    /// Words, all of which the event has, in whatever member; upper or lower case.
    #[param(value_type = Option<String>)]
    q: Option<Words>,
    /// RFC 3339, or how long ago: `10m`.
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// RFC 3339, or how long ago: `10m`.
    #[param(value_type = Option<String>)]
    until: Option<Timestamp>,
}

impl Selection {
    pub(super) fn into_filter(self) -> Filter {
        Filter {
            kinds: self.kind,
            severity: self.severity,
            policy: self.policy,
            session: self.session,
            address: self.address,
            port: self.port,
            protocol: self.protocol,
            zone: self.zone,
            actor: self.actor,
            revision: self.revision,
            words: self.q,
            since: self.since,
            until: self.until,
        }
    }
}

/// Which of them.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// 1 to 1,000; 100 unless told.
    pub(super) limit: Option<usize>,
    /// Opaque; from `next` of the page before.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<u64>,
}

/// From where on.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Following {
    /// The number of the last event that was seen; without it, only what comes. The header `Last-Event-ID` goes
    /// before it.
    pub(super) after: Option<u64>,
}

/// Parameters that go with a selection.
pub(super) trait Besides: Default {
    const NAMES: &'static [&'static str];

    /// Takes a parameter of [`Besides::NAMES`].
    fn take(&mut self, name: &str, value: &str) -> Result<(), BadParameter>;
}

impl Besides for Paging {
    const NAMES: &'static [&'static str] = &["limit", "cursor"];

    fn take(&mut self, name: &str, value: &str) -> Result<(), BadParameter> {
        if name == "limit" {
            self.limit = Some(limit(name, value)?);
        } else {
            self.cursor = Some(number(name, value, "from the page before")?);
        }
        Ok(())
    }
}

impl Besides for Following {
    const NAMES: &'static [&'static str] = &["after"];

    fn take(&mut self, name: &str, value: &str) -> Result<(), BadParameter> {
        self.after = Some(number(name, value, "an event's number")?);
        Ok(())
    }
}

/// A query string.
#[derive(Debug)]
pub(super) struct Wanted<T>(pub(super) Selection, pub(super) T);

impl<S: Sync, T: Besides> FromRequestParts<S> for Wanted<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(read(pairs(parts)?, Timestamp::now())?)
    }
}

const NAMES: [&str; 13] = [
    "kind", "severity", "policy", "session", "address", "port", "protocol", "zone", "actor",
    "revision", "q", "since", "until",
];

fn read<T: Besides>(
    pairs: Vec<(String, String)>,
    now: Timestamp,
) -> Result<Wanted<T>, BadParameter> {
    let (mut wanted, mut besides) = (Selection::default(), T::default());
    let mut seen = BTreeSet::new();
    for (name, value) in pairs {
        match name.as_str() {
            "kind" => wanted.kind.extend(kinds(&name, &value)?),
            "severity" => wanted.severity = Some(one_of(&name, &value, &Severity::ALL)?),
            "policy" => wanted.policy = Some(word(&name, &value)?),
            "session" => wanted.session = Some(number(&name, &value, "a session's number")?),
            "address" => {
                wanted.address = Some(parsed(&name, &value, "an IPv4 or IPv6 address")?);
            }
            "port" => wanted.port = Some(parsed(&name, &value, "a port, 0 to 65535")?),
            "protocol" => {
                let protocol = parse_protocol(&value)
                    .map_err(|error| BadParameter::new(&name, error.to_string()))?;
                wanted.protocol = Some(protocol.to_string());
            }
            "zone" => wanted.zone = Some(word(&name, &value)?),
            "actor" => wanted.actor = Some(word(&name, &value)?),
            "revision" => wanted.revision = Some(number(&name, &value, "a revision's number")?),
            "q" => wanted.q = Some(words(&name, &value)?),
            "since" => wanted.since = Some(time(&name, &value, now)?),
            "until" => wanted.until = Some(time(&name, &value, now)?),
            other if T::NAMES.contains(&other) => besides.take(other, &value)?,
            _ => {
                let known: Vec<_> = NAMES.iter().chain(T::NAMES).copied().collect();
                return Err(unknown(&name, &known));
            }
        }
        if name != "kind" && !seen.insert(name.clone()) {
            return Err(BadParameter::new(
                &name,
                format!("'{name}' is given twice; give it once"),
            ));
        }
    }
    if let (Some(since), Some(until)) = (wanted.since, wanted.until)
        && since > until
    {
        let detail = format!("since: {since} is later than until, {until}");
        return Err(BadParameter::new("since", detail));
    }
    Ok(Wanted(wanted, besides))
}

fn kinds(name: &str, value: &str) -> Result<Vec<Kind>, BadParameter> {
    value
        .split(',')
        .map(|kind| one_of(name, kind, &Kind::ALL))
        .collect()
}

fn one_of<T: Copy + Display>(name: &str, value: &str, all: &[T]) -> Result<T, BadParameter> {
    let named = |one: &T| one.to_string();
    if let Some(found) = all.iter().find(|one| named(one) == value) {
        return Ok(*found);
    }
    let close = all
        .iter()
        .map(|one| (strsim::damerau_levenshtein(value, &named(one)), named(one)))
        .min();
    let hint = match close {
        Some((distance, known)) if distance <= 2 => format!("did you mean '{known}'?"),
        _ => format!(
            "it is one of {}",
            all.iter().map(named).collect::<Vec<_>>().join(", ")
        ),
    };
    Err(BadParameter::new(
        name,
        format!("{name}: there is no '{value}'; {hint}"),
    ))
}

fn words(name: &str, value: &str) -> Result<Words, BadParameter> {
    Words::new(value).ok_or_else(|| {
        let detail = format!("{name}: words to look for, of letters and digits, 256 bytes at most");
        BadParameter::new(name, detail)
    })
}

fn time(name: &str, value: &str, now: Timestamp) -> Result<Timestamp, BadParameter> {
    if let Ok(at) = value.parse() {
        return Ok(at);
    }
    rules::parse_duration(value)
        .ok()
        .and_then(|ago| now.checked_sub(ago).ok())
        .ok_or_else(|| {
            let detail = format!(
                "{name}: '{value}' is no time, as in 2026-11-26T15:00:00Z, and not how long ago, as in 10m"
            );
            BadParameter::new(name, detail)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask<T: Besides>(query: &[(&str, &str)]) -> Result<Wanted<T>, BadParameter> {
        let pairs = query
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        read(pairs.collect(), "2026-11-26T15:00:00Z".parse().unwrap())
    }

    fn detail(query: &[(&str, &str)]) -> String {
        ask::<Paging>(query).unwrap_err().to_string()
    }

    #[test]
    fn every_parameter_has_its_place_in_the_filter() {
        let query = [
            ("kind", "denied,commit"),
            ("kind", "alarm"),
            ("severity", "warning"),
            ("policy", "web-out"),
            ("session", "17"),
            ("address", "2001:DB8::1"),
            ("port", "443"),
            ("protocol", "6"),
            ("zone", "trust"),
            ("actor", "alice"),
            ("revision", "7"),
            ("q", "printers"),
            ("since", "10m"),
            ("until", "2026-11-26T15:00:00Z"),
            ("limit", "1000"),
            ("cursor", "99"),
        ];
        let Wanted(selection, paging) = ask::<Paging>(&query).unwrap();
        let expected = Filter {
            kinds: [Kind::Denied, Kind::Commit, Kind::Alarm].into(),
            severity: Some(Severity::Warning),
            policy: Some("web-out".into()),
            session: Some(17),
            address: Some("2001:db8::1".parse().unwrap()),
            port: Some(443),
            protocol: Some("tcp".into()),
            zone: Some("trust".into()),
            actor: Some("alice".into()),
            revision: Some(7),
            words: Words::new("printers"),
            since: Some("2026-11-26T14:50:00Z".parse().unwrap()),
            until: Some("2026-11-26T15:00:00Z".parse().unwrap()),
        };
        assert_eq!(selection.into_filter(), expected);
        assert_eq!((paging.limit, paging.cursor), (Some(1_000), Some(99)));
        let Wanted(_, Following { after }) = ask(&[("after", "3")]).unwrap();
        assert_eq!(after, Some(3));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, expected) in [
            (
                ("kind", "comit"),
                "kind: there is no 'comit'; did you mean 'commit'?",
            ),
            (
                ("severity", "fatal"),
                "severity: there is no 'fatal'; it is one of info, warning, error",
            ),
            (("port", "65536"), "port: '65536' is not a port, 0 to 65535"),
            (("session", "-1"), "session: '-1' is not a session's number"),
            (
                ("zone", ""),
                "zone: empty; leave the parameter out where it does not matter",
            ),
            (("limit", "0"), "limit: 0 is not between 1 and 1000"),
            (
                ("adress", "::1"),
                "'adress' is no filter; did you mean 'address'?",
            ),
            (
                ("colour", "red"),
                "'colour' is no filter; the filters are kind, severity, policy, session, address, port, protocol, zone, actor, revision, q, since, until, limit, cursor",
            ),
            (
                ("q", "--"),
                "q: words to look for, of letters and digits, 256 bytes at most",
            ),
            (
                ("since", "yesterday"),
                "since: 'yesterday' is no time, as in 2026-11-26T15:00:00Z, and not how long ago, as in 10m",
            ),
        ] {
            assert_eq!(detail(&[query]), expected);
        }
        assert_eq!(
            detail(&[("port", "1"), ("port", "2")]),
            "'port' is given twice; give it once"
        );
        assert!(detail(&[("since", "1m"), ("until", "2m")]).starts_with("since: "));
        assert!(detail(&[("protocol", "tpc")]).starts_with("protocol: 'tpc'"));
    }
}
