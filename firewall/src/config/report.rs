//! Everything found in one file, as people read it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rules::{Diagnostic, Place, Severity};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Invalid(Report),
}

/// All findings of a file, in its order, at least one of them an error. Displays one line each:
/// `FILE:LINE:COLUMN: error: …; did you mean 'x'?`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub file: String,
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, diagnostic) in self.diagnostics.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write_line(f, &self.file, diagnostic)?;
        }
        Ok(())
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, file: &str, diagnostic: &Diagnostic) -> fmt::Result {
    f.write_str(diagnostic.file.as_deref().unwrap_or(file))?;
    if diagnostic.place != Place::NONE {
        write!(f, ":{}:{}", diagnostic.place.line, diagnostic.place.column)?;
    }
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    write!(f, ": {severity}: {}", diagnostic.message)?;
    match &diagnostic.suggestion {
        Some(suggestion) => write!(f, "; did you mean '{suggestion}'?"),
        None => Ok(()),
    }
}
