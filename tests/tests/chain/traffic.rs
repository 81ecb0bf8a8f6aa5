//! A server that says who asked, and clients that keep their connections.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::lab::Host;

use crate::scale::Flow;

pub(crate) const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers every line, by TCP and UDP, with the address that it came from. Ends with the test.
pub(crate) fn serve(server: &Host) -> Result<()> {
    let listener = server.enter(|| TcpListener::bind(("::", PORT)))?;
    let datagrams = server.enter(|| UdpSocket::bind(("::", PORT)))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || talk(stream));
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = datagrams.recv_from(&mut buffer) {
            let who = peer.ip().to_canonical().to_string();
            if datagrams.send_to(who.as_bytes(), peer).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn talk(mut stream: TcpStream) -> Option<()> {
    let who = format!("{}\n", stream.peer_addr().ok()?.ip().to_canonical());
    let mut byte = [0];
    while stream.read(&mut byte).ok()? > 0 {
        if byte == *b"\n" {
            stream.write_all(who.as_bytes()).ok()?;
        }
    }
    Some(())
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(client: &Host, server: &str) -> Result<Self> {
        let address = SocketAddr::new(server.parse()?, PORT);
        let stream = client
            .enter(|| TcpStream::connect_timeout(&address, PATIENCE))
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    pub(crate) fn flow(&self) -> Result<Flow> {
        Ok(("tcp".to_owned(), self.0.local_addr()?))
    }

    /// Who the server says that we are.
    pub(crate) fn ask(&mut self) -> Result<IpAddr> {
        self.0.write_all(b"\n")?;
        let mut answer = Vec::new();
        let mut byte = [0];
        loop {
            ensure!(self.0.read(&mut byte)? > 0, "the connection was closed");
            if byte == *b"\n" {
                return Ok(String::from_utf8(answer)?.parse()?);
            }
            answer.push(byte[0]);
        }
    }
}

/// One question and its answer by UDP.
pub(crate) fn ask_by_udp(client: &Host, server: &str) -> Result<IpAddr> {
    let address = SocketAddr::new(server.parse()?, PORT);
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = client.enter(|| UdpSocket::bind(any))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"\n", address)?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(std::str::from_utf8(&buffer[..length])?.parse()?)
}
