//! `palisade lab-server`: a web server that tells each client which address it came from.
//!
//! The answer is what proves a translation: the server's own view of its peer. Asked for `/kilobytes/NUMBER`, it sends so many instead.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::parent;

const CONNECTIONS_MAX: usize = 1024;
/// Of one answer.
const KILOBYTES_MAX: usize = 4096;
/// Between two requests of a connection.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Answer HTTP requests with the address and port that they came from, or `/kilobytes/NUMBER` with so many.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; may be given many times.
    #[arg(long, value_name = "ADDRESS:PORT", required = true)]
    listen: Vec<SocketAddr>,
    /// End when standard input does.
    #[arg(long)]
    tied: bool,
}

pub(crate) fn serve(args: &Args) -> Result<(), ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServerError::Runtime)?;
    runtime.block_on(async {
        let mut servers = JoinSet::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for &address in &args.listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| ServerError::Listen { address, source })?;
            servers.spawn(accept(listener, Arc::clone(&places)));
        }
        writeln!(io::stdout(), "listening").map_err(ServerError::Runtime)?;
        parent::gone(args.tied).await.map_err(ServerError::Runtime)
    })
}

async fn accept(listener: TcpListener, places: Arc<Semaphore>) {
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(async move {
                    answer(stream, peer).await;
                    drop(place);
                });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(stream: TcpStream, peer: SocketAddr) {
    // One that listens on [::] sees IPv4 clients as ::ffff:192.0.2.1.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let tell = service_fn(move |request: Request<_>| async move {
        let kilobytes = request.uri().path().strip_prefix("/kilobytes/");
        let body = match kilobytes.and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => Bytes::from(vec![b'.'; number.min(KILOBYTES_MAX) * 1000]),
            None => Bytes::from(format!("{peer}\n")),
        };
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    // How a connection ends is its client's affair.
    http.serve_connection(TokioIo::new(stream), tell)
        .await
        .unwrap_or_default();
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error("cannot listen at {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
}
