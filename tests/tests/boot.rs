//! What happens when a container starts: by the environment alone, and as its first process.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Lab, Palisade, Way, eventually};
use palisade_tests::require_lab;
use serde_json::Value;

const PASSWORD: &str = "correct horse battery";

fn log_has(palisade: &Palisade, text: &str) -> Result<()> {
    eventually("such line", || {
        ensure!(
            palisade.log().contains(text),
            "no {text:?} in:\n{}",
            palisade.log()
        );
        Ok(())
    })
}

#[test]
fn with_nothing_said_it_is_closed_manageable_and_says_what_to_do() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-default")?;
    let mut palisade = Palisade::start_by(&chain.fw, "", Way::environment(&[]))?;
    log_has(
        &palisade,
        "there is no configuration at /etc/palisade/palisade.yaml",
    )?;

    let (status, ready) = palisade.get("/readyz")?;
    assert_eq!((status, &ready["ready"]), (200, &Value::from(true)));
    let advice = ready["advice"][0].as_str().context("no advice")?;
    assert!(advice.contains("palisade config load"), "{advice}");
    let health = palisade.cli(&["health"])?;
    assert_eq!(health.status.code(), Some(0), "{health:?}");
    assert!(health.stdout.contains("is enforced") && health.stdout.contains("no policy"));

    let (_, config) = palisade.get("/api/v1/config")?;
    assert_eq!(config["source"], "generated");
    let shown = palisade.cli(&["config", "show"])?;
    assert!(
        shown.stdout.contains("left: { device: eth1 }"),
        "{}",
        shown.stdout
    );

    // On the kernel's devices, which here is the loopback alone.
    chain.fw.check(&["ip", "link", "set", "lo", "up"])?;
    let over_https = chain
        .fw
        .check(&["curl", "-ksf", "https://127.0.0.1:8443/readyz"])?;
    assert_eq!(over_https, "{\"ready\":true}");
    // Closed: to the appliance itself, and through it.
    chain.fw.ip_batch(
        "address add 192.0.2.1/24 dev eth1\n\
         address add 198.51.100.1/24 dev eth2\n",
    )?;
    // The addresses are new: the first packets may come before they are known, and are somebody else's then.
    eventually("denials", || {
        for target in ["192.0.2.1", "198.51.100.10"] {
            let ping = chain.client.run(&["ping", "-n", "-c1", "-W1", target])?;
            assert!(!ping.success(), "{target} answers");
        }
        let denied = palisade.drops("policy-denied")? + palisade.drops("host-inbound-denied")?;
        ensure!(denied >= 2, "{:?}", palisade.get("/api/v1/drops"));
        Ok(())
    })?;

    // What is committed stays, and the document that is made does not come back.
    let mut yaml = shown.stdout;
    yaml += "policies:\n  - { name: out, from: left, to: right, action: permit }\n";
    let file = palisade.directory().join("new.yaml");
    fs::write(&file, yaml)?;
    for command in [
        &["config", "load", &*file.to_string_lossy()][..],
        &["config", "commit", "--comment", "open"],
    ] {
        let done = palisade.cli(command)?;
        assert!(done.success(), "{done:?}");
    }
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "198.51.100.10"])?;
    assert!(palisade.stop()?.success());
    palisade.restart()?;
    let (_, config) = palisade.get("/api/v1/config")?;
    assert_eq!(
        (&config["source"], &config["revision"]),
        (&"commit".into(), &2.into())
    );
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "198.51.100.10"])?;
    Ok(())
}

#[test]
fn the_environment_decides_what_the_appliance_is_like() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-env")?;
    let way = Way::environment(&[
        ("CSRX_SIZE", "small"),
        ("PALISADE_PACKET_DRIVER", "interrupt"),
        ("CSRX_DATA_CPU", "0x1"),
        ("CSRX_CTRL_CPU", "0x2"),
        ("CSRX_ARP_TIMEOUT", "61000"),
        ("PALISADE_NDP_TIMEOUT", "62000"),
        ("CSRX_TCP_CKSUM_CALC", "yes"),
        ("CSRX_ROOT_PASSWORD", PASSWORD),
        ("PALISADE_LOG", "json"),
        ("PALISADE_LOG_LEVEL", "debug"),
        ("PALISADE_SERVICE_HOST", "192.0.2.1"),
    ]);
    let palisade = Palisade::start_by(&chain.fw, "", way)?;
    let shown = palisade.cli(&["config", "show"])?.stdout;
    for line in [
        "  sessions: 16384\n",
        "  packet-driver: interrupt\n",
        "  workers: 1\n",
    ] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    log_has(&palisade, "CSRX_TCP_CKSUM_CALC=yes is ignored")?;
    let log = palisade.log();
    let lines: Result<Vec<Value>, _> = log.lines().map(serde_json::from_str).collect();
    let enforcing = lines?
        .into_iter()
        .find(|line| line["message"] == "enforcing");
    let milliseconds = enforcing.context("not enforcing")?["milliseconds"].as_u64();
    assert!(milliseconds.is_some());

    let processors = processors(&palisade)?;
    if processors.len() > 1 {
        for (name, list) in processors {
            let expected = if name.starts_with("worker-") {
                "0"
            } else {
                "1"
            };
            assert_eq!(list, expected, "{name}");
        }
    }
    for (table, device, time) in [
        ("arp_cache", "eth1", "base_reachable 61000"),
        ("ndisc_cache", "eth2", "base_reachable 62000"),
    ] {
        let said = chain
            .fw
            .check(&["ip", "ntable", "show", "dev", device, "name", table])?;
        assert!(said.contains(time), "{said}");
    }
    // The password lets its user in, and is nowhere to be read.
    chain.fw.check(&["ip", "link", "set", "lo", "up"])?;
    let user = format!("admin:{PASSWORD}");
    let whoami = "https://127.0.0.1:8443/api/v1/whoami";
    let said = chain.fw.check(&["curl", "-ksf", "-u", &user, whoami])?;
    assert!(said.contains("admin"), "{said}");
    let environment = fs::read(format!("/proc/{}/environ", palisade.id()))?;
    assert!(!String::from_utf8_lossy(&environment).contains(PASSWORD));
    assert!(!palisade.log().contains(PASSWORD));
    // Devices that come later are no exception.
    chain.fw.check(&[
        "ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth7p",
    ])?;
    chain.fw.check(&["ip", "link", "set", "eth7", "up"])?;
    eventually("reachable time", || {
        let said = chain
            .fw
            .check(&["ip", "ntable", "show", "dev", "eth7", "name", "arp_cache"])?;
        ensure!(said.contains("base_reachable 61000"), "{said}");
        Ok(())
    })
}

/// Where each thread may run.
fn processors(palisade: &Palisade) -> Result<Vec<(String, String)>> {
    let threads = fs::read_dir(format!("/proc/{}/task", palisade.id()))?;
    threads
        .map(|thread| {
            let thread = thread?.path();
            let name = fs::read_to_string(thread.join("comm"))?;
            Ok((name, value(&thread, "Cpus_allowed_list")?))
        })
        .collect()
}

/// A line of a process's status.
fn value(process: &std::path::Path, name: &str) -> Result<String> {
    let status = fs::read_to_string(process.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.strip_prefix(':'));
    Ok(value
        .with_context(|| format!("no {name}"))?
        .trim()
        .to_owned())
}

#[test]
fn a_file_is_what_it_says_but_for_what_the_environment_says_of_the_system() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-file")?;
    let yaml = "version: 1
system: { sessions: 1024, host-name: edge-9 } # ours
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
";
    let way = Way {
        without_file: false,
        ..Way::environment(&[("PALISADE_SIZE", "small"), ("PALISADE_PORT_NUM", "4")])
    };
    let palisade = Palisade::start_by(&chain.fw, yaml, way)?;
    let shown = palisade.cli(&["config", "show"])?.stdout;
    assert_eq!(shown, yaml.replace("1024", "16384"));
    log_has(
        &palisade,
        "PALISADE_PORT_NUM is ignored: the interfaces are those of",
    )?;
    Ok(())
}

#[test]
fn a_directory_is_one_document() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-directory")?;
    let directory = std::env::temp_dir().join(format!("{}-conf", chain.fw.namespace()));
    fs::create_dir_all(&directory)?;
    fs::write(
        directory.join("10-interfaces.yaml"),
        "version: 1\nsystem: { sessions: 1024 }\ninterfaces:\n  left: { device: eth1, addresses: [192.0.2.1/24] }\n",
    )?;
    fs::write(
        directory.join("20-zones.yaml"),
        "zones:\n  trust: { interfaces: [left], host-inbound: [ping] }\n",
    )?;
    let way = Way {
        without_file: true,
        arguments: vec!["--config".into(), directory.to_string_lossy().into_owned()],
        ..Way::default()
    };
    let palisade = Palisade::start_by(&chain.fw, "", way)?;
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "192.0.2.1"])?;
    drop(palisade);
    fs::remove_dir_all(&directory)?;
    Ok(())
}

/// What is left to a process: the bits of linux/capability.h.
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const IPC_LOCK: u64 = 1 << 14;
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// Every thread's capabilities are these, and none can be had again.
fn is_confined(palisade: &Palisade, expected: u64, bounding: u64) -> Result<()> {
    for thread in fs::read_dir(format!("/proc/{}/task", palisade.id()))? {
        let thread: PathBuf = thread?.path();
        let bits = |name| Ok::<_, anyhow::Error>(u64::from_str_radix(&value(&thread, name)?, 16)?);
        for (name, expected) in [
            ("CapEff", expected),
            ("CapPrm", expected),
            ("CapBnd", bounding),
            ("CapAmb", 0),
        ] {
            let found = bits(name)?;
            ensure!(found == expected, "{name} is {found:x}, not {expected:x}");
        }
        ensure!(value(&thread, "NoNewPrivs")? == "1");
    }
    Ok(())
}

/// Sessions in both directions, a commit, and ports: what is done later needs no more than is left.
fn forwards(chain: &palisade_tests::lab::Chain, palisade: &mut Palisade) -> Result<()> {
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "198.51.100.10"])?;
    let log = palisade.reload(&OPEN.replace("192.0.2.1/24", "192.0.2.1/24, 192.0.2.2/24"))?;
    ensure!(log.contains("committed"), "{log}");
    // The kernel tells of the address when it has it, which may be a moment later.
    eventually("answer", || {
        let ping = ["ping", "-n", "-c1", "-W1", "192.0.2.2"];
        chain.client.check(&ping).map(drop)
    })
}

const OPEN: &str = "version: 1
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

#[test]
fn it_gives_up_every_capability_that_it_does_not_need() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-caps")?;
    let mut palisade = Palisade::start(&chain.fw, OPEN)?;
    let left = NET_ADMIN | NET_RAW | BPF | PERFMON | IPC_LOCK | NET_BIND_SERVICE;
    is_confined(&palisade, left, 0)?;
    forwards(&chain, &mut palisade)?;
    // The program that it becomes has what it had.
    let asked = palisade.request("POST", "/api/v1/system/restart", &[], "")?;
    ensure!(asked.status == 202, "{asked:?}");
    log_has(&palisade, "starting anew")?;
    eventually("second start", || {
        let enforcing = palisade.log().matches("enforcing").count();
        ensure!(enforcing == 2, "{}", palisade.log());
        Ok(())
    })?;
    palisade.wait_ready()?;
    is_confined(&palisade, left, 0)?;
    forwards(&chain, &mut palisade)?;
    assert!(palisade.stop()?.success());
    Ok(())
}

#[test]
fn the_least_is_enough() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-least")?;
    for (names, bits) in [
        (
            "net_admin,+net_raw,+bpf,+perfmon",
            NET_ADMIN | NET_RAW | BPF | PERFMON,
        ),
        (
            "net_admin,+net_raw,+sys_admin",
            NET_ADMIN | NET_RAW | SYS_ADMIN,
        ),
    ] {
        let only = format!("-all,+{names}");
        let wrapper = ["setpriv", "--bounding-set", &only, "--inh-caps", &only];
        let way = Way::default().behind(&wrapper);
        let mut palisade = Palisade::start_by(&chain.fw, OPEN, way)?;
        // Without CAP_SETPCAP, the bounding set is what was given.
        is_confined(&palisade, bits, bits)?;
        forwards(&chain, &mut palisade)?;
        assert!(palisade.stop()?.success());
    }
    Ok(())
}

#[test]
fn it_need_not_be_root() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-user")?;
    let script = "for last; do :; done; chown -R 65534 \"$(dirname \"$last\")\"
only=-all,+net_admin,+net_raw,+bpf,+perfmon
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps $only --ambient-caps $only --bounding-set $only \"$@\"";
    let way = Way::default().behind(&["sh", "-c", script, "sh"]);
    let mut palisade = Palisade::start_by(&chain.fw, OPEN, way)?;
    let bits = NET_ADMIN | NET_RAW | BPF | PERFMON;
    is_confined(&palisade, bits, bits)?;
    assert!(!palisade.log().contains("read-only"), "{}", palisade.log());
    forwards(&chain, &mut palisade)?;
    assert!(palisade.stop()?.success());
    Ok(())
}

/// The first process of another PID namespace, and its number here.
fn first_process(palisade: &Palisade) -> Result<u32> {
    let parent = palisade.id();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let child = children.split_whitespace().next().context("no child")?;
    Ok(child.parse()?)
}

#[test]
fn as_first_process_it_waits_for_orphans_and_obeys_signals() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-first")?;
    let wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let way = Way::default().behind(&wrapper);
    let mut palisade = Palisade::start_by(&chain.fw, OPEN, way)?;
    let first = first_process(&palisade)?;
    assert_eq!(
        value(&PathBuf::from(format!("/proc/{first}")), "NSpid")?,
        format!("{first}\t1")
    );
    let target = first.to_string();
    // Its parent is gone before it is.
    let orphan = "(sleep 1; exit 3) >/dev/null 2>&1 & exit";
    for _ in 0..3 {
        chain
            .fw
            .check(&["nsenter", "-t", &target, "-p", "sh", "-c", orphan])?;
    }
    let children = || fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
    assert!(!children()?.is_empty(), "the orphans went elsewhere");
    eventually("end of the orphans", || {
        let children = children()?;
        ensure!(children.is_empty(), "still there: {children}");
        Ok(())
    })?;
    // A first process has no default handlers: what ends it is what it handles.
    chain.fw.check(&["kill", "-TERM", &target])?;
    assert_eq!(palisade.wait()?.code(), Some(0), "{}", palisade.log());
    assert!(palisade.log().contains("SIGTERM: stopping"));
    Ok(())
}

#[test]
fn the_kernel_forwards_nothing_even_where_its_settings_can_not_be_written() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("boot-closed")?;
    for device in ["all", "eth1", "eth2"] {
        let setting = format!("net/ipv4/conf/{device}/forwarding");
        chain.fw.set_sysctl(&setting, "1")?;
    }
    // As a container's engine does.
    let script =
        "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec \"$@\"";
    let way = Way::default().behind(&["unshare", "--mount", "sh", "-c", script, "sh"]);
    let palisade = Palisade::start_by(&chain.fw, OPEN, way)?;
    let forwarding = |device: &str| {
        let setting = format!("net.ipv4.conf.{device}.forwarding");
        chain.fw.check(&["sysctl", "-n", &setting])
    };
    for device in ["eth1", "eth2"] {
        assert_eq!(forwarding(device)?.trim(), "0", "{device}");
    }
    chain
        .fw
        .ip_batch("link add eth7 type veth peer name eth7p\nlink set eth7 up\n")?;
    eventually("end of forwarding", || {
        ensure!(forwarding("eth7")?.trim() == "0");
        Ok(())
    })?;
    drop(palisade);
    Ok(())
}
