//! Passwords: which are taken, how they are kept, and what judging them may cost.
//!
//! A password is kept as an argon2id hash in PHC form. Computing one is meant to be expensive, so that is
//! done off the runtime's thread, by few at once, and few may wait for it: a flood of logins costs a
//! bounded share of the machine, and of memory what those few compute in, which they keep. Nothing here remembers a password that was right; a client that
//! asks often has a token.
//!
//! # Limits
//! Passwords are compared byte by byte: one typed in another Unicode normal form is another one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

use super::secret::Secret;

/// NIST SP 800-63B-4, section 3.1.1.2: at least 15 where the password is the only factor.
const CHARACTERS_MIN: usize = 15;
/// The same: at least 64 characters must be taken. A character of UTF-8 has up to four bytes.
const BYTES_MAX: usize = 256;
/// Leaves out what is a pattern rather than a password: `aaaaaaaaaaaaaaa`, `121212121212121`.
const DIFFERENT_CHARACTERS_MIN: usize = 5;

/// OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// What a hash in the file may ask for at most, so that a damaged file can't ask for all memory.
const MEMORY_KIB_MAX: u32 = 262_144;
const PASSES_MAX: u32 = 16;

/// A password as somebody gave it.
pub(crate) struct Password(String);

impl Password {
    /// One to compare with what is kept. Longer than any that is taken: `None`.
    pub(crate) fn given(text: String) -> Option<Self> {
        (text.len() <= BYTES_MAX).then_some(Self(text))
    }

    /// Nobody's.
    pub(crate) fn empty() -> Self {
        Self(String::new())
    }

    /// One that a user wants to have.
    pub(crate) fn chosen(text: String, user: &str) -> Result<Self, PasswordError> {
        let characters = text.chars().count();
        if characters < CHARACTERS_MIN {
            return Err(PasswordError::TooShort { characters });
        }
        if text.len() > BYTES_MAX {
            return Err(PasswordError::TooLong { bytes: text.len() });
        }
        if text.to_lowercase().contains(&user.to_lowercase()) {
            return Err(PasswordError::HoldsName);
        }
        if text.chars().collect::<BTreeSet<_>>().len() < DIFFERENT_CHARACTERS_MIN {
            return Err(PasswordError::Pattern);
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error(
        "{characters} characters are too few for a password: it is the only thing asked for, so it needs {CHARACTERS_MIN}"
    )]
    TooShort { characters: usize },
    #[error("{bytes} bytes are too long for a password: at most {BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("the password may not contain the user's name")]
    HoldsName,
    #[error(
        "the password repeats itself: it needs at least {DIFFERENT_CHARACTERS_MIN} different characters"
    )]
    Pattern,
}

/// A password's hash in PHC form, checked to be one that can be computed here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Kept(String);

impl TryFrom<String> for Kept {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hash = PasswordHash::new(&text).map_err(|_| "a password's hash is no PHC string")?;
        let params =
            Params::try_from(&hash).map_err(|_| "a password's hash has wrong parameters")?;
        if hash.algorithm != Algorithm::Argon2id.ident() || hash.hash.is_none() {
            return Err("a password's hash is not argon2id");
        }
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
            return Err("a password's hash asks for too much memory or time");
        }
        Ok(Self(text))
    }
}

impl From<Kept> for String {
    fn from(kept: Kept) -> Self {
        kept.0
    }
}

impl Kept {
    /// No password's: the hash is random, not computed. Comparing with it takes as long as with any other.
    fn of_nobody() -> Self {
        let [salt, hash] = [(); 2].map(|()| STANDARD_NO_PAD.encode(Secret::random().bytes()));
        Self(format!(
            "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"
        ))
    }

    fn is_of(&self, password: &Password, memory: &mut Memory) -> Result<bool, HashError> {
        let hash = PasswordHash::new(&self.0)?;
        let (Some(salt), Some(kept)) = (hash.salt, hash.hash) else {
            return Ok(false);
        };
        let version = hash.version.map(Version::try_from).transpose()?;
        let params = Params::try_from(&hash)?;
        let computed = memory.compute(password, &salt, version.unwrap_or_default(), &params)?;
        // Outputs take the same time to compare, wherever they differ.
        Ok(computed == kept)
    }
}

/// Takes as long as the parameters want.
pub(crate) fn keep(password: &Password, memory: &mut Memory) -> Result<Kept, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    let (version, salt) = (Version::V0x13, Salt::generate());
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(salt),
        hash: Some(memory.compute(password, &salt, version, &params)?),
    };
    Ok(Kept(hash.to_string()))
}

/// What a hash is computed in, taken once and used again: an allocator that gets 19 MiB back now from this thread and now from that
/// keeps them for each.
#[derive(Default)]
pub(crate) struct Memory(Vec<Block>);

impl Memory {
    fn compute(
        &mut self,
        Password(password): &Password,
        salt: &Salt,
        version: Version,
        params: &Params,
    ) -> Result<Output, HashError> {
        let count = params.block_count();
        if let Some(more) = count.checked_sub(self.0.len()) {
            self.0
                .try_reserve_exact(more)
                .map_err(|_| argon2::Error::OutOfMemory)?;
            self.0.resize(count, Block::default());
        }
        let mut output = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let output = output
            .get_mut(..length)
            .ok_or(argon2::Error::OutputTooLong)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params.clone());
        let blocks = &mut self.0[..count];
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, blocks)?;
        // Few hashes want more than those that are made here.
        self.0.truncate(MEMORY_KIB as usize);
        self.0.shrink_to_fit();
        Ok(Output::new(output)?)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("cannot hash a password: {0}")]
    Parameters(#[from] argon2::Error),
    #[error("cannot hash a password: {0}")]
    Hash(#[from] argon2::password_hash::Error),
    #[error("cannot hash a password: {0}")]
    Written(#[from] argon2::password_hash::phc::Error),
}

/// Where passwords are judged.
#[derive(Debug)]
pub(crate) struct Judges {
    working: Arc<Semaphore>,
    /// Those who work and those who wait for them.
    queue: Arc<Semaphore>,
    /// Of those who don't work now.
    memories: Arc<Mutex<Vec<Memory>>>,
    /// Nobody's: what a password for an unknown user is compared with, so that it takes as long.
    nobody: Kept,
}

impl Judges {
    const WAITING_MAX: usize = 16;

    pub(crate) fn new() -> Self {
        // The other half of the machine walks packets.
        let working = std::thread::available_parallelism()
            .map_or(1, |processors| (processors.get() / 2).clamp(1, 2));
        Self {
            working: Arc::new(Semaphore::new(working)),
            queue: Arc::new(Semaphore::new(working + Self::WAITING_MAX)),
            memories: Arc::default(),
            nobody: Kept::of_nobody(),
        }
    }

    /// Whether a password is the one that is kept; `None` is an unknown user's, and never is.
    pub(crate) async fn judge(
        &self,
        password: Password,
        kept: Option<Kept>,
    ) -> Result<bool, JudgeError> {
        let known = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        // Also for a user whom nobody knows.
        let matches = self
            .work(move |memory| kept.is_of(&password, memory))
            .await?;
        Ok(known && matches)
    }

    pub(crate) async fn keep(&self, password: Password) -> Result<Kept, JudgeError> {
        self.work(move |memory| keep(&password, memory)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Memory) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, JudgeError> {
        let queued = Arc::clone(&self.queue)
            .try_acquire_owned()
            .map_err(|_| JudgeError::Busy)?;
        let working = Arc::clone(&self.working)
            .acquire_owned()
            .await
            .map_err(|_| JudgeError::Busy)?;
        // The places go with the work: a client that hangs up does not make room before it is done.
        let places: [OwnedSemaphorePermit; 2] = [queued, working];
        let memories = Arc::clone(&self.memories);
        let done = spawn_blocking(move || {
            let locked = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = locked().pop().unwrap_or_default();
            let done = job(&mut memory);
            locked().push(memory);
            drop(places);
            done
        });
        Ok(done.await??)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum JudgeError {
    #[error("too many passwords are being checked")]
    Busy,
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("checking a password failed: {0}")]
    Died(#[from] JoinError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::given(text.to_owned()).unwrap()
    }

    #[test]
    fn a_chosen_password_keeps_the_rules() {
        let chosen = |text: &str| Password::chosen(text.to_owned(), "alice").map(|_| ());
        assert_eq!(chosen("correct horse battery"), Ok(()));
        assert_eq!(
            chosen("fourteen chars"),
            Err(PasswordError::TooShort { characters: 14 })
        );
        assert_eq!(chosen("ünïcödé fifteen"), Ok(()));
        assert_eq!(chosen("this is ALICE's own"), Err(PasswordError::HoldsName));
        assert_eq!(chosen("1212121212121212"), Err(PasswordError::Pattern));
        assert_eq!(chosen(&"correct horse ".repeat(18)), Ok(()));
        assert_eq!(
            chosen(&"correct horse ".repeat(19)),
            Err(PasswordError::TooLong { bytes: 266 })
        );
    }

    #[test]
    fn what_is_kept_is_argon2id_as_owasp_has_it() {
        let kept = keep(&password("correct horse battery"), &mut Memory::default()).unwrap();
        assert!(kept.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(Kept::try_from(kept.0.clone()), Ok(kept));
    }

    #[test]
    fn nobodys_hash_is_computed_like_any_other() {
        let nobody = Kept::of_nobody();
        assert_eq!(Kept::try_from(nobody.0.clone()), Ok(nobody.clone()));
        let computed = nobody.is_of(&Password::empty(), &mut Memory::default());
        assert!(matches!(computed, Ok(false)));
    }

    #[tokio::test]
    async fn however_many_passwords_are_judged_the_memory_is_that_of_those_who_judge() {
        let judges = Judges::new();
        let kept = judges
            .keep(password("correct horse battery"))
            .await
            .unwrap();
        for _ in 0..3 {
            let judged = ["correct horse battery", "correct horse batter"].map(|text| {
                let judging = judges.judge(password(text), Some(kept.clone()));
                async move { judging.await.unwrap() }
            });
            let [right, wrong] = judged;
            assert_eq!(tokio::join!(right, wrong), (true, false));
        }
        let memories = judges.memories.lock().unwrap();
        let blocks: usize = memories.iter().map(|memory| memory.0.capacity()).sum();
        assert!((1..=2).contains(&memories.len()));
        assert_eq!(blocks, memories.len() * MEMORY_KIB as usize);
    }

    #[test]
    fn a_kept_password_that_asks_for_too_much_is_refused() {
        let kept = keep(&password("correct horse battery"), &mut Memory::default())
            .unwrap()
            .0;
        for bad in [
            kept.replace("m=19456", "m=4000000"),
            kept.replace("t=2", "t=4000"),
            kept.replace("argon2id", "argon2i"),
            kept.rsplit_once('$').unwrap().0.to_owned(),
            "secret".to_owned(),
        ] {
            assert!(Kept::try_from(bad.clone()).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let judges = Judges::new();
        let kept = judges
            .keep(password("correct horse battery"))
            .await
            .unwrap();
        let judge = async |text, kept| judges.judge(password(text), kept).await.unwrap();
        assert!(judge("correct horse battery", Some(kept.clone())).await);
        assert!(!judge("correct horse batterz", Some(kept)).await);
        assert!(!judge("correct horse battery", None).await);
    }

    #[tokio::test]
    async fn more_than_may_wait_are_sent_away() {
        let judges = Judges::new();
        let room = judges.queue.available_permits();
        let mut waiting: Vec<_> = (0..room + 5)
            .map(|_| Box::pin(judges.judge(password("wrong"), None)))
            .collect();
        let answers = futures_util::future::join_all(waiting.drain(..)).await;
        let sent_away = answers
            .iter()
            .filter(|answer| matches!(answer, Err(JudgeError::Busy)))
            .count();
        assert_eq!(sent_away, 5);
    }

    #[tokio::test]
    async fn who_hangs_up_keeps_a_place_until_the_work_is_done() {
        let judges = Judges::new();
        let room = judges.queue.available_permits();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let work = judges.work(move |_| Ok(released.recv()));
        // Polled once: the work has begun.
        assert!(futures_util::poll!(Box::pin(work)).is_pending());
        assert_eq!(judges.queue.available_permits(), room - 1);
        release.send(()).unwrap();
        while judges.queue.available_permits() < room {
            tokio::task::yield_now().await;
        }
    }
}
