//! Which application a session is, among all of them, without asking each.

use std::collections::HashMap;

use std::sync::Arc;

use crate::application::Application;
use crate::quantity::PortRange;
use crate::{IcmpType, Protocol, Tuple};

/// The first of a list of applications that matches, found by protocol and destination port.
///
/// Every port knows the applications that might match there, in order, up to the first that does so
/// whatever else the packet says: usually that is all there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    by_protocol: HashMap<Protocol, Spans>,
}

/// Ports cut where an application begins or ends.
#[derive(Clone, Debug)]
struct Spans {
    /// Ascending, from 0 on.
    starts: Vec<u16>,
    /// By span: positions in the list of applications.
    candidates: Vec<Vec<u32>>,
}

impl Naming {
    pub(crate) fn new(applications: &[Arc<Application>]) -> Self {
        let mut starts: HashMap<Protocol, Vec<u16>> = HashMap::new();
        for term in applications
            .iter()
            .flat_map(|application| &application.terms)
        {
            let starts = starts.entry(term.protocol).or_insert_with(|| vec![0]);
            for range in &term.destination_ports {
                starts.push(range.first);
                starts.extend(range.last.checked_add(1));
            }
        }
        let mut building: HashMap<_, _> = starts
            .into_iter()
            .map(|(protocol, starts)| (protocol, Building::new(starts)))
            .collect();
        for (number, application) in (0..).zip(applications) {
            for term in &application.terms {
                let Some(spans) = building.get_mut(&term.protocol) else {
                    continue;
                };
                let is_certain = term.source_ports.is_empty() && term.icmp_type.is_none();
                let all = [PortRange::ALL];
                let ranges = match &term.destination_ports[..] {
                    [] => &all[..],
                    ranges => ranges,
                };
                for range in ranges {
                    spans.add(*range, number, is_certain);
                }
            }
        }
        let finished = building.into_iter();
        Self {
            by_protocol: finished
                .map(|(protocol, building)| (protocol, building.spans))
                .collect(),
        }
    }

    /// `applications` must be those that this was made of.
    pub(crate) fn first<'a>(
        &self,
        applications: &'a [Arc<Application>],
        tuple: &Tuple,
        icmp: Option<IcmpType>,
    ) -> Option<&'a Application> {
        let spans = self.by_protocol.get(&tuple.protocol)?;
        let after = spans
            .starts
            .partition_point(|start| *start <= tuple.destination_port);
        spans
            .candidates
            .get(after.checked_sub(1)?)?
            .iter()
            .filter_map(|number| applications.get(*number as usize))
            .find(|application| application.matching(tuple, icmp).is_some())
            .map(|found| &**found)
    }
}

/// Spans that applications are still added to, in their order.
struct Building {
    spans: Spans,
    /// By span, and one behind the last: the first from here on that another application can be added
    /// to, or a step towards it. Without such steps wide applications would cost every span each.
    open: Vec<usize>,
}

impl Building {
    fn new(mut starts: Vec<u16>) -> Self {
        starts.sort_unstable();
        starts.dedup();
        let count = starts.len();
        Self {
            spans: Spans {
                starts,
                candidates: vec![Vec::new(); count],
            },
            open: (0..=count).collect(),
        }
    }

    fn add(&mut self, range: PortRange, application: u32, is_certain: bool) {
        let mut span = self.next_open(
            self.spans
                .starts
                .partition_point(|start| *start < range.first),
        );
        while self
            .spans
            .starts
            .get(span)
            .is_some_and(|start| *start <= range.last)
        {
            let candidates = &mut self.spans.candidates[span];
            if candidates.last() != Some(&application) {
                candidates.push(application);
            }
            if is_certain {
                self.open[span] = span + 1;
            }
            span = self.next_open(span + 1);
        }
    }

    fn next_open(&mut self, from: usize) -> usize {
        let mut found = from.min(self.open.len() - 1);
        while self.open[found] != found {
            self.open[found] = self.open[self.open[found]];
            found = self.open[found];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::application::Term;

    fn terms() -> impl Strategy<Value = Term> {
        let ranges = prop::collection::vec(
            prop_oneof![
                (0u16..40, 0u16..10).prop_map(|(first, more)| PortRange {
                    first,
                    last: first + more
                }),
                (65_500u16..=65_535).prop_map(|first| PortRange {
                    first,
                    last: u16::MAX
                }),
            ],
            0..3,
        );
        let sources = prop::option::weighted(0.3, 0u16..3);
        let protocol = prop::sample::select(vec![Protocol::TCP, Protocol::UDP, Protocol::ICMP]);
        (protocol, ranges, sources).prop_map(|(protocol, ranges, source)| Term {
            protocol,
            source_ports: source.map(PortRange::one).into_iter().collect(),
            destination_ports: ranges.into(),
            icmp_type: source
                .filter(|_| protocol == Protocol::ICMP)
                .map(|kind| kind as u8),
            icmp_code: None,
            idle_timeout: None,
        })
    }

    proptest! {
        #[test]
        fn the_first_that_matches_is_found(
            terms in prop::collection::vec(prop::collection::vec(terms(), 1..4), 0..12),
        ) {
            let applications: Vec<_> = (0..)
                .zip(terms)
                .map(|(number, terms): (u32, _)| Arc::new(Application { name: number.to_string(), terms }))
                .collect();
            let naming = Naming::new(&applications);
            for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::GRE] {
                for port in (0..60).chain(65_490..=65_535) {
                    for source_port in 0..3 {
                        let tuple = Tuple {
                            source: [192, 0, 2, 1].into(),
                            destination: [192, 0, 2, 2].into(),
                            protocol,
                            source_port,
                            destination_port: port,
                        };
                        let icmp = Some(IcmpType { kind: source_port as u8, code: 0 });
                        let expected = applications
                            .iter()
                            .find(|application| application.matching(&tuple, icmp).is_some());
                        let found = naming.first(&applications, &tuple, icmp);
                        prop_assert_eq!(found, expected.map(|found| &**found));
                    }
                }
            }
        }
    }
}
