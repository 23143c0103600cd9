//! The exit codes of both programs: the same number means the same everywhere.

use std::process::{ExitCode, Termination};

use crate::metadata::error::ErrorKind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success = 0,
    /// The work was done or shown, and something in it is wrong: a script failed, a key could not be made, …
    Failure = 1,
    /// The command line or the configuration cannot be understood.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// This user may not do that.
    NotPermitted = 4,
    /// The metadata service cannot be reached or does not answer in time, or what was waited for did not come in time.
    Unreachable = 5,
    /// The metadata service answered with a no, or with something that is no answer.
    Refused = 6,
}

impl Exit {
    /// Every exit code with its meaning, for the help.
    pub const MEANINGS: [(Self, &'static str); 7] = [
        (Self::Success, "all is well"),
        (Self::Failure, "something failed; what, is said"),
        (Self::Usage, "the command line or the configuration is not understood"),
        (Self::NotFound, "what was asked for is not there"),
        (Self::NotPermitted, "this user may not do that"),
        (Self::Unreachable, "the metadata service cannot be reached, or the time was up"),
        (Self::Refused, "the metadata service refused, or gave no good answer"),
    ];
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unreachable | ErrorKind::NotAnInstance => Self::Unreachable,
            ErrorKind::NotPermitted => Self::NotPermitted,
            ErrorKind::Refused | ErrorKind::BadAnswer => Self::Refused,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
