//! Counts of records that are retired while a packet is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use loom::thread;

use super::{AtomicU32, Table, Word as _, check, count_flow, find_flow};

#[test]
fn a_packet_is_not_counted_once_remove_has_returned() {
    check(|| {
        let table = Arc::new(Table::new([1, 0], 1));
        let has_returned = Arc::new(AtomicU32::new(0));
        assert!(table.publish(&[(0, 1)]));
        let writer = thread::spawn({
            let (table, has_returned) = (Arc::clone(&table), Arc::clone(&has_returned));
            move || {
                table.retire(&[0]);
                has_returned.store(1, Release);
            }
        });
        if let Some((record, state)) = find_flow(&table, 1) {
            let is_over = has_returned.load(Acquire) == 1;
            assert!(!(count_flow(&table, record, state) && is_over));
        }
        writer.join().unwrap();
        assert!(find_flow(&table, 1).is_none());
    });
}

/// A packet of key 1 is counted while its record is retired and used for key 2; another follows, of
/// key 2.
fn counted_while_replaced(rests: bool) {
    let table = Arc::new(Table::new([1, 0], 1));
    assert!(table.publish(&[(0, 1)]));
    let reader = thread::spawn({
        let table = Arc::clone(&table);
        move || match find_flow(&table, 1) {
            Some((record, state)) => u64::from(count_flow(&table, record, state)),
            None => 0,
        }
    });
    table.retire(&[0]);
    let still_reading = if rests {
        let counted = reader.join().unwrap();
        assert_eq!(table.packets(0), counted, "the count of the one before");
        None
    } else {
        Some(reader)
    };
    assert!(table.publish(&[(0, 2)]));
    if let Some(reader) = still_reading {
        reader.join().unwrap();
    }
    let (record, state) = find_flow(&table, 2).unwrap();
    assert!(count_flow(&table, record, state));
    assert_eq!(table.packets(0), 1, "the count of the one behind");
}

#[test]
fn a_packet_that_is_taken_back_leaves_a_rested_records_counts_right() {
    check(|| counted_while_replaced(true));
}

#[test]
#[should_panic(expected = "the count of the one behind")]
fn without_rest_a_packet_that_is_taken_back_spoils_the_counts() {
    check(|| counted_while_replaced(false));
}
