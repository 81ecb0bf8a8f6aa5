//! What a session turned out to be.

use std::sync::Arc;

use crate::{Protocol, ServiceId};

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
    pub service: Option<ServiceId>,
    /// Nothing more will be learnt about any of this.
    pub complete: bool,
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
    /// A better source's name takes the place of a weaker one's; the first of a kind stays.
    pub(crate) fn name(&mut self, host: &str, source: HostSource) -> bool {
        if self.host_source.is_some_and(|known| known >= source) {
            return false;
        }
        self.host = Some(Arc::from(host.to_ascii_lowercase()));
        self.host_source = Some(source);
        true
    }
}
