//! Why a rule can't be used.

/// One rule's fault. The rule's place and number are beside it in [`crate::LoadReport`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("unknown action '{0}'")]
    Action(String),
    #[error("unknown protocol '{0}'")]
    Protocol(String),
    #[error("the header needs ACTION PROTOCOL SOURCE PORTS -> DESTINATION PORTS (OPTIONS)")]
    Header,
    #[error("the direction is '->' or '<>', not '{0}'")]
    Arrow(String),
    #[error("options end with ';)'")]
    Unterminated,
    #[error("a quote is missing: one that begins does not end")]
    Quote,
    #[error("{0}")]
    Set(#[from] SetError),
    #[error("unknown keyword '{0}'")]
    UnknownKeyword(String),
    #[error("'{keyword}' can't be used: {why}")]
    Unsupported { keyword: String, why: &'static str },
    #[error("'{keyword}:{value}': {why}")]
    Value {
        keyword: String,
        value: String,
        why: &'static str,
    },
    #[error("'{keyword}': {why}")]
    Misplaced { keyword: String, why: &'static str },
    #[error("no sid")]
    NoSid,
    #[error("sid {sid} is in use since line {line} of {file}")]
    DuplicateSid { sid: u32, file: String, line: u32 },
    #[error("pcre: {0}")]
    Regex(#[from] RegexError),
    #[error("can never match: {0}")]
    Never(&'static str),
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
}

/// What is wrong with a list of addresses or ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("'{0}' is no address or prefix")]
    Address(String),
    #[error("'{0}' is no port or range of ports")]
    Port(String),
    #[error("unknown variable '${0}'")]
    Variable(String),
    #[error("variables refer to each other more than {0} deep")]
    Depth(usize),
    #[error("'{0}': a bracket is missing")]
    Bracket(String),
    #[error("'{0}' holds nothing")]
    Empty(String),
}

/// Why a regular expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    #[error("it is written /EXPRESSION/FLAGS")]
    Delimiters,
    #[error("unknown flag '{0}'")]
    Flag(char),
    #[error("flags of two buffers")]
    TwoBuffers,
    #[error("{0} can't be matched in linear time")]
    NotLinear(&'static str),
    #[error("{0} is not known")]
    Unknown(String),
    #[error("{0}")]
    Syntax(String),
    #[error("compiled it needs more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("all expressions together need more than {limit_bytes} bytes")]
    AllTooLarge { limit_bytes: usize },
}
