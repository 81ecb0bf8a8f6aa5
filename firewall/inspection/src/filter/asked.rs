//! What filters are asked about, out of what the parsers read.

use std::fmt;

use super::{Blocked, DnsAnswers, DnsFilter, FilterLog, UrlAction, UrlFilter};
use crate::bytes::text;
use crate::{Event, Fact, Identity, Protocol, Services};

/// Something that a filter may block. It outlives the packet that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// An HTTP request, as soon as its head is whole.
    Request(Box<Request>),
    /// Whom a session is with that has no requests: of TLS, of QUIC, or with an address that DNS gave a name.
    ServerName(String),
    /// A TLS or QUIC session that does not say whom it is with: blocked while nobody knows what would be.
    Unnamed,
    /// What DNS is asked for.
    Query(String),
    /// A name that an answer leads to: the one that was asked for, or where its aliases point.
    Answer {
        name: String,
        /// What was asked for, where that is another.
        alias: Option<String>,
    },
}

/// What becomes of what is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead<'a> {
    /// The session ends with a page.
    Page,
    /// The session ends.
    Reset,
    /// The question is answered, and the session goes on.
    Answer(&'a DnsAnswers),
}

/// A request's head, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: Vec<u8>,
    /// The first Host field, or HTTP/2's `:authority`.
    pub host: String,
    pub target: Vec<u8>,
    pub accept_language: Vec<u8>,
    /// A page may be written in its place.
    pub is_http1: bool,
}

/// The filters of an inspection profile.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub url: Option<UrlFilter>,
    pub dns: Option<DnsFilter>,
}

impl Filters {
    /// There is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.url.is_none() && self.dns.is_none()
    }

    #[must_use]
    pub fn decide(&self, question: &Question, services: &Services) -> Option<Blocked> {
        match question {
            Question::Request(request) => {
                let url = self.url.as_ref()?;
                url.decide(&request.host, Some(&request.target), services)
            }
            Question::ServerName(name) => self.url.as_ref()?.decide(name, None, services),
            Question::Unnamed => self.url.as_ref()?.decide("", None, services),
            Question::Query(name) | Question::Answer { name, .. } => {
                self.dns.as_ref()?.decide(name, services)
            }
        }
    }

    /// What the asker of something that is blocked gets.
    #[must_use]
    pub fn instead(&self, question: &Question) -> Instead<'_> {
        match question {
            Question::Request(request) => match self.url.as_ref().map(|url| url.action) {
                Some(UrlAction::Page) if request.is_http1 => Instead::Page,
                Some(UrlAction::Page | UrlAction::Reset) | None => Instead::Reset,
            },
            Question::ServerName(_) | Question::Unnamed => Instead::Reset,
            Question::Query(_) | Question::Answer { .. } => match &self.dns {
                Some(dns) => Instead::Answer(&dns.answers),
                None => Instead::Reset,
            },
        }
    }

    /// Whether the answer to a question is to be logged.
    #[must_use]
    pub fn logs(&self, question: &Question, is_blocked: bool) -> bool {
        let log = match question {
            Question::Request(_) | Question::ServerName(_) => self.url.as_ref().map(|url| url.log),
            // Of a permitted name the question has told, and of none there is nothing to tell.
            Question::Answer { .. } | Question::Unnamed if !is_blocked => None,
            Question::Unnamed => self.url.as_ref().map(|url| url.log),
            Question::Query(_) | Question::Answer { .. } => self.dns.as_ref().map(|dns| dns.log),
        };
        match log {
            Some(FilterLog::Everything) => true,
            Some(FilterLog::Blocked) => is_blocked,
            Some(FilterLog::Nothing) | None => false,
        }
    }

    /// Whether a session may ask more, whatever else is known of it.
    #[must_use]
    pub fn follow(&self, identity: &Identity) -> bool {
        let speaks = |protocol| match protocol {
            Some(Protocol::Http | Protocol::Http2) => self.url.is_some(),
            // Its answers give names to sessions that say none themselves.
            Some(Protocol::Dns | Protocol::Mdns | Protocol::Llmnr) => true,
            Some(_) | None => false,
        };
        speaks(identity.protocol) || speaks(identity.carrier)
    }
}

impl Instead<'_> {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Reset => "reset",
            Self::Answer(DnsAnswers::NxDomain) => "nxdomain",
            Self::Answer(DnsAnswers::Zero) => "zero",
            Self::Answer(DnsAnswers::Sinkhole(_)) => "sinkhole",
        }
    }
}

/// Follows a session: a head is whole before the next begins.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    open: Option<Box<Request>>,
    /// Whom the session is with, as last asked.
    named: Box<str>,
    /// The hello that is being told has named its host.
    is_named: bool,
}

impl Asked {
    /// Takes note of an event; the question that it completes.
    pub fn note(&mut self, event: &Event<'_>) -> Option<Question> {
        match event.fact {
            Fact::HttpRequest {
                method,
                target,
                version,
                ..
            } => {
                self.open = Some(Box::new(Request {
                    method: method.to_vec(),
                    target: target.to_vec(),
                    is_http1: version.starts_with(b"HTTP/1"),
                    ..Request::default()
                }));
                None
            }
            Fact::HttpHeader { name, value } => {
                if let Some(request) = &mut self.open {
                    if name.eq_ignore_ascii_case(b"host") && request.host.is_empty() {
                        request.host = text(value).trim().to_owned();
                    } else if name.eq_ignore_ascii_case(b"accept-language") {
                        request.accept_language = value.to_vec();
                    }
                }
                None
            }
            Fact::HttpHeadEnd { .. } => {
                // An answer's head ends, too.
                self.open.take().map(Question::Request)
            }
            Fact::TlsOffered { .. } => {
                self.is_named = false;
                None
            }
            // The same name comes from several sources.
            Fact::TlsServerName(name) | Fact::Host(name) => {
                self.is_named = true;
                let bare = name.strip_suffix('.').unwrap_or(name);
                let is_news = !self.named.eq_ignore_ascii_case(bare);
                is_news.then(|| {
                    self.named = bare.into();
                    Question::ServerName(name.to_owned())
                })
            }
            // The last that is told of a hello.
            Fact::TlsJa4(_) => (!self.is_named).then_some(Question::Unnamed),
            Fact::DnsQuery { name, .. } => Some(Question::Query(name.to_owned())),
            Fact::DnsAnswer(answer) => Some(Question::Answer {
                name: answer.name.to_owned(),
                alias: answer
                    .question
                    .filter(|asked| !asked.eq_ignore_ascii_case(answer.name))
                    .map(str::to_owned),
            }),
            Fact::Protocol(_)
            | Fact::Stream(_)
            | Fact::Anomaly(_)
            | Fact::HttpStatus { .. }
            | Fact::HttpBody(_)
            | Fact::HttpEnd
            | Fact::TlsAlpn(_)
            | Fact::TlsJa3 { .. }
            | Fact::TlsChosen { .. }
            | Fact::TlsJa3Server { .. }
            | Fact::TlsCertificate(_)
            | Fact::DnsResponse { .. }
            | Fact::Software(_)
            | Fact::Command(_)
            | Fact::Reply(_)
            | Fact::MailText(_)
            | Fact::User(_)
            | Fact::Name { .. } => None,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => {
                let target = text(&request.target);
                if target.starts_with('/') {
                    write!(f, "http://{}{target}", request.host)
                } else if request.host.is_empty() || target.contains("://") {
                    f.write_str(&target)
                } else {
                    f.write_str(&request.host)
                }
            }
            Self::ServerName(name) | Self::Query(name) | Self::Answer { name, alias: None } => {
                f.write_str(name)
            }
            Self::Answer {
                name,
                alias: Some(alias),
            } => write!(f, "{alias}, an alias of {name},"),
            Self::Unnamed => f.write_str("a session without a host name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::{Direction, Endpoints, Inspector, Profile, Session};

    /// Everything that is asked in a session of datagrams or of one direction's bytes.
    fn asked(ip_protocol: u8, port: u16, payloads: &[&[u8]]) -> Vec<String> {
        let end = |last, port| ([192, 0, 2, last], port).into();
        let inspector = Inspector::new(Profile::default());
        asked_by(
            &inspector,
            ip_protocol,
            [end(1, 40_000), end(2, port)],
            payloads,
        )
    }

    fn asked_by(
        inspector: &Inspector,
        ip_protocol: u8,
        [initiator, responder]: [SocketAddr; 2],
        payloads: &[&[u8]],
    ) -> Vec<String> {
        let endpoints = Endpoints {
            ip_protocol,
            initiator,
            responder,
        };
        let mut session = Session::new(endpoints, inspector);
        let mut follows = Asked::default();
        let mut questions = Vec::new();
        let mut sink = |event: &Event<'_>| {
            if let Some(question) = follows.note(event) {
                questions.push(question.to_string());
            }
        };
        let mut sequence = 1;
        for payload in payloads {
            let now = Duration::from_secs(1);
            if ip_protocol == 17 {
                session.datagram(Direction::Forward, payload, inspector, now, &mut sink);
                continue;
            }
            let segment = crate::Segment {
                sequence,
                acknowledgment: Some(1),
                syn: false,
                fin: false,
                rst: false,
                urgent: false,
                payload,
            };
            session.segment(Direction::Forward, &segment, inspector, now, &mut sink);
            sequence += payload.len() as u32;
        }
        questions
    }

    #[test]
    fn each_request_is_a_question_when_its_head_is_whole() {
        let requests: [&[u8]; 3] = [
            b"GET /a?b HTTP/1.1\r\nAccept-Language: ja\r\nHost: ads.exa",
            b"mple\r\n\r\nGET http://b.example/c HTTP/1.1\r\nHost: d.example\r\n\r\n",
            b"CONNECT e.example:443 HTTP/1.1\r\n\r\n",
        ];
        assert_eq!(
            asked(6, 80, &requests),
            [
                "http://ads.example/a?b",
                "http://b.example/c",
                "e.example:443"
            ]
        );
    }

    #[test]
    fn an_answer_names_what_was_asked_for_and_where_that_leads() {
        let answer = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x03www\x07example\0\0\x01\0\x01\
            \xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x06\x03ads\xc0\x10\
            \xc0\x29\0\x01\0\x01\0\0\0\x09\0\x04\xc0\0\x02\x09";
        assert_eq!(
            asked(17, 53, &[answer]),
            ["www.example", "www.example, an alias of ads.example,"]
        );
    }

    #[test]
    fn dns_is_asked_at_whatever_port() {
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03ads\x07example\0\0\x01\0\x01";
        assert_eq!(asked(17, 53, &[query]), ["ads.example"]);
        assert_eq!(asked(17, 5_353, &[query]), ["ads.example"]);
    }

    #[test]
    fn a_session_without_requests_is_asked_about_by_the_name_that_it_goes_by() {
        let asked_of = |learnt: Option<&str>, payloads: &[&[u8]]| {
            let inspector = Inspector::new(Profile::default());
            let end = |last, port| ([192, 0, 2, last], port).into();
            if let Some(name) = learnt {
                let (ttl, now) = (Duration::from_secs(60), Duration::ZERO);
                inspector
                    .names
                    .learn([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), name, ttl, now);
            }
            asked_by(&inspector, 6, [end(1, 40_000), end(2, 9_000)], payloads)
        };
        assert_eq!(
            asked_of(Some("shell.example"), &[b"SSH-2.0-client\r\n"]),
            ["shell.example"]
        );
        assert!(asked_of(None, &[b"SSH-2.0-client\r\n"]).is_empty());
        // Requests say for themselves whom they are for.
        let request: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(
            asked_of(Some("b.example"), &[request]),
            ["http://a.example/"]
        );
    }
}
