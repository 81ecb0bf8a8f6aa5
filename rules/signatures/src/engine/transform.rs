//! What transforms make of a buffer. As Suricata's guide describes them in "Transformations".

use sha2::{Digest, Sha256};

use crate::rule::Transform;

pub(crate) fn apply(transforms: &[Transform], data: &[u8]) -> Vec<u8> {
    let mut current = data.to_vec();
    for transform in transforms {
        current = one(transform, current);
    }
    current
}

fn one(transform: &Transform, mut data: Vec<u8>) -> Vec<u8> {
    match transform {
        Transform::ToLowercase => data.make_ascii_lowercase(),
        Transform::ToUppercase => data.make_ascii_uppercase(),
        Transform::StripWhitespace => data.retain(|&byte| !is_space(byte)),
        Transform::CompressWhitespace => {
            let mut before = false;
            data.retain_mut(|byte| {
                let (is, was) = (is_space(*byte), before);
                before = is;
                if is {
                    *byte = b' ';
                }
                !(is && was)
            });
        }
        Transform::DotPrefix => data.insert(0, b'.'),
        Transform::UrlDecode => return url_decoded(&data),
        Transform::ToSha256 => return Sha256::digest(&data).to_vec(),
        Transform::Xor(key) => {
            for (byte, key) in data.iter_mut().zip(key.iter().cycle()) {
                *byte ^= key;
            }
        }
        Transform::HeaderLowercase => {
            // Names, up to the colon of each line.
            let mut in_name = true;
            for byte in &mut data {
                match byte {
                    b'\n' => in_name = true,
                    b':' => in_name = false,
                    _ if in_name => byte.make_ascii_lowercase(),
                    _ => {}
                }
            }
        }
        Transform::FromBase64 => return decode_base64(&data).0,
    }
    data
}

/// As `isspace` in C.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// `%41` and `+`. What is no pair of digits stays.
fn url_decoded(data: &[u8]) -> Vec<u8> {
    let digit = |at: usize| data.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(data.len());
    let mut at = 0;
    while let Some(&byte) = data.get(at) {
        at += 1;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(at), digit(at + 1)) {
                (Some(high), Some(low)) => {
                    at += 2;
                    (high * 16 + low) as u8
                }
                _ => b'%',
            },
            _ => byte,
        });
    }
    decoded
}

/// What is decoded up to the first byte that is none of the alphabet (RFC 4648, section 4), and how many bytes
/// that were.
pub(crate) fn decode_base64(encoded: &[u8]) -> (Vec<u8>, usize) {
    let mut decoded = Vec::with_capacity(encoded.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    let mut used = 0;
    for &byte in encoded {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        used += 1;
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
        }
    }
    (decoded, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(transform: Transform, data: &[u8]) -> Vec<u8> {
        apply(&[transform], data)
    }

    #[test]
    fn each_transform_makes_what_it_says() {
        assert_eq!(made(Transform::ToLowercase, b"A-b"), b"a-b");
        assert_eq!(made(Transform::ToUppercase, b"A-b"), b"A-B");
        assert_eq!(made(Transform::StripWhitespace, b" a \t\r\n\x0bb "), b"ab");
        assert_eq!(made(Transform::CompressWhitespace, b"a \t b\n"), b"a b ");
        assert_eq!(made(Transform::DotPrefix, b"a.b"), b".a.b");
        assert_eq!(made(Transform::UrlDecode, b"a%2fb+c%zz%4"), b"a/b c%zz%4");
        assert_eq!(
            made(Transform::Xor(Box::new([1, 2])), &[1, 1, 1]),
            [0, 3, 0]
        );
        assert_eq!(
            made(Transform::HeaderLowercase, b"Host: A\r\nX-Y: Z\r\n"),
            b"host: A\r\nx-y: Z\r\n"
        );
        assert_eq!(made(Transform::FromBase64, b"aGVsbG8="), b"hello");
        assert_eq!(
            made(Transform::ToSha256, b"")[..4],
            [0xe3, 0xb0, 0xc4, 0x42]
        );
    }

    #[test]
    fn transforms_run_one_after_the_other() {
        let both = [Transform::UrlDecode, Transform::StripWhitespace];
        assert_eq!(apply(&both, b"a%20b+c"), b"abc");
    }

    #[test]
    fn decoding_stops_where_the_alphabet_ends() {
        assert_eq!(decode_base64(b"aGVs!bG8"), (b"hel".to_vec(), 4));
        assert_eq!(decode_base64(b"aGVsbG8"), (b"hello".to_vec(), 7));
        assert_eq!(decode_base64(b"=").1, 0);
    }
}
