//! The appliance's API on a TCP port of this machine: bytes from there to its unix socket.
//!
//! # Limits
//! Neither encrypted nor authenticated: who reaches the port reads what the API tells.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// As many as the appliance itself answers at a time.
const CONNECTIONS_MAX: usize = 64;
/// For an end to take what the other sent. The appliance ends idle connections by itself.
const STALL: Duration = Duration::from_secs(10);

/// Relays until it is dropped, and its connections with it.
pub(super) async fn relay(listener: TcpListener, socket: PathBuf) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let socket = socket.clone();
                connections.spawn(async move {
                    // Each end sees how the other one ended; nobody else needs to know.
                    connect(client, &socket).await.unwrap_or_default();
                    drop(place);
                });
            }
            // Out of descriptors, mostly: try again when some may have been freed.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Ends when the appliance has said all, or when either end takes nothing any more.
async fn connect(mut client: TcpStream, socket: &Path) -> io::Result<()> {
    let mut appliance = UnixStream::connect(socket).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_appliance, mut to_appliance) = appliance.split();
    let asking = async {
        copy(&mut from_client, &mut to_appliance).await?;
        to_appliance.shutdown().await?;
        std::future::pending().await
    };
    tokio::select! {
        failed = asking => failed,
        answered = copy(&mut from_appliance, &mut to_client) => answered,
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            length => timeout(STALL, to.write_all(&buffer[..length])).await??,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use web_ui::fake::{Fake, TempDir};

    use super::*;

    struct Relayed {
        address: SocketAddr,
        _directory: TempDir,
    }

    async fn relayed() -> Relayed {
        let directory = TempDir::new();
        let socket = directory.path().join("api.sock");
        let (listener, file) = web_ui::bind(&socket).unwrap();
        tokio::spawn(async move {
            let router = web_ui::fake::site(Fake::running());
            web_ui::serve(listener, router, std::future::pending()).await;
            drop(file);
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(relay(listener, socket));
        Relayed {
            address,
            _directory: directory,
        }
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /api/v1/system HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_api_answers_over_tcp() {
        let relayed = relayed().await;
        let answer = ask(relayed.address).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("\"host-name\":\"edge-1\""), "{answer}");
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_wait_and_are_answered() {
        let relayed = relayed().await;
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            idle.push(TcpStream::connect(relayed.address).await.unwrap());
        }
        let late = ask(relayed.address);
        let mut late = std::pin::pin!(late);
        assert!(
            timeout(Duration::from_millis(100), late.as_mut())
                .await
                .is_err()
        );
        drop(idle);
        assert!(late.await.starts_with("HTTP/1.1 200 OK"));
    }
}
