//! Looking through whole tables, elsewhere than on the API's thread, which answers everybody else meanwhile.
//!
//! One at a time, on a thread that gives way to the workers: however many ask, the datapath notices no more
//! than one of them.

use std::sync::Arc;
use std::thread;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, oneshot};

use crate::problem::Problem;

/// Who wait for their turn; the next is told to come again.
const WAITING_MAX: usize = 32;
/// Against a worker on the same processor, which has 0, it gets a tenth (sched(7), nice levels).
const NICE: i32 = 10;

#[derive(Clone, Debug)]
pub(crate) struct Scans {
    turn: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Scans {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            places: Arc::new(Semaphore::new(WAITING_MAX + 1)),
        }
    }
}

impl Scans {
    /// What `look` finds. It goes on to its end when nobody waits for it any more.
    ///
    /// # Errors
    /// 503 where too many wait, or there is no thread for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| busy("too many look through the tables at once: try again"))?;
        let turn = Arc::clone(&self.turn)
            .acquire_owned()
            .await
            .map_err(|_| busy("the appliance is stopping"))?;
        let (tell, found) = oneshot::channel();
        let scan = move || {
            // Where that is not allowed, it is as fast as the others.
            let _ = rustix::process::nice(NICE);
            let found = look();
            drop((turn, place));
            // Whoever asked may have gone.
            let _ = tell.send(found);
        };
        thread::Builder::new()
            .name("scan".into())
            .spawn(scan)
            .map_err(|error| busy(format!("no thread for it: {error}")))?;
        found
            .await
            .map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR, "the look failed"))
    }
}

fn busy(detail: impl Into<String>) -> Problem {
    Problem::of_status(StatusCode::SERVICE_UNAVAILABLE, detail)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_looks_at_a_time_and_too_many_are_told_so() {
        let scans = Scans::default();
        let (go, gate) = mpsc::channel::<()>();
        let first = {
            let scans = scans.clone();
            tokio::spawn(async move { scans.run(move || gate.recv().is_ok()).await })
        };
        while scans.turn.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|n| {
                let scans = scans.clone();
                tokio::spawn(async move { scans.run(move || n).await })
            })
            .collect();
        while scans.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(scans.run(|| ()).await.unwrap_err().status, 503);
        go.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        for (n, one) in waiting.into_iter().enumerate() {
            assert_eq!(one.await.unwrap().unwrap(), n);
        }
        assert_eq!(scans.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_look_that_fails_leaves_room_for_the_next() {
        let scans = Scans::default();
        let failed = scans.run(|| assert_eq!(1, 2, "as it should")).await;
        assert_eq!(failed.unwrap_err().status, 500);
        assert_eq!(scans.run(|| 7).await.unwrap(), 7);
    }
}
