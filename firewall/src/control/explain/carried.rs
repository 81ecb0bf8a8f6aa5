//! From what a request says that a session carries to what policies and filters are asked by.

use std::sync::Arc;

use inspection::filter::{Question, Request};
use inspection::{Identity, Protocol, Service, Services};
use rules::{Content, HostError, Learnt, suggest};

use super::question::{MatchError, refuse};
use crate::content::{self, Facts};
use crate::view::{CarriedView, MatchContent, MatchRequest};

/// What inspection would find.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    pub(super) content: Content,
    /// What a filter would be asked.
    pub(super) asked: Option<Question>,
}

impl Carried {
    /// `None` where the request does not say.
    pub(super) fn of(
        request: &MatchRequest,
        protocol: rules::Protocol,
        services: &Services,
    ) -> Result<Option<Self>, MatchError> {
        let Some(told) = &request.content else {
            return Ok(None);
        };
        if !matches!(protocol, rules::Protocol::TCP | rules::Protocol::UDP) {
            return refuse("content", format!("{protocol} is not looked into"));
        }
        let named = named(told, services)?;
        let is_request = told.method.is_some() || told.path.is_some();
        let speaks = match named.protocol {
            Some(protocol) => protocol,
            None if is_request => Protocol::Http,
            None if protocol == rules::Protocol::UDP => Protocol::Quic,
            None => Protocol::Tls,
        };
        if is_request && !content::is_http(speaks) {
            return refuse(
                "content/method",
                format!("{speaks} has no requests with a method and a path"),
            );
        }
        if (told.tls_version.is_some() || told.ja4.is_some()) && !content::is_tls(speaks) {
            return refuse(
                "content/tls-version",
                format!("{speaks} has no TLS handshake"),
            );
        }
        let mut identity = Identity::default();
        identity.protocol = Some(speaks);
        identity.host = told.host.as_deref().map(host).transpose()?;
        identity.service = named
            .service
            .or_else(|| services.of(identity.host.as_deref()?).cloned());
        identity.certain = true;
        identity.complete = true;
        let method = method(told)?.or(is_request.then_some("GET"));
        let target = target(told)?;
        let facts = Facts::of(method, target, tls_version(told)?, fingerprint(told)?);
        let asked = identity
            .host
            .as_deref()
            .and_then(|host| question(speaks, host, method, target));
        Ok(Some(Self {
            content: content::of(&identity, &facts),
            asked,
        }))
    }

    pub(super) fn view(&self) -> CarriedView {
        let content = &self.content;
        let text = |learnt: &Learnt<Arc<str>>| learnt.known().map(ToString::to_string);
        let names = content.applications.known().into_iter().flatten();
        CarriedView {
            applications: names.map(ToString::to_string).collect(),
            category: text(&content.category),
            risk: content.risk.known().copied(),
            host: text(&content.host),
            url: text(&content.url),
        }
    }
}

/// What an application's name stands for.
#[derive(Default)]
struct Named {
    protocol: Option<Protocol>,
    service: Option<Arc<Service>>,
}

fn named(told: &MatchContent, services: &Services) -> Result<Named, MatchError> {
    let Some(name) = &told.application else {
        return Ok(Named::default());
    };
    let mut protocols = Protocol::ALL.iter().copied();
    let protocol = protocols.find(|known| known.name() == name);
    let service = services.all().iter().find(|known| known.name == *name);
    if protocol.is_none() && service.is_none() {
        let protocols = Protocol::ALL.iter().map(|known| known.name());
        let services = services.all().iter().map(|known| known.name.as_str());
        let meant = suggest(name, protocols.chain(services));
        let near = near(meant.as_deref());
        return refuse(
            "content/application",
            format!("'{name}' is no application that is told by its content{near}"),
        );
    }
    Ok(Named {
        protocol,
        service: service.cloned(),
    })
}

/// As it is taken from a request, which may have a port.
fn host(written: &str) -> Result<Arc<str>, MatchError> {
    match rules::host_name(&content::bare(written)) {
        Ok(host) => Ok(host.into()),
        Err(HostError::NotAscii(_)) => refuse(
            "content/host",
            HostError::NotAscii(written.to_owned()).to_string(),
        ),
        Err(_) => refuse(
            "content/host",
            HostError::NoName(written.to_owned()).to_string(),
        ),
    }
}

fn method(told: &MatchContent) -> Result<Option<&str>, MatchError> {
    let method = told.method.as_deref();
    if let Some(Err(error)) = method.map(rules::check_method) {
        return refuse(
            "content/method",
            format!("{error}{}", near(error.suggestion())),
        );
    }
    Ok(method)
}

fn near(meant: Option<&str>) -> String {
    meant.map_or(String::new(), |meant| format!("; did you mean '{meant}'?"))
}

fn target(told: &MatchContent) -> Result<&str, MatchError> {
    match told.path.as_deref() {
        None => Ok("/"),
        Some(path) if path.starts_with('/') => Ok(path),
        Some(path) => refuse(
            "content/path",
            format!("the path '{path}' does not begin with /"),
        ),
    }
}

fn tls_version(told: &MatchContent) -> Result<Option<u16>, MatchError> {
    let Some(written) = &told.tls_version else {
        return Ok(None);
    };
    match rules::tls_version(written) {
        Some(version) => Ok(Some(version)),
        None => refuse(
            "content/tls-version",
            format!("'{written}' is no version of TLS: 1.0, 1.1, 1.2, 1.3 or ssl-3.0"),
        ),
    }
}

fn fingerprint(told: &MatchContent) -> Result<Option<&str>, MatchError> {
    match told.ja4.as_deref() {
        Some(ja4) if !rules::is_ja4(ja4) => refuse(
            "content/ja4",
            format!(
                "'{ja4}' is no JA4 fingerprint, which looks like t13d1516h2_8daaf6152771_b186095e22b6"
            ),
        ),
        ja4 => Ok(ja4),
    }
}

fn question(speaks: Protocol, host: &str, method: Option<&str>, target: &str) -> Option<Question> {
    if let Some(method) = method {
        return Some(Question::Request(Box::new(Request {
            method: method.into(),
            host: host.to_owned(),
            target: target.into(),
            accept_language: Vec::new(),
            is_http1: speaks == Protocol::Http,
        })));
    }
    match speaks {
        Protocol::Dns => Some(Question::Query(host.to_owned())),
        speaks if content::is_tls(speaks) => Some(Question::ServerName(host.to_owned())),
        _ => None,
    }
}
