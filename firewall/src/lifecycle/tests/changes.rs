//! The candidate, commits and the history.

use serde_json::json;

use super::*;
use RevisionState::{InForce, Superseded};

fn patch(operations: serde_json::Value) -> json_patch::Patch {
    serde_json::from_value(operations).unwrap()
}

#[tokio::test]
async fn an_edit_changes_the_candidate_and_a_commit_puts_it_in_force() {
    let run = Place::new(&policy("one")).run().await;
    let before = run.lifecycle.candidate().await;
    assert!(!before.changed);
    let edited = run.edit(&policy("two")).await;
    assert!(edited.changed);
    assert_eq!(run.datapath.enforces(), "one");
    assert_eq!(run.lifecycle.candidate().await.text.etag, edited.etag);

    let committed = run.lifecycle.commit(request(None)).await.unwrap();
    assert_eq!(
        committed,
        Committed {
            revision: 2,
            generation: 2,
            confirm_by: None
        }
    );
    assert_eq!(run.datapath.enforces(), "two");
    assert_eq!(run.in_force().await, (2, policy("two")));
    assert!(!run.lifecycle.candidate().await.changed);
    assert_eq!(run.states(), [(2, InForce), (1, Superseded)]);
    let (revision, text) = run.lifecycle.revision(1).await.unwrap();
    assert_eq!(
        (&*text.yaml, revision.source),
        (&*policy("one"), Source::StartFile)
    );
    let newest = &run.lifecycle.history()[0];
    assert_eq!(
        (&*newest.comment, &newest.author, newest.source),
        ("why", &alice(), Source::Commit)
    );
}

#[tokio::test]
async fn a_document_with_a_mistake_does_not_become_the_candidate() {
    let run = Place::new(&policy("one")).run().await;
    let wrong = policy("one").replace("from: trust", "from: trsut");
    let refused = run
        .lifecycle
        .replace(wrong.clone(), Format::Yaml, &IfMatch::Any, &alice())
        .await;
    let Err(EditError::Invalid(findings)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (&*findings[0].pointer, findings[0].place.line),
        ("/policies/0/from", 8)
    );
    assert_eq!(findings[0].suggestion.as_deref(), Some("trust"));
    assert!(!run.lifecycle.candidate().await.changed);

    let refused = run
        .lifecycle
        .patch(
            patch(json!([{"op": "remove", "path": "/zones"}])),
            &IfMatch::Any,
            &alice(),
        )
        .await;
    assert!(matches!(refused, Err(EditError::Invalid(_))), "{refused:?}");
    let refused = run
        .lifecycle
        .patch(
            patch(json!([{"op": "remove", "path": "/x"}])),
            &IfMatch::Any,
            &alice(),
        )
        .await;
    assert!(matches!(refused, Err(EditError::Patch(_))), "{refused:?}");
    assert!(!run.lifecycle.candidate().await.changed);

    let report = run.lifecycle.check(Some(wrong)).await;
    assert!(!report.valid && report.findings.len() == 1);
    assert!(run.lifecycle.check(None).await.valid);
}

#[tokio::test]
async fn a_patch_and_a_json_document_keep_the_comments() {
    let run = Place::new(&policy("one")).run().await;
    let rename = json!([{"op": "replace", "path": "/policies/0/name", "value": "two"}]);
    run.lifecycle
        .patch(patch(rename), &IfMatch::Any, &alice())
        .await
        .unwrap();
    assert_eq!(&*run.lifecycle.candidate().await.text.yaml, policy("two"));

    let mut whole = run.lifecycle.candidate().await.text.json().clone();
    whole["policies"][0]["name"] = json!("three");
    run.lifecycle
        .replace(whole.to_string(), Format::Json, &IfMatch::Any, &alice())
        .await
        .unwrap();
    assert_eq!(&*run.lifecycle.candidate().await.text.yaml, policy("three"));

    whole["policies"][0]["from"] = json!("nowhere");
    let pretty = serde_json::to_string_pretty(&whole).unwrap();
    let refused = run
        .lifecycle
        .replace(pretty.clone(), Format::Json, &IfMatch::Any, &alice())
        .await;
    let Err(EditError::Invalid(findings)) = refused else {
        panic!("{refused:?}")
    };
    let line = pretty
        .lines()
        .position(|line| line.contains("nowhere"))
        .unwrap()
        + 1;
    assert_eq!(
        findings[0].place.line as usize, line,
        "the line of the JSON text"
    );
}

#[tokio::test]
async fn whoever_edits_what_is_no_longer_there_is_told() {
    let run = Place::new(&policy("one")).run().await;
    let seen = run.lifecycle.candidate().await.text.etag;
    let first = run.edit(&policy("two")).await.etag;
    let refused = run
        .lifecycle
        .replace(
            policy("three"),
            Format::Yaml,
            &seen.clone().into(),
            &alice(),
        )
        .await;
    match refused {
        Err(EditError::Conflict { expected, actual }) => {
            assert_eq!((expected, &actual), (IfMatch::from(seen.clone()), &first));
        }
        other => panic!("{other:?}"),
    }
    let mut stale = request(None);
    stale.if_match = seen.into();
    assert!(matches!(
        run.lifecycle.commit(stale).await,
        Err(CommitFailed::Conflict { .. })
    ));
    let mut fresh = request(None);
    fresh.if_match = first.into();
    run.lifecycle.commit(fresh).await.unwrap();
    assert_eq!(run.datapath.enforces(), "two");
}

#[tokio::test]
async fn many_editors_take_turns() {
    let run = Place::new(&document("policies: []\n")).run().await;
    let edits = (0..20).map(|number| {
        let lifecycle = run.lifecycle.clone();
        let add = patch(json!([{"op": "add", "path": "/policies/-", "value":
            {"name": format!("p{number}"), "from": "trust", "to": "trust", "action": "deny"}}]));
        tokio::spawn(async move { lifecycle.patch(add, &IfMatch::Any, &alice()).await })
    });
    for edit in edits.collect::<Vec<_>>() {
        edit.await.unwrap().unwrap();
    }
    let candidate = run.lifecycle.candidate().await;
    assert_eq!(
        candidate.text.json()["policies"].as_array().unwrap().len(),
        20
    );
}

#[tokio::test]
async fn a_commit_of_nothing_is_refused_and_audited() {
    let run = Place::new(&policy("one")).run().await;
    assert!(matches!(
        run.lifecycle.commit(request(None)).await,
        Err(CommitFailed::NothingChanged)
    ));
    run.edit(&policy("two")).await;
    run.edit(&policy("one")).await;
    assert!(matches!(
        run.lifecycle.commit(request(None)).await,
        Err(CommitFailed::NothingChanged)
    ));
    assert_eq!(run.datapath.commits(), 1);
    assert_eq!(
        run.audit.all(),
        [
            (AuditAction::Committed, Outcome::Done, Via::Boot, Some(1)),
            (AuditAction::Committed, Outcome::Refused, Via::Token, None),
            (
                AuditAction::CandidateChanged,
                Outcome::Done,
                Via::Token,
                None
            ),
            (
                AuditAction::CandidateChanged,
                Outcome::Done,
                Via::Token,
                None
            ),
            (AuditAction::Committed, Outcome::Refused, Via::Token, None),
        ]
    );
}

#[tokio::test]
async fn limits_of_a_request_are_kept() {
    let run = Place::new(&policy("one")).run().await;
    run.edit(&policy("two")).await;
    for within in [
        Duration::from_millis(999),
        Duration::from_secs(24 * 3600 + 1),
    ] {
        assert!(matches!(
            run.lifecycle.commit(request(Some(within))).await,
            Err(CommitFailed::Deadline)
        ));
    }
    let mut long = request(None);
    long.comment = "x".repeat(MAX_COMMENT_BYTES + 1);
    assert!(matches!(
        run.lifecycle.commit(long).await,
        Err(CommitFailed::Comment)
    ));
    let large = format!(
        "{}# {}\n",
        policy("two"),
        "x".repeat(crate::config::MAX_BYTES)
    );
    let refused = run
        .lifecycle
        .replace(large, Format::Yaml, &IfMatch::Any, &alice())
        .await;
    assert!(matches!(refused, Err(EditError::Invalid(_))));
    assert_eq!(run.states(), [(1, InForce)]);
}

#[tokio::test]
async fn what_the_datapath_refuses_was_never_there() {
    let place = Place::new(&policy("one"));
    let run = place.run().await;
    run.edit(&policy("two")).await;
    run.datapath.refuse(true);
    assert!(matches!(
        run.lifecycle.commit(request(None)).await,
        Err(CommitFailed::Datapath(_))
    ));
    assert_eq!(run.in_force().await, (1, policy("one")));
    assert_eq!(run.states(), [(1, InForce)]);
    assert_eq!(&*run.lifecycle.candidate().await.text.yaml, policy("two"));
    assert!(run.lifecycle.revision(2).await.is_err());

    run.datapath.refuse(false);
    assert_eq!(
        run.lifecycle.commit(request(None)).await.unwrap().revision,
        2
    );
    drop(run);
    assert_eq!(place.run().await.in_force().await, (2, policy("two")));
}

#[tokio::test]
async fn an_earlier_revision_is_loaded_compared_and_committed_again() {
    let run = Place::new(&policy("one")).run().await;
    run.commit(&policy("two"), None).await;
    run.edit(&policy("three")).await;
    assert!(
        run.lifecycle
            .load(1, &IfMatch::Any, &alice())
            .await
            .unwrap()
            .changed
    );
    let diff = run
        .lifecycle
        .diff(Which::InForce, Which::Candidate)
        .await
        .unwrap();
    assert!(
        diff.changed
            && diff.text.contains("\n-  - { name: two,")
            && diff.text.contains("\n+  - { name: one,")
    );
    let back = run
        .lifecycle
        .diff(Which::Candidate, Which::Revision(1))
        .await
        .unwrap();
    assert!(!back.changed && back.text.is_empty() && back.patch.is_empty());
    assert_eq!(
        run.lifecycle.commit(request(None)).await.unwrap().revision,
        3
    );
    assert_eq!(run.datapath.enforces(), "one");
    assert!(
        !run.lifecycle
            .load(3, &IfMatch::Any, &alice())
            .await
            .unwrap()
            .changed
    );
    let missing = run.lifecycle.load(9, &IfMatch::Any, &alice()).await;
    assert!(matches!(
        missing,
        Err(EditError::NoSuchRevision(NoSuchRevision(9)))
    ));
    assert!(
        run.lifecycle
            .diff(Which::Revision(9), Which::InForce)
            .await
            .is_err()
    );

    run.edit(&policy("four")).await;
    assert!(
        !run.lifecycle
            .discard(&IfMatch::Any, &alice())
            .await
            .unwrap()
            .changed
    );
    assert_eq!(&*run.lifecycle.candidate().await.text.yaml, policy("one"));
}

#[tokio::test]
async fn a_refresh_compiles_what_is_in_force_and_not_the_candidate() {
    let run = Place::new(&policy("one")).run().await;
    run.edit(&policy("two")).await;
    assert_eq!(run.lifecycle.refresh().await.unwrap(), 2);
    assert_eq!(
        (run.datapath.enforces(), run.datapath.commits()),
        ("one".into(), 2)
    );
    assert_eq!(run.lifecycle.in_force().await.generation, 2);
    assert_eq!(run.states(), [(1, InForce)]);
}

#[tokio::test]
async fn what_was_in_force_before_is_no_new_commit() {
    let place = Place::new(&policy("one"));
    let run = place.run().await;
    run.edit(&policy("two")).await;
    run.lifecycle.commit(request(None)).await.unwrap();
    run.lifecycle.refresh().await.unwrap();
    run.lifecycle.reload().await.unwrap();
    place.write(&policy("three"));
    run.lifecycle.reload().await.unwrap();
    assert_eq!(
        run.datapath.occasions(),
        [
            Occasion::Commit,
            Occasion::Again,
            Occasion::Again,
            Occasion::Commit
        ]
    );
}

#[tokio::test]
async fn a_commit_without_a_comment_is_told_in_a_sentence() {
    let run = Place::new(&policy("one")).run().await;
    run.edit(&policy("two")).await;
    let mut silent = request(None);
    silent.comment.clear();
    run.lifecycle.commit(silent).await.unwrap();
    let told = run.audit.0.lock().unwrap().last().unwrap().detail.clone();
    assert_eq!(told, "committed without a comment");
    assert_eq!(run.lifecycle.history()[0].comment, "");
}

#[tokio::test]
async fn followers_hear_what_happens() {
    let run = Place::new(&policy("one")).run().await;
    let mut changes = run.lifecycle.subscribe();
    run.commit(&policy("two"), None).await;
    assert!(matches!(
        changes.recv().await,
        Ok(Change::Edited { changed: true, .. })
    ));
    assert!(matches!(
        changes.recv().await,
        Ok(Change::Committed {
            revision: 2,
            generation: 2,
            confirm_by: None,
            ..
        })
    ));
}

#[tokio::test]
async fn a_commit_goes_on_when_nobody_waits_for_it() {
    let run = Place::new(&policy("one")).run().await;
    run.edit(&policy("two")).await;
    let lifecycle = run.lifecycle.clone();
    let mut changes = run.lifecycle.subscribe();
    let caller = tokio::spawn(async move { lifecycle.commit(request(None)).await });
    tokio::task::yield_now().await;
    caller.abort();
    assert!(matches!(
        changes.recv().await,
        Ok(Change::Committed { revision: 2, .. })
    ));
    assert_eq!(run.in_force().await, (2, policy("two")));
}

#[tokio::test]
async fn nothing_is_committed_to_a_datapath_that_has_stopped() {
    let run = Place::new(&policy("one")).run().await;
    run.edit(&policy("two")).await;
    run.lifecycle.stop().await;
    assert!(run.datapath.0.lock().unwrap().stopped);
    assert!(matches!(
        run.lifecycle.commit(request(None)).await,
        Err(CommitFailed::Stopping)
    ));
    assert!(matches!(
        run.lifecycle.refresh().await,
        Err(RefreshError::Stopping)
    ));
    assert_eq!(run.in_force().await, (1, policy("one")));
}
