//! The service's no: the statuses that are no answer, told apart by what they mean.

use std::fmt;
use std::time::Duration;

/// The service answered, and the answer is a no, or is not what the API promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 403 (or 400, in newer reports), for a path that wants a source port below 1024.
    SourcePort(u16),
    /// 429, perhaps with the time to wait.
    TooManyRequests(Option<Duration>),
    /// 5xx, perhaps with the time to wait.
    ServerError(u16, Option<Duration>),
    /// Any other status that the request does not expect, redirects included.
    Unexpected(u16),
    /// A good status, and a body that is not what it should be.
    Malformed(String),
}

impl Refusal {
    /// Whether the same question may get another answer soon.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::TooManyRequests(_) | Self::ServerError(..))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourcePort(403) => f.write_str(
                "the metadata service refused the request (403): it must come from a source port below 1024",
            ),
            Self::SourcePort(status) => write!(
                f,
                "the metadata service refused the request ({status}): it does not like the request, or its source port"
            ),
            Self::TooManyRequests(_) => {
                f.write_str("the metadata service says there were too many requests (429)")
            }
            Self::ServerError(status, _) => write!(f, "the metadata service failed ({status})"),
            Self::Unexpected(status) => write!(f, "the metadata service gave the unexpected status {status}"),
            Self::Malformed(what) => write!(f, "the metadata service's answer cannot be understood: {what}"),
        }
    }
}

impl std::error::Error for Refusal {}
