//! Changes to the text of a document that leave alone what they don't change.

/// Why a patch can't be applied. The document is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {operation}: {path}: {problem}")]
pub struct PatchError {
    /// Counted from 0, as in the patch.
    pub operation: usize,
    /// The JSON pointer in question.
    pub path: String,
    pub problem: PatchProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchProblem {
    #[error("there is no such value")]
    NoSuchValue,
    #[error("not a list's index, or past its end")]
    BadIndex,
    #[error("the value is another one")]
    TestFailed,
    #[error("a value cannot be moved into itself")]
    IntoItself,
    #[error("the document as a whole cannot be removed or moved")]
    WholeDocument,
    #[error("more than {} operations", super::edit::MAX_OPERATIONS)]
    TooManyOperations,
    #[error("the document would become too large")]
    TooLarge,
}

pub(super) const MAX_OPERATIONS: usize = 20_000;
