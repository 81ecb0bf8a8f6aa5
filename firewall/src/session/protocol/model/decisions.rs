//! Decisions that change in place, while packets are judged by them.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use loom::thread;

use super::super::set_way;
use super::{AtomicU32, AtomicU64, Word as _, check};

#[test]
fn who_accepts_a_way_by_its_routes_goes_to_the_next_hop_found_by_them() {
    /// MAC of the next hop that routes of a generation lead to; next hops are numbered alike.
    fn mac_of(generation: u32) -> u64 {
        u64::from(generation) + 100
    }
    check(|| {
        let way = Arc::new(AtomicU64::new(0));
        let in_force = Arc::new(AtomicU32::new(1));
        let next_hops = Arc::new([0; 4].map(AtomicU64::new));
        let worker = thread::spawn({
            let (way, next_hops) = (Arc::clone(&way), Arc::clone(&next_hops));
            move || {
                for generation in [1, 2] {
                    next_hops[generation as usize].store(mac_of(generation), Relaxed);
                    set_way(&*way, generation, generation);
                }
            }
        });
        let mirror = thread::spawn({
            let in_force = Arc::clone(&in_force);
            move || in_force.store(2, Release)
        });
        // `find_decision`, `find_way`.
        let (next_hop, generation) = super::super::way(&*way);
        if generation >= in_force.load(Relaxed) {
            assert_eq!(next_hop, generation);
            assert_eq!(
                next_hops[next_hop as usize].load(Relaxed),
                mac_of(generation)
            );
        }
        worker.join().unwrap();
        mirror.join().unwrap();
    });
}

#[test]
fn who_accepts_a_decision_by_its_generation_has_the_port_it_is_for() {
    check(|| {
        let generation = Arc::new(AtomicU32::new(0));
        let port = Arc::new(AtomicU32::new(0));
        let flags = Arc::new(AtomicU32::new(0));
        let worker = thread::spawn({
            let (generation, port) = (Arc::clone(&generation), Arc::clone(&port));
            let flags = Arc::clone(&flags);
            move || {
                // `SessionTable::describe`, `offload_described`, and `describe` by another configuration.
                port.store(1, Relaxed);
                generation.store(1, Release);
                flags.store(1, Release);
                port.store(2, Relaxed);
                generation.store(2, Release);
            }
        });
        // `find_decision`.
        if flags.load(Acquire) == 1 {
            let accepted = generation.load(Acquire);
            assert!(accepted >= 1 && port.load(Relaxed) >= accepted);
        }
        worker.join().unwrap();
    });
}
