//! Who finds what while flows come and go.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use loom::sync::Mutex;
use loom::thread;

use super::super::{publish, read, record_of, snapshot};
use super::{
    AtomicU32, AtomicU64, HASH, Table, Word as _, check, count_flow, find_flow, place, rewrite_of,
};

/// One record: the flow of key 1 gives way to that of key 2, while `reader` looks for `wanted`.
fn replaced_while(wanted: u64, reader: impl Fn(&Table) -> Option<[u64; 2]>) {
    let table = Arc::new(Table::new([1, 0], 1));
    assert!(table.publish(&[(0, 1)]));
    let writer = thread::spawn({
        let table = Arc::clone(&table);
        move || {
            table.retire(&[0]);
            assert!(table.publish(&[(0, 2)]));
        }
    });
    if let Some(rewrite) = reader(&table) {
        assert_eq!(rewrite, rewrite_of(wanted), "another flow's rewrite");
    }
    writer.join().unwrap();
}

#[test]
fn userspace_never_takes_another_flows_rewrite_even_without_rest() {
    for wanted in [1, 2] {
        check(move || {
            replaced_while(wanted, |table| {
                read(table, &[wanted], HASH, |record| table.rewrite(record))
            });
        });
    }
}

#[test]
fn bpf_never_takes_another_flows_rewrite_even_without_rest() {
    for wanted in [1, 2] {
        check(move || {
            replaced_while(wanted, |table| {
                let (record, state) = find_flow(table, wanted)?;
                let rewrite = table.rewrite(record);
                count_flow(table, record, state).then_some(rewrite)
            });
        });
    }
}

#[test]
#[should_panic(expected = "another flow's rewrite")]
fn what_is_read_behind_the_second_look_may_be_anothers() {
    check(|| {
        replaced_while(1, |table| {
            let (record, state) = find_flow(table, 1)?;
            count_flow(table, record, state).then(|| table.rewrite(record))
        });
    });
}

#[test]
#[should_panic(expected = "another flow's rewrite")]
fn what_is_read_before_an_addition_that_orders_nothing_may_be_anothers() {
    check(|| {
        replaced_while(1, |table| {
            let (record, state) = find_flow(table, 1)?;
            let rewrite = table.rewrite(record);
            let record = &table.records[record];
            record.packets.step().fetch_add(1, Relaxed);
            (record.state.load(Relaxed) == state).then_some(rewrite)
        });
    });
}

#[test]
fn a_flow_that_was_there_before_the_lookup_and_stays_is_found() {
    // Its neighbours in its buckets come and go; then it lies in its second bucket.
    for slots in [[3, 0], [1, 1]] {
        check(move || {
            let table = Arc::new(Table::new(slots, 2));
            assert!(table.publish(&[(0, 1)]));
            assert!(table.publish(&[(1, 2)]));
            let writer = thread::spawn({
                let table = Arc::clone(&table);
                move || {
                    table.retire(&[0]);
                    assert!(table.publish(&[(0, 3)]));
                }
            });
            let taken = read(&*table, &[2], HASH, |record| table.rewrite(record));
            assert_eq!(taken, Some(rewrite_of(2)));
            writer.join().unwrap();
        });
    }
}

#[test]
fn both_directions_are_found_once_insert_has_returned() {
    check(|| {
        let table = Arc::new(Table::new([2, 0], 2));
        let has_returned = Arc::new(AtomicU32::new(0));
        let writer = thread::spawn({
            let (table, has_returned) = (Arc::clone(&table), Arc::clone(&has_returned));
            move || {
                assert!(table.publish(&[(0, 1), (1, 2)]));
                has_returned.store(1, Release);
            }
        });
        let must_be_there = has_returned.load(Acquire) == 1;
        let found = [1, 2].map(|key| table.lookup(key));
        for (record, found) in found.into_iter().enumerate() {
            assert!(found == Some(record) || found.is_none() && !must_be_there);
        }
        writer.join().unwrap();
        assert_eq!([1, 2].map(|key| table.lookup(key)), [Some(0), Some(1)]);
    });
}

#[test]
fn a_session_that_the_index_has_no_room_for_is_not_found() {
    check(|| {
        let table = Arc::new(Table::new([1, 0], 2));
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || assert!(!table.publish(&[(0, 1), (1, 2)]))
        });
        // Its first direction may be, for a moment.
        assert_eq!(table.lookup(2), None);
        writer.join().unwrap();
        assert_eq!([1, 2].map(|key| table.lookup(key)), [None, None]);
    });
}

#[test]
fn who_sees_an_entry_in_the_index_finds_its_record_live() {
    check(|| {
        let table = Arc::new(Table::new([1, 0], 1));
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || assert!(table.publish(&[(0, 1)]))
        });
        if record_of(table.buckets[0][0].load(Acquire), HASH).is_some() {
            assert!(find_flow(&table, 1).is_some());
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_key_never_leads_to_two_records() {
    check(|| {
        let table = Arc::new(Table::new([2, 0], 2));
        let lock = Arc::new(Mutex::new(()));
        let writers = [0, 1].map(|record| {
            let (table, lock) = (Arc::clone(&table), Arc::clone(&lock));
            thread::spawn(move || {
                // `SessionTable::insert`.
                let _writer = lock.lock().unwrap();
                table.lookup(1).is_none() && table.publish(&[(record, 1)])
            })
        });
        let first = table.lookup(1);
        let second = table.lookup(1);
        assert!(first.is_none() || first == second);
        let published = writers.map(|writer| writer.join().unwrap());
        assert_eq!(published.into_iter().filter(|done| *done).count(), 1);
        let last = table.lookup(1);
        assert!(last.is_some() && (second.is_none() || second == last));
    });
}

#[test]
fn a_snapshot_is_of_one_session() {
    check(|| {
        let table = Arc::new(Table::new([1, 0], 1));
        let id = Arc::new(AtomicU64::new(0));
        let fill = |table: &Table, id: &AtomicU64, key: u64| {
            publish(table, &[place(0)], || {
                for (place, word) in table.records[0].rewrite.iter().zip(rewrite_of(key)) {
                    place.store(word, Relaxed);
                }
                id.store(key, Release);
            })
        };
        assert!(fill(&table, &id, 1));
        let writer = thread::spawn({
            let (table, id) = (Arc::clone(&table), Arc::clone(&id));
            move || {
                id.store(0, Release);
                table.retire(&[0]);
                assert!(fill(&table, &id, 2));
            }
        });
        if let Some(taken) = snapshot(&*id, || table.rewrite(0)) {
            assert!([1, 2].map(rewrite_of).contains(&taken));
        }
        writer.join().unwrap();
    });
}
