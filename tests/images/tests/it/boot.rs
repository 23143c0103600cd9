//! The life of an image: installation in a chroot, first boot, reboot, clone, and a snapshot whose state files are damaged.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{
    OTHER_INSTANCE, SCRIPT, become_instance, failed_units, log_in, published, published_instead_of,
    script_runs, writes,
};

#[test]
fn h1_h3_s1_image_life_on_debian_11() {
    life_of_an_image(Suite::Bullseye);
}

#[test]
fn h1_h3_s1_image_life_on_debian_12() {
    life_of_an_image(Suite::Bookworm);
}

#[test]
fn h1_h3_s1_image_life_on_debian_13() {
    life_of_an_image(Suite::Trixie);
}

#[test]
fn h1_h3_s1_image_life_on_forky() {
    life_of_an_image(Suite::Forky);
}

fn life_of_an_image(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let image = Disk::new(world, &kit);
        image.install(kit.deb());
        check_installation(&image);

        let disk = image.copy();
        let mut machine = Machine::boot(world, &disk);
        let first = published(world, &machine);
        // OpenSSH 10.6 has one more key type by default.
        let expected = if suite == Suite::Forky { 4 } else { 3 };
        assert_eq!(first.len(), expected, "{first:?}");
        check_units(&machine);
        check_keys_before_sshd(&machine);
        log_in(&machine, &first);
        script_runs(&machine, 1);

        world.standin().clear_requests();
        machine.reboot();
        assert_eq!(published(world, &machine), first, "a reboot keeps the keys");
        check_units(&machine);
        script_runs(&machine, 1);
        assert_eq!(writes(world), 0, "a reboot writes nothing");
        machine.power_off();

        let (clone, restored) = (disk.copy(), disk.copy());
        check_snapshot_with_damaged_state(world, &restored, &first);

        become_instance(world, OTHER_INSTANCE);
        let machine = Machine::boot(world, &clone);
        let second = published_instead_of(world, &machine, &first);
        assert_eq!(second.len(), expected, "{second:?}");
        machine.until(
            "the new Instance's script",
            &format!("grep -q '^ran for {OTHER_INSTANCE}' /var/log/setup-script.log"),
        );
        log_in(&machine, &second);
        check_units(&machine);
        machine.power_off();
    });
}

/// After an installation in a chroot without systemd: the units are enabled, the user exists, no key and no record was made.
fn check_installation(image: &Disk) {
    let enabled = image.chroot("ls /etc/systemd/system/multi-user.target.wants").ok("ls");
    for unit in [
        "-hostkeys.service",
        "-hostkeys-settle.path",
        "-hostname.path",
        ".service",
        "-setup.path",
        "-shutdown.service",
    ] {
        assert!(enabled.lines().any(|line| line == format!("scw-agent{unit}")), "{unit} is enabled");
    }
    assert!(!enabled.contains("scw-agent-setup.service"), "only its path unit starts it: {enabled}");
    assert!(image.read("/etc/passwd").contains("\nscw-agent:"), "the daemon's user exists");
    let keys = image.chroot("ls /etc/ssh/ | grep ssh_host_ || true").ok("ls");
    assert_eq!(keys, "", "the installation makes no key");
    let records = image.chroot("find /var/lib/scw-agent -mindepth 1 2>/dev/null || true").ok("find");
    assert_eq!(records, "", "the installation makes no record");
}

fn check_units(machine: &Machine) {
    assert_eq!(failed_units(machine), "");
    for unit in [
        "scw-agent.service",
        "scw-agent-hostkeys.service",
        "scw-agent-setup.path",
        "scw-agent-shutdown.service",
        "ssh.service",
    ] {
        assert_eq!(machine.sh(&format!("systemctl is-active {unit}")).out, "active\n", "{unit}");
    }
    let cycles = machine.ok("journalctl --boot --no-pager | grep -i 'ordering cycle' || true");
    assert_eq!(cycles, "");
}

/// sshd waits for the host keys, but neither for another unit of the agent nor for the network.
fn check_keys_before_sshd(machine: &Machine) {
    let when = |unit: &str, what: &str| -> u64 {
        let text = machine.ok(&format!("systemctl show --property={what} --value {unit}"));
        text.parse().expect("a number of microseconds")
    };
    let made = when("scw-agent-hostkeys.service", "ExecMainExitTimestampMonotonic");
    let started = when("ssh.service", "ExecMainStartTimestampMonotonic");
    // Before version 255, systemd may fail to start a unit with PrivateDevices= while /tmp is being emptied.
    let emptied = when("systemd-tmpfiles-setup.service", "ExecMainExitTimestampMonotonic");
    let began = when("scw-agent-hostkeys.service", "ExecMainStartTimestampMonotonic");
    assert!(emptied > 0 && emptied <= began, "/tmp emptied at {emptied}, keys role started at {began}");
    assert!(made > 0 && made <= started, "keys made at {made}, sshd started at {started}");

    let chain = machine.ok("systemd-analyze critical-chain ssh.service");
    println!("{chain}");
    for word in ["scw-agent.service", "scw-agent-setup", "settle", "network-online"] {
        assert!(!chain.contains(word), "{chain}");
    }
    let after = machine.ok("systemctl show --property=After --value ssh.service");
    for word in ["scw-agent.service", "scw-agent-setup", "settle", "network-online"] {
        assert!(!after.contains(word), "{after}");
    }
    assert!(after.contains("scw-agent-hostkeys.service"), "{after}");
}

fn check_snapshot_with_damaged_state(world: &World, disk: &Disk, keys: &[String]) {
    disk.chroot("find /var/lib/scw-agent -type f -exec truncate --size=3 {} +").ok("truncate");
    let machine = Machine::boot(world, disk);
    assert_eq!(published(world, &machine), keys, "an unreadable identity record does not prove a clone");
    script_runs(&machine, 1);
    // `status` reports the damaged files, so it does not exit with 0.
    let status = machine.sh("scw-agent status").out;
    assert!(status.contains("set aside"), "{status}");
    let failed = failed_units(&machine);
    assert!(
        failed.lines().all(|line| line.starts_with("scw-agent-")),
        "only the agent's units fail: {failed}"
    );
    machine.power_off();
}
