//! Lists of URLs: had like feeds, judged before they are applied, and put where filters look.
//!
//! As with a feed, more than one line in a hundred that is no entry makes it no list but perhaps an error page. What is for browsers
//! alone does not count.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inspection::filter::{BadLine, EntryError, List, ListError, ListSlot};
use jiff::Timestamp;

use super::resolver::Resolver;
use super::source::{self, Keep};
use super::store::Store;
use super::watched;
use crate::config::{Config, FeedSource, KeptList, UrlList, UrlListContent, UrlListLimits};
use crate::view::{BadLineView, ObjectView, UrlListView};

/// As of feeds.
const LINES_PER_MISTAKE: u64 = 100;

/// Of the configurations that are followed or prepared.
#[derive(Debug, Default)]
pub(super) struct Lists(Mutex<HashMap<KeptList, Arc<Tracked>>>);

/// A list, and how its content came about.
#[derive(Debug)]
pub(super) struct Tracked {
    list: KeptList,
    slot: Arc<ListSlot>,
    status: Mutex<Status>,
}

#[derive(Clone, Debug, Default)]
struct Status {
    last_success: Option<Timestamp>,
    /// Of the attempts since.
    failure: Option<(Timestamp, String)>,
    next: Option<Timestamp>,
}

/// Why a list is not applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    List(#[from] ListError),
    #[error("{bad} of {lines} lines are no entries; the first is line {line}: '{text}': {error}")]
    Malformed {
        bad: u64,
        lines: u64,
        line: u64,
        text: String,
        error: EntryError,
    },
    #[error("{0} entries are fewer than at-least {1}")]
    TooFew(usize, u32),
    #[error("{0}% of the entries have changed, more than most-change {1}%")]
    Changed(usize, u8),
    #[error("it could not be looked at")]
    Interrupted,
}

impl Lists {
    pub(super) fn slot(&self, list: &KeptList) -> Arc<ListSlot> {
        self.tracked(list).slot.clone()
    }

    pub(super) fn tracked(&self, list: &KeptList) -> Arc<Tracked> {
        let mut lists = self.lists();
        let tracked = lists.entry(list.clone());
        tracked
            .or_insert_with(|| {
                Arc::new(Tracked {
                    list: list.clone(),
                    slot: Arc::new(ListSlot::new(&list.name, list.required)),
                    status: Mutex::default(),
                })
            })
            .clone()
    }

    /// Forgets what the configuration does not have. Filters of an earlier one keep what they hold.
    pub(super) fn keep_only(&self, config: &Config) {
        let mut lists = self.lists();
        lists.retain(|list, _| config.kept_lists().any(|kept| kept == list));
    }

    /// As of other objects: known, or failed to be.
    pub(super) fn has_tried_all(&self, config: &Config) -> bool {
        let lists = self.lists();
        config.kept_lists().all(|list| {
            lists.get(list).is_some_and(|tracked| {
                tracked.slot.content().is_some() || tracked.status().failure.is_some()
            })
        })
    }

    /// As other objects are shown.
    pub(super) fn objects(&self) -> Vec<ObjectView> {
        let lists = self.lists();
        let mut shown: Vec<_> = lists
            .values()
            .map(|tracked| {
                let content = tracked.slot.content();
                let status = tracked.status();
                ObjectView {
                    kind: "url-list".to_owned(),
                    name: tracked.list.name.clone(),
                    state: state(content.is_some(), &status).to_owned(),
                    ranges: content.map_or(0, |list| list.entries() as u64),
                    last_success: status.last_success.map(|at| at.to_string()),
                    last_error: status.failure.as_ref().map(|(_, error)| error.clone()),
                    last_error_at: status.failure.as_ref().map(|(at, _)| at.to_string()),
                    next_change: status.next.map(|at| at.to_string()),
                }
            })
            .collect();
        shown.sort_by(|one, other| one.name.cmp(&other.name));
        shown
    }

    pub(super) fn view(&self, list: &UrlList) -> UrlListView {
        let (content, status, origin) = match &list.content {
            UrlListContent::Written(content) => (Some(content.clone()), Status::default(), None),
            UrlListContent::Kept(kept) => {
                let tracked = self.lists().get(kept).cloned();
                let content = tracked.as_ref().and_then(|tracked| tracked.slot.content());
                let status = tracked.map(|tracked| tracked.status().clone());
                (content, status.unwrap_or_default(), Some(&kept.source))
            }
        };
        let state = match &list.content {
            UrlListContent::Written(_) => "known",
            UrlListContent::Kept(_) => state(content.is_some(), &status),
        };
        let content = content.unwrap_or_default();
        let report = content.report();
        UrlListView {
            name: list.name.clone(),
            description: list.description.clone(),
            source: match origin {
                None => "entries",
                Some(FeedSource::File(_)) => "file",
                Some(FeedSource::Url { .. }) => "url",
            }
            .to_owned(),
            origin: origin.map(source::shown),
            state: state.to_owned(),
            entries: content.entries() as u64,
            urls: content.urls(),
            patterns: content.patterns() as u64,
            memory_bytes: content.bytes() as u64,
            lines: report.lines,
            lines_for_browsers: report.for_browsers,
            lines_bad: report.bad,
            bad_lines: report.bad_lines.iter().map(bad_line).collect(),
            last_success: status.last_success.map(|at| at.to_string()),
            last_error: status.failure.as_ref().map(|(_, error)| error.clone()),
            last_error_at: status.failure.as_ref().map(|(at, _)| at.to_string()),
            next_attempt: status.next.map(|at| at.to_string()),
        }
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<KeptList, Arc<Tracked>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state(is_known: bool, status: &Status) -> &'static str {
    match (is_known, &status.failure, status.last_success) {
        (false, _, _) => "unknown",
        (true, Some(_), _) | (true, None, None) => "kept",
        (true, None, Some(_)) => "known",
    }
}

fn bad_line(bad: &BadLine) -> BadLineView {
    BadLineView {
        line: bad.line,
        text: bad.text.clone(),
        error: bad.error.to_string(),
    }
}

/// Keeps a list current for as long as it is polled.
pub(super) async fn keep(tracked: Arc<Tracked>, resolver: Arc<Resolver>, store: Store) {
    let source = tracked.list.source.clone();
    let keeper = Keeper { tracked, store };
    keeper.restore().await;
    source::keep(&keeper, &source, &resolver).await;
}

/// What a text says, if it may say so in place of `before`.
pub(super) fn judge(
    text: &[u8],
    limits: &UrlListLimits,
    before: Option<&List>,
) -> Result<List, Refused> {
    let list = List::read(text, limits.at_most)?;
    let report = list.report();
    if report.bad * LINES_PER_MISTAKE > report.lines
        && let Some(first) = report.bad_lines.first()
    {
        return Err(Refused::Malformed {
            bad: report.bad,
            lines: report.lines,
            line: first.line,
            text: first.text.clone(),
            error: first.error,
        });
    }
    if list.entries() < limits.at_least as usize {
        return Err(Refused::TooFew(list.entries(), limits.at_least));
    }
    if let (Some(most), Some(before)) = (limits.most_change_percent, before) {
        let percent = list.changed_percent(before);
        if percent > usize::from(most) {
            return Err(Refused::Changed(percent, most));
        }
    }
    Ok(list)
}

/// A file's content, once; for whoever keeps nothing.
pub(super) fn read(list: &KeptList) -> Result<List, String> {
    match &list.source {
        FeedSource::File(path) => {
            let text = watched::read(path, source::MAX_FILE_BYTES);
            let text = text.map_err(|error| error.to_string())?;
            judge(&text, &list.limits, None).map_err(|error| error.to_string())
        }
        FeedSource::Url { url, .. } => Err(format!("{url} is not asked")),
    }
}

struct Keeper {
    tracked: Arc<Tracked>,
    store: Store,
}

impl Keeper {
    /// What an earlier run had: it was judged then, by limits that may be others now.
    async fn restore(&self) {
        let (store, list) = (self.store.clone(), self.tracked.list.clone());
        let loading = move || {
            let text = store.load_list(&list)?;
            List::read(&text, list.limits.at_most).ok()
        };
        if let Ok(Some(saved)) = tokio::task::spawn_blocking(loading).await
            && self.tracked.slot.content().is_none()
        {
            self.tracked.slot.set(Arc::new(saved));
        }
    }

    fn name(&self) -> &str {
        &self.tracked.list.name
    }
}

impl Keep for Keeper {
    type Refused = Refused;

    async fn take(&self, text: Vec<u8>, next: Option<Timestamp>) -> Result<(), Refused> {
        let limits = self.tracked.list.limits;
        let before = self.tracked.slot.content();
        let (store, list) = (self.store.clone(), self.tracked.list.clone());
        let slot = self.tracked.slot.clone();
        let judging = move || {
            let new = judge(&text, &limits, before.as_deref())?;
            let is_new = before.is_none_or(|before| new.differs_from(&before));
            let entries = new.entries();
            // Whatever the disk does, it counts from here on.
            slot.set(Arc::new(new));
            if is_new {
                store.save_list(&list, &text);
            }
            Ok::<_, Refused>((is_new, entries))
        };
        let judged = tokio::task::spawn_blocking(judging).await;
        let (is_new, entries) = judged.map_err(|_| Refused::Interrupted)??;
        if self.tracked.status().failure.is_some() {
            tracing::info!(list = self.name(), entries, "known again");
        } else if is_new {
            tracing::info!(list = self.name(), entries, "changed");
        }
        self.confirm(next);
        Ok(())
    }

    fn confirm(&self, next: Option<Timestamp>) {
        *self.tracked.status() = Status {
            last_success: Some(Timestamp::now()),
            failure: None,
            next,
        };
    }

    fn fail(&self, error: &dyn fmt::Display, next: Option<Timestamp>) {
        let is_known = self.tracked.slot.content().is_some();
        let mut status = self.tracked.status();
        let error = error.to_string();
        match &status.failure {
            Some((_, before)) if *before == error => {
                tracing::debug!(list = self.name(), %error, "failed again");
            }
            _ if is_known => {
                tracing::warn!(list = self.name(), %error, "the last that was good is kept");
            }
            _ if self.tracked.list.required => tracing::warn!(
                list = self.name(),
                %error,
                "not known, and required: filters that block by it block everything"
            ),
            _ => {
                tracing::warn!(list = self.name(), %error, "not known: filters find nothing in it");
            }
        }
        status.failure = Some((Timestamp::now(), error));
        status.next = next;
    }
}

impl Tracked {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
