//! Names to addresses, by DNS alone: the image has no libc to ask, and nothing else knows a TTL.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::sync::Semaphore;

/// Asks the configured name servers, else those of /etc/resolv.conf.
#[derive(Debug)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    /// Made when first needed, and again after a failure: /etc/resolv.conf may have changed.
    made: Mutex<Option<Arc<TokioResolver>>>,
    turns: Semaphore,
}

/// What DNS says of a name in one family. No address is an answer, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    /// The shortest of the records that led there; `None` where there were none.
    pub(super) ttl: Option<Duration>,
}

/// DNS did not say.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("/etc/resolv.conf: {0}")]
    NoServers(String),
    #[error("{name}: {problem}")]
    Failed { name: String, problem: String },
    #[error("{0} has more than {MAX_ADDRESSES} addresses")]
    TooMany(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Of one name in one family. The most that a response over TCP could carry is some thousands.
pub(super) const MAX_ADDRESSES: usize = 256;
/// For one server and one try; there are two.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Questions on the way at once: thousands of names must not be a flood.
const AT_ONCE: usize = 16;

impl Resolver {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            made: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    pub(super) async fn addresses(
        &self,
        name: &str,
        family: Family,
    ) -> Result<Answer, ResolveError> {
        let failed = |problem: String| ResolveError::Failed {
            name: name.to_owned(),
            problem,
        };
        let absolute =
            Name::from_ascii(format!("{name}.")).map_err(|error| failed(error.to_string()))?;
        let record = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let _turn = self.turns.acquire().await;
        let resolver = self.resolver()?;
        let lookup = match resolver.lookup(absolute, record).await {
            Ok(lookup) => lookup,
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(
                    none.response_code,
                    ResponseCode::NXDomain | ResponseCode::NoError
                ) =>
            {
                return Ok(Answer {
                    addresses: Vec::new(),
                    ttl: none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into())),
                });
            }
            Err(error) => {
                *self.made.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(failed(error.to_string()));
            }
        };
        let records = lookup.answers();
        let addresses: Vec<IpAddr> = records
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            })
            .filter(|address| is_somebodys(*address))
            .collect();
        if addresses.len() > MAX_ADDRESSES {
            return Err(ResolveError::TooMany(name.to_owned()));
        }
        let ttl = records.iter().map(|record| record.ttl).min();
        Ok(Answer {
            addresses,
            ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())),
        })
    }

    fn resolver(&self) -> Result<Arc<TokioResolver>, ResolveError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = &*made {
            return Ok(resolver.clone());
        }
        let no_servers = |error: NetError| ResolveError::NoServers(error.to_string());
        let config = if self.servers.is_empty() {
            let (system, _) = read_system_conf().map_err(no_servers)?;
            ResolverConfig::from_name_servers(system.name_servers().to_vec())
        } else {
            ResolverConfig::from_name_servers(self.servers.iter().map(server).collect())
        };
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options();
        let resolver = Arc::new(builder.build().map_err(no_servers)?);
        *made = Some(resolver.clone());
        Ok(resolver)
    }
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    // A cached answer would be asked for again just before it is new.
    options.cache_size = 0;
    options.timeout = TIMEOUT;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// What filtering name servers answer instead of an address is none.
fn is_somebodys(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}
