//! Responses that refuse the request or cannot be used.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// The service sent a response that refuses the request, or that differs from what the API documents.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// 403 (400 in newer reports), for a path that needs a source port below 1024.
    #[error(fmt = write_source_port)]
    SourcePort(u16),
    /// 429, with the time to wait if the service gave one.
    #[error("the metadata service refused the request (429): too many requests")]
    TooManyRequests(Option<Duration>),
    /// 5xx, with the time to wait if the service gave one.
    #[error("the metadata service failed ({0})")]
    ServerError(u16, Option<Duration>),
    /// Any other status that the request does not expect, redirects included.
    #[error("the metadata service gave the unexpected status {0}")]
    Unexpected(u16),
    /// The status means success, and the body does not have the expected form.
    #[error("the metadata service's answer is malformed: {0}")]
    Malformed(String),
}

impl Refusal {
    /// Whether the refusal is temporary: the same request may succeed soon.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::TooManyRequests(_) | Self::ServerError(..))
    }
}

fn write_source_port(status: &u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match status {
        403 => f.write_str(
            "the metadata service refused the request (403): it must come from a source port below 1024",
        ),
        status => write!(
            f,
            "the metadata service refused the request ({status}): the request or its source port is not accepted"
        ),
    }
}
