//! Query strings: which sessions are asked for, and that nothing else was asked.
//!
//! A parameter that is misspelt, given twice or has a value of the wrong type is an error that
//! names it. Silently ignoring one would answer a question that nobody asked. What a value
//! means (is there such a protocol?) is the appliance's to judge.

use std::collections::BTreeSet;
use std::str::FromStr;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use firewall::view::SessionFilter;

use crate::problem::Problem;

/// The query of `GET` and `DELETE /sessions`.
pub(crate) struct Sessions(pub(crate) SessionFilter);

impl<S: Sync> FromRequestParts<S> for Sessions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(session_filter(pairs(parts)?)?))
    }
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

/// A page is one answer in memory: `view::SessionFilter::limit` says at most this many sessions.
const LIMIT_MAX: usize = 1000;

fn session_filter(pairs: Vec<(String, String)>) -> Result<SessionFilter, BadParameter> {
    let mut filter = SessionFilter::default();
    let mut seen = BTreeSet::new();
    for (name, value) in pairs {
        match name.as_str() {
            "all" => filter.all = Some(parsed(&name, &value, "'true' or 'false'")?),
            "id" => filter.id = Some(parsed(&name, &value, "a session's number")?),
            "address" => filter.address = Some(parsed(&name, &value, "an IPv4 or IPv6 address")?),
            "port" => filter.port = Some(parsed(&name, &value, "a port, 0 to 65535")?),
            "protocol" => filter.protocol = Some(word(&name, &value)?),
            "policy" => filter.policy = Some(word(&name, &value)?),
            "zone" => filter.zone = Some(word(&name, &value)?),
            "cursor" => filter.cursor = Some(word(&name, &value)?),
            "limit" => filter.limit = Some(limit(&name, &value)?),
            _ => return Err(unknown(&name)),
        }
        if seen.contains(&name) {
            return Err(BadParameter::new(
                &name,
                format!("'{name}' is given twice; give it once"),
            ));
        }
        seen.insert(name);
    }
    Ok(filter)
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

fn limit(name: &str, value: &str) -> Result<usize, BadParameter> {
    match parsed(name, value, "a number")? {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(BadParameter::new(
            name,
            format!("{name}: {other} is not between 1 and {LIMIT_MAX}"),
        )),
    }
}

fn unknown(name: &str) -> BadParameter {
    const KNOWN: [&str; 9] = [
        "address", "port", "protocol", "policy", "zone", "id", "all", "cursor", "limit",
    ];
    let close = KNOWN
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min();
    let hint = match close {
        Some((distance, known)) if distance <= 2 => format!("did you mean '{known}'?"),
        _ => format!("the filters are {}", KNOWN.join(", ")),
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

    fn filter(query: &[(&str, &str)]) -> Result<SessionFilter, BadParameter> {
        session_filter(
            query
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    fn detail(query: &[(&str, &str)]) -> String {
        filter(query).unwrap_err().detail
    }

    #[test]
    fn every_member_of_the_filter_has_a_parameter() {
        let query = [
            ("address", "2001:db8::1"),
            ("port", "443"),
            ("protocol", "tcp"),
            ("policy", "web-out"),
            ("zone", "trust"),
            ("id", "1017"),
            ("all", "true"),
            ("cursor", "abc"),
            ("limit", "1000"),
        ];
        let members = serde_json::to_value(filter(&query).unwrap()).unwrap();
        let members = members.as_object().unwrap();
        assert_eq!(members.len(), query.len());
        assert!(members.values().all(|member| !member.is_null()));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        assert_eq!(
            detail(&[("port", "65536")]),
            "port: '65536' is not a port, 0 to 65535"
        );
        assert_eq!(
            detail(&[("address", "10.0.0")]),
            "address: '10.0.0' is not an IPv4 or IPv6 address"
        );
        assert_eq!(
            detail(&[("limit", "0")]),
            "limit: 0 is not between 1 and 1000"
        );
        assert_eq!(
            detail(&[("limit", "1001")]),
            "limit: 1001 is not between 1 and 1000"
        );
        assert_eq!(
            detail(&[("zone", "")]),
            "zone: empty; leave the parameter out where it does not matter"
        );
    }

    #[test]
    fn a_misspelt_parameter_gets_a_suggestion() {
        assert_eq!(
            detail(&[("adress", "::1")]),
            "'adress' is no filter; did you mean 'address'?"
        );
        assert!(detail(&[("colour", "red")]).contains("the filters are address, port"));
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        assert_eq!(
            detail(&[("port", "1"), ("port", "2")]),
            "'port' is given twice; give it once"
        );
    }
}
