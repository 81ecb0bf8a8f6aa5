//! A disk that fails, and a power cut, at every step of a commit.

use super::super::store::power::{Fault, LEFT, Left};
use super::*;

/// How many steps the disk does for an edit and a commit.
async fn steps() -> usize {
    let place = Place::new(&policy("one"));
    let run = place.run().await;
    place.machine.set(None);
    run.commit(&policy("two"), None).await;
    place.machine.steps()
}

#[tokio::test]
async fn whatever_fails_the_datapath_enforces_what_is_on_record() {
    let mut refused = 0;
    for step in 1..=steps().await {
        let place = Place::new(&policy("one"));
        let run = place.run().await;
        place.machine.set(Some(Fault::Error(step)));
        let edited = run
            .lifecycle
            .replace(policy("two"), Format::Yaml, &IfMatch::Any, &alice())
            .await;
        if edited.is_err() {
            assert!(!run.lifecycle.candidate().await.changed, "step {step}");
            run.edit(&policy("two")).await;
        }
        let committed = run.lifecycle.commit(request(None)).await;
        let expected = if committed.is_ok() { "two" } else { "one" };
        assert_eq!(run.datapath.enforces(), expected, "step {step}");
        assert_eq!(run.in_force().await.1, policy(expected), "step {step}");
        assert_eq!(
            run.lifecycle.candidate().await.changed,
            committed.is_err(),
            "step {step}"
        );
        refused += usize::from(committed.is_err());
        let after = Place {
            machine: place.machine.restarted(Left::OnlySynced),
            ..place
        };
        assert_eq!(
            after.run().await.in_force().await.1,
            policy(expected),
            "step {step}"
        );
        if committed.is_err() {
            run.lifecycle.commit(request(None)).await.unwrap();
            assert_eq!(run.datapath.enforces(), "two", "step {step}");
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn whenever_the_power_goes_the_next_start_enforces_the_old_or_the_new() {
    let (mut old, mut new) = (0, 0);
    for step in 1..=steps().await {
        let mut place = Place::new(&policy("one"));
        let run = place.run().await;
        place.machine.set(Some(Fault::PowerCut(step)));
        let edited = run
            .lifecycle
            .replace(policy("two"), Format::Yaml, &IfMatch::Any, &alice())
            .await;
        let committed = run.lifecycle.commit(request(None)).await;
        drop(run);
        let stopped = place.machine.clone();
        for left in LEFT {
            place.machine = stopped.restarted(left);
            let run = place.run().await;
            let (_, text) = run.in_force().await;
            assert!(
                text == policy("one") || text == policy("two"),
                "step {step}, {left:?}"
            );
            assert!(
                committed.is_err() || text == policy("two"),
                "step {step}, {left:?}: it was reported"
            );
            if edited.is_ok() && text == policy("one") {
                assert!(
                    run.lifecycle.candidate().await.changed,
                    "step {step}, {left:?}: the edit was reported"
                );
            }
            assert!(
                run.lifecycle.in_force().await.alarms.is_empty(),
                "step {step}, {left:?}"
            );
            old += usize::from(text == policy("one"));
            new += usize::from(text == policy("two"));
        }
    }
    assert!(old > 0 && new > 0, "{old} and {new}");
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_makes_the_configuration_read_only() {
    let place = Place::new(&policy("one"));
    place.machine.set(Some(Fault::PowerCut(1)));
    let run = place.run().await;
    assert_eq!(run.datapath.enforces(), "one");
    let in_force = run.lifecycle.in_force().await;
    assert!(matches!(in_force.alarms[..], [Alarm::ReadOnly(_)]));
    let refused = run.lifecycle.discard(&IfMatch::Any, &alice()).await;
    assert!(matches!(refused, Err(EditError::ReadOnly(_))));
    assert_eq!(
        &*run.lifecycle.revision(1).await.unwrap().1.yaml,
        policy("one")
    );
}
