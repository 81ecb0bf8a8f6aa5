//! How large a request's body may be, how long it may take to come, and how many there may be at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};

use crate::problem::Problem;

/// A configuration with 100,000 policies has room in it.
pub(crate) const BYTES_MAX: usize = 8 << 20;
/// What anybody may send who has not shown who they are; and a body that needs no turn.
pub(crate) const SMALL_BYTES_MAX: usize = 64 << 10;
/// Larger ones, and those that don't say, at a time: what is made of one in memory is many times its size.
const LARGE_AT_ONCE: usize = 1;
/// For a turn.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// From the head to the last byte: that many bytes at 2.3 Mbit/s.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Turns for large bodies. One is held until the request is answered, also when the client goes away meanwhile: for so
/// long the body, and what was made of it, is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Loads(Arc<Semaphore>);

impl Default for Loads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_AT_ONCE)))
    }
}

impl Loads {
    pub(crate) async fn run(&self, request: Request, next: Next) -> Response {
        let size = request.body().size_hint().upper();
        if size.is_some_and(|bytes| bytes <= SMALL_BYTES_MAX as u64) {
            return next.run(request).await;
        }
        let turn = timeout(WAIT_MAX, Arc::clone(&self.0).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            let detail = "too many large requests at once: try again";
            return Problem::of_status(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
        };
        let answered = tokio::spawn(async move {
            let response = next.run(request).await;
            drop(turn);
            response
        });
        answered.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request was not answered");
            let detail = "the request failed";
            Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        })
    }
}

/// The body, which fails when it is not all here in time.
pub(crate) fn in_time(body: Body) -> Body {
    within(body, TIME_MAX)
}

fn within(body: Body, time: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(InTime {
        body,
        deadline: Box::pin(sleep(time)),
    })
}

struct InTime {
    body: Body,
    deadline: Pin<Box<Sleep>>,
}

impl HttpBody for InTime {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        if next.is_ready() {
            return next;
        }
        self.deadline.as_mut().poll(cx).map(|()| {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the body takes too long to come");
            Some(Err(axum::Error::new(late)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up_and_one_that_comes_is_not() {
        let trickle = |pieces| {
            let stream = futures_util::stream::unfold(pieces, async |left: u32| {
                sleep(Duration::from_secs(1)).await;
                let frame = Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"x")));
                (left > 0).then(|| (frame, left - 1))
            });
            Body::new(StreamBody::new(Box::pin(stream)))
        };
        let body = |pieces| within(trickle(pieces), Duration::from_secs(5)).collect();
        assert_eq!(body(3).await.unwrap().to_bytes(), "xxx");
        let error = body(30).await.unwrap_err();
        assert_eq!(error.to_string(), "the body takes too long to come");
    }
}
