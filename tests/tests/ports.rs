//! Devices come and go while the appliance runs, and nobody on another port notices.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use palisade_tests::lab::{
    Attach, Chain, End, Footprint, Host, Lab, MacAddr, Palisade, eventually,
};
use palisade_tests::{in_both_modes, require_lab};
use serde_json::Value;

in_both_modes!(
    an_interface_waits_for_its_device_and_the_others_work_meanwhile,
    a_device_that_goes_and_comes_back_costs_other_ports_no_packet,
    another_device_of_the_same_name_takes_the_place_of_the_first,
    a_commit_adds_an_interface_and_another_takes_it_away,
    a_wire_waits_for_its_other_end,
    many_that_come_and_go_leave_nothing_behind,
);

const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
const GUEST_MAC: MacAddr = MacAddr::new(0x02, 0, 0, 0, 3, 0x10);
const FW_MAC: MacAddr = MacAddr::new(0x02, 0, 0, 0, 3, 0x01);
/// Behind the guest.
const BEYOND: &str = "203.0.113.200";

/// A chain, and a guest that is not connected to it yet.
struct Party {
    // Ends before its namespaces go.
    palisade: Palisade,
    chain: Chain,
    guest: Host,
    attach: Attach,
}

impl Party {
    fn start(name: &str, attach: Attach, has_guest: bool) -> Result<Self> {
        let mut chain = Lab::chain(name)?;
        let [guest] = chain.lab.add_hosts(["guest"])?;
        let palisade = Palisade::start(&chain.fw, &config(attach, has_guest))?;
        Ok(Self {
            palisade,
            chain,
            guest,
            attach,
        })
    }

    /// Plugs the guest in.
    fn connect(&self) -> Result<()> {
        let fw = End {
            host: &self.chain.fw,
            device: "eth3",
            mac: FW_MAC,
        };
        let guest = End {
            host: &self.guest,
            device: "eth0",
            mac: GUEST_MAC,
        };
        self.chain.lab.cable(fw, guest)?;
        self.guest.ip_batch(&format!(
            "address add {GUEST}/25 dev eth0\n\
             address replace {BEYOND}/32 dev lo\n\
             route add default via 203.0.113.1\n"
        ))
    }

    fn disconnect(&self) -> Result<()> {
        self.chain.fw.ip_batch("link del eth3\n")
    }

    fn reload(&mut self, has_guest: bool) -> Result<()> {
        let log = self.palisade.reload(&config(self.attach, has_guest))?;
        ensure!(log.contains("committed"), "{log}");
        Ok(())
    }

    fn wait_for(&self, state: &str) -> Result<Value> {
        wait_for(&self.palisade, "dmz", state)
    }

    /// Both ways, through the appliance.
    fn guest_is_reached(&self) -> Result<()> {
        eventually("way to the guest and back", || {
            ping(&self.chain.client, GUEST)?;
            ping(&self.guest, IpAddr::from([198, 51, 100, 10]))
        })
    }
}

fn config(attach: Attach, has_guest: bool) -> String {
    let (dmz, zone, route) = if has_guest {
        (
            format!("  dmz: {{ device: eth3, attach: {attach}, addresses: [203.0.113.1/25] }}\n"),
            "  guests: { interfaces: [dmz], host-inbound: [ping] }\n",
            format!("routes:\n  - {{ to: 203.0.113.128/25, via: {GUEST} }}\n"),
        )
    } else {
        (String::new(), "", String::new())
    };
    format!(
        "version: 1\n\
         system: {{ sessions: 1024 }}\n\
         interfaces:\n\
         \x20 left: {{ device: eth1, attach: {attach}, addresses: [192.0.2.1/24] }}\n\
         {dmz}\
         \x20 right: {{ device: eth2, attach: {attach}, addresses: [198.51.100.1/24] }}\n\
         {route}\
         zones:\n\
         \x20 trust: {{ interfaces: [left], host-inbound: [ping] }}\n\
         {zone}\
         \x20 untrust: {{ interfaces: [right] }}\n\
         policies:\n\
         \x20 - {{ name: all, from: any, to: any, action: permit }}\n"
    )
}

fn ping(host: &Host, to: IpAddr) -> Result<()> {
    host.check(&["ping", "-n", "-c1", "-W2", &to.to_string()])
        .map(drop)
}

fn interface(palisade: &Palisade, name: &str) -> Result<Value> {
    let (status, body) = palisade.get("/api/v1/interfaces")?;
    ensure!(status == 200, "{status}: {body}");
    let mut all = body.as_array().into_iter().flatten();
    let found = all.find(|interface| interface["name"] == name);
    found.cloned().context("no such interface")
}

fn wait_for(palisade: &Palisade, name: &str, state: &str) -> Result<Value> {
    let (since, mut last) = (Instant::now(), Value::Null);
    eventually(&format!("interface {name} that is {state}"), || {
        last = interface(palisade, name)?;
        ensure!(last["state"] == state, "{last}");
        Ok(())
    })?;
    eprintln!("{name} {state} after {:?}", since.elapsed());
    Ok(last)
}

fn alarms(palisade: &Palisade) -> Result<Vec<Value>> {
    let (_, body) = palisade.get("/api/v1/alarms")?;
    let all = body.as_array().or_else(|| body["alarms"].as_array());
    let mut alarms = all.cloned().with_context(|| body.to_string())?;
    alarms.retain(|alarm| alarm["alarm"] == "interface-waiting");
    Ok(alarms)
}

/// Numbered packets from client to server for as long as something is done to other ports.
struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u32>>,
    receiver: JoinHandle<Result<u32>>,
}

impl Stream {
    fn start(chain: &Chain) -> Result<Self> {
        let server = chain.server.udp([198, 51, 100, 10].into(), 5000)?;
        let client = chain.client.udp([192, 0, 2, 10].into(), 4000)?;
        // Neighbours are known, and the session is the kernel's, before anything is counted.
        for _ in 0..20 {
            client.send_to(&u32::MAX.to_be_bytes(), "198.51.100.10:5000")?;
            thread::sleep(Duration::from_millis(10));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let sender = thread::spawn(move || send(&client, &is_over));
        let receiver = thread::spawn(move || receive(&server));
        Ok(Self {
            stop,
            sender,
            receiver,
        })
    }

    /// Fails unless all arrived, in order.
    fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().ok().context("the sender panicked")??;
        let received = self.receiver.join();
        let received = received.ok().context("the receiver panicked")??;
        eprintln!("{received} of {sent} packets arrived");
        ensure!(received == sent && sent > 100, "{received} of {sent}");
        Ok(())
    }
}

/// The last says that it is.
fn send(client: &UdpSocket, is_over: &AtomicBool) -> Result<u32> {
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        client.send_to(&u32::to_be_bytes(number), "198.51.100.10:5000")?;
        number += 1;
        thread::sleep(Duration::from_micros(500));
    }
    for _ in 0..10 {
        client.send_to(b"end", "198.51.100.10:5000")?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(number)
}

fn receive(server: &UdpSocket) -> Result<u32> {
    let mut received = 0;
    loop {
        let mut buffer = [0; 4];
        let (length, _) = server.recv_from(&mut buffer)?;
        if length == 3 {
            return Ok(received);
        }
        let number = u32::from_be_bytes(buffer);
        if number != u32::MAX {
            ensure!(number == received, "{number} after {received} others");
            received += 1;
        }
    }
}

fn an_interface_waits_for_its_device_and_the_others_work_meanwhile(attach: Attach) -> Result<()> {
    let party = Party::start("later", attach, true)?;
    let Party {
        palisade, chain, ..
    } = &party;
    // Ready was waited for: it is, for what is there.
    let (status, ready) = palisade.get("/readyz")?;
    assert_eq!((status, &ready["ready"]), (200, &true.into()), "{ready}");
    assert_eq!(ready["waiting"][0]["interface"], "dmz", "{ready}");
    let waiting = party.wait_for("waiting")?;
    let reason = waiting["reason"].as_str().context("no reason")?;
    for part in ["no device eth3", "eth1", "eth2"] {
        assert!(reason.contains(part), "no {part} in: {reason}");
    }
    let shown = palisade.cli(&["show", "interfaces"])?.stdout;
    assert!(shown.contains("eth3 waiting"), "{shown}");
    eventually("alarm", || {
        let alarms = alarms(palisade)?;
        ensure!(alarms.len() == 1 && alarms[0]["subject"] == "dmz");
        Ok(())
    })?;
    ping(&chain.client, [198, 51, 100, 10].into())?;

    // What others make of new devices is not what the appliance leaves them.
    chain
        .fw
        .set_sysctl("net/ipv4/conf/default/forwarding", "1")?;
    chain
        .fw
        .set_sysctl("net/ipv6/conf/default/forwarding", "1")?;
    party.connect()?;
    let attached = party.wait_for("attached")?;
    assert_eq!(attached["attach"], attach.to_string());
    assert_eq!(attached["reason"], Value::Null);
    party.guest_is_reached()?;
    // The route that led through it is there now.
    ping(&chain.client, BEYOND.parse()?)?;
    ping(&party.guest, [203, 0, 113, 1].into())?;
    for setting in ["ipv4/conf/eth3/forwarding", "ipv6/conf/eth3/forwarding"] {
        let path = format!("/proc/sys/net/{setting}");
        let value = chain.fw.enter(|| fs::read_to_string(&path))?;
        assert_eq!(value.trim(), "0", "{setting}");
    }
    let (_, ready) = palisade.get("/readyz")?;
    assert_eq!(ready["waiting"], Value::Array(Vec::new()));
    eventually("end of the alarm", || {
        ensure!(alarms(palisade)?.is_empty());
        Ok(())
    })
}

fn a_device_that_goes_and_comes_back_costs_other_ports_no_packet(attach: Attach) -> Result<()> {
    let party = Party::start("back", attach, true)?;
    let stream = Stream::start(&party.chain)?;
    for _ in 0..4 {
        party.connect()?;
        party.wait_for("attached")?;
        party.guest_is_reached()?;
        party.disconnect()?;
        party.wait_for("waiting")?;
    }
    stream.finish()?;
    let sessions = party.palisade.get("/api/v1/sessions?interface=dmz")?;
    assert_eq!(sessions.0, 200, "{}", sessions.1);
    Ok(())
}

fn another_device_of_the_same_name_takes_the_place_of_the_first(attach: Attach) -> Result<()> {
    let party = Party::start("replaced", attach, true)?;
    let fw = &party.chain.fw;
    party.connect()?;
    party.wait_for("attached")?;
    party.guest_is_reached()?;
    for _ in 0..3 {
        // Faster than anybody looks.
        party.disconnect()?;
        party.connect()?;
        party.guest_is_reached()?;
    }
    // One that leaves and is back under the number that it had.
    let number = fw.device_index("eth3")?;
    let (away, back) = (party.guest.namespace(), fw.namespace());
    fw.ip_batch(&format!("link set eth3 netns {away}\n"))?;
    party
        .guest
        .ip_batch(&format!("link set eth3 netns {back}\n"))?;
    eprintln!("{number} became {}", fw.device_index("eth3")?);
    party.guest_is_reached()?;
    // One that is called otherwise is not the one that is wanted.
    fw.ip_batch("link set eth3 down\nlink set eth3 name eth9\nlink set eth9 up\n")?;
    party.wait_for("waiting")?;
    let footprint = Footprint::of(fw)?;
    assert!(!footprint.addresses.contains("203.0.113.1"));
    assert!(!footprint.programs.contains("eth9"));
    fw.ip_batch("link set eth9 down\nlink set eth9 name eth3\n")?;
    party.wait_for("attached")?;
    party.guest_is_reached()
}

fn a_commit_adds_an_interface_and_another_takes_it_away(attach: Attach) -> Result<()> {
    let mut party = Party::start("commit", attach, false)?;
    party.connect()?;
    let before = Footprint::of(&party.chain.fw)?;
    let stream = Stream::start(&party.chain)?;
    for _ in 0..3 {
        party.reload(true)?;
        party.wait_for("attached")?;
        party.guest_is_reached()?;
        party.reload(false)?;
        ensure!(interface(&party.palisade, "dmz").is_err());
        let after = Footprint::of(&party.chain.fw)?;
        assert_eq!(after.programs, before.programs);
        assert_eq!(after.addresses, before.addresses);
        assert_eq!(after.routes, before.routes);
    }
    // Its counters were another interface's.
    party.reload(true)?;
    party.guest_is_reached()?;
    let there = interface(&party.palisade, "left")?;
    ensure!(there["device"] == "eth1", "{there}");
    stream.finish()
}

fn a_wire_waits_for_its_other_end(attach: Attach) -> Result<()> {
    let chain = Lab::chain("halfwire")?;
    for (host, address) in [(&chain.client, 10), (&chain.server, 20)] {
        host.ip_batch(&format!(
            "address flush dev eth0 scope global\naddress add 203.0.113.{address}/24 dev eth0\n"
        ))?;
    }
    let cable = || {
        let fw = End {
            host: &chain.fw,
            device: "eth2",
            mac: Chain::FW_RIGHT_MAC,
        };
        let server = End {
            host: &chain.server,
            device: "eth0",
            mac: Chain::SERVER_MAC,
        };
        chain.lab.cable(fw, server)?;
        chain
            .server
            .ip_batch("address add 203.0.113.20/24 dev eth0\n")
    };
    chain.fw.ip_batch("link del eth2\n")?;
    let palisade = Palisade::start(
        &chain.fw,
        &format!(
            "version: 1\n\
             system: {{ mode: wire, sessions: 1024 }}\n\
             interfaces:\n\
             \x20 left: {{ device: eth1, attach: {attach} }}\n\
             \x20 right: {{ device: eth2, attach: {attach} }}\n\
             zones: {{ inside: {{ interfaces: [left] }}, outside: {{ interfaces: [right] }} }}\n\
             policies:\n\
             \x20 - {{ name: out, from: inside, to: outside, action: permit }}\n"
        ),
    )?;
    wait_for(&palisade, "right", "waiting")?;
    let to = IpAddr::from([203, 0, 113, 20]);
    ensure!(ping(&chain.client, to).is_err());
    for _ in 0..2 {
        cable()?;
        wait_for(&palisade, "right", "attached")?;
        eventually("way across", || ping(&chain.client, to))?;
        chain.fw.ip_batch("link del eth2\n")?;
        wait_for(&palisade, "right", "waiting")?;
        ensure!(ping(&chain.client, to).is_err());
    }
    Ok(())
}

fn many_that_come_and_go_leave_nothing_behind(attach: Attach) -> Result<()> {
    let party = Party::start("many", attach, true)?;
    party.connect()?;
    party.wait_for("attached")?;
    party.guest_is_reached()?;
    party.disconnect()?;
    party.wait_for("waiting")?;
    let id = party.palisade.id();
    let count =
        |what: &str| -> Result<usize> { Ok(fs::read_dir(format!("/proc/{id}/{what}"))?.count()) };
    // Their names: how they stand, the kernel finds out at leisure.
    let devices = || -> Result<Vec<String>> {
        let links = party.chain.fw.check(&["ip", "-o", "link"])?;
        let name = |line: &str| line.split(' ').nth(1).map(ToOwned::to_owned);
        Ok(links.lines().filter_map(name).collect())
    };
    // A request that was answered may still be being closed.
    let before = (count("fd")?, devices()?);
    for round in 0..25 {
        party.connect()?;
        // At all stages of being attached.
        thread::sleep(Duration::from_millis(round * 4));
        party.disconnect()?;
    }
    party.wait_for("waiting")?;
    eventually("state as before", || {
        let after = (count("fd")?, devices()?);
        let is_left = after.0 > before.0 || after.1 != before.1;
        ensure!(!is_left, "{after:#?} instead of {before:#?}");
        Ok(())
    })?;
    // Threads of the runtime's that closed something stay for a while.
    ensure!(count("task")? < 40, "{} threads", count("task")?);
    // Frames that sockets had are there for the next: each round took a third of all.
    party.connect()?;
    party.guest_is_reached()?;
    let server = party.chain.server.udp([198, 51, 100, 10].into(), 5000)?;
    for port in 10_000..10_300 {
        // Each is the first of a session, which a worker is given.
        let guest = party.guest.udp(GUEST, port)?;
        guest.send_to(b"new", "198.51.100.10:5000")?;
        let (_, from) = server.recv_from(&mut [0; 8])?;
        ensure!(from.port() == port, "{from}");
    }
    assert_eq!(party.palisade.drops("rx-no-frame")?, 0);
    Ok(())
}

#[test]
fn a_device_that_will_not_do_waits_with_the_reason_until_it_does() -> Result<()> {
    require_lab!();
    let party = Party::start("wrong", Attach::Tc, true)?;
    let fw = &party.chain.fw;
    let yaml = config(Attach::Tc, true)
        .replace("eth1", "eth7")
        .replace("eth2", "eth8");
    let mut other = Palisade::start(fw, &yaml)?;
    party.connect()?;
    // Whoever is first has it.
    eventually("one that has it", || {
        let reasons = [&party.palisade, &other].map(|it| interface(it, "dmz"));
        let [one, two] = reasons;
        let reason = format!("{}{}", one?["reason"], two?["reason"]);
        ensure!(reason.contains("taken by another palisade"), "{reason}");
        Ok(())
    })?;
    assert!(other.stop()?.success());
    party.wait_for("attached")?;
    party.guest_is_reached()?;
    party.disconnect()?;
    party.wait_for("waiting")?;

    fw.ip_batch("link add eth3 mtu 9000 type veth peer name eth4\n")?;
    eventually("word of the MTU", || {
        let reason = interface(&party.palisade, "dmz")?["reason"].to_string();
        ensure!(reason.contains("9000"), "{reason}");
        Ok(())
    })?;
    fw.ip_batch("link set eth3 mtu 1500\n")?;
    party.wait_for("attached")?;
    fw.ip_batch("link del eth3\n")
}

#[test]
fn a_commit_to_a_device_that_will_not_do_is_refused_in_words_that_help() -> Result<()> {
    require_lab!();
    let mut party = Party::start("refused", Attach::Tc, false)?;
    let before = Footprint::of(&party.chain.fw)?;
    let yaml = config(Attach::Tc, true);
    for (device, part) in [("lo", "no Ethernet device"), ("palh0", "makes for itself")] {
        let log = party.palisade.reload(&yaml.replace("eth3", device))?;
        ensure!(
            log.contains(part) && log.contains("stays as it is"),
            "{log}"
        );
        assert_eq!(before, Footprint::of(&party.chain.fw)?);
    }
    // One that is not there may come.
    party.reload(true)?;
    party.wait_for("waiting")?;
    party.connect()?;
    party.wait_for("attached")?;
    party.guest_is_reached()
}

#[test]
fn a_commit_changes_where_a_port_is_attached() -> Result<()> {
    require_lab!();
    let mut party = Party::start("mode", Attach::Tc, true)?;
    party.connect()?;
    party.wait_for("attached")?;
    let tc = config(Attach::Tc, true);
    let of_guest = |mode: &str| tc.replace("eth3, attach: tc", &format!("eth3, attach: {mode}"));
    let stream = Stream::start(&party.chain)?;
    for mode in ["xdp", "tc", "xdp"] {
        let log = party.palisade.reload(&of_guest(mode))?;
        ensure!(log.contains("committed"), "{log}");
        assert_eq!(interface(&party.palisade, "dmz")?["attach"], mode);
        party.guest_is_reached()?;
    }
    stream.finish()
}

#[test]
fn a_vlan_comes_and_goes_with_its_port() -> Result<()> {
    require_lab!();
    let mut party = Party::start("vlan", Attach::Tc, false)?;
    let yaml = config(Attach::Tc, true).replace("eth3,", "eth3, vlan: 100,");
    let log = party.palisade.reload(&yaml)?;
    ensure!(log.contains("committed"), "{log}");
    for _ in 0..2 {
        party.wait_for("waiting")?;
        party.connect()?;
        party.wait_for("attached")?;
        let shown = party
            .chain
            .fw
            .check(&["ip", "address", "show", "eth3.100"])?;
        assert!(shown.contains("203.0.113.1/25"), "{shown}");
        party.disconnect()?;
        party.wait_for("waiting")?;
        assert!(party.chain.fw.device_index("eth3.100").is_err());
    }
    // A commit takes the tag off.
    party.connect()?;
    party.wait_for("attached")?;
    party.reload(true)?;
    assert!(party.chain.fw.device_index("eth3.100").is_err());
    party.guest_is_reached()
}

#[test]
fn an_appliance_whose_devices_all_are_to_come_starts_without_them() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("none")?;
    let cables = ["eth1", "eth2"];
    for device in cables {
        chain
            .fw
            .ip_batch(&format!("link set {device} name away-{device}\n"))
            .or_else(|_| {
                chain.fw.ip_batch(&format!(
                    "link set {device} down\nlink set {device} name away-{device}\n"
                ))
            })?;
    }
    let palisade = Palisade::start(&chain.fw, &config(Attach::Tc, false))?;
    for name in ["left", "right"] {
        wait_for(&palisade, name, "waiting")?;
    }
    for device in cables {
        chain.fw.ip_batch(&format!(
            "link set away-{device} down\nlink set away-{device} name {device}\n"
        ))?;
    }
    let since = Instant::now();
    for name in ["left", "right"] {
        wait_for(&palisade, name, "attached")?;
    }
    eventually("way through", || {
        ping(&chain.client, [198, 51, 100, 10].into())
    })?;
    eprintln!("forwards after {:?}", since.elapsed());
    Ok(())
}

/// As container engines do: another name each time, and the address from whoever connects it.
#[test]
fn a_device_is_found_by_its_network_or_its_mac_whatever_it_is_called() -> Result<()> {
    require_lab!();
    let mut party = Party::start("network", Attach::Tc, false)?;
    let addressed = config(Attach::Tc, true).replace(", addresses: [203.0.113.1/25]", "");
    for (device, how) in [
        ("\"203.0.113.0/25\"", "with an address in 203.0.113.0/25"),
        ("\"02:00:00:00:03:01\"", "with the MAC 02:00:00:00:03:01"),
    ] {
        // Each commit begins anew.
        party.reload(false)?;
        let yaml = addressed.replace("eth3", device);
        let log = party.palisade.reload(&yaml)?;
        ensure!(log.contains("committed"), "{log}");
        let waiting = party.wait_for("waiting")?;
        ensure!(waiting["reason"].to_string().contains(how), "{waiting}");
        for name in ["eth3", "eth4", "eth5"] {
            party.connect()?;
            party.chain.fw.ip_batch(&format!(
                "link set eth3 down\n\
                 link set eth3 name {name}\n\
                 address add 203.0.113.1/25 dev {name}\n\
                 link set {name} up\n"
            ))?;
            eventually("device", || {
                let now = interface(&party.palisade, "dmz")?;
                ensure!(now["state"] == "attached" && now["device"] == name, "{now}");
                Ok(())
            })?;
            party.guest_is_reached()?;
            party.chain.fw.ip_batch(&format!("link del {name}\n"))?;
            party.wait_for("waiting")?;
        }
    }
    Ok(())
}
