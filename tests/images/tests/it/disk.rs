//! Machines that cannot write to their disk, and disks that `sysprep` prepared for cloning.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{OTHER_INSTANCE, SCRIPT, become_instance, failed_units, log_in, published, script_runs};

/// A disk on which a machine has done its complete job once, and the fingerprints of its keys.
fn used_disk(world: &World, kit: &Kit) -> (Disk, Vec<String>) {
    world.standin().set_user_data("setup-script", SCRIPT);
    let disk = Disk::new(world, kit);
    disk.install(kit.deb());
    let machine = Machine::boot(world, &disk);
    let keys = published(world, &machine);
    script_runs(&machine, 1);
    machine.power_off();
    (disk, keys)
}

#[test]
fn h2_d2_read_only_key_folder_sshd_up_missing_key_reported() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let (disk, keys) = used_disk(world, &kit);
        disk.chroot(
            "rm /etc/ssh/ssh_host_ecdsa_key*; echo '/etc/ssh /etc/ssh none bind,ro 0 0' >>/etc/fstab",
        )
        .ok("set up");
        let machine = Machine::boot(world, &disk);
        assert_ne!(machine.sh("touch /etc/ssh/x").err, "", "the folder must be read-only for this test");
        let remaining = published(world, &machine);
        assert_eq!(
            remaining,
            keys.iter().filter(|key| !key.ends_with("(ECDSA)")).cloned().collect::<Vec<_>>()
        );
        log_in(&machine, &remaining);
        script_runs(&machine, 1);
        assert!(failed_units(&machine).contains("scw-agent-hostkeys.service"), "the missing key is reported");
        let log = machine.ok("journalctl --boot --unit=scw-agent-hostkeys.service --no-pager --output=cat");
        assert!(log.contains("ecdsa") && log.contains("Read-only file system"), "{log}");
    });
}

#[test]
fn d2_s1_full_disk_sshd_up_no_script_runs_unrecorded() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let (disk, keys) = used_disk(world, &kit);
        // The folder of the records, with its content, on a full file system.
        let fill = "[Unit]\nDefaultDependencies=no\nBefore=scw-agent-hostkeys.service\nRequiresMountsFor=/var/lib/scw-agent\n\
                    [Service]\nType=oneshot\nExecStart=sh -c 'cp -a /var/lib/kept/. /var/lib/scw-agent/; cat /dev/zero >/var/lib/scw-agent/full; true'\n\
                    [Install]\nWantedBy=sysinit.target\n";
        std::fs::write(disk.path("/etc/systemd/system/fill.service"), fill).expect("written");
        disk.chroot(
            "cp -a /var/lib/scw-agent /var/lib/kept; systemctl enable fill.service
            echo 'tmpfs /var/lib/scw-agent tmpfs size=512k,mode=0700 0 0' >>/etc/fstab",
        )
        .ok("set up");
        world.standin().set_user_data("setup-script", format!("{SCRIPT}# changed\n"));
        let machine = Machine::boot(world, &disk);
        assert_ne!(machine.sh("echo x >/var/lib/scw-agent/x").err, "", "the disk must be full for this test");
        assert_eq!(published(world, &machine), keys);
        log_in(&machine, &keys);
        script_runs(&machine, 1);
        assert!(failed_units(&machine).contains("scw-agent-setup.service"), "{}", failed_units(&machine));
        let log = machine.ok("journalctl --boot --unit=scw-agent-setup.service --no-pager --output=cat");
        assert!(log.contains("No space left on device"), "{log}");

        // After space was freed, the next boot runs the script.
        machine.ok("systemctl disable fill.service; sed -i '/^tmpfs/d' /etc/fstab");
        machine.power_off();
        let machine = Machine::boot(world, &disk);
        assert_eq!(published(world, &machine), keys);
        script_runs(&machine, 2);
        assert_eq!(failed_units(&machine), "");
    });
}

#[test]
fn h1_s1_sysprep_disk_boots_as_new_instance() {
    let kit = Kit::new(Suite::Bookworm);
    World::builder().run(|world| {
        let (disk, first) = used_disk(world, &kit);
        println!("{}", disk.chroot("scw-agent sysprep --host-keys").ok("sysprep"));
        let remaining = disk
            .chroot("find /var/lib/scw-agent -mindepth 1; ls /etc/ssh | grep ssh_host_ || true")
            .ok("find");
        assert_eq!(remaining, "");
        become_instance(world, OTHER_INSTANCE);
        let machine = Machine::boot(world, &disk);
        let second = published(world, &machine);
        assert!(second.len() == 3 && second.iter().all(|key| !first.contains(key)), "{first:?} {second:?}");
        // The keys were made before sshd started, and no key had to be replaced.
        assert_ne!(machine.sh("ls /var/lib/scw-agent/old-host-keys").err, "");
        log_in(&machine, &second);
        script_runs(&machine, 2);
        assert_eq!(failed_units(&machine), "");
        machine.power_off();
    });
}
