//! Numbers for people: three digits say enough.

use std::net::SocketAddr;

use firewall::view::{Endpoint, Traffic};
use jiff::Timestamp;

/// `999 B`, `1.2 kB`, `48 MB`: powers of a thousand, as interfaces and disks count.
pub(crate) fn bytes(bytes: u64) -> String {
    let (number, prefix) = scaled(bytes);
    format!("{number} {prefix}B")
}

/// `999`, `1.2k`, `48M`.
pub(crate) fn count(count: u64) -> String {
    let (number, prefix) = scaled(count);
    format!("{number}{prefix}")
}

/// `1.2k/96kB`: packets and bytes, as close as they can be.
pub(crate) fn traffic(traffic: Traffic) -> String {
    let bytes = bytes(traffic.bytes).replace(' ', "");
    format!("{}/{bytes}", count(traffic.packets))
}

/// `1.2 Mbit/s`.
pub(crate) fn bit_rate(bits_per_second: f64) -> String {
    let (number, prefix) = scaled(whole(bits_per_second));
    format!("{number} {prefix}bit/s")
}

/// `0.4`, `7`, `1.5k`: so many a second, on average.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 && per_second.fract() != 0.0 {
        return format!("{per_second:.1}");
    }
    count(whole(per_second))
}

fn whole(number: f64) -> u64 {
    // Saturates; what is no number is none.
    number.round() as u64
}

/// `2026-11-26 15:42:57Z`.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `2026-11-26 15:42:57.250Z`.
pub(crate) fn moment_in_full(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%3fZ").to_string()
}

/// `45s`, `2m13s`, `2h03m`, `1d01h`: two units.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// `192.0.2.1:443`, `[2001:db8::1]:443`, `192.0.2.1 id 17` (an ICMP identifier), and the bare
/// address where the protocol has no ports.
pub(crate) fn endpoint(endpoint: Endpoint, protocol: &str) -> String {
    let Endpoint { address, port } = endpoint;
    match protocol {
        "tcp" | "udp" => SocketAddr::new(address, port).to_string(),
        "icmp" | "icmpv6" => format!("{address} id {port}"),
        _ if port == 0 => address.to_string(),
        _ => SocketAddr::new(address, port).to_string(),
    }
}

/// A decimal below ten, none above; never `1000k`.
fn scaled(number: u64) -> (String, &'static str) {
    if number < 1000 {
        return (number.to_string(), "");
    }
    // Rounded half up; wide enough for ten times any u64.
    let in_units = |unit: u128, parts: u128| (u128::from(number) * parts + unit / 2) / unit;
    let mut unit = 1;
    for prefix in ["k", "M", "G", "T", "P"] {
        unit *= 1000;
        let (tenths, whole) = (in_units(unit, 10), in_units(unit, 1));
        if tenths < 100 {
            return (format!("{}.{}", tenths / 10, tenths % 10), prefix);
        }
        if whole < 1000 {
            return (whole.to_string(), prefix);
        }
    }
    (in_units(unit * 1000, 1).to_string(), "E")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_at_most_three_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_249, "1.2 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (11_904_221, "12 MB"),
            (u64::MAX, "18 EB"),
        ];
        for (number, expected) in cases {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn rates_are_rounded_and_small_ones_are_not_lost() {
        assert_eq!(bit_rate(1_234_567.8), "1.2 Mbit/s");
        assert_eq!(bit_rate(f64::NAN), "0 bit/s");
        for (number, expected) in [
            (0.0, "0"),
            (0.44, "0.4"),
            (7.0, "7"),
            (9.96, "10"),
            (1_499.6, "1.5k"),
        ] {
            assert_eq!(rate(number), expected);
        }
    }

    #[test]
    fn a_moment_is_in_universal_time() {
        let at: Timestamp = "2026-11-26T16:42:57.25+01:00".parse().unwrap();
        assert_eq!(moment(at), "2026-11-26 15:42:57Z");
        assert_eq!(moment_in_full(at), "2026-11-26 15:42:57.250Z");
    }

    #[test]
    fn durations_have_two_units() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (133, "2m13s"),
            (3_599, "59m59s"),
            (7_380, "2h03m"),
            (90_061, "1d01h"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn an_endpoint_shows_what_its_protocol_has() {
        let end = |address: &str, port| Endpoint {
            address: address.parse().unwrap(),
            port,
        };
        assert_eq!(
            endpoint(end("2001:db8::1", 443), "tcp"),
            "[2001:db8::1]:443"
        );
        assert_eq!(endpoint(end("192.0.2.1", 17), "icmp"), "192.0.2.1 id 17");
        assert_eq!(endpoint(end("192.0.2.1", 0), "gre"), "192.0.2.1");
    }
}
