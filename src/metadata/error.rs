//! The errors of a request to the metadata service, divided by what the caller can do about them.

use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::metadata::api::refusal::Refusal;
use crate::metadata::family::Family;
use crate::system::platform::NotAnInstance;

/// Why a request got no usable answer.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// There is no complete HTTP response.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The service sent a response that refuses the request, or that cannot be used.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why there is no complete HTTP response.
#[derive(Debug, Error)]
pub enum TransportError {
    /// No request was sent: the service is trusted on a Scaleway Instance only (invariant P1).
    #[error("the metadata service is not queried: {0}")]
    NotAnInstance(#[from] NotAnInstance),
    /// No connection could be opened; the reason for each address that was tried.
    #[error(fmt = write_not_connected)]
    NotConnected(Vec<(Family, ConnectError)>),
    /// The connection was open, and the expected data did not arrive in time.
    #[error("the metadata service did not send {} within {}", .step.awaited(), humantime::format_duration(*.after))]
    TimedOut {
        /// What was awaited.
        step: Step,
        /// The limit that was exceeded.
        after: Duration,
    },
    /// The connection was closed or reset before the response was complete.
    #[error("the metadata service closed the connection before its answer was complete: {0}")]
    ConnectionLost(String),
    /// The received bytes are not HTTP, or the headers exceed their limits.
    #[error("the metadata service's answer is not valid HTTP: {0}")]
    NotHttp(String),
    /// The body is larger than this many bytes.
    #[error("the metadata service's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The daemon sent the request for this program and got this error.
    #[error("{1}")]
    Relayed(ErrorKind, String),
    /// The daemon's socket failed, or it refused this program.
    #[error(fmt = write_socket_error)]
    Socket(#[source] io::Error),
}

/// What was awaited when a limit was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The status line and the headers of the response.
    Headers,
    /// The rest of the body.
    Body,
    /// The complete operation, its second try included.
    Total,
}

impl Step {
    fn awaited(self) -> &'static str {
        match self {
            Self::Headers => "an answer",
            Self::Body => "the rest of the answer",
            Self::Total => "a complete answer",
        }
    }
}

/// Why no connection to one address could be opened.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The kernel does not let this process bind a port below 1024.
    #[error(
        "this process may not bind a source port below 1024; run it as root, or with CAP_NET_BIND_SERVICE"
    )]
    NotPermitted,
    /// Every port below 1024 is in use.
    #[error("every source port below 1024 is in use")]
    NoSourcePort,
    /// There was no reply within this time.
    #[error("no connection within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// A `prohibit` route or a packet filter rejects the connection, and this process may not set the mark that passes systemd's lock.
    #[error(
        "prohibited by a route or a packet filter, and this process may not set the mark that passes systemd's lock (it needs CAP_NET_RAW, before Linux 5.17 CAP_NET_ADMIN)"
    )]
    Locked,
    /// The error that the kernel reports: refused, unreachable, …
    #[error(transparent)]
    System(io::Error),
}

/// The kinds of failure that callers distinguish (exit codes, retries, the error header of the local API).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The service cannot be reached, or does not answer in time.
    Unreachable,
    /// This process may not use a source port below 1024, or may not use the daemon's socket.
    NotPermitted,
    /// The service refused the request.
    Refused,
    /// The response cannot be used.
    BadAnswer,
    /// No request was sent, because this is not a Scaleway Instance.
    NotAnInstance,
}

impl ErrorKind {
    /// Every kind with its stable name, by which other programs recognise it.
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Unreachable, "unreachable"),
        (Self::NotPermitted, "not-permitted"),
        (Self::Refused, "refused"),
        (Self::BadAnswer, "bad-answer"),
        (Self::NotAnInstance, "not-an-instance"),
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, candidate)| *candidate == name).map(|(kind, _)| *kind)
    }
}

impl MetadataError {
    /// See [`TransportError::is_locked`].
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Transport(why) if why.is_locked())
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(why) => why.kind(),
            Self::Refused(Refusal::Malformed(_)) => ErrorKind::BadAnswer,
            Self::Refused(Refusal::SourcePort(403)) => ErrorKind::NotPermitted,
            Self::Refused(_) => ErrorKind::Refused,
        }
    }

    /// The wait that the service asked for, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(Refusal::TooManyRequests(after) | Refusal::ServerError(_, after)) => *after,
            _ => None,
        }
    }
}

impl TransportError {
    /// Whether a process with more privileges may be able to connect.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::NotConnected(tried) if tried.iter().any(|(_, why)| matches!(why, ConnectError::Locked)))
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotConnected(tried)
                if tried.iter().any(|(_, why)| matches!(why, ConnectError::NotPermitted)) =>
            {
                ErrorKind::NotPermitted
            }
            Self::Socket(why) if why.kind() == io::ErrorKind::PermissionDenied => ErrorKind::NotPermitted,
            Self::NotConnected(_) | Self::TimedOut { .. } | Self::ConnectionLost(_) | Self::Socket(_) => {
                ErrorKind::Unreachable
            }
            Self::NotHttp(_) | Self::TooLarge(_) => ErrorKind::BadAnswer,
            Self::NotAnInstance(_) => ErrorKind::NotAnInstance,
            Self::Relayed(kind, _) => *kind,
        }
    }
}

impl ConnectError {
    /// Whether the service accepted the connection and then reset it. (A closed port gives another error.)
    pub(crate) fn is_reset(&self) -> bool {
        matches!(self, Self::System(why) if why.kind() == io::ErrorKind::ConnectionReset)
    }
}

fn write_not_connected(tried: &[(Family, ConnectError)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("the metadata service cannot be reached")?;
    for (at, (family, why)) in tried.iter().enumerate() {
        write!(f, "{} {}: {why}", if at == 0 { ":" } else { ";" }, family.address())?;
    }
    Ok(())
}

fn write_socket_error(why: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if why.kind() == io::ErrorKind::PermissionDenied {
        f.write_str(
            "only root may use the agent's socket; to allow a group, set `read-group` or `write-group` in section [local-api] of /etc/scw-agent.toml",
        )
    } else {
        write!(f, "the agent's socket failed: {why}")
    }
}
