//! P1 with the shipped units: an image that boots outside of Scaleway.

use std::fs;

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{SCRIPT, failed_units, published, script_runs};

#[test]
fn p1_image_elsewhere_sends_no_request_and_has_sshd() {
    for suite in Suite::ALL {
        check_elsewhere(suite);
    }
}

fn check_elsewhere(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        for key in ["setup-script", "startup-script", "shutdown-script"] {
            world.standin().set_user_data(key, SCRIPT);
        }
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        world.set_dmi(Some("QEMU"), None);
        let mut machine = Machine::boot(world, &disk);
        assert_eq!(failed_units(&machine), "", "{suite:?}");
        assert_eq!(machine.sh("systemctl is-system-running").out, "running\n", "{suite:?}");
        machine.until("sshd serves keys", "ssh-keyscan 127.0.0.1 2>/dev/null | grep -q ssh-ed25519");
        for command in ["scw-agent status", "scw-agent status --wait", "scw-agent doctor"] {
            let output = machine.ok(command);
            assert!(output.contains("not a Scaleway Instance"), "{suite:?}: {command}: {output}");
        }
        let journal = machine.ok("journalctl --boot --no-pager --unit='scw-agent*'");
        assert!(journal.contains("not a Scaleway Instance"), "{suite:?}: {journal}");
        let keys = machine.ok("cat /etc/ssh/ssh_host_*_key.pub | sort");
        machine.reboot();
        assert_eq!(machine.ok("cat /etc/ssh/ssh_host_*_key.pub | sort"), keys, "{suite:?}");
        assert_eq!(world.standin().connections().len(), 0, "{suite:?}");

        // The administrator configures this machine's vendor as trusted.
        fs::write(disk.path("/etc/scw-agent.toml"), "[platform]\nvendor = \"QEMU\"\n").expect("written");
        machine.reboot();
        published(world, &machine);
        // The shutdown script runs during the shutdown, the two others during the next boot.
        script_runs(&machine, 3);
        machine.power_off();
    });
}
