//! Machines whose disk does not take what is to be written, and disks that were made ready to be cloned.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{OTHER_INSTANCE, SCRIPT, become_instance, failed, log_in, published, script_runs};

/// A disk on which a machine has done its whole job once, and the keys that it made.
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
        assert_ne!(
            machine.sh("touch /etc/ssh/x").err,
            "",
            "the folder must be read-only, or this test shows nothing"
        );
        let left = published(world, &machine);
        assert_eq!(left, keys.iter().filter(|key| !key.ends_with("(ECDSA)")).cloned().collect::<Vec<_>>());
        log_in(&machine, &left);
        script_runs(&machine, 1);
        assert!(failed(&machine).contains("scw-agent-hostkeys.service"), "what could not be made is told");
        let told = machine.ok("journalctl --boot --unit=scw-agent-hostkeys.service --no-pager --output=cat");
        assert!(told.contains("ecdsa") && told.contains("Read-only file system"), "{told}");
    });
}

#[test]
fn d2_s1_full_disk_sshd_up_no_script_runs_unrecorded() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let (disk, keys) = used_disk(world, &kit);
        // The folder with the records, as it was, on a disk with room for not one byte more.
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
        assert_ne!(machine.sh("echo x >/var/lib/scw-agent/x").err, "", "the disk must be full, or this test shows nothing");
        assert_eq!(published(world, &machine), keys);
        log_in(&machine, &keys);
        script_runs(&machine, 1);
        assert!(failed(&machine).contains("scw-agent-setup.service"), "{}", failed(&machine));
        let told = machine.ok("journalctl --boot --unit=scw-agent-setup.service --no-pager --output=cat");
        assert!(told.contains("No space left on device"), "{told}");

        // With room again, the next boot makes up for it.
        machine.ok("systemctl disable fill.service; sed -i '/^tmpfs/d' /etc/fstab");
        machine.power_off();
        let machine = Machine::boot(world, &disk);
        assert_eq!(published(world, &machine), keys);
        script_runs(&machine, 2);
        assert_eq!(failed(&machine), "");
    });
}

#[test]
fn h1_s1_sysprep_disk_boots_as_new_instance() {
    let kit = Kit::new(Suite::Bookworm);
    World::builder().run(|world| {
        let (disk, first) = used_disk(world, &kit);
        println!("{}", disk.chroot("scw-agent sysprep --host-keys").ok("sysprep"));
        let left = disk
            .chroot("find /var/lib/scw-agent -mindepth 1; ls /etc/ssh | grep ssh_host_ || true")
            .ok("find");
        assert_eq!(left, "");
        become_instance(world, OTHER_INSTANCE);
        let machine = Machine::boot(world, &disk);
        let second = published(world, &machine);
        assert!(second.len() == 3 && second.iter().all(|key| !first.contains(key)), "{first:?} {second:?}");
        // They were there before sshd, and nothing had to be replaced.
        assert_ne!(machine.sh("ls /var/lib/scw-agent/old-host-keys").err, "");
        log_in(&machine, &second);
        script_runs(&machine, 2);
        assert_eq!(failed(&machine), "");
        machine.power_off();
    });
}
