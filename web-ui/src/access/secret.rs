//! Secrets that the appliance makes: tokens, session cookies, CSRF tokens, one-time passwords.
//!
//! The first three are 256 random bits. What is kept of them is their SHA-256: a slow hash makes guesses
//! of a password expensive, and of 2²⁵⁶ equally likely secrets none is guessed at any price.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// What a token starts with, so that scanners of source code find one that was committed.
const TOKEN_PREFIX: &str = "palisade_";
/// Enough that a token's public part is unique; it is no secret.
const ID_BYTES: usize = 6;

/// 256 bits that nobody can guess. Has no `Debug` that shows it.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn random() -> Self {
        Self(random())
    }

    /// As it travels: base64url without padding (RFC 4648, section 5).
    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.0).into())
    }
}

/// What is kept of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Takes as long whatever the answer.
    pub(crate) fn is_of(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.digest().0).into()
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Secret::parse(&text)
            .map(|Secret(bytes)| Self(bytes))
            .ok_or_else(|| serde::de::Error::custom("a hash is 32 bytes of base64url"))
    }
}

/// A token's public part, which names it, and its secret: `palisade_ID_SECRET`.
pub(crate) struct TokenText {
    pub(crate) id: String,
    pub(crate) secret: Secret,
}

impl TokenText {
    pub(crate) fn random() -> Self {
        let id = random::<ID_BYTES>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            id,
            secret: Secret::random(),
        }
    }

    pub(crate) fn text(&self) -> String {
        format!("{TOKEN_PREFIX}{}_{}", self.id, self.secret.text())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text
            .strip_prefix(TOKEN_PREFIX)?
            .split_at_checked(2 * ID_BYTES)?;
        if !id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return None;
        }
        Some(Self {
            id: id.to_owned(),
            secret: Secret::parse(secret.strip_prefix('_')?)?,
        })
    }
}

/// A password of 100 random bits that can be read aloud: nothing in it looks like anything else.
pub(crate) fn one_time_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let letters: Vec<char> = random::<20>()
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    letters
        .chunks(4)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join("-")
}

/// A kernel that has no randomness to give can't keep a secret: there is nothing to go on with.
fn random<const BYTES: usize>() -> [u8; BYTES] {
    use rand::RngCore;
    let mut bytes = [0; BYTES];
    OsRng.unwrap_err().fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_written_and_read() {
        let token = TokenText::random();
        let read = TokenText::parse(&token.text()).unwrap();
        assert_eq!(read.id, token.id);
        assert!(token.secret.digest().is_of(&read.secret));
        assert!(!token.secret.digest().is_of(&Secret::random()));
    }

    #[test]
    fn a_token_is_read_strictly() {
        let good = TokenText::random().text();
        for bad in [
            String::new(),
            "palisade_".into(),
            good[..good.len() - 1].into(),
            format!("{good}A"),
            format!("{good}="),
            format!(" {good}"),
            good.to_uppercase(),
            good.replace("palisade_", "palisade-"),
            format!("palisade_{}_", "é".repeat(6)),
        ] {
            assert!(TokenText::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_kept_as_text() {
        let digest = Secret::random().digest();
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"c2hvcnQ\"").is_err());
    }

    #[test]
    fn one_time_passwords_differ_and_keep_the_rules() {
        let (one, other) = (one_time_password(), one_time_password());
        assert_ne!(one, other);
        crate::access::password::Password::chosen(one, "admin").unwrap();
    }
}
