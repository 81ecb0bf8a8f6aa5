//! Intrusion signatures: which files, what their variables stand for, and what is changed of their rules.

use std::path::Path;

use rules::{Findings, Located, Place};
use signatures::{Action, LoadOptions, OnFault, Selector, SuppressBy, Tuning, Variables};

use super::document::{self, OnError, TuningAction};

/// What is loaded, and how. Whether there are such files is seen when they are read: a configuration may be
/// checked elsewhere.
#[derive(Clone, Debug, Default)]
pub struct SignatureRules {
    pub files: Vec<RuleFiles>,
    pub options: LoadOptions,
    /// Where each change of the options' tuning is.
    pub tuning: Vec<Place>,
}

/// A file, or all of a directory whose names match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFiles {
    /// A full path, or one from where the configuration is. `*` and `?` in its last part alone.
    pub pattern: String,
    pub place: Place,
}

const MAX_PATTERNS: usize = 256;
const MAX_VARIABLES: usize = 256;
const MAX_CHANGES: usize = 65_536;
/// The generator of rules that say none.
const DEFAULT_GID: u32 = 1;

pub(super) fn compile(document: &document::Signatures, findings: &mut Findings) -> SignatureRules {
    if let Some(file) = document.files.0.get(MAX_PATTERNS) {
        findings.error(
            file.place,
            format!("there are more than {MAX_PATTERNS} files"),
        );
    }
    let files = document.files.iter();
    let files = files
        .filter_map(|file| rule_files(file, findings))
        .collect();
    let variables = variables(document, findings);
    let changes = document.tuning.iter();
    let places = changes.map(|change| change.place).collect();
    let tuning = tuning(document, &variables, findings);
    SignatureRules {
        files,
        tuning: places,
        options: LoadOptions {
            variables,
            tuning,
            on_fault: match document.on_error {
                OnError::Skip => OnFault::KeepOthers,
                OnError::Refuse => OnFault::LoadNone,
            },
        },
    }
}

fn rule_files(file: &Located<String>, findings: &mut Findings) -> Option<RuleFiles> {
    let wild = |part: &str| part.contains(['*', '?', '[']);
    let path = Path::new(&file.value);
    let above = path
        .parent()
        .is_some_and(|above| wild(&above.to_string_lossy()));
    let wrong = if path.file_name().is_none() {
        Some(format!(
            "'{}' names no file, as in rules/*.rules",
            file.value
        ))
    } else if above {
        Some(format!(
            "'{}': * and ? stand for files of one directory",
            file.value
        ))
    } else {
        let unreadable = glob::Pattern::new(&file.value).err();
        unreadable.map(|error| format!("'{}' is no pattern: {}", file.value, error.msg))
    };
    if let Some(wrong) = wrong {
        findings.error(file.place, wrong);
        return None;
    }
    Some(RuleFiles {
        pattern: file.value.clone(),
        place: file.place,
    })
}

/// Variables may be made of others in any order, so all are set anew until nothing gets better.
fn variables(document: &document::Signatures, findings: &mut Findings) -> Variables {
    let mut variables = Variables::default();
    if let Some((name, _)) = document.variables.0.get(MAX_VARIABLES) {
        findings.error(
            name.place,
            format!("there are more than {MAX_VARIABLES} variables"),
        );
        return variables;
    }
    let mut before = None;
    loop {
        let mut wrong = Vec::new();
        for (name, items) in &document.variables {
            if let Err(error) = set(&mut variables, name, items) {
                wrong.push((name, items, error));
            }
        }
        // What was right with another's old value may be wrong with its new one.
        if before == Some(wrong.len()) {
            for (name, items, error) in wrong {
                let place = items.0.first().map_or(name.place, |item| item.place);
                findings.error(place, error);
            }
            return variables;
        }
        before = Some(wrong.len());
    }
}

fn set(
    variables: &mut Variables,
    name: &Located<String>,
    items: &document::VariableItems,
) -> Result<(), String> {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.value.is_empty() || !name.value.chars().all(letters) {
        return Err(format!(
            "'{}' is no name of a variable, as in HOME_NET",
            name.value
        ));
    }
    let value = in_brackets(items);
    let set = if name.value.ends_with("_PORTS") {
        variables.set_ports(&name.value, &value)
    } else {
        variables.set_addresses(&name.value, &value)
    };
    set.map_err(|error| format!("{}: {error}", name.value))
}

/// As rule headers write a list.
fn in_brackets(items: &document::VariableItems) -> String {
    let items: Vec<&str> = items.iter().map(|item| item.value.as_str()).collect();
    format!("[{}]", items.join(","))
}

fn tuning(
    document: &document::Signatures,
    variables: &Variables,
    findings: &mut Findings,
) -> Tuning {
    let mut tuning = Tuning::default();
    if let Some(change) = document.tuning.get(MAX_CHANGES) {
        findings.error(
            change.place,
            format!("there are more than {MAX_CHANGES} changes"),
        );
    }
    for change in &document.tuning {
        if let Some(rules) = selector(change, findings) {
            tune(&mut tuning, rules, change, variables, findings);
        }
    }
    tuning
}

fn selector(change: &Located<document::Tuning>, findings: &mut Findings) -> Option<Selector> {
    match (&change.value.id, &change.value.class) {
        (Some(id), None) => Some(Selector::Sid {
            gid: change.value.generator.unwrap_or(DEFAULT_GID),
            sid: id.value,
        }),
        (None, Some(class)) if change.value.generator.is_none() => {
            Some(Selector::Class(class.value.clone()))
        }
        (None, Some(class)) => {
            findings.error(class.place, "a generator goes with an id");
            None
        }
        (Some(_), Some(class)) => {
            findings.error(
                class.place,
                "a change is for an id or for a class, not for both",
            );
            None
        }
        // What was meant for one was reported.
        (None, None) if findings.is_damaged_at(change.place) => None,
        (None, None) => {
            findings.error(change.place, "which rules? id: NUMBER, or class: NAME");
            None
        }
    }
}

fn tune(
    tuning: &mut Tuning,
    rules: Selector,
    change: &Located<document::Tuning>,
    variables: &Variables,
    findings: &mut Findings,
) {
    let ends = [
        (&change.value.from, SuppressBy::Source),
        (&change.value.to, SuppressBy::Destination),
        (&change.value.address, SuppressBy::Either),
    ];
    let mut ends = ends.into_iter().filter(|(items, _)| !items.is_empty());
    let action = change.value.action;
    let Some((items, end)) = ends.next() else {
        match action.value {
            TuningAction::Off => tuning.switch(rules, false),
            TuningAction::On => tuning.switch(rules, true),
            TuningAction::Alert => tuning.set_action(rules, Action::Alert),
            TuningAction::Drop => tuning.set_action(rules, Action::Drop),
            TuningAction::Reject => tuning.set_action(rules, Action::Reject),
            TuningAction::Pass => tuning.set_action(rules, Action::Pass),
        }
        return;
    };
    let place = items.0.first().map_or(change.place, |item| item.place);
    if ends.next().is_some() {
        findings.error(place, "one of from, to and address");
    } else if action.value != TuningAction::Off {
        findings.error(action.place, "for certain addresses a rule can only be off");
    } else if let Err(error) = tuning.suppress(rules, end, &in_brackets(items), variables) {
        findings.error(place, error.to_string());
    }
}
