//! Which configuration is in force after a start, and what SIGHUP does.

use super::*;
use RevisionState::{InForce, Superseded};

#[tokio::test]
async fn the_first_start_takes_the_file_over() {
    let run = Place::new(&policy("one")).run().await;
    assert_eq!(run.states(), [(1, InForce)]);
    assert_eq!(run.lifecycle.history()[0].source, Source::StartFile);
    assert_eq!(
        run.audit.all(),
        [(AuditAction::Committed, Outcome::Done, Via::Boot, Some(1))]
    );
    let in_force = run.lifecycle.in_force().await;
    assert_eq!(
        (in_force.source, in_force.generation),
        (Source::StartFile, 1)
    );
    assert_eq!(
        in_force.file_hash.as_deref(),
        Some(text::hash(policy("one").as_bytes()).as_str())
    );
}

#[tokio::test]
async fn what_was_committed_is_in_force_while_the_file_is_as_it_was() {
    let place = Place::new(&policy("one"));
    let run = place.run().await;
    run.commit(&policy("two"), None).await;
    run.edit(&policy("three")).await;
    drop(run);
    let run = place.run().await;
    assert_eq!(
        (run.datapath.enforces(), run.in_force().await.0),
        ("two".into(), 2)
    );
    let candidate = run.lifecycle.candidate().await;
    assert_eq!(
        (&*candidate.text.yaml, candidate.changed),
        (&*policy("three"), true)
    );
    assert!(run.lifecycle.in_force().await.alarms.is_empty());
    assert!(run.audit.all().is_empty());
}

#[tokio::test]
async fn a_file_that_has_changed_is_taken_over_as_a_new_revision() {
    let place = Place::new(&policy("one"));
    place.run().await.commit(&policy("two"), None).await;
    place.write(&policy("file"));
    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "file");
    assert_eq!(
        run.states(),
        [(3, InForce), (2, Superseded), (1, Superseded)]
    );
    assert_eq!(
        &*run.lifecycle.revision(2).await.unwrap().1.yaml,
        policy("two")
    );
    drop(run);
    assert_eq!(place.run().await.states().len(), 3, "once");
    // What was there before is a change, too.
    place.write(&policy("one"));
    assert_eq!(place.run().await.in_force().await, (4, policy("one")));
}

#[tokio::test]
async fn a_file_that_says_what_is_in_force_makes_no_revision() {
    let place = Place::new(&policy("one"));
    place.run().await.commit(&policy("two"), None).await;
    place.write(&policy("two"));
    assert_eq!(place.run().await.in_force().await.0, 2);
    place.run().await.commit(&policy("three"), None).await;
    assert_eq!(place.run().await.in_force().await.0, 3);
}

#[tokio::test]
async fn a_file_that_is_gone_or_wrong_leaves_the_last_good_revision() {
    let place = Place::new(&policy("one"));
    place.run().await.commit(&policy("two"), None).await;
    place.write("version: [");
    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "two");
    assert!(matches!(
        run.lifecycle.in_force().await.alarms[..],
        [Alarm::StartFileInvalid { .. }]
    ));
    drop(run);
    fs::remove_file(place.file()).unwrap();
    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "two");
    assert!(matches!(
        run.lifecycle.in_force().await.alarms[..],
        [Alarm::StartFileMissing { .. }]
    ));
    // Another one is taken over when it comes.
    place.write(&policy("three"));
    assert!(matches!(
        run.lifecycle.reload().await,
        Ok(Reloaded::TakenOver { revision: 3, .. })
    ));
}

/// No file, and what stands in for it.
fn without_file(stands_in: &str) -> Place {
    let mut place = Place::new("");
    fs::remove_file(place.file()).unwrap();
    place.stands_in = Some(stands_in.to_owned());
    place
}

#[tokio::test]
async fn what_stands_in_is_taken_over_once_and_what_was_committed_since_stays() {
    let mut place = without_file(&policy("made"));
    let run = place.run().await;
    assert_eq!(run.in_force().await, (1, policy("made")));
    assert_eq!(run.lifecycle.history()[0].source, Source::Generated);
    run.commit(&policy("two"), None).await;
    drop(run);
    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "two");
    assert!(run.lifecycle.in_force().await.alarms.is_empty());
    assert!(matches!(
        run.lifecycle.reload().await,
        Ok(Reloaded::Unchanged { revision: 2, .. })
    ));
    drop(run);
    place.stands_in = Some(policy("otherwise"));
    assert_eq!(place.run().await.in_force().await.0, 3);
    place.write(&policy("file"));
    let run = place.run().await;
    assert_eq!(run.in_force().await, (4, policy("file")));
    assert_eq!(run.lifecycle.history()[0].source, Source::StartFile);
}

#[tokio::test]
async fn nothing_stands_in_for_a_file_that_is_gone() {
    let mut place = Place::new(&policy("file"));
    place.run().await;
    fs::remove_file(place.file()).unwrap();
    place.stands_in = Some(policy("made"));
    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "file");
    assert!(matches!(
        run.lifecycle.in_force().await.alarms[..],
        [Alarm::StartFileMissing { .. }]
    ));
    assert!(matches!(
        run.lifecycle.reload().await,
        Err(ReloadError::StartFile(ConfigError::Unreadable { .. }))
    ));
}

#[tokio::test]
async fn a_file_that_cannot_be_taken_over_is_an_alarm_until_it_can() {
    let place = Place::new(&policy("file"));
    let run = place.run().await;
    for _ in 0..2 {
        fs::write(place.file(), "version: [").unwrap();
        run.lifecycle.reload().await.unwrap_err();
        assert!(matches!(
            run.lifecycle.in_force().await.alarms[..],
            [Alarm::StartFileInvalid { .. }]
        ));
    }
    fs::write(place.file(), policy("mended")).unwrap();
    run.lifecycle.reload().await.unwrap();
    assert_eq!(run.datapath.enforces(), "mended");
    assert!(run.lifecycle.in_force().await.alarms.is_empty());
}

#[tokio::test]
async fn without_a_revision_a_file_that_is_gone_or_wrong_is_no_start() {
    let place = Place::new("version: [");
    assert!(matches!(
        place.try_run().await,
        Err(OpenError::StartFile(ConfigError::Invalid(_)))
    ));
    fs::remove_file(place.file()).unwrap();
    assert!(matches!(
        place.try_run().await,
        Err(OpenError::StartFile(ConfigError::Unreadable { .. }))
    ));
    assert!(
        place.machine.store().open().unwrap().manifest.is_none(),
        "nothing was written"
    );
}

#[tokio::test]
async fn a_damaged_revision_leaves_the_one_before() {
    let place = Place::new(&policy("one"));
    let run = place.run().await;
    run.commit(&policy("two"), None).await;
    run.commit(&policy("three"), None).await;
    drop(run);
    place
        .machine
        .damage("000003.yaml", |bytes| bytes.truncate(100));
    let run = place.run().await;
    assert_eq!(
        (run.datapath.enforces(), run.in_force().await.0),
        ("two".into(), 2)
    );
    assert!(matches!(
        run.lifecycle.in_force().await.alarms[..],
        [Alarm::Damaged(_)]
    ));
    assert!(run.lifecycle.revision(3).await.is_err());
    assert_eq!(run.commit(&policy("four"), None).await.revision, 4);
}

#[tokio::test]
async fn a_revision_that_no_longer_compiles_leaves_the_one_before() {
    let place = Place::new(&policy("one"));
    place.run().await.commit(&policy("two"), None).await;
    // As it is when an earlier version accepted what this one does not.
    let store = place.machine.store();
    let manifest = store.open().unwrap().manifest.unwrap();
    let mut record = manifest.record(2).unwrap().clone();
    record.number = 3;
    record.hash = text::hash(b"version: 2\n");
    let manifest = manifest.committed(record.clone(), None);
    store
        .prepare(&manifest, Some((&record, "version: 2\n")))
        .unwrap();
    store.complete(&manifest).unwrap();
    assert_eq!(place.run().await.in_force().await, (2, policy("two")));
}

#[tokio::test]
async fn when_every_revision_is_damaged_the_file_is_what_is_left() {
    let place = Place::new(&policy("one"));
    place.run().await.commit(&policy("two"), None).await;
    for name in ["manifest", "000001.yaml", "000002.yaml"] {
        place.machine.damage(name, Vec::clear);
    }
    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "one");
    drop(run);
    for name in ["manifest", "000001.yaml"] {
        place.machine.damage(name, Vec::clear);
    }
    fs::remove_file(place.file()).unwrap();
    assert!(
        matches!(place.try_run().await, Err(OpenError::StartFile(_))),
        "never without a configuration"
    );
}

#[tokio::test]
async fn without_a_manifest_the_file_does_not_push_aside_what_was_committed() {
    let place = Place::new(&policy("one"));
    place.run().await.commit(&policy("two"), None).await;
    place.machine.damage("manifest", |bytes| bytes.truncate(50));
    let run = place.run().await;
    assert_eq!(run.in_force().await, (2, policy("two")));
    assert!(matches!(
        run.lifecycle.in_force().await.alarms[..],
        [Alarm::Damaged(_)]
    ));
    drop(run);
    assert!(
        place
            .run()
            .await
            .lifecycle
            .in_force()
            .await
            .alarms
            .is_empty(),
        "it was written again"
    );
}

#[tokio::test]
async fn a_damaged_candidate_is_thrown_away() {
    let place = Place::new(&policy("one"));
    place.run().await.edit(&policy("two")).await;
    place
        .machine
        .damage("candidate.yaml", |bytes| bytes.truncate(90));
    assert!(!place.run().await.lifecycle.candidate().await.changed);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_makes_it_read_only() {
    let scratch = Scratch::new();
    let (file, blocked) = (
        scratch.path().join("start.yaml"),
        scratch.path().join("blocked"),
    );
    fs::write(&file, policy("one")).unwrap();
    fs::write(&blocked, "no directory").unwrap();
    let options = Options {
        start: StartDocument::at(&file),
        state_dir: blocked,
        audit: Arc::new(Entries::default()),
        compile: Arc::new(crate::config::parse),
    };
    let (config, opened) = Lifecycle::open(options).unwrap();
    assert_eq!(name_of(&config), "one");
    let datapath = Notes::default();
    let lifecycle = opened.enforced(Box::new(datapath.clone()), 1).await;
    assert!(matches!(
        lifecycle.in_force().await.alarms[..],
        [Alarm::ReadOnly(_)]
    ));
    let refused = lifecycle
        .replace(policy("two"), Format::Yaml, &IfMatch::Any, &alice())
        .await;
    assert!(
        matches!(refused, Err(EditError::ReadOnly(_))),
        "{refused:?}"
    );
    assert!(matches!(
        lifecycle.commit(request(None)).await,
        Err(CommitFailed::ReadOnly(_))
    ));
    // The file is the configuration then, and can change.
    fs::write(&file, policy("two")).unwrap();
    assert!(matches!(
        lifecycle.reload().await,
        Ok(Reloaded::TakenOver { revision: 2, .. })
    ));
    assert_eq!(datapath.enforces(), "two");
}

#[tokio::test]
async fn a_signal_takes_the_file_over_once() {
    let place = Place::new(&policy("one"));
    let run = place.run().await;
    assert_eq!(
        run.lifecycle.reload().await.unwrap(),
        Reloaded::Unchanged {
            revision: 1,
            generation: 2
        }
    );
    run.edit(&policy("edited")).await;
    place.write(&policy("two"));
    assert!(matches!(
        run.lifecycle.reload().await,
        Ok(Reloaded::TakenOver {
            revision: 2,
            generation: 3,
            ..
        })
    ));
    assert_eq!(run.datapath.enforces(), "two");
    assert_eq!(
        &*run.lifecycle.candidate().await.text.yaml,
        policy("edited"),
        "somebody's edit stays"
    );
    assert_eq!(
        run.audit.all().last(),
        Some(&(AuditAction::Committed, Outcome::Done, Via::Signal, Some(2)))
    );
    run.commit(&policy("three"), None).await;
    assert!(matches!(
        run.lifecycle.reload().await,
        Ok(Reloaded::Unchanged { revision: 3, .. })
    ));
    assert_eq!(run.datapath.enforces(), "three");

    place.write("version: [");
    assert!(matches!(
        run.lifecycle.reload().await,
        Err(ReloadError::StartFile(_))
    ));
    assert_eq!(
        run.audit.all().last(),
        Some(&(AuditAction::Committed, Outcome::Refused, Via::Signal, None))
    );
    assert_eq!(run.in_force().await.0, 3);
}
