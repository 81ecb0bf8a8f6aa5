//! Having what stands elsewhere: a file is read when it changes, a URL asked every so often. What is wrong with a content leaves the
//! one that was taken last.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::fetch::{self, FetchError, Fetched, Validators};
use super::resolver::Resolver;
use super::watched::{FileError, LOOK, Watched};
use crate::config::FeedSource;

/// As for what comes by HTTP.
pub(super) const MAX_FILE_BYTES: u64 = 64 << 20;
/// After a failure; doubled with every other, up to the source's own interval.
const RETRY: Duration = Duration::from_secs(2);

/// Who is told what an attempt brought, and when the next one is.
pub(super) trait Keep: Sync {
    /// Why a content is not taken.
    type Refused: fmt::Display + Send;

    /// Applies a content if it is good, and keeps it for the next start.
    fn take(
        &self,
        bytes: Vec<u8>,
        next: Option<Timestamp>,
    ) -> impl Future<Output = Result<(), Self::Refused>> + Send;

    /// It is as it was.
    fn confirm(&self, next: Option<Timestamp>);

    fn fail(&self, error: &dyn fmt::Display, next: Option<Timestamp>);
}

#[derive(Debug, thiserror::Error)]
enum SourceError<R: fmt::Display> {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("refused: {0}")]
    Refused(R),
}

/// As people would name it.
pub(super) fn shown(source: &FeedSource) -> String {
    match source {
        FeedSource::File(path) => path.display().to_string(),
        FeedSource::Url { url, .. } => url.to_string(),
    }
}

/// Goes on for as long as it is polled.
pub(super) async fn keep(kept: &impl Keep, source: &FeedSource, resolver: &Resolver) {
    match source {
        FeedSource::File(path) => watch(kept, Watched::new(path.clone(), MAX_FILE_BYTES)).await,
        FeedSource::Url {
            url,
            ca_file,
            refresh,
        } => ask(kept, url, *refresh, ca_file.as_deref(), resolver).await,
    }
}

async fn watch(kept: &impl Keep, mut file: Watched) {
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
            Ok(Some(bytes)) => kept.take(bytes, None).await.map_err(SourceError::Refused),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = taken {
            kept.fail(&error, None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn ask(
    kept: &impl Keep,
    url: &hyper::Uri,
    refresh: Duration,
    ca_file: Option<&Path>,
    resolver: &Resolver,
) {
    let mut known = Validators::default();
    let mut retry = RETRY.min(refresh);
    loop {
        let next = |wait| Timestamp::now().checked_add(wait).ok();
        // Read each time: authorities change, too.
        let trusted = fetch::trust(ca_file);
        let asked = async {
            let fetched = fetch::fetch(url, &known, &trusted?, resolver).await?;
            match fetched {
                Fetched::Same => kept.confirm(next(refresh)),
                Fetched::Body(body, validators) => {
                    let taken = kept.take(body.into(), next(refresh)).await;
                    taken.map_err(SourceError::Refused)?;
                    known = validators;
                }
            }
            Ok::<_, SourceError<_>>(())
        };
        let wait = match asked.await {
            Ok(()) => {
                retry = RETRY.min(refresh);
                refresh
            }
            Err(error) => {
                let wait = retry;
                retry = (retry * 2).min(refresh);
                kept.fail(&error, next(wait));
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}
