//! `palisade lab-client`: opens a connection and tells what became of it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{everyday, parent};

/// Ask a lab server which address it sees, and print the outcome as JSON.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    /// How long to wait for a connection, and then for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    patience: u64,
    /// Ask again every second on the same connection, until standard input ends.
    #[arg(long)]
    hold: bool,
    /// Instead of that: conversations of all kinds, until standard input ends.
    #[arg(long, conflicts_with = "hold")]
    work: bool,
}

/// What became of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Answered {
        local: SocketAddr,
        /// The client's address and port, as the server saw them.
        seen: SocketAddr,
    },
    Refused {
        after_milliseconds: u64,
    },
    /// No answer to the first packet.
    Silent {
        seconds: u64,
    },
    Failed {
        problem: String,
    },
}

pub(crate) fn visit(args: &Args) -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClientError)?;
    runtime.block_on(async {
        if args.work {
            return tokio::select! {
                gone = parent::gone(true) => gone,
                ended = everyday::work(args.target) => ended,
            };
        }
        let (outcome, connection) = attempt(args.target, Duration::from_secs(args.patience)).await;
        let line = serde_json::to_string(&outcome).map_err(io::Error::other)?;
        writeln!(io::stdout(), "{line}")?;
        let Some(mut connection) = connection.filter(|_| args.hold) else {
            return Ok(());
        };
        tokio::select! {
            gone = parent::gone(true) => gone,
            broken = connection.repeat() => broken,
        }
    })?;
    Ok(())
}

async fn attempt(target: SocketAddr, patience: Duration) -> (Outcome, Option<Connection>) {
    let start = Instant::now();
    let stream = match timeout(patience, TcpStream::connect(target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return (unconnected(&error, start), None),
        Err(_) => {
            let seconds = patience.as_secs();
            return (Outcome::Silent { seconds }, None);
        }
    };
    match timeout(patience, ask(target, stream)).await {
        Ok(Ok((local, seen, connection))) => (Outcome::Answered { local, seen }, Some(connection)),
        Ok(Err(error)) => (failed(&format!("connected, then: {error}")), None),
        Err(_) => (failed("connected, and no answer came"), None),
    }
}

fn unconnected(error: &io::Error, start: Instant) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused {
            after_milliseconds: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        },
        _ => failed(&error.to_string()),
    }
}

fn failed(problem: &str) -> Outcome {
    Outcome::Failed {
        problem: problem.to_owned(),
    }
}

async fn ask(
    target: SocketAddr,
    stream: TcpStream,
) -> io::Result<(SocketAddr, SocketAddr, Connection)> {
    let local = stream.local_addr()?;
    let (requests, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // An error of the connection is also an error of the request that waits on it.
    tokio::spawn(async { connection.await.unwrap_or_default() });
    let mut connection = Connection { target, requests };
    let answer = connection.ask().await?;
    let seen = answer
        .trim()
        .parse()
        .map_err(|_| io::Error::other("the answer is not a lab server's"))?;
    Ok((local, seen, connection))
}

struct Connection {
    target: SocketAddr,
    requests: SendRequest<Empty<Bytes>>,
}

impl Connection {
    async fn repeat(&mut self) -> io::Result<()> {
        loop {
            sleep(Duration::from_secs(1)).await;
            self.ask().await?;
        }
    }

    async fn ask(&mut self) -> io::Result<String> {
        /// An address and a port.
        const ANSWER_MAX_BYTES: usize = 1024;

        let request = Request::get("/")
            .header(header::HOST, self.target.to_string())
            .body(Empty::new())
            .map_err(io::Error::other)?;
        self.requests.ready().await.map_err(io::Error::other)?;
        let response = self
            .requests
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES)
            .collect()
            .await
            .map_err(io::Error::other)?;
        String::from_utf8(body.to_bytes().into()).map_err(io::Error::other)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ClientError(#[from] io::Error);
