//! The .rpm: installation, upgrade and removal in a root file system, with its scriptlets, and a boot.

use std::path::Path;
use std::process::Command;

use scw_images::{Disk, Kit, Machine, Ran, Suite};
use scw_stage::World;

use crate::common::{failed_units, log_in, published};

/// Runs rpm with `--nodeps`: the dependencies are installed, but rpm's database does not list Debian's packages.
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
        assert_eq!(failed_units(&machine), "");
        machine.power_off();

        check_upgrades(&disk, package);
        assert!(disk.has("/usr/bin/scw-userdata"));

        let ran = rpm(&disk, &["--erase", "scw-agent"]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        let remaining = disk.chroot("find /usr /etc -name '*scw-*'").ok("find");
        assert_eq!(remaining, "", "no file of the package remains");
        assert!(disk.has("/etc/ssh/ssh_host_ed25519_key"), "the host keys remain");

        // A new installation is like the first one: the next boot starts all units.
        let ran = rpm(&disk, &["--install", package]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        assert_eq!(disk.chroot("ls /etc/systemd/system/multi-user.target.wants").ok("ls"), first);
        let machine = Machine::boot(world, &disk);
        assert_eq!(published(world, &machine), keys);
    });
}

/// An upgrade respects what an administrator did with units, and removes and adds those that a version did not have.
fn check_upgrades(disk: &Disk, package: &str) {
    disk.chroot("systemctl disable scw-agent-setup.path").ok("systemctl");
    let upgraded = || {
        let ran = rpm(disk, &["--upgrade", "--force", package]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        disk.chroot("ls /etc/systemd/system/multi-user.target.wants").ok("ls")
    };
    let enabled = upgraded();
    assert!(
        !enabled.contains("scw-agent-setup.path"),
        "a unit that the administrator disabled stays disabled: {enabled}"
    );
    // The version before had no such unit.
    let path = "rm /usr/lib/systemd/system/scw-agent-hostname.path /etc/systemd/system/multi-user.target.wants/scw-agent-hostname.path";
    disk.chroot(path).ok("rm");
    assert!(upgraded().contains("scw-agent-hostname.path"));
    // An upgrade keeps a unit that the administrator enabled. It removes the link of a version whose unit was enabled by default.
    let unit = "/usr/lib/systemd/system/scw-agent-setup.service";
    disk.chroot(&format!("ln -s {unit} /etc/systemd/system/multi-user.target.wants/")).ok("ln");
    assert!(upgraded().contains("scw-agent-setup.service"));
    disk.chroot(&format!("printf '[Install]\\nWantedBy=multi-user.target\\n' >>{unit}")).ok("printf");
    assert!(!upgraded().contains("scw-agent-setup.service"));
}

#[test]
fn rpm_keeps_scw_userdata_of_scaleway_ecosystem() {
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

#[test]
fn rpm_of_guest_commands_keeps_disabled_what_was_disabled() {
    let kit = Kit::new(Suite::Trixie);
    let [_, ecosystem] = &Kit::build().ecosystem;
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        // Units of the present package: one is enabled, and two were disabled.
        let units = "/usr/lib/systemd/system";
        for unit in ["scw-fetch-ssh-keys", "scw-set-hostname", "scw-signal-booted"] {
            let text = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=basic.target\n";
            std::fs::write(disk.path(&format!("{units}/{unit}.service")), text).expect("written");
        }
        disk.chroot("systemctl enable scw-signal-booted.service").ok("systemctl");
        let ran = rpm(&disk, &["--install", &text(Kit::rpm()), &text(ecosystem)]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        let set = "scw-agent config show | grep '^manage\\|^at-boot'";
        let shown = disk.chroot(set).ok(set);
        assert!(shown.starts_with("manage = false\nmanage = \"off\"\nat-boot = \"booted\"  # "), "{shown}");
        let ran = rpm(&disk, &["--erase", "scw-agent-ecosystem"]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        // Without the present package, all is on but what an administrator's link disables.
        disk.chroot("rm /etc/scw-agent.toml.d/*").ok("rm");
        disk.chroot(&format!("rm {units}/scw-fetch* {units}/scw-set* {units}/scw-signal*")).ok("rm");
        let ran = rpm(&disk, &["--install", &text(ecosystem)]);
        assert!(ran.is_ok() && !ran.err.contains("scriptlet failed"), "{}{}", ran.out, ran.err);
        let shown = disk.chroot(set).ok(set);
        assert!(shown.starts_with("manage = true") && shown.contains("manage = \"live\""), "{shown}");
    });
}
