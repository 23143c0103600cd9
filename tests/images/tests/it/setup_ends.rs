//! The end of scripts under real systemd: scripts that reboot the machine, and leftover processes.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

/// Reboots the machine when the test makes a file.
const REBOOTS: &str = "#!/bin/sh\necho $SCW_SCRIPT >>/var/log/ran\n: >/run/began\nuntil [ -e /run/go ]; do sleep 0.1; done\nreboot\n";
const ALL_DONE: &str = "[ -e /run/scw-agent-setup/summary.json ]";

#[test]
fn s1_script_that_ends_in_reboot_runs_once() {
    let kit = Kit::new(Suite::Bookworm);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script.1", REBOOTS);
        // It does not end by itself: each boot interrupts it.
        world.standin().set_user_data("setup-script.2", format!("{REBOOTS}sleep 600\n"));
        world.standin().set_user_data("setup-script.3", "#!/bin/sh\necho $SCW_SCRIPT >>/var/log/ran\n");
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let mut machine = Machine::power_on(world, &disk);
        // Three or four boots: on a busy computer, the next script starts before the reboot stops the runner.
        loop {
            machine.until("a script runs, or all are done", &format!("[ -e /run/began ] || {ALL_DONE}"));
            if machine.sh(ALL_DONE).is_ok() {
                break;
            }
            machine.sh("touch /run/go");
            machine.reboots();
        }
        let ran = ["1", "2", "2", "2", "3"].map(|number| format!("setup-script.{number}\n")).concat();
        assert_eq!(disk.read("/var/log/ran"), ran);
        let listed = machine.ok("scw-agent setup list");
        assert_eq!(listed.lines().filter(|line| line.contains("exit code 0")).count(), 2, "{listed}");
        machine.until("the unit failed", "systemctl is-failed scw-agent-setup.service");
        let status = machine.sh("scw-agent status").out;
        assert!(
            status.contains("setup-script.2: not run: it was cut off in three boots in a row"),
            "{status}"
        );
        machine.power_off();
    });
}

/// Its processes clear their environment and lose their parent. One of them ignores SIGTERM, and PAM moves one into the control group
/// of a session.
const EVADES: &str = "#!/bin/sh\n# scw-setup: timeout=3s\n\
    env -i setsid sleep 5814 &\n\
    (env -i setsid sh -c 'trap \"\" TERM; sleep 5814; sleep 5814' &)\n\
    su - root -c 'exec sleep 5814' &\n\
    sleep 5814\n";
/// It leaves two processes. PAM moves the second one into the control group of a session.
const LEAVES_TWO: &str = "#!/bin/sh\nenv -i setsid sleep 5813 >/dev/null 2>&1 &\n\
    su - root -c 'env -i setsid sleep 5816 >/dev/null 2>&1 &'\n";

#[test]
fn s5_timeout_ends_all_in_the_scripts_control_group() {
    for suite in [Suite::Bullseye, Suite::Forky] {
        check_timeout_ends_all(suite);
    }
}

fn check_timeout_ends_all(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        for (key, script) in [("1", LEAVES_TWO), ("2", EVADES), ("3", EVADES)] {
            world.standin().set_user_data(&format!("setup-script.{key}"), script);
        }
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::power_on(world, &disk);
        machine.until("the scripts are done", ALL_DONE);
        let counted = |seconds: u32| machine.sh(&format!("pgrep -c -x -f 'sleep {seconds}'")).out;
        assert_eq!((counted(5813), counted(5814)), ("1\n".to_owned(), "0\n".to_owned()), "{suite:?}");
        let listed = machine.ok("scw-agent setup list");
        assert_eq!(listed.lines().filter(|line| line.contains("timed out")).count(), 2, "{suite:?}: {listed}");
        let leftover = machine.ok("journalctl --boot --identifier=scw-agent-setup --output=cat --no-pager | grep 'leftover processes'");
        assert!(leftover.starts_with("setup-script.1: leftover processes: ") && leftover.lines().count() == 1, "{suite:?}: {leftover}");
        assert_eq!(leftover.matches(" (").count(), 2, "{suite:?}: {leftover}");
        // Leftover processes survive a restart of the runner, and the control groups of the other scripts are removed.
        // The runner exits with 1, since scripts failed. On a busy computer it may exit before systemd has noticed its start.
        machine.ok("systemctl reset-failed scw-agent-setup.service; systemctl start scw-agent-setup.service || true; sleep 1");
        assert_eq!((counted(5813), counted(5816)), ("1\n".to_owned(), "1\n".to_owned()), "{suite:?}");
        let groups = machine.ok("cd /sys/fs/cgroup/system.slice/scw-agent-setup.service && find . -mindepth 1 -type d | wc -l");
        assert_eq!(groups, "1", "{suite:?}");
        machine.power_off();
    });
}
