//! The setup unit in a boot: nothing waits for it, it starts nothing where there is nothing to do, and it is well again when its scripts are.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed, published};

/// Starts a unit that comes after all of the boot, then waits for a file.
const WAITING: &str = "#!/bin/sh\necho started >/run/script\nsystemctl start late.service\necho late >>/run/script\n\
                       until [ -e /run/go ]; do sleep 0.1; done\n";
const LATE: &str = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

#[test]
fn s1_boot_does_not_wait_for_scripts() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        boot_does_not_wait(suite);
    }
}

fn boot_does_not_wait(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world.standin().set_user_data("startup-script", WAITING);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        std::fs::write(disk.path("/etc/systemd/system/late.service"), LATE).expect("written");
        let mut machine = Machine::power_on(world, &disk);
        machine.until("the script runs", "grep started /run/script");
        assert_eq!(machine.sh("systemctl is-system-running --wait").out, "running\n", "{suite:?}");
        machine.until("what comes after the boot can be started", "grep late /run/script");
        assert_eq!(machine.ok("systemctl list-jobs --no-legend"), "", "{suite:?}: a job waits");
        let state = machine.ok("systemctl show --property=ActiveState,SubState scw-agent-setup.service");
        assert_eq!(state, "ActiveState=active\nSubState=running", "{suite:?}: the script still runs");
        nothing_of_ours_in_the_chains(&machine);
        published(world, &machine);
        assert!(
            !machine.sh("scw-agent status --wait --timeout 1ms").is_ok(),
            "{suite:?}: it is not done yet"
        );
        machine.ok("touch /run/go; scw-agent status --wait");
        assert_eq!(failed(&machine), "", "{suite:?}");

        // Without scripts, nothing is started, and the boot's work is done.
        world.standin().delete_user_data("startup-script");
        machine.reboot();
        machine.ok("scw-agent status --wait");
        let started =
            "systemctl show --property=ExecMainStartTimestampMonotonic --value scw-agent-setup.service";
        assert_eq!(machine.ok(started), "0", "{suite:?}: it was started");

        // Nor without the daemon; a person can start it.
        world.standin().set_user_data("startup-script", "#!/bin/sh\ntouch /run/script\n");
        machine.ok("systemctl disable scw-agent.service");
        machine.reboot();
        assert_eq!(machine.ok(started), "0", "{suite:?}: it was started");
        machine.ok("systemctl start scw-agent-setup.service");
        machine.until("the script ran", "[ -e /run/script ]");
    });
}

fn nothing_of_ours_in_the_chains(machine: &Machine) {
    for target in ["ssh.service", "multi-user.target"] {
        let chain = machine.ok(&format!("systemd-analyze critical-chain {target}"));
        let after = machine.ok(&format!("systemctl show --property=After --value {target}"));
        println!("{chain}");
        let is_ours = |word: &&str| word.starts_with("scw-agent") && word.ends_with(".service");
        let ours = |text: &str| {
            let words: Vec<_> = text.split([' ', '\n', '─']).filter(is_ours).map(str::to_owned).collect();
            words.into_iter().filter(|unit| unit != "scw-agent-hostkeys.service").collect::<Vec<_>>()
        };
        assert_eq!((ours(&chain), ours(&after)), (vec![], vec![]), "{target}: {chain}\n{after}");
    }
}

#[test]
fn s2_machine_is_not_degraded_once_its_scripts_are_cured() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        cured(suite);
    }
}

fn cured(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        for key in ["setup-script.a", "setup-script.b"] {
            world.standin().set_user_data(key, "#!/bin/sh\n[ -e /root/cured ]\n");
        }
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        let becomes =
            |state: &str| machine.until(state, &format!("[ $(systemctl is-system-running) = {state} ]"));
        machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
        machine.until("the unit failed", "systemctl is-failed scw-agent-setup.service");
        becomes("degraded");
        machine.ok("touch /root/cured; scw-agent setup run setup-script.a --again");
        machine.ok("systemctl is-failed scw-agent-setup.service");
        machine.ok("scw-agent setup run setup-script.b --again");
        assert_eq!(failed(&machine), "", "{suite:?}");
        becomes("running");
        machine.ok("scw-agent status --wait");
    });
}
