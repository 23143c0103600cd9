//! Who besides root can write this Instance's user data, and so leave a setup script that runs as root. The metadata service trusts every
//! source port below 1024; two settings of the kernel give such a port to others.
//!
//! Reading only, and without any privilege. A packet filter may close these ways: its rules cannot be seen without CAP_NET_ADMIN, so what is
//! found here is what the settings allow.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::metadata::family::Family;
use crate::metadata::transport::connect::source_address;
use crate::util::files;

/// The packet filter that closes both ways.
pub const FILTER: &str = "/usr/share/scw-agent/metadata.nft";
/// Ports below this one are trusted.
const FIRST_UNTRUSTED: u16 = 1024;
/// Folders in `net/ipv4/conf` that are no interface which others are behind.
const NO_INTERFACES: [&str; 3] = ["all", "default", "lo"];

/// The ways that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Every user of the machine may bind the trusted source ports from this one on; null where none of them. It is the value of
    /// `net.ipv4.ip_unprivileged_port_start`, which governs IPv6, too.
    #[serde(default)]
    pub unprivileged_ports_from: Option<u16>,
    /// Packets of others (containers, virtual machines, clients of a VPN) are forwarded. Address translation can keep their source ports or
    /// choose trusted ones.
    #[serde(default)]
    pub forwarding: bool,
}

impl Exposure {
    /// The ways that are open on this machine. None is where no route leads to the service, or only for sockets with systemd's mark.
    pub fn of_this_machine() -> Self {
        let found = Self::read(Path::new("/proc/sys/net"));
        let is_open = |family| matches!(source_address(family), Ok((_, false)));
        if found != Self::default() && Family::BOTH.into_iter().any(is_open) {
            found
        } else {
            Self::default()
        }
    }

    fn read(net: &Path) -> Self {
        let first = number(&net.join("ipv4/ip_unprivileged_port_start"));
        let unprivileged_ports_from = first.filter(|first| *first < FIRST_UNTRUSTED);
        Self { unprivileged_ports_from, forwarding: forwards(net) }
    }

    /// What is wrong with it, and what to do; nothing where only root can write user data.
    ///
    /// Forwarding is no problem by itself: it is on wherever containers run, and often a filter is there.
    pub fn problem(&self) -> Option<(String, String)> {
        let first = self.unprivileged_ports_from?;
        Some((
            format!(
                "every user of this machine can become root: net.ipv4.ip_unprivileged_port_start is {first}, so each of them may use a source port below 1024 and set `setup-script` in user data"
            ),
            format!(
                "run `sysctl -w net.ipv4.ip_unprivileged_port_start=1024` and remove the setting from /etc/sysctl.d; where it must stay, load {FILTER}"
            ),
        ))
    }

    /// What may be wrong with it, and what to do.
    pub fn note(&self) -> Option<(String, String)> {
        self.forwarding.then(|| {
            (
                "this machine forwards packets of others: root in a container or virtual machine may reach user data through address translation, and so become root here".to_owned(),
                format!("load {FILTER} with `nft --file`, unless a packet filter drops what is forwarded to the metadata service already"),
            )
        })
    }
}

/// Whether packets that come in over one interface may leave by another. IPv4 asks the interface that they come in by, which the switch for all
/// sets; IPv6 asks the switch for all.
fn forwards(net: &Path) -> bool {
    let entries = fs::read_dir(net.join("ipv4/conf")).into_iter().flatten().flatten();
    let is_interface = |name: &String| !NO_INTERFACES.contains(&&**name);
    let interfaces: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_interface).collect();
    let is_on = |path: &str| number(&net.join(path)).is_some_and(|value| value > 0);
    // With one interface alone there is nobody to forward for.
    interfaces.len() > 1
        && (is_on("ipv4/conf/all/forwarding")
            || is_on("ipv6/conf/all/forwarding")
            || interfaces.iter().any(|name| is_on(&format!("ipv4/conf/{name}/forwarding"))))
}

fn number(path: &Path) -> Option<u16> {
    let bytes = files::read_bounded(path, 64).ok().flatten()?;
    String::from_utf8(bytes).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random;

    #[test]
    fn the_settings_that_give_trusted_ports_to_others() {
        const ON: [(&str, &str); 2] = [("ipv4/conf/eth0/forwarding", "0"), ("ipv4/conf/all/forwarding", "1")];
        let exposure = |unprivileged_ports_from, forwarding| Exposure { unprivileged_ports_from, forwarding };
        for (files, found) in [
            (&[][..], exposure(None, false)),
            (&[("ipv4/ip_unprivileged_port_start", "1024")], exposure(None, false)),
            (&[("ipv4/ip_unprivileged_port_start", "65535")], exposure(None, false)),
            (&[("ipv4/ip_unprivileged_port_start", "many")], exposure(None, false)),
            (&[("ipv4/ip_unprivileged_port_start", "1023")], exposure(Some(1023), false)),
            (&[("ipv4/ip_unprivileged_port_start", "80")], exposure(Some(80), false)),
            (&[("ipv4/ip_unprivileged_port_start", "0")], exposure(Some(0), false)),
            (&ON, exposure(None, false)),
            (&[("ipv4/conf/eth0/forwarding", "1")], exposure(None, false)),
            (&[("ipv4/conf/lo/forwarding", "1"), ("ipv4/conf/eth0/forwarding", "1")], exposure(None, false)),
            (&[("ipv4/conf/br0/forwarding", "1"), ("ipv4/conf/eth0/forwarding", "0")], exposure(None, true)),
            (
                &[
                    ("ipv4/conf/br0/forwarding", "0"),
                    ("ipv4/conf/eth0/forwarding", "0"),
                    ("ipv6/conf/all/forwarding", "1"),
                ],
                exposure(None, true),
            ),
        ] {
            let net = std::env::temp_dir().join(format!("scw-agent-net-{:x}", random::generator().u64(..)));
            for (file, value) in files {
                let path = net.join(file);
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(path, format!("{value}\n")).expect("written");
            }
            assert_eq!(Exposure::read(&net), found, "{files:?}");
            let _ = fs::remove_dir_all(net);
        }
    }
}
