//! The other ways in which Debian starts sshd and makes its keys.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed, log_in, published};

#[test]
fn h1_keys_before_socket_started_sshd_on_debian_12() {
    socket(Suite::Bookworm);
}

#[test]
fn h1_keys_before_socket_started_sshd_on_debian_13() {
    socket(Suite::Trixie);
}

fn socket(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.chroot("systemctl disable ssh.service; systemctl enable ssh.socket").ok("systemctl");
        let machine = Machine::boot(world, &disk);
        // Nobody connected yet: no sshd runs, and yet what it will serve is published.
        assert!(!machine.sh("systemctl is-active --quiet ssh.service").is_ok());
        let keys = published(world, &machine);
        log_in(&machine, &keys);
        assert_eq!(failed(&machine), "");
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
        assert!(0 < made && made <= listens, "keys at {made}, the socket at {listens}");
    });
}

#[test]
fn h1_debian_13_sshd_keygen_finds_our_keys() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        // As Debian's images for clouds are: systemd applies the presets then, and starts sshd-keygen.service.
        std::fs::write(disk.path("/etc/machine-id"), "uninitialized\n").expect("written");
        let machine = Machine::boot(world, &disk);
        let said = machine.ok("journalctl --boot --unit=sshd-keygen.service --no-pager --output=cat");
        assert!(said.contains("Finished"), "it ran: {said}");
        let keys = published(world, &machine);
        assert_eq!(keys.len(), 3, "{keys:?}");
        let said = machine.ok("journalctl --boot --identifier=ssh-keygen --no-pager --output=cat");
        assert!(!said.contains("ED25519") && !said.contains("RSA"), "{said}");
        for unit in ["scw-agent.service", "scw-agent-setup.path", "scw-agent-hostkeys-settle.path"] {
            machine.ok(&format!("systemctl is-enabled {unit}; systemctl is-active {unit}"));
        }
        log_in(&machine, &keys);
    });
}
