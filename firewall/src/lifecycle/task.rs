//! Work that must not be cut short, and work that would hold up everybody else.

use std::future::{Future, pending};
use std::panic::resume_unwind;

use tokio::task::{JoinError, JoinHandle, spawn, spawn_blocking};

/// Runs to its end even when whoever waits for it goes away, as a client of the API does.
pub(super) async fn whole<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    outcome(spawn(work)).await
}

/// Runs on a thread that may take its time.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    outcome(spawn_blocking(work)).await
}

async fn outcome<T>(task: JoinHandle<T>) -> T {
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(value) => value,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime is ending, and with it whoever waits here.
        Err(Err(_)) => pending().await,
    }
}
