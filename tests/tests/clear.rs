//! A session that management clears is gone for its very next packet, and no other session is.

use std::io::{Read as _, Write as _};

use anyhow::Result;
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Edge, Family, PERMIT_ALL};

in_both_modes!(
    a_cleared_connection_stops_and_another_goes_on,
    a_cleared_datagram_flow_opens_a_session_anew,
);

fn a_cleared_connection_stops_and_another_goes_on(attach: Attach) -> Result<()> {
    let edge = Edge::start("clear", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    let mut pairs = Vec::new();
    for port in [5001, 5002] {
        let listener = edge.server.listen(Family::V4.server, port)?;
        let mut near = edge.client.connect((Family::V4.server, port))?;
        let (mut far, _) = listener.accept()?;
        near.write_all(b"hello")?;
        far.read_exact(&mut [0; 5])?;
        pairs.push((near, far));
    }
    let cleared = edge
        .palisade
        .cli(&["clear", "sessions", "--port", "5001"])?;
    assert_eq!(cleared.stdout, "1 session closed\n");
    assert_eq!(edge.sessions("port=5001")?.len(), 0);
    let [(stopped, _), (near, far)] = &mut pairs[..] else {
        panic!("two connections");
    };
    stopped.write_all(b"nobody knows me")?;
    edge.wait_for_drops("tcp-no-session", 1)?;
    near.write_all(b"still here")?;
    far.read_exact(&mut [0; 10])?;
    assert_eq!(edge.session("port=5002")?["tcp-state"], "established");
    Ok(())
}

fn a_cleared_datagram_flow_opens_a_session_anew(attach: Attach) -> Result<()> {
    let edge = Edge::start("clear", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    let server = edge.server.udp(Family::V6.server, 5000)?;
    let client = edge.client.udp(Family::V6.client, 4000)?;
    let exchange = || -> Result<()> {
        client.send_to(b"?", (Family::V6.server, 5000))?;
        let (_, from) = server.recv_from(&mut [0; 8])?;
        server.send_to(b"!", from)?;
        client.recv_from(&mut [0; 8])?;
        Ok(())
    };
    exchange()?;
    let before = edge.session("protocol=udp")?["id"].clone();
    let cleared = edge.palisade.cli(&["clear", "sessions", "--all"])?;
    assert!(cleared.status.success());
    exchange()?;
    let after = edge.session("protocol=udp")?;
    assert_ne!(after["id"], before);
    assert_eq!(after["from-initiator"]["packets"], 1);
    Ok(())
}
