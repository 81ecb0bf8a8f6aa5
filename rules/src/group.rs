//! Names that stand for other names: an order in which every member comes before its group.

use std::collections::HashMap;

use crate::{Findings, Named, Place};

/// Positions in `document` such that members precede the groups that name them. A reference that
/// closes a cycle is reported, once, and then ignored.
///
/// Iterative, because a configuration chooses how deep its groups nest.
pub(crate) fn members_first<'a, T, R>(
    document: &'a Named<T>,
    what: &str,
    references: impl Fn(&'a T) -> R,
    findings: &mut Findings,
) -> Vec<usize>
where
    R: Iterator<Item = (&'a str, Place)>,
{
    let positions: HashMap<&str, usize> = document
        .iter()
        .enumerate()
        .map(|(position, (name, _))| (name.value.as_str(), position))
        .collect();
    let mut order = Vec::with_capacity(document.len());
    let mut state = vec![State::Unseen; document.len()];
    for root in 0..document.len() {
        if state[root] != State::Unseen {
            continue;
        }
        state[root] = State::Open;
        let mut path = vec![(root, references(&document.0[root].1))];
        while let Some((group, members)) = path.last_mut() {
            let Some((member, place)) = members.next() else {
                state[*group] = State::Done;
                order.push(*group);
                path.pop();
                continue;
            };
            let Some(&position) = positions.get(member) else {
                continue;
            };
            match state[position] {
                State::Unseen => {
                    state[position] = State::Open;
                    path.push((position, references(&document.0[position].1)));
                }
                State::Open => {
                    let names = path
                        .iter()
                        .map(|(group, _)| document.0[*group].0.value.as_str());
                    let mut cycle: Vec<&str> = names.skip_while(|name| *name != member).collect();
                    cycle.push(member);
                    findings.error(
                        place,
                        format!("{what} '{member}' contains itself: {}", cycle.join(" → ")),
                    );
                }
                State::Done => {}
            }
        }
    }
    order
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unseen,
    /// On the path that is being walked.
    Open,
    Done,
}
