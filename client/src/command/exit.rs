//! The exit codes. They have the meanings of the agent's, as far as both have them.

use std::process::ExitCode;

use crate::api::error::ApiError;
use crate::search::unknown::Unknown;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well. For `check`: ssh goes on, with or without a line.
    Success = 0,
    /// An offered key contradicts the published ones, or a step failed.
    Failure = 1,
    /// The command line is not understood.
    Usage = 2,
    /// There is no such Instance, or it published nothing.
    Nothing = 3,
    /// There are no credentials, or they do not suffice.
    Denied = 4,
    /// The API or the host is unreachable, or the time limit was reached.
    Unreachable = 5,
    /// The API gave an unusable answer.
    Unusable = 6,
}

impl Exit {
    /// All codes with their meanings, for the help and the manual page.
    pub const MEANINGS: [(Exit, &'static str); 7] = [
        (Exit::Success, "all is well; for `check`, ssh goes on"),
        (Exit::Failure, "an offered key is not among the published ones, or a step failed; see the message"),
        (Exit::Usage, "the command line is not understood"),
        (Exit::Nothing, "no such Instance, or it has published nothing"),
        (Exit::Denied, "no credentials, or they do not suffice"),
        (Exit::Unreachable, "the API or the host is unreachable, or the time limit was reached"),
        (Exit::Unusable, "the API gave an unusable answer"),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl From<&Unknown> for Exit {
    fn from(unknown: &Unknown) -> Self {
        match unknown {
            Unknown::Credentials(_) => Exit::Denied,
            Unknown::Api(error) => match error {
                ApiError::Denied(_) | ApiError::Forbidden(_) => Exit::Denied,
                ApiError::Unreachable(_)
                | ApiError::Certificate(_)
                | ApiError::Timeout
                | ApiError::TooMany(_) => Exit::Unreachable,
                ApiError::Status { .. } | ApiError::Unusable(_) => Exit::Unusable,
            },
            Unknown::NoInstance(_) | Unknown::NotPublished(_) | Unknown::NotResolved => Exit::Nothing,
            Unknown::Key(_) | Unknown::Ambiguous { .. } | Unknown::OtherName { .. } | Unknown::NoName => {
                Exit::Failure
            }
        }
    }
}
