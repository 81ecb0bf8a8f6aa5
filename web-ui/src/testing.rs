//! A client of management over TLS, for tests: trusts one certificate, and connects anew for each request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::service::Service as _;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::{Guarded, Peer};
use crate::fake::{self, Fake};
use crate::tls::Certificates;

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    connector: TlsConnector,
    /// What each request carries.
    headers: Vec<(&'static str, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Client {
    pub(crate) fn of(address: SocketAddr, certificates: &Certificates) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificates.certificate()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address,
            connector: TlsConnector::from(Arc::new(config)),
            headers: Vec::new(),
        }
    }

    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    pub(crate) fn with(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut with = self.clone();
        with.headers.push((name, value.into()));
        with
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(body.into())).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> io::Result<Seen> {
        self.try_ask(self.request("GET", path, "")).await
    }

    /// `body` is sent as JSON.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Seen {
        let json = self.with("content-type", "application/json");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.ask(json.request(method, path, body)).await
    }

    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Seen {
        self.try_ask(request).await.unwrap()
    }

    async fn try_ask(&self, request: Request<Full<Bytes>>) -> io::Result<Seen> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.connector.connect(name, stream).await?;
        let (mut requests, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async { connection.await.unwrap_or_default() });
        let response = requests
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?;
        Ok(Seen {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes().to_vec(),
        })
    }
}

/// Asks an appliance's API as whoever opened the unix socket.
pub(crate) async fn ask(
    appliance: Fake,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let response = request(appliance, method, path, body).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// The same, with the answer as it comes.
pub(crate) async fn request(
    appliance: Fake,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Response {
    request_to(&fake::site(appliance).await, method, path, body).await
}

pub(crate) async fn request_to(
    site: &Guarded,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .extension(Peer::Socket)
        .header("content-type", "application/json")
        .body(Body::from(body.map(Value::to_string).unwrap_or_default()))
        .unwrap();
    let service = TowerToHyperService::new(site.clone().into_router());
    service.call(request).await.unwrap()
}
