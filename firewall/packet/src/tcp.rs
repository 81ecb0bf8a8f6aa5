//! TCP flags and options (RFC 9293 3.1, 3.2).

/// The control bits, as in the low byte of the header's 13th and 14th.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    pub const FIN: Self = Self(0x01);
    pub const SYN: Self = Self(0x02);
    pub const RST: Self = Self(0x04);
    pub const PSH: Self = Self(0x08);
    pub const ACK: Self = Self(0x10);
    pub const URG: Self = Self(0x20);

    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The shift count of a window scale option; RFC 7323 2.3 caps it at 14.
pub(crate) fn window_scale(mut options: &[u8]) -> Option<u8> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    loop {
        options = match *options {
            [] | [END, ..] => return None,
            [NO_OPERATION, ref rest @ ..] => rest,
            [WINDOW_SCALE, 3, shift, ..] => return Some(shift.min(14)),
            [_, length, ..] if length >= 2 => options.get(usize::from(length)..)?,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::window_scale;

    #[test]
    fn the_window_scale_is_found_behind_other_options() {
        assert_eq!(window_scale(&[2, 4, 5, 0xb4, 1, 3, 3, 7]), Some(7));
        assert_eq!(window_scale(&[3, 3, 200]), Some(14));
    }

    #[test]
    fn broken_options_have_no_window_scale() {
        for options in [
            &[][..],
            &[0, 3, 3, 7],
            &[8, 0, 3, 3, 7],
            &[8, 40],
            &[8],
            &[3, 3],
            &[3, 2, 7],
        ] {
            assert_eq!(window_scale(options), None);
        }
    }
}
