//! Numbers as people write them: durations and sizes with a unit, ports and ranges of ports.

use std::num::IntErrorKind;
use std::time::Duration;

/// What is wrong with a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("'{0}' has no unit: a duration is a number and s, m, h or d, as in 90s or 10m")]
    NoUnit(String),
    #[error("'{0}' is no duration: a number and s, m, h or d, as in 90s or 10m")]
    Duration(String),
    #[error("'{0}' is too long a duration: at most {MAX_DAYS} days")]
    TooLong(String),
    #[error("a duration cannot be zero")]
    Zero,
    #[error("'{0}' is no size: a number and KiB, MiB or GiB, as in 256MiB")]
    Size(String),
    #[error("'{0}' is no port: a number from {1} to 65535, or a range such as 8443-8450")]
    Port(String, u16),
    #[error("the range {0} runs backwards")]
    Backwards(String),
}

/// A year and a day: longer is surely a mistake, and deadlines computed from it never overflow.
const MAX_DAYS: u64 = 366;

/// `90s`, `10m`, `2h`, `1d`; never zero.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let malformed = || QuantityError::Duration(text.to_owned());
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(malformed());
    }
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "" => return Err(QuantityError::NoUnit(text.to_owned())),
        _ => return Err(malformed()),
    };
    let seconds = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds_per_unit));
    match seconds {
        Some(0) => Err(QuantityError::Zero),
        Some(seconds) if seconds <= MAX_DAYS * 86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err(QuantityError::TooLong(text.to_owned())),
    }
}

/// `64KiB`, `256MiB`, `2GiB`, in bytes; `u64::MAX` for what is more.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let malformed = || QuantityError::Size(text.to_owned());
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let bytes_per_unit = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(malformed()),
    };
    match number.parse::<u64>() {
        Ok(number) => Ok(number.saturating_mul(bytes_per_unit)),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Ok(u64::MAX),
        Err(_) => Err(malformed()),
    }
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl PortRange {
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    pub const fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// `443` or `1024-65535`; no port below `lowest`.
pub fn parse_ports(text: &str, lowest: u16) -> Result<PortRange, QuantityError> {
    let malformed = || QuantityError::Port(text.to_owned(), lowest);
    let port = |text: &str| {
        let text = text.trim();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>()
            .ok()
            .filter(|port| plain && *port >= lowest)
            .ok_or_else(malformed)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(QuantityError::Backwards(text.to_owned()));
    }
    Ok(PortRange { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        assert_eq!(parse_duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(
            parse_duration("90"),
            Err(QuantityError::NoUnit("90".to_owned()))
        );
        assert_eq!(parse_duration("0s"), Err(QuantityError::Zero));
        for nonsense in ["", "m", "-5m", "1.5h", "10 m", "10min"] {
            assert_eq!(
                parse_duration(nonsense),
                Err(QuantityError::Duration(nonsense.to_owned()))
            );
        }
        for endless in ["367d", "99999999999999999999d"] {
            assert_eq!(
                parse_duration(endless),
                Err(QuantityError::TooLong(endless.to_owned()))
            );
        }
    }

    #[test]
    fn sizes_carry_units() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        for endless in ["99999999999999GiB", "99999999999999999999KiB"] {
            assert_eq!(parse_size(endless), Ok(u64::MAX));
        }
        for nonsense in ["", "256", "MiB", "256MB", "256 MiB", "-1MiB"] {
            assert_eq!(
                parse_size(nonsense),
                Err(QuantityError::Size(nonsense.to_owned()))
            );
        }
    }

    #[test]
    fn a_port_is_a_number_or_a_forward_range() {
        assert_eq!(parse_ports("443", 1), Ok(PortRange::one(443)));
        assert_eq!(
            parse_ports("1024-65535", 1),
            Ok(PortRange {
                first: 1024,
                last: 65535
            })
        );
        assert_eq!(
            parse_ports("90-80", 1),
            Err(QuantityError::Backwards("90-80".to_owned()))
        );
        for nonsense in ["0", "65536", "http", "1-", "-1", "1-2-3", "+5", ""] {
            assert_eq!(
                parse_ports(nonsense, 1),
                Err(QuantityError::Port(nonsense.to_owned(), 1))
            );
        }
    }
}
