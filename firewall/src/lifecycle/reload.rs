//! The start file, taken over while the appliance runs.

use std::sync::Arc;

use super::Alarm;
use super::commit::NewRevision;
use super::decision::{comment, source, start_file};
use super::error::{CommitFailed, ReloadError};
use super::running::{Inner, State};
use super::task::blocking;
use super::text::Text;
use crate::audit::{Actor, AuditAction, Outcome, Via};
use rules::Diagnostic;

/// What became of the start file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    TakenOver {
        revision: u64,
        generation: u64,
        warnings: Vec<Diagnostic>,
    },
    /// It is what was taken over before. What is in force was compiled again.
    Unchanged { revision: u64, generation: u64 },
}

impl Inner {
    /// While the file can't be taken over, there is an alarm.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        let mut state = self.state.lock().await;
        let reloaded = self.take_over(&mut state).await;
        let alarm = match &reloaded {
            Err(ReloadError::StartFile(error)) => {
                let file = self.options.start.path().display().to_string();
                Some(Alarm::of_start_file(file, error))
            }
            Err(ReloadError::Commit(_) | ReloadError::Refresh(_)) => return reloaded,
            Ok(_) => None,
        };
        state.now.alarms.retain(|known| !known.is_of_start_file());
        state.now.alarms.extend(alarm);
        self.show(&state);
        reloaded
    }

    async fn take_over(self: &Arc<Self>, state: &mut State) -> Result<Reloaded, ReloadError> {
        let options = self.options.clone();
        let manifest = state.now.manifest.clone();
        let start = blocking(move || start_file(&options, &manifest)).await;
        let start = start.map_err(ReloadError::StartFile)?;
        let text = Text::new(&start.text);
        let known = state.now.manifest.start_file.as_deref() == Some(text.hash());
        if known || text.etag == state.now.in_force.etag {
            if !known {
                let mut manifest = state.now.manifest.clone();
                manifest.note_start(&start);
                let kept = manifest.clone();
                let kept = self.stored(move |store| store.keep(&kept)).await;
                kept.map_err(CommitFailed::from)?;
                state.now.manifest = manifest;
                self.show(state);
            }
            let revision = state.now.manifest.in_force;
            let generation = self.refresh(state).await?;
            return Ok(Reloaded::Unchanged {
                revision,
                generation,
            });
        }
        let actor = Actor::system(Via::Signal);
        let file = self.options.start.path().display().to_string();
        let taken_over = async {
            let (source, comment) = (source(&start), comment(&file, &start));
            let (compile, name) = (self.options.compile.clone(), file.clone());
            let config = blocking(move || start.compile(&name, &*compile)).await;
            let config = config.map_err(ReloadError::StartFile)?;
            let warnings = config.warnings.clone();
            let commit = NewRevision {
                author: actor.clone(),
                comment,
                source,
                confirm_within: None,
            };
            let committed = self.put_in_force(state, config, text, commit).await?;
            Ok(Reloaded::TakenOver {
                revision: committed.revision,
                generation: committed.generation,
                warnings,
            })
        }
        .await;
        if let Err(error) = &taken_over {
            let detail = format!("{file}: {error}");
            self.audit(
                &actor,
                AuditAction::Committed,
                Outcome::Refused,
                detail,
                None,
            );
        }
        taken_over
    }
}
