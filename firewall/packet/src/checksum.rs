//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// A running ones' complement sum, not yet folded or inverted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes as 16-bit words in network order; an odd last byte is padded with zero
    /// (RFC 1071 section 1), so only the last piece of a sum may be odd.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let (quads, rest) = bytes.as_chunks::<4>();
        // In the machine's order, as many at once as it can: the sum only has its bytes in that order, too (RFC 1071 section 2 B).
        let mut sum = quads
            .iter()
            .fold(0, |sum, quad| sum + u64::from(u32::from_ne_bytes(*quad)));
        let mut tail = [0; 4];
        tail[..rest.len()].copy_from_slice(rest);
        sum += u64::from(u32::from_ne_bytes(tail));
        Self(self.0 + u64::from(u16::from_be(Self(sum).folded())))
    }

    #[must_use]
    pub fn word(self, word: u16) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// The pseudo-header of RFC 9293 3.1 and RFC 8200 8.1; addresses are 4 or 16 bytes each.
    #[must_use]
    pub fn pseudo_header(self, addresses: &[u8], protocol: u8, length: usize) -> Self {
        Self(self.bytes(addresses).0 + u64::from(protocol) + length as u64)
    }

    /// The sum folded to 16 bits, not inverted.
    #[must_use]
    pub fn folded(self) -> u16 {
        let mut sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// The checksum: folded and inverted. Data with a right checksum in it comes to 0.
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// What an edit adds to a checksum, folded from any number of changed pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(Sum);

impl Delta {
    /// `old` became `new`: equally long, at an even offset, of even length.
    #[must_use]
    pub fn change(self, old: &[u8], new: &[u8]) -> Self {
        let (words, _) = old.as_chunks::<2>();
        let removed = words
            .iter()
            .fold(0, |sum, word| sum + u64::from(!u16::from_be_bytes(*word)));
        Self(Sum(self.0.bytes(new).0 + removed))
    }

    /// RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
    #[must_use]
    pub fn apply(self, checksum: u16) -> u16 {
        self.0.word(!checksum).checksum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Delta, Sum};

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.folded(), 0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624_gives_zero_not_all_ones() {
        let delta = Delta::default().change(&[0x55, 0x55], &[0x32, 0x85]);
        assert_eq!(delta.apply(0xdd2f), 0);
    }

    #[test]
    fn an_odd_byte_is_the_upper_half_of_its_word() {
        assert_eq!(Sum::default().bytes(&[0, 1, 0xab]).folded(), 0xab01);
    }

    #[test]
    fn the_largest_packet_does_not_overflow() {
        assert_eq!(Sum::default().bytes(&[0xff; 65_535]).checksum(), 0x00ff);
    }
}
