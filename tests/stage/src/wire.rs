//! The wire between the guest and the platform: a veth pair, its addresses and routes, and the handling of packets to the metadata
//! addresses. Neither side ever has a default route over it.
//!
//! All neighbour entries are permanent, so that nothing waits for ARP or neighbour discovery. To make a family silent, both ends send to
//! a hardware address that no device has. To make it refuse connections, the platform forwards its packets to a third namespace, which
//! has the address but no listener. So the stand-in need not know about it.

use scw_standin::Family;

use crate::error::{StageError, Step};
use crate::netns::{Netns, ip};

/// What happens to a connection to the metadata address of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The stand-in answers.
    Served,
    /// The guest has no address and no route: ENETUNREACH at once.
    Absent,
    /// The address exists, but nothing listens: ECONNREFUSED at once.
    Refused,
    /// Packets are lost in both directions: a connection hangs.
    Silent,
}

const GUEST_MAC: &str = "02:00:00:00:00:10";
const PLATFORM_MAC: &str = "02:00:00:00:00:42";
const TO_SHUT_MAC: &str = "02:00:00:00:01:42";
const SHUT_MAC: &str = "02:00:00:00:02:42";
const NOBODY_MAC: &str = "02:00:00:00:ff:ff";

/// The addresses of one family, in the syntax of `ip`.
struct Plan {
    guest: &'static str,
    /// An address that the platform's end keeps while it does not have the metadata address.
    platform: &'static str,
    metadata: &'static str,
    bits: u8,
    /// The flag that makes an IPv6 address usable at once.
    nodad: &'static str,
}

const IPV4: Plan =
    Plan { guest: "192.0.2.10", platform: "192.0.2.1", metadata: "169.254.42.42", bits: 32, nodad: "" };
const IPV6: Plan = Plan {
    guest: "2001:db8::10",
    platform: "2001:db8::1",
    metadata: "fd00:42::42",
    bits: 128,
    nodad: "nodad",
};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

fn plan(family: Family) -> &'static Plan {
    match family {
        Family::Ipv4 => &IPV4,
        Family::Ipv6 => &IPV6,
    }
}

/// Both ends of the wire, and their settings.
#[derive(Debug)]
pub(crate) struct Wire {
    guest: Netns,
    platform: Netns,
    /// The namespace that has the metadata addresses but no listener. It is made when a family first becomes `Refused`.
    shut: Option<Netns>,
    ipv4: Reach,
    ipv6: Reach,
    up: bool,
}

impl Wire {
    /// Connects the calling thread's new namespace to a new one for the platform. After that, the stand-in can start at the platform's
    /// end, and the guest's end is still down.
    pub(crate) fn new() -> Result<Wire, StageError> {
        let (guest, platform) = (Netns::here()?, Netns::new()?);
        platform.ip(&platform_lines(&guest))?;
        Ok(Wire { guest, platform, shut: None, ipv4: Reach::Absent, ipv6: Reach::Absent, up: false })
    }

    /// The platform's namespace.
    pub(crate) fn platform(&self) -> &Netns {
        &self.platform
    }

    /// Brings the guest's end up for the first time, with both families.
    pub(crate) fn open(&mut self, ipv4: Reach, ipv6: Reach) -> Result<(), StageError> {
        let mut platform = String::new();
        let mut lines = "link set lo up\nlink set eth0 addrgenmode none up\n".to_owned();
        for (family, reach) in [(Family::Ipv4, ipv4), (Family::Ipv6, ipv6)] {
            platform += &self.change_platform(family, reach)?;
            lines += &guest_lines(plan(family), Reach::Absent, reach);
        }
        self.platform.ip(&platform)?;
        (self.ipv4, self.ipv6, self.up) = (ipv4, ipv6, true);
        ip(&lines)
    }

    /// Changes the reach of one family. While the link is down, the change has no effect until it comes up.
    pub(crate) fn set_reach(&mut self, family: Family, to: Reach) -> Result<(), StageError> {
        let from = std::mem::replace(self.reach_mut(family), to);
        if from == to {
            return Ok(());
        }
        let platform = self.change_platform(family, to)?;
        self.platform.ip(&platform)?;
        let lines = guest_lines(plan(family), from, to);
        if self.up { self.guest.ip(&lines) } else { Ok(()) }
    }

    /// Takes the guest's link down or up, like an unplugged or plugged cable, together with its addresses and routes.
    pub(crate) fn set_link(&mut self, up: bool) -> Result<(), StageError> {
        if std::mem::replace(&mut self.up, up) == up {
            return Ok(());
        }
        let mut lines = format!("link set eth0 {}\n", if up { "up" } else { "down" });
        for family in FAMILIES {
            let reach = *self.reach_mut(family);
            let (from, to) = if up { (Reach::Absent, reach) } else { (reach, Reach::Absent) };
            let change = guest_lines(plan(family), from, to);
            // Remove routes and addresses before the link goes down, since the kernel removes some of them with the link.
            lines = if up { lines + &change } else { change + &lines };
        }
        self.guest.ip(&lines)
    }

    fn reach_mut(&mut self, family: Family) -> &mut Reach {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }

    /// The lines of `ip` for the platform's end that set a family's new reach.
    fn change_platform(&mut self, family: Family, to: Reach) -> Result<String, StageError> {
        if to == Reach::Refused && self.shut.is_none() {
            self.shut = Some(make_shut(&self.platform)?);
        }
        let Plan { guest, metadata, bits, nodad, .. } = plan(family);
        let mac = if to == Reach::Silent { NOBODY_MAC } else { GUEST_MAC };
        let mut lines = format!("neigh replace {guest} lladdr {mac} nud permanent dev plat0\n");
        if to == Reach::Refused {
            lines +=
                &format!("route replace {metadata}/{bits} dev shut0\naddr del {metadata}/{bits} dev plat0\n");
        } else if self.shut.is_some() {
            lines += &format!("addr replace {metadata}/{bits} dev plat0 {nodad}\n");
        }
        Ok(lines)
    }
}

/// The lines that make the wire in the platform's namespace, with the other end in the guest's.
fn platform_lines(guest: &Netns) -> String {
    let mut lines = format!(
        "link set lo up\n\
         link add plat0 address {PLATFORM_MAC} type veth peer name eth0 address {GUEST_MAC} netns {}\n\
         link set plat0 addrgenmode none up\n",
        guest.path()
    );
    for Plan { guest, platform, metadata, bits, nodad } in [&IPV4, &IPV6] {
        lines += &format!(
            "addr add {platform}/{bits} dev plat0 {nodad}\n\
             addr add {metadata}/{bits} dev plat0 {nodad}\n\
             route add {guest}/{bits} dev plat0\n"
        );
    }
    lines
}

/// The lines that change the guest's end from one reach to another.
fn guest_lines(Plan { guest, metadata, bits, nodad, .. }: &Plan, from: Reach, to: Reach) -> String {
    let mut lines = String::new();
    if to == Reach::Absent {
        if from != Reach::Absent {
            lines += &format!("route del {metadata}/{bits} dev eth0\naddr del {guest}/{bits} dev eth0\n");
        }
        return lines;
    }
    let mac = if to == Reach::Silent { NOBODY_MAC } else { PLATFORM_MAC };
    lines += &format!("neigh replace {metadata} lladdr {mac} nud permanent dev eth0\n");
    if from == Reach::Absent {
        // The route is added last: when a client notices it, everything else is ready.
        lines += &format!("addr add {guest}/{bits} dev eth0 {nodad}\nroute add {metadata}/{bits} dev eth0\n");
    }
    lines
}

/// Makes the namespace that has the metadata addresses but no listener, and connects it to the platform.
fn make_shut(platform: &Netns) -> Result<Netns, StageError> {
    let shut = Netns::new()?;
    let mut near = format!(
        "link add shut0 address {TO_SHUT_MAC} type veth peer name eth0 address {SHUT_MAC} netns {}\n\
         link set shut0 addrgenmode none up\n",
        shut.path()
    );
    let mut far = "link set eth0 addrgenmode none up\n".to_owned();
    for Plan { guest, metadata, bits, nodad, .. } in [&IPV4, &IPV6] {
        near += &format!("neigh replace {metadata} lladdr {SHUT_MAC} nud permanent dev shut0\n");
        far += &format!(
            "addr add {metadata}/{bits} dev eth0 {nodad}\n\
             neigh replace {guest} lladdr {TO_SHUT_MAC} nud permanent dev eth0\n\
             route add {guest}/{bits} dev eth0\n"
        );
    }
    platform.within(|| {
        for switch in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{switch}"), "1")
                .step("enable forwarding on the platform")?;
        }
        ip(&near)
    })?;
    shut.ip(&far)?;
    Ok(shut)
}
