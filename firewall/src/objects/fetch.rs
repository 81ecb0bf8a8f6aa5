//! Getting a feed by HTTP or HTTPS: names resolved in-process, nothing unbounded, and only again what has
//! changed (RFC 9110 13).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::resolver::{Family, ResolveError, Resolver};
use super::watched;

/// A million entries fit twice.
const MAX_BODY_BYTES: usize = 64 << 20;
const MAX_CA_BYTES: u64 = 1 << 20;
/// From the first question to the last byte.
const PATIENCE: Duration = Duration::from_secs(120);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 5;
/// Of a host with more addresses the others are not tried.
const MAX_TRIES: usize = 4;

/// What the server said of the content that was taken last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validators {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// As it was.
    Same,
    Body(Bytes, Validators),
}

/// Why a feed could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("cannot connect to {host}: {source}")]
    Connect { host: String, source: io::Error },
    #[error("TLS with {host}: {source}")]
    Tls { host: String, source: io::Error },
    #[error("ca-file: {0}")]
    Trust(String),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    #[error("redirected to {0}, which is not taken")]
    Redirect(String),
    #[error("the content cannot be read: {0}")]
    Body(String),
    #[error("not done within {} s", PATIENCE.as_secs())]
    TooSlow,
}

/// Whom TLS is believed: the authorities of the file, else those that browsers believe.
pub(super) fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, FetchError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| FetchError::Trust(error.to_string());
            let pem = watched::read(path, MAX_CA_BYTES).map_err(|error| wrong(&error))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(FetchError::Trust(format!(
                    "no certificate in {}",
                    path.display()
                )));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Trust(error.to_string()))?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// The content at `url`, unless it is still the one that `known` describes.
pub(super) async fn fetch(
    url: &Uri,
    known: &Validators,
    trust: &Arc<ClientConfig>,
    resolver: &Resolver,
) -> Result<Fetched, FetchError> {
    let following = follow(url, known, trust, resolver);
    timeout(PATIENCE, following)
        .await
        .unwrap_or(Err(FetchError::TooSlow))
}

async fn follow(
    url: &Uri,
    known: &Validators,
    trust: &Arc<ClientConfig>,
    resolver: &Resolver,
) -> Result<Fetched, FetchError> {
    let mut at = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        match get(&at, known, trust, resolver).await? {
            Got::Redirect(to) => at = redirected(&at, &to)?,
            Got::Done(fetched) => return Ok(fetched),
        }
    }
    Err(FetchError::TooManyRedirects)
}

#[derive(Debug)]
pub(super) enum Got {
    Done(Fetched),
    Redirect(String),
}

async fn get(
    url: &Uri,
    known: &Validators,
    trust: &Arc<ClientConfig>,
    resolver: &Resolver,
) -> Result<Got, FetchError> {
    let host = url.host().unwrap_or_default();
    let default = if is_tls(url) { 443 } else { 80 };
    let port = url.port_u16().unwrap_or(default);
    let stream = connect(host, port, resolver).await?;
    converse(stream, url, known, trust).await
}

fn is_tls(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

pub(super) async fn converse(
    stream: TcpStream,
    url: &Uri,
    known: &Validators,
    trust: &Arc<ClientConfig>,
) -> Result<Got, FetchError> {
    if !is_tls(url) {
        return exchange(stream, url, known).await;
    }
    let host = url.host().unwrap_or_default();
    let tls = |source| FetchError::Tls {
        host: host.to_owned(),
        source,
    };
    let name = ServerName::try_from(bare(host).to_owned());
    let name = name.map_err(|error| tls(io::Error::other(error)))?;
    let stream = TlsConnector::from(trust.clone())
        .connect(name, stream)
        .await
        .map_err(tls)?;
    exchange(stream, url, known).await
}

/// An IPv6 address without the brackets it has in a URL.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

async fn connect(host: &str, port: u16, resolver: &Resolver) -> Result<TcpStream, FetchError> {
    let addresses = match bare(host).parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => look_up(bare(host), resolver).await?,
    };
    let mut last = FetchError::NoAddress(host.to_owned());
    for address in addresses.into_iter().take(MAX_TRIES) {
        let connecting = TcpStream::connect(SocketAddr::new(address, port));
        let connected = timeout(CONNECT_PATIENCE, connecting).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(source) => {
                last = FetchError::Connect {
                    host: host.to_owned(),
                    source,
                };
            }
        }
    }
    Err(last)
}

/// Of both families, in turns. One that cannot be had is no reason to give up the other.
async fn look_up(host: &str, resolver: &Resolver) -> Result<Vec<IpAddr>, FetchError> {
    let (v4, v6) = tokio::join!(
        resolver.addresses(host, Family::V4),
        resolver.addresses(host, Family::V6)
    );
    let (v4, v6) = match (v4, v6) {
        (Err(error), Err(_)) => return Err(error.into()),
        (v4, v6) => {
            let addresses = |answer: Result<super::resolver::Answer, _>| {
                answer.map(|answer| answer.addresses).unwrap_or_default()
            };
            (addresses(v4), addresses(v6))
        }
    };
    let most = v4.len().max(v6.len());
    let turns = (0..most).flat_map(|turn| [v4.get(turn), v6.get(turn)]);
    Ok(turns.flatten().copied().collect())
}

async fn exchange<S>(stream: S, url: &Uri, known: &Validators) -> Result<Got, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let (response, ended) = beside(connection, async {
        let response = sender.send_request(request(url, known)).await?;
        answered(response).await
    })
    .await;
    drop(ended);
    response
}

/// Runs both until the second is done.
async fn beside<A: Future, B: Future>(first: A, second: B) -> (B::Output, Option<A::Output>) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    tokio::select! {
        ended = &mut first => (second.await, Some(ended)),
        done = &mut second => (done, None),
    }
}

fn request(url: &Uri, known: &Validators) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let mut set = |name: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            request.headers_mut().insert(name, value);
        }
    };
    let host = url.authority().map(hyper::http::uri::Authority::as_str);
    set(
        header::HOST,
        host.and_then(|host| HeaderValue::from_str(host).ok()),
    );
    let agent = concat!("palisade/", env!("CARGO_PKG_VERSION"));
    set(header::USER_AGENT, Some(HeaderValue::from_static(agent)));
    set(
        header::ACCEPT,
        Some(HeaderValue::from_static("text/plain, */*")),
    );
    set(
        header::ACCEPT_ENCODING,
        Some(HeaderValue::from_static("identity")),
    );
    set(header::IF_NONE_MATCH, known.etag.clone());
    set(header::IF_MODIFIED_SINCE, known.last_modified.clone());
    request
}

async fn answered(response: Response<hyper::body::Incoming>) -> Result<Got, FetchError> {
    let of = |headers: &HeaderMap, name| headers.get(name).cloned();
    match response.status() {
        StatusCode::OK => {
            let validators = Validators {
                etag: of(response.headers(), header::ETAG),
                last_modified: of(response.headers(), header::LAST_MODIFIED),
            };
            let body = Limited::new(response.into_body(), MAX_BODY_BYTES)
                .collect()
                .await;
            let body = body.map_err(|error| FetchError::Body(error.to_string()))?;
            Ok(Got::Done(Fetched::Body(body.to_bytes(), validators)))
        }
        StatusCode::NOT_MODIFIED => Ok(Got::Done(Fetched::Same)),
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let to = of(response.headers(), header::LOCATION);
            let to = to.as_ref().and_then(|to| to.to_str().ok());
            Ok(Got::Redirect(to.unwrap_or_default().to_owned()))
        }
        other => Err(FetchError::Status(other)),
    }
}

/// RFC 3986 5.2, for what servers send: another URL, or a path of the same one. Never from HTTPS to HTTP:
/// who says https means it.
fn redirected(from: &Uri, to: &str) -> Result<Uri, FetchError> {
    let refused = || FetchError::Redirect(to.chars().take(200).collect());
    let scheme = from.scheme_str().unwrap_or_default();
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let whole = if to.starts_with("//") {
        format!("{scheme}:{to}")
    } else if to.starts_with('/') {
        format!("{scheme}://{authority}{to}")
    } else {
        to.to_owned()
    };
    let next: Uri = whole.parse().map_err(|_| refused())?;
    match (scheme, next.scheme_str(), next.host()) {
        (_, _, None | Some("")) | ("https", Some("http"), _) => Err(refused()),
        (_, Some("http" | "https"), Some(_)) => Ok(next),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_another_url_or_path_and_never_out_of_tls() {
        let to = |from: &str, to: &str| {
            let next = redirected(&from.parse().unwrap(), to);
            next.map(|uri| uri.to_string()).ok()
        };
        let here = "https://feeds.example.org:8443/a/b";
        let same = |path: &str| Some(format!("https://feeds.example.org:8443{path}"));
        assert_eq!(to(here, "/c?d=e"), same("/c?d=e"));
        assert_eq!(
            to(here, "//example.org/c").as_deref(),
            Some("https://example.org/c")
        );
        assert_eq!(
            to(here, "https://example.org/").as_deref(),
            Some("https://example.org/")
        );
        for refused in [
            "http://feeds.example.org/",
            "",
            "ftp://example.org/",
            "file:///etc",
            "c",
        ] {
            assert_eq!(to(here, refused), None, "{refused}");
        }
        let plain = "http://feeds.example.org/";
        assert_eq!(
            to(plain, "http://example.org/x").as_deref(),
            Some("http://example.org/x")
        );
    }
}
