//! A client of management over the network: TLS with whatever certificate there is, and then bytes of the test's choice.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use tokio::net::TcpSocket;

use super::Host;
use super::http::{Response, parse};

/// For each read and write: longer than the appliance's own patience with a silent client.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A connection after its handshake.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Somebody on a host who reaches the API over the network.
#[derive(Debug, Clone)]
pub struct HttpsClient {
    host: Host,
    server: SocketAddr,
    config: Arc<ClientConfig>,
    token: String,
}

impl HttpsClient {
    pub fn new(host: &Host, server: SocketAddr, token: &str) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)))
            .with_no_client_auth();
        Ok(Self {
            host: host.clone(),
            server,
            config: Arc::new(config),
            token: token.to_owned(),
        })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// TCP connections from addresses of the host, one after the other.
    pub fn connect_from(&self, sources: &[IpAddr]) -> Result<Vec<TcpStream>> {
        self.host.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut streams = Vec::new();
                for source in sources {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind((*source, 0).into())?;
                    let connecting = tokio::time::timeout(TIMEOUT, socket.connect(self.server));
                    let stream = connecting.await??.into_std()?;
                    stream.set_nonblocking(false)?;
                    patient(&stream)?;
                    streams.push(stream);
                }
                Ok(streams)
            })
        })
    }

    pub fn connect(&self) -> Result<Tls> {
        let stream = self
            .host
            .enter(|| TcpStream::connect_timeout(&self.server, TIMEOUT))?;
        patient(&stream)?;
        self.secure(stream)
    }

    /// Speaks TLS on a connection.
    pub fn secure(&self, mut stream: TcpStream) -> Result<Tls> {
        let name = ServerName::from(self.server.ip());
        let mut tls = ClientConnection::new(Arc::clone(&self.config), name)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).context("TLS handshake")?;
        }
        Ok(StreamOwned::new(tls, stream))
    }

    /// A request on a connection of its own.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut head = format!(
            "{method} {path} HTTP/1.0\r\nHost: palisade\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n",
            self.token,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let said = self.say(&[head.as_bytes(), body].concat())?;
        parse(&said).with_context(|| format!("{method} {path}: no HTTP answer: {said:?}"))
    }

    /// Sends bytes on a connection of its own; returns all that comes until the other end closes, which it may do before
    /// it has read everything.
    pub fn say(&self, bytes: &[u8]) -> Result<String> {
        let mut tls = self.connect()?;
        // Refused halfway: what was answered is still there to be read.
        let _ = tls.write_all(bytes).and_then(|()| tls.flush());
        Ok(rest(&mut tls))
    }
}

/// All that comes until the other end closes, however it does.
pub fn rest(stream: &mut impl io::Read) -> String {
    let mut said = Vec::new();
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        said.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn patient(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))
}

/// The appliance makes its own certificate, and this is not about that.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
