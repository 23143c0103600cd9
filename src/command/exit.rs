//! The exit codes of both programs. The same code has the same meaning everywhere.

use std::process::{ExitCode, Termination};

use crate::metadata::error::ErrorKind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Success = 0,
    /// The command did its work, but something in it failed: a script, a key that could not be created, …
    Failure = 1,
    /// The command line or the configuration is invalid.
    Usage = 2,
    /// The requested object does not exist.
    NotFound = 3,
    /// This user has no permission.
    NotPermitted = 4,
    /// The metadata service is unreachable or did not answer in time, or what the command waited for did not
    /// happen in time.
    Unreachable = 5,
    /// The metadata service refused, or gave an unusable answer.
    Refused = 6,
}

impl Exit {
    /// Every exit code with its meaning, for the help.
    pub const MEANINGS: [(Self, &'static str); 7] = [
        (Self::Success, "all is well"),
        (Self::Failure, "a step failed; see the message"),
        (Self::Usage, "the command line or the configuration is not understood"),
        (Self::NotFound, "what was asked for is not there"),
        (Self::NotPermitted, "this user may not do that"),
        (Self::Unreachable, "the metadata service is unreachable, or the time limit was reached"),
        (Self::Refused, "the metadata service refused, or gave an unusable answer"),
    ];

    /// This exit code, or the other one if this one is success.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Success { other } else { self }
    }
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
