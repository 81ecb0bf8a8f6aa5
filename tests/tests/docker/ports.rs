//! Networks that come and go while the appliance runs.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use palisade_tests::engine::{Appliance, ContainerLab};
use palisade_tests::lab::wait_until;
use palisade_tests::require_engine;

const PERMIT_ALL: &str = "policies:\n  - { name: all, from: any, to: any, action: permit }\n";
const PATIENCE: Duration = Duration::from_secs(15);

/// Docker gives a network that comes back another device, `eth3` after `eth2`; the document names the network.
#[test]
fn a_network_can_be_connected_disconnected_and_connected_again_under_a_running_appliance()
-> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let appliance = lab.launch(&by_network(&lab), &lab.options()?)?;
    appliance.wait_ready()?;
    let server = lab.networks.right.peer().to_string();
    let right = &lab.networks.right.name;
    let answers = || {
        let ping = ["ping", "-c", "1", "-W", "1", &server];
        Ok(lab.client.exec(&ping)?.success())
    };
    wait_until("an answer", PATIENCE, answers)?;

    let engine = lab.engine;
    engine.docker(&["network", "disconnect", right, &appliance.name])?;
    wait_until("the interface to wait", PATIENCE, || waits(&appliance))?;
    ensure!(!answers()?, "there is no way to the server");
    left_is_unharmed(&lab)?;

    engine.docker(&["network", "connect", right, &appliance.name])?;
    wait_until("an answer over the new device", PATIENCE, answers)?;
    // Alarms are looked at each second.
    wait_until("no alarm", PATIENCE, || Ok(!waits(&appliance)?))?;
    left_is_unharmed(&lab)
}

#[test]
fn an_appliance_that_starts_without_its_networks_gets_them_one_by_one() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let appliance = lab.launch_alone(&lab.configuration(PERMIT_ALL), &lab.options()?)?;
    appliance.wait_ready()?;
    for network in [&lab.networks.left, &lab.networks.right] {
        lab.engine
            .docker(&["network", "connect", &network.name, &appliance.name])?;
    }
    let server = lab.networks.right.peer().to_string();
    wait_until("an answer", PATIENCE, || {
        let ping = ["ping", "-c", "1", "-W", "1", &server];
        Ok(lab.client.exec(&ping)?.success())
    })
}

fn by_network(lab: &ContainerLab) -> String {
    let (left, right) = (lab.networks.left.prefix(), lab.networks.right.prefix());
    lab.configuration(PERMIT_ALL)
        .replace("device: eth1", &format!("device: {left}"))
        .replace("device: eth2", &format!("device: {right}"))
}

fn waits(appliance: &Appliance) -> Result<bool> {
    let alarms = appliance.view("alarms")?;
    Ok(alarms.to_string().contains("interface-waiting"))
}

/// The client's pings to the appliance itself are all answered, for a second.
fn left_is_unharmed(lab: &ContainerLab) -> Result<()> {
    let gateway = lab.networks.left.gateway().to_string();
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        lab.client
            .check(&["ping", "-c", "1", "-W", "2", &gateway])?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
