//! The conditions of a rule on one buffer, prepared for evaluation.

use memchr::memmem::Finder;

use crate::rule::{Content, Matcher, Place, Value};

/// Conditions in the order of the rule. What comes later may be relative to what came before.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) steps: Box<[Step]>,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) matcher: Matcher,
    /// Finds a content whose case matters.
    pub(crate) finder: Option<Finder<'static>>,
    /// Something later is relative to where this one matches.
    pub(crate) is_referred_to: bool,
    /// Where it matches elsewhere too, that may make a difference for what is relative to it.
    pub(crate) retries: bool,
    /// What `base64_data` wants of a decoding.
    pub(crate) decoded: Option<Chain>,
}

impl Chain {
    pub(crate) fn of(matchers: &[Matcher]) -> Self {
        let steps = matchers.iter().enumerate().map(|(at, matcher)| {
            let later = &matchers[at + 1..];
            Step {
                matcher: matcher.clone(),
                finder: match matcher {
                    Matcher::Content(content) if !content.nocase => {
                        Some(Finder::new(&content.pattern).into_owned())
                    }
                    _ => None,
                },
                is_referred_to: is_referred_to(later),
                retries: retries(later),
                decoded: match matcher {
                    Matcher::Decode(decode) => Some(Self::of(&decode.then)),
                    _ => None,
                },
            }
        });
        Self {
            steps: steps.collect(),
        }
    }

    /// Whether a condition is about a place counted from the beginning, so that it makes a difference whether
    /// the bytes are a packet's or a stream's.
    pub(crate) fn is_anchored(&self) -> bool {
        self.steps.iter().any(|step| match &step.matcher {
            Matcher::Content(content) => match content.place {
                Place::Absolute { offset, depth } => {
                    depth.is_some() || offset != Value::Literal(0) || content.ends_buffer
                }
                Place::Relative { .. } => content.ends_buffer,
            },
            Matcher::Regex(regex) => !regex.relative && regex.regex.is_anchored,
            Matcher::DataAt {
                relative, negated, ..
            } => !relative || *negated,
            Matcher::Size(_) => true,
            Matcher::Test(test) => !test.reading.relative,
            Matcher::Jump(jump) => !jump.reading.relative,
            Matcher::Extract(extract) => !extract.reading.relative,
            Matcher::Math(math) => !math.reading.relative,
            Matcher::Decode(decode) => !decode.relative,
        })
    }
}

/// Whether a matcher's place is counted from the last match.
fn is_relative(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Content(content) => matches!(content.place, Place::Relative { .. }),
        Matcher::Regex(regex) => regex.relative,
        Matcher::DataAt { relative, .. } => *relative,
        Matcher::Size(_) => false,
        Matcher::Test(test) => test.reading.relative,
        Matcher::Jump(jump) => jump.reading.relative,
        Matcher::Extract(extract) => extract.reading.relative,
        Matcher::Math(math) => math.reading.relative,
        Matcher::Decode(decode) => decode.relative,
    }
}

/// Whether what is relative afterwards is relative to this.
fn moves(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Content(Content { negated, .. }) => !negated,
        Matcher::Regex(regex) => !regex.negated,
        Matcher::Jump(_) => true,
        Matcher::DataAt { .. }
        | Matcher::Size(_)
        | Matcher::Test(_)
        | Matcher::Extract(_)
        | Matcher::Math(_)
        | Matcher::Decode(_) => false,
    }
}

fn is_referred_to(later: &[Matcher]) -> bool {
    for matcher in later {
        if is_relative(matcher) {
            return true;
        }
        if moves(matcher) {
            return false;
        }
    }
    false
}

/// Where all that is relative only has to come later, the first match leaves the most room, and no other helps.
fn retries(later: &[Matcher]) -> bool {
    for (at, matcher) in later.iter().enumerate() {
        if is_relative(matcher) {
            let Matcher::Content(content) = matcher else {
                return true;
            };
            let Place::Relative { distance, within } = content.place else {
                return true;
            };
            let only_later = matches!(distance, Value::Literal(bytes) if bytes >= 0)
                && within.is_none()
                && !content.negated
                && !content.ends_buffer;
            return !only_later || retries(&later[at + 1..]);
        }
        if moves(matcher) {
            return false;
        }
    }
    false
}
