//! The rules that are in force, from one reading of their files to the next.
//!
//! What must hold: only a commit is refused for what is wrong with rule files. They are no part of a configuration, which was
//! good when it was committed; so one that is put in force again is, with the rules that were there before or without any.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use signatures::{Engine, Limits, LoadReport, Ruleset};

use super::{SignaturesError, Texts, Unread, compile, faults, idle, read};
use crate::config::{Config, SignatureUse};
use crate::lifecycle::Occasion;
use crate::view::SignaturesView;

/// What a configuration's profiles look for.
#[derive(Clone, Debug)]
pub struct InUse {
    pub engine: Arc<Engine>,
    pub state: Arc<RulesState>,
    /// Why what the files hold now is not what is used.
    pub refused: Option<Arc<str>>,
    /// What decides which rules there are: the configuration's words, and with them the files.
    asked: Digest,
    made_of: Digest,
}

type Digest = [u8; 32];

impl InUse {
    /// What the configuration asks for and is not had: the files as a whole, or all of a file.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let refused = self.refused.as_deref().map(str::to_owned);
        refused.or_else(|| self.state.missing.clone())
    }

    #[must_use]
    pub fn view(&self) -> SignaturesView {
        let RulesState {
            loaded,
            faulty,
            files,
            unread,
            ..
        } = *self.state;
        SignaturesView {
            loaded,
            faulty,
            files,
            unread,
        }
    }
}

/// How the rules in use came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesState {
    pub loaded: u32,
    pub faulty: u32,
    /// Files that were read, and files or patterns that gave nothing.
    pub files: u32,
    pub unread: u32,
    /// What is wrong as a whole: files that can't be read, or nothing in them that can be used.
    pub missing: Option<String>,
    /// Rules that are left out, and changes of rules that there aren't.
    pub left_out: Vec<String>,
}

/// What a configuration's profiles look for, compiled; the configuration comes back. What was looked for `before` stays where neither
/// the files nor their settings are others; else it gives what it has counted to the new. `None` where no profile wants any.
pub(crate) async fn in_use(
    config: Config,
    directory: PathBuf,
    before: Option<InUse>,
    occasion: Occasion,
) -> (Config, Result<Option<InUse>, SignaturesError>) {
    let wants_any = config
        .inspection
        .profiles()
        .iter()
        .any(|profile| profile.signatures != SignatureUse::Off);
    if !wants_any {
        return (config, Ok(None));
    }
    let compiling = tokio::task::spawn_blocking(move || {
        let now = match (use_of(&config, &directory, before.as_ref()), occasion) {
            (Err(error), Occasion::Again) => Ok(without(&config, before.as_ref(), &error)),
            (now, _) => now,
        };
        (config, now.map(Some))
    });
    match compiling.await {
        Ok(compiled) => compiled,
        Err(died) => std::panic::resume_unwind(died.into_panic()),
    }
}

fn use_of(
    config: &Config,
    directory: &Path,
    before: Option<&InUse>,
) -> Result<InUse, SignaturesError> {
    let (texts, unread) = read(&config.signatures.files, directory)?;
    let asked = asked(config);
    let made_of = made_of(asked, &texts, &unread);
    if let Some(before) = before.filter(|before| before.made_of == made_of) {
        return Ok(InUse {
            refused: None,
            ..before.clone()
        });
    }
    let loaded = compile(config, &texts, unread)?;
    let state = RulesState::of(config, &loaded.report, &loaded.unread);
    for unread in &loaded.unread {
        tracing::warn!("{unread}");
    }
    for left_out in &state.left_out {
        tracing::warn!("{left_out}");
    }
    tracing::info!(loaded = state.loaded, faulty = state.faulty, "signatures");
    Ok(InUse {
        engine: engine(loaded.ruleset, before),
        state: Arc::new(state),
        refused: None,
        asked,
        made_of,
    })
}

/// The rules before where the configuration asked for the same, else none.
fn without(config: &Config, before: Option<&InUse>, error: &SignaturesError) -> InUse {
    let asked = asked(config);
    let stays = before.filter(|before| before.asked == asked);
    let refused = match stays {
        Some(before) if before.state.loaded > 0 => {
            format!("{error}; those that were read before stay in use")
        }
        _ => format!("{error}; none is in use"),
    };
    tracing::error!("{refused}");
    let refused = Some(refused.into());
    match stays {
        Some(before) => InUse {
            refused,
            ..before.clone()
        },
        None => InUse {
            engine: engine(Ruleset::default(), before),
            state: Arc::default(),
            refused,
            asked,
            made_of: Digest::default(),
        },
    }
}

fn engine(ruleset: Ruleset, before: Option<&InUse>) -> Arc<Engine> {
    Arc::new(match before {
        Some(before) => before.engine.replaced_by(ruleset),
        None => Engine::new(ruleset, Limits::default()),
    })
}

impl RulesState {
    fn of(config: &Config, report: &LoadReport, unread: &[Unread]) -> Self {
        let missing = match unread {
            [first, others @ ..] => Some(match others.len() {
                0 => first.to_string(),
                1 => format!("{first}; nor from one more"),
                more => format!("{first}; nor from {more} more"),
            }),
            [] if report.loaded() == 0 => Some("none of the signatures is in use".to_owned()),
            [] => None,
        };
        let idle = idle(config, unread, report).map(|idle| idle.message);
        Self {
            loaded: report.loaded(),
            faulty: report.faulty(),
            files: count(report.files.len()),
            unread: count(unread.len()),
            missing,
            left_out: faults(report).into_iter().chain(idle).collect(),
        }
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The same only of the same words about signatures.
fn asked(config: &Config) -> Digest {
    let mut hash = Sha256::new();
    for files in &config.signatures.files {
        hash.update(files.pattern.len().to_ne_bytes());
        hash.update(&files.pattern);
    }
    hash.update(format!("{:?}", config.signatures.options));
    hash.finalize().into()
}

/// The same only of the same.
fn made_of(asked: Digest, texts: &Texts, unread: &[Unread]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(asked);
    for (name, text) in texts {
        for part in [name.as_bytes(), text] {
            hash.update(part.len().to_ne_bytes());
            hash.update(part);
        }
    }
    hash.update(format!("{unread:?}"));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config;
    use crate::scratch::Scratch;

    const GOOD: &str = "alert tcp any any -> any any (content:\"a\"; sid:1;)\n";
    const BAD: &str = "alert tcp any any -> any any (contents:\"a\"; sid:2;)\n";

    fn config(signatures: &str) -> Config {
        let inspection = "inspection: { ips: { signatures: prevent } }";
        let text = format!("version: 1\nsignatures:\n{signatures}\n{inspection}\n");
        config::parse(&text, "test").unwrap()
    }

    async fn now(
        signatures: &str,
        scratch: &Scratch,
        before: Option<&InUse>,
        occasion: Occasion,
    ) -> Result<InUse, SignaturesError> {
        let directory = scratch.path().to_owned();
        let (_, now) = in_use(config(signatures), directory, before.cloned(), occasion).await;
        Ok(now?.expect("a profile wants some"))
    }

    fn write(scratch: &Scratch, rules: &str) {
        fs::write(scratch.path().join("a.rules"), rules).unwrap();
    }

    #[tokio::test]
    async fn what_has_not_changed_is_not_compiled_again() {
        let scratch = Scratch::new();
        write(&scratch, GOOD);
        let files = "  files: a.rules";
        let before = now(files, &scratch, None, Occasion::Commit).await.unwrap();
        let again = async |signatures: &str| {
            let now = now(signatures, &scratch, Some(&before), Occasion::Commit).await;
            let now = now.unwrap();
            (Arc::ptr_eq(&now.engine, &before.engine), now)
        };
        assert!(again(files).await.0);
        let tuned = format!("{files}\n  tuning: [{{ id: 1, action: off }}]");
        assert!(!again(&tuned).await.0);
        write(&scratch, &GOOD.replace("sid:1", "sid:4"));
        let (is_same, other) = again(files).await;
        assert!(!is_same);
        assert_eq!(other.engine.rules()[0].sid, 4);
    }

    #[tokio::test]
    async fn only_a_commit_is_refused_for_its_rule_files() {
        let scratch = Scratch::new();
        let refuses = "  files: a.rules\n  on-error: refuse";
        write(&scratch, &format!("{GOOD}{BAD}"));
        assert!(
            now(refuses, &scratch, None, Occasion::Commit)
                .await
                .is_err()
        );

        // A start has nothing to fall back to.
        let started = now(refuses, &scratch, None, Occasion::Again).await.unwrap();
        assert!(started.engine.rules().is_empty());
        let refused = started.refused.clone().unwrap();
        assert!(
            refused.contains("1 of 2 signatures can't be used"),
            "{refused}"
        );
        assert!(refused.ends_with("; none is in use"), "{refused}");

        write(&scratch, GOOD);
        let mended = now(refuses, &scratch, Some(&started), Occasion::Again)
            .await
            .unwrap();
        assert_eq!((mended.engine.rules().len(), &mended.refused), (1, &None));

        write(&scratch, BAD);
        let kept = now(refuses, &scratch, Some(&mended), Occasion::Again)
            .await
            .unwrap();
        assert!(Arc::ptr_eq(&kept.engine, &mended.engine));
        let refused = kept.refused.clone().unwrap();
        assert!(refused.ends_with("stay in use"), "{refused}");
        // Another configuration's rules are not this one's.
        let other = format!("{refuses}\n  tuning: [{{ id: 1, action: off }}]");
        let other = now(&other, &scratch, Some(&kept), Occasion::Again)
            .await
            .unwrap();
        assert!(other.engine.rules().is_empty());

        write(&scratch, GOOD);
        let back = now(refuses, &scratch, Some(&kept), Occasion::Again)
            .await
            .unwrap();
        assert!(Arc::ptr_eq(&back.engine, &mended.engine));
        assert_eq!(back.refused, None);
    }

    #[tokio::test]
    async fn what_is_missing_and_what_is_left_out_is_told() {
        let scratch = Scratch::new();
        let files = "  files: a.rules\n  tuning: [{ id: 99, action: off }]";
        let state = async |rules: Option<&str>| {
            match rules {
                Some(rules) => write(&scratch, rules),
                None => fs::remove_file(scratch.path().join("a.rules")).unwrap(),
            }
            let now = now(files, &scratch, None, Occasion::Again).await.unwrap();
            (*now.state).clone()
        };
        let mixed = state(Some(&format!("{GOOD}{BAD}"))).await;
        assert_eq!((mixed.loaded, mixed.faulty, mixed.files), (1, 1, 1));
        assert_eq!((&mixed.missing, mixed.left_out.len()), (&None, 2));
        let bad = state(Some(BAD)).await;
        assert_eq!(bad.missing.unwrap(), "none of the signatures is in use");
        let gone = state(None).await;
        assert_eq!((gone.loaded, gone.files, gone.unread), (0, 0, 1));
        assert_eq!(
            gone.missing.unwrap(),
            "no signatures from a.rules: there is no such file"
        );
    }
}
