//! What a session turned out to be.

use std::sync::Arc;

use crate::{Protocol, Service};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `None` as long as nothing speaks for any, and for ever where nothing ever did.
    pub protocol: Option<Protocol>,
    /// The bytes leave no other reading. Otherwise it is the likeliest.
    pub certain: bool,
    /// What carries it, where that is a protocol with a parser of its own: TLS under DNS over TLS.
    pub carrier: Option<Protocol>,
    /// The name of whom the initiator talks to.
    pub host: Option<Arc<str>>,
    pub host_source: Option<HostSource>,
    pub service: Option<Arc<Service>>,
    /// Nothing more will be learnt about any of this.
    pub complete: bool,
    changes: u32,
}

/// Where a name is from, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostSource {
    /// A DNS answer that the initiator had got before.
    Learned,
    /// The responder's certificate.
    Certificate,
    /// The session itself: a server name, a Host header, a question.
    Session,
}

impl Identity {
    /// How often it has become another one.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// A better source's name takes the place of a weaker one's; the first of a kind stays.
    pub(crate) fn name(&mut self, host: &str, source: HostSource) -> bool {
        if self.host_source.is_some_and(|known| known >= source) {
            return false;
        }
        // The dot of the root is no part of it.
        let host = host.strip_suffix('.').unwrap_or(host);
        self.host = Some(Arc::from(host.to_ascii_lowercase()));
        self.host_source = Some(source);
        self.changes += 1;
        true
    }

    /// What the bytes are, more exactly than before; whether that is news.
    pub(crate) fn refine(
        &mut self,
        protocol: Protocol,
        carrier: Option<Protocol>,
        certain: bool,
    ) -> bool {
        let is_news = self.protocol != Some(protocol);
        if is_news {
            self.protocol = Some(protocol);
            self.carrier = carrier;
            self.certain = certain;
            self.changes += 1;
        } else if certain && !self.certain {
            self.certain = true;
            self.changes += 1;
        }
        is_news
    }

    pub(crate) fn complete(&mut self) {
        if !self.complete {
            self.complete = true;
            self.changes += 1;
        }
    }
}
