//! The two ways to the Metadata API.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use socket2::Domain;

/// The two ways to the Metadata API. Literal addresses, always: name resolution is broken on some IPv6-only images (T1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `169.254.42.42`
    Ipv4,
    /// `[fd00:42::42]`
    Ipv6,
}

impl Family {
    /// Both, in the order in which a machine that knows nothing yet tries them: IPv4 answers on nearly all images.
    pub const BOTH: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Ipv4 => Self::Ipv6,
            Self::Ipv6 => Self::Ipv4,
        }
    }

    /// The service's address.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::new(169, 254, 42, 42).into(),
            Self::Ipv6 => Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42).into(),
        }
    }

    pub(crate) fn domain(self) -> Domain {
        match self {
            Self::Ipv4 => Domain::IPV4,
            Self::Ipv6 => Domain::IPV6,
        }
    }

    /// The address as it stands in the `Host` header.
    pub fn host(self) -> &'static str {
        match self {
            Self::Ipv4 => "169.254.42.42",
            Self::Ipv6 => "[fd00:42::42]",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}
