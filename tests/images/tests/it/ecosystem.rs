//! The agent together with Scaleway's present package: a stand-in package that has a command `scw-userdata` and a unit that makes keys.

use std::path::{Path, PathBuf};
use std::process::Command;

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed_units, published};

const CONTROL: &str = "Package: scaleway-ecosystem\nVersion: 0.0.8-1\nArchitecture: all\nMaintainer: nobody <root@localhost>\nDescription: stand-in\n";
/// The old package's unit, which makes keys.
const UNIT: &str = "[Unit]\nBefore=sshd.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/scw-generate-ssh-keys\n[Install]\nWantedBy=multi-user.target\n";
const MAKER: &str = "#!/bin/sh\n[ -f /etc/ssh/ssh_host_rsa_key ] || ssh-keygen -q -t rsa -N '' -f /etc/ssh/ssh_host_rsa_key\nscw-userdata ssh-host-fingerprints 'of the old program'\n";

#[test]
fn scaleway_ecosystem_beside_agent_in_either_order() {
    let kit = Kit::new(Suite::Bookworm);
    World::builder().run(|world| {
        let old = stand_in_package();
        for old_first in [true, false] {
            let disk = Disk::new(world, &kit);
            if old_first {
                disk.install(&old);
            }
            disk.install(kit.deb());
            if !old_first {
                disk.install(&old);
            }
            assert_eq!(disk.read("/usr/bin/scw-userdata.scaleway-ecosystem"), "#!/bin/sh\necho old\n");
            assert_eq!(disk.path("/usr/bin/scw-userdata").read_link().expect("ours"), Path::new("scw-agent"));
            disk.chroot("dpkg --remove scw-agent").ok("dpkg --remove");
            assert_eq!(
                disk.read("/usr/bin/scw-userdata"),
                "#!/bin/sh\necho old\n",
                "the old command is restored"
            );
            assert!(!disk.has("/usr/bin/scw-userdata.scaleway-ecosystem"));
        }

        let disk = Disk::new(world, &kit);
        disk.install(&old);
        disk.install(kit.deb());
        disk.chroot("systemctl enable scw-generate-ssh-keys.service").ok("systemctl");
        let machine = Machine::boot(world, &disk);
        assert_eq!(published(world, &machine).len(), 3);
        assert_eq!(failed_units(&machine), "");
        let condition =
            machine.ok("systemctl show --property=ConditionResult --value scw-generate-ssh-keys.service");
        assert_eq!(condition, "no", "the old unit makes no keys beside the agent");
        machine.ok("dpkg --remove scw-agent; systemctl start scw-generate-ssh-keys.service || true");
        let condition =
            machine.ok("systemctl show --property=ConditionResult --value scw-generate-ssh-keys.service");
        assert_eq!(condition, "yes", "the old unit makes keys again without the agent");
    });
}

fn stand_in_package() -> PathBuf {
    let tree = Kit::scratch("scaleway-ecosystem");
    let put = |path: &str, text: &str| {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    put("DEBIAN/control", CONTROL);
    put("usr/bin/scw-userdata", "#!/bin/sh\necho old\n");
    put("usr/bin/scw-generate-ssh-keys", MAKER);
    put("usr/lib/systemd/system/scw-generate-ssh-keys.service", UNIT);
    let file = tree.with_extension("deb");
    let script =
        r#"chmod 755 "$1"/usr/bin/*; dpkg-deb --root-owner-group --build "$1" "$2" >/dev/null; rm -rf "$1""#;
    let built = Command::new("sh").args(["-ec", script, "sh"]).args([&tree, &file]).status().expect("sh");
    assert!(built.success());
    file
}
