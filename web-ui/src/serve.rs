//! Answering on a socket, with bounds on what a client may cost.
//!
//! A client may be slow, huge, many or silent without holding more than [`Limits`] allows: a
//! request's head has a size and a time, an answer that isn't read is given up, and connections
//! beyond the bound wait in the kernel's backlog.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::stall::StallGuard;

/// Answers on `listener` until `shutdown` completes, then lets requests that are being answered
/// finish, for a short while. Must run within a tokio runtime that has time and I/O.
pub async fn serve(listener: UnixListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve_within(&Limits::MANAGEMENT, listener, router, shutdown).await;
}

#[derive(Clone, Debug)]
struct Limits {
    connections: usize,
    /// From the end of one answer, or the connection's start, to the end of the next head: an
    /// idle connection is closed by this too.
    head_time: Duration,
    head_bytes: usize,
    head_fields: usize,
    /// Without a byte taken by the client.
    stall: Duration,
    /// For requests being answered when the appliance stops.
    drain: Duration,
}

impl Limits {
    /// A handful of shells, probes and dashboards: far more than they need.
    const MANAGEMENT: Self = Self {
        connections: 64,
        head_time: Duration::from_secs(10),
        head_bytes: 16 * 1024,
        head_fields: 64,
        stall: Duration::from_secs(10),
        drain: Duration::from_secs(3),
    };
}

async fn serve_within(
    limits: &Limits,
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let http = http(limits);
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, place) = tokio::select! {
            next = next_client(&listener, &places) => next,
            () = &mut shutdown => break,
        };
        let io = TokioIo::new(StallGuard::new(stream, limits.stall));
        let connection = http.serve_connection(io, TowerToHyperService::new(router.clone()));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a management connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(limits.drain, connections.shutdown()).await.is_err() {
        tracing::debug!("management connections were still open when the appliance stopped");
    }
}

async fn next_client(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
) -> (UnixStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            // Nobody closes the semaphore: it lives as long as `serve_within`.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                // Out of descriptors, mostly: try again when some may have been freed.
                tracing::warn!(%error, "cannot accept a management connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.head_fields)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(8 * 1024));
    http
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::fake::TempDir;
    use crate::socket;

    const REQUEST: &[u8] = b"GET /small HTTP/1.1\r\nhost: palisade\r\n\r\n";
    const PATIENCE: Duration = Duration::from_secs(5);

    /// A server with limits that a test can reach.
    struct Server {
        dir: TempDir,
        stop: oneshot::Sender<()>,
        served: JoinHandle<()>,
        _file: socket::SocketFile,
    }

    impl Server {
        fn start() -> Self {
            let limits = Limits {
                connections: 2,
                head_time: Duration::from_millis(200),
                stall: Duration::from_millis(200),
                ..Limits::MANAGEMENT
            };
            let dir = TempDir::new();
            let (listener, file) = socket::bind(&dir.path().join("api.sock")).unwrap();
            let router = Router::new()
                .route("/small", get(async || "small"))
                .route("/huge", get(async || "x".repeat(32 << 20)))
                .route(
                    "/slow",
                    get(async || sleep(Duration::from_millis(300)).await),
                );
            let (stop, stopped) = oneshot::channel();
            let served = tokio::spawn(async move {
                serve_within(&limits, listener, router, async {
                    stopped.await.unwrap_or_default();
                })
                .await;
            });
            Self {
                dir,
                stop,
                served,
                _file: file,
            }
        }

        async fn connect(&self) -> UnixStream {
            UnixStream::connect(self.dir.path().join("api.sock"))
                .await
                .unwrap()
        }
    }

    /// All that comes until the server closes.
    async fn rest(stream: &mut UnixStream) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .expect("the server closes");
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn a_request_is_answered_and_an_idle_connection_is_closed() {
        let server = Server::start();
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("small"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_given_up() {
        let server = Server::start();
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /small HTTP/1.1\r\nhost:")
            .await
            .unwrap();
        assert!(!rest(&mut stream).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn a_huge_head_is_refused() {
        let server = Server::start();
        let mut stream = server.connect().await;
        let head = format!(
            "GET /small HTTP/1.1\r\nhost: palisade\r\nx: {}\r\n\r\n",
            "y".repeat(64 * 1024)
        );
        // The server may close before it has read everything.
        stream.write_all(head.as_bytes()).await.unwrap_or_default();
        assert!(!rest(&mut stream).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_frees_its_place() {
        let server = Server::start();
        let mut silent = Vec::new();
        for _ in 0..2 {
            let mut stream = server.connect().await;
            stream
                .write_all(b"GET /huge HTTP/1.1\r\nhost: palisade\r\n\r\n")
                .await
                .unwrap();
            silent.push(stream);
        }
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        assert!(rest(&mut stream).await.contains("200 OK"));
        drop(silent);
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_wait_for_a_place() {
        let server = Server::start();
        let (first, second) = (server.connect().await, server.connect().await);
        let mut third = server.connect().await;
        third.write_all(REQUEST).await.unwrap();
        let mut byte = [0];
        assert!(
            timeout(Duration::from_millis(50), third.read(&mut byte))
                .await
                .is_err()
        );
        drop((first, second));
        assert!(rest(&mut third).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn shutdown_lets_an_answer_finish() {
        let server = Server::start();
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /slow HTTP/1.1\r\nhost: palisade\r\n\r\n")
            .await
            .unwrap();
        sleep(Duration::from_millis(50)).await;
        server.stop.send(()).unwrap();
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
        timeout(PATIENCE, server.served)
            .await
            .expect("the server stops")
            .unwrap();
    }
}
