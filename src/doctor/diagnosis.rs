//! What a failed step means, in plain words, and what to do about it. Pure.

use std::io;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::metadata::api::refusal::Refusal;
use crate::metadata::error::{ConnectError, ErrorKind, MetadataError, TransportError};

/// The troubles that a person has to tell apart. The name in JSON is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diagnosis {
    /// The machine has no address or no route of this family.
    NoRoute,
    /// A `prohibit` route, or a filter that says no.
    Prohibited,
    /// A `blackhole` route.
    BlackHole,
    /// An `unreachable` route, a filter that says so, or nobody behind the route: the kernel has one word for all three.
    HostUnreachable,
    /// This process may not use a port below 1024.
    NotPermitted,
    /// All of them are taken.
    NoSourcePort,
    /// Nobody listens.
    NobodyListens,
    /// No answer to the attempt to connect.
    SilentToConnect,
    /// Connected, and then no answer.
    SilentAfterConnect,
    /// Connected, and cut off.
    Cut,
    /// 403 or 400 for user data: the source port was another one when the request arrived.
    SourcePortChanged,
    /// 429.
    TooManyRequests,
    /// 5xx.
    ServiceFails,
    /// 3xx.
    Redirects,
    /// Any other status.
    OddStatus,
    /// An answer that the Metadata API does not give.
    AnotherService,
    /// More than the API ever answers.
    TooLarge,
    /// Anything else.
    Other,
}

impl Diagnosis {
    /// Judges a failed request.
    pub(crate) fn of(why: &MetadataError) -> Self {
        match why {
            MetadataError::Transport(why) => Self::of_transport(why),
            MetadataError::Refused(refusal) => match refusal {
                Refusal::SourcePort(_) => Self::SourcePortChanged,
                Refusal::TooManyRequests(_) => Self::TooManyRequests,
                Refusal::ServerError(..) => Self::ServiceFails,
                Refusal::Unexpected(300..=399) => Self::Redirects,
                Refusal::Unexpected(_) => Self::OddStatus,
                Refusal::Malformed(_) => Self::AnotherService,
            },
        }
    }

    fn of_transport(why: &TransportError) -> Self {
        match why {
            TransportError::NotConnected(tried) => {
                tried.first().map_or(Self::Other, |(_, why)| Self::of_connect(why))
            }
            TransportError::TimedOut { .. } => Self::SilentAfterConnect,
            TransportError::Cut(_) => Self::Cut,
            TransportError::NotHttp(_) => Self::AnotherService,
            TransportError::TooLarge(_) => Self::TooLarge,
            TransportError::Relayed(..) | TransportError::Socket(_) | TransportError::NotAnInstance(_) => {
                Self::Other
            }
        }
    }

    /// Judges a failed attempt to bind or connect.
    pub(crate) fn of_connect(why: &ConnectError) -> Self {
        match why {
            ConnectError::NotPermitted => Self::NotPermitted,
            ConnectError::NoSourcePort => Self::NoSourcePort,
            ConnectError::TimedOut(_) => Self::SilentToConnect,
            ConnectError::Locked => Self::Prohibited,
            ConnectError::System(why) => Self::of_system(why),
        }
    }

    /// Judges the kernel's word.
    pub(crate) fn of_system(why: &io::Error) -> Self {
        match why.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENETUNREACH | Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => Self::NoRoute,
            Some(Errno::EACCES | Errno::EPERM) => Self::Prohibited,
            Some(Errno::EINVAL) => Self::BlackHole,
            Some(Errno::EHOSTUNREACH) => Self::HostUnreachable,
            Some(Errno::ECONNREFUSED) => Self::NobodyListens,
            Some(Errno::ETIMEDOUT) => Self::SilentToConnect,
            Some(Errno::ECONNRESET | Errno::EPIPE) => Self::Cut,
            _ => Self::Other,
        }
    }

    /// The likely cause.
    pub fn cause(self) -> &'static str {
        match self {
            Self::NoRoute => "the machine has no address or no route of this family (yet)",
            Self::Prohibited => {
                "a `prohibit` route or a packet filter forbids it; systemd 261 locks the service so for all but itself"
            }
            Self::BlackHole => {
                "a `blackhole` route swallows it: some set one on purpose, to keep containers out"
            }
            Self::HostUnreachable => {
                "an `unreachable` route or a packet filter says so, or nobody answers at the route's other end"
            }
            Self::NotPermitted => {
                "this process may not use a source port below 1024, which the service asks for"
            }
            Self::NoSourcePort => "every source port below 1024 is in use",
            Self::NobodyListens => {
                "the address answers, and no metadata service listens there: this may be no Scaleway Instance"
            }
            Self::SilentToConnect => {
                "packets go out and none comes back: a firewall, an Instance without a public IP, or no Instance at all"
            }
            Self::SilentAfterConnect => "the service takes the connection and does not answer",
            Self::Cut => "the service takes the connection and closes it without a whole answer",
            Self::SourcePortChanged => {
                "the request arrived from a port of 1024 or more: it was translated on its way (container, NAT)"
            }
            Self::TooManyRequests => "the service was asked too often",
            Self::ServiceFails => "the service is there, and fails",
            Self::Redirects => {
                "something in between answers with a redirect, which the Metadata API never does (a captive proxy?)"
            }
            Self::OddStatus => "the service answers with a status that the Metadata API does not give here",
            Self::AnotherService => {
                "what answers is not the Metadata API, or something in between changes its answers"
            }
            Self::TooLarge => "the answer is larger than the Metadata API's ever are",
            Self::Other => "no likely cause is known for this",
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
                "remove the route if it is not on purpose: `ip -4 route show type blackhole`, or `ip -6 …`"
            }
            Self::HostUnreachable => "see `ip route get`, `ip neighbour`, and whether the interface is up",
            Self::NotPermitted => "run this as root, or with CAP_NET_BIND_SERVICE",
            Self::NoSourcePort => "see who holds them: `ss --tcp --numeric --all '( sport < 1024 )'`",
            Self::NobodyListens => {
                "on an Instance without a public IP, setup data is on the `cidata` CD-ROM instead"
            }
            Self::SilentToConnect => {
                "see the firewall's rules for this address; an Instance without a public IP cannot reach it at all"
            }
            Self::SilentAfterConnect | Self::Cut | Self::ServiceFails => {
                "the agent tries again by itself; if it lasts, tell Scaleway's support"
            }
            Self::SourcePortChanged => "run this on the Instance itself, not behind a network translation",
            Self::TooManyRequests => "wait a minute; see whether another program asks all the time",
            Self::Redirects | Self::OddStatus | Self::AnotherService | Self::TooLarge => {
                "see who answers: `curl --verbose` to this address with `--local-port 512-1023`"
            }
            Self::Other => "the text of the error may tell more",
        }
    }

    /// The kind of failure, for the exit code.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::NotPermitted | Self::SourcePortChanged => ErrorKind::NotPermitted,
            Self::TooManyRequests | Self::ServiceFails | Self::Redirects | Self::OddStatus => {
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
    fn each_error_of_the_kernel_has_its_meaning() {
        for (errno, trouble) in [
            (Errno::ENETUNREACH, Diagnosis::NoRoute),
            (Errno::EADDRNOTAVAIL, Diagnosis::NoRoute),
            (Errno::EAFNOSUPPORT, Diagnosis::NoRoute),
            (Errno::EACCES, Diagnosis::Prohibited),
            (Errno::EPERM, Diagnosis::Prohibited),
            (Errno::EINVAL, Diagnosis::BlackHole),
            (Errno::EHOSTUNREACH, Diagnosis::HostUnreachable),
            (Errno::ECONNREFUSED, Diagnosis::NobodyListens),
            (Errno::ETIMEDOUT, Diagnosis::SilentToConnect),
            (Errno::ECONNRESET, Diagnosis::Cut),
            (Errno::ENOMEM, Diagnosis::Other),
        ] {
            let why = ConnectError::System(errno.into());
            let why = MetadataError::Transport(TransportError::NotConnected(vec![(Family::Ipv4, why)]));
            assert_eq!(Diagnosis::of(&why), trouble, "{errno}");
        }
    }

    #[test]
    fn each_answer_that_is_none_has_its_meaning() {
        for (refusal, trouble) in [
            (Refusal::SourcePort(403), Diagnosis::SourcePortChanged),
            (Refusal::SourcePort(400), Diagnosis::SourcePortChanged),
            (Refusal::TooManyRequests(None), Diagnosis::TooManyRequests),
            (Refusal::ServerError(503, None), Diagnosis::ServiceFails),
            (Refusal::Unexpected(302), Diagnosis::Redirects),
            (Refusal::Unexpected(418), Diagnosis::OddStatus),
            (Refusal::Malformed(String::new()), Diagnosis::AnotherService),
        ] {
            assert_eq!(Diagnosis::of(&MetadataError::Refused(refusal)), trouble);
        }
    }
}
