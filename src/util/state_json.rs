//! The JSON form of states: an object with the name of the state and its fields. All states share this one reader, because serde's
//! own reader of such an enum adds five kilobytes to the program for each enum.

use std::fmt;

use serde::Deserialize;

use crate::util::time::Moment;

/// Every field that a state can have.
#[derive(Deserialize)]
pub struct StateFields {
    /// The name of the state.
    pub state: String,
    /// When it began.
    pub since: Option<Moment>,
    /// When it was last checked.
    pub checked: Option<Moment>,
    /// How long ago it was last checked, in milliseconds.
    pub age_ms: Option<u64>,
    /// The reason for it.
    pub why: Option<String>,
    /// The name of the address family in use.
    pub family: Option<String>,
    /// The resolver that answered.
    pub resolver: Option<String>,
}

/// The name of the state is unknown, or one of its fields is missing.
#[derive(Debug)]
pub struct InvalidState;

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown state, or a field of the state is missing")
    }
}
