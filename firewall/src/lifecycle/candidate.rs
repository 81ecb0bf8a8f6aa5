//! Changes to the candidate. What has an error does not become it.

use std::sync::Arc;

use serde_json::Value;

use super::error::{EditError, NoSuchRevision};
use super::running::{Inner, Picture, State, found};
use super::task::blocking;
use super::text::{IfMatch, Text};
use super::{Change, Edited, Format};
use crate::audit::{Actor, AuditAction, Outcome};
use crate::config::edit::{self, PatchError, PatchProblem};
use crate::config::{Finding, findings, to_json};

/// Policies up to which an edit is told of its hygiene, too; for more, a check is.
const HYGIENE_AT_ONCE: usize = 1_000;

/// What to make of the candidate.
#[derive(Debug)]
pub(super) enum Edit {
    Replace(String, Format),
    Patch(json_patch::Patch),
    Load(u64),
    Discard,
}

impl Inner {
    pub(super) async fn edit(
        &self,
        edit: Edit,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        self.check_writable()?;
        let mut state = self.state.lock().await;
        let actual = &state.now.candidate().etag;
        if !if_match.allows(actual) {
            return Err(EditError::Conflict {
                expected: if_match.clone(),
                actual: actual.clone(),
            });
        }
        let detail = edit.to_string();
        let (text, warnings) = self.edited(&state.now, edit).await?;
        self.keep_candidate(&mut state, text, &detail, actor)
            .await?;
        Ok(Edited {
            etag: state.now.candidate().etag.clone(),
            changed: state.now.candidate.is_some(),
            warnings,
        })
    }

    /// The candidate as it would be, and what there is to say about it.
    async fn edited(&self, now: &Picture, edit: Edit) -> Result<(Text, Vec<Finding>), EditError> {
        let before = now.candidate().yaml.clone();
        let compile = self.options.compile.clone();
        let write: Box<dyn FnOnce() -> Result<String, EditError> + Send> = match edit {
            Edit::Discard => return Ok((now.in_force.clone(), Vec::new())),
            Edit::Replace(yaml, Format::Yaml) => Box::new(move || Ok(yaml)),
            Edit::Replace(json, Format::Json) => Box::new(move || {
                // Read once as it came, so that what is wrong with it is found in its own lines.
                compile(&json, "candidate")
                    .map_err(|error| EditError::Invalid(found(&json, &error)))?;
                Ok(settled(&before, &to_json(&json).unwrap_or_default())?)
            }),
            Edit::Patch(patch) => Box::new(move || Ok(edit::patch(&before, &patch)?)),
            Edit::Load(number) => {
                let record = now.manifest.record(number).cloned();
                let record = record.ok_or(NoSuchRevision(number))?;
                let text = self.stored(move |store| store.text(&record)).await?;
                Box::new(move || Ok(text))
            }
        };
        let compile = self.options.compile.clone();
        blocking(move || {
            let text = Text::new(&write()?);
            let mut config = compile(&text.yaml, "candidate")
                .map_err(|error| EditError::Invalid(found(&text.yaml, &error)))?;
            if config.rules.policies().len() <= HYGIENE_AT_ONCE {
                config.warnings.extend(config.hygiene());
                config.warnings.sort_by_key(|finding| finding.place);
            }
            // So that nobody waits for it later.
            let _ = text.json();
            let warnings = findings(&text.yaml, &config.warnings);
            Ok((text, warnings))
        })
        .await
    }

    async fn keep_candidate(
        &self,
        state: &mut State,
        text: Text,
        detail: &str,
        actor: &Actor,
    ) -> Result<(), EditError> {
        let changed = text.etag != state.now.in_force.etag;
        let candidate = changed.then_some(text);
        let kept: Option<Arc<str>> = candidate.as_ref().map(|text| text.yaml.clone());
        self.stored(move |store| store.keep_candidate(kept.as_deref()))
            .await?;
        state.now.candidate = candidate;
        self.show(state);
        self.audit(
            actor,
            AuditAction::CandidateChanged,
            Outcome::Done,
            detail,
            None,
        );
        self.tell(Change::Edited {
            etag: state.now.candidate().etag.clone(),
            changed,
        });
        Ok(())
    }
}

fn settled(before: &str, value: &Value) -> Result<String, PatchError> {
    edit::settle(before, value).ok_or(PatchError {
        operation: 0,
        path: String::new(),
        problem: PatchProblem::Unwritable,
    })
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Replace(..) => f.write_str("another document"),
            Self::Patch(patch) => match &patch.0[..] {
                [only] => write!(f, "a patch at {}", only.path()),
                all => write!(f, "a patch with {} operations", all.len()),
            },
            Self::Load(number) => write!(f, "revision {number} was loaded"),
            Self::Discard => f.write_str("the changes were thrown away"),
        }
    }
}
