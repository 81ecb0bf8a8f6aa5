//! External addresses and ports in use: who may have which, and who has.
//!
//! An external address, protocol and port belongs to at most one [`Lease`] at a time, whatever
//! the peer (no "port overloading": RFC 4787 REQ-3, RFC 5382 REQ-7), so reverse flows never
//! collide. The lease frees it in `Drop`; there is nothing to clean up.
//!
//! How a port is chosen:
//! - The address: always the same for an inside address ("paired" pooling, RFC 4787 REQ-2), by a
//!   keyed hash, so that nobody outside can tell who shares one. The next ones when it is full.
//! - The port: the inside one if it is free and allowed (port preservation, RFC 4787 §4.2.1);
//!   else the next free one from a random start (RFC 6056 §3.3.1, as RFC 7857 asks). Low ports
//!   stay low and high ones high where the range allows (REQ-3a); UDP keeps its parity while
//!   there is a choice (REQ-4).
//! - TCP, UDP and ICMP query identifiers (RFC 5508 REQ-1) count apart. Other protocols lease an
//!   address without a port; that their sessions differ is for the session table to see to.
//!
//! # Limits
//!
//! Memory: 8 KiB for each address and protocol once used, kept until [`Leases::forget_idle`].
//! A pool of more than [`ADDRESSES_TRIED`] addresses can refuse while it still has room, when that
//! many, half of them picked at random, are full.

mod external;
mod lease;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rules::{PortRange, Protocol, Tuple};
use thiserror::Error;

use crate::pool::Pool;
use crate::ports::{self, ALL_IDENTIFIERS, DEFAULT_PORTS, classes};
use external::External;
pub use external::Usage;
pub use lease::Lease;

/// The leases of the whole appliance. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Every address that ever had a lease. Written when an address is used for the first time.
    addresses: RwLock<Externals>,
    pairing_key: OnceLock<[u32; 4]>,
}

/// Addresses come from the configuration, not from packets, so their hash needs no key.
type Externals = HashMap<IpAddr, Arc<External>, BuildHasherDefault<DefaultHasher>>;

/// What a session needs.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As it arrived from the inside, its destination translated already.
    pub tuple: Tuple,
    pub candidates: Candidates<'a>,
    /// 0 at first: the inside port is kept where that is possible. From 1 on a random one is taken,
    /// for when the session table found the reverse flow of the last attempt occupied.
    pub attempt: u8,
}

/// Where a lease may come from.
#[derive(Clone, Copy, Debug)]
pub enum Candidates<'a> {
    /// The addresses of the interface by which the session leaves, the preferred one first.
    Interface(&'a [IpAddr]),
    Pool(&'a Pool),
}

/// Why there is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Exhausted {
    #[error("no address of the packet's family to translate to")]
    NoAddress,
    #[error("every port that was tried is in use")]
    NoPort,
}

/// A refusal must not cost more than a few microseconds, or exhaustion would take the CPU with it.
const ADDRESSES_TRIED: u32 = 128;

impl Leases {
    /// The key of the pairing is drawn at the first grant.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the key that another process used, so that inside addresses stay paired with their
    /// external ones across a restart.
    #[must_use]
    pub fn with_pairing_key(key: [u32; 4]) -> Self {
        let leases = Self::default();
        leases.shared.pairing_key.get_or_init(|| key);
        leases
    }

    /// `None` before the first grant from a pool.
    #[must_use]
    pub fn pairing_key(&self) -> Option<[u32; 4]> {
        self.shared.pairing_key.get().copied()
    }

    /// An external address, and a port where the protocol has any, that nobody else has.
    pub fn grant(
        &self,
        request: &Request<'_>,
        random: &mut impl FnMut() -> u32,
    ) -> Result<Lease, Exhausted> {
        let Some(paired) = self.candidate(0, request, random) else {
            if let Some(address) = request.candidates.any_address() {
                self.external(address).count_other_family();
            }
            return Err(Exhausted::NoAddress);
        };
        let paired = self.external(paired);
        if let Some(lease) = take(&paired, request, random) {
            return Ok(lease);
        }
        for step in 1..request
            .candidates
            .count(&request.tuple)
            .min(ADDRESSES_TRIED)
        {
            let Some(address) = self.candidate(step, request, random) else {
                break;
            };
            if let Some(lease) = take(&self.external(address), request, random) {
                return Ok(lease);
            }
        }
        paired.count_refused();
        Err(Exhausted::NoPort)
    }

    /// The address that [`Leases::grant`] would try first; nothing is taken. `None` where that is not known
    /// before the first grant from a pool.
    pub fn paired(
        &self,
        tuple: &Tuple,
        candidates: Candidates<'_>,
    ) -> Result<Option<IpAddr>, Exhausted> {
        let count = candidates.count(tuple);
        if count == 0 {
            return Err(Exhausted::NoAddress);
        }
        let request = Request {
            tuple: *tuple,
            candidates,
            attempt: 0,
        };
        match candidates {
            Candidates::Pool(pool) if self.pairing_key().is_none() => {
                let only = pool.family(tuple.source).get(0);
                Ok(only.filter(|_| count == 1))
            }
            // The key is there: nothing is drawn at random.
            Candidates::Pool(_) | Candidates::Interface(_) => {
                Ok(self.candidate(0, &request, &mut || 0))
            }
        }
    }

    /// Takes this very address and port, for a session that already has it: one adopted after a
    /// restart. `None` where somebody else has it, or where the protocol needs a port and there is
    /// none.
    #[must_use]
    pub fn adopt(&self, protocol: Protocol, address: IpAddr, port: Option<u16>) -> Option<Lease> {
        let external = self.external(address);
        match (external.ports(protocol), port) {
            (Some(ports), Some(port)) => ports
                .claim(port)
                .then(|| Lease::claimed(Arc::clone(&external), protocol, port)),
            (Some(_), None) => None,
            (None, _) => Some(Lease::address_only(Arc::clone(&external), protocol)),
        }
    }

    /// Nothing, for an address that never had a lease.
    #[must_use]
    pub fn usage(&self, address: IpAddr) -> Usage {
        let addresses = self.read();
        addresses
            .get(&address)
            .map(|external| external.usage())
            .unwrap_or_default()
    }

    /// The sum over a pool's addresses. An address in two pools counts for both.
    #[must_use]
    pub fn pool_usage(&self, pool: &Pool) -> Usage {
        let addresses = self.read();
        let of_pool = addresses
            .iter()
            .filter(|(address, _)| pool.contains(**address));
        of_pool.map(|(_, external)| external.usage()).sum()
    }

    /// Every address that had a lease or refused one, sorted.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.read().keys().copied().collect();
        addresses.sort_unstable();
        addresses
    }

    /// Drops the memory and the counters of addresses that have no lease and that `keep` doesn't
    /// want, such as those of a configuration that is gone.
    pub fn forget_idle(&self, keep: impl Fn(IpAddr) -> bool) {
        let mut addresses = self
            .shared
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Each lease and each grant under way holds a reference, and none can be added while the
        // lock is held: a single one means that nobody has a port here.
        addresses.retain(|address, external| keep(*address) || Arc::strong_count(external) > 1);
    }

    /// The address to try at a step, `None` where there is none of the family.
    fn candidate(
        &self,
        step: u32,
        request: &Request<'_>,
        random: &mut impl FnMut() -> u32,
    ) -> Option<IpAddr> {
        let inside = request.tuple.source;
        match request.candidates {
            Candidates::Interface(addresses) => {
                let mut usable = addresses
                    .iter()
                    .filter(|own| is_usable(**own, &request.tuple));
                usable.nth(step as usize).copied()
            }
            Candidates::Pool(pool) => {
                let list = pool.family(inside);
                let count = list.count();
                let in_order = count <= ADDRESSES_TRIED || step < ADDRESSES_TRIED / 2;
                let number = if count == 0 {
                    return None;
                } else if in_order {
                    let key = self
                        .shared
                        .pairing_key
                        .get_or_init(|| std::array::from_fn(|_| random()));
                    (u64::from(below(count, pairing(inside, key))) + u64::from(step))
                        % u64::from(count)
                } else {
                    u64::from(below(count, random()))
                };
                list.get(u32::try_from(number).ok()?)
            }
        }
    }

    fn external(&self, address: IpAddr) -> Arc<External> {
        if let Some(external) = self.read().get(&address) {
            return Arc::clone(external);
        }
        let mut addresses = self
            .shared
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let external = addresses
            .entry(address)
            .or_insert_with(|| Arc::new(External::new(address)));
        Arc::clone(external)
    }

    /// No code panics while it holds the lock, so a poisoned one is as good as any.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Externals> {
        self.shared
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Candidates<'_> {
    /// Whether a lease is one that could have been granted from here: a session whose policy or
    /// rule changed keeps it then.
    #[must_use]
    pub fn admit(&self, lease: &Lease) -> bool {
        let address = lease.address();
        let known = match self {
            Self::Interface(addresses) => addresses.contains(&address),
            Self::Pool(pool) => pool.contains(address),
        };
        known
            && lease
                .port()
                .is_none_or(|port| self.ports(lease.protocol()).contains(port))
    }

    fn ports(&self, protocol: Protocol) -> PortRange {
        match self {
            Self::Pool(pool) => pool.ports_for(protocol),
            Self::Interface(_) if ports::is_icmp(protocol) => ALL_IDENTIFIERS,
            Self::Interface(_) => DEFAULT_PORTS,
        }
    }

    /// How many addresses there are for a tuple.
    fn count(&self, tuple: &Tuple) -> u32 {
        match self {
            Self::Interface(addresses) => {
                let usable = addresses.iter().filter(|own| is_usable(**own, tuple));
                u32::try_from(usable.count()).unwrap_or(u32::MAX)
            }
            Self::Pool(pool) => pool.family(tuple.source).count(),
        }
    }

    /// Where a refusal for want of the right family is counted.
    fn any_address(&self) -> Option<IpAddr> {
        match self {
            Self::Interface(addresses) => addresses.first().copied(),
            Self::Pool(pool) => pool.ranges().next().map(|range| range.first()),
        }
    }
}

/// A link-local address is only good for the link (RFC 4291 §2.5.6, RFC 3927 §2.7).
fn is_usable(own: IpAddr, tuple: &Tuple) -> bool {
    own.is_ipv4() == tuple.source.is_ipv4()
        && (!is_link_local(own) || is_link_local(tuple.destination))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn take(
    external: &Arc<External>,
    request: &Request<'_>,
    random: &mut impl FnMut() -> u32,
) -> Option<Lease> {
    let Tuple {
        protocol,
        source_port: inside,
        ..
    } = request.tuple;
    let Some(ports) = external.ports(protocol) else {
        return Some(Lease::address_only(Arc::clone(external), protocol));
    };
    let lease = |port| Lease::claimed(Arc::clone(external), protocol, port);

    let (preferred, other) = classes(request.candidates.ports(protocol), protocol, inside);
    if request.attempt == 0 && preferred.contains(inside) && ports.claim(inside) {
        return Some(lease(inside));
    }
    // RFC 4787 REQ-4. RFC 7857 no longer asks for it where it would cost randomness; it is kept
    // because half of the range is random enough and RTP without RTCP attributes still needs it.
    let parity = (protocol == Protocol::UDP).then_some(inside);
    [Some(preferred), other]
        .into_iter()
        .flatten()
        .find_map(|range| {
            let offset = below(ports::count(range), random());
            let start = range
                .first
                .saturating_add(u16::try_from(offset).unwrap_or(u16::MAX));
            ports.claim_any(range, parity, start).map(lease)
        })
}

/// Which of a pool's addresses an inside address is paired with.
fn pairing(inside: IpAddr, key: &[u32; 4]) -> u32 {
    let mut hasher = DefaultHasher::new();
    (key, inside).hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

/// Spreads all 32-bit numbers over 0 to `count - 1`.
fn below(count: u32, number: u32) -> u32 {
    ((u64::from(count) * u64::from(number)) >> 32) as u32
}
