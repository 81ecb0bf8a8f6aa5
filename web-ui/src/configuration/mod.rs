//! The configuration over the API: the candidate and its collections, commits, history.
//!
//! Every change is one to the candidate, made by [`firewall::lifecycle::Lifecycle`]; here it gets its
//! shape in HTTP. Answers about the candidate carry its entity tag, and changes take it back in
//! `If-Match`.

mod answer;
mod body;
mod collection;
mod collections;
#[cfg(test)]
mod describe;
mod document;
mod edits;
mod life;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use firewall::lifecycle::{ETag, Lifecycle, Text};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::problem::Problem;
use crate::routes::Routes;

pub(crate) use answer::invalid;

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    lifecycle: Lifecycle,
    /// The last candidate that was looked at: reading it takes a while.
    seen: Arc<Mutex<Option<Arc<Snapshot>>>>,
    /// One document is looked at at a time: it may be many times its size in memory.
    check: Arc<Semaphore>,
}

/// A candidate, as it is written and as it is shown.
#[derive(Debug)]
struct Snapshot {
    text: Text,
    /// Lists are lists, even where a single value was written.
    shown: Value,
}

impl Snapshot {
    fn etag(&self) -> &ETag {
        &self.text.etag
    }

    fn written(&self) -> &Value {
        self.text.json()
    }
}

impl Configuration {
    pub(crate) fn new(lifecycle: Lifecycle) -> Self {
        Self {
            lifecycle,
            seen: Arc::default(),
            check: Arc::new(Semaphore::new(1)),
        }
    }

    async fn candidate(&self) -> Result<Arc<Snapshot>, Problem> {
        let text = self.lifecycle.candidate().await.text;
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen().as_ref().filter(|known| *known.etag() == text.etag) {
            return Ok(known.clone());
        }
        let snapshot = Arc::new(read(text).await?);
        *seen() = Some(snapshot.clone());
        Ok(snapshot)
    }
}

async fn read(text: Text) -> Result<Snapshot, Problem> {
    // A thread of its own: ten thousand policies take their time.
    let snapshot = tokio::task::spawn_blocking(move || {
        Some(Snapshot {
            shown: firewall::config::shown(&text.yaml)?,
            text,
        })
    });
    match snapshot.await {
        Ok(Some(snapshot)) => Ok(snapshot),
        Ok(None) | Err(_) => Err(Problem::of_status(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the candidate cannot be read",
        )),
    }
}

/// Below `/api/v1`.
pub(crate) fn routes() -> Routes<Configuration> {
    let mut router = Routes::new()
        .merge(life::routes())
        .merge(document::routes());
    for collection in collections::COLLECTIONS {
        for (path, handlers) in collection::handlers(collection) {
            router = router.route(&path, handlers);
        }
    }
    router
}

/// Adds what `routes` can't say of the collections itself.
#[cfg(test)]
pub(crate) fn describe(document: &mut utoipa::openapi::OpenApi) {
    for collection in collections::COLLECTIONS {
        describe::describe(collection, document);
    }
}
