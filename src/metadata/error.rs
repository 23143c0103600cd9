//! Everything that can stand between a question and its answer, told apart by what the asker can do about it.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::metadata::api::refusal::Refusal;
use crate::metadata::family::Family;
use crate::system::platform::NotAnInstance;

/// A question that got no usable answer.
#[derive(Debug)]
pub enum MetadataError {
    /// No answer came, or it was cut.
    Transport(TransportError),
    /// An answer came, and it is a no.
    Refused(Refusal),
}

/// No whole HTTP answer came back.
#[derive(Debug)]
pub enum TransportError {
    /// The service was not asked: it is trusted on a Scaleway Instance only (invariant P1).
    NotAnInstance(NotAnInstance),
    /// Neither address could be connected to; why, for each that was tried.
    NotConnected(Vec<(Family, ConnectError)>),
    /// Connected, and then nothing for too long.
    TimedOut {
        /// What was waited for.
        step: Step,
        /// For how long.
        after: Duration,
    },
    /// The connection was closed or reset before the answer was whole.
    Cut(String),
    /// What came is not HTTP, or is beyond the bounds on headers.
    NotHttp(String),
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The daemon asked for us, and this is what it met.
    Relayed(ErrorKind, String),
    /// The daemon's own socket failed or refused us.
    Socket(io::Error),
}

/// What was being waited for when time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The answer's status line and headers.
    Headers,
    /// The rest of the body.
    Body,
    /// The whole operation, its second try included.
    Whole,
}

/// Why one address could not be connected to.
#[derive(Debug)]
pub enum ConnectError {
    /// The kernel does not let this process bind a port below 1024.
    NotPermitted,
    /// Every port below 1024 is in use.
    NoSourcePort,
    /// No answer within this time.
    TimedOut(Duration),
    /// A `prohibit` route or a packet filter rejects the connection, and this process may not set the mark that passes systemd's lock.
    Locked,
    /// The kernel's own word: refused, unreachable, …
    System(io::Error),
}

/// The kinds of failure that callers tell apart (exit codes, retries, the local API's error header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The service is not there, or does not answer in time.
    Unreachable,
    /// This process may not use a source port below 1024, or may not ask the daemon.
    NotPermitted,
    /// The service answered with a no.
    Refused,
    /// The service answered with something that is no answer.
    BadAnswer,
    /// The service was not asked, since this is not a Scaleway Instance.
    NotAnInstance,
}

impl ErrorKind {
    /// Every kind, with the short stable word by which programs know it.
    const WORDS: [(Self, &'static str); 5] = [
        (Self::Unreachable, "unreachable"),
        (Self::NotPermitted, "not-permitted"),
        (Self::Refused, "refused"),
        (Self::BadAnswer, "bad-answer"),
        (Self::NotAnInstance, "not-an-instance"),
    ];

    /// The short stable word.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// The kind that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

impl MetadataError {
    /// As [`TransportError::is_locked`].
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Transport(why) if why.is_locked())
    }

    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(why) => why.kind(),
            Self::Refused(Refusal::Malformed(_)) => ErrorKind::BadAnswer,
            Self::Refused(Refusal::SourcePort(403)) => ErrorKind::NotPermitted,
            Self::Refused(_) => ErrorKind::Refused,
        }
    }

    /// How long the service asked us to wait, where it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(Refusal::TooManyRequests(after) | Refusal::ServerError(_, after)) => *after,
            _ => None,
        }
    }
}

impl TransportError {
    /// Whether a process with more rights might pass where this one did not.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::NotConnected(tried) if tried.iter().any(|(_, why)| matches!(why, ConnectError::Locked)))
    }

    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotConnected(tried)
                if tried.iter().any(|(_, why)| matches!(why, ConnectError::NotPermitted)) =>
            {
                ErrorKind::NotPermitted
            }
            Self::Socket(why) if why.kind() == io::ErrorKind::PermissionDenied => ErrorKind::NotPermitted,
            Self::NotConnected(_) | Self::TimedOut { .. } | Self::Cut(_) | Self::Socket(_) => {
                ErrorKind::Unreachable
            }
            Self::NotHttp(_) | Self::TooLarge(_) => ErrorKind::BadAnswer,
            Self::NotAnInstance(_) => ErrorKind::NotAnInstance,
            Self::Relayed(kind, _) => *kind,
        }
    }
}

impl ConnectError {
    /// Whether a service accepted the connection, and reset it: a closed port has an error of its own.
    pub(crate) fn is_reset(&self) -> bool {
        matches!(self, Self::System(why) if why.kind() == io::ErrorKind::ConnectionReset)
    }
}

impl From<NotAnInstance> for TransportError {
    fn from(why: NotAnInstance) -> Self {
        Self::NotAnInstance(why)
    }
}

impl From<TransportError> for MetadataError {
    fn from(why: TransportError) -> Self {
        Self::Transport(why)
    }
}

impl From<Refusal> for MetadataError {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(why) => why.fmt(f),
            Self::Refused(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnInstance(why) => write!(f, "the metadata service is not asked: {why}"),
            Self::NotConnected(tried) => {
                f.write_str("the metadata service cannot be reached")?;
                for (at, (family, why)) in tried.iter().enumerate() {
                    write!(f, "{} {}: {why}", if at == 0 { ":" } else { ";" }, family.address())?;
                }
                Ok(())
            }
            Self::TimedOut { step, after } => {
                let step = match step {
                    Step::Headers => "an answer",
                    Step::Body => "the rest of an answer",
                    Step::Whole => "a whole answer",
                };
                write!(
                    f,
                    "the metadata service did not give {step} within {}",
                    humantime::format_duration(*after)
                )
            }
            Self::Cut(why) => write!(f, "the metadata service broke off before its answer was whole: {why}"),
            Self::NotHttp(why) => write!(f, "the metadata service's answer is not good HTTP: {why}"),
            Self::TooLarge(limit) => write!(f, "the metadata service's answer is larger than {limit} bytes"),
            Self::Relayed(_, text) => f.write_str(text),
            Self::Socket(why) if why.kind() == io::ErrorKind::PermissionDenied => f.write_str(
                "only root may ask the agent, and the members of a group that `read-group` or `write-group` in section [local-api] of /etc/scw-agent.toml names",
            ),
            Self::Socket(why) => write!(f, "the agent's socket failed: {why}"),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str(
                "a source port below 1024 is needed, and this process may not bind one (run it as root, or with CAP_NET_BIND_SERVICE)",
            ),
            Self::NoSourcePort => f.write_str("every source port below 1024 is in use"),
            Self::TimedOut(after) => write!(f, "no connection within {}", humantime::format_duration(*after)),
            Self::Locked => f.write_str(
                "prohibited by a route or a packet filter, and this process may not set the mark that passes systemd's lock (it takes CAP_NET_RAW, before Linux 5.17 CAP_NET_ADMIN)",
            ),
            Self::System(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for MetadataError {}
impl std::error::Error for TransportError {}
impl std::error::Error for ConnectError {}
