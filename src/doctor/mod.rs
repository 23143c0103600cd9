//! Looking at the way to the metadata service step by step, for a person who wants to know why it does not work.
//!
//! [`probe`](mod@probe) tries (effects), [`trouble`] says what a failure means and what to do (pure), [`report`] is the document.
//! It asks the service itself, never through the daemon, and writes nothing anywhere. Beside that it names who else can write user data
//! ([`crate::exposure`]).

mod probe;
mod report;
mod trouble;

pub use probe::probe;
pub use report::{Daemon, FamilyReport, Finding, FindingName, Report, StepName, StepReport};
pub use trouble::Trouble;
