//! States as JSON has them: an object with the name of the state and the fields that belong to it. One reader for all of them, since
//! serde's own for such an enum costs the program five kilobytes each.

use std::fmt;

use serde::Deserialize;

use crate::metadata::family::Family;
use crate::util::time::Moment;

/// Every field that a state can have.
#[derive(Deserialize)]
pub struct Tagged {
    /// The name of the state.
    pub state: String,
    /// When it began.
    pub since: Option<Moment>,
    /// When it was last seen.
    pub checked: Option<Moment>,
    /// Its reason.
    pub why: Option<String>,
    /// The family in use.
    pub family: Option<Family>,
    /// The resolver that answered.
    pub resolver: Option<String>,
}

/// It is no state that is known, or a field of it is missing.
#[derive(Debug)]
pub struct NotAState;

impl fmt::Display for NotAState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no state that is known")
    }
}
