//! Query strings: what is asked for, and that nothing else was asked.
//!
//! A parameter that is misspelt, given twice or has a value of the wrong type is an error that
//! names it. Silently ignoring one would answer a question that nobody asked. What a value
//! means (is there such a protocol?) is the appliance's to judge.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use firewall::view::{
    LeaseFilter, NeighbourFilter, PolicyFilter, RouteFilter, SessionFilter, SessionQuery, TopBy,
    TopQuery,
};
use ipnet::IpNet;
use serde::de::{DeserializeOwned, IntoDeserializer};

use crate::problem::Problem;

/// What is asked for, and the query as it was written.
pub(crate) struct Asked<F>(pub(crate) F, pub(crate) String);

impl<F: Filter, S: Sync> FromRequestParts<S> for Asked<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Self(read(pairs(parts)?)?, query))
    }
}

/// What a query string is read into, one parameter after the other.
pub(crate) trait Filter: Default {
    fn names() -> Vec<&'static str>;

    /// Whether it is one of `names`.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter>;
}

/// The query of a path that takes no parameters.
pub(crate) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match pairs(parts)?.first() {
            None => Ok(Self),
            Some((name, _)) => Err(Problem::parameter(
                name.as_str(),
                format!("'{name}': this path takes no parameters"),
            )),
        }
    }
}

/// A page is one answer in memory: the views say at most this many items.
const LIMIT_MAX: usize = 1000;

impl Filter for SessionFilter {
    fn names() -> Vec<&'static str> {
        vec![
            "address",
            "source",
            "destination",
            "port",
            "protocol",
            "policy",
            "zone",
            "interface",
            "application",
            "host",
            "state",
            "nat",
            "offloaded",
            "min-bytes",
            "id",
        ]
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "id" => self.id = Some(number(name, value, "a session's number")?),
            "address" => self.address = Some(prefix(name, value)?),
            "source" => self.source = Some(prefix(name, value)?),
            "destination" => self.destination = Some(prefix(name, value)?),
            "port" => self.port = Some(port(name, value)?),
            "protocol" => self.protocol = Some(word(name, value)?),
            "policy" => self.policy = Some(word(name, value)?),
            "zone" => self.zone = Some(word(name, value)?),
            "interface" => self.interface = Some(word(name, value)?),
            "application" => self.application = Some(word(name, value)?),
            "host" => self.host = Some(word(name, value)?),
            "state" => self.state = Some(word(name, value)?),
            "nat" => self.nat = Some(flag(name, value)?),
            "offloaded" => self.offloaded = Some(flag(name, value)?),
            "min-bytes" => self.min_bytes = Some(number(name, value, "a number of bytes")?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Filter for SessionQuery {
    fn names() -> Vec<&'static str> {
        let own = ["sort", "cursor", "offset", "count", "limit"];
        [&SessionFilter::names()[..], &own].concat()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "sort" => self.sort = Some(choice(name, value)?),
            "cursor" => self.cursor = Some(word(name, value)?),
            "offset" => self.offset = Some(offset(name, value)?),
            "count" => self.count = Some(flag(name, value)?),
            "limit" => self.limit = Some(limit(name, value)?),
            _ => return self.which.set(name, value),
        }
        Ok(true)
    }
}

/// `DELETE /sessions`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ClearQuery {
    pub(crate) which: SessionFilter,
    /// Every session.
    pub(crate) all: Option<bool>,
}

impl Filter for ClearQuery {
    fn names() -> Vec<&'static str> {
        [&SessionFilter::names()[..], &["all"]].concat()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "all" => self.all = Some(flag(name, value)?),
            _ => return self.which.set(name, value),
        }
        Ok(true)
    }
}

/// What a [`TopQuery`] is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TopParameters {
    which: SessionFilter,
    by: Option<TopBy>,
    limit: Option<usize>,
}

impl TopParameters {
    pub(crate) fn whole(self) -> Result<TopQuery, BadParameter> {
        let Self { which, by, limit } = self;
        let by = by.ok_or_else(|| {
            let detail =
                "by: say what sessions are added up by: source, destination, application or policy";
            BadParameter::new("by", detail.to_owned())
        })?;
        Ok(TopQuery { which, by, limit })
    }
}

impl Filter for TopParameters {
    fn names() -> Vec<&'static str> {
        [&SessionFilter::names()[..], &["by", "limit"]].concat()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "by" => self.by = Some(choice(name, value)?),
            "limit" => self.limit = Some(limit(name, value)?),
            _ => return self.which.set(name, value),
        }
        Ok(true)
    }
}

impl Filter for LeaseFilter {
    fn names() -> Vec<&'static str> {
        vec![
            "pool", "address", "port", "holder", "protocol", "cursor", "limit",
        ]
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "pool" => self.pool = Some(word(name, value)?),
            "address" => self.address = Some(prefix(name, value)?),
            "port" => self.port = Some(port(name, value)?),
            "holder" => self.holder = Some(prefix(name, value)?),
            "protocol" => self.protocol = Some(word(name, value)?),
            "cursor" => self.cursor = Some(word(name, value)?),
            "limit" => self.limit = Some(limit(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Filter for RouteFilter {
    fn names() -> Vec<&'static str> {
        vec![
            "to",
            "address",
            "via",
            "interface",
            "kind",
            "cursor",
            "limit",
        ]
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "to" => self.to = Some(prefix(name, value)?),
            "address" => self.address = Some(parsed(name, value, ADDRESS)?),
            "via" => self.via = Some(parsed(name, value, ADDRESS)?),
            "interface" => self.interface = Some(word(name, value)?),
            "kind" => self.kind = Some(choice(name, value)?),
            "cursor" => self.cursor = Some(word(name, value)?),
            "limit" => self.limit = Some(limit(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Filter for NeighbourFilter {
    fn names() -> Vec<&'static str> {
        vec!["address", "interface", "mac", "state", "cursor", "limit"]
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "address" => self.address = Some(prefix(name, value)?),
            "interface" => self.interface = Some(word(name, value)?),
            "mac" => self.mac = Some(word(name, value)?),
            "state" => self.state = Some(word(name, value)?),
            "cursor" => self.cursor = Some(word(name, value)?),
            "limit" => self.limit = Some(limit(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Filter for PolicyFilter {
    fn names() -> Vec<&'static str> {
        vec!["sort", "limit"]
    }

    fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        match name {
            "sort" => self.sort = Some(choice(name, value)?),
            "limit" => self.limit = Some(limit(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn read<F: Filter>(pairs: Vec<(String, String)>) -> Result<F, BadParameter> {
    let mut filter = F::default();
    let mut seen = BTreeSet::new();
    for (name, value) in pairs {
        if seen.contains(&name) {
            let detail = format!("'{name}' is given twice; give it once");
            return Err(BadParameter::new(&name, detail));
        }
        if !filter.set(&name, &value)? {
            return Err(unknown(&name, &F::names()));
        }
        seen.insert(name);
    }
    Ok(filter)
}

const ADDRESS: &str = "an IPv4 or IPv6 address";

/// A prefix; a single address is one, too.
fn prefix(name: &str, value: &str) -> Result<IpNet, BadParameter> {
    match value.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => parsed(name, value, "an IPv4 or IPv6 address or prefix"),
    }
}

/// As JSON has them: programs that read the description keep them in 64 bits with a sign.
pub(crate) fn number(name: &str, value: &str, what: &str) -> Result<u64, BadParameter> {
    let number: i64 = parsed(name, value, what)?;
    u64::try_from(number)
        .map_err(|_| BadParameter::new(name, format!("{name}: '{value}' is not {what}")))
}

fn port(name: &str, value: &str) -> Result<u16, BadParameter> {
    parsed(name, value, "a port, 0 to 65535")
}

fn flag(name: &str, value: &str) -> Result<bool, BadParameter> {
    parsed(name, value, "'true' or 'false'")
}

/// One of the names that the API has for it.
fn choice<T: DeserializeOwned>(name: &str, value: &str) -> Result<T, BadParameter> {
    T::deserialize(value.into_deserializer()).map_err(|error: serde::de::value::Error| {
        BadParameter::new(name, format!("{name}: {error}"))
    })
}

pub(crate) fn parsed<T: FromStr>(name: &str, value: &str, what: &str) -> Result<T, BadParameter> {
    value
        .parse()
        .map_err(|_| BadParameter::new(name, format!("{name}: '{value}' is not {what}")))
}

pub(crate) fn word(name: &str, value: &str) -> Result<String, BadParameter> {
    if value.is_empty() {
        return Err(BadParameter::new(
            name,
            format!("{name}: empty; leave the parameter out where it does not matter"),
        ));
    }
    Ok(value.to_owned())
}

pub(crate) fn limit(name: &str, value: &str) -> Result<usize, BadParameter> {
    match parsed(name, value, "a number")? {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(BadParameter::new(
            name,
            format!("{name}: {other} is not between 1 and {LIMIT_MAX}"),
        )),
    }
}

/// At most what the description's `int32` holds.
fn offset(name: &str, value: &str) -> Result<u32, BadParameter> {
    const WHAT: &str = "a number of sessions";
    let offset: i32 = parsed(name, value, WHAT)?;
    u32::try_from(offset)
        .map_err(|_| BadParameter::new(name, format!("{name}: '{value}' is not {WHAT}")))
}

pub(crate) fn unknown(name: &str, names: &[&str]) -> BadParameter {
    let close = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min();
    let hint = match close {
        Some((distance, known)) if distance <= 2 => format!("did you mean '{known}'?"),
        _ => format!("the filters are {}", names.join(", ")),
    };
    BadParameter::new(name, format!("'{name}' is no filter; {hint}"))
}

pub(crate) fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, QueryRejection> {
    Query::try_from_uri(&parts.uri).map(|Query(pairs)| pairs)
}

/// A parameter that is unknown, or has a value that can't be.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct BadParameter {
    parameter: String,
    detail: String,
}

impl BadParameter {
    pub(crate) fn new(parameter: &str, detail: String) -> Self {
        Self {
            parameter: parameter.to_owned(),
            detail,
        }
    }
}

impl From<BadParameter> for Problem {
    fn from(bad: BadParameter) -> Self {
        Self::parameter(bad.parameter, bad.detail)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::of_status(rejection.status(), rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter<F: Filter>(query: &[(&str, &str)]) -> Result<F, BadParameter> {
        let pairs = query
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        read(pairs.collect())
    }

    fn detail(query: &[(&str, &str)]) -> String {
        match filter::<SessionQuery>(query) {
            Ok(filter) => panic!("{filter:?}"),
            Err(error) => error.detail,
        }
    }

    /// Every name, given alone, makes another filter than none.
    fn each_is_read<F: Filter + PartialEq>(values: &[(&str, &str)]) {
        assert_eq!(values.len(), F::names().len());
        for name in F::names() {
            let value = values.iter().find(|(given, _)| *given == name);
            let given = filter::<F>(&[*value.unwrap()]);
            assert!(given.unwrap() != F::default(), "{name}");
        }
    }

    #[test]
    fn every_parameter_has_a_member_of_its_filter() {
        const WHICH: [(&str, &str); 15] = [
            ("address", "2001:db8::1"),
            ("source", "192.0.2.0/24"),
            ("destination", "::/0"),
            ("port", "443"),
            ("protocol", "tcp"),
            ("policy", "web-out"),
            ("zone", "trust"),
            ("interface", "left"),
            ("application", "https"),
            ("host", "example.com"),
            ("state", "established"),
            ("nat", "true"),
            ("offloaded", "false"),
            ("min-bytes", "1000000"),
            ("id", "1017"),
        ];
        each_is_read::<SessionFilter>(&WHICH);
        let how = [
            ("sort", "bytes"),
            ("cursor", "abc"),
            ("offset", "2147483647"),
            ("count", "true"),
            ("limit", "1000"),
        ];
        each_is_read::<SessionQuery>(&[&WHICH[..], &how].concat());
        each_is_read::<ClearQuery>(&[&WHICH[..], &[("all", "true")]].concat());
        let top = [("by", "source"), ("limit", "8")];
        each_is_read::<TopParameters>(&[&WHICH[..], &top].concat());
        each_is_read::<LeaseFilter>(&[
            ("pool", "public"),
            ("address", "198.51.100.32/28"),
            ("port", "40000"),
            ("holder", "192.0.2.10"),
            ("protocol", "udp"),
            ("cursor", "5"),
            ("limit", "1"),
        ]);
        each_is_read::<RouteFilter>(&[
            ("to", "0.0.0.0/0"),
            ("address", "192.0.2.1"),
            ("via", "198.51.100.254"),
            ("interface", "right"),
            ("kind", "static"),
            ("cursor", "5"),
            ("limit", "1"),
        ]);
        each_is_read::<NeighbourFilter>(&[
            ("address", "192.0.2.0/24"),
            ("interface", "right"),
            ("mac", "02:42:c0:00:02:0a"),
            ("state", "stale"),
            ("cursor", "5"),
            ("limit", "1"),
        ]);
        each_is_read::<PolicyFilter>(&[("sort", "hits"), ("limit", "8")]);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        for (name, value, expected) in [
            ("port", "65536", "port: '65536' is not a port, 0 to 65535"),
            (
                "address",
                "10.0.0",
                "address: '10.0.0' is not an IPv4 or IPv6 address or prefix",
            ),
            (
                "source",
                "10.0.0.0/33",
                "source: '10.0.0.0/33' is not an IPv4 or IPv6 address or prefix",
            ),
            ("limit", "0", "limit: 0 is not between 1 and 1000"),
            ("limit", "1001", "limit: 1001 is not between 1 and 1000"),
            ("nat", "yes", "nat: 'yes' is not 'true' or 'false'"),
            (
                "sort",
                "size",
                "sort: unknown variant `size`, expected one of `bytes`, `packets`, `age`",
            ),
            (
                "zone",
                "",
                "zone: empty; leave the parameter out where it does not matter",
            ),
        ] {
            assert_eq!(detail(&[(name, value)]), expected);
        }
    }

    #[test]
    fn a_misspelt_parameter_gets_a_suggestion() {
        assert_eq!(
            detail(&[("adress", "::1")]),
            "'adress' is no filter; did you mean 'address'?"
        );
        assert!(detail(&[("colour", "red")]).contains("the filters are address, source"));
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        assert_eq!(
            detail(&[("port", "1"), ("port", "2")]),
            "'port' is given twice; give it once"
        );
    }
}
