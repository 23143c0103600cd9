//! Detects whether users other than root can write this Instance's user data, and so set a setup script that runs as root. The
//! metadata service trusts every source port below 1024. Two kernel settings allow others to use such a port.
//!
//! This module only reads, and it needs no privilege. A packet filter may block these requests. Its rules cannot be read without
//! CAP_NET_ADMIN, so the result shows what the kernel settings allow.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::util::files;

/// The packet filter that prevents both.
pub const FILTER: &str = "/usr/share/scw-agent/metadata.nft";
/// The metadata service trusts source ports below this one.
const FIRST_UNTRUSTED: u16 = 1024;
/// Folders in `net/ipv4/conf` that are not an interface to other machines.
const NO_INTERFACES: [&str; 3] = ["all", "default", "lo"];

/// Who besides root may be able to write user data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Every user of the machine may bind the trusted source ports from this one on; null if no user may bind any. It is the value
    /// of `net.ipv4.ip_unprivileged_port_start`, which applies to IPv6, too.
    #[serde(default)]
    pub unprivileged_ports_from: Option<u16>,
    /// The machine forwards packets of others (containers, virtual machines, VPN clients). Network address translation may keep
    /// their source ports or choose trusted ones.
    #[serde(default)]
    pub forwarding: bool,
}

impl Exposure {
    /// The exposure of this machine. There is none without an unmarked route to the service. `has_unmarked_route` is called only if
    /// the kernel settings allow others to use a trusted source port.
    pub fn of_this_machine(has_unmarked_route: impl FnOnce() -> bool) -> Self {
        let exposure = Self::read(Path::new("/proc/sys/net"));
        if exposure != Self::default() && has_unmarked_route() { exposure } else { Self::default() }
    }

    fn read(net: &Path) -> Self {
        let first = number(&net.join("ipv4/ip_unprivileged_port_start"));
        let unprivileged_ports_from = first.filter(|first| *first < FIRST_UNTRUSTED);
        Self { unprivileged_ports_from, forwarding: forwards(net) }
    }

    /// The problem and its remedy; `None` if no user may bind a trusted port.
    ///
    /// Forwarding alone is not a problem: it is on wherever containers run, and there is often a packet filter.
    pub fn problem(&self) -> Option<(String, String)> {
        let first = self.unprivileged_ports_from?;
        Some((
            format!(
                "every user of this machine can become root: net.ipv4.ip_unprivileged_port_start is {first}, so each of them may use a source port below 1024 and set `setup-script` in user data"
            ),
            format!(
                "run `sysctl -w net.ipv4.ip_unprivileged_port_start=1024` and remove the setting from /etc/sysctl.d; if it must stay, load {FILTER}"
            ),
        ))
    }

    /// A possible problem and its remedy.
    pub fn possible_problem(&self) -> Option<(String, String)> {
        self.forwarding.then(|| {
            (
                "this machine forwards packets of others: root in a container or virtual machine may reach user data through address translation, and so become root here".to_owned(),
                format!("load {FILTER} with `nft --file`, unless a packet filter already drops packets that are forwarded to the metadata service"),
            )
        })
    }
}

/// Whether packets from one interface may be forwarded to another. For IPv4, the setting of the incoming interface decides; a change
/// of `all` sets it, too. For IPv6, the setting of `all` decides.
fn forwards(net: &Path) -> bool {
    let entries = fs::read_dir(net.join("ipv4/conf")).into_iter().flatten().flatten();
    let is_interface = |name: &String| !NO_INTERFACES.contains(&&**name);
    let interfaces: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_interface).collect();
    let is_on = |path: &str| number(&net.join(path)).is_some_and(|value| value > 0);
    // With a single interface, there is nothing to forward.
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
    fn kernel_settings_that_give_trusted_ports_to_others() {
        const ON: [(&str, &str); 2] = [("ipv4/conf/eth0/forwarding", "0"), ("ipv4/conf/all/forwarding", "1")];
        let exposure = |unprivileged_ports_from, forwarding| Exposure { unprivileged_ports_from, forwarding };
        for (files, expected) in [
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
            assert_eq!(Exposure::read(&net), expected, "{files:?}");
            let _ = fs::remove_dir_all(net);
        }
    }
}
