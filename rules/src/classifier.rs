//! Which policy comes first, among 100,000, without asking them one by one.
//!
//! # How
//! A policy is a product of sets: zones, sources, destinations, and protocols with ports. It
//! becomes one [`Row`], or a few where its terms differ in their source ports; never the product
//! itself, which for 1,000 sources, 1,000 destinations and 50 ports would be 50 million entries.
//! Each dimension finds, by binary search, the set of rows that a packet's value satisfies
//! ([`dimension`]); the rows in all six sets match, and the sets are trees of words ([`bitmap`]), so
//! that whole blocks are ruled out by one AND. Rows are numbered by shape first, which is the
//! dimensions that they leave open, and by policy then: `any` in one dimension costs nothing there
//! and does not dilute what the others say. The first row of each shape is the shape's answer, the
//! smallest of them the classifier's.
//!
//! A policy that was found is asked itself before it counts. It has to say which of its
//! applications matched anyway, and so this index can only ever hide a policy, never match one
//! that does not; the tests look for hidden ones.
//!
//! # What must hold
//! For n rows, a lookup is six binary searches and at most n / 64 words in each dimension, 1,563
//! for 100,000; at most 64 shapes are looked at. Where a dimension ran out of memory ([`BUDGET`]),
//! it may also ask policies that do not match, at most n.
//!
//! # Why not…
//! TupleMerge (Daly et al., 2019) hashes prefixes of a length, so sets of ranges would have to be
//! multiplied out. Decision trees (HiCuts to NeuroCuts) copy rules into leaves, and wide rules into
//! most of them. Bit vectors as in Baboescu and Varghese, 2001, have neither fault, but cost rules ×
//! intervals of memory and find that `any` sets most summary bits; hence the shared trees and the
//! shapes.
//!
//! # Limits
//! Source and destination are of one family: a tuple that mixes them matches nothing.

mod bitmap;
mod dimension;
mod service;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub(crate) use dimension::{Ranges, Value};
pub(crate) use service::{EVERYTHING, Service, packet_of, protocol_keys, services};
use table::{Key, Row, Table};

use crate::Question;
use crate::policy::Conditions;

/// Bytes of sets of rows in each dimension, past which it gets coarser.
const BUDGET: usize = 256 << 20;

/// All policies that are in force, ready to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Classifier {
    v4: Vec<Table<u32>>,
    v6: Vec<Table<u128>>,
}

impl Classifier {
    /// Policies in their order, each with its number.
    pub(crate) fn compile<'a>(policies: impl Iterator<Item = (u32, &'a Conditions)>) -> Self {
        Self::with_budget(policies, BUDGET)
    }

    fn with_budget<'a>(
        policies: impl Iterator<Item = (u32, &'a Conditions)>,
        budget: usize,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (number, conditions) in policies {
            push_rows(number, conditions, &mut v4, &mut v6);
        }
        Self {
            v4: Table::compile(&v4, budget),
            v6: Table::compile(&v6, budget),
        }
    }

    /// The first policy, of those before `below`, that the packet may match and that `accept` says
    /// it does.
    pub(crate) fn first<M>(
        &self,
        question: &Question,
        below: u32,
        accept: impl FnMut(u32) -> Option<M>,
    ) -> Option<(u32, M)> {
        let tuple = &question.tuple;
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let key = key(question, source.to_bits(), destination.to_bits());
                first(&self.v4, &key, below, accept)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let key = key(question, source.to_bits(), destination.to_bits());
                first(&self.v6, &key, below, accept)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let v4: usize = self.v4.iter().map(Table::bytes).sum();
        let v6: usize = self.v6.iter().map(Table::bytes).sum();
        v4 + v6
    }
}

fn key<T>(question: &Question, source: T, destination: T) -> Key<T> {
    Key {
        from: question.from.0.into(),
        to: question.to.0.into(),
        source,
        destination,
        service: service::key(&question.tuple, question.icmp),
        source_port: question.tuple.source_port.into(),
    }
}

/// Every policy of a table comes before those of the next, but for one whose rows are in both.
fn first<T: Value, M>(
    tables: &[Table<T>],
    key: &Key<T>,
    below: u32,
    mut accept: impl FnMut(u32) -> Option<M>,
) -> Option<(u32, M)> {
    tables
        .iter()
        .find_map(|table| table.first(key, below, &mut accept))
}

/// The rows of a policy, in the families that it can match.
fn push_rows(
    policy: u32,
    conditions: &Conditions,
    v4: &mut Vec<Row<u32>>,
    v6: &mut Vec<Row<u128>>,
) {
    let (from, to) = (conditions.from.ranges(), conditions.to.ranges());
    let services: Vec<_> = match &conditions.applications {
        None => vec![(None, None)],
        Some(applications) => {
            let terms = applications
                .iter()
                .flat_map(|application| &application.terms);
            let services = service::services(terms).into_iter();
            services
                .map(|service| (Some(service.keys), service.source_ports))
                .collect()
        }
    };
    for (service, source_port) in services {
        let (source, destination) = (&conditions.source, &conditions.destination);
        if source.has_v4() && destination.has_v4() {
            v4.push(Row {
                policy,
                from: from.clone(),
                to: to.clone(),
                source: narrow(source.v4()),
                destination: narrow(destination.v4()),
                service: service.clone(),
                source_port: source_port.clone(),
            });
        }
        if source.has_v6() && destination.has_v6() {
            v6.push(Row {
                policy,
                from: from.clone(),
                to: to.clone(),
                source: narrow(source.v6()),
                destination: narrow(destination.v6()),
                service,
                source_port,
            });
        }
    }
}

/// `None` if it is every value.
fn narrow<T: Value>(ranges: &Ranges<T>) -> Option<Ranges<T>> {
    let whole =
        matches!(**ranges, [(first, last)] if first == T::default() && last.next().is_none());
    (!whole).then(|| ranges.clone())
}
