//! What a lab that stays has to show: pages and downloads of all sizes, busier and quieter by turns, and now and then
//! what no policy permits. `palisade lab-client --work` does it until standard input ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// At a time.
const CONVERSATIONS_MAX: usize = 32;
const PATIENCE: Duration = Duration::from_secs(10);
/// What no policy permits is given up soon.
const SILENCE: Duration = Duration::from_secs(2);
/// Between two conversations; each of these eight times, so that it goes up and down.
const PAUSES_MS: [u64; 8] = [120, 200, 400, 700, 900, 500, 300, 160];
/// Of answers: mostly pages, sometimes a picture, now and then a file.
const SIZES_KB: [u32; 11] = [2, 14, 6, 120, 3, 48, 9, 700, 5, 26, 2_400];
/// Every so manyth conversation is one of these; primes, so that they do not go together.
const FORBIDDEN: [(u64, u16); 2] = [(19, 23), (31, 25)];

pub(super) async fn work(target: SocketAddr) -> io::Result<()> {
    let mut conversations = JoinSet::new();
    for number in 0_u64.. {
        let pause = PAUSES_MS[usize::try_from(number / 8).unwrap_or(0) % PAUSES_MS.len()];
        sleep(Duration::from_millis(pause)).await;
        while conversations.try_join_next().is_some() {}
        if conversations.len() >= CONVERSATIONS_MAX {
            continue;
        }
        let forbidden = FORBIDDEN
            .iter()
            .find(|(every, _)| number % every == every - 1);
        match forbidden {
            Some(&(_, port)) => {
                let refused = TcpStream::connect(SocketAddr::new(target.ip(), port));
                conversations.spawn(async move { drop(timeout(SILENCE, refused).await) });
            }
            None => {
                let size = SIZES_KB[usize::try_from(number).unwrap_or(0) % SIZES_KB.len()];
                conversations
                    .spawn(async move { drop(timeout(PATIENCE, get(target, size)).await) });
            }
        }
    }
    Ok(())
}

/// One request on a connection of its own, whose answer is read and forgotten.
async fn get(target: SocketAddr, kilobytes: u32) -> Result<(), io::Error> {
    let stream = TcpStream::connect(target).await?;
    let (mut requests, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async { connection.await.unwrap_or_default() });
    let request = Request::get(format!("/kilobytes/{kilobytes}"))
        .header(header::HOST, target.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let response = requests
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let mut body = response.into_body();
    while let Some(part) = body.frame().await {
        part.map_err(io::Error::other)?;
    }
    Ok(())
}
