//! What is wrong in the configuration: which file, which line, and what was likely meant.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a file of the configuration does not count.
#[derive(Debug)]
pub enum SettingsError {
    /// It is there and cannot be read.
    Read(PathBuf, io::Error),
    /// Its text is not good.
    Text(PathBuf, FileFault),
}

/// A fault in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// Where, counted from 1: line and column (in characters). None where the file as a whole is meant.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// What was likely meant.
    pub suggestion: Option<String>,
}

impl FileFault {
    /// At the byte `offset` of `text`.
    pub(crate) fn new(text: &str, offset: Option<usize>, what: String) -> Self {
        let at = offset.and_then(|offset| text.get(..offset)).map(|before| {
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        Self { at, what, suggestion: None }
    }
}

impl SettingsError {
    /// The parts: file, place, words; for JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let (path, at, what, suggestion) = match self {
            Self::Read(path, why) => (path, None, why.to_string(), None),
            Self::Text(path, fault) => (path, fault.at, fault.what.clone(), fault.suggestion.clone()),
        };
        let (line, column) = at.unzip();
        serde_json::json!({ "file": path, "line": line, "column": column, "what": what, "suggestion": suggestion })
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, why) => write!(f, "{} cannot be read: {why}", path.display()),
            Self::Text(path, fault) => {
                write!(f, "{}", path.display())?;
                if let Some((line, column)) = fault.at {
                    write!(f, ", line {line}, column {column}")?;
                }
                write!(f, ": {}", fault.what)?;
                fault.suggestion.as_ref().map_or(Ok(()), |meant| write!(f, "; did you mean `{meant}`?"))
            }
        }
    }
}

impl std::error::Error for SettingsError {}
