//! The tables of `palisade show`, sessions apart.

use firewall::view::{
    CountView, DropsView, InterfaceState, InterfaceView, NatPoolView, NatRuleView, NatView,
    NeighbourPage, PolicyView, RoutePage, SignaturesView, SystemView,
};

use super::grid::{Grid, left, right, wrapping};
use super::units;
use crate::command::counted;
use crate::terminal::printable;

pub(crate) fn interfaces(interfaces: &Vec<InterfaceView>, width: Option<usize>) -> Vec<String> {
    let mut grid = Grid::new([
        left("INTERFACE"),
        left("PORT"),
        wrapping("ADDRESSES"),
        left("PKTS/BYTES"),
        right("DROPPED"),
    ]);
    for interface in interfaces {
        grid.row([
            vec![interface.name.clone(), format!("zone {}", interface.zone)].into(),
            port(interface).into(),
            addresses(interface).into(),
            counters(interface).into(),
            interface.dropped.into(),
        ]);
    }
    or_none(&grid, interfaces, "interfaces", width)
}

/// The device and what it is like.
fn port(interface: &InterfaceView) -> Vec<String> {
    let vlan = interface
        .vlan
        .map(|vlan| format!(" vlan {vlan}"))
        .unwrap_or_default();
    if interface.state == InterfaceState::Waiting {
        return vec![format!("{}{vlan} waiting", interface.device)];
    }
    let link = if interface.up { "up" } else { "down" };
    vec![
        format!("{}{vlan} {link}", interface.device),
        format!("{}, mtu {}", interface.attach, interface.mtu),
        interface.mac.clone(),
    ]
}

/// With what keeps it from being as it should.
fn addresses(interface: &InterfaceView) -> Vec<String> {
    let addresses = interface.addresses.iter();
    addresses.chain(&interface.reason).cloned().collect()
}

fn counters(interface: &InterfaceView) -> Vec<String> {
    vec![
        format!("in {}", units::traffic(interface.received)),
        format!("out {}", units::traffic(interface.sent)),
        format!("punted {}", units::count(interface.punted)),
    ]
}

pub(crate) fn policies(policies: &Vec<PolicyView>, width: Option<usize>) -> Vec<String> {
    let mut grid = Grid::new([
        right("#"),
        wrapping("POLICY"),
        left("ZONES"),
        wrapping("ADDRESSES"),
        wrapping("APPLICATION"),
        left("ACTION"),
        right("HITS"),
        right("SESSIONS"),
    ]);
    for policy in policies {
        grid.row([
            policy.position.map(u64::from).into(),
            policy.name.as_str().into(),
            vec![policy.from.clone(), format!("→ {}", policy.to)].into(),
            vec![
                policy.source.join(", "),
                format!("→ {}", policy.destination.join(", ")),
            ]
            .into(),
            policy.application.join(", ").into(),
            policy.action.as_str().into(),
            policy.hits.hits.into(),
            policy.sessions.into(),
        ]);
    }
    or_none(&grid, policies, "policies", width)
}

pub(crate) fn nat(nat: &NatView, width: Option<usize>) -> Vec<String> {
    sections(nat_rules(&nat.rules, width), nat_pools(&nat.pools, width))
}

fn nat_rules(rules: &[NatRuleView], width: Option<usize>) -> Vec<String> {
    let mut grid = Grid::new([
        left("KIND"),
        left("RULE"),
        left("FROM"),
        left("TO"),
        wrapping("MATCHES"),
        wrapping("TRANSLATES TO"),
        right("HITS"),
    ]);
    for rule in rules {
        grid.row([
            rule.kind.as_str().into(),
            rule.name.as_str().into(),
            rule.from.as_str().into(),
            rule.to.as_deref().into(),
            rule.matches.as_str().into(),
            rule.translates_to.as_str().into(),
            rule.hits.hits.into(),
        ]);
    }
    or_none(&grid, rules, "NAT rules", width)
}

fn nat_pools(pools: &[NatPoolView], width: Option<usize>) -> Vec<String> {
    let mut grid = Grid::new([
        left("POOL"),
        wrapping("ADDRESSES"),
        left("PORTS"),
        right("LEASES"),
        right("CAPACITY"),
        right("REFUSED"),
    ]);
    for pool in pools {
        grid.row([
            pool.name.as_str().into(),
            pool.addresses.clone().into(),
            pool.ports.as_str().into(),
            pool.leases.into(),
            pool.capacity.into(),
            pool.refused.into(),
        ]);
    }
    or_none(&grid, pools, "NAT pools", width)
}

pub(crate) fn drops(drops: &DropsView, width: Option<usize>) -> Vec<String> {
    let drop_counts = counts(&drops.drops, "DROP REASON", "drops", width);
    sections(
        drop_counts,
        counts(&drops.punts, "PUNT REASON", "punts", width),
    )
}

fn counts(
    counts: &[CountView],
    title: &'static str,
    what: &str,
    width: Option<usize>,
) -> Vec<String> {
    let mut grid = Grid::new([
        right("#"),
        wrapping(title),
        left("INTERFACE"),
        right("PACKETS"),
    ]);
    for count in counts {
        grid.row([
            u64::from(count.number).into(),
            count.reason.as_str().into(),
            count.interface.as_str().into(),
            count.packets.into(),
        ]);
    }
    or_none(&grid, counts, what, width)
}

pub(crate) fn routes(page: &RoutePage, width: Option<usize>) -> Vec<String> {
    let routes = &page.routes;
    let mut grid = Grid::new([
        wrapping("TO"),
        wrapping("VIA"),
        left("INTERFACE"),
        left("KIND"),
        right("METRIC"),
    ]);
    for route in routes {
        grid.row([
            route.to.as_str().into(),
            route.via.map(|via| via.to_string()).into(),
            route.interface.as_deref().into(),
            route.kind.name().into(),
            u64::from(route.metric).into(),
        ]);
    }
    or_none(&grid, routes, "routes", width)
}

pub(crate) fn neighbours(page: &NeighbourPage, width: Option<usize>) -> Vec<String> {
    let neighbours = &page.neighbours;
    let mut grid = Grid::new([
        wrapping("NEIGHBOUR"),
        left("INTERFACE"),
        left("MAC"),
        left("STATE"),
    ]);
    for neighbour in neighbours {
        grid.row([
            neighbour.address.to_string().into(),
            neighbour.interface.as_str().into(),
            neighbour.mac.as_deref().into(),
            neighbour.state.as_str().into(),
        ]);
    }
    or_none(&grid, neighbours, "neighbours", width)
}

pub(crate) fn system(system: &SystemView, _: Option<usize>) -> Vec<String> {
    let facts = [
        ("host name", system.host_name.clone()),
        ("version", system.version.clone()),
        ("mode", system.mode.clone()),
        ("generation", system.generation.to_string()),
        ("up for", units::duration(system.uptime_seconds)),
        ("workers", system.workers.to_string()),
        (
            "sessions",
            format!("{}, room for {}", system.sessions, system.session_capacity),
        ),
    ];
    let signatures = system.signatures.as_ref();
    facts
        .into_iter()
        .chain(signatures.map(|signatures| ("signatures", loaded(signatures))))
        .map(|(name, value)| format!("{name:<12}{}", printable(&value)))
        .collect()
}

/// `1204 from 2 files, 3 can't be used`
fn loaded(signatures: &SignaturesView) -> String {
    let SignaturesView {
        loaded,
        faulty,
        files,
        unread,
    } = *signatures;
    let mut text = format!("{loaded} from {}", counted(files.into(), "file", "files"));
    if faulty > 0 {
        text.push_str(&format!(", {faulty} can't be used"));
    }
    if unread > 0 {
        let unread = counted(unread.into(), "file", "files");
        text.push_str(&format!(", {unread} can't be read"));
    }
    text
}

fn or_none<T>(grid: &Grid, rows: &[T], what: &str, width: Option<usize>) -> Vec<String> {
    if rows.is_empty() {
        vec![format!("no {what}")]
    } else {
        grid.lines(width)
    }
}

/// Two tables with a line between them, where either is more than a line.
fn sections(first: Vec<String>, second: Vec<String>) -> Vec<String> {
    let gap = (first.len() > 1 || second.len() > 1).then(String::new);
    first.into_iter().chain(gap).chain(second).collect()
}

#[cfg(test)]
mod tests {
    use firewall::view::{NeighbourFilter, RouteFilter};
    use web_ui::Appliance;
    use web_ui::fake::Fake;

    use super::*;

    fn all(fake: &Fake, width: Option<usize>) -> Vec<Vec<String>> {
        vec![
            interfaces(&fake.interfaces, width),
            policies(&fake.policies, width),
            nat(&fake.nat, width),
            drops(&fake.drops, width),
            routes(&fake.routes(&RouteFilter::default()).unwrap(), width),
            neighbours(
                &fake.neighbours(&NeighbourFilter::default()).unwrap(),
                width,
            ),
            system(&fake.system, width),
        ]
    }

    #[test]
    fn the_system_says_how_many_signatures_are_in_use() {
        let mut shown = Fake::running().system();
        let row = |shown: &SystemView| system(shown, None).pop().unwrap();
        assert_eq!(
            row(&shown),
            "signatures  1204 from 2 files, 3 can't be used"
        );
        shown.signatures = None;
        assert!(row(&shown).starts_with("sessions"));
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        for width in [80, 100, 160] {
            for lines in all(&Fake::running(), Some(width)) {
                assert!(
                    lines.iter().all(|line| line.chars().count() <= width),
                    "{width}:\n{}",
                    lines.join("\n")
                );
            }
        }
    }

    #[test]
    #[rustfmt::skip]
    fn at_80_columns_the_addresses_of_an_interface_are_wrapped() {
        let expected = [
            "INTERFACE     PORT                ADDRESSES               PKTS/BYTES     DROPPED",
            "left          eth1 up             192.0.2.1/24            in 19M/1.5GB        12",
            "zone trust    tc, mtu 1500                                out 49M/70GB",
            "              02:42:c0:00:02:01                           punted 40k",
            "right         eth2 vlan 120 down  198.51.100.1/24         in 49M/70GB      90114",
            "zone untrust  xdp, mtu 1500       2001:db8:2::1/64        out 19M/1.5GB",
            "              02:42:c0:00:02:01   2001:db8:aaaa:bbbb:ccc  punted 40k",
            "                                  c:dddd:eeee:ffff/128",
        ];
        assert_eq!(interfaces(&Fake::running().interfaces, Some(80)), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn an_interface_that_waits_says_why() {
        let mut fake = Fake::running();
        let waiting = &mut fake.interfaces[0];
        waiting.state = InterfaceState::Waiting;
        waiting.reason = Some("there is no device eth1 here".into());
        waiting.addresses.clear();
        let lines = interfaces(&fake.interfaces, Some(80));
        assert!(lines[1].contains("eth1 waiting") && lines[1].contains("there is no device"), "{}", lines[1]);
        assert!(lines[2].contains("eth1 here"), "{}", lines[2]);
    }

    #[test]
    #[rustfmt::skip]
    fn at_100_columns_policies_keep_their_names_whole() {
        let expected = [
            "#  POLICY            ZONES      ADDRESSES                 APPLICATION        ACTION   HITS  SESSIONS",
            "1  web-out           trust      lan                       http, https, dns,  permit  40113         3",
            "                     → untrust  → any                     ping",
            "2  publish-the-shop  untrust    any                       shop-api           permit     98         1",
            "                     → trust    → web-servers, 2001:db8:",
            "                                aaaa:bbbb:cccc:dddd:eeee",
            "                                :0/112",
            "-  default           any        any                       any                deny    90002         0",
            "                     → any      → any",
        ];
        assert_eq!(policies(&Fake::running().policies, Some(100)), expected);
    }

    #[test]
    fn a_name_from_the_network_is_escaped_in_every_table() {
        let mut fake = Fake::running();
        let hostile = "a\x1b[2J\nb";
        fake.interfaces[0].device = hostile.into();
        fake.policies[0].source = vec![hostile.into()];
        fake.nat.rules[0].matches = hostile.into();
        fake.drops.drops[0].reason = hostile.into();
        fake.routes[0].to = hostile.into();
        fake.neighbours[0].state = hostile.into();
        fake.system.host_name = hostile.into();
        for lines in all(&fake, None) {
            assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
            assert!(
                lines.iter().any(|line| line.contains("a\\u{1b}[2J\\nb")),
                "{}",
                lines.join("\n")
            );
        }
    }
}
