//! Keeps clients of the metadata addresses inside their world, and leaves nothing of it behind.
//! It must never kill a process that is not in the world's own namespaces.

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns::NsId;

/// The device of the default route that a world makes on demand; nothing is behind it.
pub(crate) const NOWHERE: &str = "nowhere";

/// The network namespace that the process was started in.
static HOME: OnceLock<NsId> = OnceLock::new();

/// Why a program may not be started from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// The calling thread is in the network namespace of the machine, or the one its process was started in.
    MachineNetwork,
    /// The calling thread is in some other network namespace than the world's.
    OtherNetwork,
    /// The world has a default route that it did not make itself, so packets could go where they should not.
    DefaultRoute,
    /// The network cannot be looked at.
    Unknown(io::ErrorKind),
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no program may be started for the world here: ")?;
        match self {
            Outside::MachineNetwork => f.write_str("this thread is in the machine's own network"),
            Outside::OtherNetwork => {
                f.write_str("this thread is in another network namespace than the world")
            }
            Outside::DefaultRoute => f.write_str("the world has a default route"),
            Outside::Unknown(kind) => write!(f, "the network cannot be looked at ({kind})"),
        }
    }
}

impl std::error::Error for Outside {}

/// Remembers, the first time, where the process was started; tells whether this thread is still there.
pub(crate) fn at_home() -> io::Result<bool> {
    let here = NsId::net_here()?;
    Ok(*HOME.get_or_init(|| here) == here)
}

/// Makes sure that the calling thread is in the network namespace `world`, and that no way leads out of it.
pub(crate) fn check(world: NsId) -> Result<(), Outside> {
    let here = NsId::net_here().map_err(|error| Outside::Unknown(error.kind()))?;
    // Who may not look at process 1 is not root, and in a user namespace of its own.
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

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, in hexadecimal digits.
fn is_ipv4_default(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000") && fields[0] != NOWHERE
}

/// `destination length source length next-hop metric … device`. The kernel's own "unreachable" entry is on `lo`.
fn is_ipv6_default(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    fields.get(1) == Some(&"00") && fields.last() != Some(&"lo")
}

/// Kills every process in the namespaces `net` or `mount`, however it got away from its parents. Returns whether
/// none is left.
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
            // It may have ended by itself meanwhile.
            _ = kill(pid, Signal::SIGKILL);
        }
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(1));
    }
}

/// The living processes in either namespace, but for this one: its threads end by themselves.
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
    fn a_default_route_is_recognised_in_the_kernels_tables() {
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
