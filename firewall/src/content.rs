//! From what parsers read to what policies ask about: by packets in the datapath, by a report of a capture.

use std::sync::Arc;

use inspection::filter::Request;
use inspection::{Anomaly, Direction, Event, Fact, Identity, Protocol, Service, Services};
use rules::{Content, Learnt};

/// What the identity of a session does not hold.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    method: Option<Arc<str>>,
    target: Arc<str>,
    /// Of the present request, or question of DNS.
    host: Option<Arc<str>>,
    asks_names: bool,
    tls_version: Option<u16>,
    ja4: Option<Arc<str>>,
    /// Ends may read the session differently than it was read here.
    anomaly: Option<Anomaly>,
    /// What would have had to be kept of it was too much.
    is_without_room: bool,
    /// How often any of this has become something else.
    changes: u32,
}

/// Longer targets are cut: patterns are about their beginnings.
const TARGET_BYTES: usize = 2_048;
/// RFC 8446 4.2.1.
const TLS_1_3: u16 = 0x0304;

impl Facts {
    /// Of a session that is over, by what was noted of it.
    #[must_use]
    pub fn of(
        method: Option<&str>,
        target: &str,
        tls_version: Option<u16>,
        ja4: Option<&str>,
    ) -> Self {
        Self {
            method: method.map(Arc::from),
            target: plain(target.as_bytes()),
            tls_version,
            ja4: ja4.map(Arc::from),
            ..Self::default()
        }
    }

    /// As of another request of the same session.
    #[must_use]
    pub fn asking(&self, request: &Request) -> Self {
        Self {
            method: Some(text(&request.method)),
            target: plain(&request.target),
            host: Some(bare(&request.host).into()),
            ..self.clone()
        }
    }

    pub fn note(&mut self, event: &Event<'_>) {
        match event.fact {
            Fact::HttpRequest { method, target, .. } => {
                self.method = Some(text(method));
                self.target = plain(target);
                let host = if method == b"CONNECT" {
                    // HTTP/2 has none there (RFC 9113 8.5).
                    Some(&*self.target).filter(|target| !target.is_empty())
                } else {
                    absolute(&self.target).map(|(host, _)| host)
                };
                self.host = host.map(|host| bare(host).into());
            }
            Fact::HttpHeader { name, value } if name.eq_ignore_ascii_case(b"host") => {
                // RFC 9110 7.2: of several, none can be trusted to be the one; the first is what most servers take.
                let host = String::from_utf8_lossy(value);
                self.host.get_or_insert_with(|| bare(&host).into());
            }
            Fact::DnsQuery { name, .. } => {
                self.host = Some(bare(name).into());
                self.asks_names = true;
            }
            Fact::TlsChosen { version, .. } => self.tls_version = Some(version),
            Fact::TlsJa4(ja4) => self.ja4 = Some(ja4.into()),
            Fact::Anomaly(Anomaly::NoRoom) => self.is_without_room = true,
            Fact::Anomaly(anomaly) if event.fact.is_ambiguous() => {
                self.anomaly.get_or_insert(anomaly);
            }
            _ => return,
        }
        self.changes = self.changes.wrapping_add(1);
    }

    /// The same as long as there is nothing new.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes
    }

    #[must_use]
    pub fn anomaly(&self) -> Option<Anomaly> {
        self.anomaly
    }

    /// Whether it is read no further for want of memory.
    #[must_use]
    pub fn is_without_room(&self) -> bool {
        self.is_without_room
    }

    /// Whether a request, or a question of DNS, is whole with this event, which was noted.
    #[must_use]
    pub fn is_asked(event: &Event<'_>) -> bool {
        match event.fact {
            // An answer's head ends, too.
            Fact::HttpHeadEnd { .. } => event.direction == Direction::Forward,
            Fact::DnsQuery { .. } => true,
            _ => false,
        }
    }

    /// Whether it is a session of requests, each of which may be decided by itself.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        self.method.is_some() || self.asks_names
    }
}

/// What policies may ask for by name, without anything configured.
#[derive(Clone, Debug)]
pub enum Nameable {
    Protocol(Protocol),
    Service(Arc<Service>),
}

/// Protocols first.
pub fn nameable() -> impl Iterator<Item = Nameable> {
    let services = Services::built_in().all().to_vec();
    let protocols = Protocol::ALL.iter().copied().map(Nameable::Protocol);
    protocols.chain(services.into_iter().map(Nameable::Service))
}

/// What is known by now. What can't come any more is said to be so.
#[must_use]
pub fn of(identity: &Identity, facts: &Facts) -> Content {
    let service = identity.service.as_ref();
    let protocols = identity.protocol.into_iter().chain(identity.carrier);
    let names: Vec<Arc<str>> = service
        .map(|service| Arc::from(service.name.as_str()))
        .into_iter()
        .chain(protocols.map(|protocol| Arc::from(protocol.name())))
        .collect();
    let is_known = identity.protocol.is_some() && (identity.certain || identity.complete);
    let is = |family: &[Protocol]| {
        let one = |protocol: Option<Protocol>| protocol.is_some_and(|is| family.contains(&is));
        !is_known || one(identity.protocol) || one(identity.carrier)
    };
    let may_start_tls = !identity.complete && is(STARTS_TLS);
    let (may_be_http, may_be_tls) = (is(HTTP), is(TLS) || may_start_tls);
    let host = match &facts.host {
        Some(host) => Some(host),
        None => identity.host.as_ref(),
    };
    let url = facts
        .method
        .as_ref()
        .and(host)
        .map(|host| url(host, &facts.target));
    let is_quic = [identity.protocol, identity.carrier].contains(&Some(Protocol::Quic));
    let tls_version = facts.tls_version.or(is_quic.then_some(TLS_1_3));
    Content {
        applications: learnt(is_known.then_some(names), !identity.complete),
        may_be_refined: !identity.complete,
        category: learnt(
            service.map(|service| service.category.as_str().into()),
            !identity.complete,
        ),
        risk: learnt(
            service.map(|service| service.risk.level()),
            !identity.complete,
        ),
        host: learnt(host.cloned(), !identity.complete),
        url: learnt(url, may_be_http),
        method: learnt(facts.method.clone(), may_be_http),
        tls_version: learnt(tls_version, may_be_tls),
        ja4: learnt(facts.ja4.clone(), may_be_tls),
    }
}

/// What requests are made in.
const HTTP: &[Protocol] = &[
    Protocol::Http,
    Protocol::Http2,
    Protocol::HttpProxy,
    Protocol::Grpc,
    Protocol::WebSocket,
];

/// What begins with a ClientHello.
const TLS: &[Protocol] = &[
    Protocol::Tls,
    Protocol::Dtls,
    Protocol::Quic,
    Protocol::DnsOverTls,
    Protocol::DnsOverHttps,
    Protocol::DnsOverQuic,
    Protocol::Imaps,
    Protocol::Pop3s,
    Protocol::Smtps,
    Protocol::Ftps,
    Protocol::Ldaps,
];

/// What may go over to TLS before anything that matters is said.
const STARTS_TLS: &[Protocol] = &[
    Protocol::Smtp,
    Protocol::Imap,
    Protocol::Pop3,
    Protocol::Ftp,
    Protocol::PostgreSql,
    Protocol::MySql,
    Protocol::Rdp,
];

/// Whether it is made of requests.
#[must_use]
pub fn is_http(protocol: Protocol) -> bool {
    HTTP.contains(&protocol)
}

/// Whether it begins with a handshake of TLS.
#[must_use]
pub fn is_tls(protocol: Protocol) -> bool {
    TLS.contains(&protocol)
}

fn learnt<T>(value: Option<T>, may_come: bool) -> Learnt<T> {
    match value {
        Some(value) => Learnt::Known(value),
        None if may_come => Learnt::NotYet,
        None => Learnt::Never,
    }
}

/// A target with its path as servers take it, and no longer than is compared.
fn plain(target: &[u8]) -> Arc<str> {
    // Nearly all are so already.
    let is_plain = |pair: &[u8]| pair[0] != b'/' || !matches!(pair[1], b'/' | b'.');
    let has_none = !target.iter().any(|byte| b"%\\#".contains(byte));
    if has_none && target.starts_with(b"/") && target.windows(2).all(is_plain) {
        return text(&target[..target.len().min(TARGET_BYTES)]);
    }
    let path = if target.starts_with(b"/") || target.starts_with(b"\\") {
        0
    } else {
        // What is neither a path nor has one is CONNECT's, or OPTIONS's.
        let Some(scheme) = target.windows(3).position(|bytes| bytes == b"://") else {
            return text(&target[..target.len().min(TARGET_BYTES)]);
        };
        let authority = scheme + 3;
        let ends = |byte: &u8| matches!(byte, b'/' | b'\\' | b'?' | b'#');
        let length = target[authority..].iter().position(ends);
        length.map_or(target.len(), |length| authority + length)
    };
    let (before, path) = target.split_at(path);
    let mut plain = [before, &inspection::filter::plain_target(path)[..]].concat();
    plain.truncate(TARGET_BYTES);
    text(&plain)
}

/// RFC 9112 3.2: a target is a path, or, to a proxy, the whole.
fn url(host: &str, target: &str) -> Arc<str> {
    match absolute(target) {
        Some((host, path)) => {
            let path = if path.is_empty() { "/" } else { path };
            format!("{}{path}", bare(host)).into()
        }
        None => format!("{host}{target}").into(),
    }
}

/// RFC 9112 3.2.2: the host and the path of a whole target, for which its receiver takes no notice of Host.
fn absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let host = rest.find('/').unwrap_or(rest.len());
    (!scheme.contains('/')).then(|| rest.split_at(host))
}

fn text(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

/// As policies are compared with it: in small letters, without what says nothing about whose it is, a port and the dot of the root. An
/// address of IPv6 is written in many ways, and has one here.
pub(crate) fn bare(host: &str) -> String {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.trim();
    let named = without_port(host);
    let named = named.strip_suffix('.').unwrap_or(named);
    rules::ipv6(host)
        .or_else(|| rules::ipv6(named))
        .unwrap_or_else(|| named.to_ascii_lowercase())
}

/// RFC 3986 3.2.2: an IPv6 address has colons of its own, in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.contains(']') && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(facts: &mut Facts, fact: Fact<'_>) {
        facts.note(&Event {
            direction: Direction::Forward,
            transaction: 0,
            fact,
        });
    }

    fn request(target: &str, host: &str) -> Facts {
        let mut facts = Facts::default();
        let (method, target) = (b"GET", target.as_bytes());
        let (line, version) = (b"", b"HTTP/1.1");
        noted(
            &mut facts,
            Fact::HttpRequest {
                line,
                method,
                target,
                version,
            },
        );
        noted(
            &mut facts,
            Fact::HttpHeader {
                name: b"HOST",
                value: host.as_bytes(),
            },
        );
        facts
    }

    fn http() -> Identity {
        identity(Protocol::Http)
    }

    /// What is certain.
    fn identity(protocol: Protocol) -> Identity {
        let mut identity = Identity::default();
        identity.protocol = Some(protocol);
        identity.certain = true;
        identity
    }

    #[test]
    fn a_url_is_host_and_path_however_it_is_asked_for() {
        let of = |target, host| of(&http(), &request(target, host)).url;
        let known = |url: &str| Learnt::Known(url.into());
        assert_eq!(of("/a?b", "Example.com:8080"), known("example.com/a?b"));
        assert_eq!(
            of("http://Other.example/x", "example.com"),
            known("other.example/x")
        );
        assert_eq!(
            of("http://other.example", "example.com"),
            known("other.example/")
        );
        assert_eq!(
            of("/?u=http://x/", "example.com"),
            known("example.com/?u=http://x/")
        );
        for address in ["[2001:db8::1]:80", "[2001:DB8:0::1]"] {
            assert_eq!(of("/", address), known("[2001:db8::1]/"));
        }
        for same in [
            "/a/b",
            "/%61/b",
            "//a/./b",
            "/c/../a/b#d",
            "http://example.com//a/b",
        ] {
            assert_eq!(of(same, "example.com."), known("example.com/a/b"), "{same}");
        }
        let far = format!("{}a", "/.".repeat(2_000) + "/");
        assert_eq!(of(&far, "example.com"), known("example.com/a"));
    }

    #[test]
    fn the_host_is_the_one_whom_the_target_names() {
        let of = |target| of(&http(), &request(target, "good.example")).host;
        let known = |host: &str| Learnt::Known(host.into());
        assert_eq!(of("/?u=http://bad.example/"), known("good.example"));
        assert_eq!(of("http://Bad.example:80/"), known("bad.example"));
        let mut facts = Facts::default();
        noted(
            &mut facts,
            Fact::HttpRequest {
                line: b"",
                method: b"CONNECT",
                target: b"bad.example:443",
                version: b"HTTP/1.1",
            },
        );
        noted(
            &mut facts,
            Fact::HttpHeader {
                name: b"Host",
                value: b"good.example",
            },
        );
        assert_eq!(super::of(&http(), &facts).host, known("bad.example"));
    }

    #[test]
    fn what_can_not_come_is_not_waited_for() {
        let ssh = identity(Protocol::Ssh);
        let content = of(&ssh, &Facts::default());
        assert_eq!(content.method, Learnt::Never);
        assert_eq!(content.ja4, Learnt::Never);
        assert_eq!(content.category, Learnt::NotYet);
        let nothing = of(&Identity::default(), &Facts::default());
        assert_eq!(
            nothing,
            Content {
                may_be_refined: true,
                ..Content::default()
            }
        );
    }

    #[test]
    fn tls_may_begin_in_the_middle() {
        let mut smtp = identity(Protocol::Smtp);
        let content = of(&smtp, &Facts::default());
        assert_eq!(content.tls_version, Learnt::NotYet);
        assert_eq!(content.ja4, Learnt::NotYet);
        smtp.complete = true;
        assert_eq!(of(&smtp, &Facts::default()).ja4, Learnt::Never);
        let mut resolver = identity(Protocol::DnsOverQuic);
        resolver.carrier = Some(Protocol::Quic);
        let content = of(&resolver, &Facts::default());
        assert_eq!(content.tls_version, Learnt::Known(TLS_1_3));
    }

    #[test]
    fn a_service_is_known_by_its_name_and_its_protocols() {
        let services = inspection::Services::built_in();
        let mut identity = identity(Protocol::Tls);
        identity.host = Some("www.youtube.com".into());
        identity.service = services.of("www.youtube.com").cloned();
        identity.complete = true;
        let content = of(&identity, &Facts::default());
        let names = content.applications.known().expect("it is known");
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["youtube", "tls"]);
        assert_eq!(content.host, Learnt::Known("www.youtube.com".into()));
        assert!(content.category.known().is_some());
    }
}
