//! Policies by what only the outside can say, and by the appliance itself.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Result, ensure};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Directory, Edge, Family, Lab, PATIENCE, eventually};
use serde_json::Value;

in_both_modes!(
    a_host_name_permits_the_addresses_that_it_has,
    a_feed_that_changes_ends_the_sessions_that_it_blocks,
    a_policy_decides_what_reaches_the_appliance,
    a_policy_decides_what_the_appliance_sends,
);

/// Answers every question for A and AAAA records with the server's own address, until the test ends.
fn answer_names(socket: UdpSocket) -> Result<()> {
    socket.set_read_timeout(None)?;
    thread::spawn(move || -> Result<()> {
        let mut query = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut query)?;
            // A header of 12 bytes, the name's labels up to an empty one, type and class.
            let name = query[12..length]
                .iter()
                .take_while(|byte| **byte != 0)
                .count()
                + 1;
            let end = 12 + name + 4;
            let data = match query[12 + name + 1] {
                1 => octets(Family::V4.server),
                _ => octets(Family::V6.server),
            };
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend(&query[12..end]);
            answer.extend([0xc0, 12]);
            answer.extend(&query[12 + name..end]);
            answer.extend([0, 0, 1, 0, 0, data.len() as u8]);
            answer.extend(data);
            socket.send_to(&answer, from)?;
        }
    });
    Ok(())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

const BY_NAME: &str = "\
system: { name-servers: [198.51.100.10] }
policies:
  - { name: mirror, from: trust, to: untrust, destination: fqdn:mirror.example.org, action: permit }
";

fn a_host_name_permits_the_addresses_that_it_has(attach: Attach) -> Result<()> {
    let chain = Lab::chain("name")?;
    answer_names(chain.server.udp(Family::V4.server, 53)?)?;
    let edge = Edge::start_on(chain, attach, BY_NAME)?;
    for family in Family::BOTH {
        let server = edge.server.listen(family.server, 8080)?;
        let mut connected = None;
        eventually("connection by name", || {
            let stream = edge.client.enter(|| {
                let patience = std::time::Duration::from_millis(500);
                TcpStream::connect_timeout(&(family.server, 8080).into(), patience)
            })?;
            connected = Some(stream);
            Ok(())
        })?;
        server.accept()?;
        let filter = format!("port=8080&address={}", family.server);
        assert_eq!(edge.session(&filter)?["policy"], "mirror");
    }
    // What has another address has not the name.
    let denied = edge.dropped("policy-denied")?;
    edge.server
        .ip_batch("address add 198.51.100.77/24 dev eth0\n")?;
    let client = edge.client.udp(Family::V4.client, 4000)?;
    client.send_to(b"no", ("198.51.100.77", 9))?;
    edge.wait_for_drops("policy-denied", denied + 1)
}

fn a_feed_that_changes_ends_the_sessions_that_it_blocks(attach: Attach) -> Result<()> {
    let directory = Directory::new()?;
    let feed = directory.join("feed.txt");
    std::fs::write(&feed, "203.0.113.1\n")?;
    let sections = format!(
        "feeds:\n\
         \x20 blocklist: {{ file: {} }}\n\
         policies:\n\
         \x20 - {{ name: blocked, from: any, to: any, destination: feed:blocklist, action: deny }}\n\
         \x20 - {{ name: rest, from: any, to: any, action: permit }}\n",
        feed.display()
    );
    let edge = Edge::start("feed", attach, &sections)?;
    let mut flows = Vec::new();
    for family in Family::BOTH {
        let listener = edge.server.listen(family.server, 8080)?;
        let mut near = None;
        // As long as the feed is not known, everything may be on it.
        eventually("connection", || {
            near = Some(edge.client.connect((family.server, 8080))?);
            Ok(())
        })?;
        let mut near = near.expect("it was connected");
        let (mut far, _) = listener.accept()?;
        near.write_all(b"hello")?;
        far.read_exact(&mut [0; 5])?;
        assert_eq!(
            edge.session(&format!("address={}", family.server))?["policy"],
            "rest"
        );
        flows.push((near, far));
    }
    std::fs::write(&feed, format!("{} ; caught\n", Family::V4.server))?;
    eventually("end of the blocked session", || {
        let sessions = edge.sessions(&format!("address={}", Family::V4.server))?;
        ensure!(sessions.is_empty(), "{sessions:?}");
        Ok(())
    })?;
    let denied = edge.dropped("policy-denied")?;
    flows[0].0.write_all(b"more")?;
    let new = edge.client.udp(Family::V4.client, 4000)?;
    new.send_to(b"no", (Family::V4.server, 9))?;
    eventually("packets denied", || {
        ensure!(
            edge.dropped("policy-denied")? > denied,
            "{:#?}",
            edge.sessions("protocol=udp")?
        );
        Ok(())
    })?;
    // The other goes on as it was.
    let (near, far) = &mut flows[1];
    near.write_all(b"again")?;
    far.read_exact(&mut [0; 5])?;
    ensure!(hits(&edge, "blocked")? > 0);
    Ok(())
}

const TO_HOST: &str = "\
policies:
  - { name: admin, from: untrust, to: host, application: ssh, action: permit, log: start }
  - { name: no-ping, from: trust, to: host, application: ping, action: deny }
  - { name: no-8080, from: trust, to: host, application: closed, action: reject }
  - { name: everything, from: any, to: any, action: permit }
applications:
  closed: { protocol: tcp, destination-port: 8080 }
";

fn a_policy_decides_what_reaches_the_appliance(attach: Attach) -> Result<()> {
    let edge = Edge::start("to-host", attach, TO_HOST)?;
    for family in Family::BOTH {
        // The zone may not, the policy lets it.
        let listener = edge.fw.listen(family.right, 22)?;
        let mut near = edge.server.connect((family.right, 22))?;
        let (mut far, _) = listener.accept()?;
        near.write_all(b"hello")?;
        far.read_exact(&mut [0; 5])?;
        let session = edge.session(&format!("port=22&address={}", family.right))?;
        assert_eq!(
            (&session["policy"], &session["to-zone"]),
            (&"admin".into(), &"host".into())
        );

        // The zone may, the policy forbids it.
        let denied = edge.dropped("policy-denied")?;
        let pinged = edge
            .client
            .run(&["ping", "-n", "-c1", "-W1", &family.left.to_string()])?;
        assert!(!pinged.success());
        assert!(edge.dropped("policy-denied")? > denied);
        let refused = edge
            .client
            .enter(|| TcpStream::connect((family.left, 8080)));
        assert_eq!(
            refused.expect_err("rejected").kind(),
            ErrorKind::ConnectionRefused
        );

        // No policy names the appliance here: `any` is not meant to be it.
        let ssh = edge.fw.listen(family.left, 22)?;
        edge.client.connect((family.left, 22))?;
        ssh.accept()?;
        let session = edge.session(&format!("port=22&address={}", family.left))?;
        assert_eq!(session["policy"], Value::Null);
        let denied = edge.dropped("host-inbound-denied")?;
        edge.server
            .udp(family.server, 4000)?
            .send_to(b"no", (family.right, 9))?;
        edge.wait_for_drops("host-inbound-denied", denied + 1)?;
    }
    assert_eq!(hits(&edge, "admin")?, 2);
    assert_eq!(hits(&edge, "no-ping")?, 2);
    assert_eq!(hits(&edge, "no-8080")?, 2);
    assert_eq!(hits(&edge, "everything")?, 0);
    assert_eq!(hits(&edge, "default")?, 0);
    Ok(())
}

const FROM_HOST: &str = "\
policies:
  - { name: no-telnet, from: host, to: untrust, application: [telnet, other], action: reject }
  - { name: nothing, from: any, to: any, action: deny }
applications:
  other: { protocol: udp, destination-port: 23 }
";

fn a_policy_decides_what_the_appliance_sends(attach: Attach) -> Result<()> {
    let mut edge = Edge::start("from-host", attach, FROM_HOST)?;
    for family in Family::BOTH {
        let refused = edge.fw.enter(|| TcpStream::connect((family.server, 23)));
        assert_eq!(
            refused.expect_err("rejected").kind(),
            ErrorKind::ConnectionRefused
        );
        let own = edge.fw.udp(family.right, 4001)?;
        own.connect((family.server, 23))?;
        own.send(b"no")?;
        let told = own.recv(&mut [0; 8]).expect_err("prohibited");
        assert!(!matches!(told.kind(), ErrorKind::WouldBlock), "{told}");

        let listener = edge.server.listen(family.server, 5001)?;
        let mut near = edge.fw.connect((family.server, 5001))?;
        let (mut far, _) = listener.accept()?;
        near.write_all(b"hello")?;
        far.read_exact(&mut [0; 5])?;
    }
    assert_eq!(hits(&edge, "no-telnet")?, 4);
    assert_eq!(hits(&edge, "nothing")?, 0);
    // A commit that forbids it ends what is under way.
    edge.reload("policies:\n  - { name: none, from: host, to: any, action: deny }\n")?;
    eventually("end of the sessions", || {
        ensure!(edge.sessions("port=5001")?.is_empty());
        Ok(())
    })?;
    let own = edge.fw.udp(Family::V4.right, 4000)?;
    let denied = edge.dropped("policy-denied")?;
    own.send_to(b"no", (Family::V4.server, 9))?;
    own.set_read_timeout(Some(PATIENCE))?;
    eventually("packet denied", || {
        ensure!(edge.dropped("policy-denied")? > denied);
        Ok(())
    })
}

fn hits(edge: &Edge, policy: &str) -> Result<u64> {
    let policies = edge.view("policies")?;
    let policies = policies.as_array().into_iter().flatten();
    Ok(policies
        .filter(|view| view["name"] == policy)
        .filter_map(|view| view["hits"].as_u64())
        .sum())
}
