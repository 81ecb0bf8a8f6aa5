//! Everything that fits one answer: interfaces, policies, translation, drops.

use std::cmp::Reverse;
use std::sync::PoisonError;

use abi::{DropReason, PuntReason};

use super::hits::hits_view;
use super::{Control, interface_name};
use crate::clock::Moment;
use crate::counters::{Counters, InterfaceId};
use crate::datapath::Generation;
use crate::ports::{AttachMode, HOST_PORT, KernelCounters, PortId, PortState};
use crate::view;

impl Control {
    pub fn interfaces(&self) -> Vec<view::InterfaceView> {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let topology = shared.mirror.topology.load();
        let kernel = self.0.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let rates = self.0.history.rates();
        let interfaces = generation.interfaces();
        interfaces
            .map(|(id, interface)| {
                let link = topology.interfaces.get(id.index());
                let link = link.cloned().unwrap_or_default();
                let port = generation.port(id).unwrap_or(HOST_PORT);
                let state = self.port_state(&generation, id);
                let waits_for = state.as_ref().and_then(PortState::waits_for);
                let trouble = state.as_ref().and_then(PortState::trouble);
                let mode = state.as_ref().and_then(PortState::mode);
                let dropped: u64 = DropReason::ALL
                    .iter()
                    .map(|reason| self.drops_of(&generation, id, *reason, &kernel))
                    .sum();
                let forwarded = kernel.traffic(id);
                let received = self.traffic(|counters| counters.received[id.index()].read());
                let sent = self.traffic(|counters| counters.sent[id.index()].read());
                view::InterfaceView {
                    name: interface.name.clone(),
                    device: state
                        .as_ref()
                        .filter(|it| it.waits_for().is_none())
                        .map_or_else(
                            || interface.device.to_string(),
                            |state| state.device.clone(),
                        ),
                    vlan: interface.vlan,
                    state: if waits_for.is_some() {
                        view::InterfaceState::Waiting
                    } else {
                        view::InterfaceState::Attached
                    },
                    reason: waits_for.or(trouble).map(ToOwned::to_owned),
                    attach: mode.map_or("", AttachMode::name).into(),
                    zone: generation.config.rules.zone(interface.zone).name.clone(),
                    addresses: link.addresses.iter().map(ToString::to_string).collect(),
                    mac: link.mac.to_string(),
                    mtu: link.mtu_bytes,
                    up: link.up,
                    received: view::Traffic {
                        packets: received.packets + forwarded.received_packets,
                        bytes: received.bytes + forwarded.received_bytes,
                    },
                    sent: view::Traffic {
                        packets: sent.packets + forwarded.sent_packets,
                        bytes: sent.bytes + forwarded.sent_bytes,
                    },
                    dropped,
                    punted: PuntReason::ALL
                        .iter()
                        .map(|reason| kernel.punts(port, *reason))
                        .sum(),
                    rates: rates
                        .interfaces
                        .iter()
                        .find(|known| known.name == interface.name)
                        .map(|known| known.rates)
                        .unwrap_or_default(),
                }
            })
            .collect()
    }

    /// Policies in force, and the default as the last of them, or those of most hits.
    pub fn policies(&self, filter: &view::PolicyFilter) -> Vec<view::PolicyView> {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let policies = generation.config.rules.policies();
        let sessions = self.sessions_by_policy();
        let now = Moment::now();
        let any = || vec!["any".to_owned()];
        // Behind those of the policies, the default's.
        let counters = generation.policies.iter();
        let counters: Vec<_> = counters.chain([&generation.default_policy]).collect();
        let hits: Vec<_> = counters.iter().map(|counter| counter.hits()).collect();
        let shown = chosen(filter, &hits).into_iter().map(|index| {
            let hits = hits_view(counters[index], &now);
            let Some(policy) = policies.get(index) else {
                return view::PolicyView {
                    position: None,
                    name: "default".into(),
                    from: "any".into(),
                    to: "any".into(),
                    source: any(),
                    destination: any(),
                    application: any(),
                    l7: Vec::new(),
                    action: "deny".into(),
                    hits,
                    sessions: 0,
                };
            };
            view::PolicyView {
                position: Some(index as u32 + 1),
                name: policy.name.clone(),
                from: policy.from.join(", "),
                to: policy.to.join(", "),
                source: policy.source.clone(),
                destination: policy.destination.clone(),
                application: policy.application.clone(),
                l7: policy
                    .content
                    .as_ref()
                    .map_or(Vec::new(), |content| content.written.clone()),
                action: format!("{:?}", policy.action).to_lowercase(),
                hits,
                // Counted by the same generation, unless one has just come into force.
                sessions: sessions.get(index).copied().unwrap_or(0),
            }
        });
        shown.collect()
    }

    pub fn nat(&self) -> view::NatView {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let nat = &generation.config.nat;
        let now = Moment::now();
        let rules = nat
            .rules()
            .iter()
            .zip(&generation.translations)
            .map(|(rule, counter)| view::NatRuleView {
                kind: format!("{:?}", rule.kind).to_lowercase(),
                name: rule.name.clone(),
                from: rule.from.clone(),
                to: rule.to.clone(),
                matches: rule.matches.clone(),
                translates_to: rule.translates_to.clone(),
                hits: hits_view(counter, &now),
            });
        view::NatView {
            rules: rules.collect(),
            pools: self.pools(),
        }
    }

    pub(super) fn pools(&self) -> Vec<view::NatPoolView> {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let nat = &generation.config.nat;
        let configured = nat.pools().iter().map(|pool| {
            let usage = shared.leases.pool_usage(pool);
            view::NatPoolView {
                name: pool.name().into(),
                addresses: pool.addresses().to_vec(),
                ports: format!("{}-{}", pool.ports().first, pool.ports().last),
                leases: usage.leases(),
                capacity: pool.capacity(),
                refused: usage.refused,
            }
        });
        let of_interfaces = shared
            .leases
            .addresses()
            .into_iter()
            .filter(|address| !nat.pools().iter().any(|pool| pool.contains(*address)));
        let of_interfaces = of_interfaces.map(|address| {
            let usage = shared.leases.usage(address);
            view::NatPoolView {
                name: address.to_string(),
                addresses: vec![address.to_string()],
                ports: format!("{}-{}", nat::DEFAULT_PORTS.first, nat::DEFAULT_PORTS.last),
                leases: usage.leases(),
                capacity: u64::from(nat::DEFAULT_PORTS.last - nat::DEFAULT_PORTS.first) + 1,
                refused: usage.refused,
            }
        });
        configured.chain(of_interfaces).collect()
    }

    pub fn drops(&self) -> view::DropsView {
        let generation = self.0.shared.generation.load();
        let kernel = self.0.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut drops, mut punts) = (Vec::new(), Vec::new());
        let ids = generation.interfaces().map(|(id, _)| id);
        for id in ids.chain([InterfaceId::HOST]) {
            let interface = interface_name(&generation, id);
            for reason in DropReason::ALL {
                let packets = self.drops_of(&generation, id, *reason, &kernel);
                if packets > 0 {
                    drops.push(view::CountView {
                        number: reason.number(),
                        reason: reason.name().into(),
                        interface: interface.clone(),
                        packets,
                    });
                }
            }
            let Some(port) = generation
                .port(id)
                .filter(|port| generation.first_interface_at(*port) == Some(id))
            else {
                continue;
            };
            for reason in PuntReason::ALL {
                let packets = kernel.punts(port, *reason);
                if packets > 0 {
                    punts.push(view::CountView {
                        number: reason.number(),
                        reason: reason.name().into(),
                        interface: interface.clone(),
                        packets,
                    });
                }
            }
        }
        view::DropsView { drops, punts }
    }

    /// Packets that found a queue of the port's private pair full, either way.
    fn lost_in_pair(&self, port: PortId) -> u64 {
        let ports = self.0.shared.ports.load();
        let state = ports.iter().find(|state| state.id == port);
        let Some(ends) = state.and_then(PortState::pair) else {
            return 0;
        };
        self.0.shared.mirror.look(|tables| {
            let links = tables.links.iter();
            let of_pair = links.filter(|link| ends.contains(&link.ifindex));
            of_pair.map(|link| link.tx_dropped).sum()
        })
    }

    pub(super) fn traffic(&self, read: impl Fn(&Counters) -> (u64, u64)) -> view::Traffic {
        let each = self
            .0
            .shared
            .workers
            .iter()
            .map(|worker| read(&worker.counters));
        each.fold(view::Traffic::default(), |sum, (packets, bytes)| {
            view::Traffic {
                packets: sum.packets + packets,
                bytes: sum.bytes + bytes,
            }
        })
    }

    /// Of all workers; and of the kernel's programs, at the first interface of their port.
    pub(super) fn drops_of(
        &self,
        generation: &Generation,
        id: InterfaceId,
        reason: DropReason,
        kernel: &KernelCounters,
    ) -> u64 {
        let workers: u64 = self
            .0
            .shared
            .workers
            .iter()
            .map(|worker| worker.counters.drops(id, reason))
            .sum();
        let port = if id == InterfaceId::HOST {
            Some(HOST_PORT)
        } else {
            generation.port(id)
        };
        let is_first =
            |port: &PortId| *port == HOST_PORT || generation.first_interface_at(*port) == Some(id);
        let of_port = |port| match reason {
            DropReason::PairFull => self.lost_in_pair(port),
            _ => kernel.drops(port, reason),
        };
        workers + port.filter(is_first).map_or(0, of_port)
    }
}

/// Which policies are shown, by their places; of as many hits, the one that comes first comes first.
fn chosen(filter: &view::PolicyFilter, hits: &[u64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..hits.len()).collect();
    match filter.sort {
        Some(view::PolicyOrder::Hits) => places.sort_by_key(|&place| Reverse(hits[place])),
        None => {}
    }
    places.truncate(filter.limit.unwrap_or(usize::MAX));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{PolicyFilter, PolicyOrder};

    #[test]
    fn policies_come_in_their_order_or_by_hits_and_so_many_at_most() {
        let hits = [3, 0, 7, 3];
        for (sort, limit, expected) in [
            (None, None, vec![0, 1, 2, 3]),
            (None, Some(2), vec![0, 1]),
            (Some(PolicyOrder::Hits), None, vec![2, 0, 3, 1]),
            (Some(PolicyOrder::Hits), Some(2), vec![2, 0]),
            (Some(PolicyOrder::Hits), Some(1_000), vec![2, 0, 3, 1]),
        ] {
            assert_eq!(chosen(&PolicyFilter { sort, limit }, &hits), expected);
        }
    }
}
