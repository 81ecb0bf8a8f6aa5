//! Addresses and ports of rule headers: lists, negation, and the variables they use.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::SetError;
use crate::range::RangeSet;

/// Variables may be made of variables; deeper than this is a circle.
const DEPTH: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressSet {
    v4: RangeSet<u32>,
    v6: RangeSet<u128>,
}

pub(crate) type PortSet = RangeSet<u16>;

impl AddressSet {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.into()),
            IpAddr::V6(address) => self.v6.contains(address.into()),
        }
    }
}

/// What `$NAME` stands for in rule headers, in the rules' own notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    addresses: BTreeMap<String, String>,
    ports: BTreeMap<String, String>,
}

impl Default for Variables {
    /// The names that published rule sets expect, with the ports that Suricata's documentation gives them. Both
    /// networks are everywhere, so that nothing goes unseen until somebody says where home is.
    fn default() -> Self {
        let addresses = [
            ("HOME_NET", "any"),
            ("EXTERNAL_NET", "any"),
            ("HTTP_SERVERS", "$HOME_NET"),
            ("SMTP_SERVERS", "$HOME_NET"),
            ("SQL_SERVERS", "$HOME_NET"),
            ("DNS_SERVERS", "$HOME_NET"),
            ("TELNET_SERVERS", "$HOME_NET"),
            ("AIM_SERVERS", "$EXTERNAL_NET"),
            ("DC_SERVERS", "$HOME_NET"),
            ("DNP3_SERVER", "$HOME_NET"),
            ("DNP3_CLIENT", "$HOME_NET"),
            ("MODBUS_CLIENT", "$HOME_NET"),
            ("MODBUS_SERVER", "$HOME_NET"),
            ("ENIP_CLIENT", "$HOME_NET"),
            ("ENIP_SERVER", "$HOME_NET"),
        ];
        let ports = [
            ("HTTP_PORTS", "80"),
            ("SHELLCODE_PORTS", "!80"),
            ("ORACLE_PORTS", "1521"),
            ("SSH_PORTS", "22"),
            ("DNP3_PORTS", "20000"),
            ("MODBUS_PORTS", "502"),
            ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
            ("FTP_PORTS", "21"),
            ("GENEVE_PORTS", "6081"),
            ("VXLAN_PORTS", "4789"),
            ("TEREDO_PORTS", "3544"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            addresses: addresses.into_iter().map(owned).collect(),
            ports: ports.into_iter().map(owned).collect(),
        }
    }
}

impl Variables {
    /// Defines or redefines an address variable, and says whether its value can be read.
    pub fn set_addresses(&mut self, name: &str, value: &str) -> Result<(), SetError> {
        let before = self.addresses.insert(name.to_owned(), value.to_owned());
        let outcome = self.addresses(&format!("${name}"));
        if outcome.is_err() {
            restore(&mut self.addresses, name, before);
        }
        outcome.map(|_| ())
    }

    /// Defines or redefines a port variable, and says whether its value can be read.
    pub fn set_ports(&mut self, name: &str, value: &str) -> Result<(), SetError> {
        let before = self.ports.insert(name.to_owned(), value.to_owned());
        let outcome = self.ports(&format!("${name}"));
        if outcome.is_err() {
            restore(&mut self.ports, name, before);
        }
        outcome.map(|_| ())
    }

    pub(crate) fn addresses(&self, text: &str) -> Result<AddressSet, SetError> {
        let v4 = list(text, &self.addresses, &address_v4, 0)?;
        let v6 = list(text, &self.addresses, &address_v6, 0)?;
        if v4.is_empty() && v6.is_empty() {
            return Err(SetError::Empty(text.to_owned()));
        }
        Ok(AddressSet { v4, v6 })
    }

    pub(crate) fn ports(&self, text: &str) -> Result<PortSet, SetError> {
        let ports = list(text, &self.ports, &port, 0)?;
        if ports.is_empty() {
            return Err(SetError::Empty(text.to_owned()));
        }
        Ok(ports)
    }
}

fn restore(variables: &mut BTreeMap<String, String>, name: &str, before: Option<String>) {
    match before {
        Some(before) => variables.insert(name.to_owned(), before),
        None => variables.remove(name),
    };
}

type Item<'a, T> = &'a dyn Fn(&str) -> Result<RangeSet<T>, SetError>;

/// `any`, `!X`, `$X`, `[X,!Y,[Z]]` or an item. In a list, what is negated is taken out of the rest, or of
/// everything where there is no rest.
fn list<T: crate::range::Domain>(
    text: &str,
    variables: &BTreeMap<String, String>,
    item: Item<'_, T>,
    depth: usize,
) -> Result<RangeSet<T>, SetError> {
    if depth > DEPTH {
        return Err(SetError::Depth(DEPTH));
    }
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('!') {
        return Ok(list(rest, variables, item, depth + 1)?.complement());
    }
    if let Some(name) = text.strip_prefix('$') {
        let value = variables
            .get(name)
            .ok_or_else(|| SetError::Variable(name.to_owned()))?;
        return list(value, variables, item, depth + 1);
    }
    let Some(inner) = text.strip_prefix('[') else {
        return if text.eq_ignore_ascii_case("any") {
            Ok(RangeSet::all())
        } else {
            item(text)
        };
    };
    let inner = inner
        .strip_suffix(']')
        .ok_or_else(|| SetError::Bracket(text.to_owned()))?;
    let mut taken: Option<RangeSet<T>> = None;
    let mut left_out = RangeSet::none();
    for element in elements(inner).ok_or_else(|| SetError::Bracket(text.to_owned()))? {
        if let Some(element) = element.trim().strip_prefix('!') {
            left_out = left_out.union(&list(element, variables, item, depth + 1)?);
        } else {
            let set = list(element, variables, item, depth + 1)?;
            taken = Some(match taken {
                Some(taken) => taken.union(&set),
                None => set,
            });
        }
    }
    Ok(taken.unwrap_or_else(RangeSet::all).without(&left_out))
}

/// Splits at the commas that are in no inner bracket. Nothing if the brackets don't pair.
fn elements(inner: &str) -> Option<Vec<&str>> {
    let mut elements = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                elements.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    elements.push(&inner[start..]);
    (depth == 0).then_some(elements)
}

fn address_v4(text: &str) -> Result<RangeSet<u32>, SetError> {
    Ok(match address(text)? {
        (IpAddr::V4(low), IpAddr::V4(high)) => RangeSet::of(vec![(low.into(), high.into())]),
        _ => RangeSet::none(),
    })
}

fn address_v6(text: &str) -> Result<RangeSet<u128>, SetError> {
    Ok(match address(text)? {
        (IpAddr::V6(low), IpAddr::V6(high)) => RangeSet::of(vec![(low.into(), high.into())]),
        _ => RangeSet::none(),
    })
}

/// An address, a prefix, or two addresses with a dash between them.
fn address(text: &str) -> Result<(IpAddr, IpAddr), SetError> {
    let unreadable = || SetError::Address(text.to_owned());
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok((net.network(), net.broadcast()));
    }
    if let Some((low, high)) = text.split_once('-') {
        let low: IpAddr = low.trim().parse().map_err(|_| unreadable())?;
        let high: IpAddr = high.trim().parse().map_err(|_| unreadable())?;
        return if low.is_ipv4() == high.is_ipv4() && low <= high {
            Ok((low, high))
        } else {
            Err(unreadable())
        };
    }
    let address: IpAddr = text.parse().map_err(|_| unreadable())?;
    Ok((address, address))
}

/// `80`, `1024:`, `:1023` or `80:88`.
fn port(text: &str) -> Result<PortSet, SetError> {
    let unreadable = || SetError::Port(text.to_owned());
    let number = |text: &str, empty: u16| match text.trim() {
        "" => Ok(empty),
        text => text.parse::<u16>().map_err(|_| unreadable()),
    };
    let range = match text.split_once(':') {
        Some((low, high)) => (number(low, 0)?, number(high, u16::MAX)?),
        None => {
            let port = text.parse().map_err(|_| unreadable())?;
            (port, port)
        }
    };
    if range.0 > range.1 {
        return Err(unreadable());
    }
    Ok(RangeSet::of(vec![range]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Vec<(u16, u16)> {
        Variables::default().ports(text).unwrap().ranges().to_vec()
    }

    #[test]
    fn ports_are_single_ranges_lists_and_what_is_left_out() {
        assert_eq!(ports("any"), [(0, 65535)]);
        assert_eq!(ports("80"), [(80, 80)]);
        assert_eq!(ports("1024:"), [(1024, 65535)]);
        assert_eq!(ports(":1023"), [(0, 1023)]);
        assert_eq!(ports("!80"), [(0, 79), (81, 65535)]);
        assert_eq!(ports("[80:100,!99]"), [(80, 98), (100, 100)]);
        assert_eq!(ports("[1:80,![2,4]]"), [(1, 1), (3, 3), (5, 80)]);
        assert_eq!(ports("[!443]"), [(0, 442), (444, 65535)]);
        assert_eq!(
            ports("$FILE_DATA_PORTS"),
            [(80, 80), (110, 110), (143, 143)]
        );
    }

    #[test]
    fn addresses_of_both_families_stand_in_one_list() {
        let mut variables = Variables::default();
        variables
            .set_addresses("HOME_NET", "[192.0.2.0/24,2001:db8::/32]")
            .unwrap();
        variables
            .set_addresses("EXTERNAL_NET", "!$HOME_NET")
            .unwrap();
        let home = variables.addresses("[$HOME_NET,!192.0.2.7]").unwrap();
        let outside = variables.addresses("$EXTERNAL_NET").unwrap();
        for (address, is_home, is_outside) in [
            ("192.0.2.1", true, false),
            ("192.0.2.7", false, false),
            ("198.51.100.1", false, true),
            ("2001:db8::1", true, false),
            ("2001:db9::1", false, true),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(home.contains(address), is_home, "{address}");
            assert_eq!(outside.contains(address), is_outside, "{address}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_it_is() {
        let variables = Variables::default();
        assert_eq!(
            variables.ports("$NOWHERE"),
            Err(SetError::Variable("NOWHERE".into()))
        );
        assert_eq!(
            variables.ports("[80,81"),
            Err(SetError::Bracket("[80,81".into()))
        );
        assert_eq!(variables.ports("!any"), Err(SetError::Empty("!any".into())));
        assert_eq!(
            variables.ports("99999"),
            Err(SetError::Port("99999".into()))
        );
        assert_eq!(
            variables.addresses("192.0.2.300"),
            Err(SetError::Address("192.0.2.300".into()))
        );
    }

    #[test]
    fn a_variable_in_a_circle_is_refused_and_the_old_value_stays() {
        let mut variables = Variables::default();
        assert_eq!(
            variables.set_addresses("HOME_NET", "[$EXTERNAL_NET,$HOME_NET]"),
            Err(SetError::Depth(DEPTH))
        );
        assert!(variables.addresses("$HOME_NET").is_ok());
    }
}
