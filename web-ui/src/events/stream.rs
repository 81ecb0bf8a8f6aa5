//! Events as they come, as server-sent events (HTML, section 9.2).
//!
//! A stream reads the store from where it last came to whenever something was stored. So it holds no more than one
//! small batch for a client, however slow, and one that comes back with `Last-Event-ID` goes on where it was.
//! What was deleted before it came to be read, or never stored, is told as an event `lost` with a count.
//!
//! It ends when the credentials that it was opened with do not hold any more, and when its server stops.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use firewall::events::{Event, Filter};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::EventLog;
use super::filter::{Following, Selection, Wanted};
use crate::access::Caller;
use crate::filter::{BadParameter, parsed};
use crate::problem::Problem;
use crate::serve::Closing;

/// Streams at once, of everybody and of one user: fewer than there may be connections.
const STREAMS: usize = 32;
const STREAMS_OF_ONE: usize = 8;
/// What one look into the store brings.
const BATCH: usize = 256;
/// How often the credentials are looked at.
const CHECK: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// When a client whose connection broke comes back.
const RETRY: Duration = Duration::from_secs(2);

/// Events as they are stored.
///
/// Each has its number as `id`, its kind as `event`, and the event as `data`. A client that comes back with the header
/// `Last-Event-ID`, or with `after`, gets what it has missed. An event `lost` (`{"count": 17}`) says how many events
/// can't be had any more, whether or not they were asked for.
#[utoipa::path(get, path = "/events/stream", tag = "events", params(Selection, Following,
        ("Last-Event-ID" = Option<u64>, Header, description = "The number of the last event that was seen.")),
    responses((status = OK, body = String, content_type = "text/event-stream")))]
pub(super) async fn follow(
    State(log): State<EventLog>,
    caller: Caller,
    closing: Option<Extension<Closing>>,
    Wanted(selection, Following { after }): Wanted<Following>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let seen = last_seen(&headers)?.or(after);
    let seat = log.seats.take(&caller.actor.name)?;
    let mut written = log.events.written();
    let last = *written.borrow_and_update();
    let follower = Follower {
        // Nothing is known of the future.
        position: seen.map_or(last, |seen| seen.min(last)),
        lost: log.events.lost(),
        waiting: VecDeque::from([Sent::default().retry(RETRY).comment("events follow")]),
        filter: Arc::new(selection.into_filter()),
        checked: Instant::now(),
        closing: closing.map(|Extension(closing)| closing),
        written,
        caller,
        log,
        _seat: seat,
    };
    let events = unfold(follower, async |mut follower| {
        let sent = follower.next().await?;
        Some((Ok(sent), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, BadParameter> {
    const NAME: &str = "last-event-id";
    let Some(value) = headers.get(NAME) else {
        return Ok(None);
    };
    let value = value.to_str().unwrap_or("?");
    parsed(NAME, value, "an event's number").map(Some)
}

struct Follower {
    log: EventLog,
    caller: Caller,
    closing: Option<Closing>,
    filter: Arc<Filter>,
    /// Everything up to this number has been looked at.
    position: u64,
    written: watch::Receiver<u64>,
    /// Events that were never stored, as far as was told.
    lost: u64,
    /// Read, and not sent.
    waiting: VecDeque<Sent>,
    checked: Instant,
    _seat: Seat,
}

impl Follower {
    /// `None` ends the stream.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if self.checked.elapsed() >= CHECK {
                if !self.log.access.holds(&self.caller) {
                    return None;
                }
                self.checked = Instant::now();
            }
            if let Some(next) = self.waiting.pop_front() {
                return Some(next);
            }
            let last = *self.written.borrow_and_update();
            if self.position < last || self.lost < self.log.events.lost() {
                self.read().await?;
                continue;
            }
            let check = self.checked + CHECK;
            let (written, closing) = (&mut self.written, &mut self.closing);
            let closed = async {
                match closing {
                    Some(closing) => closing.closed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = closed => return None,
                changed = written.changed() => changed.ok()?,
                () = sleep_until(check) => {}
            }
        }
    }

    /// The next batch; `None` where there is none to be had.
    async fn read(&mut self) -> Option<()> {
        let (filter, position) = (Arc::clone(&self.filter), self.position);
        let answer = self
            .log
            .ask(move |events| events.after(&filter, position, BATCH));
        let batch = match answer.await {
            Ok(batch) => batch,
            Err(error) => {
                tracing::debug!(%error, "a stream of events ends");
                return None;
            }
        };
        let lost = self.log.events.lost();
        let missed = batch.missed + lost.saturating_sub(self.lost);
        self.lost = lost;
        if missed > 0 {
            let data = json!({ "count": missed }).to_string();
            self.waiting
                .push_back(Sent::default().event("lost").data(data));
        }
        self.waiting.extend(batch.events.iter().filter_map(sent));
        // Also where the store is another than before, and its numbers are not there yet.
        self.position = batch.seen.max(self.position);
        Some(())
    }
}

fn sent(event: &Event) -> Option<Sent> {
    let data = serde_json::to_string(event).ok()?;
    let sent = Sent::default().id(event.id.to_string());
    Some(sent.event(event.entry.kind.name()).data(data))
}

/// Who follows, by name.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<HashMap<String, usize>>);

/// A place among those who follow, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    name: String,
}

impl Seats {
    fn take(self: &Arc<Self>, name: &str) -> Result<Seat, Problem> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = taken.get(name).copied().unwrap_or(0);
        if of_one >= STREAMS_OF_ONE || taken.values().sum::<usize>() >= STREAMS {
            let detail = format!(
                "too many streams of events at once: {STREAMS_OF_ONE} of one user, {STREAMS} of all"
            );
            return Err(Problem::of_status(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        taken.insert(name.to_owned(), of_one + 1);
        Ok(Seat {
            seats: Arc::clone(self),
            name: name.to_owned(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.name) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_can_not_take_the_places_of_the_others() {
        let seats = Arc::<Seats>::default();
        let mut taken: Vec<_> = (0..STREAMS_OF_ONE)
            .map(|_| seats.take("alice").unwrap())
            .collect();
        assert_eq!(seats.take("alice").unwrap_err().status, 503);
        let bob = seats.take("bob").unwrap();
        taken.pop();
        taken.push(seats.take("alice").unwrap());
        drop((taken, bob));
        assert!(seats.0.lock().unwrap().is_empty());
        let _all: Vec<_> = (0..STREAMS)
            .map(|number| seats.take(&number.to_string()).unwrap())
            .collect();
        assert_eq!(seats.take("carol").unwrap_err().status, 503);
    }
}
