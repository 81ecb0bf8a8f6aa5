//! Comparisons as rules write them: `5`, `!5`, `<5`, `>=5`, `3<>9`.

/// A range of numbers, or everything outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    low: u64,
    high: u64,
    outside: bool,
}

impl Bounds {
    pub(crate) fn between(low: u64, high: u64) -> Self {
        Self {
            low,
            high,
            outside: false,
        }
    }

    pub(crate) fn holds(self, value: u64) -> bool {
        (self.low..=self.high).contains(&value) != self.outside
    }

    /// The largest value that holds, and every one above it doesn't.
    pub(crate) fn highest(self) -> Option<u64> {
        (!self.outside && self.high < u64::MAX).then_some(self.high)
    }

    /// Whether it holds for the value and for every larger one.
    pub(crate) fn holds_from(self, value: u64) -> bool {
        if self.outside {
            value > self.high
        } else {
            self.high == u64::MAX && value >= self.low
        }
    }

    /// `A<>B` leaves A and B out, as the documentation of `bsize` and `dsize` says.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((low, high)) = text.split_once("<>") {
            let low = number(low)?.checked_add(1)?;
            let high = number(high)?.checked_sub(1)?;
            return (low <= high).then_some(Self::between(low, high));
        }
        if let Some((low, high)) = text.split_once('-') {
            let (low, high) = (number(low)?, number(high)?);
            return (low <= high).then_some(Self::between(low, high));
        }
        Some(match Compare::split(text) {
            (Compare::Less, rest) => Self::between(0, number(rest)?.checked_sub(1)?),
            (Compare::LessOrEqual, rest) => Self::between(0, number(rest)?),
            (Compare::Greater, rest) => Self::between(number(rest)?.checked_add(1)?, u64::MAX),
            (Compare::GreaterOrEqual, rest) => Self::between(number(rest)?, u64::MAX),
            (Compare::Equal, rest) => Self::exactly(number(rest)?),
            (Compare::Not, rest) => Self {
                outside: true,
                ..Self::exactly(number(rest)?)
            },
        })
    }

    fn exactly(value: u64) -> Self {
        Self::between(value, value)
    }
}

#[derive(Clone, Copy)]
enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Not,
}

impl Compare {
    fn split(text: &str) -> (Self, &str) {
        for (sign, compare) in [
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("!=", Self::Not),
            ("<", Self::Less),
            (">", Self::Greater),
            ("=", Self::Equal),
            ("!", Self::Not),
        ] {
            if let Some(rest) = text.strip_prefix(sign) {
                return (compare, rest);
            }
        }
        (Self::Equal, text)
    }
}

/// A decimal or `0x` number.
pub(crate) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_hold_where_they_should() {
        for (text, inside, outside) in [
            ("5", &[5][..], &[4, 6][..]),
            ("=5", &[5], &[4, 6]),
            ("!5", &[4, 6], &[5]),
            ("<5", &[0, 4], &[5]),
            ("<=5", &[5], &[6]),
            (">5", &[6, u64::MAX], &[5]),
            (" > 0x10", &[17], &[16]),
            (">=5", &[5], &[4]),
            ("8<>20", &[9, 19], &[8, 20]),
        ] {
            let bounds = Bounds::parse(text).expect(text);
            for &value in inside {
                assert!(bounds.holds(value), "{text} with {value}");
            }
            for &value in outside {
                assert!(!bounds.holds(value), "{text} with {value}");
            }
        }
    }

    #[test]
    fn what_holds_for_nothing_or_is_no_number_is_refused() {
        for text in ["", "<0", "9<>9", "20<>8", "five", "+5", "-5", "5 6"] {
            assert_eq!(Bounds::parse(text), None, "{text}");
        }
    }
}
