//! The status document: what the daemon serves as `/status`, and what `scw-agent status` prints.
//!
//! | module | what it does |
//! |---|---|
//! | `document` | the document, version 1 |
//! | `states` | the states of its parts |
//! | `problems` | derives the problems from the other fields |

pub(crate) mod document;
pub(crate) mod problems;
pub(crate) mod states;
#[cfg(test)]
mod tests;

pub use document::Status;
