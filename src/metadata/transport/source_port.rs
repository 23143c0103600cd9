//! The order in which source ports are tried (invariant T2). Pure, except [`PortGroups::of_this_machine`], which reads two tables.
//!
//! The service answers user data requests only if their source port is below 1024. Ports 512 to 1023 are the traditional range
//! for clients (bindresvport, rsh), so they come first. Reserved ports, on which another program may want to listen, come last:
//! to use such a port for a moment is better than to get no answer.

use std::fs;
use std::ops::RangeInclusive;

/// The ports below 1024 that clients traditionally use.
const TRADITIONAL: RangeInclusive<u16> = 512..=1023;
/// The other ports below 1024. Port 0 is excluded: the kernel would choose an unprivileged port instead.
const LOW: RangeInclusive<u16> = 1..=511;

/// Ports of services that often start after the agent, and that would then find their port in use.
///
/// SSH, mail, DNS, DHCP, web, Kerberos, NTP, LDAP, SMB, syslog, printing, rsync, name services and remote administration: the
/// registered services below 1024 that Debian and RHEL package today.
const SERVICES: [u16; 54] = [
    20, 21, 22, 23, 25, 53, 67, 68, 69, 80, 88, 110, 111, 113, 119, 123, 137, 138, 139, 143, 161, 162, 179,
    194, 389, 427, 443, 445, 464, 465, 500, 513, 514, 515, 540, 543, 544, 546, 547, 554, 563, 587, 623, 631,
    636, 664, 749, 853, 873, 989, 990, 993, 994, 995,
];

/// Every port from 1 to 1023 once: those of the traditional range, the other ones, and those to avoid while another port is free. It is made
/// once, since making it took a fifth of the instructions of a check by the daemon.
#[derive(Clone, Debug)]
pub(crate) struct PortGroups([Vec<u16>; 3]);

/// Which ports to avoid. The index is the port number. (A set of ports took a sixth of all instructions of `scw-userdata`.)
struct ReservedPorts(Vec<bool>);

impl PortGroups {
    /// For the ports of [`SERVICES`], and the ports that the administrator reserved in `/etc/bindresvport.blacklist` and
    /// `net.ipv4.ip_local_reserved_ports`. A table that cannot be read is treated as empty.
    pub(crate) fn of_this_machine() -> Self {
        let blacklist = fs::read_to_string("/etc/bindresvport.blacklist").unwrap_or_default();
        let reserved = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
        Self::new(&blacklist, &reserved)
    }

    /// The same from the texts of the two files.
    pub(crate) fn new(blacklist: &str, ip_local_reserved_ports: &str) -> Self {
        let reserved = ReservedPorts::new(blacklist, ip_local_reserved_ports);
        let [traditional, low] =
            [TRADITIONAL, LOW].map(|range| range.filter(|port| !reserved.has(*port)).collect());
        Self([traditional, low, (1..1024).filter(|port| reserved.has(*port)).collect()])
    }

    /// The ports in the order in which to try them: each group from a random port on.
    pub(crate) fn in_order(&self, random: &mut fastrand::Rng) -> Vec<u16> {
        let mut ports = Vec::with_capacity(1023);
        for group in self.0.iter().filter(|group| !group.is_empty()) {
            let (before, from) = group.split_at(random.usize(..group.len()));
            ports.extend_from_slice(from);
            ports.extend_from_slice(before);
        }
        ports
    }
}

impl ReservedPorts {
    /// The ports of [`SERVICES`] and of the two files. Entries that cannot be parsed are ignored.
    fn new(blacklist: &str, ip_local_reserved_ports: &str) -> Self {
        let mut reserved = Self(vec![false; 1024]);
        SERVICES.into_iter().for_each(|port| reserved.add(port));
        for line in blacklist.lines() {
            let text = line.split('#').next().unwrap_or_default().trim();
            text.parse().into_iter().for_each(|port| reserved.add(port));
        }
        for range in ip_local_reserved_ports.trim().split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            if let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
                (first..=last.min(1023)).for_each(|port| reserved.add(port));
            }
        }
        reserved
    }

    /// Ports from 1024 on are ignored: they are never tried.
    fn add(&mut self, port: u16) {
        if let Some(is_reserved) = self.0.get_mut(usize::from(port)) {
            *is_reserved = true;
        }
    }

    fn has(&self, port: u16) -> bool {
        self.0.get(usize::from(port)).is_some_and(|is_reserved| *is_reserved)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn t2_exactly_the_privileged_ports_are_tried_once_each() {
        for seed in 0..50 {
            let mut ports = PortGroups::new("", "").in_order(&mut fastrand::Rng::with_seed(seed));
            ports.sort_unstable();
            assert_eq!(ports, (1..=1023).collect::<Vec<_>>());
        }
    }

    #[test]
    fn t2_traditional_ports_first_and_reserved_ports_last() {
        let reserved = PortGroups::new("# comment\n600 # rpc\n 601\nnonsense\n", "700-702,800,70000,9-x\n");
        let ports = reserved.in_order(&mut fastrand::Rng::with_seed(7));
        let at = |port: u16| ports.iter().position(|p| *p == port).expect("every port is there");
        let last_low = ports.iter().rposition(|p| *p <= 511 && !SERVICES.contains(p)).expect("some");
        for port in [22, 53, 80, 443, 600, 601, 631, 700, 701, 702, 800, 873, 993, 995] {
            assert!(at(port) > last_low, "{port} must come after all ports that are not reserved");
        }
        assert!(ports[..400].iter().all(|port| TRADITIONAL.contains(port)));
        assert!(at(703) < at(1));
    }

    #[test]
    fn t2_port_order_differs_between_machines() {
        let first = |seed| PortGroups::new("", "").in_order(&mut fastrand::Rng::with_seed(seed))[0];
        let different: BTreeSet<u16> = (0..100).map(first).collect();
        assert!(different.len() > 50, "only {} different first ports of 100", different.len());
    }
}
