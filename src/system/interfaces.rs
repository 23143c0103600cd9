//! The network interfaces of this machine by MAC address, from /sys/class/net. This module only reads.

use std::fs;
use std::path::Path;

use crate::util::files;

const MAX_ADDRESS_BYTES: u64 = 4096;

/// The names of the interfaces with this MAC address, below this root folder (`/`, except in tests). A VLAN or a bridge has the address of the
/// interface below it, so interfaces of hardware exclude all others.
pub(crate) fn with_mac_address(root: &Path, address: &str) -> Vec<String> {
    let folder = root.join("sys/class/net");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| {
        let bytes = files::read_bounded(&folder.join(name).join("address"), MAX_ADDRESS_BYTES).ok().flatten();
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        !text.trim().is_empty() && text.trim().eq_ignore_ascii_case(address.trim())
    });
    names.sort_unstable();
    let (hardware, others): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| folder.join(name).join("device").exists());
    if hardware.is_empty() { others } else { hardware }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random;

    #[test]
    fn interface_of_hardware_is_found_by_its_mac_address() {
        let root =
            std::env::temp_dir().join(format!("scw-agent-interfaces-{:x}", random::generator().u64(..)));
        let net = root.join("sys/class/net");
        for (name, address, is_hardware) in [
            ("ens5", "02:00:00:1b:f4:62\n", true),
            ("ens5.7", "02:00:00:1b:f4:62\n", false),
            ("br1", "02:00:00:00:00:02\n", false),
            ("br0", "02:00:00:00:00:02\n", false),
            ("tun0", "\n", false),
        ] {
            fs::create_dir_all(net.join(name)).expect("made");
            fs::write(net.join(name).join("address"), address).expect("written");
            if is_hardware {
                fs::create_dir_all(net.join(name).join("device")).expect("made");
            }
        }
        fs::write(net.join("bonding_masters"), "").expect("written");
        for (address, expected) in [
            ("02:00:00:1B:F4:62", &["ens5"][..]),
            ("02:00:00:00:00:02", &["br0", "br1"]),
            ("02:00:00:00:00:03", &[]),
            ("", &[]),
        ] {
            assert_eq!(with_mac_address(&root, address), expected, "{address}");
        }
        assert_eq!(with_mac_address(Path::new("/no/such/folder"), "02:00:00:1b:f4:62"), [""; 0]);
        let _ = fs::remove_dir_all(root);
    }
}
