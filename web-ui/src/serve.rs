//! Answering connections, with bounds on what a client may cost.
//!
//! A client may be slow, huge, many or silent without holding more than [`Limits`] allows: a
//! request's head has a size and a time, an answer that isn't read is given up, and connections
//! beyond the bound wait in the kernel's backlog. Which door they come through, the unix socket's or
//! that of the network, makes no difference here.

use std::future::{Future, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::access::{Guarded, Peer};
use crate::crowd::{Place, Trusted};
use crate::stall::StallGuard;

/// Answers on `listener` until `shutdown` completes, then lets requests that are being answered
/// finish, for a short while. Must run within a tokio runtime that has time and I/O.
pub async fn serve(listener: UnixListener, site: Guarded, shutdown: impl Future<Output = ()>) {
    serve_within(&Limits::SOCKET, listener, site.into_router(), shutdown).await;
}

/// Where connections come from.
pub(crate) trait Door {
    /// As it was accepted.
    type Raw: Send + 'static;
    /// As HTTP speaks on it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What the connection holds until it ends.
    type Place: Seat;

    /// The next connection. Nothing is read from it here.
    fn accept(&mut self)
    -> impl Future<Output = io::Result<(Self::Raw, Peer, Self::Place)>> + Send;

    /// What comes before HTTP, within a time of its own. An error says why there is none.
    fn open(
        &self,
        raw: Self::Raw,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;
}

/// A connection's place among the others.
pub(crate) trait Seat: Send + Sync + 'static {
    /// Where the guard says that somebody is known.
    fn trusted(&self) -> Trusted;

    /// Completes when somebody else is to have it.
    fn needed(&self) -> impl Future<Output = ()> + Send;
}

impl Seat for Place {
    fn trusted(&self) -> Trusted {
        self.trusted()
    }

    async fn needed(&self) {
        self.needed().await;
    }
}

/// Of the unix socket, whose owner shares it with nobody.
impl Seat for () {
    fn trusted(&self) -> Trusted {
        Trusted::default()
    }

    async fn needed(&self) {
        std::future::pending::<()>().await;
    }
}

impl Door for UnixListener {
    type Raw = UnixStream;
    type Stream = UnixStream;
    type Place = ();

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer, ())> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok((stream, Peer::Socket, ()))
    }

    fn open(&self, raw: UnixStream) -> impl Future<Output = io::Result<UnixStream>> + 'static {
        ready(Ok(raw))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    /// From the end of one answer, or the connection's start, to the end of the next head: an
    /// idle connection is closed by this too.
    pub(crate) head_time: Duration,
    pub(crate) head_bytes: usize,
    pub(crate) head_fields: usize,
    /// Without a byte taken by the client.
    pub(crate) stall: Duration,
    /// For requests being answered when the appliance stops.
    pub(crate) drain: Duration,
}

impl Limits {
    /// A handful of shells, probes and dashboards: far more than they need.
    pub(crate) const SOCKET: Self = Self {
        connections: 64,
        head_time: Duration::from_secs(10),
        head_bytes: 16 * 1024,
        head_fields: 64,
        stall: Duration::from_secs(10),
        drain: Duration::from_secs(3),
    };
}

pub(crate) async fn serve_within<D: Door>(
    limits: &Limits,
    mut door: D,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let (closing, _) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let (raw, peer, held) = tokio::select! {
            next = next_client(&mut door, &places) => next,
            () = &mut shutdown => break,
        };
        let stream = door.open(raw);
        let (limits, router, watcher) = (limits.clone(), router.clone(), connections.watcher());
        let closing = Closing(closing.subscribe());
        tokio::spawn(async move {
            let (seat, _place) = &held;
            let client = Client {
                peer,
                trusted: seat.trusted(),
                closing,
            };
            let served = async {
                match stream.await {
                    Ok(stream) => answer(&limits, stream, client, router, watcher).await,
                    Err(error) => {
                        tracing::debug!(%error, ?peer, "a management connection did not begin");
                    }
                }
            };
            tokio::select! {
                () = served => {}
                () = seat.needed() => {
                    tracing::debug!(?peer, "a management connection makes room for another");
                }
            }
        });
    }
    drop(door);
    closing.send_replace(true);
    if timeout(limits.drain, connections.shutdown()).await.is_err() {
        tracing::debug!("management connections were still open when their server stopped");
    }
}

async fn next_client<D: Door>(
    door: &mut D,
    places: &Arc<Semaphore>,
) -> (D::Raw, Peer, (D::Place, OwnedSemaphorePermit)) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            // Nobody closes the semaphore: it lives as long as `serve_within`.
            return std::future::pending().await;
        };
        match door.accept().await {
            Ok((raw, peer, held)) => return (raw, peer, (held, place)),
            Err(error) => {
                // Out of descriptors, mostly: try again when some may have been freed.
                tracing::warn!(%error, "cannot accept a management connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Whoever is at the other end.
#[derive(Clone)]
struct Client {
    peer: Peer,
    trusted: Trusted,
    closing: Closing,
}

/// That the server stops. An answer without an end ends when it does, or the server would wait for it in vain.
#[derive(Clone, Debug)]
pub(crate) struct Closing(watch::Receiver<bool>);

impl Closing {
    pub(crate) async fn closed(&mut self) {
        // A server that is gone has stopped, too.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

/// Every request carries its peer and when its server stops, which only a server can say, and where to say that it is
/// known.
async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    limits: &Limits,
    stream: S,
    client: Client,
    router: Router,
    watcher: Watcher,
) {
    let peer = client.peer;
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(client.trusted.clone());
        request.extensions_mut().insert(client.closing.clone());
        router.call(request)
    });
    let io = TokioIo::new(StallGuard::new(stream, limits.stall));
    let connection = http(limits).serve_connection(io, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, ?peer, "a management connection ended early");
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
    use axum::Extension;
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
                ..Limits::SOCKET
            };
            let dir = TempDir::new();
            let (listener, file) = socket::bind(&dir.path().join("api.sock")).unwrap();
            let router = Router::new()
                .route("/small", get(async || "small"))
                .route(
                    "/endless",
                    get(async |Extension(mut closing): Extension<Closing>| closing.closed().await),
                )
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
    async fn shutdown_ends_an_answer_without_an_end() {
        let server = Server::start();
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /endless HTTP/1.1\r\nhost: palisade\r\n\r\n")
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
