//! Who answers at a router what is asked through instances by TCP or HTTP.
//!
//! It says the same to everybody, so a check through an instance depends on nothing but that instance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::namespace::within;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
/// Whoever asks for longer is not a check.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST_MAX_BYTES: usize = 4096;
/// Checks are few; the network behind may be hostile.
const AT_ONCE: usize = 64;

/// Listens at a router's address.
pub(super) fn listen(namespace: &str, address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = within(namespace, || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    TcpListener::from_std(listener)
}

/// Answers for ever.
pub(super) async fn answer(listener: TcpListener) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // The semaphore is never closed.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    // Whoever goes away needs no answer.
                    timeout(PATIENCE, talk(stream))
                        .await
                        .unwrap_or(Ok(()))
                        .unwrap_or_default();
                    drop(place);
                });
            }
            // Out of descriptors, most likely.
            Err(_) => tokio::time::sleep(PATIENCE).await,
        }
    }
}

async fn talk(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        let mut more = (&mut stream).take((REQUEST_MAX_BYTES - request.len()) as u64);
        if more.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if request.windows(4).any(|end| end == b"\r\n\r\n") {
            stream.write_all(ANSWER).await?;
            return stream.shutdown().await;
        }
    }
}
