//! Tests the connection to the metadata service step by step, for a person who wants to know why it does not
//! work.
//!
//! | module | what it does |
//! |---|---|
//! | `probe` | performs each step |
//! | `diagnosis` | what a failure means, and what to do (pure) |
//! | `report` | the document |
//!
//! It connects to the service itself, never through the daemon, and writes nothing.

pub(crate) mod diagnosis;
pub(crate) mod probe;
pub(crate) mod report;

pub use diagnosis::Diagnosis;
pub use report::{Daemon, FindingName, Report};
