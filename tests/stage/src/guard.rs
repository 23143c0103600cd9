//! Two guards of a world: no client of the metadata addresses starts outside of it, and no process of it remains after its end.
//! This module must never kill a process that is not in the world's own namespaces.

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns::NsId;

/// The device of the default route that a world makes on demand. It leads nowhere.
pub(crate) const NOWHERE: &str = "nowhere";

/// The network namespace in which the process was started.
static HOME: OnceLock<NsId> = OnceLock::new();

/// The reason why the calling thread must not start a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// The thread is in the machine's network namespace, or in the one in which its process was started.
    MachineNetwork,
    /// The thread is in a network namespace that is neither the machine's nor the world's.
    OtherNetwork,
    /// The world has a default route that it did not make itself, so packets could leave it.
    DefaultRoute,
    /// The network namespace or its routes could not be read.
    Unknown(io::ErrorKind),
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot start a program in the world: ")?;
        match self {
            Outside::MachineNetwork => f.write_str("this thread is in the machine's own network"),
            Outside::OtherNetwork => {
                f.write_str("this thread is in another network namespace than the world")
            }
            Outside::DefaultRoute => f.write_str("the world has a default route"),
            Outside::Unknown(kind) => write!(f, "cannot read the state of the network ({kind})"),
        }
    }
}

impl std::error::Error for Outside {}

/// Whether this thread is still in the network namespace in which the process was started. The first call records that namespace.
pub(crate) fn at_home() -> io::Result<bool> {
    let here = NsId::net_here()?;
    Ok(*HOME.get_or_init(|| here) == here)
}

/// Checks that the calling thread is in the network namespace `world`, and that no default route leads out of it.
pub(crate) fn check(world: NsId) -> Result<(), Outside> {
    let here = NsId::net_here().map_err(|error| Outside::Unknown(error.kind()))?;
    // A process that cannot read this link of process 1 is not root, so it is in its own user namespace.
    let machine = NsId::of("/proc/1/ns/net").ok();
    if Some(&here) == HOME.get() || Some(here) == machine {
        Err(Outside::MachineNetwork)
    } else if here != world {
        Err(Outside::OtherNetwork)
    } else if has_default_route().map_err(|error| Outside::Unknown(error.kind()))? {
        Err(Outside::DefaultRoute)
    } else {
        Ok(())
    }
}

fn has_default_route() -> io::Result<bool> {
    let ipv4 = std::fs::read_to_string("/proc/thread-self/net/route")?;
    let ipv6 = std::fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
    Ok(ipv4.lines().skip(1).any(is_ipv4_default) || ipv6.lines().any(is_ipv6_default))
}

/// The fields are `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, in hexadecimal digits.
fn is_ipv4_default(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000") && fields[0] != NOWHERE
}

/// The fields are `destination length source length next-hop metric … device`. The kernel's own "unreachable" entry is on `lo`.
fn is_ipv6_default(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    fields.get(1) == Some(&"00") && fields.last() != Some(&"lo")
}

/// Kills every process in the namespace `net` or `mount`, even if it has detached from its parents. Returns whether no process
/// remains.
pub(crate) fn kill_all_in(net: NsId, mount: NsId) -> bool {
    if HOME.get().is_none_or(|home| *home == net) {
        return false;
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let found = processes_in(net, mount);
        if found.is_empty() {
            return true;
        }
        for pid in found {
            // The process may have ended in the meantime.
            _ = kill(pid, Signal::SIGKILL);
        }
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(1));
    }
}

/// The running processes in either namespace, except for this process, whose threads end by themselves.
fn processes_in(net: NsId, mount: NsId) -> Vec<Pid> {
    let is_in = |pid: i32| {
        let at = |kind: &str| NsId::of(&format!("/proc/{pid}/ns/{kind}")).ok();
        at("net") == Some(net) || at("mnt") == Some(mount)
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| Pid::from_raw(pid) != Pid::this() && is_in(pid))
        .map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_route_is_recognised() {
        assert!(is_ipv4_default("eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0"));
        assert!(!is_ipv4_default("nowhere\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0"));
        assert!(!is_ipv4_default("eth0\t2A2AFEA9\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0"));
        let ipv6 = |to: &str, bits: &str, device: &str| {
            format!("{to} {bits} {0} 00 {0} 00000400 00000001 00000000 00000001 {device}", "0".repeat(32))
        };
        assert!(is_ipv6_default(&ipv6(&"0".repeat(32), "00", "eth0")));
        assert!(!is_ipv6_default(&ipv6(&"0".repeat(32), "00", "lo")));
        assert!(!is_ipv6_default(&ipv6("fd000042000000000000000000000042", "80", "eth0")));
    }

    #[test]
    fn guard_kills_nothing_in_the_original_network() {
        assert!(at_home().expect("readable"));
        let (net, mount) = (NsId::net_here().expect("readable"), NsId::mount_here().expect("readable"));
        assert!(!kill_all_in(net, mount));
    }
}
