//! How a configuration says which network device an interface is on.

use std::fmt;

use ipnet::IpNet;
use packet::Mac;

/// A device by its name, or by what stays when whoever makes it names it anew, as container engines do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    Name(String),
    Mac(Mac),
    /// The one that has an address in this network.
    Network(IpNet),
}

/// Linux: `IFNAMSIZ` less the terminator.
const MAX_NAME_BYTES: usize = 15;

impl Device {
    /// What is wrong with a text that names none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Some(mac) = parse_mac(text) {
            return Ok(Self::Mac(mac));
        }
        let forbidden = |letter: char| {
            letter == '/' || letter == ':' || letter.is_whitespace() || letter.is_control()
        };
        let is_name = !text.is_empty()
            && text.len() <= MAX_NAME_BYTES
            && !text.contains(forbidden)
            && text != "."
            && text != "..";
        if is_name {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(format!(
                "'{text}' is no device: a name of 1 to {MAX_NAME_BYTES} letters without '/', ':' and spaces, a MAC, or a network in which it has an address"
            ))
        }
    }
}

fn parse_mac(text: &str) -> Option<Mac> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(bytes))
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Mac(mac) => write!(f, "{mac}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_name_its_mac_or_its_network() {
        let shown = |text: &str| Device::parse(text).map(|device| device.to_string());
        assert_eq!(Device::parse("eth1"), Ok(Device::Name("eth1".into())));
        assert_eq!(shown("02:42:C0:00:02:02").unwrap(), "02:42:c0:00:02:02");
        assert_eq!(shown("192.0.2.7/24").unwrap(), "192.0.2.0/24");
        assert_eq!(shown("2001:db8::/64").unwrap(), "2001:db8::/64");
        for wrong in [
            "",
            "a/b",
            "a b",
            "..",
            "02:42:c0:00:02",
            "02:42:c0:00:02:0g",
            "192.0.2.0/33",
        ] {
            assert!(
                shown(wrong).unwrap_err().contains("is no device"),
                "{wrong}"
            );
        }
    }
}
