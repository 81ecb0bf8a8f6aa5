//! The compiled rules against an oracle that reads the document as a person would: what they decide, why they
//! say they do, and which policies they say can never match.

mod documents;
mod evaluator;

use std::cell::Cell;

use palisade_rules::{Action, Failure, PolicyId, Question, Rules};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use documents::{Document, documents, located, questions};

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn the_classifier_agrees_with_the_document() {
    let reached = [const { Cell::new(0u32) }; 4];
    let cases = (documents(), prop::collection::vec(questions(), 12));
    let outcome = runner(1_500).run(&cases, |(document, questions)| {
        let (rules, errors) = document.compile();
        prop_assert_eq!(errors, Vec::<String>::new());
        for question in questions {
            let decision = rules.classify(&question);
            let expected = evaluator::decide(&document, &question);
            prop_assert_eq!(
                (decision.policy, decision.action),
                expected,
                "{:?}",
                question
            );
            let which = match expected {
                (None, _) => 0,
                (Some(_), Action::Permit) => 1,
                (Some(_), Action::Deny) => 2,
                (Some(_), Action::Reject) => 3,
            };
            reached[which].set(reached[which].get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    let reached = reached.map(Cell::into_inner);
    assert!(
        reached.iter().all(|&times| times > 100),
        "default, permit, deny, reject: {reached:?}"
    );
}

#[test]
fn an_explanation_decides_as_the_rules_do_and_misses_fail_where_it_says() {
    let reached = [const { Cell::new(0u32) }; 3];
    let cases = (documents(), prop::collection::vec(questions(), 12));
    let outcome = runner(1_000).run(&cases, |(document, questions)| {
        let (rules, _) = document.compile();
        for question in questions {
            let explanation = rules.explain(&question);
            prop_assert_eq!(explanation.decision, rules.decide(&question));
            let told: Vec<(u32, Vec<&str>)> = explanation
                .near_misses
                .iter()
                .map(|miss| (miss.policy.0, miss.failed.iter().map(name_of).collect()))
                .collect();
            let before = explanation.decision.policy.map_or(u32::MAX, |id| id.0);
            prop_assert_eq!(&told, &near_misses(&document, &question, before));
            for (_, failed) in told {
                let reached = &reached[failed.len()];
                reached.set(reached.get() + 1);
            }
        }
        Ok(())
    });
    outcome.unwrap();
    let reached = reached.map(Cell::into_inner);
    assert!(reached[1] > 1_000 && reached[2] > 1_000, "{reached:?}");
}

/// Policies before one that fail by one condition or two, nearest first.
fn near_misses(
    document: &Document,
    question: &Question,
    before: u32,
) -> Vec<(u32, Vec<&'static str>)> {
    let policies = (0..before).zip(&document.policies);
    let failures =
        policies.map(|(number, policy)| (number, evaluator::failures(document, policy, question)));
    let mut near: Vec<_> = failures
        .filter(|(_, failed)| (1..=2).contains(&failed.len()))
        .collect();
    near.sort_by_key(|(_, failed)| failed.len());
    near
}

fn name_of(failure: &Failure<'_>) -> &'static str {
    match failure {
        Failure::Disabled => "enabled",
        Failure::Schedule(_) => "schedule",
        Failure::From => "from",
        Failure::To => "to",
        Failure::Source { .. } => "source",
        Failure::Destination { .. } => "destination",
        Failure::Application(_) => "application",
        Failure::Content(_) => "l7",
    }
}

#[test]
fn a_hidden_policy_decides_nothing_and_a_repeated_one_is_hidden() {
    let (hidden_ones, repeated_ones) = (Cell::new(0u32), Cell::new(0u32));
    let cases = (
        documents(),
        any::<prop::sample::Index>(),
        prop::collection::vec(questions(), 40),
    );
    let outcome = runner(1_500).run(&cases, |(mut document, repeated, questions)| {
        let repeated = repeat(&mut document, repeated);
        let (rules, _) = document.compile();
        let hidden = hidden(&document, &rules);
        if let Some(last) = repeated {
            prop_assert!(hidden.contains(&last), "{:?}", document.check());
            repeated_ones.set(repeated_ones.get() + 1);
        }
        for question in questions {
            let (decided_by, _) = evaluator::decide(&document, &question);
            prop_assert!(
                decided_by.is_none_or(|id| !hidden.contains(&id)),
                "{:?} by {:?}, but: {:#?}",
                question,
                decided_by,
                document.check()
            );
        }
        hidden_ones.set(hidden_ones.get() + hidden.len() as u32);
        Ok(())
    });
    outcome.unwrap();
    let (hidden, repeated) = (hidden_ones.get(), repeated_ones.get());
    assert!(
        repeated > 500 && hidden > repeated + 100,
        "{hidden}, {repeated}"
    );
}

/// Writes a policy down once more, behind all others; says which that is, if it can match at all.
fn repeat(document: &mut Document, which: prop::sample::Index) -> Option<PolicyId> {
    if document.policies.is_empty() {
        return None;
    }
    let mut policy = which.get(&document.policies).clone();
    policy.name = located("repeated");
    let enabled = policy.enabled;
    document.policies.push(policy);
    (enabled && document.can_match("repeated"))
        .then(|| PolicyId(document.policies.len() as u32 - 1))
}

fn hidden(document: &Document, rules: &Rules) -> Vec<PolicyId> {
    let said = document.check();
    let names = said.iter().filter_map(|message| {
        let (name, _) = message
            .strip_prefix("policy '")?
            .split_once("' can never match")?;
        Some(name)
    });
    let position = |name: &str| {
        let mut policies = (0..).zip(rules.policies());
        policies
            .find(|(_, policy)| policy.name == name)
            .map(|(number, _)| PolicyId(number))
    };
    names.filter_map(position).collect()
}
