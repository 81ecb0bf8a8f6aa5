//! TCP as the appliance follows it: which segments belong to a connection, and when it is over.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result};
use palisade_tests::capture::{Capture, Captured};
use palisade_tests::decode::{Decoded, Transport};
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, PATIENCE, PERMIT_ALL};

in_both_modes!(
    what_lies_outside_the_window_is_dropped,
    a_segment_of_no_connection_is_dropped,
    flags_that_nobody_sends_are_dropped,
    a_connection_goes_through_its_states_and_opens_again,
    a_reset_closes_the_session,
    an_attempt_without_an_answer_stays_half_open,
);

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// An established connection, and where both ends are in it.
struct Connection {
    near: TcpStream,
    far: TcpStream,
    client: SocketAddr,
    server: SocketAddr,
    /// The next sequence number of each end.
    from_client: u32,
    from_server: u32,
}

impl Connection {
    fn open(edge: &Edge, family: Family) -> Result<Self> {
        let capture = Capture::start(&edge.server, "eth0")?;
        let listener = edge.server.listen(family.server, 8080)?;
        let mut near = edge.client.connect((family.server, 8080))?;
        let (mut far, client) = listener.accept()?;
        far.set_read_timeout(Some(PATIENCE))?;
        near.write_all(b"hello")?;
        far.read_exact(&mut [0; 5])?;
        far.write_all(b"there")?;
        near.read_exact(&mut [0; 5])?;
        let syn_of = |source: IpAddr| {
            let syn = capture.wait_for(PATIENCE, |packet| {
                packet.decode().is_ok_and(|decoded| {
                    decoded.source == source
                        && matches!(decoded.transport, Transport::Tcp { flags, .. } if flags & SYN != 0)
                })
            })?;
            match syn.decode()?.transport {
                Transport::Tcp { sequence, .. } => Ok(sequence),
                _ => anyhow::bail!("not TCP"),
            }
        };
        Ok(Self {
            client,
            server: (family.server, 8080).into(),
            // The SYN and five bytes.
            from_client: syn_of(family.client)?.wrapping_add(6),
            from_server: syn_of(family.server)?.wrapping_add(6),
            near,
            far,
        })
    }

    /// A segment of the client's.
    fn segment(&self, flags: u8, sequence: u32, acknowledgement: u32) -> Frame {
        Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(self.client.ip(), self.server.ip())
            .tcp(self.client.port(), self.server.port(), flags)
            .tcp_state(sequence, acknowledgement, 500, &[])
    }

    fn filter(&self) -> String {
        format!("protocol=tcp&port={}", self.client.port())
    }

    /// The ends still understand each other.
    fn check(&mut self) -> Result<()> {
        self.near.write_all(b"still")?;
        let mut buffer = [0; 5];
        self.far.read_exact(&mut buffer)?;
        assert_eq!(&buffer, b"still");
        self.far.write_all(b"there")?;
        self.near.read_exact(&mut buffer)?;
        assert_eq!(&buffer, b"there");
        Ok(())
    }
}

/// Something that no ordinary segment carries.
const MARK: &[u8] = b"forged by the test";

fn what_lies_outside_the_window_is_dropped(attach: Attach) -> Result<()> {
    let edge = Edge::start("window", attach, PERMIT_ALL)?;
    edge.pin_neighbours()?;
    for (number, family) in Family::BOTH.into_iter().enumerate() {
        let mut connection = Connection::open(&edge, family)?;
        let capture = Capture::start(&edge.server, "eth0")?;
        let (sequence, acknowledgement) = (connection.from_client, connection.from_server);
        let forged = [
            // Data far ahead of what the server's window allows, and far behind.
            connection.segment(
                ACK | PSH,
                sequence.wrapping_add(50_000_000),
                acknowledgement,
            ),
            connection.segment(
                ACK | PSH,
                sequence.wrapping_sub(50_000_000),
                acknowledgement,
            ),
            // An acknowledgement of what the server has not sent.
            connection.segment(ACK | PSH, sequence, acknowledgement.wrapping_add(1_000_000)),
            // RFC 5961 3: a reset that only guesses, and a FIN likewise.
            connection.segment(RST, sequence.wrapping_add(50_000_000), 0),
            connection.segment(
                RST | ACK,
                sequence.wrapping_sub(50_000_000),
                acknowledgement,
            ),
            connection.segment(
                FIN | ACK,
                sequence.wrapping_add(50_000_000),
                acknowledgement,
            ),
        ];
        let frames: Vec<_> = forged
            .iter()
            .map(|frame| frame.clone().payload(MARK).build())
            .collect();
        frames::send(&edge.client, "eth0", &frames)?;
        edge.wait_for_drops("tcp-window", 6 * (number as u64 + 1))?;
        connection.check()?;
        let session = edge.session(&connection.filter())?;
        assert_eq!(session["tcp-state"], "established");
        assert!(!capture.stop()?.iter().any(is_forged), "one got through");
    }
    Ok(())
}

fn is_forged(packet: &Captured) -> bool {
    packet.bytes.ends_with(MARK)
}

fn a_segment_of_no_connection_is_dropped(attach: Attach) -> Result<()> {
    let edge = Edge::start("no-session", attach, PERMIT_ALL)?;
    edge.pin_neighbours()?;
    let capture = Capture::start(&edge.server, "eth0")?;
    for (number, family) in Family::BOTH.into_iter().enumerate() {
        for flags in [ACK, ACK | PSH, SYN | ACK, RST, FIN | ACK] {
            let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(family.client, family.server)
                .tcp(4000, 8080, flags)
                .payload(MARK);
            frames::send(&edge.client, "eth0", &[frame.build()])?;
        }
        edge.wait_for_drops("tcp-no-session", 5 * (number as u64 + 1))?;
    }
    assert_eq!(edge.sessions("")?.len(), 0);
    assert!(!capture.stop()?.iter().any(is_forged));
    Ok(())
}

fn flags_that_nobody_sends_are_dropped(attach: Attach) -> Result<()> {
    let edge = Edge::start("flags", attach, PERMIT_ALL)?;
    edge.pin_neighbours()?;
    let capture = Capture::start(&edge.server, "eth0")?;
    let mut dropped = 0;
    for family in Family::BOTH {
        for flags in [0, SYN | FIN, SYN | RST, FIN, 0x3f] {
            let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(family.client, family.server)
                .tcp(4000, 8080, flags)
                .payload(MARK);
            frames::send(&edge.client, "eth0", &[frame.build()])?;
            dropped += 1;
        }
        edge.wait_for_drops("tcp-flags", dropped)?;
    }
    // Within a connection they are no better.
    let mut connection = Connection::open(&edge, Family::V4)?;
    for flags in [0, SYN | FIN, SYN | RST, FIN] {
        let frame = connection.segment(flags, connection.from_client, connection.from_server);
        frames::send(&edge.client, "eth0", &[frame.payload(MARK).build()])?;
        dropped += 1;
    }
    edge.wait_for_drops("tcp-flags", dropped)?;
    connection.check()?;
    assert!(!capture.stop()?.iter().any(is_forged));
    Ok(())
}

fn a_connection_goes_through_its_states_and_opens_again(attach: Attach) -> Result<()> {
    let edge = Edge::start("states", attach, PERMIT_ALL)?;
    for family in Family::BOTH {
        let connection = Connection::open(&edge, family)?;
        let filter = connection.filter();
        let first = edge.session(&filter)?;
        assert_eq!(first["tcp-state"], "established");
        let Connection {
            mut near,
            mut far,
            client,
            server,
            ..
        } = connection;
        near.shutdown(std::net::Shutdown::Write)?;
        edge.wait_for_state(&filter, "half-closed")?;
        // The other half goes on.
        far.write_all(b"more")?;
        near.read_exact(&mut [0; 4])?;
        drop(far);
        assert_eq!(near.read(&mut [0; 4])?, 0);
        let over = edge.wait_for_state(&filter, "time-wait")?;
        assert!(over["expires-seconds"].as_u64() <= Some(240), "{over}");
        drop(near);

        // The same ends once more.
        let capture = Capture::start(&edge.server, "eth0")?;
        let syn = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(client.ip(), server.ip())
            .tcp(client.port(), server.port(), SYN)
            .tcp_state(3_000_000_000, 0, 1000, &[]);
        frames::send(&edge.client, "eth0", &[syn.build()])?;
        let arrived = capture
            .wait_for(PATIENCE, |packet| {
                packet.decode().is_ok_and(|decoded| {
                    matches!(
                        decoded.transport,
                        Transport::Tcp {
                            sequence: 3_000_000_000,
                            ..
                        }
                    )
                })
            })?
            .decode()?;
        assert_eq!(arrived.source, client.ip());
        let second = edge.session(&filter)?;
        assert_ne!(second["id"], first["id"], "another session");
    }
    Ok(())
}

fn a_reset_closes_the_session(attach: Attach) -> Result<()> {
    let edge = Edge::start("reset", attach, PERMIT_ALL)?;
    for family in Family::BOTH {
        // A refused connection: the server's kernel resets it.
        let refused = edge
            .client
            .enter(|| TcpStream::connect((family.server, 9)))
            .expect_err("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        edge.wait_for_state(&format!("port=9&address={}", family.server), "closed")?;

        // An established one, reset by an end that leaves with data unread.
        let connection = Connection::open(&edge, family)?;
        let filter = connection.filter();
        let Connection { mut near, far, .. } = connection;
        near.write_all(b"unread")?;
        // The data has to be there before the end leaves.
        palisade_tests::lab::eventually("arrival", || {
            anyhow::ensure!(far.peek(&mut [0; 6])? == 6);
            Ok(())
        })?;
        drop(far);
        edge.wait_for_state(&filter, "closed")?;
        near.read(&mut [0; 1]).expect_err("reset");
    }
    Ok(())
}

fn an_attempt_without_an_answer_stays_half_open(attach: Attach) -> Result<()> {
    let edge = Edge::start("half-open", attach, PERMIT_ALL)?;
    edge.pin_neighbours()?;
    let silent: IpAddr = "198.51.100.77".parse()?;
    edge.fw.ip_batch(&format!(
        "neighbour replace {silent} lladdr {} dev eth2 nud permanent\n",
        Chain::SERVER_MAC
    ))?;
    let capture = Capture::start(&edge.server, "eth0")?;
    let syn = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        .addresses(Family::V4.client, silent)
        .tcp(4000, 8080, SYN);
    frames::send(&edge.client, "eth0", &[syn.build()])?;
    let arrived: Decoded = capture
        .wait_for(PATIENCE, |packet| {
            packet
                .decode()
                .is_ok_and(|decoded| decoded.destination == silent && decoded.protocol == 6)
        })?
        .decode()
        .context("the SYN")?;
    assert_eq!(arrived.transport.ports(), Some((4000, 8080)));
    let session = edge.wait_for_state("protocol=tcp", "syn-sent")?;
    assert!(
        session["expires-seconds"].as_u64() <= Some(240),
        "{session}"
    );
    Ok(())
}
