//! How sessions fit on a terminal.
//!
//! Three layouts, and the first that fits is taken: one line a session with all there is to say;
//! the same without zones and applications, in short words; and, where two IPv6 addresses leave no
//! room, a line of facts with the two ends beneath it. Addresses are never cut. Translated ends
//! stand under the ends that they replace (`↳`), and only where they differ. Counters of a direction
//! that the kernel forwards by itself are marked (`»`); under the others stands why it does not.

use firewall::view::{Endpoint, Offload, SessionPage, SessionView, Traffic};

use super::grid::{Cell, Column, Grid, left, right};
use super::units;
use crate::terminal::printable;

pub(crate) fn table(page: &SessionPage, width: Option<usize>) -> Vec<String> {
    let mut lines = body(&page.sessions, width);
    let SessionPage {
        total, capacity, ..
    } = page;
    lines.push(match (page.sessions.len(), total) {
        (0, 0) => "no sessions".to_owned(),
        (0, _) => format!("no sessions match; {total} in the table, room for {capacity}"),
        (shown, _) => {
            format!("{shown} shown; {total} in the table, room for {capacity}; » offloaded")
        }
    });
    if let Some(cursor) = &page.next {
        lines.push(format!(
            "more with --all, or --cursor {}",
            printable(cursor)
        ));
    }
    lines
}

fn body(sessions: &[SessionView], width: Option<usize>) -> Vec<String> {
    if sessions.is_empty() {
        return Vec::new();
    }
    let fits = |grid: &Grid| width.is_none_or(|width| grid.natural_width() <= width);
    for detail in [Detail::FULL, Detail::tight(12), Detail::tight(8)] {
        let grid = one_line(sessions, detail);
        if fits(&grid) {
            return grid.lines(None);
        }
    }
    stacked(sessions, width)
}

/// How much is said of each session.
#[derive(Clone, Copy, Debug)]
struct Detail {
    /// Application, zones, and whole words.
    full: bool,
    /// Why a direction is not offloaded stands beneath its counters.
    reasons: bool,
    policy_max_chars: usize,
}

impl Detail {
    const FULL: Self = Self {
        full: true,
        reasons: true,
        policy_max_chars: usize::MAX,
    };

    fn tight(policy_max_chars: usize) -> Self {
        Self {
            full: false,
            reasons: true,
            policy_max_chars,
        }
    }

    /// The same on a single line.
    fn without_reasons(self) -> Self {
        Self {
            reasons: false,
            ..self
        }
    }
}

/// Both ends in the row, between what the session is and how it is doing.
fn one_line(sessions: &[SessionView], detail: Detail) -> Grid {
    let mut columns = facts_before(detail);
    columns.extend([left("INITIATOR"), left("→ RESPONDER")]);
    if detail.full {
        columns.push(left("ZONES"));
    }
    columns.extend(facts_after(detail));
    let mut grid = Grid::new(columns);
    for session in sessions {
        let mut cells = cells_before(session, detail);
        cells.extend(ends(session));
        if detail.full {
            cells.push(format!("{}→{}", session.from_zone, session.to_zone).into());
        }
        cells.extend(cells_after(session, detail));
        grid.row(cells);
    }
    grid
}

/// One line of facts for each session, and the ends beneath it.
fn stacked(sessions: &[SessionView], width: Option<usize>) -> Vec<String> {
    const INDENT: usize = 4;

    let tight = |policy_max_chars| Detail::tight(policy_max_chars).without_reasons();
    let mut facts = facts(sessions, tight(24));
    for policy_max_chars in [16, 8] {
        if width.is_some_and(|width| facts.natural_width() > width) {
            facts = self::facts(sessions, tight(policy_max_chars));
        }
    }
    let mut facts = facts.lines(None).into_iter();
    let mut lines: Vec<String> = facts.next().into_iter().collect();
    for (facts, session) in facts.zip(sessions) {
        lines.push(facts);
        let room = width.map(|width| width.saturating_sub(INDENT));
        let ends = conversation(
            "",
            session.initiator,
            session.responder,
            &session.protocol,
            room,
        );
        lines.extend(ends.iter().map(|line| format!("{:INDENT$}{line}", "")));
        if is_translated(session) {
            let (initiator, responder) =
                (session.translated_initiator, session.translated_responder);
            let ends = conversation("↳ ", initiator, responder, &session.protocol, room);
            lines.extend(ends.iter().map(|line| format!("{:INDENT$}{line}", "")));
        }
        lines.extend(reasons(session).map(|line| format!("{:INDENT$}{line}", "")));
    }
    // Only a number that no table has, on a terminal that nobody uses, is still too wide.
    lines
        .into_iter()
        .map(|line| line.chars().take(width.unwrap_or(usize::MAX)).collect())
        .collect()
}

fn facts(sessions: &[SessionView], detail: Detail) -> Grid {
    let mut grid = Grid::new(facts_before(detail).into_iter().chain(facts_after(detail)));
    for session in sessions {
        grid.row(
            cells_before(session, detail)
                .into_iter()
                .chain(cells_after(session, detail)),
        );
    }
    grid
}

fn facts_before(detail: Detail) -> Vec<Column> {
    let mut columns = vec![right("ID"), left("PROTO"), left("STATE")];
    if detail.full {
        columns.push(left("APP"));
    }
    columns
}

fn cells_before(session: &SessionView, detail: Detail) -> Vec<Cell> {
    let state = session.tcp_state.as_deref();
    let mut cells: Vec<Cell> = vec![
        session.id.into(),
        session.protocol.as_str().into(),
        if detail.full { state } else { state.map(short) }.into(),
    ];
    if detail.full {
        cells.push(session.application.as_deref().into());
    }
    cells
}

fn facts_after(detail: Detail) -> Vec<Column> {
    let (sent, answered) = if detail.full {
        ("→ PKTS/BYTES", "← PKTS/BYTES")
    } else {
        ("→ PKTS/B", "← PKTS/B")
    };
    vec![
        left("POLICY"),
        right(sent),
        right(answered),
        right("AGE"),
        right("EXPIRES"),
    ]
}

/// A direction's counters, marked where the kernel forwards it by itself; beneath them, why not.
fn counters(traffic: Traffic, offload: Offload, detail: Detail) -> Cell {
    let counted = units::traffic(traffic);
    match offload {
        Offload::Offloaded => Cell::from(vec![format!("»{counted}")]),
        why if detail.reasons => Cell::from(vec![counted, why.name().to_owned()]),
        _ => Cell::from(vec![counted]),
    }
}

/// A line for each direction that is not offloaded.
fn reasons(session: &SessionView) -> impl Iterator<Item = String> {
    let directions = [
        ("→", session.offload.from_initiator),
        ("←", session.offload.from_responder),
    ];
    directions
        .into_iter()
        .filter(|(_, offload)| *offload != Offload::Offloaded)
        .map(|(arrow, why)| format!("{arrow} not offloaded: {}", why.name()))
}

fn cells_after(session: &SessionView, detail: Detail) -> Vec<Cell> {
    vec![
        session
            .policy
            .as_deref()
            .map(|policy| cut(policy, detail.policy_max_chars))
            .into(),
        counters(
            session.from_initiator,
            session.offload.from_initiator,
            detail,
        ),
        counters(
            session.from_responder,
            session.offload.from_responder,
            detail,
        ),
        units::duration(session.age_seconds).into(),
        units::duration(session.expires_seconds).into(),
    ]
}

/// The two cells of the ends, each with its translation beneath.
fn ends(session: &SessionView) -> [Cell; 2] {
    let end = |as_sent: Endpoint, translated: Endpoint, arrow: &str| {
        let mut lines = vec![format!(
            "{arrow}{}",
            units::endpoint(as_sent, &session.protocol)
        )];
        if as_sent != translated {
            lines.push(format!(
                "↳ {}",
                units::endpoint(translated, &session.protocol)
            ));
        }
        Cell::from(lines)
    };
    [
        end(session.initiator, session.translated_initiator, ""),
        end(session.responder, session.translated_responder, "→ "),
    ]
}

/// `initiator → responder`, on two lines where there is no room for one.
fn conversation(
    mark: &str,
    initiator: Endpoint,
    responder: Endpoint,
    protocol: &str,
    room: Option<usize>,
) -> Vec<String> {
    let initiator = format!("{mark}{}", units::endpoint(initiator, protocol));
    let responder = format!("→ {}", units::endpoint(responder, protocol));
    let line = format!("{initiator} {responder}");
    if room.is_none_or(|room| line.chars().count() <= room) {
        vec![line]
    } else {
        vec![initiator, responder]
    }
}

fn is_translated(session: &SessionView) -> bool {
    session.initiator != session.translated_initiator
        || session.responder != session.translated_responder
}

/// The states that take more room than they tell.
fn short(state: &str) -> &str {
    match state {
        "established" => "estab",
        "syn-received" => "syn-rcvd",
        _ => state,
    }
}

fn cut(text: &str, max: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= max {
        return text;
    }
    text.chars()
        .take(max.saturating_sub(1))
        .chain(['…'])
        .collect()
}

#[cfg(test)]
mod tests {
    use web_ui::fake::Fake;

    use super::*;

    fn end(address: &str, port: u16) -> Endpoint {
        Endpoint {
            address: address.parse().unwrap(),
            port,
        }
    }

    fn page(sessions: Vec<SessionView>) -> SessionPage {
        SessionPage {
            total: sessions.len() as u64,
            sessions,
            matching: None,
            capacity: 65_536,
            next: None,
        }
    }

    /// The longest addresses there are, translated at both ends.
    fn longest() -> SessionView {
        SessionView {
            initiator: end("2001:db8:1234:5678:9abc:def0:1234:5678", 65_535),
            responder: end("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65_535),
            translated_initiator: end("2001:db8:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa", 65_535),
            translated_responder: end("2001:db8:bbbb:bbbb:bbbb:bbbb:bbbb:bbbb", 65_535),
            policy: Some("a-policy-whose-name-says-everything-about-it".into()),
            ..Fake::running().sessions.remove(0)
        }
    }

    fn assert_fits(lines: &[String], width: usize) {
        for line in lines {
            assert!(
                line.chars().count() <= width,
                "{width} columns:\n{}",
                lines.join("\n")
            );
        }
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let mixed = Fake::running()
            .sessions
            .into_iter()
            .chain([longest()])
            .collect();
        for sessions in [Fake::running().sessions, vec![longest()], mixed] {
            for width in [80, 100, 120, 160] {
                assert_fits(&table(&page(sessions.clone()), Some(width)), width);
            }
        }
    }

    #[test]
    fn addresses_are_never_cut() {
        for width in [Some(80), Some(100), Some(160), None] {
            let text = table(&page(vec![longest()]), width).join("\n");
            for end in all_ends(&longest()) {
                assert!(text.contains(&end), "{text}");
            }
        }
    }

    fn all_ends(session: &SessionView) -> [String; 4] {
        let ends = [
            session.initiator,
            session.responder,
            session.translated_initiator,
            session.translated_responder,
        ];
        ends.map(|end| units::endpoint(end, &session.protocol))
    }

    #[test]
    #[rustfmt::skip]
    fn at_120_columns_a_session_takes_one_line_and_one_more_where_it_is_translated() {
        let mut sessions = Fake::running().sessions;
        for session in &mut sessions {
            session.offload.from_responder = Offload::Offloaded;
        }
        let expected = [
            "  ID  PROTO   STATE     INITIATOR               → RESPONDER             POLICY      → PKTS/B    ← PKTS/B    AGE  EXPIRES",
            "1017  tcp     estab     192.0.2.10:51234        → 203.0.113.80:443      web-out   »1.2k/96kB  »8.4k/12MB  2m13s    1h59m",
            "                        ↳ 198.51.100.1:40001",
            "1018  tcp     syn-rcvd  203.0.113.7:33001       → 198.51.100.1:443      publish…      »1/60B      »1/60B     1s      29s",
            "                                                ↳ 192.0.2.10:8443",
            "1019  tcp     estab     [2001:db8:1::10]:51300  → [2001:db8:2::53]:443  web-out   »18M/1.3GB   »41M/58GB  1d01h    1h59m",
            "1020  udp     -         192.0.2.11:5353         → 203.0.113.53:53       web-out       »1/71B     »1/188B     4s      26s",
            "                        ↳ 198.51.100.1:40002",
            "1021  icmpv6  -         2001:db8:2::99 id 17    → 2001:db8:2::1 id 17   -             »1/71B     »1/188B     4s      26s",
            "5 shown; 5 in the table, room for 65536; » offloaded",
        ];
        assert_eq!(table(&page(sessions), Some(120)), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn at_80_columns_the_ends_stand_beneath_the_facts() {
        let expected = [
            "  ID  PROTO   STATE     POLICY              → PKTS/B    ← PKTS/B    AGE  EXPIRES",
            "1017  tcp     estab     web-out           »1.2k/96kB  »8.4k/12MB  2m13s    1h59m",
            "    192.0.2.10:51234 → 203.0.113.80:443",
            "    ↳ 198.51.100.1:40001 → 203.0.113.80:443",
            "1018  tcp     syn-rcvd  publish-the-shop      »1/60B      »1/60B     1s      29s",
            "    203.0.113.7:33001 → 198.51.100.1:443",
            "    ↳ 203.0.113.7:33001 → 192.0.2.10:8443",
            "1019  tcp     estab     web-out           »18M/1.3GB   »41M/58GB  1d01h    1h59m",
            "    [2001:db8:1::10]:51300 → [2001:db8:2::53]:443",
            "1020  udp     -         web-out               »1/71B      1/188B     4s      26s",
            "    192.0.2.11:5353 → 203.0.113.53:53",
            "    ↳ 198.51.100.1:40002 → 203.0.113.53:53",
            "    ← not offloaded: no-neighbour",
            "1021  icmpv6  -         -                     »1/71B     »1/188B     4s      26s",
            "    2001:db8:2::99 id 17 → 2001:db8:2::1 id 17",
            "5 shown; 5 in the table, room for 65536; » offloaded",
        ];
        assert_eq!(table(&page(Fake::running().sessions), Some(80)), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn at_160_columns_zones_and_applications_are_shown() {
        let expected = [
            "  ID  PROTO   STATE         APP    INITIATOR               → RESPONDER             ZONES          POLICY            → PKTS/BYTES  ← PKTS/BYTES    AGE  EXPIRES",
            "1017  tcp     established   https  192.0.2.10:51234        → 203.0.113.80:443      trust→untrust  web-out             »1.2k/96kB    »8.4k/12MB  2m13s    1h59m",
            "                                   ↳ 198.51.100.1:40001",
            "1018  tcp     syn-received  https  203.0.113.7:33001       → 198.51.100.1:443      untrust→trust  publish-the-shop        »1/60B        »1/60B     1s      29s",
            "                                                           ↳ 192.0.2.10:8443",
            "1019  tcp     established   https  [2001:db8:1::10]:51300  → [2001:db8:2::53]:443  trust→untrust  web-out             »18M/1.3GB     »41M/58GB  1d01h    1h59m",
            "1020  udp     -             dns    192.0.2.11:5353         → 203.0.113.53:53       trust→untrust  web-out                 »1/71B        1/188B     4s      26s",
            "                                   ↳ 198.51.100.1:40002                                                                           no-neighbour",
            "1021  icmpv6  -             ping   2001:db8:2::99 id 17    → 2001:db8:2::1 id 17   untrust→host   -                       »1/71B       »1/188B     4s      26s",
            "5 shown; 5 in the table, room for 65536; » offloaded",
        ];
        assert_eq!(table(&page(Fake::running().sessions), Some(160)), expected);
    }

    #[test]
    fn a_hostile_name_takes_its_cell_and_no_more() {
        let mut session = Fake::running().sessions.remove(0);
        session.policy = Some("a\x1b[2J\nfake 1 tcp".into());
        for width in [Some(80), Some(160), None] {
            let lines = table(&page(vec![session.clone()]), width);
            assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
        }
    }

    #[test]
    fn an_empty_page_says_whether_the_table_is_empty() {
        let empty = |total| SessionPage {
            total,
            ..page(Vec::new())
        };
        assert_eq!(table(&empty(0), Some(80)), ["no sessions"]);
        assert_eq!(
            table(&empty(3), Some(80)),
            ["no sessions match; 3 in the table, room for 65536"]
        );
    }
}
