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
