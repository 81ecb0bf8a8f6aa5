//! The API's client: HTTP/1.1 over the appliance's unix socket, or over HTTPS.
//!
//! A command makes one [`Client`] and asks one thing after the other. The appliance closes connections
//! that nothing comes through; the next question then opens another.

mod error;
mod stream;
pub(crate) mod tls;

pub(crate) use error::ClientError;
pub(crate) use stream::{Event, Events};

use std::env;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firewall::view::Readiness;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::connection::{Connection, Remote, Target};
use error::Refusal;
use tls::Verifier;

/// The appliance answers from memory; what takes longer than this is stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ten thousand policies are compiled, and a commit waits for name servers.
const PATIENCE_FOR_CONFIGURATION: Duration = Duration::from_secs(120);
/// For each address of a host, with TLS.
const PATIENCE_TO_CONNECT: Duration = Duration::from_secs(5);
/// A page of sessions is about one megabyte, a configuration at most eight.
const BODY_MAX_BYTES: usize = 64 << 20;

/// The way to one appliance.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    requests: SendRequest<Full<Bytes>>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    accept: &'static str,
    if_match: Option<String>,
    last_event_id: Option<String>,
    body: Option<(&'static str, Bytes)>,
}

/// An answer that is no refusal.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The entity tag of what the answer is about.
    pub(crate) etag: Option<String>,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            accept: "application/json",
            if_match: None,
            last_event_id: None,
            body: None,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// Asks for a document as it was written.
    pub(crate) fn written(self) -> Self {
        Self {
            accept: "application/yaml",
            ..self
        }
    }

    /// Only while the candidate is still the one with this entity tag.
    pub(crate) fn if_match(self, etag: Option<&str>) -> Self {
        Self {
            if_match: etag.map(str::to_owned),
            ..self
        }
    }

    pub(crate) fn after_event(self, id: Option<&str>) -> Self {
        Self {
            accept: "text/event-stream",
            last_event_id: id.map(str::to_owned),
            ..self
        }
    }

    pub(crate) fn json(self, body: &impl Serialize) -> Result<Self, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Body(error.into()))?;
        Ok(self.body("application/json", body))
    }

    pub(crate) fn body(self, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            body: Some((media_type, body.into())),
            ..self
        }
    }

    /// Of the body, in place of the usual one.
    pub(crate) fn media_type(mut self, media_type: &'static str) -> Self {
        if let Some((before, _)) = &mut self.body {
            *before = media_type;
        }
        self
    }

    fn request(&self, target: &Target) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(header::ACCEPT, self.accept);
        request = match target {
            Target::Socket(_) => request.header(header::HOST, "palisade"),
            Target::Network(remote) => request
                .header(header::HOST, remote.host.to_string())
                .header(header::AUTHORIZATION, &remote.authorization),
        };
        if let Some(etag) = &self.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(id) = &self.last_event_id {
            request = request.header("last-event-id", id);
        }
        let (media_type, body) = self.body.clone().unwrap_or_default();
        if !media_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        Ok(request.body(Full::new(body))?)
    }

    fn patience(&self) -> Duration {
        if self.path.starts_with("/api/v1/config") {
            PATIENCE_FOR_CONFIGURATION
        } else {
            PATIENCE
        }
    }
}

impl Answer {
    pub(crate) fn parsed<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        parsed(&self.body)
    }
}

impl Client {
    pub(crate) async fn connect(connection: &Connection) -> Result<Self, ClientError> {
        let target = connection.target(|name| env::var(name).ok())?;
        let requests = open(&target).await?;
        Ok(Self { target, requests })
    }

    /// The body of `GET path`.
    pub(crate) async fn get(&mut self, path: &str) -> Result<String, ClientError> {
        Ok(self.send(&Call::get(path)).await?.body)
    }

    /// The body of `DELETE path`.
    pub(crate) async fn delete(&mut self, path: &str) -> Result<String, ClientError> {
        Ok(self.send(&Call::new(Method::DELETE, path)).await?.body)
    }

    /// The answer, unless it is a refusal.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<Answer, ClientError> {
        let (status, answer) = self.ask(call).await?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(Refusal::of(status, &answer.body).into())
    }

    /// What the appliance tells from now on. Nothing else can be asked meanwhile.
    pub(crate) async fn events(mut self, call: &Call) -> Result<Events, ClientError> {
        let response = within(PATIENCE, self.exchange(call)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Events::new(response.into_body(), self));
        }
        let body = within(PATIENCE, collected(response)).await?;
        Err(Refusal::of(status, &body).into())
    }

    /// Whether the datapath enforces the committed configuration, and if not, what is missing.
    pub(crate) async fn readiness(&mut self) -> Result<Readiness, ClientError> {
        let (status, answer) = self.ask(&Call::get("/readyz")).await?;
        match status {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => answer.parsed(),
            _ => Err(Refusal::of(status, &answer.body).into()),
        }
    }

    async fn ask(&mut self, call: &Call) -> Result<(StatusCode, Answer), ClientError> {
        within(call.patience(), async {
            let response = self.exchange(call).await?;
            let status = response.status();
            let etag = response.headers().get(header::ETAG);
            let etag = etag.and_then(|etag| etag.to_str().ok()).map(str::to_owned);
            let body = collected(response).await?;
            Ok((status, Answer { etag, body }))
        })
        .await
    }

    async fn exchange(&mut self, call: &Call) -> Result<Response<Incoming>, ClientError> {
        let request = call.request(&self.target)?;
        let request = if self.requests.ready().await.is_ok() {
            match self.requests.try_send_request(request).await {
                Ok(response) => return Ok(response),
                // Given back: the connection was closed before anything was sent.
                Err(mut failed) => match failed.take_message() {
                    Some(request) => request,
                    None => return Err(failed.into_error().into()),
                },
            }
        } else {
            request
        };
        self.requests = open(&self.target).await?;
        Ok(self.requests.send_request(request).await?)
    }
}

async fn within<T>(
    patience: Duration,
    exchange: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    timeout(patience, exchange)
        .await
        .unwrap_or(Err(ClientError::Silent {
            seconds: patience.as_secs(),
        }))
}

async fn collected(response: Response<Incoming>) -> Result<String, ClientError> {
    let body = Limited::new(response.into_body(), BODY_MAX_BYTES)
        .collect()
        .await
        .map_err(ClientError::Body)?;
    String::from_utf8(body.to_bytes().into()).map_err(|error| ClientError::Body(error.into()))
}

async fn open(target: &Target) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    match target {
        Target::Socket(socket) => begin(dial(socket).await?).await,
        Target::Network(remote) => reach(remote).await,
    }
}

async fn dial(socket: &Path) -> Result<UnixStream, ClientError> {
    let socket = socket.to_owned();
    match UnixStream::connect(&socket).await {
        Ok(stream) => Ok(stream),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(ClientError::Forbidden { socket })
        }
        Err(source) => Err(ClientError::NotRunning { socket, source }),
    }
}

/// The first address that answers.
async fn reach(remote: &Remote) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let verifier = Verifier::new(&remote.trust)?;
    let connector = TlsConnector::from(Arc::new(verifier.config()?));
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses(remote).await? {
        match timeout(PATIENCE_TO_CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).unwrap_or_default();
                let name = remote.host.server_name.clone();
                let secured = timeout(PATIENCE_TO_CONNECT, connector.connect(name, stream));
                let untrusted = |source| ClientError::Tls {
                    host: remote.host.clone(),
                    source,
                    shown: verifier.shown(),
                };
                let secured = secured
                    .await
                    .map_err(|_| untrusted(io::ErrorKind::TimedOut.into()))?;
                return begin(secured.map_err(untrusted)?).await;
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ClientError::Connect {
        host: remote.host.clone(),
        source: last,
    })
}

/// By /etc/hosts and DNS: the binary is linked statically, and has no libc to ask.
async fn addresses(remote: &Remote) -> Result<Vec<SocketAddr>, ClientError> {
    let host = &remote.host;
    if let Ok(address) = host.name.parse() {
        return Ok(vec![SocketAddr::new(address, host.port)]);
    }
    let unknown = |error: &NetError| ClientError::NoAddress {
        host: host.clone(),
        problem: match error {
            NetError::Dns(DnsError::NoRecordsFound(_)) => {
                "no host of this name is known".to_owned()
            }
            other => other.to_string(),
        },
    };
    let resolver = TokioResolver::builder_tokio().and_then(ResolverBuilder::build);
    let found = resolver
        .map_err(|error| unknown(&error))?
        .lookup_ip(host.name.as_str())
        .await
        .map_err(|error| unknown(&error))?;
    Ok(found
        .iter()
        .map(|address| SocketAddr::new(address, host.port))
        .collect())
}

async fn begin<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = handshake(TokioIo::new(stream)).await?;
    // An error of the connection is also an error of the request that waits on it.
    tokio::spawn(async { connection.await.unwrap_or_default() });
    Ok(requests)
}

/// The view in a body.
pub(crate) fn parsed<T: DeserializeOwned>(body: &str) -> Result<T, ClientError> {
    serde_json::from_str(body).map_err(ClientError::Unexpected)
}

/// `path?name=value&…`, as far as the parameters have values.
pub(crate) fn with_query(
    path: &str,
    parameters: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> String {
    let query: Vec<String> = parameters
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))))
        .collect();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

/// Text as a part of a path or of a query (RFC 3986 §2.3).
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
