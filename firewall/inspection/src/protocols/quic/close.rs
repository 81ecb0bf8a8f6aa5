//! The end of a connection that the client only just asked for: RFC 9000 10.2.3.

use super::initial::{Ids, Keys, Long, Sender};

/// RFC 9000 19.19.
const CONNECTION_CLOSE: u8 = 0x1c;
/// RFC 9000 20.1.
const CONNECTION_REFUSED: u8 = 0x02;
const REASON: &[u8] = b"blocked";

/// The datagram that a client takes for its server's refusal, in answer to one with an Initial packet of its own. `None` of any other:
/// who has keys that not everybody can derive can't be told.
#[must_use]
pub fn close(datagram: &[u8]) -> Option<Vec<u8>> {
    let long = Long::read(datagram)?;
    let (initial, _) = long.packet(datagram)?;
    let initial = initial?;
    let (version, destination) = (initial.version, initial.destination);
    // After the server has spoken these are not the keys any more.
    initial.open(&Keys::derive(version, destination, Sender::Client)?)?;
    // Of no frame's type in particular; the reason with its length.
    let mut frame = vec![CONNECTION_CLOSE, CONNECTION_REFUSED, 0, REASON.len() as u8];
    frame.extend_from_slice(REASON);
    let ids = Ids {
        destination: long.source,
        source: destination,
    };
    Keys::derive(version, destination, Sender::Server)?.seal(version, ids, 0, &frame)
}

#[cfg(test)]
mod tests {
    use super::super::initial::tests::seal;
    use super::*;

    #[test]
    fn the_client_reads_the_refusal_with_its_servers_keys() {
        for version in [1, 0x6b33_43cf] {
            let asked = seal(version, b"12345678", 0, &[0; 1_100]);
            let refused = close(&asked).expect("an answer");
            let long = Long::read(&refused).expect("a long header");
            let (initial, behind) = long.packet(&refused).expect("a packet");
            let keys = Keys::derive(version, b"12345678", Sender::Server).expect("keys");
            let plain = initial.expect("an Initial").open(&keys).expect("its keys");
            assert_eq!(plain, b"\x1c\x02\0\x07blocked");
            assert!(behind.is_empty());
        }
    }

    #[test]
    fn nobody_else_is_answered() {
        let asked = seal(1, b"12345678", 0, &[0; 1_100]);
        let mut spoilt = asked.clone();
        *spoilt.last_mut().expect("bytes") ^= 1;
        assert_eq!(close(&spoilt), None);
        assert_eq!(close(&asked[..600]), None);
        assert_eq!(close(b"\x40 a short header"), None);
        assert_eq!(close(b""), None);
    }
}
