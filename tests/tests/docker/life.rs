//! From `docker run` to `docker rm`: start, stop, state that lasts, memory that does not suffice.

use anyhow::{Result, ensure};
use palisade_tests::engine::ContainerLab;
use palisade_tests::lab::Host;
use palisade_tests::require_engine;

const PERMIT_ALL: &str = "policies:\n  - { name: all, from: any, to: any, action: permit }\n";

#[test]
fn sigterm_ends_it_with_0_and_its_devices_are_as_they_were() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let appliance = lab.start(PERMIT_ALL)?;
    // For as long as a process is in the namespace, what was left behind can be seen.
    let host = lab.host(&appliance)?;
    let observer = host.spawn(&["sleep", "120"])?;
    let host = Host::of_process("observer", observer.id().into())?;
    let devices = || host.check(&["ip", "-brief", "link"]);
    ensure!(devices()?.contains("palp"), "{}", devices()?);
    ensure!(appliance.stop()? == 0, "{}", appliance.log()?);
    let log = appliance.log()?;
    ensure!(
        log.contains("SIGTERM: stopping") && log.contains("stopped"),
        "{log}"
    );
    ensure!(!devices()?.contains("pal"), "{}", devices()?);
    Ok(())
}

#[test]
fn what_was_committed_is_in_force_after_a_restart_and_in_another_container() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    let volume = lab.volume()?;
    options
        .flags
        .extend(["--volume".into(), format!("{volume}:/var/lib/palisade")]);
    let configuration = lab.configuration(PERMIT_ALL);
    let appliance = lab.launch(&configuration, &options)?;
    appliance.wait_ready()?;
    let server = lab.networks.right.peer().to_string();
    let ping = ["ping", "-c", "1", "-W", "4", &server];
    lab.client.check(&ping)?;

    appliance.cli(&["config", "set", "policies.all.action", "deny"])?;
    appliance.cli(&["config", "commit", "--comment", "closed"])?;
    ensure!(
        !lab.client
            .exec(&["ping", "-c", "1", "-W", "1", &server])?
            .success()
    );
    lab.engine
        .docker(&["restart", "--time", "30", &appliance.name])?;
    appliance.wait_ready()?;
    let history = appliance.cli(&["config", "history"])?;
    ensure!(history.contains("closed"), "{history}");
    ensure!(
        !lab.client
            .exec(&["ping", "-c", "1", "-W", "1", &server])?
            .success()
    );

    // As an upgrade does it: the container goes, the volume stays.
    lab.remove(&appliance)?;
    let successor = lab.launch(&configuration, &options)?;
    successor.wait_ready()?;
    ensure!(
        !lab.client
            .exec(&["ping", "-c", "1", "-W", "1", &server])?
            .success()
    );
    let first = successor.cli(&["config", "rollback", "1"])?;
    successor.cli(&["config", "commit"])?;
    lab.client
        .check(&ping)
        .map_err(|error| error.context(first))?;
    Ok(())
}

#[test]
fn too_little_memory_is_told_or_seen_and_never_a_firewall_that_only_looks_up() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    options.flags.extend(["--memory".into(), "16m".into()]);
    let appliance = lab.launch(&lab.configuration(PERMIT_ALL), &options)?;
    let (code, log) = appliance.wait()?;
    // The kernel's SIGKILL; the engine's own note of it (`OOMKilled`) gets lost at times.
    let is_killed = code == 137;
    ensure!(
        is_killed || (code == 1 && log.contains("memory")),
        "exit code {code}:\n{log}"
    );
    Ok(())
}

#[test]
fn the_engine_calls_it_healthy_only_while_it_enforces() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    options
        .flags
        .extend(["--health-interval".into(), "1s".into()]);
    let appliance = lab.launch(&lab.configuration(PERMIT_ALL), &options)?;
    appliance.wait_for_health("healthy")?;
    ensure!(appliance.exec(&["palisade", "health"])?.success());
    // Its first process stopped: it answers nobody, and only the engine can tell.
    lab.engine
        .docker(&["kill", "--signal", "STOP", &appliance.name])?;
    appliance.wait_for_health("unhealthy")?;
    lab.engine
        .docker(&["kill", "--signal", "CONT", &appliance.name])?;
    appliance.wait_for_health("healthy")
}

#[test]
fn without_any_configuration_it_is_closed_healthy_and_says_what_to_do() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    options.without_configuration = true;
    let appliance = lab.launch("", &options)?;
    appliance.wait_ready()?;
    let server = lab.networks.right.peer().to_string();
    ensure!(
        !lab.client
            .exec(&["ping", "-c", "1", "-W", "1", &server])?
            .success()
    );
    let interfaces = appliance.cli(&["show", "interfaces"])?;
    ensure!(
        interfaces.contains("eth1") && interfaces.contains("eth2"),
        "{interfaces}"
    );
    let said = appliance.cli(&["health"])?;
    ensure!(said.contains("polic"), "{said}");
    Ok(())
}

#[test]
fn an_ipv6_address_in_a_network_without_it_is_told() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    // What engines set in networks that have no IPv6.
    let off = "net.ipv6.conf.all.disable_ipv6=1";
    options.flags.extend(["--sysctl".into(), off.into()]);
    let appliance = lab.launch(&lab.configuration(PERMIT_ALL), &options)?;
    let (code, log) = appliance.wait()?;
    ensure!(
        code == 1 && log.contains("IPv6 is off there"),
        "{code}:\n{log}"
    );
    Ok(())
}
