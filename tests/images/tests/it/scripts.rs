//! Scripts under real systemd: shutdown scripts run at a shutdown of the machine and at no other time; the journal is complete.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed_units, published};

/// A shutdown script that reads a value, so the metadata service must still be reachable.
const AT_SHUTDOWN: &str = "#!/bin/sh\necho \"$SCW_SCRIPT $(scw-userdata colour)\" >>/var/log/at-shutdown\ncat /proc/self/cgroup >/var/log/group-at-shutdown\n";
/// A setup script whose first attempt is interrupted by a reboot.
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
        assert_eq!(disk.read("/var/log/attempts"), "1\n2\n", "interrupted, and started again");
        assert_eq!(
            ran(),
            "shutdown-script blue\n",
            "the shutdown script ran, although a setup script was running"
        );

        published(world, &machine);
        let package = disk.bring(&newer);
        machine.ok(&format!(
            "dpkg --install {package}; systemctl restart scw-agent-shutdown.service scw-agent-setup.service"
        ));
        machine.ok("systemctl stop scw-agent-shutdown.service; systemctl start scw-agent-shutdown.service");
        assert_eq!(ran(), "shutdown-script blue\n", "an upgrade and a stop of the unit run no script");
        let journal = machine.ok("journalctl --unit=scw-agent-shutdown.service --no-pager");
        assert!(journal.contains("not going down"), "{journal}");
        assert_eq!(failed_units(&machine), "");

        machine.reboot();
        assert_eq!(ran().lines().count(), 2);
        let shown = machine.ok("scw-agent setup show shutdown-script; cat /var/log/attempts");
        assert_eq!(shown.matches("exit code 0").count(), 2, "{shown}");
        assert!(shown.ends_with("1\n2"), "a success is not repeated: {shown}");
        machine.power_off();
        assert_eq!(ran(), "shutdown-script blue\n".repeat(3));
        let group = disk.read("/var/log/group-at-shutdown");
        let (_, run) = group.split_once("/scw-agent-shutdown.service/").expect(&group);
        assert_ne!(run.trim(), ".control", "the script has its own control group: {group}");
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
            // Far more lines than journald accepts from a service within 30 s.
            let many = "#!/bin/sh\n# scw-setup: user=deploy\nseq 200000\n";
            world.standin().set_user_data("setup-script.1", many);
            world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho a line of root\n");
            let machine = Machine::boot(world, &disk);
            machine.until("the boot's scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
            machine.ok("journalctl --sync");
            let journal = "journalctl --unit=scw-agent-setup.service --output=cat --no-pager";
            let log = machine.ok(&format!("{journal} | grep -v '^setup-script.1: [0-9]'"));
            for line in [
                "setup-script.1: exit code 0",
                "setup-script.2: a line of root",
                "setup-script.2: exit code 0",
            ] {
                assert!(log.contains(line), "{suite:?}: {line}: {log}");
            }
            assert_eq!(
                machine.ok(&format!("{journal} | grep -c '^setup-script.1: [0-9]'")),
                "200000",
                "{suite:?}"
            );
        });
    }
}
