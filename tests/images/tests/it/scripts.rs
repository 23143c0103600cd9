//! Scripts under real systemd: what runs when a machine really goes down, and what does not when it does not.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed, published};

/// It can still ask the service when it runs.
const AT_SHUTDOWN: &str = "#!/bin/sh\necho \"$SCW_SCRIPT $(scw-userdata colour)\" >>/var/log/at-shutdown\ncat /proc/self/cgroup >/var/log/group-at-shutdown\n";
/// A setup script in whose first attempt the machine goes down.
const LONG_AT_FIRST: &str =
    "#!/bin/sh\necho $SCW_SETUP_ATTEMPT >>/var/log/attempts\n[ $SCW_SETUP_ATTEMPT != 1 ] || exec sleep 600\n";

#[test]
fn s4_shutdown_scripts_run_only_at_shutdown_with_network() {
    let kit = Kit::new(Suite::Trixie);
    let newer = kit.deb_as("9.0.0-1");
    World::builder().run(|world| {
        world.standin().set_user_data("shutdown-script", AT_SHUTDOWN);
        world.standin().set_user_data("setup-script", LONG_AT_FIRST);
        world.standin().set_user_data("colour", "blue");
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let ran = || {
            if disk.has("/var/log/at-shutdown") { disk.read("/var/log/at-shutdown") } else { String::new() }
        };

        let mut machine = Machine::power_on(world, &disk);
        machine.until(
            "the setup script runs",
            "grep 1 /var/log/attempts && systemctl is-active scw-agent-shutdown.service",
        );
        machine.reboot();
        machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
        assert_eq!(disk.read("/var/log/attempts"), "1\n2\n", "cut off, and started again");
        assert_eq!(ran(), "shutdown-script blue\n", "while a setup script ran");

        published(world, &machine);
        let package = disk.bring(&newer);
        machine.ok(&format!(
            "dpkg --install {package}; systemctl restart scw-agent-shutdown.service scw-agent-setup.service"
        ));
        machine.ok("systemctl stop scw-agent-shutdown.service; systemctl start scw-agent-shutdown.service");
        assert_eq!(ran(), "shutdown-script blue\n", "an upgrade and a stop run nothing");
        let journal = machine.ok("journalctl --unit=scw-agent-shutdown.service --no-pager");
        assert!(journal.contains("not going down"), "{journal}");
        assert_eq!(failed(&machine), "");

        machine.reboot();
        assert_eq!(ran().lines().count(), 2);
        let shown = machine.ok("scw-agent setup show shutdown-script; cat /var/log/attempts");
        assert_eq!(shown.matches("exit code 0").count(), 2, "{shown}");
        assert!(shown.ends_with("1\n2"), "a success is not repeated: {shown}");
        machine.power_off();
        assert_eq!(ran(), "shutdown-script blue\n".repeat(3));
        let group = disk.read("/var/log/group-at-shutdown");
        let (_, run) = group.split_once("/scw-agent-shutdown.service/").expect(&group);
        assert_ne!(run.trim(), ".control", "a group of its own: {group}");
    });
}

#[test]
fn s2_image_journal_loses_nothing_after_much_output() {
    for suite in [Suite::Bullseye, Suite::Trixie] {
        let kit = Kit::new(suite);
        World::builder().run(|world| {
            let disk = Disk::new(world, &kit);
            disk.install(kit.deb());
            disk.chroot("useradd --create-home deploy").ok("useradd");
            // Far over what the journal takes from a service within 30 s.
            let many = "#!/bin/sh\n# scw-setup: user=deploy\nseq 200000\n";
            world.standin().set_user_data("setup-script.1", many);
            world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho a line of root\n");
            let machine = Machine::boot(world, &disk);
            machine.until("the boot's scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
            machine.ok("journalctl --sync");
            let journal = "journalctl --unit=scw-agent-setup.service --output=cat --no-pager";
            let told = machine.ok(&format!("{journal} | grep -v '^setup-script.1: [0-9]'"));
            for line in [
                "setup-script.1: exit code 0",
                "setup-script.2: a line of root",
                "setup-script.2: exit code 0",
            ] {
                assert!(told.contains(line), "{suite:?}: {line}: {told}");
            }
            assert_eq!(
                machine.ok(&format!("{journal} | grep -c '^setup-script.1: [0-9]'")),
                "200000",
                "{suite:?}"
            );
        });
    }
}
