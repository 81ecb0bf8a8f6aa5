//! The API's client: HTTP/1.1 over the appliance's unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firewall::view::Readiness;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use web_ui::Problem;

/// The appliance answers from memory; what takes longer than this is stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// A page of sessions is about one megabyte.
const BODY_MAX_BYTES: usize = 64 << 20;

/// One connection, asked one thing after the other.
#[derive(Debug)]
pub(crate) struct Client {
    requests: SendRequest<Empty<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied => ClientError::Forbidden {
                    socket: socket.to_owned(),
                },
                _ => ClientError::NotRunning {
                    socket: socket.to_owned(),
                    source,
                },
            })?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        // An error of the connection is also an error of the request that waits on it.
        tokio::spawn(async { connection.await.unwrap_or_default() });
        Ok(Self { requests })
    }

    /// The body of `GET path`.
    pub(crate) async fn get(&mut self, path: &str) -> Result<String, ClientError> {
        self.asked(Method::GET, path).await
    }

    /// The body of `DELETE path`.
    pub(crate) async fn delete(&mut self, path: &str) -> Result<String, ClientError> {
        self.asked(Method::DELETE, path).await
    }

    async fn asked(&mut self, method: Method, path: &str) -> Result<String, ClientError> {
        let (status, body) = self.ask(method, path).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(refusal(status, &body))
    }

    /// Whether the datapath enforces the committed configuration, and if not, what is missing.
    pub(crate) async fn readiness(&mut self) -> Result<Readiness, ClientError> {
        let (status, body) = self.ask(Method::GET, "/readyz").await?;
        match status {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => parsed(&body),
            _ => Err(refusal(status, &body)),
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, String), ClientError> {
        timeout(PATIENCE, self.exchange(method, path))
            .await
            .map_err(|_| ClientError::Silent)?
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, String), ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "palisade")
            .body(Empty::new())?;
        self.requests.ready().await?;
        let response = self.requests.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX_BYTES)
            .collect()
            .await
            .map_err(ClientError::Body)?;
        let body = String::from_utf8(body.to_bytes().into())
            .map_err(|error| ClientError::Body(error.into()))?;
        Ok((status, body))
    }
}

fn refusal(status: StatusCode, body: &str) -> ClientError {
    match serde_json::from_str::<Problem>(body) {
        Ok(problem) if status == StatusCode::BAD_REQUEST => ClientError::BadRequest(problem.detail),
        Ok(problem) => ClientError::Refused {
            status,
            detail: problem.detail,
        },
        Err(_) => ClientError::Refused {
            status,
            detail: "without a reason".into(),
        },
    }
}

/// The view in a body.
pub(crate) fn parsed<T: DeserializeOwned>(body: &str) -> Result<T, ClientError> {
    serde_json::from_str(body).map_err(ClientError::Unexpected)
}

/// `name=value` for a query string, with the value percent-encoded (RFC 3986 §2.3).
pub(crate) fn parameter(name: &str, value: &str) -> String {
    let encoded: String = value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("{name}={encoded}")
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("palisade is not running here: cannot connect to {}: {source}", socket.display())]
    NotRunning { socket: PathBuf, source: io::Error },
    #[error("cannot connect to {}: only its owner may; run this as root", socket.display())]
    Forbidden { socket: PathBuf },
    #[error("the appliance broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the appliance did not answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error("the appliance's answer can't be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the request can't be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("{0}")]
    BadRequest(String),
    #[error("the appliance answered {status}: {detail}")]
    Refused { status: StatusCode, detail: String },
    #[error(
        "the appliance's answer isn't what this version of palisade expects ({0}); use the appliance's own"
    )]
    Unexpected(serde_json::Error),
    #[error("the appliance's pages go in a circle at cursor {0}")]
    Circle(String),
}

impl ClientError {
    /// Whether the user asked for something that can't be.
    pub(crate) fn is_wrong_input(&self) -> bool {
        match self {
            Self::BadRequest(_) => true,
            Self::NotRunning { .. }
            | Self::Forbidden { .. }
            | Self::Broken(_)
            | Self::Silent
            | Self::Body(_)
            | Self::Request(_)
            | Self::Refused { .. }
            | Self::Unexpected(_)
            | Self::Circle(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_become_another_parameter() {
        assert_eq!(
            parameter("policy", "a&limit=1 ü"),
            "policy=a%26limit%3D1%20%C3%BC"
        );
        assert_eq!(
            parameter("address", "2001:db8::1"),
            "address=2001%3Adb8%3A%3A1"
        );
    }
}
