//! Which instance a share of the flows goes through.
//!
//! The kernel hashes each flow, alike for both of its directions, into one of [`SLOTS`] slots. Each slot has a home:
//! the instance that has it while all are well. When an instance fails, its slots alone go to others; when it is
//! back, each of its own returns to it once nothing has come through that slot for a while. So no session of an
//! instance that works ever changes its instance.

/// Enough for an even share of a few instances; each is an object of the kernel's.
pub(super) const SLOTS: usize = 64;
pub(super) const MAX_INSTANCES: usize = 32;

/// A slot goes to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) slot: usize,
    pub(super) to: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Slots {
    owners: [usize; SLOTS],
    healthy: Vec<bool>,
}

impl Slots {
    /// All at home.
    pub(super) fn new(instances: usize) -> Self {
        let instances = instances.max(1);
        Self {
            owners: std::array::from_fn(|slot| slot % instances),
            healthy: vec![true; instances],
        }
    }

    pub(super) fn owners(&self) -> &[usize; SLOTS] {
        &self.owners
    }

    /// How many an instance has.
    pub(super) fn of(&self, instance: usize) -> usize {
        self.owners
            .iter()
            .filter(|&&owner| owner == instance)
            .count()
    }

    /// An instance fails: where its slots go. Where nobody is left they stay, and nothing passes.
    pub(super) fn fail(&mut self, instance: usize) -> Vec<Move> {
        self.healthy[instance] = false;
        let healthy = self.all_healthy();
        let orphans = (0..SLOTS).filter(|&slot| self.owners[slot] == instance);
        let moves = orphans
            .enumerate()
            .filter_map(|(number, slot)| {
                let home = self.home(slot);
                let to = if self.healthy[home] {
                    home
                } else {
                    *healthy.get(number % healthy.len().max(1))?
                };
                Some(Move { slot, to })
            })
            .collect();
        self.apply(moves)
    }

    /// An instance is back: what it gets at once, because nobody who works has it.
    pub(super) fn recover(&mut self, instance: usize) -> Vec<Move> {
        self.healthy[instance] = true;
        let moves = (0..SLOTS)
            .filter(|&slot| !self.healthy[self.owners[slot]])
            .map(|slot| Move { slot, to: instance })
            .collect();
        self.apply(moves)
    }

    /// Slots that are to go home as soon as they are silent.
    pub(super) fn away(&self) -> Vec<usize> {
        (0..SLOTS)
            .filter(|&slot| self.owners[slot] != self.home(slot) && self.healthy[self.home(slot)])
            .collect()
    }

    /// Of those `away`, the ones that are silent.
    pub(super) fn send_home(&mut self, silent: &[usize]) -> Vec<Move> {
        let away = self.away();
        let moves = away
            .into_iter()
            .filter(|slot| silent.contains(slot))
            .map(|slot| Move {
                slot,
                to: self.home(slot),
            })
            .collect();
        self.apply(moves)
    }

    fn home(&self, slot: usize) -> usize {
        slot % self.healthy.len()
    }

    fn all_healthy(&self) -> Vec<usize> {
        (0..self.healthy.len())
            .filter(|&instance| self.healthy[instance])
            .collect()
    }

    fn apply(&mut self, moves: Vec<Move>) -> Vec<Move> {
        for step in &moves {
            self.owners[step.slot] = step.to;
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_slots_of_the_failed_one_move_and_to_all_others() {
        let mut slots = Slots::new(4);
        let before = *slots.owners();
        let moves = slots.fail(1);
        assert_eq!(moves.len(), 16);
        for (slot, owner) in before.into_iter().enumerate() {
            assert_eq!(owner == 1, slots.owners()[slot] != owner, "{slot}");
        }
        for other in [0, 2, 3] {
            assert!((21..=22).contains(&slots.of(other)), "{}", slots.of(other));
        }
    }

    #[test]
    fn a_slot_goes_home_when_it_is_silent_and_not_before() {
        let mut slots = Slots::new(2);
        slots.fail(1);
        assert!(slots.away().is_empty());
        assert!(slots.recover(1).is_empty());
        let away = slots.away();
        assert_eq!(away.len(), 32);
        let moves = slots.send_home(&[away[0], 0]);
        assert_eq!(
            moves,
            [Move {
                slot: away[0],
                to: 1
            }]
        );
        assert_eq!((slots.of(0), slots.of(1)), (63, 1));
    }

    #[test]
    fn when_all_have_failed_the_first_that_returns_gets_everything() {
        let mut slots = Slots::new(3);
        slots.fail(0);
        slots.fail(2);
        assert_eq!(slots.fail(1), []);
        assert_eq!(slots.recover(2).len(), SLOTS);
        assert_eq!(slots.of(2), SLOTS);
    }

    #[test]
    fn what_a_substitute_had_goes_home_when_the_substitute_fails() {
        let mut slots = Slots::new(3);
        slots.fail(0);
        slots.recover(0);
        let lent = slots
            .away()
            .into_iter()
            .filter(|&slot| slots.owners()[slot] == 1)
            .count();
        let moves = slots.fail(1);
        assert!(moves.iter().filter(|step| step.to == 0).count() >= lent);
        assert_eq!(slots.of(1), 0);
    }

    #[test]
    fn one_alone_has_all_and_keeps_them() {
        let mut slots = Slots::new(1);
        assert_eq!(slots.fail(0), []);
        assert_eq!(slots.recover(0).len(), 0);
        assert_eq!(slots.of(0), SLOTS);
    }
}
