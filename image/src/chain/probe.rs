//! One question through an instance, and whether it was answered.
//!
//! It is asked from the router on the instance's left, from an address that is this instance's alone; the routers
//! send both directions through it (`plan`). Asking needs no answer from anybody but the router on the right, unless
//! the description names another target.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::address::Family;
use super::description::{Check, Health, Probe};
use super::namespace::within;

/// A status line is shorter.
const ANSWER_MAX_BYTES: usize = 512;
const SEQUENCE: [u8; 2] = [0, 1];
const PAYLOAD: &[u8; 8] = b"palisade";

/// Asks one instance after the other.
#[derive(Debug)]
pub(super) struct Prober {
    /// Of the router on the left.
    namespace: String,
    probe: Probe,
    health: Health,
    /// Kept: opening it takes a thread in the namespace.
    echo: Option<Echo>,
}

impl Prober {
    pub(super) fn new(namespace: &str, probe: Probe, health: &Health) -> Self {
        Self {
            namespace: namespace.to_owned(),
            probe,
            health: health.clone(),
            echo: None,
        }
    }

    /// `ping from 192.0.2.254 to 198.51.100.1`: what policies have to permit.
    pub(super) fn question(&self) -> String {
        let Probe { from, to, .. } = self.probe;
        let to_port = SocketAddr::new(to, self.health.port);
        match self.health.check {
            Check::Ping => format!("ping from {from} to {to}"),
            Check::Tcp => format!("tcp from {from} to {to_port}"),
            Check::Http => format!("http from {from} to {to_port}"),
            Check::None => "nothing is asked".to_owned(),
        }
    }

    /// How long the answer took.
    pub(super) async fn ask(&mut self) -> Result<Duration, ProbeError> {
        let began = Instant::now();
        let patience = self.health.timeout;
        timeout(patience, self.answered())
            .await
            .map_err(|_| ProbeError::Silent(patience))??;
        Ok(began.elapsed())
    }

    async fn answered(&mut self) -> Result<(), ProbeError> {
        match self.health.check {
            Check::Ping => {
                let echo = match &mut self.echo {
                    Some(echo) => echo,
                    none => none.insert(Echo::open(&self.namespace, self.probe)?),
                };
                Ok(echo.exchange().await?)
            }
            Check::Tcp => self.connected().await.map(drop),
            Check::Http => {
                let mut stream = self.connected().await?;
                let status = self.status(&mut stream).await?;
                if (200..400).contains(&status) {
                    Ok(())
                } else {
                    Err(ProbeError::Status(status))
                }
            }
            // Nothing is asked through the instance.
            Check::None => Ok(()),
        }
    }

    async fn connected(&self) -> Result<TcpStream, ProbeError> {
        let Probe { from, to, .. } = self.probe;
        let socket = within(&self.namespace, || {
            let socket = match from {
                IpAddr::V4(_) => TcpSocket::new_v4(),
                IpAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            socket.bind(SocketAddr::new(from, 0))?;
            Ok(socket)
        })?;
        Ok(socket
            .connect(SocketAddr::new(to, self.health.port))
            .await?)
    }

    /// RFC 9112 §4: the answer begins with the version and the status.
    async fn status(&self, stream: &mut TcpStream) -> Result<u16, ProbeError> {
        let host = SocketAddr::new(self.probe.to, self.health.port);
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: palisade-chain\r\nConnection: close\r\n\r\n",
            self.health.path
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut start = stream.take(ANSWER_MAX_BYTES as u64);
        while !answer.contains(&b'\n') && start.read_buf(&mut answer).await? > 0 {}
        let text = String::from_utf8_lossy(&answer);
        let mut words = text.split_ascii_whitespace();
        words
            .next()
            .filter(|version| version.starts_with("HTTP/1."))
            .and_then(|_| words.next()?.parse().ok())
            .ok_or(ProbeError::NoHttp)
    }
}

/// ICMP echo (RFC 792, RFC 4443 §4).
#[derive(Debug)]
struct Echo {
    socket: UdpSocket,
    family: Family,
    /// Another each time: to whoever follows sessions, each question is one of its own. Else an instance whose
    /// old sessions still pass would look well while it takes no new one.
    identifier: u16,
}

impl Echo {
    fn open(namespace: &str, probe: Probe) -> io::Result<Self> {
        let family = Family::of(probe.from);
        let socket: OwnedFd = within(namespace, || {
            let (domain, protocol) = match family {
                Family::V4 => (AddressFamily::INET, ipproto::ICMP),
                Family::V6 => (AddressFamily::INET6, ipproto::ICMPV6),
            };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(domain, SocketType::RAW, flags, Some(protocol))?;
            bind(&socket, &SocketAddr::new(probe.from, 0))?;
            connect(&socket, &SocketAddr::new(probe.to, 0))?;
            Ok(socket)
        })?;
        // Sends and receives what a connected datagram socket does.
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self {
            socket,
            family,
            identifier: 0,
        })
    }

    async fn exchange(&mut self) -> io::Result<()> {
        self.identifier = self.identifier.wrapping_add(1);
        let request = self.message(match self.family {
            Family::V4 => 8,
            Family::V6 => 128,
        });
        self.socket.send(&request).await?;
        let mut buffer = [0; 256];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            if self.is_answer(&buffer[..length]) {
                return Ok(());
            }
        }
    }

    fn message(&self, kind: u8) -> Vec<u8> {
        let mut message = vec![kind, 0, 0, 0];
        message.extend(self.identifier.to_be_bytes());
        message.extend(SEQUENCE);
        message.extend(PAYLOAD);
        // Of ICMPv6 the kernel fills it in (RFC 3542 §3.1).
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        message
    }

    /// A raw IPv4 socket receives the IP header, too.
    fn is_answer(&self, received: &[u8]) -> bool {
        let (message, kind) = match self.family {
            Family::V4 => {
                let header = received.first().map_or(0, |first| usize::from(first & 0xf)) * 4;
                (received.get(header..), 0)
            }
            Family::V6 => (Some(received), 129),
        };
        let Some([answer_kind, 0, _, _, rest @ ..]) = message else {
            return false;
        };
        let [a, b] = self.identifier.to_be_bytes();
        let [c, d] = SEQUENCE;
        *answer_kind == kind && rest.starts_with(&[a, b, c, d])
    }
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| {
        let [high, low] = [pair[0], pair.get(1).copied().unwrap_or(0)];
        u32::from(u16::from_be_bytes([high, low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("answered with HTTP status {0}")]
    Status(u16),
    #[error("answered, but not by HTTP")]
    NoHttp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_up_to_zero() {
        let mut message = vec![8, 0, 0, 0, 0, 1, 0, 9, b'x'];
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        assert_eq!(checksum(&message), 0);
    }
}
