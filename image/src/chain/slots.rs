//! Which instance a share of the flows goes through.
//!
//! The kernel hashes each flow, alike for both of its directions, into one of [`SLOTS`] slots. Each slot has a home:
//! the instance that has it while all are well. When an instance fails, its slots alone go to others; when it is
//! back, each of its own returns to it once nothing has come through that slot for a while. So no session of an
//! instance that works ever changes its instance.

/// Enough for an even share of a few instances; each is an object of the kernel's.
pub(super) const SLOTS: usize = 64;
pub(super) const MAX_INSTANCES: usize = 32;

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

    /// An instance fails: its slots go home, or to all others in turn. Where nobody is left they stay, and
    /// nothing passes.
    pub(super) fn fail(&mut self, instance: usize) {
        self.healthy[instance] = false;
        let substitutes: Vec<_> = (0..self.healthy.len())
            .filter(|&other| self.healthy[other])
            .collect();
        let mut turn = substitutes.iter().cycle();
        for slot in 0..SLOTS {
            if self.owners[slot] != instance {
                continue;
            }
            let home = self.home(slot);
            if self.healthy[home] {
                self.owners[slot] = home;
            } else if let Some(&substitute) = turn.next() {
                self.owners[slot] = substitute;
            }
        }
    }

    /// An instance is back: it gets at once what nobody has who works.
    pub(super) fn recover(&mut self, instance: usize) {
        self.healthy[instance] = true;
        for owner in &mut self.owners {
            if !self.healthy[*owner] {
                *owner = instance;
            }
        }
    }

    /// Slots that are to go home as soon as they are silent.
    pub(super) fn away(&self) -> Vec<usize> {
        (0..SLOTS)
            .filter(|&slot| self.owners[slot] != self.home(slot) && self.healthy[self.home(slot)])
            .collect()
    }

    /// Of those `away`, the ones that are silent.
    pub(super) fn send_home(&mut self, silent: &[usize]) {
        for slot in self.away() {
            if silent.contains(&slot) {
                self.owners[slot] = self.home(slot);
            }
        }
    }

    fn home(&self, slot: usize) -> usize {
        slot % self.healthy.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_slots_of_the_failed_one_move_and_to_all_others() {
        let mut slots = Slots::new(4);
        let before = *slots.owners();
        slots.fail(1);
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
        slots.recover(1);
        assert_eq!((slots.of(0), slots.of(1)), (64, 0));
        let away = slots.away();
        assert_eq!(away.len(), 32);
        slots.send_home(&[away[0], 0]);
        assert_eq!((slots.of(0), slots.of(1)), (63, 1));
        assert_eq!(slots.owners()[away[0]], 1);
    }

    #[test]
    fn when_all_have_failed_the_first_that_returns_gets_everything() {
        let mut slots = Slots::new(3);
        slots.fail(0);
        slots.fail(2);
        assert_eq!(slots.of(1), SLOTS);
        slots.fail(1);
        assert_eq!(slots.of(1), SLOTS, "they stay where nothing passes");
        slots.recover(2);
        assert_eq!(slots.of(2), SLOTS);
    }

    #[test]
    fn what_a_substitute_had_goes_home_when_the_substitute_fails() {
        let mut slots = Slots::new(3);
        slots.fail(0);
        slots.recover(0);
        let lent: Vec<_> = (0..SLOTS)
            .filter(|&slot| slot % 3 == 0 && slots.owners()[slot] == 1)
            .collect();
        assert!(!lent.is_empty());
        slots.fail(1);
        assert_eq!(slots.of(1), 0);
        assert!(lent.iter().all(|&slot| slots.owners()[slot] == 0));
    }

    #[test]
    fn one_alone_has_all_and_keeps_them() {
        let mut slots = Slots::new(1);
        slots.fail(0);
        slots.recover(0);
        assert_eq!(slots.of(0), SLOTS);
        assert!(slots.away().is_empty());
    }
}
