//! What the appliance starts with: the file or directory that was given, with what the environment says of `system` put
//! over it, or a document made of the environment alone.
//!
//! The document that is made depends on nothing but the environment, whichever devices there are: it is the same at
//! each start of a container, so that what was committed since stays in force.

use std::path::Path;

use firewall::config::{self, Mode, PacketDriver, StartDocument};
use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::processors::usable;

/// Where a container has its configuration, and where none need be.
const DEFAULT: &str = "/etc/palisade/palisade.yaml";
/// Where it may be in several files.
const DIRECTORY: &str = "/etc/palisade";
/// Management of an appliance that nobody has configured. Its zones allow nothing to the appliance itself, so this is
/// for the device that the datapath leaves to the kernel.
const LISTEN: &str = "0.0.0.0:8443";
/// As cSRX has it: management, left and right.
const PORTS: u8 = 3;

/// `given` is what the command line says.
pub(crate) fn document(given: Option<&Path>, environment: &Environment) -> StartDocument {
    let start = match given {
        Some(path) => StartDocument::at(path),
        None => {
            usual(Path::new(DEFAULT), Path::new(DIRECTORY)).or_generated(generated(environment))
        }
    };
    start.with_system(system(environment))
}

/// The files of the directory together, where there are some and none of them is the usual one.
fn usual(file: &Path, directory: &Path) -> StartDocument {
    let in_files = !file.exists() && config::is_directory_of_files(directory);
    StartDocument::at(if in_files { directory } else { file })
}

/// What only a document that is made listens to.
pub(crate) fn ignored_with_file(environment: &Environment, file: &Path) -> Vec<String> {
    let ports = environment.ports.as_ref().map(|(_, name)| name);
    let names = [ports, environment.management_last.as_ref()];
    let names = names.into_iter().flatten();
    names
        .map(|name| {
            format!(
                "{name} is ignored: the interfaces are those of {}",
                file.display()
            )
        })
        .collect()
}

/// Keys of the section `system`.
fn system(environment: &Environment) -> Map<String, Value> {
    let mut system = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            system.insert(key.to_owned(), value);
        }
    };
    set("mode", environment.mode.map(|mode| mode_name(mode).into()));
    set(
        "packet-driver",
        environment.driver.map(|it| driver_name(it).into()),
    );
    set(
        "sessions",
        environment.size.map(|size| size.sessions().into()),
    );
    // Processors that are set aside for packets are all used, where there are so many.
    let workers = environment.data_processors.as_ref().map(usable);
    set("workers", workers.map(|count| count.clamp(1, 64).into()));
    system
}

fn generated(environment: &Environment) -> String {
    let system = system(environment);
    let ports = environment
        .ports
        .as_ref()
        .map_or(PORTS, |(count, _)| *count);
    let first = if environment.management_last.is_some() {
        0
    } else {
        1
    };
    let interfaces: Vec<_> = (0..ports - 1)
        .map(|number| {
            let device = format!("eth{}", first + number);
            let name = match number {
                0 => "left".to_owned(),
                1 => "right".to_owned(),
                _ => device.clone(),
            };
            (name, device)
        })
        .collect();
    let mut text = format!(
        "# Made by the appliance, because there is no {DEFAULT}. Nothing passes until there are policies.\nversion: 1\n"
    );
    if !system.is_empty() {
        text += "system:\n";
        for (key, value) in &system {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            text += &format!("  {key}: {value}\n");
        }
    }
    text += &format!("management:\n  listen: {LISTEN}\ninterfaces:\n");
    for (name, device) in &interfaces {
        text += &format!("  {name}: {{ device: {device} }}\n");
    }
    text += "zones:\n";
    for (name, _) in &interfaces {
        text += &format!("  {name}: {{ interfaces: [{name}] }}\n");
    }
    text
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Routing => "routing",
        Mode::Wire => "wire",
    }
}

fn driver_name(driver: PacketDriver) -> &'static str {
    match driver {
        PacketDriver::Adaptive => "adaptive",
        PacketDriver::Poll => "poll",
        PacketDriver::Interrupt => "interrupt",
    }
}

#[cfg(test)]
mod tests {
    use firewall::config::{Config, Device};

    use super::*;
    use crate::environment::Size;

    fn made(environment: &Environment) -> Config {
        config::parse(&generated(environment), "generated").unwrap()
    }

    fn interfaces(config: &Config) -> Vec<(&str, &str)> {
        let interfaces = config.interfaces.iter();
        interfaces
            .map(|known| match &known.device {
                Device::Name(device) => (&*known.name, &**device),
                Device::Mac(_) | Device::Network(_) => panic!("{}", known.device),
            })
            .collect()
    }

    #[test]
    fn with_nothing_said_it_is_closed_and_can_be_managed() {
        let config = made(&Environment::default());
        assert_eq!(interfaces(&config), [("left", "eth1"), ("right", "eth2")]);
        assert!(config.document.policies.is_empty() && config.warnings.is_empty());
        assert_eq!(config.management.listen, Some(LISTEN.parse().unwrap()));
        let zones: Vec<_> = config.document.zones.iter().collect();
        assert_eq!(zones.len(), 2);
        assert!(zones.iter().all(|(_, zone)| zone.host_inbound.is_empty()));
        assert_eq!(config.system, made(&Environment::default()).system);
    }

    #[test]
    fn several_files_are_taken_where_the_usual_one_is_not_there() {
        let directory = std::env::temp_dir().join(format!("palisade-start-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("palisade.yaml");
        assert_eq!(usual(&file, &directory).path(), file);
        let parts = ["10-zones.yaml", "notes.txt"].map(|name| directory.join(name));
        std::fs::write(&parts[1], "").unwrap();
        assert_eq!(usual(&file, &directory).path(), file);
        std::fs::write(&parts[0], "version: 1\n").unwrap();
        assert_eq!(usual(&file, &directory).path(), directory);
        std::fs::write(&file, "version: 1\n").unwrap();
        assert_eq!(usual(&file, &directory).path(), file);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_environment_decides_what_it_is_like() {
        let mut data = rustix::thread::CpuSet::new();
        // The last is not there, or not for this process.
        let all = rustix::thread::sched_getaffinity(None).unwrap();
        let has = |cpu: &usize| all.is_set(*cpu);
        let cpus = 0..rustix::thread::CpuSet::MAX_CPU;
        data.set(cpus.clone().find(has).unwrap());
        data.set(cpus.rev().find(|cpu| !has(cpu)).unwrap());
        let environment = Environment {
            mode: Some(Mode::Routing),
            driver: Some(PacketDriver::Poll),
            size: Some(Size::Small),
            ports: Some((5, "CSRX_PORT_NUM".into())),
            data_processors: Some(data),
            ..Environment::default()
        };
        let config = made(&environment);
        assert_eq!(
            interfaces(&config),
            [
                ("left", "eth1"),
                ("right", "eth2"),
                ("eth3", "eth3"),
                ("eth4", "eth4")
            ]
        );
        assert_eq!(config.system.sessions, Size::Small.sessions());
        assert_eq!(config.system.packet_driver, PacketDriver::Poll);
        assert_eq!(config.system.workers, config::Workers::Count(1));
        let wire = Environment {
            mode: Some(Mode::Wire),
            ..Environment::default()
        };
        assert_eq!(made(&wire).system.mode, Mode::Wire);
    }

    #[test]
    fn the_last_device_may_be_management() {
        let environment = Environment {
            ports: Some((4, "CSRX_PORT_NUM".into())),
            management_last: Some("CSRX_MGMT_PORT_REORDER".into()),
            ..Environment::default()
        };
        assert_eq!(
            interfaces(&made(&environment)),
            [("left", "eth0"), ("right", "eth1"), ("eth2", "eth2")]
        );
        let ignored = ignored_with_file(&environment, Path::new("/f.yaml"));
        assert_eq!(ignored.len(), 2);
        assert!(ignored[0].contains("CSRX_PORT_NUM is ignored") && ignored[0].contains("/f.yaml"));
    }

    #[test]
    fn every_size_is_one_that_a_table_can_have() {
        for size in [Size::Small, Size::Middle, Size::Large] {
            let environment = Environment {
                size: Some(size),
                ..Environment::default()
            };
            assert_eq!(made(&environment).system.sessions, size.sessions());
        }
        assert_eq!(
            made(&Environment::default()).system.sessions,
            Size::Middle.sessions(),
            "what is written nowhere is the middle"
        );
    }
}
