//! What the appliance says would become of a packet is what becomes of it.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Edge, Family, Host, Lab, connection, is_reset};
use serde_json::{Value, json};

in_both_modes!(
    packets_fare_as_the_answer_says,
    a_candidate_is_asked_before_it_is_committed,
    content_fares_as_the_answer_says,
);

const SECTIONS: &str = "\
policies:
  - { name: no-mail, from: trust, to: untrust, application: mail, action: reject }
  - { name: out, from: trust, to: untrust, application: some, action: permit }
  - { name: shop, from: untrust, to: trust, destination: 192.0.2.10, application: shop, action: permit }
applications:
  mail: { protocol: udp, destination-port: 25 }
  some: { protocol: udp, destination-port: 5000-5010 }
  shop: { protocol: udp, destination-port: 8443 }
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
  destination:
    - { name: web, from: untrust, destination: 198.51.100.1, port: 443, protocol: udp, translate: { to: 192.0.2.10, port: 8443 } }
";

fn ask(edge: &Edge, question: &Value) -> Result<Value> {
    let json = [("Content-Type", "application/json")];
    let body = question.to_string();
    let answer = edge
        .palisade
        .request("POST", "/api/v1/policies/match", &json, &body)?;
    ensure!(answer.status == 200, "{question}: {answer:?}");
    Ok(answer.json())
}

/// A datagram, asked about first and sent then.
struct Datagram<'a> {
    from: &'a str,
    sender: &'a Host,
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    verdict: &'a str,
    policy: Option<&'a str>,
}

impl Datagram<'_> {
    fn compare(&self, edge: &Edge) -> Result<()> {
        let answer = ask(
            edge,
            &json!({
                "from": self.from, "protocol": "udp",
                "source": self.source.0, "source-port": self.source.1,
                "destination": self.destination.0, "destination-port": self.destination.1,
            }),
        )?;
        assert_eq!(answer["verdict"], self.verdict, "{answer:#}");
        assert_eq!(answer["policy"].as_str(), self.policy, "{answer:#}");
        let reason = answer["drop-reason"].as_str();
        let before = reason.map(|reason| edge.dropped(reason)).transpose()?;
        let filter = format!("protocol=udp&port={}", self.source.1);
        ensure!(
            edge.sessions(&filter)?.is_empty(),
            "a question opens no session"
        );

        let socket = self.sender.udp(self.source.0, self.source.1)?;
        socket.send_to(b"question", self.destination)?;
        if let Some((reason, before)) = reason.zip(before) {
            return edge.wait_for_drops(reason, before + 1);
        }
        palisade_tests::lab::eventually("session", || edge.session(&filter).map(drop))?;
        let session = edge.session(&filter)?;
        assert_eq!(session["policy"], answer["policy"]);
        for (of_session, of_answer) in [("from-zone", "from"), ("to-zone", "to")] {
            assert_eq!(session[of_session], answer[of_answer]);
        }
        for end in ["ingress", "egress"] {
            assert_eq!(session[end], answer[end]);
        }
        for nat in ["source-nat", "destination-nat"] {
            assert_eq!(session[nat], answer[nat]["rule"], "{nat}");
        }
        let leaves = [
            ("translated-initiator", "source"),
            ("translated-responder", "destination"),
        ];
        for (end, side) in leaves {
            assert_eq!(session[end]["address"], answer["translated"][side], "{end}");
        }
        let again = ask(
            edge,
            &json!({
                "ingress": answer["ingress"], "protocol": "udp",
                "source": self.source.0, "source-port": self.source.1,
                "destination": self.destination.0, "destination-port": self.destination.1,
            }),
        )?;
        assert_eq!(again["session"], session["id"]);
        Ok(())
    }
}

fn packets_fare_as_the_answer_says(attach: Attach) -> Result<()> {
    let chain = Lab::chain("explain")?;
    // For what must come by a route that the appliance does not have.
    chain
        .client
        .ip_batch("address add 203.0.113.7/32 dev eth0\n")?;
    let edge = Edge::start_on(chain, attach, SECTIONS)?;
    let (client, server) = (&edge.client, &edge.server);
    let Family {
        client: inside,
        left,
        right,
        server: outside,
    } = Family::V4;
    let six = Family::V6;
    let elsewhere: IpAddr = [203, 0, 113, 7].into();
    let cases = [
        (
            "trust",
            client,
            inside,
            (outside, 5000),
            "permit",
            Some("out"),
        ),
        (
            "trust",
            client,
            six.client,
            (six.server, 5000),
            "permit",
            Some("out"),
        ),
        (
            "trust",
            client,
            inside,
            (outside, 25),
            "reject",
            Some("no-mail"),
        ),
        (
            "trust",
            client,
            inside,
            (outside, 6000),
            "deny",
            Some("default"),
        ),
        (
            "untrust",
            server,
            outside,
            (right, 443),
            "permit",
            Some("shop"),
        ),
        (
            "untrust",
            server,
            outside,
            (inside, 443),
            "deny",
            Some("default"),
        ),
        (
            "trust",
            client,
            inside,
            (left, 5000),
            "deny",
            Some("host-inbound"),
        ),
        (
            "trust",
            client,
            inside,
            ([203, 0, 113, 9].into(), 5000),
            "drop",
            None,
        ),
        ("trust", client, elsewhere, (outside, 5000), "drop", None),
    ];
    for (number, case) in (0..).zip(cases) {
        let (from, sender, source, destination, verdict, policy) = case;
        let datagram = Datagram {
            from,
            sender,
            source: (source, 4000 + number),
            destination,
            verdict,
            policy,
        };
        let compared = datagram.compare(&edge);
        compared.with_context(|| format!("{source} to {destination:?}"))?;
    }

    let ping =
        json!({ "from": "trust", "protocol": "icmp", "source": inside, "destination": left });
    let answer = ask(&edge, &ping)?;
    assert_eq!(answer["verdict"], "permit");
    assert_eq!(answer["policy"], "host-inbound");
    edge.client.ping(left, &[])?;
    let hits = edge.view("policies")?;
    let hits: Vec<_> = hits
        .as_array()
        .into_iter()
        .flatten()
        .map(|policy| policy["hits"].as_u64())
        .collect();
    // Those that were sent, and none that was only asked about.
    assert_eq!(hits, [Some(1), Some(2), Some(1), Some(2)]);
    Ok(())
}

fn a_candidate_is_asked_before_it_is_committed(attach: Attach) -> Result<()> {
    let edge = Edge::start("candidate-match", attach, SECTIONS)?;
    let patch = json!([{ "op": "replace", "path": "/policies/1/action", "value": "deny" }]);
    let headers = [("Content-Type", "application/json-patch+json")];
    let edited = edge.palisade.request(
        "PATCH",
        "/api/v1/config/candidate",
        &headers,
        &patch.to_string(),
    )?;
    ensure!(edited.status == 200, "{edited:?}");
    let mut question = json!({ "from": "trust", "protocol": "udp", "destination-port": 5000,
        "source": Family::V4.client, "destination": Family::V4.server });
    assert_eq!(ask(&edge, &question)?["verdict"], "permit");
    question["configuration"] = json!("candidate");
    let answer = ask(&edge, &question)?;
    assert_eq!(answer["verdict"], "deny");
    assert_eq!(answer["policy"], "out");
    assert_eq!(answer["configuration"], "candidate");
    Ok(())
}

fn content_fares_as_the_answer_says(attach: Attach) -> Result<()> {
    const SECTIONS: &str = "\
policies:
  - { name: no-ssh, from: any, to: any, l7: { application: ssh }, action: reject }
  - { name: rest, from: any, to: any, action: permit, inspect: standard }
inspection:
  standard: { url-filter: { block: ads } }
url-lists:
  ads: { entries: [ads.example] }
";
    let edge = Edge::start("explain-content", attach, SECTIONS)?;
    let answer = |content: Value| {
        ask(
            &edge,
            &json!({
                "from": "trust", "protocol": "tcp", "source": Family::V4.client,
                "destination": Family::V4.server, "destination-port": 8080, "content": content,
            }),
        )
    };
    let refused = answer(json!({ "application": "ssh" }))?;
    assert_eq!(refused["verdict"], "reject", "{refused:#}");
    assert_eq!(refused["policy"], "no-ssh");
    let (mut client, mut server) = connection(&edge, Family::V4, 8080)?;
    client.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
    is_reset(&mut client)?;
    is_reset(&mut server)?;
    edge.wait_for_drops(refused["drop-reason"].as_str().unwrap_or_default(), 1)?;

    for (host, first) in [
        ("ads.example", "HTTP/1.1 403"),
        ("www.example", "HTTP/1.1 200"),
    ] {
        let asked = answer(json!({ "host": host, "path": "/" }))?;
        let is_blocked = asked["filtered"]["action"] == "page";
        ensure!(is_blocked == (host == "ads.example"), "{asked:#}");
        assert_eq!(asked["policy"], "rest");
        let (mut client, mut server) = connection(&edge, Family::V4, 8080)?;
        client.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
        if !is_blocked {
            let mut request = [0; 8];
            server.read_exact(&mut request)?;
            server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
        let mut status = vec![0; first.len()];
        client.read_exact(&mut status)?;
        assert_eq!(String::from_utf8_lossy(&status), first);
    }
    Ok(())
}
