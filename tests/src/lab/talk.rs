//! What two ends say to each other through an appliance, and what it logs of that.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::Value;

use super::{Edge, Family, PATIENCE, eventually};

/// A connection through the appliance: the client's end and the server's.
pub fn connection(edge: &Edge, family: Family, port: u16) -> Result<(TcpStream, TcpStream)> {
    let listener = edge.server.listen(family.server, port)?;
    let client = edge
        .client
        .enter(|| TcpStream::connect_timeout(&(family.server, port).into(), PATIENCE))?;
    let (server, _) = listener.accept()?;
    for end in [&client, &server] {
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_nodelay(true)?;
    }
    Ok((client, server))
}

/// What one end says comes out at the other.
pub fn says(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    from.write_all(bytes)?;
    let mut got = vec![0; bytes.len()];
    to.read_exact(&mut got)
        .with_context(|| String::from_utf8_lossy(bytes).into_owned())?;
    ensure!(got == bytes);
    Ok(())
}

/// Nothing more comes out of an end: it was reset.
pub fn is_reset(end: &mut TcpStream) -> Result<()> {
    let mut rest = Vec::new();
    match end.read_to_end(&mut rest) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            ensure!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
            Ok(())
        }
        other => anyhow::bail!("{other:?} {}", String::from_utf8_lossy(&rest)),
    }
}

/// An end's host forgets it, as by a restart: nobody hears of that.
pub fn lose(end: TcpStream) -> Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value lives across the call and is as long as stated.
    let result = unsafe {
        libc::setsockopt(
            end.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    ensure!(result == 0, io::Error::last_os_error());
    drop(end);
    Ok(())
}

/// The record with which a client asks for a server by its name.
pub fn client_hello(name: &'static str) -> Result<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), name.try_into()?)?;
    let mut hello = Vec::new();
    tls.write_tls(&mut hello)?;
    Ok(hello)
}

/// The last event of a kind has these members; events are written a moment after they happen.
pub fn logged(edge: &Edge, kind: &str, members: &Value) -> Result<()> {
    let members = members.as_object().context("members of an event")?;
    eventually("an event", || {
        let last = &edge.view(&format!("events?kind={kind}"))?["events"][0];
        let told = members.iter().all(|(name, value)| last[name] == *value);
        ensure!(told, "{members:?} in {last:#}");
        Ok(())
    })
}
