//! The .rpm installed, upgraded and erased in a root file system with its scriptlets run, and booted.

use std::path::Path;
use std::process::Command;

use scw_images::{Disk, Kit, Machine, Ran, Suite};
use scw_stage::World;

use crate::common::{failed, log_in, published};

/// What it needs is there, but Debian's packages are not in rpm's own list.
fn rpm(disk: &Disk, words: &[&str]) -> Ran {
    let mut command = Command::new("rpm");
    command.arg("--root").arg(disk.root()).args(["--nodeps", "--verbose"]).args(words);
    Ran::run(&mut command)
}

#[test]
fn s4_rpm_install_boot_upgrade_erase() {
    let kit = Kit::new(Suite::Trixie);
    let package = Kit::rpm();
    let package = package.to_str().expect("UTF-8");
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        let ran = rpm(&disk, &["--install", package]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        let enabled = disk.chroot("ls /etc/systemd/system/multi-user.target.wants").ok("ls");
        let first = enabled.clone();
        for unit in ["scw-agent.service", "scw-agent-hostkeys.service", "scw-agent-setup.path"] {
            assert!(enabled.lines().any(|line| line == unit), "{unit}: {enabled}");
        }
        assert!(disk.read("/etc/passwd").contains("\nscw-agent:"));
        assert_eq!(
            disk.path("/usr/bin/scw-userdata").read_link().expect("a link"),
            Path::new("../libexec/scw-agent/scw-userdata")
        );

        let machine = Machine::boot(world, &disk);
        let keys = published(world, &machine);
        log_in(&machine, &keys);
        assert_eq!(machine.ok("scw-userdata ssh-host-fingerprints | grep -c SHA256"), "3");
        assert_eq!(failed(&machine), "");
        machine.power_off();

        disk.chroot("systemctl disable scw-agent-setup.path").ok("systemctl");
        let upgraded = || {
            let ran = rpm(&disk, &["--upgrade", "--force", package]);
            assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
            disk.chroot("ls /etc/systemd/system/multi-user.target.wants").ok("ls")
        };
        let enabled = upgraded();
        assert!(
            !enabled.contains("scw-agent-setup.path"),
            "an administrator's choice outlives an upgrade: {enabled}"
        );
        // A unit of an administrator's, too; but not the link of a version whose unit was enabled.
        let unit = "/usr/lib/systemd/system/scw-agent-setup.service";
        disk.chroot(&format!("ln -s {unit} /etc/systemd/system/multi-user.target.wants/")).ok("ln");
        assert!(upgraded().contains("scw-agent-setup.service"));
        disk.chroot(&format!("printf '[Install]\\nWantedBy=multi-user.target\\n' >>{unit}")).ok("printf");
        assert!(!upgraded().contains("scw-agent-setup.service"));
        assert!(disk.has("/usr/bin/scw-userdata"));

        let ran = rpm(&disk, &["--erase", "scw-agent"]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        let left = disk.chroot("find /usr /etc -name '*scw-*'").ok("find");
        assert_eq!(left, "", "nothing is left behind");
        assert!(disk.has("/etc/ssh/ssh_host_ed25519_key"), "the keys are the machine's");

        // An installation after that is as the first one: the next boot starts everything.
        let ran = rpm(&disk, &["--install", package]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        assert_eq!(disk.chroot("ls /etc/systemd/system/multi-user.target.wants").ok("ls"), first);
        let machine = Machine::boot(world, &disk);
        assert_eq!(published(world, &machine), keys);
    });
}

#[test]
fn the_rpm_leaves_a_command_of_scaleway_ecosystems_alone() {
    let kit = Kit::new(Suite::Trixie);
    let package = Kit::rpm();
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        std::fs::write(disk.path("/usr/bin/scw-userdata"), "#!/bin/sh\necho old\n").expect("written");
        let ran = rpm(&disk, &["--install", package.to_str().expect("UTF-8")]);
        assert!(ran.is_ok(), "{}{}", ran.out, ran.err);
        assert_eq!(disk.read("/usr/bin/scw-userdata"), "#!/bin/sh\necho old\n");
        assert!(disk.chroot("/usr/libexec/scw-agent/scw-userdata --version").is_ok());
    });
}
