//! The kernel's routes and neighbours, page by page: a full table has a million.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::page::Page;
use super::{Control, FilterError, interface_name};
use crate::route::RouteKind;
use crate::route::kernel::{KernelAddress, KernelRoute, RouteOrigin};
use crate::route::mirror::KernelTables;
use crate::view;

impl Control {
    /// A page in the kernel's order; `Err` says what is wrong with the filter.
    pub fn routes(&self, filter: &view::RouteFilter) -> Result<view::RoutePage, FilterError> {
        let page = Page::of(filter.cursor.as_deref(), filter.limit)?;
        let (routes, next, total) = self.0.shared.mirror.look(|tables| {
            let names = self.device_names(tables);
            let routes = tables.routes.iter().flat_map(ways);
            let all = routes.chain(tables.addresses.iter().map(Way::local));
            let numbered = (0u32..).zip(all).skip(page.first as usize);
            let found = numbered.filter(|(_, way)| way.is_wanted(filter, &names));
            let (found, next) = page.cut(found);
            let shown: Vec<_> = found.iter().map(|way| way.view(&names)).collect();
            (shown, next, tables.routes.len() + tables.addresses.len())
        });
        Ok(view::RoutePage {
            routes,
            total: total as u64,
            next,
        })
    }

    /// A page in the kernel's order, of the appliance's interfaces; `Err` says what is wrong with the filter.
    pub fn neighbours(
        &self,
        filter: &view::NeighbourFilter,
    ) -> Result<view::NeighbourPage, FilterError> {
        let page = Page::of(filter.cursor.as_deref(), filter.limit)?;
        let mirror = &self.0.shared.mirror;
        let (neighbours, next, total) = mirror.look(|tables| {
            let names = self.device_names(tables);
            let is_ours = |ifindex| mirror.interface_of(ifindex).is_some();
            let ours = || tables.neighbours.iter().filter(|it| is_ours(it.ifindex));
            let shown = ours().map(|known| view::NeighbourView {
                address: known.address,
                interface: name_of(&names, known.ifindex),
                mac: known.mac.map(|mac| mac.to_string()),
                state: known.state.into(),
            });
            let numbered = (0u32..).zip(shown).skip(page.first as usize);
            let found = numbered.filter(|(_, neighbour)| is_neighbour_wanted(neighbour, filter));
            let (shown, next) = page.cut(found);
            (shown, next, ours().count())
        });
        Ok(view::NeighbourPage {
            neighbours,
            total: total as u64,
            next,
        })
    }

    /// An interface's name, or the device's where it is no interface of the appliance.
    fn device_names(&self, tables: &KernelTables) -> HashMap<u32, String> {
        let generation = self.0.shared.generation.load();
        let links = tables.links.iter();
        let named = links.map(
            |link| match self.0.shared.mirror.interface_of(link.ifindex) {
                Some(id) => (link.ifindex, interface_name(&generation, id)),
                None => (link.ifindex, link.name.clone()),
            },
        );
        named.collect()
    }
}

fn name_of(names: &HashMap<u32, String>, ifindex: u32) -> String {
    names.get(&ifindex).cloned().unwrap_or_default()
}

fn is_neighbour_wanted(neighbour: &view::NeighbourView, filter: &view::NeighbourFilter) -> bool {
    let is_mac = |wanted: &String| {
        let mac = neighbour.mac.as_ref();
        mac.is_some_and(|mac| mac.eq_ignore_ascii_case(wanted))
    };
    filter
        .address
        .is_none_or(|prefix| prefix.contains(&neighbour.address))
        && filter
            .interface
            .as_ref()
            .is_none_or(|name| *name == neighbour.interface)
        && filter.mac.as_ref().is_none_or(is_mac)
        && filter
            .state
            .as_ref()
            .is_none_or(|state| *state == neighbour.state)
}

/// One way of a route.
struct Way {
    to: IpNet,
    kind: view::RouteKind,
    metric: u32,
    /// Device and gateway; none where packets go nowhere.
    hop: Option<(u32, Option<IpAddr>)>,
}

fn ways(route: &KernelRoute) -> impl Iterator<Item = Way> + '_ {
    let kind = match (route.kind, route.origin) {
        (RouteKind::Unreachable, _) => view::RouteKind::Unreachable,
        (RouteKind::Prohibit, _) => view::RouteKind::Prohibit,
        (RouteKind::Blackhole, _) => view::RouteKind::Blackhole,
        (RouteKind::Forward, RouteOrigin::Connected) => view::RouteKind::Connected,
        (RouteKind::Forward, RouteOrigin::Own | RouteOrigin::Other) => view::RouteKind::Static,
    };
    let nowhere = route.hops.is_empty().then_some(None);
    let hops = route.hops.iter().copied().map(Some);
    hops.chain(nowhere).map(move |hop| Way {
        to: route.to,
        kind,
        metric: route.metric,
        hop,
    })
}

impl Way {
    fn local(address: &KernelAddress) -> Self {
        Self {
            to: address.address.addr().into(),
            kind: view::RouteKind::Local,
            metric: 0,
            hop: Some((address.ifindex, None)),
        }
    }

    fn is_wanted(&self, filter: &view::RouteFilter, names: &HashMap<u32, String>) -> bool {
        let leaves_by = |wanted: &String| {
            let name = self.hop.and_then(|(ifindex, _)| names.get(&ifindex));
            name == Some(wanted)
        };
        let via = self.hop.and_then(|(_, via)| via);
        filter.to.is_none_or(|to| to.trunc() == self.to.trunc())
            && filter
                .address
                .is_none_or(|address| self.to.contains(&address))
            && filter.via.is_none_or(|wanted| via == Some(wanted))
            && filter.interface.as_ref().is_none_or(leaves_by)
            && filter.kind.is_none_or(|kind| kind == self.kind)
    }

    fn view(&self, names: &HashMap<u32, String>) -> view::RouteView {
        let is_local = self.kind == view::RouteKind::Local;
        view::RouteView {
            to: if is_local {
                self.to.addr().to_string()
            } else {
                self.to.to_string()
            },
            via: self.hop.and_then(|(_, via)| via),
            interface: self.hop.map(|(ifindex, _)| name_of(names, ifindex)),
            kind: self.kind,
            metric: self.metric,
        }
    }
}
