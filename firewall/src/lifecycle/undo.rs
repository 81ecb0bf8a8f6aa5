//! The commit that nobody confirmed.
//!
//! The time runs by the monotonic clock while the process lives; across a restart, by the wall clock,
//! and never for longer than was asked for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::decision::{Good, last_good};
use super::running::{Inner, State};
use super::text::Text;
use super::{Alarm, Change, Occasion};
use crate::audit::{Actor, AuditAction, Outcome, Via};

/// How often it is tried again, where the datapath refuses.
const RETRY: Duration = Duration::from_secs(5);

/// Undoes `revision` when `remaining` is over.
pub(super) fn at_the_deadline(
    inner: Weak<Inner>,
    revision: u64,
    remaining: Duration,
) -> AbortHandle {
    let task = tokio::spawn(async move {
        sleep(remaining).await;
        while let Some(inner) = inner.upgrade() {
            // On its own, since being confirmed by the next commit must not cut it short.
            if super::task::whole(async move { inner.undo(revision).await }).await {
                break;
            }
            sleep(RETRY).await;
        }
    });
    task.abort_handle()
}

impl State {
    /// Another deadline, or none.
    pub(super) fn rearm(&mut self, timer: Option<AbortHandle>) {
        if let Some(timer) = std::mem::replace(&mut self.timer, timer) {
            timer.abort();
        }
    }
}

impl Inner {
    /// False where it has to be tried again.
    async fn undo(self: Arc<Self>, revision: u64) -> bool {
        let mut state = self.state.lock().await;
        let manifest = &state.now.manifest;
        let Some(awaiting) = manifest.awaiting.filter(|_| manifest.in_force == revision) else {
            return true;
        };
        tracing::warn!(
            revision,
            back_to = awaiting.previous,
            "nobody confirmed the commit in time: it is undone"
        );
        match self.undo_to(&mut state, awaiting.previous).await {
            Ok(()) => true,
            Err(problem) => {
                tracing::error!(revision, problem, "the commit could not be undone");
                self.audit(
                    &Actor::system(Via::Timer),
                    AuditAction::RolledBack,
                    Outcome::Refused,
                    problem.clone(),
                    Some(revision),
                );
                state
                    .now
                    .alarms
                    .retain(|alarm| !matches!(alarm, Alarm::NotUndone(_)));
                state.now.alarms.push(Alarm::NotUndone(problem));
                self.show(&state);
                state.datapath.is_none()
            }
        }
    }

    async fn undo_to(&self, state: &mut State, previous: u64) -> Result<(), String> {
        let revision = state.now.manifest.in_force;
        let manifest = state.now.manifest.undone_to(previous);
        let (options, search) = (self.options.clone(), manifest.clone());
        let (good, problems) = self
            .stored(move |store| {
                let mut problems = Vec::new();
                (last_good(&options, store, &search, &mut problems), problems)
            })
            .await;
        state
            .now
            .alarms
            .extend(problems.iter().cloned().map(Alarm::Damaged));
        let Good {
            number,
            text,
            config,
        } = good.ok_or_else(|| problems.join("; "))?;
        let datapath = state.datapath.as_mut().ok_or("the appliance is stopping")?;
        let generation = datapath
            .commit(config, Occasion::Again)
            .await
            .map_err(|error| error.to_string())?;

        let manifest = if number == previous {
            manifest
        } else {
            state.now.manifest.undone_to(number)
        };
        let kept = manifest.clone();
        if let Err(error) = self.stored(move |store| store.keep(&kept)).await {
            // The deadline is on the disk: the next start undoes it, too.
            tracing::error!(%error, "that the commit was undone is not on record");
        }
        state.now.manifest = manifest;
        state.now.in_force = Text::new(&text).read().await;
        state.now.generation = generation;
        if state
            .now
            .candidate
            .as_ref()
            .is_some_and(|text| text.etag == state.now.in_force.etag)
        {
            state.now.candidate = None;
        }
        state
            .now
            .alarms
            .retain(|alarm| !matches!(alarm, Alarm::NotUndone(_)));
        state.timer = None;
        self.show(state);
        self.audit(
            &Actor::system(Via::Timer),
            AuditAction::RolledBack,
            Outcome::Done,
            format!("nobody confirmed it in time: revision {number} is in force"),
            Some(revision),
        );
        self.tell(Change::Undone {
            revision,
            in_force: number,
            generation,
        });
        Ok(())
    }
}
