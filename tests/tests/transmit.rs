//! Whether a device takes the frames that XDP redirects to it: what the kernel says, and when.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::programs::{Xdp, XdpMode};
use firewall::ports::transmit::{Change, Follower, takers};
use palisade_tests::generator::{Generator, Sink, SinkMode, Traffic};
use palisade_tests::lab::{Chain, End, Host, Lab, PATIENCE};
use palisade_tests::require_lab;

/// Two hosts and a cable, `eth0` at both ends.
struct Cable {
    near: Host,
    far: Host,
    /// Of the near end.
    ifindex: u32,
    _lab: Lab,
}

impl Cable {
    fn new(test_name: &str) -> Result<Self> {
        let mut lab = Lab::new(test_name)?;
        let [near, far] = lab.add_hosts(["near", "far"])?;
        let end = |host, mac| End {
            host,
            device: "eth0",
            mac,
        };
        lab.cable(end(&near, Chain::CLIENT_MAC), end(&far, Chain::SERVER_MAC))?;
        let ifindex = near.device_index("eth0")?;
        Ok(Self {
            near,
            far,
            ifindex,
            _lab: lab,
        })
    }

    fn set_gro_of_far_end(&self, state: &str) -> Result<()> {
        self.far
            .check(&["ethtool", "-K", "eth0", "gro", state])
            .map(drop)
    }

    /// What a reading at the near end says of the cable.
    fn takes_frames(&self) -> Result<bool> {
        at(&self.near, async {
            Ok(takers().await?.contains(&self.ifindex))
        })
    }

    /// The next change that a follower at the near end tells.
    async fn expect(&self, follower: &mut Follower, takes_frames: bool) -> Result<()> {
        let ifindex = self.ifindex;
        let change = Change {
            ifindex,
            takes_frames,
        };
        assert_eq!(next(follower).await?, change);
        Ok(())
    }
}

/// Runs a future inside a host's namespace.
fn at<T: Send>(host: &Host, future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    host.enter(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(future)
    })
}

async fn next(follower: &mut Follower) -> Result<Change> {
    tokio::time::timeout(PATIENCE, follower.next())
        .await
        .context("no change came")?
        .context("nothing is followed")
}

#[test]
fn a_veth_takes_frames_while_its_other_end_has_gro_on() -> Result<()> {
    require_lab!();
    let cable = Cable::new("transmit-gro")?;
    assert!(!cable.takes_frames()?);
    at(&cable.near, async {
        let mut follower = Follower::start().await?;
        for _ in 0..2 {
            cable.set_gro_of_far_end("on")?;
            cable.expect(&mut follower, true).await?;
            assert!(cable.takes_frames()?);
            cable.set_gro_of_far_end("off")?;
            cable.expect(&mut follower, false).await?;
            assert!(!cable.takes_frames()?);
        }
        let silence = Duration::from_millis(100);
        let more = tokio::time::timeout(silence, follower.next()).await;
        assert!(more.is_err(), "{more:?} is no change");
        Ok(())
    })
}

#[test]
fn redirected_frames_arrive_just_where_they_are_said_to_be_taken() -> Result<()> {
    require_lab!();
    const FRAMES: u32 = 100;
    let cable = Cable::new("transmit-truth")?;
    // The generator's frames are sent as redirected ones are; it needs NAPI at its own end.
    cable.near.check(&["ethtool", "-K", "eth0", "gro", "on"])?;
    let traffic = Traffic {
        source_mac: Chain::CLIENT_MAC,
        destination_mac: Chain::SERVER_MAC,
        source: "192.0.2.10:65000".parse()?,
        destination: "198.51.100.10:9".parse()?,
        flows: FRAMES,
        frame_bytes: 60,
    };
    for (gro, arrive) in [("off", 0), ("on", FRAMES), ("off", 0), ("on", FRAMES)] {
        cable.set_gro_of_far_end(gro)?;
        assert_eq!(cable.takes_frames()?, arrive > 0, "gro {gro}");
        let sink = Sink::attach(&cable.far, "eth0", 9, SinkMode::Drop)?;
        Generator::load(&cable.near, "eth0", &traffic)?.send(FRAMES)?;
        assert_eq!(sink.count()?.packets, u64::from(arrive), "gro {gro}");
    }
    Ok(())
}

#[test]
fn a_veth_takes_frames_while_its_other_end_carries_an_xdp_program() -> Result<()> {
    require_lab!();
    let cable = Cable::new("transmit-xdp")?;
    at(&cable.near, async {
        let mut follower = Follower::start().await?;
        // Any XDP program will do.
        let object = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/generator.o"));
        let mut occupant = Ebpf::load(object)?;
        let program: &mut Xdp = occupant
            .program_mut("generate")
            .context("no program")?
            .try_into()?;
        program.load()?;
        cable
            .far
            .enter(|| program.attach("eth0", XdpMode::Driver))?;
        cable.expect(&mut follower, true).await?;
        drop(occupant);
        cable.expect(&mut follower, false).await
    })
}

#[test]
fn a_follower_first_tells_who_takes_frames_already() -> Result<()> {
    require_lab!();
    let cable = Cable::new("transmit-first")?;
    cable.set_gro_of_far_end("on")?;
    at(&cable.near, async {
        let mut follower = Follower::start().await?;
        cable.expect(&mut follower, true).await
    })
}

#[test]
fn a_device_that_goes_takes_no_frames() -> Result<()> {
    require_lab!();
    let cable = Cable::new("transmit-gone")?;
    cable.set_gro_of_far_end("on")?;
    at(&cable.near, async {
        let mut follower = Follower::start().await?;
        cable.expect(&mut follower, true).await?;
        cable.far.ip_batch("link del eth0\n")?;
        cable.expect(&mut follower, false).await
    })
}

#[test]
fn a_change_whose_notice_was_lost_is_told() -> Result<()> {
    require_lab!();
    let cable = Cable::new("transmit-lost")?;
    at(&cable.near, async {
        let mut follower = Follower::start().await?;
        cable.set_gro_of_far_end("on")?;
        cable.expect(&mut follower, true).await?;
        // Queued now, and no longer true when the flood after it has filled the socket.
        cable.set_gro_of_far_end("off")?;
        cable.set_gro_of_far_end("on")?;
        let mut round = 0;
        while notices_lost(&cable.near)? == 0 {
            flood(&cable.near, round)?;
            round += 1;
        }
        cable.set_gro_of_far_end("off")?;
        cable.expect(&mut follower, false).await
    })
}

/// Makes devices, which the kernel gives notice of.
fn flood(host: &Host, round: u32) -> Result<()> {
    let pair =
        |number| format!("link add near{round}.{number} type veth peer name far{round}.{number}\n");
    host.ip_batch(&(0..64).map(pair).collect::<String>())
}

/// Messages that did not fit into the netlink sockets of a namespace.
fn notices_lost(host: &Host) -> Result<u64> {
    let table = host.check(&["cat", "/proc/net/netlink"])?;
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    let drops = header.split_whitespace().position(|name| name == "Drops");
    let drops = drops.context("no column Drops")?;
    ensure!(lines.clone().count() > 0, "no sockets");
    let lost = lines.filter_map(|line| line.split_whitespace().nth(drops));
    lost.map(|number| Ok(number.parse::<u64>()?)).sum()
}
