//! Commits that are undone unless somebody confirms.

use super::*;
use RevisionState::{AwaitingConfirmation, InForce, Superseded, Undone};

const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_commit_that_nobody_confirms_is_undone() {
    let place = Place::new(&policy("one"));
    let run = place.run().await;
    let committed = run.commit(&policy("two"), Some(WITHIN)).await;
    assert!(committed.confirm_by.is_some());
    assert_eq!(run.states(), [(2, AwaitingConfirmation), (1, Superseded)]);
    assert_eq!(
        run.lifecycle.in_force().await.confirm_by,
        committed.confirm_by
    );
    let mut changes = run.lifecycle.subscribe();
    assert_eq!(
        changes.recv().await,
        Ok(Change::Undone {
            revision: 2,
            in_force: 1,
            generation: 3
        })
    );
    assert_eq!(run.datapath.enforces(), "one");
    assert_eq!(run.states(), [(2, Undone), (1, InForce)]);
    assert_eq!(run.in_force().await, (1, policy("one")));
    assert!(!run.lifecycle.candidate().await.changed);
    assert_eq!(
        run.audit.all().last(),
        Some(&(AuditAction::RolledBack, Outcome::Done, Via::Timer, Some(2)))
    );

    // Its number is not used again, and what it said is not lost.
    assert_eq!(
        &*run.lifecycle.revision(2).await.unwrap().1.yaml,
        policy("two")
    );
    assert_eq!(run.commit(&policy("three"), None).await.revision, 3);
    drop(run);
    assert_eq!(place.run().await.in_force().await, (3, policy("three")));
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_commit_stays() {
    let run = Place::new(&policy("one")).run().await;
    run.commit(&policy("two"), Some(WITHIN)).await;
    assert_eq!(run.lifecycle.confirm(&alice()).await.unwrap(), 2);
    assert!(matches!(
        run.lifecycle.confirm(&alice()).await,
        Err(ConfirmError::NothingToConfirm)
    ));
    tokio::time::sleep(2 * WITHIN).await;
    assert_eq!(run.states(), [(2, InForce), (1, Superseded)]);
    assert_eq!(
        (run.datapath.enforces(), run.datapath.commits()),
        ("two".into(), 2)
    );
    assert!(run.audit.all().contains(&(
        AuditAction::Confirmed,
        Outcome::Done,
        Via::Token,
        Some(2)
    )));
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_nothing_confirms_and_another_commit_does_too() {
    let run = Place::new(&policy("one")).run().await;
    run.commit(&policy("two"), Some(WITHIN)).await;
    assert!(matches!(
        run.lifecycle.commit(request(Some(WITHIN))).await,
        Err(CommitFailed::NothingChanged)
    ));
    assert_eq!(
        run.lifecycle.commit(request(None)).await.unwrap().revision,
        2
    );
    assert_eq!(run.states()[0], (2, InForce));

    run.commit(&policy("three"), Some(WITHIN)).await;
    let mut changes = run.lifecycle.subscribe();
    run.commit(&policy("four"), Some(WITHIN)).await;
    assert!(matches!(changes.recv().await, Ok(Change::Edited { .. })));
    assert_eq!(changes.recv().await, Ok(Change::Confirmed { revision: 3 }));
    tokio::time::sleep(2 * WITHIN).await;
    assert_eq!(
        run.states(),
        [(4, Undone), (3, InForce), (2, Superseded), (1, Superseded)]
    );
    assert_eq!(run.datapath.enforces(), "three");
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_confirms_nothing() {
    let run = Place::new(&policy("one")).run().await;
    run.commit(&policy("two"), Some(WITHIN)).await;
    run.edit(&policy("three")).await;
    run.datapath.refuse(true);
    assert!(run.lifecycle.commit(request(None)).await.is_err());
    run.datapath.refuse(false);
    let mut changes = run.lifecycle.subscribe();
    assert!(matches!(
        changes.recv().await,
        Ok(Change::Undone {
            revision: 2,
            in_force: 1,
            ..
        })
    ));
    let candidate = run.lifecycle.candidate().await;
    assert_eq!(
        (&*candidate.text.yaml, candidate.changed),
        (&*policy("three"), true),
        "the edit is not lost"
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_goes_on_across_a_restart() {
    let mut place = Place::new(&policy("one"));
    let run = place.run().await;
    run.commit(&policy("two"), Some(WITHIN)).await;
    drop(run);

    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "two");
    assert_eq!(run.states(), [(2, AwaitingConfirmation), (1, Superseded)]);
    let mut changes = run.lifecycle.subscribe();
    assert!(matches!(
        changes.recv().await,
        Ok(Change::Undone {
            revision: 2,
            in_force: 1,
            ..
        })
    ));
    run.commit(&policy("three"), Some(WITHIN)).await;
    drop(run);

    // The time is over when the appliance comes back.
    place.now += 2 * WITHIN;
    let run = place.run().await;
    assert_eq!(
        (run.datapath.enforces(), run.datapath.commits()),
        ("one".into(), 1),
        "it was never enforced"
    );
    assert_eq!(run.states(), [(3, Undone), (2, Undone), (1, InForce)]);
    assert_eq!(
        run.audit.all(),
        [(AuditAction::RolledBack, Outcome::Done, Via::Timer, Some(3))]
    );
    drop(run);
    place.now -= 4 * WITHIN;
    assert_eq!(
        place.run().await.states()[0],
        (3, Undone),
        "and stays undone"
    );
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_is_refused_is_tried_again_and_shown() {
    let run = Place::new(&policy("one")).run().await;
    run.commit(&policy("two"), Some(WITHIN)).await;
    run.datapath.refuse(true);
    tokio::time::sleep(WITHIN + Duration::from_secs(1)).await;
    assert!(matches!(
        run.lifecycle.in_force().await.alarms[..],
        [Alarm::NotUndone(_)]
    ));
    assert_eq!(run.in_force().await.0, 2);
    run.datapath.refuse(false);
    let mut changes = run.lifecycle.subscribe();
    assert!(matches!(
        changes.recv().await,
        Ok(Change::Undone { revision: 2, .. })
    ));
    assert_eq!(run.datapath.enforces(), "one");
    assert!(run.lifecycle.in_force().await.alarms.is_empty());
}
