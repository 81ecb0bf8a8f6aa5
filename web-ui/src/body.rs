//! How large a request's body may be, and how long it may take to come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A configuration with 100,000 policies has room in it.
pub(crate) const BYTES_MAX: usize = 8 << 20;
/// From the head to the last byte: that many bytes at 2.3 Mbit/s.
const TIME_MAX: Duration = Duration::from_secs(30);

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
