//! Packets that nobody should send: each is forwarded or dropped for a counted reason, and the appliance lives.

use std::time::Duration;

use anyhow::{Context as _, Result};
use palisade_tests::frames::{self, Frame};
use palisade_tests::lab::{Chain, Host, Lab, MacAddr, Palisade, wait_until};
use palisade_tests::random::Random;
use palisade_tests::require_lab;

const WAIT: Duration = Duration::from_secs(20);
/// For each port and lab.
const MUTATED: usize = 15_000;
const BATCH: usize = 250;

const CONFIG: &str = "version: 1
system: { sessions: 4096 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24, \"2001:db8:1::1/64\"] }
  right: { device: eth2, addresses: [198.51.100.1/24, \"2001:db8:2::1/64\"] }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right], host-inbound: [ping] }
policies:
  - { name: out, from: trust, to: untrust, action: permit }
  - { name: in, from: untrust, to: trust, application: [dns], action: permit }
nat:
  source:
    - { name: hide, from: trust, to: untrust, source: [192.0.2.0/24], translate: interface }
";

/// One end: where frames are sent from, and what stands on either side of its cable.
struct Side<'a> {
    host: &'a Host,
    port: usize,
    mac: MacAddr,
    firewall_mac: MacAddr,
    addresses: [(&'static str, &'static str); 4],
}

fn sides(chain: &Chain) -> [Side<'_>; 2] {
    [
        Side {
            host: &chain.client,
            port: 0,
            mac: Chain::CLIENT_MAC,
            firewall_mac: Chain::FW_LEFT_MAC,
            addresses: [
                ("192.0.2.10", "198.51.100.10"),
                ("2001:db8:1::10", "2001:db8:2::10"),
                ("192.0.2.10", "192.0.2.1"),
                ("2001:db8:1::10", "2001:db8:1::1"),
            ],
        },
        Side {
            host: &chain.server,
            port: 1,
            mac: Chain::SERVER_MAC,
            firewall_mac: Chain::FW_RIGHT_MAC,
            addresses: [
                ("198.51.100.10", "192.0.2.10"),
                ("2001:db8:2::10", "2001:db8:1::10"),
                ("198.51.100.10", "198.51.100.1"),
                ("2001:db8:2::10", "2001:db8:2::1"),
            ],
        },
    ]
}

/// Well-formed frames of every kind that the datapath looks into.
fn seeds(side: &Side<'_>) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (source, destination) in side.addresses {
        let base = Frame::between(side.mac, side.firewall_mac).ip(source, destination);
        let (unreachable, quoted) = if source.contains(':') {
            (1, 60)
        } else {
            (3, 28)
        };
        let inner = base.clone().udp(53, 1024).payload(&[0; 16]).build()[14..].to_vec();
        let variants = [
            base.clone().udp(1024, 53).payload(&[1; 64]),
            base.clone()
                .tcp(1024, 80, 0x02)
                .tcp_state(1, 0, 1000, &[2, 4, 5, 0xb4, 1, 3, 3, 7]),
            base.clone()
                .tcp(1024, 80, 0x18)
                .tcp_state(5, 9, 1000, &[])
                .payload(&[2; 100]),
            base.clone().echo_request(7, 1).payload(&[3; 56]),
            base.clone()
                .icmp(unreachable, 1, 0)
                .payload(&inner[..quoted.min(inner.len())]),
            base.clone().vlan(5).udp(1024, 53),
            base.clone().vlan(5).vlan(6).udp(1024, 53),
            base.clone()
                .fragment(0, true)
                .udp(1024, 53)
                .payload(&[4; 64]),
            base.clone()
                .fragment(64, false)
                .protocol(17)
                .payload(&[5; 64]),
            base.clone().protocol(47).payload(&[6; 40]),
            base.clone()
                .ip_options(&[7, 7, 4, 0, 0, 0, 0])
                .udp(1024, 53),
            base.clone()
                .extension(0, &[5, 2, 0, 0])
                .extension(43, &[2, 1])
                .udp(1024, 53),
            base.clone().ttl(1).udp(1024, 53),
            base.udp(1024, 53).pad_to(1514),
        ];
        seeds.extend(variants.iter().map(Frame::build));
    }
    seeds.extend(
        frames::malformed(side.mac, side.firewall_mac)
            .into_iter()
            .map(|(_, frame)| frame),
    );
    seeds
}

/// A few changes of one frame: bits, bytes, lengths, a cut, an extension, a splice.
fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(frame.len());
        match random.below(8) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = random.number() as u8,
            2 => frame[at] = [0, 0xff, 0x7f, 0x80][random.below(4)],
            3 => frame.truncate(at.max(14)),
            4 => frame.resize((frame.len() + random.below(200)).min(1514), 0xaa),
            5 => {
                // Where the lengths, offsets and next headers are.
                let at = 14 + random.below(48);
                if let Some(byte) = frame.get_mut(at) {
                    *byte = random.number() as u8;
                }
            }
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                frame.truncate(at.max(14));
                frame.extend_from_slice(&other[from..]);
                frame.truncate(1514);
            }
            _ => {}
        }
    }
    // The kernel takes one tag out, the programs look behind two more: a third is theirs and the workers' to disagree on.
    let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8]));
    if is_tag(12) && is_tag(16) && is_tag(20) {
        frame[20..22].copy_from_slice(&[0x08, 0x00]);
    }
    if random.below(2) == 0 && frame.len() >= 34 {
        frames::mend_ipv4_checksum(&mut frame);
    }
    frame
}

/// Reasons by which a frame is dropped before it counts as received.
const UNREADABLE: [&str; 13] = [
    "malformed-ipv4",
    "malformed-ipv6",
    "ipv4-checksum",
    "malformed-tcp",
    "malformed-udp",
    "malformed-icmp",
    "source-route",
    "extension-header",
    "not-ip",
    "l4-checksum",
    "rx-ring-full",
    "rx-no-frame",
    "frame-too-large",
];

/// What a port's counters say.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    /// Given to userspace.
    punted: u64,
    /// Forwarded by the programs themselves.
    forwarded: u64,
    /// Found to be a packet, by either.
    received: u64,
    unreadable: u64,
    /// Dropped for a reason that is found at several places: bad fragments while reading or while reassembling, a VLAN
    /// that nobody has by the programs or by userspace.
    somewhere: u64,
    dropped: u64,
}

fn counts(palisade: &Palisade, side: &Side<'_>) -> Result<Counts> {
    let (_, drops) = palisade.get("/api/v1/drops")?;
    let (_, interfaces) = palisade.get("/api/v1/interfaces")?;
    let name = ["left", "right"][side.port];
    let sum = |list: &str, wanted: &dyn Fn(&str) -> bool| -> Result<u64> {
        let counts = drops[list].as_array().context("a list")?.iter();
        let counts = counts.filter(|count| {
            count["interface"] == name && count["reason"].as_str().is_some_and(wanted)
        });
        Ok(counts.filter_map(|count| count["packets"].as_u64()).sum())
    };
    Ok(Counts {
        // What the appliance itself sends is not received.
        punted: sum("punts", &|reason| reason != "from-host")?,
        forwarded: palisade.forwarded_in_kernel(side.port as u32)?,
        received: interfaces[side.port]["received"]["packets"]
            .as_u64()
            .context("received")?,
        unreadable: sum("drops", &|reason| UNREADABLE.contains(&reason))?,
        somewhere: sum("drops", &|reason| {
            ["fragment-malformed", "unknown-vlan"].contains(&reason)
        })?,
        dropped: sum("drops", &|_| true)?,
    })
}

/// Sends the malformed frames and many mutated ones into both ports, and waits after each batch until all that the
/// programs gave to userspace has been counted there. What they forwarded counts as received, too.
fn bombard(chain: &Chain, palisade: &Palisade, seed: u64) -> Result<()> {
    let mut random = Random(seed);
    for side in sides(chain) {
        let seeds = seeds(&side);
        for round in 0..MUTATED / BATCH {
            let batch: Vec<_> = match round {
                0 => seeds.iter().cycle().take(BATCH).cloned().collect(),
                _ => (0..BATCH).map(|_| mutate(&mut random, &seeds)).collect(),
            };
            frames::send(side.host, "eth0", &batch)?;
            wait_until("every packet is accounted for", WAIT, || {
                let counts = counts(palisade, &side)?;
                let accounted = counts.received + counts.unreadable;
                let taken = counts.punted + counts.forwarded;
                Ok((accounted..=accounted + counts.somewhere).contains(&taken))
            })
            .with_context(|| {
                format!(
                    "round {round}: {:?}: {:?}\n{}",
                    counts(palisade, &side),
                    palisade.get("/api/v1/drops"),
                    palisade.log()
                )
            })?;
        }
        let counts = counts(palisade, &side)?;
        eprintln!("{}: {counts:?}", side.host.name());
        assert!(
            counts.received > 0 && counts.unreadable > 0,
            "both kinds were there"
        );
    }
    Ok(())
}

fn real_traffic_passes(chain: &Chain) -> Result<()> {
    // Mutated neighbour discovery may have left wrong neighbours behind.
    for host in [&chain.client, &chain.fw, &chain.server] {
        host.check(&["ip", "neighbour", "flush", "all"])?;
    }
    for address in ["198.51.100.10", "2001:db8:2::10"] {
        chain
            .client
            .check(&["ping", "-n", "-c2", "-i0.2", "-W5", address])?;
    }
    Ok(())
}

#[test]
fn mutated_packets_are_all_accounted_for_and_harm_nobody() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("mutated")?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    bombard(&chain, &palisade, 1)?;
    real_traffic_passes(&chain)?;
    assert!(palisade.stop()?.success(), "{}", palisade.log());
    Ok(())
}

#[test]
fn mutated_packets_are_all_accounted_for_where_xdp_reads_them() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("mutatedxdp")?;
    let yaml = CONFIG
        .replace("device: eth1", "attach: xdp, device: eth1")
        .replace("device: eth2", "attach: xdp, device: eth2");
    let mut palisade = Palisade::start(&chain.fw, &yaml)?;
    bombard(&chain, &palisade, 2)?;
    real_traffic_passes(&chain)?;
    assert!(palisade.stop()?.success(), "{}", palisade.log());
    Ok(())
}

#[test]
fn nothing_mutated_gets_through_where_nothing_is_permitted() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("sealed")?;
    let start = CONFIG.find("policies:").context("policies")?;
    let yaml = CONFIG[..start].replace(", host-inbound: [ping]", "");
    let palisade = Palisade::start(&chain.fw, &yaml)?;
    bombard(&chain, &palisade, 3)?;
    let (_, system) = palisade.get("/api/v1/system")?;
    assert_eq!(system["sessions"], 0);
    let (_, interfaces) = palisade.get("/api/v1/interfaces")?;
    for side in sides(&chain) {
        let counts = counts(&palisade, &side)?;
        eprintln!("{}: {counts:?}", side.host.name());
        assert!(counts.dropped > counts.unreadable);
        // Only answers to what can't be routed leave, and those at the port they came in by: an ICMP error each.
        let sent = interfaces[side.port]["sent"]["packets"]
            .as_u64()
            .context("sent")?;
        assert!(sent <= counts.dropped, "{sent} sent, {counts:?}");
    }
    Ok(())
}
