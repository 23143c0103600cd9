//! systemd's lock of the metadata service in a booted image. systemd-imds sets it up: a `prohibit` route for both addresses, and a
//! separate routing table for sockets with systemd's mark.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{
    FINGERPRINTS, OTHER_INSTANCE, SCRIPT, become_instance, failed_units, log_in, published,
    published_instead_of, script_runs,
};

/// The entries for Scaleway in Debian's hwdb. udev would pass them to systemd-imdsd, but containers have no udev.
const LOCKED: [&str; 6] = [
    "systemd.imds=yes",
    "systemd.imds.network=locked",
    "systemd.imds.vendor=scaleway",
    "systemd.imds.data_url=http://169.254.42.42",
    "systemd.imds.address_ipv4=169.254.42.42",
    "systemd.imds.address_ipv6=fd00:42::42",
];

/// Makes systemd-imdsd's network configuration match the world's interface, and gives the interface its addresses without DHCP.
const WIRE: &str = "[Match]\nKind=\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n\
                    Address=192.0.2.10/32\nAddress=2001:db8::10/128\n";

/// Without CAP_NET_RAW, as on a kernel before Linux 5.17, where that capability does not permit a process to set a mark.
const NO_MARK: &str = "[Service]\nAmbientCapabilities=\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n\
                       CapabilityBoundingSet=\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n";

fn put(disk: &Disk, path: &str, text: &str) {
    let path = disk.path(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// Without the mark, even root cannot reach the service over either family.
fn check_locked(machine: &Machine) {
    let rules = machine.until(
        "both addresses are locked",
        "ip -4 route show type prohibit | grep 169.254.42.42; ip -6 route show type prohibit | grep fd00:42::42; ip rule; ip -6 rule",
    );
    assert_eq!(rules.matches("fwmark 0x7fff0815").count(), 2, "{rules}");
    for address in ["169.254.42.42", "fd00:42::42"] {
        let tried = machine.sh(&format!("timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/80'"));
        assert!(tried.err.contains("Permission denied"), "{address}: {tried:?}");
    }
}

/// A disk with the agent, and systemd's own client of the metadata service on the world's network; a setup script in user data.
fn disk_with_imds(world: &World, kit: &Kit) -> Disk {
    world.standin().set_user_data("setup-script", SCRIPT);
    let disk = Disk::new(world, kit);
    disk.install(kit.deb());
    disk.chroot("systemctl enable systemd-networkd.service").ok("systemctl");
    put(&disk, "/etc/systemd/network/85-imds-early.network.d/50-wire.conf", WIRE);
    disk
}

#[test]
fn t2_image_with_systemds_lock_does_complete_job() {
    let kit = Kit::new(Suite::ForkyImds);
    World::builder().run(|world| {
        let disk = disk_with_imds(world, &kit);

        let machine = Machine::boot_with(world, &disk, &LOCKED);
        check_locked(&machine);
        let keys = published(world, &machine);
        script_runs(&machine, 1);
        log_in(&machine, &keys);
        assert_eq!(machine.ok("scw-userdata setup-script | grep -c ran"), "1");
        machine.ok("scw-agent doctor; scw-agent status");
        assert_eq!(failed_units(&machine), "");
        println!("{}", machine.ok("systemd-analyze security --no-pager scw-agent.service | tail -n 1"));
        machine.power_off();

        become_instance(world, OTHER_INSTANCE);
        let clone = disk.copy();
        let machine = Machine::boot_with(world, &clone, &LOCKED);
        check_locked(&machine);
        published_instead_of(world, &machine, &keys);
        script_runs(&machine, 2);
        machine.power_off();
    });
}

#[test]
fn t2_image_with_locked_out_daemon_leaves_work_to_root() {
    let kit = Kit::new(Suite::ForkyImds);
    World::builder().run(|world| {
        let disk = disk_with_imds(world, &kit);
        put(&disk, "/etc/systemd/system/scw-agent.service.d/no-mark.conf", NO_MARK);

        let machine = Machine::boot_with(world, &disk, &LOCKED);
        check_locked(&machine);
        script_runs(&machine, 1);
        assert_eq!(machine.ok("scw-userdata setup-script | grep -c ran"), "1");
        let doctor = machine.sh("scw-agent doctor");
        assert!(doctor.code == Some(5) && doctor.out.contains("the daemon cannot reach it"), "{doctor:?}");
        let status = machine.sh("scw-agent status");
        assert!(status.code == Some(1) && status.out.contains("CAP_NET_RAW"), "{status:?}");
        let keys = machine.ok("cat /etc/ssh/ssh_host_*_key.pub");
        machine.until("the Instance is recorded", "[ -e /var/lib/scw-agent/instance.json ]");
        machine.power_off();

        become_instance(world, OTHER_INSTANCE);
        let clone = disk.copy();
        let machine = Machine::boot_with(world, &clone, &LOCKED);
        machine.until(
            "the new Instance is recorded",
            &format!("grep -q {OTHER_INSTANCE} /var/lib/scw-agent/instance.json"),
        );
        let second = machine.ok("cat /etc/ssh/ssh_host_*_key.pub");
        assert!(second.lines().all(|line| !keys.contains(line)), "{keys} {second}");
        script_runs(&machine, 2);
        assert_eq!(world.standin().user_data(FINGERPRINTS), None);
        machine.power_off();
    });
}
