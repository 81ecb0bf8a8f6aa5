//! What can't be enforced is refused in words that help, and leaves nothing behind.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::{Xdp, XdpMode};
use palisade_tests::lab::{Chain, Footprint, Lab, Output, Palisade};
use palisade_tests::require_lab;

const VALID: &str = "version: 1
system: { sessions: 1024 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right] }
policies:
  - { name: out, from: trust, to: untrust, action: permit }
";

/// Five mistakes, each on a line of its own.
const MISTAKEN: &str = "version: 1
system: { sesions: 1024 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.300/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left] }
  untrust: { interfaces: [rihgt] }
policies:
  - { name: out, from: trsut, to: untrust, action: permit }
  - { name: web, from: trust, to: untrust, application: [htttp], action: permit }
";

/// A directory for one start that is to fail.
struct Attempt(PathBuf);

impl Attempt {
    fn new(chain: &Chain, yaml: &str) -> Result<Self> {
        let directory = std::env::temp_dir().join(chain.fw.namespace());
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("palisade.yaml"), yaml)?;
        Ok(Self(directory))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// `palisade run` behind a wrapper such as `setpriv …`.
    fn run(&self, chain: &Chain, wrapper: &[&str]) -> Result<Output> {
        let binary = Palisade::binary()?.to_string_lossy().into_owned();
        let (config, socket, state) = (
            self.path("palisade.yaml"),
            self.path("api.sock"),
            self.path("state"),
        );
        let mut line = wrapper.to_vec();
        line.extend([
            &binary,
            "run",
            "--config",
            &config,
            "--state-dir",
            &state,
            "--socket",
            &socket,
        ]);
        chain.fw.run(&line)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // A directory that is left is swept by a later run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts the appliance, which must fail with status 1, a last line that contains all of `expected`, and no trace.
fn refused(chain: &Chain, yaml: &str, wrapper: &[&str], expected: &[&str]) -> Result<()> {
    refused_with(1, chain, yaml, wrapper, expected)
}

fn refused_with(
    status: i32,
    chain: &Chain,
    yaml: &str,
    wrapper: &[&str],
    expected: &[&str],
) -> Result<()> {
    let attempt = Attempt::new(chain, yaml)?;
    let before = Footprint::of(&chain.fw)?;
    let output = attempt.run(chain, wrapper)?;
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", output.stderr);
    let line = output.stdout.lines().last().context("it said nothing")?;
    eprintln!("{line}");
    assert!(line.contains(" ERROR "), "{}", output.stdout);
    for part in expected {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
    assert_eq!(before, Footprint::of(&chain.fw)?, "{line}");
    assert!(!attempt.0.join("api.sock").exists());
    Ok(())
}

#[test]
fn every_mistake_is_reported_with_its_place_and_what_was_meant() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("mistakes")?;
    let attempt = Attempt::new(&chain, MISTAKEN)?;
    let binary = Palisade::binary()?;
    let file = attempt.path("palisade.yaml");
    let output = chain.fw.run(&[&binary.to_string_lossy(), "check", &file])?;
    assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
    for (place, parts) in [
        ("2:11:", ["sesions", "did you mean 'sessions'?"]),
        ("4:", ["192.0.2.300/24", "error:"]),
        ("8:27:", ["rihgt", "did you mean 'right'?"]),
        ("10:24:", ["trsut", "did you mean 'trust'?"]),
        ("11:", ["htttp", "did you mean 'http'?"]),
    ] {
        let start = format!("{file}:{place}");
        let line = output.stdout.lines().find(|line| line.starts_with(&start));
        let line = line.with_context(|| format!("nothing at {place}:\n{}", output.stdout))?;
        for part in parts {
            assert!(line.contains(part), "no {part:?} in: {line}");
        }
    }
    Ok(())
}

#[test]
fn a_file_with_mistakes_does_not_start_and_touches_nothing() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("wrongfile")?;
    let attempt = Attempt::new(&chain, MISTAKEN)?;
    let before = Footprint::of(&chain.fw)?;
    let output = attempt.run(&chain, &[])?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    for part in ["sesions", "192.0.2.300/24", "rihgt", "trsut", "htttp"] {
        assert!(
            output.stdout.contains(part),
            "no {part:?} in: {}",
            output.stdout
        );
    }
    assert_eq!(before, Footprint::of(&chain.fw)?);
    assert!(!attempt.0.join("api.sock").exists());
    Ok(())
}

#[test]
fn what_is_not_yaml_or_not_there_is_told_in_one_line() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("noyaml")?;
    let attempt = Attempt::new(&chain, "version: [1\ninterfaces: }\n")?;
    let binary = Palisade::binary()?.to_string_lossy().into_owned();
    let check = |name: &str| chain.fw.run(&[&binary, "check", &attempt.path(name)]);
    let output = check("palisade.yaml")?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        output.stdout.contains("palisade.yaml:2:"),
        "{}",
        output.stdout
    );
    let output = check("absent.yaml")?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("absent.yaml"), "{}", output.stderr);
    Ok(())
}

#[test]
fn a_device_that_is_no_ethernet_device_is_told_so() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("loopback")?;
    let yaml = VALID.replace("device: eth2", "device: lo");
    refused(&chain, &yaml, &[], &["lo", "no Ethernet device"])
}

#[test]
fn a_missing_capability_is_named() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("caps")?;
    for missing in ["net_admin", "net_raw"] {
        let without = format!("-{missing}");
        let wrapper = [
            "setpriv",
            "--bounding-set",
            &without,
            "--inh-caps",
            &without,
        ];
        let named = format!("CAP_{}", missing.to_uppercase());
        let flag = format!("--cap-add {}", missing.to_uppercase());
        let expected = ["not permitted", &named, "docker run", &flag];
        refused_with(7, &chain, VALID, &wrapper, &expected)?;
    }
    // CAP_SYS_ADMIN stands in for CAP_BPF.
    let wrapper = [
        "setpriv",
        "--bounding-set",
        "-bpf,-sys_admin",
        "--inh-caps",
        "-bpf,-sys_admin",
    ];
    let expected = ["not permitted", "CAP_BPF is missing", "CAP_SYS_ADMIN"];
    refused_with(7, &chain, VALID, &wrapper, &expected)
}

#[test]
fn a_port_belongs_to_one_palisade_at_a_time() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("taken")?;
    let mut first = Palisade::start(&chain.fw, VALID)?;
    refused(&chain, VALID, &[], &["eth1", "taken", "another palisade"])?;
    // The first one has lost nothing by it.
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "198.51.100.10"])?;
    assert!(first.stop()?.success());
    Ok(())
}

#[test]
fn a_device_with_an_xdp_program_is_not_taken_over() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("occupied")?;
    // Any XDP program will do.
    let object = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/generator.o"));
    let mut occupant = Ebpf::load(object)?;
    let program: &mut Xdp = occupant
        .program_mut("generate")
        .context("no program")?
        .try_into()?;
    program.load()?;
    chain.fw.enter(|| program.attach("eth2", XdpMode::Driver))?;
    let yaml = VALID.replace("device: eth2,", "device: eth2, attach: xdp,");
    refused(&chain, &yaml, &[], &["eth2", "XDP program", "xdp off"])
}

#[test]
fn a_device_without_native_xdp_is_told_to_use_tc() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("nonative")?;
    for kind in ["dummy", "bridge"] {
        let added = chain
            .fw
            .run(&["ip", "link", "add", "other0", "type", kind])?;
        if !added.success() {
            eprintln!("SKIPPED {kind}: {}", added.stderr);
            continue;
        }
        chain.fw.check(&["ip", "link", "set", "other0", "up"])?;
        let yaml = VALID.replace("device: eth2,", "device: other0, attach: xdp,");
        refused(&chain, &yaml, &[], &["other0", kind, "attach: tc"])?;
        chain.fw.check(&["ip", "link", "del", "other0"])?;
    }
    Ok(())
}

#[test]
fn an_mtu_that_is_too_large_comes_with_the_command_that_mends_it() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("mtu")?;
    chain
        .fw
        .check(&["ip", "link", "set", "eth2", "mtu", "9000"])?;
    refused(
        &chain,
        VALID,
        &[],
        &["eth2", "9000", "ip link set eth2 mtu 3498"],
    )?;
    chain
        .fw
        .check(&["ip", "link", "set", "eth2", "mtu", "3498"])?;
    let mut largest = Palisade::start(&chain.fw, VALID)?;
    assert!(largest.stop()?.success());
    Ok(())
}

#[test]
fn a_route_that_the_kernel_refuses_undoes_the_start() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("badroute")?;
    // The route's device takes no IPv6.
    chain
        .fw
        .set_sysctl("net/ipv6/conf/eth2/disable_ipv6", "1")?;
    let yaml = VALID.replace(
        "zones:",
        "routes:\n  - { to: 2001:db8:9::/48, via: 2001:db8:2::9 }\nzones:",
    );
    let yaml = yaml.replace(
        "[198.51.100.1/24]",
        "[198.51.100.1/24, \"2001:db8:2::1/64\"]",
    );
    refused(&chain, &yaml, &[], &["right"])
}
