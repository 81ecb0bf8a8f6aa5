//! Pages of sessions, the greatest of them, and closing those that match.
//!
//! # Limits
//! A page that few sessions match looks at all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::page::Page;
use super::selection::{Selection, flows, traffic};
use super::{Control, FilterError};
use crate::clock::Timestamp;
use crate::datapath::Generation;
use crate::session::Slot;
use crate::view::{self, SessionOrder};

/// Sessions that are withdrawn before their worker is told.
const CLEARED_AT_ONCE: usize = 1_024;

impl Control {
    /// A page in the order of the table, or the first by another; `Err` says what is wrong with the filter.
    pub fn sessions(&self, query: &view::SessionQuery) -> Result<view::SessionPage, FilterError> {
        self.look(|generations| self.page(query, generations))
    }

    fn page(
        &self,
        query: &view::SessionQuery,
        generations: &[Arc<Generation>],
    ) -> Result<view::SessionPage, FilterError> {
        let table = &self.0.shared.table;
        let page = Page::of(query.cursor.as_deref(), query.limit)?;
        let selection = Selection::of(
            &query.which,
            generations,
            &self.0.shared.applications,
            &self.0.shared.hosts,
        )?;
        let matches_from = |first| {
            selection.matches(table, first).filter(|(slot, _)| {
                query
                    .which
                    .offloaded
                    .is_none_or(|wanted| wanted == self.is_offloaded(*slot))
            })
        };
        if query.offset.is_some() && (query.cursor.is_some() || query.sort.is_some()) {
            return Err(FilterError {
                parameter: "offset",
                problem:
                    "it is from the table's beginning: neither 'cursor' nor 'sort' goes with it"
                        .into(),
            });
        }
        let offset = query.offset.unwrap_or(0) as usize;
        let matches = matches_from(page.first);
        let (found, next) = match query.sort {
            None => page.cut(matches.skip(offset).map(|(slot, id)| (slot.0, (slot, id)))),
            Some(_) if query.cursor.is_some() => {
                return Err(FilterError {
                    parameter: "cursor",
                    problem: "what is sorted has no pages, for it changes all the time".into(),
                });
            }
            Some(order) => (self.first_by(order, matches, page.limit), None),
        };
        let now = Timestamp::now();
        let shown = found.into_iter().filter_map(|(slot, id)| {
            let shown = table.snapshot(slot, |record| {
                // It may have ended since, and another begun.
                let is_same = record.id.load(Relaxed) == id;
                is_same.then(|| self.session_view(slot, generations, now))
            });
            shown??
        });
        Ok(view::SessionPage {
            sessions: shown.collect(),
            total: table.live(),
            matching: query
                .count
                .unwrap_or(false)
                .then(|| matches_from(0).count() as u64),
            capacity: u64::from(table.capacity()),
            next,
        })
    }

    /// Closes all sessions that match: their next packets find none, and whether they may open
    /// another is for the policies. Of two who clear at the same time each counts what it closed itself.
    pub fn clear(&self, filter: &view::SessionFilter) -> Result<view::Cleared, FilterError> {
        let mut cleared = 0;
        self.look(|generations| {
            cleared += self.clear_known(filter, generations)?;
            Ok::<_, FilterError>(())
        })?;
        Ok(view::Cleared { cleared })
    }

    fn clear_known(
        &self,
        filter: &view::SessionFilter,
        generations: &[Arc<Generation>],
    ) -> Result<u64, FilterError> {
        let shared = &self.0.shared;
        let selection = Selection::of(filter, generations, &shared.applications, &shared.hosts)?;
        let mut of_workers = vec![Vec::new(); shared.workers.len()];
        let mut cleared = 0;
        for (slot, id) in selection.matches(&shared.table, 0) {
            if filter
                .offloaded
                .is_some_and(|wanted| wanted != self.is_offloaded(slot))
            {
                continue;
            }
            let [forward, _] = flows(slot);
            let worker = usize::from(shared.table.flow(forward).worker.load(Relaxed));
            if !shared.table.withdraw(slot, id) {
                continue;
            }
            cleared += 1;
            if let Some(sessions) = of_workers.get_mut(worker) {
                sessions.push((slot, id));
                if sessions.len() == CLEARED_AT_ONCE {
                    shared.close_cleared(worker, sessions);
                }
            }
        }
        for (worker, sessions) in of_workers.iter_mut().enumerate() {
            if !sessions.is_empty() {
                shared.close_cleared(worker, sessions);
            }
        }
        Ok(cleared)
    }

    /// In memory for as many as are asked for.
    fn first_by(
        &self,
        order: SessionOrder,
        sessions: impl Iterator<Item = (Slot, u64)>,
        limit: usize,
    ) -> Vec<(Slot, u64)> {
        let table = &self.0.shared.table;
        let rank = |slot| match order {
            SessionOrder::Bytes => traffic(table, slot).bytes,
            SessionOrder::Packets => traffic(table, slot).packets,
            SessionOrder::Age => u64::MAX - table.session(slot).created.load(Relaxed),
        };
        first_by(sessions.map(|(slot, id)| (rank(slot), (slot, id))), limit)
    }
}

/// The items of the highest ranks, highest first.
fn first_by<T: Ord>(ranked: impl Iterator<Item = (u64, T)>, limit: usize) -> Vec<T> {
    let mut first = BinaryHeap::with_capacity(limit + 1);
    for ranked in ranked {
        first.push(Reverse(ranked));
        if first.len() > limit {
            first.pop();
        }
    }
    let sorted = first.into_sorted_vec();
    sorted.into_iter().map(|Reverse((_, item))| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_come_first_and_no_more_than_asked_for() {
        let ranked = |ranks: &[u64]| ranks.iter().map(|rank| (*rank, *rank)).collect::<Vec<_>>();
        let first = |ranks: &[u64], limit| first_by(ranked(ranks).into_iter(), limit);
        assert_eq!(first(&[3, 9, 1, 7, 9, 2], 3), [9, 9, 7]);
        assert_eq!(first(&[3, 9], 3), [9, 3]);
        assert_eq!(first(&[], 3), Vec::<u64>::new());
    }
}
