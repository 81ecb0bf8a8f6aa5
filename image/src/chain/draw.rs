//! A chain as a picture in letters: each policy from its source down to its destination.

use std::fmt::Write;

use super::document::{Kind, Mode};
use super::status::{InstanceStatus, Phase, PolicyStatus, Rates, ServiceStatus, State, Status};
use crate::show::grid::{Grid, left, right};
use crate::show::units;
use crate::terminal;

pub(super) fn draw(status: &Status) -> String {
    let mut text = String::new();
    let phase = match status.phase {
        Phase::Starting => "starting",
        Phase::Up => "up",
        Phase::Stopping => "stopping",
    };
    // A `String` takes everything.
    let out = &mut text;
    writeln!(
        out,
        "{}: {phase} for {}, from {}",
        status.name,
        units::duration(status.uptime_seconds as u64),
        terminal::printable(&status.file)
    )
    .unwrap_or_default();
    for policy in &status.policies {
        out.push('\n');
        course(out, status, policy);
    }
    idle(out, status);
    text
}

/// From its source, through its services, to its destination.
fn course(out: &mut String, status: &Status, policy: &PolicyStatus) {
    network(out, status, &policy.from);
    let mut at = policy.from.as_str();
    let services = policy
        .through
        .iter()
        .filter_map(|name| status.services.iter().find(|service| service.name == *name));
    for found in services {
        let (left, right) = (found.left.as_str(), found.right.as_str());
        let backwards = right == at && left != at;
        let (enter, leave) = if backwards {
            (right, left)
        } else {
            (left, right)
        };
        if enter != at {
            out.push_str("   │\n");
            network(out, status, enter);
        }
        service(out, found);
        if leave != policy.to {
            network(out, status, leave);
        }
        at = leave;
    }
    if at != policy.to {
        out.push_str("   │\n");
    }
    network(out, status, &policy.to);
}

/// `clients  192.0.2.0/24  client 192.0.2.10`
fn network(out: &mut String, status: &Status, name: &str) {
    let found = status.networks.iter().find(|network| network.name == name);
    let subnets = found.map(|network| network.subnets.join(", "));
    write!(out, "{name}  {}", subnets.unwrap_or_default()).unwrap_or_default();
    let hosts = status.hosts.iter().filter(|host| host.network == name);
    for host in hosts {
        write!(out, "  {} {}", host.name, host.addresses.join(", ")).unwrap_or_default();
        if let Some(reason) = &host.reason {
            write!(out, " ({})", terminal::printable(reason)).unwrap_or_default();
        }
    }
    out.push('\n');
}

fn service(out: &mut String, service: &ServiceStatus) {
    let kind = match service.kind {
        Kind::Palisade => "",
        Kind::Plain => ", plain",
    };
    writeln!(out, "   │  {} ({}{kind})", service.name, mode(service.mode)).unwrap_or_default();
    let mut grid = Grid::new([
        left("INSTANCE"),
        left("STATE"),
        right("ANSWER"),
        right("FLOWS"),
        right("TO RIGHT"),
        right("PKT/S"),
        right("TO LEFT"),
        right("PKT/S"),
        right("SESSIONS"),
    ]);
    for instance in &service.instances {
        grid.row(row(instance).map(Into::into));
    }
    let width = terminal::width().map(|width| width.saturating_sub(6));
    for (number, line) in grid.lines(width).into_iter().enumerate() {
        let edge = match number {
            0 => "   │  ",
            _ => "   ├─ ",
        };
        writeln!(out, "{edge}{line}").unwrap_or_default();
    }
    for instance in &service.instances {
        if let Some(reason) = &instance.reason {
            writeln!(
                out,
                "   │  {}: {}",
                instance.name,
                terminal::printable(reason)
            )
            .unwrap_or_default();
        }
    }
    out.push_str("   │\n");
}

fn row(instance: &InstanceStatus) -> [String; 9] {
    let since = units::duration(instance.state_seconds as u64);
    let mut state = format!("{} {since}", instance.state.name());
    if instance.restarts > 0 {
        write!(state, ", restarts {}", instance.restarts).unwrap_or_default();
    }
    let answer = instance
        .answer_ms
        .filter(|_| instance.state == State::Healthy);
    let rate = |rate: fn(&Rates) -> f64, shown: fn(f64) -> String| {
        instance
            .rates
            .as_ref()
            .map_or_else(|| "-".to_owned(), |rates| shown(rate(rates)))
    };
    [
        instance.name.clone(),
        state,
        answer.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
        format!("{:.0} %", instance.share * 100.0),
        rate(|rates| rates.to_right_bits_per_second, units::bit_rate),
        rate(|rates| rates.to_right_packets_per_second, units::rate),
        rate(|rates| rates.to_left_bits_per_second, units::bit_rate),
        rate(|rates| rates.to_left_packets_per_second, units::rate),
        instance
            .rates
            .and_then(|rates| rates.sessions)
            .map_or_else(|| "-".to_owned(), units::count),
    ]
}

/// What no policy leads through.
fn idle(out: &mut String, status: &Status) {
    let used = |name: &String| {
        status
            .policies
            .iter()
            .any(|policy| policy.through.contains(name))
    };
    for unused in status
        .services
        .iter()
        .filter(|service| !used(&service.name))
    {
        writeln!(out, "\nno policy leads through {}", unused.name).unwrap_or_default();
        service(out, unused);
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::InNetwork => "in-network",
        Mode::InNetworkNat => "in-network-nat",
        Mode::Transparent => "transparent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the supervisor would tell it.
    fn status(policies: &str) -> Status {
        let text = format!(
            r#"{{
                "name": "shop", "file": "shop.yaml", "phase": "up", "supervisor": 17, "uptime-seconds": 75.2,
                "networks": [
                    {{"name": "clients", "subnets": ["192.0.2.0/24"], "namespace": "n"}},
                    {{"name": "servers", "subnets": ["198.51.100.0/24"], "namespace": "n"}},
                    {{"name": "office", "subnets": ["203.0.113.0/24"], "namespace": "n"}}
                ],
                "services": [{{
                    "name": "firewall", "mode": "in-network", "kind": "palisade",
                    "left": "clients", "right": "servers", "management": null,
                    "instances": [
                        {{"name": "firewall.1", "namespace": "n", "container": false, "left": [], "right": [],
                          "management": [], "state": "healthy", "state-seconds": 70.0, "answer-ms": 0.31,
                          "share": 1.0, "restarts": 0, "failures": 0, "counted-at": [],
                          "rates": {{"to-right-bits-per-second": 2e6, "to-right-packets-per-second": 300.0,
                                     "to-left-bits-per-second": 1e3, "to-left-packets-per-second": 2.0, "sessions": 41}}}},
                        {{"name": "firewall.2", "namespace": "n", "container": false, "left": [], "right": [],
                          "management": [], "state": "failed", "reason": "ended\u001b[2J", "state-seconds": 3.0,
                          "share": 0.0, "restarts": 2, "failures": 1, "counted-at": []}}
                    ]
                }}],
                "hosts": [{{"name": "client", "network": "clients", "namespace": "n", "addresses": ["192.0.2.4"]}}],
                "policies": [{policies}]
            }}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[track_caller]
    fn in_order(text: &str, words: &[&str]) {
        let mut rest = text;
        for word in words {
            let (_, after) = rest
                .split_once(word)
                .unwrap_or_else(|| panic!("no {word:?} in its place in\n{text}"));
            rest = after;
        }
    }

    #[test]
    fn a_policy_is_drawn_from_its_source_to_its_destination() {
        let there = draw(&status(
            r#"{"from": "clients", "to": "servers", "through": ["firewall"]}"#,
        ));
        in_order(
            &there,
            &[
                "shop: up for",
                "clients  192.0.2.0/24  client 192.0.2.4",
                "firewall (in-network)",
                "firewall.1",
                "0.3 ms",
                "100 %",
                "41",
                "firewall.2",
                "restarts 2",
                "firewall.2: ended\\u{1b}[2J",
                "servers  198.51.100.0/24",
            ],
        );
        let back = draw(&status(
            r#"{"from": "servers", "to": "office", "through": ["firewall"]}"#,
        ));
        in_order(&back, &["servers", "firewall (", "clients", "│", "office"]);
    }

    #[test]
    fn a_service_that_no_policy_names_is_shown_all_the_same() {
        let text = draw(&status(
            r#"{"from": "clients", "to": "office", "through": []}"#,
        ));
        in_order(
            &text,
            &["clients", "│", "office", "no policy leads through firewall"],
        );
    }
}
