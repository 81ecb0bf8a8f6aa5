//! What the reader's passes end with, and how it is said.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// Why a value could not be read. The innermost node that sees one reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("reported")]
    Reported,
    #[error("the key '{0}' is missing")]
    MissingKey(&'static str),
    #[error("unknown key '{0}'")]
    UnknownKey(String, &'static [&'static str]),
    #[error("'{0}' is not known here")]
    UnknownWord(String, &'static [&'static str]),
    #[error("{0}")]
    Other(String),
}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Other(format!("expected {expected}, found {}", Found(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::MissingKey(name)
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey(name.to_owned(), known)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownWord(word.to_owned(), known)
    }
}

/// What stands in the document, in its own words.
pub(super) struct Found<'a>(pub(super) Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Str(text) => write!(f, "'{text}'"),
            Unexpected::Unsigned(number) => write!(f, "{number}"),
            Unexpected::Signed(number) => write!(f, "{number}"),
            Unexpected::Bool(value) => write!(f, "{value}"),
            Unexpected::Seq => f.write_str("a list"),
            Unexpected::Map => f.write_str("a map"),
            Unexpected::Unit | Unexpected::Option => f.write_str("nothing"),
            other => write!(f, "{other}"),
        }
    }
}
