//! Beside cloud-init: its script is its own, and what is published are the keys that it leaves.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{SCRIPT, log_in, published, script_runs};

const CLOUD_SCRIPT: &str = "#!/bin/sh\necho ran >>/var/log/cloud-script.log\n";

#[test]
fn h3_h4_s1_where_cloud_init_is_active_it_alone_runs_its_script_and_its_last_keys_are_published() {
    let kit = Kit::new(Suite::TrixieCloudInit);
    World::builder().run(|world| {
        world.standin().set_user_data("cloud-init", CLOUD_SCRIPT);
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        // The same value reaches cloud-init from a disk: its data source for Scaleway wants a DHCP server.
        std::fs::create_dir_all(disk.path("/var/lib/cloud/seed/nocloud")).expect("made");
        let meta = "instance-id: daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86\nlocal-hostname: scw-example\n";
        for (name, text) in [("meta-data", meta), ("user-data", CLOUD_SCRIPT)] {
            std::fs::write(disk.path("/var/lib/cloud/seed/nocloud").join(name), text).expect("written");
        }
        let mut machine = Machine::boot(world, &disk);
        println!("{}", machine.until("cloud-init is done", "cloud-init status --wait --long"));
        assert!(
            machine.ok("cat /var/log/cloud-init.log").contains("Generating public/private")
                || machine.ok("cat /var/log/cloud-init-output.log").contains("Generating public/private"),
            "cloud-init made keys"
        );
        let keys = published(world, &machine);
        once(&machine);
        script_runs(&machine, 1);
        assert_eq!(machine.ok("journalctl --boot --no-pager | grep -i 'ordering cycle' || true"), "");
        println!(
            "{}",
            machine.ok(
                "systemd-analyze critical-chain ssh.service; scw-agent setup list; scw-agent status || true"
            )
        );

        machine.reboot();
        machine.until("cloud-init is done", "cloud-init status --wait");
        assert_eq!(published(world, &machine), keys);
        once(&machine);
        script_runs(&machine, 1);
        log_in(&machine, &keys);
    });
}

#[track_caller]
fn once(machine: &Machine) {
    machine.until("cloud-init's script", "[ -e /var/log/cloud-script.log ]");
    assert_eq!(machine.ok("cat /var/log/cloud-script.log"), "ran");
}
