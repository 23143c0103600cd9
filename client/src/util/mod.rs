//! What several parts use.
//!
//! | module | content |
//! |---|---|
//! | `deadline` | the end of a run's time |
//! | `files` | files written as a whole, and locks |
//! | `printable` | text from outside, for a message |

pub(crate) mod deadline;
pub(crate) mod files;
pub(crate) mod printable;
