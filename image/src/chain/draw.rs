//! A chain as a picture in letters: each policy from its source down to its destination.

use std::fmt::Write;

use super::document::{Kind, Mode};
use super::status::{InstanceStatus, Phase, Rates, ServiceStatus, State, Status};
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
        network(out, status, &policy.from);
        for name in &policy.through {
            match status.services.iter().find(|service| service.name == *name) {
                Some(found) => service(out, found),
                None => continue,
            }
            let next = status.services.iter().find(|service| service.name == *name);
            if let Some(between) = next.map(|service| &service.right)
                && *between != policy.to
            {
                network(out, status, between);
            }
        }
        if policy.through.is_empty() {
            out.push_str("   │\n");
        }
        network(out, status, &policy.to);
    }
    idle(out, status);
    text
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
