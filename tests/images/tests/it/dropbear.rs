//! Dropbear instead of OpenSSH: keys that OpenSSH does not serve are not published, and each change of the servers is noticed.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{FINGERPRINTS, LONG, failed_units, log_in, published, scanned_keys};

/// Waits until nothing is published.
#[track_caller]
fn wait_until_withdrawn(world: &World) {
    let deadline = std::time::Instant::now() + LONG;
    while world.standin().user_data(FINGERPRINTS).is_some() {
        assert!(std::time::Instant::now() < deadline, "the fingerprints are still published");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Dropbear answers, nothing is published, and no unit failed.
#[track_caller]
fn check_only_dropbear(world: &World, machine: &Machine) {
    let status = machine.ok("scw-agent status --wait");
    assert!(status.contains("no OpenSSH server is enabled; fingerprints are not published"), "{status}");
    machine.until("Dropbear answers", "ssh-keyscan 127.0.0.1 2>/dev/null | grep -q .");
    assert_eq!(world.standin().user_data(FINGERPRINTS), None);
    assert_eq!(failed_units(machine), "");
}

#[test]
fn h3_image_with_dropbear_publishes_nothing() {
    let kit = Kit::new(Suite::TrixieDropbear);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.chroot("systemctl disable ssh.service; systemctl enable dropbear.service").ok("systemctl");
        let mut machine = Machine::boot(world, &disk);
        check_only_dropbear(world, &machine);
        let shown = machine.ok("scw-agent host-keys show");
        assert!(shown.contains("not served") && shown.contains("no OpenSSH server"), "{shown}");
        let keys = machine.ok("cat /etc/ssh/ssh_host_*_key.pub | ssh-keygen -lf -");
        assert!(
            scanned_keys(&machine).iter().all(|line| !keys.contains(line.split(' ').nth(1).expect("one")))
        );

        machine.ok("systemctl disable --now dropbear.service; systemctl enable --now ssh.service");
        let keys = published(world, &machine);
        log_in(&machine, &keys);
        // sshd still runs. It is stopped only after the daemon has looked: then no link of its enablement changes with the stop.
        world.standin().clear_requests();
        machine.ok("systemctl disable ssh.service");
        let looked = world.standin().wait_for(LONG, |requests| !requests.is_empty());
        assert!(looked && published(world, &machine) == keys);
        machine.ok("systemctl stop ssh.service");
        wait_until_withdrawn(world);
        machine.ok("systemctl enable --now dropbear.service");
        check_only_dropbear(world, &machine);

        machine.ok("systemctl disable --now dropbear.service; systemctl enable --now ssh.socket");
        assert_eq!(published(world, &machine), keys);
        machine.ok("systemctl mask --now ssh.socket ssh.service; systemctl enable --now dropbear.service");
        wait_until_withdrawn(world);
        machine.reboot();
        check_only_dropbear(world, &machine);
        machine.power_off();
    });
}

#[test]
fn h3_image_notices_an_installed_and_a_removed_openssh() {
    let kit = Kit::new(Suite::TrixieDropbear);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.chroot("dpkg --purge openssh-server; rm -f /etc/ssh/ssh_host_*").ok("dpkg");
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        check_only_dropbear(world, &machine);

        machine.ok("systemctl disable --now dropbear.service; DEBIAN_FRONTEND=noninteractive dpkg --install /root/openssh-server_*.deb");
        published(world, &machine);
        machine.ok("DEBIAN_FRONTEND=noninteractive dpkg --remove openssh-server; systemctl enable --now dropbear.service");
        wait_until_withdrawn(world);
        check_only_dropbear(world, &machine);
        machine.power_off();
    });
}
