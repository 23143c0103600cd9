//! What a failed step means, in plain words, and what to do about it. Pure.

use std::io;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::metadata::api::refusal::Refusal;
use crate::metadata::error::{ConnectError, ErrorKind, MetadataError, TransportError};

/// The causes of failure that a person has to distinguish. The name in JSON is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diagnosis {
    /// The machine has no address or no route of this family.
    NoRoute,
    /// A `prohibit` route, or a packet filter that rejects.
    Prohibited,
    /// A `blackhole` route.
    BlackHole,
    /// An `unreachable` route, a packet filter that reports this, or no host behind the route: the kernel has
    /// one error for all three.
    HostUnreachable,
    /// This process may not use a port below 1024.
    NotPermitted,
    /// All source ports below 1024 are in use.
    NoSourcePort,
    /// No program listens at the address and port.
    #[serde(rename = "nobody-listens")]
    ConnectionRefused,
    /// The attempt to connect got no answer.
    #[serde(rename = "silent-to-connect")]
    ConnectTimeout,
    /// The connection was accepted, and then no answer came.
    #[serde(rename = "silent-after-connect")]
    AnswerTimeout,
    /// The connection was accepted, and then closed early.
    #[serde(rename = "cut")]
    ConnectionLost,
    /// Status 403 or 400 for user data: the request arrived from a different source port.
    SourcePortChanged,
    /// Status 429.
    TooManyRequests,
    /// Status 5xx.
    #[serde(rename = "service-fails")]
    ServerError,
    /// Status 3xx.
    #[serde(rename = "redirects")]
    Redirect,
    /// Any other status.
    #[serde(rename = "odd-status")]
    UnexpectedStatus,
    /// An answer that the Metadata API does not give.
    AnotherService,
    /// An answer that is larger than any of the Metadata API's.
    TooLarge,
    /// Anything else.
    Other,
}

impl Diagnosis {
    /// The diagnosis of a failed request.
    pub(crate) fn of(why: &MetadataError) -> Self {
        match why {
            MetadataError::Transport(why) => Self::of_transport(why),
            MetadataError::Refused(refusal) => match refusal {
                Refusal::SourcePort(_) => Self::SourcePortChanged,
                Refusal::TooManyRequests(_) => Self::TooManyRequests,
                Refusal::ServerError(..) => Self::ServerError,
                Refusal::Unexpected(300..=399) => Self::Redirect,
                Refusal::Unexpected(_) => Self::UnexpectedStatus,
                Refusal::Malformed(_) => Self::AnotherService,
            },
        }
    }

    fn of_transport(why: &TransportError) -> Self {
        match why {
            TransportError::NotConnected(tried) => {
                tried.first().map_or(Self::Other, |(_, why)| Self::of_connect(why))
            }
            TransportError::TimedOut { .. } => Self::AnswerTimeout,
            TransportError::ConnectionLost(_) => Self::ConnectionLost,
            TransportError::NotHttp(_) => Self::AnotherService,
            TransportError::TooLarge(_) => Self::TooLarge,
            TransportError::Relayed(..) | TransportError::Socket(_) | TransportError::NotAnInstance(_) => {
                Self::Other
            }
        }
    }

    /// The diagnosis of a failed attempt to bind or connect.
    pub(crate) fn of_connect(why: &ConnectError) -> Self {
        match why {
            ConnectError::NotPermitted => Self::NotPermitted,
            ConnectError::NoSourcePort => Self::NoSourcePort,
            ConnectError::TimedOut(_) => Self::ConnectTimeout,
            ConnectError::Locked => Self::Prohibited,
            ConnectError::System(why) => Self::of_system(why),
        }
    }

    /// The diagnosis of an error of the kernel.
    pub(crate) fn of_system(why: &io::Error) -> Self {
        match why.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENETUNREACH | Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => Self::NoRoute,
            Some(Errno::EACCES | Errno::EPERM) => Self::Prohibited,
            Some(Errno::EINVAL) => Self::BlackHole,
            Some(Errno::EHOSTUNREACH) => Self::HostUnreachable,
            Some(Errno::ECONNREFUSED) => Self::ConnectionRefused,
            Some(Errno::ETIMEDOUT) => Self::ConnectTimeout,
            Some(Errno::ECONNRESET | Errno::EPIPE) => Self::ConnectionLost,
            _ => Self::Other,
        }
    }

    /// The likely cause.
    pub fn cause(self) -> &'static str {
        match self {
            Self::NoRoute => "the machine has no address or no route of this family (yet)",
            Self::Prohibited => {
                "a `prohibit` route or a packet filter rejects the packets; systemd 261 sets such a route to lock the service"
            }
            Self::BlackHole => {
                "a `blackhole` route drops the packets; it may be there on purpose, to keep containers out"
            }
            Self::HostUnreachable => {
                "an `unreachable` route or a packet filter reports this, or no host answers behind the route"
            }
            Self::NotPermitted => {
                "this process may not use a source port below 1024, which the service requires"
            }
            Self::NoSourcePort => "every source port below 1024 is in use",
            Self::ConnectionRefused => {
                "the address answers, but no metadata service listens there: this may not be a Scaleway Instance"
            }
            Self::ConnectTimeout => {
                "packets are sent but no reply arrives: a firewall, an Instance without a public IP, or no Instance at all"
            }
            Self::AnswerTimeout => "the service accepts the connection but does not answer",
            Self::ConnectionLost => {
                "the service accepts the connection but closes it before its answer is complete"
            }
            Self::SourcePortChanged => {
                "the request arrived from a port of 1024 or more: it was translated on its way (container, NAT)"
            }
            Self::TooManyRequests => "the service received too many requests",
            Self::ServerError => "the service answers with a server error",
            Self::Redirect => {
                "a host in between answers with a redirect, which the Metadata API never does (a captive portal?)"
            }
            Self::UnexpectedStatus => {
                "the service answers with a status that the Metadata API does not use here"
            }
            Self::AnotherService => {
                "the answer is not from the Metadata API, or a host in between changed it"
            }
            Self::TooLarge => "the answer is larger than any answer of the Metadata API",
            Self::Other => "the cause is not known",
        }
    }

    /// What a person can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoRoute => "see `ip address` and `ip route get`; one family is enough",
            Self::Prohibited => {
                "see `ip route get`; a process with CAP_NET_RAW, before Linux 5.17 CAP_NET_ADMIN, passes systemd's lock"
            }
            Self::BlackHole => {
                "remove the route unless it is there on purpose: `ip -4 route show type blackhole`, or `ip -6 …`"
            }
            Self::HostUnreachable => "see `ip route get`, `ip neighbour`, and whether the interface is up",
            Self::NotPermitted => "run this as root, or with CAP_NET_BIND_SERVICE",
            Self::NoSourcePort => {
                "see which programs use them: `ss --tcp --numeric --all '( sport < 1024 )'`"
            }
            Self::ConnectionRefused => {
                "on an Instance without a public IP, setup data is on the `cidata` CD-ROM instead"
            }
            Self::ConnectTimeout => {
                "see the firewall's rules for this address; an Instance without a public IP cannot reach it at all"
            }
            Self::AnswerTimeout | Self::ConnectionLost | Self::ServerError => {
                "the agent tries again by itself; if the problem lasts, contact Scaleway's support"
            }
            Self::SourcePortChanged => {
                "run this on the Instance itself, not behind network address translation (NAT)"
            }
            Self::TooManyRequests => {
                "wait a minute; check whether another program sends requests all the time"
            }
            Self::Redirect | Self::UnexpectedStatus | Self::AnotherService | Self::TooLarge => {
                "see what answers: `curl --verbose` to this address with `--local-port 512-1023`"
            }
            Self::Other => "see the text of the error",
        }
    }

    /// The kind of failure, for the exit code.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::NotPermitted | Self::SourcePortChanged => ErrorKind::NotPermitted,
            Self::TooManyRequests | Self::ServerError | Self::Redirect | Self::UnexpectedStatus => {
                ErrorKind::Refused
            }
            Self::AnotherService | Self::TooLarge => ErrorKind::BadAnswer,
            _ => ErrorKind::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::family::Family;

    #[test]
    fn each_kernel_error_has_its_diagnosis() {
        for (errno, diagnosis) in [
            (Errno::ENETUNREACH, Diagnosis::NoRoute),
            (Errno::EADDRNOTAVAIL, Diagnosis::NoRoute),
            (Errno::EAFNOSUPPORT, Diagnosis::NoRoute),
            (Errno::EACCES, Diagnosis::Prohibited),
            (Errno::EPERM, Diagnosis::Prohibited),
            (Errno::EINVAL, Diagnosis::BlackHole),
            (Errno::EHOSTUNREACH, Diagnosis::HostUnreachable),
            (Errno::ECONNREFUSED, Diagnosis::ConnectionRefused),
            (Errno::ETIMEDOUT, Diagnosis::ConnectTimeout),
            (Errno::ECONNRESET, Diagnosis::ConnectionLost),
            (Errno::ENOMEM, Diagnosis::Other),
        ] {
            let why = ConnectError::System(errno.into());
            let why = MetadataError::Transport(TransportError::NotConnected(vec![(Family::Ipv4, why)]));
            assert_eq!(Diagnosis::of(&why), diagnosis, "{errno}");
        }
    }

    #[test]
    fn each_refusal_has_its_diagnosis() {
        for (refusal, diagnosis) in [
            (Refusal::SourcePort(403), Diagnosis::SourcePortChanged),
            (Refusal::SourcePort(400), Diagnosis::SourcePortChanged),
            (Refusal::TooManyRequests(None), Diagnosis::TooManyRequests),
            (Refusal::ServerError(503, None), Diagnosis::ServerError),
            (Refusal::Unexpected(302), Diagnosis::Redirect),
            (Refusal::Unexpected(418), Diagnosis::UnexpectedStatus),
            (Refusal::Malformed(String::new()), Diagnosis::AnotherService),
        ] {
            assert_eq!(Diagnosis::of(&MetadataError::Refused(refusal)), diagnosis);
        }
    }
}
