//! The errors of a configuration file: the file, the line, the error, and what was probably meant.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a configuration file is ignored.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file exists and cannot be read.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Read(PathBuf, #[source] io::Error),
    /// The text of the file is invalid.
    #[error(fmt = write_fault)]
    Text(PathBuf, FileFault),
}

/// An error in the text of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// Line and column (in characters), both counted from 1. `None` if the error concerns the complete file.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl FileFault {
    /// An error at the byte `offset` of `text`.
    pub(crate) fn new(text: &str, offset: Option<usize>, what: String) -> Self {
        let at = offset.and_then(|offset| text.get(..offset)).map(|before| {
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        Self { at, what, suggestion: None }
    }
}

impl SettingsError {
    /// The error as JSON: file, line, column, what is wrong, suggestion.
    pub fn to_json(&self) -> serde_json::Value {
        let (path, at, what, suggestion) = match self {
            Self::Read(path, why) => (path, None, why.to_string(), None),
            Self::Text(path, fault) => (path, fault.at, fault.what.clone(), fault.suggestion.clone()),
        };
        let (line, column) = at.unzip();
        serde_json::json!({ "file": path, "line": line, "column": column, "what": what, "suggestion": suggestion })
    }
}

fn write_fault(path: &Path, fault: &FileFault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", path.display())?;
    if let Some((line, column)) = fault.at {
        write!(f, ", line {line}, column {column}")?;
    }
    write!(f, ": {}", fault.what)?;
    fault.suggestion.as_ref().map_or(Ok(()), |meant| write!(f, "; did you mean `{meant}`?"))
}
