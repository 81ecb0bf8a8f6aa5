//! A feed: addresses, judged before they are applied.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rules::{AddressSet, Outside};

use super::board::Board;
use super::content::{self, ContentError};
use super::resolver::Resolver;
use super::source::{self, Keep};
use super::store::Store;
use crate::config::{Feed, FeedLimits};

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error("it could not be looked at")]
    Interrupted,
}

/// Keeps a feed current for as long as it is polled.
pub(super) async fn keep(feed: Feed, resolver: Arc<Resolver>, board: Arc<Board>, store: Store) {
    let keeper = Keeper {
        outside: Outside::Feed(feed.name),
        source: source::shown(&feed.source),
        limits: feed.limits,
        board,
        store,
    };
    keeper.restore().await;
    source::keep(&keeper, &feed.source, &resolver).await;
}

struct Keeper {
    outside: Outside,
    source: String,
    limits: FeedLimits,
    board: Arc<Board>,
    store: Store,
}

impl Keeper {
    async fn restore(&self) {
        let (store, outside, source) = (
            self.store.clone(),
            self.outside.clone(),
            self.source.clone(),
        );
        let loading = move || store.load(&outside, &source);
        if let Ok(Some(saved)) = tokio::task::spawn_blocking(loading).await {
            self.board.restore(&self.outside, saved);
        }
    }
}

impl Keep for Keeper {
    type Refused = FeedError;

    async fn take(&self, bytes: Vec<u8>, next: Option<Timestamp>) -> Result<(), FeedError> {
        let limits = self.limits;
        let before = self.board.known(&self.outside);
        let judging = move || content::judge(&bytes, &limits, before.as_deref());
        let judged = tokio::task::spawn_blocking(judging).await;
        let set: AddressSet = judged.map_err(|_| FeedError::Interrupted)??;
        if self.board.learn(&self.outside, set.clone(), next) {
            let (store, outside, source) = (
                self.store.clone(),
                self.outside.clone(),
                self.source.clone(),
            );
            let saving = move || store.save(&outside, &source, &set);
            // The next change is saved if this was not.
            let _ = tokio::task::spawn_blocking(saving).await;
        }
        Ok(())
    }

    fn confirm(&self, next: Option<Timestamp>) {
        self.board.confirm(&self.outside, next);
    }

    fn fail(&self, error: &dyn fmt::Display, next: Option<Timestamp>) {
        self.board.fail(&self.outside, error, next);
    }
}
