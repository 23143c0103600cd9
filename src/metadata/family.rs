//! The two addresses of the metadata service, one for each IP version.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use socket2::Domain;

/// The IP version over which the metadata service is reached.
///
/// The addresses are literal, because name resolution is broken on some IPv6-only images (invariant T1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `169.254.42.42`
    Ipv4,
    /// `[fd00:42::42]`
    Ipv6,
}

impl Family {
    /// Both families, in the order of the first attempt: IPv4 answers on nearly all images.
    pub const BOTH: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family with this name in JSON.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ipv4" => Some(Self::Ipv4),
            "ipv6" => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The other family.
    pub fn other(self) -> Self {
        match self {
            Self::Ipv4 => Self::Ipv6,
            Self::Ipv6 => Self::Ipv4,
        }
    }

    /// The address of the metadata service.
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

    /// The address as the `Host` header has it.
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
