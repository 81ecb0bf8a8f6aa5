//! Which numbers interfaces and ports have: the same ones for as long as they are configured.
//!
//! Session records, counters and the programs know an interface and a port by number. So numbers outlive a
//! commit, and one that was given up is the last to be given to another.

use std::collections::VecDeque;

use abi::{MAX_INTERFACES, MAX_PORTS};

use crate::config::{Config, Device, Interface};
use crate::counters::InterfaceId;
use crate::ports::{PortError, PortId};

#[derive(Clone, Debug)]
pub(super) struct Places {
    interfaces: Vec<(InterfaceId, Interface)>,
    /// By their devices.
    ports: Vec<(PortId, Device)>,
    /// The longest unused first.
    free_interfaces: VecDeque<u16>,
    free_ports: VecDeque<u16>,
}

/// Numbers that a configuration has been given and none had at the time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) interfaces: Vec<InterfaceId>,
    pub(super) ports: Vec<PortId>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            ports: Vec::new(),
            // The last of each is the appliance's own.
            free_interfaces: (0..MAX_INTERFACES as u16 - 1).collect(),
            free_ports: (0..MAX_PORTS as u16 - 1).collect(),
        }
    }
}

impl Places {
    /// Gives numbers to what has none yet. What the configuration does not have keeps its own until
    /// [`Places::retain`]. On an error nothing has changed.
    pub(super) fn admit(&mut self, config: &Config) -> Result<Begun, PortError> {
        let mut admitted = self.clone();
        let mut begun = Begun::default();
        for interface in &config.interfaces {
            if admitted.port(&interface.device).is_none() {
                let number = admitted.free_ports.pop_front();
                let id = PortId(number.ok_or(PortError::TooMany {
                    what: "ports",
                    most: MAX_PORTS - 1,
                })?);
                admitted.ports.push((id, interface.device.clone()));
                begun.ports.push(id);
            }
            if let Some(known) = admitted.position(interface, config) {
                admitted.interfaces[known].1 = interface.clone();
            } else {
                let number = admitted.free_interfaces.pop_front();
                let id = InterfaceId(number.ok_or(PortError::TooMany {
                    what: "interfaces",
                    most: MAX_INTERFACES - 1,
                })?);
                admitted.interfaces.push((id, interface.clone()));
                begun.interfaces.push(id);
            }
        }
        *self = admitted;
        Ok(begun)
    }

    /// An interface is known by its name; one that has another name now, by its place.
    fn position(&self, interface: &Interface, config: &Config) -> Option<usize> {
        let known = || self.interfaces.iter().map(|(_, known)| known);
        let by_name = known().position(|known| known.name == interface.name);
        let is_renamed = |known: &Interface| {
            let mut configured = config.interfaces.iter();
            known.device == interface.device
                && known.vlan == interface.vlan
                && configured.all(|configured| configured.name != known.name)
        };
        by_name.or_else(|| known().position(is_renamed))
    }

    /// What the configuration does not have gives up its numbers.
    pub(super) fn retain(&mut self, config: &Config) {
        let free = &mut self.free_interfaces;
        self.interfaces.retain(|(id, known)| {
            let mut configured = config.interfaces.iter();
            let stays = configured.any(|configured| configured.name == known.name);
            if !stays {
                free.push_back(id.0);
            }
            stays
        });
        let free = &mut self.free_ports;
        self.ports.retain(|(id, device)| {
            let mut configured = config.interfaces.iter();
            let stays = configured.any(|configured| configured.device == *device);
            if !stays {
                free.push_back(id.0);
            }
            stays
        });
    }

    #[must_use]
    pub(super) fn port(&self, device: &Device) -> Option<PortId> {
        let mut ports = self.ports.iter();
        ports.find(|(_, known)| known == device).map(|(id, _)| *id)
    }

    /// All that have a number, also those that no configuration has any more.
    pub(super) fn interfaces(&self) -> &[(InterfaceId, Interface)] {
        &self.interfaces
    }

    /// The numbers of each interface and its port, in the order of a configuration that was admitted.
    #[must_use]
    pub(super) fn of(&self, config: &Config) -> Vec<(InterfaceId, PortId)> {
        let place = |interface: &Interface| {
            let mut known = self.interfaces.iter();
            let (id, _) = known.find(|(_, known)| known.name == interface.name)?;
            Some((*id, self.port(&interface.device)?))
        };
        config.interfaces.iter().filter_map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn config(interfaces: &[(&str, &str)]) -> Config {
        let names: Vec<_> = interfaces.iter().map(|(name, _)| *name).collect();
        let devices: String = interfaces
            .iter()
            .map(|(name, device)| format!("  {name}: {{ device: {device} }}\n"))
            .collect();
        let zones = format!(
            "zones: {{ all: {{ interfaces: [{}] }} }}\n",
            names.join(", ")
        );
        parse(
            &format!("version: 1\ninterfaces:\n{devices}{zones}"),
            "test.yaml",
        )
        .unwrap()
    }

    fn numbers(places: &Places, config: &Config) -> Vec<(u16, u16)> {
        let each = places.of(config).into_iter();
        each.map(|(interface, port)| (interface.0, port.0))
            .collect()
    }

    #[test]
    fn what_stays_keeps_its_numbers_whatever_comes_and_goes_beside_it() {
        let mut places = Places::default();
        let first = config(&[("left", "eth1"), ("right", "eth2")]);
        places.admit(&first).unwrap();
        assert_eq!(numbers(&places, &first), [(0, 0), (1, 1)]);
        let second = config(&[("dmz", "eth3"), ("right", "eth2")]);
        let begun = places.admit(&second).unwrap();
        assert_eq!(begun.interfaces, [InterfaceId(2)]);
        assert_eq!(begun.ports, [PortId(2)]);
        places.retain(&second);
        assert_eq!(numbers(&places, &second), [(2, 2), (1, 1)]);
        assert_eq!(places.interfaces().len(), 2);
        assert_eq!(places.port(&Device::Name("eth1".into())), None);
    }

    #[test]
    fn another_name_or_another_device_is_still_the_same_interface() {
        let mut places = Places::default();
        places
            .admit(&config(&[("left", "eth1"), ("right", "eth2")]))
            .unwrap();
        let renamed = config(&[("inside", "eth1"), ("right", "eth5")]);
        assert!(places.admit(&renamed).unwrap().interfaces.is_empty());
        places.retain(&renamed);
        assert_eq!(numbers(&places, &renamed), [(0, 0), (1, 2)]);
        let swapped = config(&[("inside", "eth5"), ("right", "eth1")]);
        places.admit(&swapped).unwrap();
        places.retain(&swapped);
        assert_eq!(numbers(&places, &swapped), [(0, 2), (1, 0)]);
    }

    #[test]
    fn a_number_that_was_given_up_is_the_last_to_be_used_again() {
        let mut places = Places::default();
        let mut seen = Vec::new();
        for round in 0..MAX_PORTS {
            let next = config(&[(&format!("i{round}"), &format!("eth{round}"))]);
            places.admit(&next).unwrap();
            places.retain(&next);
            seen.push(numbers(&places, &next)[0].1);
        }
        let (last, others) = seen.split_last().unwrap();
        assert_eq!(others, (0..MAX_PORTS as u16 - 1).collect::<Vec<_>>());
        assert_eq!(*last, 0);
    }

    #[test]
    fn more_than_there_are_numbers_for_changes_nothing() {
        let mut places = Places::default();
        let many: Vec<_> = (0..MAX_PORTS)
            .map(|at| (format!("i{at}"), format!("eth{at}")))
            .collect();
        let many: Vec<_> = many
            .iter()
            .map(|(name, device)| (&**name, &**device))
            .collect();
        let error = places.admit(&config(&many)).unwrap_err();
        assert_eq!(error.to_string(), "at most 63 ports are possible");
        assert!(places.interfaces().is_empty());
        assert!(places.admit(&config(&many[1..])).is_ok());
    }
}
