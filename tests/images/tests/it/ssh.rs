//! Debian's other ways to start sshd and to make host keys: ssh.socket and sshd-keygen.service.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed_units, log_in, published};

#[test]
fn h1_keys_before_socket_started_sshd_on_debian_12() {
    check_socket(Suite::Bookworm);
}

#[test]
fn h1_keys_before_socket_started_sshd_on_debian_13() {
    check_socket(Suite::Trixie);
}

fn check_socket(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.chroot("systemctl disable ssh.service; systemctl enable ssh.socket").ok("systemctl");
        let machine = Machine::boot(world, &disk);
        // Before the first connection sshd does not run, but the keys that it will serve are published.
        assert!(!machine.sh("systemctl is-active --quiet ssh.service").is_ok());
        let keys = published(world, &machine);
        log_in(&machine, &keys);
        assert_eq!(failed_units(&machine), "");
        assert_eq!(machine.ok("journalctl --boot --no-pager | grep -i 'ordering cycle' || true"), "");
        let [made, listens] = [
            "scw-agent-hostkeys.service ExecMainExitTimestampMonotonic",
            "ssh.socket ActiveEnterTimestampMonotonic",
        ]
        .map(|what| {
            let (unit, property) = what.split_once(' ').expect("two words");
            machine
                .ok(&format!("systemctl show --property={property} --value {unit}"))
                .parse::<u64>()
                .expect("a time")
        });
        assert!(0 < made && made <= listens, "keys made at {made}, the socket listens at {listens}");
    });
}

#[test]
fn h1_debian_13_sshd_keygen_finds_our_keys() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        // As in Debian's cloud images. systemd then applies the presets, and starts sshd-keygen.service.
        std::fs::write(disk.path("/etc/machine-id"), "uninitialized\n").expect("written");
        let machine = Machine::boot(world, &disk);
        let log = machine.ok("journalctl --boot --unit=sshd-keygen.service --no-pager --output=cat");
        assert!(log.contains("Finished"), "sshd-keygen.service ran: {log}");
        let keys = published(world, &machine);
        assert_eq!(keys.len(), 3, "{keys:?}");
        let log = machine.ok("journalctl --boot --identifier=ssh-keygen --no-pager --output=cat");
        assert!(!log.contains("ED25519") && !log.contains("RSA"), "{log}");
        for unit in ["scw-agent.service", "scw-agent-setup.path", "scw-agent-hostkeys-settle.path"] {
            machine.ok(&format!("systemctl is-enabled {unit}; systemctl is-active {unit}"));
        }
        log_in(&machine, &keys);
    });
}
