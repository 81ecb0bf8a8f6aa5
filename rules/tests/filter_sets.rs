//! The classifier on filter sets of other people's making, against their filters one by one.

mod classbench;

use classbench::{Document, FAMILIES, Filter, any_packet, numbers, read};
use palisade_rules::{Action, PolicyId};

#[test]
fn every_family_and_size_is_decided_as_its_filters_say() {
    // Default, permit, deny.
    let mut reached = [0u32; 3];
    for family in FAMILIES {
        for size in ["1k", "10k"] {
            let name = format!("{family}_{size}");
            match read(&name) {
                Ok(mut filters) => {
                    // It takes everything, and would leave nothing to the default.
                    filters.pop();
                    decide(&name, &filters, &mut reached);
                }
                Err(reason) => eprintln!("SKIPPED {name}: {reason}"),
            }
        }
    }
    let skipped = reached == [0; 3];
    assert!(
        skipped || reached.iter().all(|&times| times > 500),
        "{reached:?}"
    );
}

#[test]
fn exactly_the_filters_that_one_before_them_covers_are_hidden() {
    let mut hidden_ones = 0;
    for family in FAMILIES {
        let name = format!("{family}_1k");
        let filters = match read(&name) {
            Ok(filters) => filters,
            Err(reason) => {
                eprintln!("SKIPPED {name}: {reason}");
                continue;
            }
        };
        let expected: Vec<usize> = (0..filters.len())
            .filter(|&later| {
                let mut earlier = filters[..later].iter();
                earlier.any(|earlier| covers(earlier, &filters[later]))
            })
            .collect();
        let findings = Document::of(&filters).check().into_sorted();
        let mut hidden: Vec<usize> = findings
            .iter()
            .filter_map(|finding| {
                let name = finding.message.strip_prefix("policy 'filter-")?;
                name.split_once("' can never match")?.0.parse().ok()
            })
            .collect();
        hidden.sort_unstable();
        assert_eq!(hidden, expected, "{name}");
        hidden_ones += hidden.len();
    }
    eprintln!("{hidden_ones} filters are hidden");
}

/// Whether one filter matches every packet that the other matches.
fn covers(whole: &Filter, part: &Filter) -> bool {
    let within = |whole: (u16, u16), part: (u16, u16)| whole.0 <= part.0 && part.1 <= whole.1;
    let of_protocol = whole.protocol.is_none()
        || whole.protocol == part.protocol
            && within(whole.source_ports, part.source_ports)
            && within(whole.destination_ports, part.destination_ports)
            && (whole.icmp_type.is_none() || whole.icmp_type == part.icmp_type);
    whole.source.contains(&part.source)
        && whole.destination.contains(&part.destination)
        && of_protocol
}

fn decide(name: &str, filters: &[Filter], reached: &mut [u32; 3]) {
    let (rules, findings) = Document::of(filters).compile();
    assert!(!findings.has_errors(), "{name}: {findings:?}");
    let mut draw = numbers(7);
    for round in 0..2_000 {
        let filter = &filters[(draw() % filters.len() as u64) as usize];
        let question = match round % 2 {
            0 => any_packet(&mut draw),
            _ => filter.packet(&mut draw),
        };
        let first = filters.iter().position(|filter| filter.matches(&question));
        let expected = first.map(|number| PolicyId(number as u32));
        let decision = rules.classify(&question);
        assert_eq!(decision.policy, expected, "{name}: {question:?}");
        let which = match (decision.policy, decision.action) {
            (None, _) => 0,
            (Some(_), Action::Permit) => 1,
            (Some(_), Action::Deny | Action::Reject) => 2,
        };
        reached[which] += 1;
    }
}
