//! The store as a whole: what goes in comes out, within its bounds, whatever the disk does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use super::*;

/// A directory that goes when its test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("palisade events %41 {}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn database(&self) -> PathBuf {
        self.0.join(store::FILE)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

fn started(directory: Option<&Path>) -> Events {
    let events = Events::new();
    events.start(directory, EventBounds::default());
    events
}

fn entry(number: u64) -> Entry {
    let message = format!("tcp 192.0.2.{}:{number} → 198.51.100.10:80", number % 250);
    Entry {
        session: Some(number),
        policy: Some(
            if number.is_multiple_of(2) {
                "web-out"
            } else {
                "mail"
            }
            .into(),
        ),
        protocol: Some("tcp".into()),
        source: Some(format!("192.0.2.{}", number % 250).parse().unwrap()),
        source_port: Some(u16::try_from(number % 60_000).unwrap()),
        destination: Some("198.51.100.10".parse().unwrap()),
        destination_port: Some(80),
        from_zone: Some("trust".into()),
        to_zone: Some("untrust".into()),
        ..Entry::new(WallTime::now(), Kind::SessionStart, Severity::Info, message)
    }
}

/// Waits until everything that was left is stored.
async fn stored(events: &Events, last: u64) {
    let mut written = events.written();
    let wait = written.wait_for(|written| *written >= last);
    tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
}

fn all(events: &Events, filter: &Filter) -> Vec<Event> {
    events.page(filter, None, 1_000).unwrap().events
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn what_goes_in_comes_out_newest_first_and_in_pages() {
    let events = started(None);
    let first = entry(1);
    events.store(first.clone());
    (2..=25).for_each(|number| events.store(entry(number)));
    stored(&events, 25).await;
    let page = events.page(&Filter::default(), None, 10).unwrap();
    assert_eq!(numbers(&page.events), (16..=25).rev().collect::<Vec<_>>());
    assert_eq!((page.next, page.oldest), (Some(16), Some(first.at)));
    let page = events.page(&Filter::default(), Some(16), 10).unwrap();
    assert_eq!((page.events.len(), page.next), (10, Some(6)));
    let page = events.page(&Filter::default(), page.next, 10).unwrap();
    assert_eq!((page.events.len(), page.next), (5, None));
    assert_eq!(page.events[4].entry, first);
}

#[tokio::test]
async fn every_filter_admits_what_it_names_and_nothing_else() {
    let events = Events::new();
    let bounds = EventBounds {
        max_age: Duration::MAX,
        ..EventBounds::default()
    };
    events.start(None, bounds);
    let at = |text: &str| text.parse::<WallTime>().unwrap();
    let commit = Entry {
        actor: Some("alice".into()),
        address: Some("192.0.2.99".parse().unwrap()),
        revision: Some(7),
        ..Entry::new(
            at("2026-01-02T00:00:00Z"),
            Kind::Commit,
            Severity::Info,
            "printers".into(),
        )
    };
    let denied = Entry {
        protocol: Some("udp".into()),
        translated_source: Some("2001:db8::9".parse().unwrap()),
        translated_source_port: Some(4_711),
        policy: Some("no-games".into()),
        session: Some(5),
        to_zone: Some("dmz".into()),
        ..Entry::new(
            at("2026-01-03T00:00:00Z"),
            Kind::Denied,
            Severity::Warning,
            "denied".into(),
        )
    };
    let third = Entry::new(
        at("2026-01-01T00:00:00Z"),
        Kind::Audit,
        Severity::Info,
        "other".into(),
    );
    [commit, denied, third]
        .into_iter()
        .for_each(|entry| events.store(entry));
    stored(&events, 3).await;
    let none = Filter::default;
    let cases = [
        (
            1,
            Filter {
                kinds: [Kind::Commit].into(),
                ..none()
            },
        ),
        (
            1,
            Filter {
                actor: Some("alice".into()),
                ..none()
            },
        ),
        (
            1,
            Filter {
                address: Some("192.0.2.99".parse().unwrap()),
                ..none()
            },
        ),
        (
            1,
            Filter {
                revision: Some(7),
                ..none()
            },
        ),
        (
            1,
            Filter {
                words: Words::new("PRINTERS"),
                ..none()
            },
        ),
        (
            2,
            Filter {
                severity: Some(Severity::Warning),
                ..none()
            },
        ),
        (
            2,
            Filter {
                protocol: Some("udp".into()),
                ..none()
            },
        ),
        (
            2,
            Filter {
                address: Some("2001:db8::9".parse().unwrap()),
                ..none()
            },
        ),
        (
            2,
            Filter {
                port: Some(4_711),
                ..none()
            },
        ),
        (
            2,
            Filter {
                policy: Some("no-games".into()),
                ..none()
            },
        ),
        (
            2,
            Filter {
                session: Some(5),
                ..none()
            },
        ),
        (
            2,
            Filter {
                zone: Some("dmz".into()),
                ..none()
            },
        ),
        (
            2,
            Filter {
                words: Words::new("2001:db8::9 no-games"),
                ..none()
            },
        ),
        (
            2,
            Filter {
                since: Some(at("2026-01-02T12:00:00Z")),
                ..none()
            },
        ),
        (
            3,
            Filter {
                until: Some(at("2026-01-01T12:00:00Z")),
                ..none()
            },
        ),
    ];
    for (expected, filter) in cases {
        assert_eq!(numbers(&all(&events, &filter)), [expected], "{filter:?}");
    }
    let both = Filter {
        kinds: [Kind::Commit, Kind::Audit].into(),
        ..none()
    };
    assert_eq!(numbers(&all(&events, &both)), [3, 1]);
    let neither = Filter {
        actor: Some("alice".into()),
        port: Some(4_711),
        ..none()
    };
    assert!(all(&events, &neither).is_empty());
}

#[tokio::test]
async fn no_words_of_a_user_are_a_mistake() {
    let events = started(None);
    events.store(entry(1));
    stored(&events, 1).await;
    for hostile in [
        "\"",
        "\"\"\"",
        "tcp\"",
        "AND",
        "OR NOT",
        "NEAR(a b)",
        "a*",
        "^a",
        "text:a",
        "{text} : a",
        "(",
        ")",
        "a AND",
        "-",
        "a\0b",
        "\0",
        "'; DROP TABLE events; --",
        "%",
        "→ ←",
        "ø",
        "\u{202e}a",
    ] {
        if let Some(words) = Words::new(hostile) {
            let filter = Filter {
                words: Some(words),
                policy: Some(hostile.into()),
                ..Filter::default()
            };
            assert!(
                events.page(&filter, None, 10).unwrap().events.is_empty(),
                "{hostile}"
            );
        }
    }
    assert_eq!(Words::new(" -- \" "), None);
    assert_eq!(Words::new(&"a".repeat(1_000)), None);
    let found = Filter {
        words: Words::new("192.0.2.1 TCP 198.51.100.10:80"),
        ..Filter::default()
    };
    assert_eq!(all(&events, &found).len(), 1);
}

#[tokio::test]
async fn numbers_go_on_after_a_restart_also_where_everything_was_deleted() {
    let scratch = Scratch::new();
    let events = started(Some(&scratch.0));
    (1..=10).for_each(|number| events.store(entry(number)));
    events.stop(PATIENCE).await;
    let events = started(Some(&scratch.0));
    assert_eq!(all(&events, &Filter::default()).len(), 10);
    events.store(entry(11));
    events.stop(PATIENCE).await;
    Connection::open(scratch.database())
        .unwrap()
        .execute("DELETE FROM events", [])
        .unwrap();
    let events = started(Some(&scratch.0));
    events.store(entry(12));
    events.stop(PATIENCE).await;
    assert_eq!(numbers(&all(&events, &Filter::default())), [12]);
}

#[tokio::test]
async fn a_follower_is_told_what_it_missed() {
    let events = started(None);
    (1..=30).for_each(|number| events.store(entry(number)));
    stored(&events, 30).await;
    let mail = Filter {
        policy: Some("mail".into()),
        ..Filter::default()
    };
    let batch = events.after(&mail, 10, 5).unwrap();
    assert_eq!(numbers(&batch.events), [11, 13, 15, 17, 19]);
    assert_eq!((batch.seen, batch.missed), (19, 0));
    let batch = events.after(&mail, batch.seen, 100).unwrap();
    assert_eq!((batch.events.len(), batch.seen), (5, 30));
    let batch = events.after(&mail, 30, 100).unwrap();
    assert_eq!((batch.events.len(), batch.seen), (0, 30));
}

#[test]
fn a_store_stays_within_its_size_and_forgets_the_oldest() {
    let scratch = Scratch::new();
    let mut store = store::Store::open(&scratch.0, 1).unwrap();
    let bounds = EventBounds {
        max_bytes: 8 << 20,
        ..EventBounds::default()
    };
    let batch: Vec<_> = (0..1_000).map(entry).collect();
    let mut last = 0;
    for _ in 0..60 {
        last = store.insert(&batch).unwrap();
        store.keep_within(&bounds, WallTime::now()).unwrap();
        let file = fs::metadata(scratch.database()).unwrap().len();
        // One batch more, and what was deleted but is not merged yet.
        assert!(file <= bounds.max_bytes + (2 << 20), "{file}");
    }
    let mut reader = query::Reader::open(store.place().clone()).unwrap();
    let page = reader.page(&Filter::default(), None, 1).unwrap();
    assert_eq!(page.events[0].id, last);
    let kept = last - reader.after(&Filter::default(), 0, 1).unwrap().missed;
    assert!((5_000..40_000).contains(&kept), "{kept}");
    // Less room: pages are given back.
    let bounds = EventBounds {
        max_bytes: 4 << 20,
        ..bounds
    };
    while store.keep_within(&bounds, WallTime::now()).unwrap() {}
    drop(reader);
    drop(store);
    let file = fs::metadata(scratch.database()).unwrap().len();
    assert!(file <= 5 << 20, "{file}");
}

#[test]
fn a_flood_of_sessions_does_not_take_commits_with_it() {
    let scratch = Scratch::new();
    let mut store = store::Store::open(&scratch.0, 1).unwrap();
    let bounds = EventBounds {
        max_bytes: 4 << 20,
        ..EventBounds::default()
    };
    let commit = Entry {
        kind: Kind::Commit,
        ..entry(1)
    };
    store.insert(&[entry(1), commit, entry(2)]).unwrap();
    let batch: Vec<_> = (0..1_000).map(entry).collect();
    for _ in 0..20 {
        store.insert(&batch).unwrap();
        store.keep_within(&bounds, WallTime::now()).unwrap();
    }
    let mut reader = query::Reader::open(store.place().clone()).unwrap();
    let commits = Filter {
        kinds: [Kind::Commit].into(),
        ..Filter::default()
    };
    let page = reader.page(&commits, None, 10).unwrap();
    assert_eq!(numbers(&page.events), [2]);
    // Who follows is told of both ends of the gap.
    let rest = reader.after(&Filter::default(), 0, 1_000_000).unwrap();
    assert_eq!(rest.events.len() as u64 + rest.missed, 20_003);
    assert!(rest.missed > 1_000 && rest.events[1].id > 1_000);
    assert_eq!(
        reader.after(&Filter::default(), 2, 1).unwrap().missed,
        rest.missed - 1
    );
}

#[test]
fn a_store_forgets_what_is_too_old_even_behind_an_event_of_the_future() {
    let mut store = store::Store::in_memory(1).unwrap();
    let time = |seconds| WallTime::from_second(seconds).unwrap();
    let of = |seconds| Entry::new(time(seconds), Kind::Audit, Severity::Info, "x".into());
    store
        .insert(&[of(9_000_000), of(10), of(20), of(900_000)])
        .unwrap();
    let bounds = EventBounds {
        max_age: Duration::from_secs(3_600),
        ..EventBounds::default()
    };
    assert!(!store.keep_within(&bounds, time(900_000)).unwrap());
    let mut reader = query::Reader::open(store.place().clone()).unwrap();
    let page = reader.page(&Filter::default(), None, 10).unwrap();
    assert_eq!(numbers(&page.events), [4]);
}

#[tokio::test]
async fn a_damaged_database_is_put_aside_and_another_begun_loudly() {
    for garbage in [
        &b"this is no database, and never was one"[..],
        &[0xa5; 40_000],
    ] {
        let scratch = Scratch::new();
        fs::write(scratch.database(), garbage).unwrap();
        let events = started(Some(&scratch.0));
        events.store(entry(1));
        events.stop(PATIENCE).await;
        let aside = fs::read(scratch.0.join("events.db.damaged")).unwrap();
        assert_eq!(aside, garbage);
        let found = all(&events, &Filter::default());
        let kinds: Vec<_> = found.iter().map(|event| event.entry.kind).collect();
        assert!(kinds.contains(&Kind::SessionStart) && kinds.contains(&Kind::Alarm));
        assert_eq!(events.alarms()[0].alarm, "events-damaged");
        // Nobody who follows by an old number waits for ever.
        assert!(found[0].id > 1_000_000_000);
    }
}

#[tokio::test]
async fn a_database_that_breaks_while_it_is_used_is_replaced() {
    let scratch = Scratch::new();
    let events = started(Some(&scratch.0));
    (1..=2_000).for_each(|number| events.store(entry(number)));
    events.stop(PATIENCE).await;
    // Every page but the first, which says what the others are.
    let mut bytes = fs::read(scratch.database()).unwrap();
    bytes[4_096..].fill(0xa5);
    fs::write(scratch.database(), bytes).unwrap();
    let events = started(Some(&scratch.0));
    events.store(entry(3));
    events.stop(PATIENCE).await;
    assert_eq!(events.alarms()[0].alarm, "events-damaged");
    let found = all(&events, &Filter::default());
    assert!(found.iter().any(|event| event.entry.session == Some(3)));
    assert!(found.iter().all(|event| event.id > 2_000));
}

#[tokio::test]
async fn where_the_directory_can_not_be_used_events_are_in_memory_and_an_alarm_says_so() {
    let scratch = Scratch::new();
    let events = started(Some(&scratch.0.join("missing")));
    events.store(entry(1));
    events.stop(PATIENCE).await;
    assert_eq!(events.alarms()[0].alarm, "events-not-kept");
}

#[tokio::test]
async fn while_the_disk_is_too_slow_senders_do_not_wait_and_what_is_lost_is_counted() {
    let scratch = Scratch::new();
    let events = started(Some(&scratch.0));
    events.store(entry(0));
    stored(&events, 1).await;
    // Whoever has the database's lock is as slow as a disk.
    let slow = Connection::open(scratch.database()).unwrap();
    slow.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sent = QUEUE as u64 + 3_000;
    (0..sent).for_each(|number| events.store(entry(number)));
    let lost = events.lost();
    assert!((1..sent).contains(&lost), "{lost}");
    slow.execute_batch("COMMIT").unwrap();
    drop(slow);
    events.stop(PATIENCE).await;
    let page = events.page(&Filter::default(), None, 1).unwrap();
    let sessions = Filter {
        kinds: [Kind::SessionStart].into(),
        ..Filter::default()
    };
    let kept = events.after(&sessions, 0, 100_000).unwrap();
    assert_eq!(kept.events.len() as u64, 1 + sent - events.lost());
    assert!(page.events[0].id >= kept.events.len() as u64);
    assert!(
        events
            .alarms()
            .iter()
            .any(|alarm| alarm.alarm == "events-lost")
    );
}

#[tokio::test]
async fn a_power_cut_leaves_a_database_that_can_be_read() {
    let (scratch, copy) = (Scratch::new(), Scratch::new());
    let events = started(Some(&scratch.0));
    (1..=3_000).for_each(|number| events.store(entry(number)));
    stored(&events, 3_000).await;
    // As the disk is, with a log that ends anywhere.
    let wal = format!("{}-wal", store::FILE);
    let log = fs::read(scratch.0.join(&wal)).unwrap();
    for cut in [0, 31, 32, 5_000, log.len() / 2, log.len() - 1] {
        fs::copy(scratch.database(), copy.database()).unwrap();
        fs::write(copy.0.join(&wal), &log[..cut]).unwrap();
        let _ = fs::remove_file(copy.0.join(format!("{}-shm", store::FILE)));
        let mut store = store::Store::open(&copy.0, 1).unwrap();
        assert!(store.is_sound(), "{cut}");
        store.insert(&[entry(9)]).unwrap();
    }
}
