//! The threads that keep the history: one that looks every second, one that writes every minute.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::History;
use super::hits::HitCounter;
use super::meter::Sample;
use super::recent::Minute;
use crate::clock::Moment;
use crate::control::Control;

/// Minutes that may wait for the disk.
const WAITING: usize = 4;

/// Ends with [`Sampler::stop`], or with its owner.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: Sender<()>,
    threads: [JoinHandle<()>; 2],
}

impl Sampler {
    pub(crate) fn start(control: Control, history: History) -> io::Result<Self> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let (minutes, ended) = sync_channel(WAITING);
        let writer = history.clone();
        let write = std::thread::Builder::new()
            .name("history-disk".into())
            .spawn(move || write_all(&writer, &ended))?;
        let sample = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || sample_all(&control, &history, &stopped, &minutes))?;
        Ok(Self {
            stop,
            threads: [sample, write],
        })
    }

    /// Looks once more and waits until everything is written.
    pub(crate) fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("the history of counters is incomplete");
            }
        }
    }
}

fn sample_all(
    control: &Control,
    history: &History,
    stopped: &Receiver<()>,
    minutes: &SyncSender<Option<Minute>>,
) {
    let mut policies = Policies::default();
    loop {
        let now = Moment::now();
        let sample = policies.sample(control, now);
        for minute in history.take(&sample) {
            if let Err(TrySendError::Full(_)) = minutes.try_send(Some(minute)) {
                tracing::warn!("the disk is too slow: a minute of counters is lost");
            }
        }
        match stopped.recv_timeout(until_next(Moment::now().wall)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let last = policies.sample(control, Moment::now());
    let rest = history.take(&last).into_iter().chain(history.close());
    for minute in rest {
        // Whoever stops waits for the disk.
        minutes.send(Some(minute)).unwrap_or_default();
    }
    minutes.send(None).unwrap_or_default();
}

/// To the middle of the next second: a timer that is a little early or late does not put two samples into
/// one second.
fn until_next(now: jiff::Timestamp) -> Duration {
    let nanoseconds = now.subsec_nanosecond().rem_euclid(1_000_000_000);
    let now = Duration::from_nanos(nanoseconds.unsigned_abs().into());
    let middle = Duration::from_millis(500);
    let next = if now < middle {
        middle
    } else {
        middle + Duration::from_secs(1)
    };
    // What is left of a timer that was early is not worth a sample.
    let left = next - now;
    if left < Duration::from_millis(100) {
        left + Duration::from_secs(1)
    } else {
        left
    }
}

/// `None` is the end.
fn write_all(history: &History, minutes: &Receiver<Option<Minute>>) {
    while let Ok(minute) = minutes.recv() {
        history.save(minute.as_ref(), &Moment::now());
        if minute.is_none() {
            break;
        }
    }
}

/// The hits of the policies in force, each as it was at the last sample.
#[derive(Debug, Default)]
struct Policies {
    generation: u64,
    all: Vec<(Arc<HitCounter>, u64)>,
}

impl Policies {
    fn sample(&mut self, control: &Control, at: Moment) -> Sample {
        let generation = control.in_force();
        if self.generation != generation.number {
            self.follow(
                generation
                    .policies
                    .iter()
                    .chain([&generation.default_policy]),
            );
            self.generation = generation.number;
        }
        let names = generation.config.rules.policies().iter();
        let names = names.map(|policy| policy.name.as_str()).chain(["default"]);
        let mut policy_hits = Vec::new();
        for ((counter, last), name) in self.all.iter_mut().zip(names) {
            let hits = counter.hits();
            // After a reset they count from zero.
            let new = hits.checked_sub(*last).unwrap_or(hits);
            if new > 0 {
                policy_hits.push((name.to_owned(), new));
            }
            *last = hits;
        }
        Sample {
            at,
            totals: control.totals(),
            policy_hits,
        }
    }

    fn follow<'a>(&mut self, counters: impl Iterator<Item = &'a Arc<HitCounter>>) {
        let known: HashMap<_, _> = self
            .all
            .iter()
            .map(|(counter, last)| (Arc::as_ptr(counter), *last))
            .collect();
        self.all = counters
            .map(|counter| {
                let last = known.get(&Arc::as_ptr(counter)).copied();
                (counter.clone(), last.unwrap_or_else(|| counter.hits()))
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_gets_one_sample_in_its_middle() {
        let wait = |nanoseconds| {
            until_next(jiff::Timestamp::new(1_790_000_000, nanoseconds).unwrap()).as_millis()
        };
        assert_eq!(wait(0), 500);
        assert_eq!(wait(500_000_000), 1_000);
        assert_eq!(wait(500_900_000), 999);
        assert_eq!(wait(999_000_000), 501);
        assert_eq!(wait(499_000_000), 1_001, "the timer was early");
    }
}
