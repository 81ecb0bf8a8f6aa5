//! Who holds which translated address and port.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::page::Page;
use super::selection::{Prefix, flows, parse_protocol};
use super::{Control, FilterError};
use crate::datapath::{Generation, tuple_of};
use crate::session::Slot;
use crate::view;

impl Control {
    /// A page, in the order of the session table: each lease is a session's. `Err` says what is wrong with the
    /// filter.
    pub fn leases(&self, filter: &view::LeaseFilter) -> Result<view::LeasePage, FilterError> {
        let table = &self.0.shared.table;
        let page = Page::of(filter.cursor.as_deref(), filter.limit)?;
        let wanted = Wanted::of(filter)?;
        let (leases, next) = self.look(|generations| {
            let found = (page.first..table.capacity()).filter_map(|number| {
                let slot = Slot(number);
                let lease = table.snapshot(slot, |_| self.lease(slot, &wanted, generations));
                Some((number, lease.flatten()?))
            });
            page.cut(found)
        });
        Ok(view::LeasePage { leases, next })
    }

    /// What a session holds, where that is wanted.
    fn lease(
        &self,
        slot: Slot,
        wanted: &Wanted<'_>,
        generations: &[Arc<Generation>],
    ) -> Option<view::LeaseView> {
        let table = &self.0.shared.table;
        let record = table.session(slot);
        let rule = usize::from(record.source_rule.load(Relaxed)).checked_sub(1)?;
        let number = record.generation.load(Relaxed);
        let generation = generations.iter().find(|it| it.number == number)?;
        let nat = &generation.config.nat;
        let info = nat.rules().get(rule)?;
        if info.kind != nat::RuleKind::Source {
            return None;
        }
        let [forward, reverse] = flows(slot);
        let (asked, answered) = (table.key(forward), table.key(reverse));
        if !wanted.admits(&asked, &answered) {
            return None;
        }
        let (asked, answered) = (tuple_of(&asked), tuple_of(&answered));
        let pool = nat.pool_of(nat::RuleId(rule as u32));
        let pool = pool.map_or_else(
            || answered.destination.to_string(),
            |pool| pool.name().to_owned(),
        );
        if wanted.pool.is_some_and(|wanted| wanted != pool) {
            return None;
        }
        Some(view::LeaseView {
            pool,
            address: answered.destination,
            port: nat::has_ports(asked.protocol).then_some(answered.destination_port),
            protocol: asked.protocol.to_string(),
            rule: info.name.clone(),
            session: record.id.load(Relaxed),
            holder: view::Endpoint {
                address: asked.source,
                port: asked.source_port,
            },
        })
    }
}

struct Wanted<'a> {
    pool: Option<&'a str>,
    address: Option<Prefix>,
    port: Option<[u8; 2]>,
    holder: Option<Prefix>,
    protocol: Option<u8>,
}

impl<'a> Wanted<'a> {
    fn of(filter: &'a view::LeaseFilter) -> Result<Self, FilterError> {
        let protocol = filter.protocol.as_deref().map(parse_protocol).transpose()?;
        Ok(Self {
            pool: filter.pool.as_deref(),
            address: filter.address.map(Prefix::of),
            port: filter.port.map(u16::to_be_bytes),
            holder: filter.holder.map(Prefix::of),
            protocol: protocol.map(|protocol| protocol.0),
        })
    }

    fn admits(&self, asked: &abi::FlowKey, answered: &abi::FlowKey) -> bool {
        self.address
            .is_none_or(|it| it.holds(&answered.destination))
            && self.port.is_none_or(|it| it == answered.destination_port)
            && self.holder.is_none_or(|it| it.holds(&asked.source))
            && self.protocol.is_none_or(|it| it == asked.protocol)
    }
}
