//! What the people who run rules change about them, without editing the files: off and on, another action,
//! how often, and where not.

use std::fmt;
use std::sync::Arc;

use crate::error::SetError;
use crate::rule::{Action, Rate, Rule};
use crate::sets::{AddressSet, Variables};

/// Changes in their order; later ones win.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    changes: Vec<(Selector, Change)>,
}

/// Which rules a change is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    Sid { gid: u32, sid: u32 },
    Class(String),
    All,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sid { gid: 1, sid } => write!(f, "id {sid}"),
            Self::Sid { gid, sid } => write!(f, "id {sid} of generator {gid}"),
            Self::Class(class) => write!(f, "class '{class}'"),
            Self::All => f.write_str("all"),
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Switch(bool),
    Action(Action),
    Rate(Option<Rate>),
    Suppress(Suppression),
}

/// Whose traffic a rule is not told about.
#[derive(Clone, Debug)]
pub(crate) struct Suppression {
    pub(crate) end: SuppressBy,
    pub(crate) addresses: Arc<AddressSet>,
}

/// Which address of a match decides whether it is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressBy {
    Source,
    Destination,
    Either,
}

impl Tuning {
    /// Switches rules on, also those that are commented out, or off.
    pub fn switch(&mut self, rules: Selector, on: bool) {
        self.changes.push((rules, Change::Switch(on)));
    }

    pub fn set_action(&mut self, rules: Selector, action: Action) {
        self.changes.push((rules, Change::Action(action)));
    }

    /// Replaces a rule's own threshold or filter; `None` takes it away.
    pub fn set_rate(&mut self, rules: Selector, rate: Option<Rate>) {
        self.changes.push((rules, Change::Rate(rate)));
    }

    /// Suppresses matches by an address: what a rule header could say there, with the variables.
    ///
    /// # Errors
    /// Where the addresses can't be read.
    pub fn suppress(
        &mut self,
        rules: Selector,
        end: SuppressBy,
        addresses: &str,
        variables: &Variables,
    ) -> Result<(), SetError> {
        let addresses = Arc::new(variables.addresses(addresses)?);
        self.changes
            .push((rules, Change::Suppress(Suppression { end, addresses })));
        Ok(())
    }

    /// Whether a rule that is commented out has to be read to know.
    pub(crate) fn may_switch_on(&self, sid: Option<u32>) -> bool {
        self.changes.iter().any(|(selector, change)| {
            matches!(change, Change::Switch(true))
                && match selector {
                    Selector::Sid { sid: wanted, .. } => Some(*wanted) == sid,
                    Selector::Class(_) | Selector::All => true,
                }
        })
    }

    /// Changes that nothing was found for yet.
    pub(crate) fn nothing_found(&self) -> Found {
        Found(vec![false; self.changes.len()])
    }

    /// A rule is there that was not read, or can't be: changes of it are not for nothing.
    pub(crate) fn find_unread(&self, text: &str, sid: Option<u32>, found: &mut Found) {
        for ((selector, _), found) in self.changes.iter().zip(&mut found.0) {
            *found = *found
                || match selector {
                    Selector::Sid { sid: wanted, .. } => Some(*wanted) == sid,
                    Selector::Class(class) => text.contains(&format!("classtype:{class};")),
                    Selector::All => true,
                };
        }
    }

    /// Changes that no rule was found for, by their position.
    pub(crate) fn idle(&self, found: &Found) -> Vec<(usize, Selector)> {
        let changes = self.changes.iter().zip(&found.0).enumerate();
        changes
            .filter(|(_, (_, found))| !**found)
            .map(|(position, ((selector, _), _))| (position, selector.clone()))
            .collect()
    }

    /// Makes the changes, and says whether the rule is on. Of each change that is for it, `found` knows afterwards.
    pub(crate) fn apply(&self, rule: &mut Rule, mut on: bool, found: &mut Found) -> bool {
        for ((selector, change), found) in self.changes.iter().zip(&mut found.0) {
            let selected = match selector {
                Selector::Sid { gid, sid } => (rule.gid, rule.sid) == (*gid, *sid),
                Selector::Class(class) => rule.class.as_deref() == Some(class),
                Selector::All => true,
            };
            if !selected {
                continue;
            }
            *found = true;
            match change {
                Change::Switch(switch) => on = *switch,
                Change::Action(action) => rule.action = *action,
                Change::Rate(rate) => rule.rates = rate.iter().copied().collect(),
                Change::Suppress(suppression) => {
                    let mut all = std::mem::take(&mut rule.suppressions).into_vec();
                    all.push(suppression.clone());
                    rule.suppressions = all.into();
                }
            }
        }
        on
    }
}

/// Of each change, whether a rule was found that it is for.
#[derive(Debug)]
pub(crate) struct Found(Vec<bool>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{LoadOptions, LoadReport, Ruleset, Source, load};

    const BUNDLE: &[u8] =
        b"alert tcp any any -> any any (content:\"a\"; classtype:web; threshold:type limit,track by_src,count 1,seconds 9; sid:1;)\n\
        alert tcp any any -> any any (content:\"a\"; classtype:scan; sid:2;)\n\
        # alert tcp any any -> any any (content:\"a\"; classtype:web; sid:3;)\n";

    fn loaded(tuning: Tuning) -> (Ruleset, LoadReport) {
        let options = LoadOptions {
            tuning,
            ..LoadOptions::default()
        };
        let source = Source {
            name: "x",
            text: BUNDLE,
        };
        load(&[source], &options).unwrap()
    }

    fn rules(tuning: Tuning) -> Vec<Rule> {
        loaded(tuning).0.rules
    }

    fn sids(tuning: Tuning) -> Vec<u32> {
        rules(tuning).iter().map(|rule| rule.sid).collect()
    }

    #[test]
    fn rules_are_switched_by_id_and_class_and_the_last_word_wins() {
        assert_eq!(sids(Tuning::default()), [1, 2]);
        let mut tuning = Tuning::default();
        tuning.switch(Selector::Class("web".into()), true);
        assert_eq!(sids(tuning.clone()), [1, 2, 3]);
        tuning.switch(Selector::Sid { gid: 1, sid: 1 }, false);
        assert_eq!(sids(tuning.clone()), [2, 3]);
        tuning.switch(Selector::All, false);
        assert_eq!(sids(tuning), []);
    }

    #[test]
    fn changes_of_rules_that_are_not_there_are_told() {
        let mut tuning = Tuning::default();
        tuning.switch(Selector::Sid { gid: 1, sid: 1 }, false);
        tuning.switch(Selector::Sid { gid: 1, sid: 99 }, false);
        // Commented out, and so never read.
        tuning.set_action(Selector::Sid { gid: 1, sid: 3 }, Action::Drop);
        tuning.set_action(Selector::Class("scan".into()), Action::Drop);
        tuning.set_action(Selector::Class("nosuch".into()), Action::Drop);
        let report = loaded(tuning).1;
        let idle: Vec<_> = report
            .idle
            .iter()
            .map(|(position, rules)| (*position, rules.to_string()))
            .collect();
        assert_eq!(
            idle,
            [(1, "id 99".to_owned()), (4, "class 'nosuch'".to_owned())]
        );
    }

    #[test]
    fn actions_and_rates_are_replaced() {
        let mut tuning = Tuning::default();
        tuning.set_action(Selector::Class("scan".into()), Action::Drop);
        tuning.set_rate(Selector::Sid { gid: 1, sid: 1 }, None);
        let rules = rules(tuning);
        assert_eq!(rules[0].action, Action::Alert);
        assert!(rules[0].rates.is_empty());
        assert_eq!(rules[1].action, Action::Drop);
    }
}
