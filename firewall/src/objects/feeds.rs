//! A feed: read when its file changes, or asked for at its URL every so often. What is wrong with it leaves
//! what was applied last.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rules::{AddressSet, Outside};
use rustls::ClientConfig;

use super::board::Board;
use super::content::{self, ContentError};
use super::fetch::{self, FetchError, Fetched, Validators};
use super::resolver::Resolver;
use super::store::Store;
use super::watched::{FileError, LOOK, Watched};
use crate::config::{Feed, FeedLimits, FeedSource};

/// As for what comes by HTTP.
pub(super) const MAX_FILE_BYTES: u64 = 64 << 20;
/// After a failure; doubled with every other, up to the feed's own interval.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("refused: {0}")]
    Content(#[from] ContentError),
    #[error("it could not be looked at")]
    Interrupted,
}

/// Keeps a feed current for as long as it is polled.
pub(super) async fn keep(feed: Feed, resolver: Arc<Resolver>, board: Arc<Board>, store: Store) {
    let keeper = Keeper {
        outside: Outside::Feed(feed.name),
        source: match &feed.source {
            FeedSource::File(path) => path.display().to_string(),
            FeedSource::Url { url, .. } => url.to_string(),
        },
        limits: feed.limits,
        board,
        store,
    };
    keeper.restore().await;
    match feed.source {
        FeedSource::File(path) => keeper.watch(Watched::new(path, MAX_FILE_BYTES)).await,
        FeedSource::Url {
            url,
            ca_file,
            refresh,
        } => {
            let trust = || fetch::trust(ca_file.as_deref());
            keeper.ask(&url, refresh, trust, &resolver).await;
        }
    }
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

    async fn watch(&self, mut file: Watched) {
        loop {
            let looking = tokio::task::spawn_blocking(move || {
                let found = file.look();
                (file, found)
            });
            let Ok((back, found)) = looking.await else {
                return;
            };
            file = back;
            let taken = match found {
                Ok(Some(bytes)) => self.take(bytes, None).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = taken {
                self.board.fail(&self.outside, &error, None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn ask(
        &self,
        url: &hyper::Uri,
        refresh: Duration,
        trust: impl Fn() -> Result<Arc<ClientConfig>, FetchError>,
        resolver: &Resolver,
    ) {
        let mut known = Validators::default();
        let mut retry = RETRY.min(refresh);
        loop {
            let next = |wait| Timestamp::now().checked_add(wait).ok();
            let asked = async {
                let fetched = fetch::fetch(url, &known, &trust()?, resolver).await?;
                match fetched {
                    Fetched::Same => self.board.confirm(&self.outside, next(refresh)),
                    Fetched::Body(body, validators) => {
                        self.take(body.into(), next(refresh)).await?;
                        known = validators;
                    }
                }
                Ok::<_, FeedError>(())
            };
            let wait = match asked.await {
                Ok(()) => {
                    retry = RETRY.min(refresh);
                    refresh
                }
                Err(error) => {
                    let wait = retry;
                    retry = (retry * 2).min(refresh);
                    self.board.fail(&self.outside, &error, next(wait));
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Applies a content if it is good, and keeps it for the next start.
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
}
