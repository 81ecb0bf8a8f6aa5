//! The sink that every stage of reading a configuration reports to, so that one check shows every
//! mistake and not the first.

use std::collections::BTreeSet;

use crate::{Diagnostic, Located, Place, Severity};

/// Nobody reads more, and a small document can have a mistake in every second byte: the others are only counted.
const FINDINGS_MAX: usize = 10_000;

/// What was found so far.
///
/// It also remembers which named entries, maps and lists could not be read in full. That was reported once, where
/// it happened; a reference to such an entry is not a second mistake, and neither is what it lacks.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    diagnostics: Vec<Diagnostic>,
    errors_not_kept: usize,
    warnings_not_kept: usize,
    damaged: BTreeSet<(String, String)>,
    damaged_places: BTreeSet<Place>,
}

impl Findings {
    pub fn error(&mut self, place: Place, message: impl Into<String>) {
        self.error_with_suggestion(place, message, None);
    }

    /// `suggestion` is the nearest valid name, if one is near; see [`suggest`].
    pub fn error_with_suggestion(
        &mut self,
        place: Place,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        self.push(Diagnostic {
            severity: Severity::Error,
            file: None,
            place,
            message: message.into(),
            suggestion,
            missing: None,
        });
    }

    pub fn warning(&mut self, place: Place, message: impl Into<String>) {
        self.push(Diagnostic {
            severity: Severity::Warning,
            file: None,
            place,
            message: message.into(),
            suggestion: None,
            missing: None,
        });
    }

    /// The map that begins at `map` lacks `key`; `hint` says what could be there.
    pub fn missing_key(&mut self, map: Place, key: &'static str, hint: &str) {
        self.push(Diagnostic {
            severity: Severity::Error,
            file: None,
            place: map,
            message: format!("the key '{key}' is missing{hint}"),
            suggestion: None,
            missing: Some(key),
        });
    }

    pub fn has_errors(&self) -> bool {
        self.errors_not_kept > 0
            || self
                .diagnostics
                .iter()
                .any(|finding| finding.severity == Severity::Error)
    }

    pub fn len(&self) -> usize {
        self.diagnostics.len() + self.errors_not_kept + self.warnings_not_kept
    }

    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Everything found, in the order of the document, each finding once. Of very many the first, and how many are
    /// left out.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by(|a, b| {
            (a.place, a.severity, &a.message).cmp(&(b.place, b.severity, &b.message))
        });
        self.diagnostics.dedup();
        for (severity, count, what) in [
            (Severity::Error, self.errors_not_kept, "mistakes"),
            (Severity::Warning, self.warnings_not_kept, "warnings"),
        ] {
            if count > 0 {
                self.diagnostics.push(Diagnostic {
                    severity,
                    file: None,
                    place: Place::NONE,
                    message: format!("{count} more {what} are not listed"),
                    suggestion: None,
                    missing: None,
                });
            }
        }
        self.diagnostics
    }

    /// Takes over what another sink was told.
    pub fn append(&mut self, others: Self) {
        self.errors_not_kept += others.errors_not_kept;
        self.warnings_not_kept += others.warnings_not_kept;
        for finding in others.diagnostics {
            self.push(finding);
        }
        self.damaged.extend(others.damaged);
        self.damaged_places.extend(others.damaged_places);
    }

    /// Entry `name` of `section` has a mistake that was reported: it may be missing or incomplete.
    pub fn mark_damaged(&mut self, section: &str, name: &str) {
        self.damaged.insert((section.to_owned(), name.to_owned()));
    }

    pub fn is_damaged(&self, section: &str, name: &str) -> bool {
        self.damaged
            .contains(&(section.to_owned(), name.to_owned()))
    }

    /// Likewise of a map or a list that has no name of its own, by where it begins.
    pub fn mark_damaged_at(&mut self, place: Place) {
        self.damaged_places.insert(place);
    }

    pub fn is_damaged_at(&self, place: Place) -> bool {
        self.damaged_places.contains(&place)
    }

    pub fn damaged<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> {
        self.damaged
            .iter()
            .filter(move |(of, _)| of == section)
            .map(|(_, name)| name.as_str())
    }

    fn push(&mut self, finding: Diagnostic) {
        if self.diagnostics.len() < FINDINGS_MAX {
            self.diagnostics.push(finding);
        } else if finding.severity == Severity::Error {
            self.errors_not_kept += 1;
        } else {
            self.warnings_not_kept += 1;
        }
    }
}

/// The candidate that `word` was probably meant to be, if any is near enough to be worth naming.
pub fn suggest<I>(word: &str, candidates: I) -> Option<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let word = word.to_lowercase();
    let furthest = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word, &candidate.as_ref().to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// Reports a name that stands for something and so must be one: a letter, then letters, digits,
/// `-`, `_` and `.`, 63 in all; never one of `reserved`.
pub fn check_name(name: &Located<String>, what: &str, reserved: &[&str], findings: &mut Findings) {
    let mut letters = name.value.chars();
    let starts = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic());
    let continues = letters.all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    if !starts || !continues || name.value.len() > 63 {
        findings.error(
            name.place,
            format!("'{}' is no name for {what}: a letter, then letters, digits, '-', '_' or '.', at most 63", name.value),
        );
    } else if reserved.contains(&name.value.as_str()) {
        findings.error(
            name.place,
            format!("'{}' is a reserved word and cannot name {what}", name.value),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(
            suggest("untrsut", ["trust", "untrust"]),
            Some("untrust".to_owned())
        );
        assert_eq!(suggest("Trust", ["trust"]), Some("trust".to_owned()));
        assert_eq!(suggest("dmz", ["trust", "untrust"]), None);
    }

    #[test]
    fn findings_come_out_in_document_order_and_once() {
        let mut findings = Findings::default();
        let at = |line| Place { line, column: 1 };
        findings.error(at(9), "late");
        findings.warning(at(2), "early");
        findings.error(at(9), "late");
        assert!(findings.has_errors());
        let found: Vec<_> = findings
            .into_sorted()
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        assert_eq!(found, ["early", "late"]);
    }

    #[test]
    fn of_very_many_the_first_are_kept_and_the_others_counted() {
        let mut others = Findings::default();
        for column in 0..FINDINGS_MAX as u32 {
            others.warning(Place { line: 1, column }, "w");
        }
        others.error(Place::NONE, "x");
        others.error(Place::NONE, "x");
        others.warning(Place::NONE, "w");
        let mut findings = Findings::default();
        findings.warning(Place::NONE, "first");
        findings.append(others);
        assert!(findings.has_errors());
        assert_eq!(findings.len(), FINDINGS_MAX + 4);
        let sorted = findings.into_sorted();
        assert_eq!(sorted.len(), FINDINGS_MAX + 2);
        let last = sorted.iter().rev().take(2).map(|it| it.message.as_str());
        assert_eq!(
            last.collect::<Vec<_>>(),
            [
                "2 more warnings are not listed",
                "2 more mistakes are not listed"
            ]
        );
    }
}
