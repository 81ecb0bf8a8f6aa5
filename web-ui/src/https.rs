//! Management over the network: TCP, TLS, and who may hold how much of it.
//!
//! The bounds of [`crate::serve`] hold here, too. On top of them: a handshake has a time, and one site
//! can't hold more than a share of the connections, nor a flood all of them ([`crate::crowd`]). Who speaks plain HTTP here is told so.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_keepidle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::{Guarded, Peer};
use crate::crowd::{Crowd, Place};
use crate::serve::{Door, Limits, serve_within};
use crate::tls::{self, Certificates, TlsError};

/// Where one has to go for each that comes, unless all are known.
const PLACES: usize = 256;
const LIMITS: Limits = Limits {
    // Those that were told to go may take a moment.
    connections: PLACES + 32,
    ..Limits::SOCKET
};
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
const BACKLOG: u32 = 128;
/// Streams of events may be silent for long, and their clients gone.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Serves a site where the configuration says, or nowhere.
pub struct Https {
    site: Guarded,
    certificates: Arc<Certificates>,
    acceptor: TlsAcceptor,
    at: Option<Server>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Https {
    /// # Errors
    /// TLS can't be set up.
    pub fn new(site: Guarded, certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        let config = tls::server_config(Arc::clone(&certificates))?;
        Ok(Self {
            site,
            certificates,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            at: None,
        })
    }

    /// Serves at this address from now on, and nowhere else. Where that can't be, it stays as it was. Connections
    /// at an address that is left finish what they are being answered.
    ///
    /// # Errors
    /// The address can't be listened at.
    pub async fn listen(&mut self, address: Option<SocketAddr>) -> Result<(), ListenError> {
        let before = self.at.as_ref().map(|server| server.address);
        if before == address {
            return Ok(());
        }
        let Some(address) = address else {
            self.leave();
            tracing::info!("management is on the unix socket alone");
            return Ok(());
        };
        let listener = match bind(address).await {
            Ok(listener) => listener,
            // One of them may be a wildcard: they are in each other's way.
            Err(error)
                if error.is_in_use() && before.is_some_and(|at| at.port() == address.port()) =>
            {
                self.stop().await;
                match bind(address).await {
                    Ok(listener) => listener,
                    Err(error) => {
                        if let Some(before) = before {
                            let listener = bind(before).await?;
                            self.serve(before, listener);
                        }
                        return Err(error);
                    }
                }
            }
            Err(error) => return Err(error),
        };
        self.leave();
        self.serve(address, listener);
        tracing::info!(%address, "management is served over HTTPS");
        Ok(())
    }

    /// Lets requests that are being answered finish, for a short while.
    pub async fn stop(&mut self) {
        if let Some(Server { stop, served, .. }) = self.at.take() {
            stop.send(()).unwrap_or_default();
            served.await.unwrap_or_default();
        }
    }

    /// Where it is served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.at.as_ref().map(|server| server.address)
    }

    fn leave(&mut self) {
        if let Some(Server { stop, .. }) = self.at.take() {
            stop.send(()).unwrap_or_default();
        }
    }

    fn serve(&mut self, address: SocketAddr, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel::<()>();
        let address = listener.local_addr().unwrap_or(address);
        let door = TlsDoor {
            listener,
            acceptor: self.acceptor.clone(),
            crowd: Crowd::of(PLACES),
            handshake_time: HANDSHAKE_TIME,
        };
        let router = self.site.clone().into_router();
        let certificates = Arc::clone(&self.certificates);
        let served = tokio::spawn(async move {
            let served = serve_within(&LIMITS, door, router, async {
                stopped.await.unwrap_or_default();
            });
            tokio::select! {
                () = served => {}
                () = watch(certificates) => {}
            }
        });
        self.at = Some(Server {
            address,
            stop,
            served,
        });
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Https")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Never ends.
async fn watch(certificates: Arc<Certificates>) {
    let mut ticks = interval(tls::REFRESH);
    loop {
        ticks.tick().await;
        certificates.refresh();
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    /// RFC 4862, section 5.4: an IPv6 address that was just given is not its own for about a second.
    const TENTATIVE: Duration = Duration::from_millis(250);
    const TRIES: u32 = 12;

    for _ in 1..TRIES {
        match bind_once(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => sleep(TENTATIVE).await,
            bound => return bound.map_err(|source| ListenError { address, source }),
        }
    }
    bind_once(address).map_err(|source| ListenError { address, source })
}

/// What is set here, connections inherit.
fn bind_once(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    set_tcp_keepidle(&socket, KEEPALIVE)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[derive(Debug, thiserror::Error)]
#[error("cannot serve management at {address}: {source}; 'management.listen' says where")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl ListenError {
    fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

struct TlsDoor {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    crowd: Arc<Crowd>,
    handshake_time: Duration,
}

impl Door for TlsDoor {
    type Raw = TcpStream;
    type Stream = TlsStream<TcpStream>;
    type Place = Place;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer, Place)> {
        loop {
            let (stream, address) = self.listener.accept().await?;
            match self.crowd.enter(address.ip()) {
                Some(place) => return Ok((stream, Peer::Network(address), place)),
                None => {
                    tracing::debug!(%address, "too many management connections from one address");
                }
            }
        }
    }

    fn open(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = io::Result<TlsStream<TcpStream>>> + Send + 'static {
        let acceptor = self.acceptor.clone();
        let handshake = async move {
            let mut first = [0];
            stream.peek(&mut first).await?;
            if first[0].is_ascii_alphabetic() {
                return Err(refuse_plain_http(stream).await);
            }
            acceptor.accept(stream).await
        };
        let patience = timeout(self.handshake_time, handshake);
        async { patience.await? }
    }
}

/// A TLS record begins with its type, 20 to 24 (RFC 8446, section 5.1); a method with a letter.
async fn refuse_plain_http(mut stream: TcpStream) -> io::Error {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 41\r\nconnection: close\r\n\r\nThis is an HTTPS port: use https:// here\n";
    const REST_BYTES_MAX: u64 = 16 * 1024;

    let said = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        // Closing with something unread would take the answer back.
        let mut rest = stream.take(REST_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    match said.await {
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "the client speaks plain HTTP"),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::{get, post};
    use firewall::audit::AuditLog;

    use super::*;
    use crate::access::Access;
    use crate::crowd::CONNECTIONS_OF_SITE_MAX;
    use crate::testing::{Client, Seen};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn site() -> Guarded {
        let router = Router::new()
            .route("/healthz", get(async || "ok"))
            .route("/readyz", post(async |body: String| body));
        Guarded::new(router, Access::open(None, Arc::new(AuditLog)).unwrap())
    }

    async fn serving() -> (Https, Client) {
        let certificates = Certificates::open(None, "edge-1", &[]).unwrap();
        let mut https = Https::new(site(), Arc::clone(&certificates)).unwrap();
        https
            .listen(Some("127.0.0.1:0".parse().unwrap()))
            .await
            .unwrap();
        let client = Client::of(https.address().unwrap(), &certificates);
        (https, client)
    }

    /// All that comes until the server closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        match read.expect("the server closes") {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn https_is_served_with_a_certificate_that_names_this_machine() {
        let (_https, client) = serving().await;
        let seen = client.get("/healthz").await;
        assert_eq!((seen.status, seen.text()), (200, "ok"));
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(seen.headers[name], value);
        }
        assert!(seen.headers.contains_key("content-security-policy"));
    }

    #[tokio::test]
    async fn who_speaks_plain_http_is_told_so() {
        let (https, _) = serving().await;
        let mut stream = TcpStream::connect(https.address().unwrap()).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: edge-1\r\n\r\n")
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_handshake_that_never_ends_is_given_up() {
        let (mut https, _) = serving().await;
        let door = TlsDoor {
            listener: bind("127.0.0.1:0".parse().unwrap()).await.unwrap(),
            acceptor: https.acceptor.clone(),
            crowd: Crowd::of(PLACES),
            handshake_time: Duration::from_millis(100),
        };
        let address = door.listener.local_addr().unwrap();
        let router = https.site.clone().into_router();
        let served = tokio::spawn(async move {
            serve_within(&LIMITS, door, router, std::future::pending()).await;
        });
        for start in [&b""[..], b"\x16\x03\x01", b"\x00garbage"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(start).await.unwrap();
            rest(&mut stream).await;
        }
        served.abort();
        https.stop().await;
    }

    #[tokio::test]
    async fn a_flood_from_one_address_is_closed_at_the_bound_and_leaves_room_after_it() {
        let (https, client) = serving().await;
        let address = https.address().unwrap();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_OF_SITE_MAX {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        for _ in 0..1_000 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert_eq!(rest(&mut stream).await, "");
        }
        drop(held);
        let answered = async {
            while client.try_get("/healthz").await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, answered).await.expect("room again");
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_refused() {
        let (_https, client) = serving().await;
        let post = async |bytes| -> Seen {
            client
                .ask(client.request("POST", "/readyz", "x".repeat(bytes)))
                .await
        };
        assert_eq!(post(crate::body::BYTES_MAX).await.status, 200);
        assert_eq!(post(crate::body::BYTES_MAX + 1).await.status, 413);
    }

    #[tokio::test]
    async fn another_address_takes_the_place_of_the_first_and_a_taken_one_changes_nothing() {
        let (mut https, client) = serving().await;
        let first = https.address().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = https
            .listen(Some(taken.local_addr().unwrap()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("management.listen"), "{error}");
        assert_eq!(https.address(), Some(first));
        assert_eq!(client.get("/healthz").await.status, 200);

        let port = first.port();
        https
            .listen(Some(([127, 0, 0, 1], port).into()))
            .await
            .unwrap();
        https
            .listen(Some(([0, 0, 0, 0], port).into()))
            .await
            .unwrap();
        assert_eq!(client.get("/healthz").await.status, 200);

        https
            .listen(Some("127.0.0.1:0".parse().unwrap()))
            .await
            .unwrap();
        let second = https.address().unwrap();
        assert!(client.at(second).try_get("/healthz").await.is_ok());
        https.listen(None).await.unwrap();
        assert_eq!(https.address(), None);
        let closed = async {
            while TcpStream::connect(second).await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, closed).await.expect("nothing listens");
    }

    #[tokio::test]
    async fn another_certificate_is_shown_from_the_next_handshake_on() {
        let (https, client) = serving().await;
        let dir = crate::fake::TempDir::new();
        let other = Certificates::open(Some(dir.path()), "edge-1", &[]).unwrap();
        https
            .certificates
            .show(Some(firewall::config::CertificateFiles {
                certificate: dir.path().join("tls/certificate.pem"),
                key: dir.path().join("tls/key.pem"),
            }));
        assert!(
            client.try_get("/healthz").await.is_err(),
            "it trusts the first"
        );
        let client = Client::of(https.address().unwrap(), &other);
        assert_eq!(client.get("/healthz").await.status, 200);
    }
}
