//! The setup unit in a boot: nothing waits for it, it does not start without scripts, and its failure ends once its scripts succeed.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed_units, published};

/// Starts a unit that is ordered after the complete boot, then waits for a file.
const WAITING: &str = "#!/bin/sh\necho started >/run/script\nsystemctl start late.service\necho late >>/run/script\n\
                       until [ -e /run/go ]; do sleep 0.1; done\n";
const LATE: &str = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

#[test]
fn s1_boot_does_not_wait_for_scripts() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        check_boot_does_not_wait(suite);
    }
}

fn check_boot_does_not_wait(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world.standin().set_user_data("startup-script", WAITING);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        std::fs::write(disk.path("/etc/systemd/system/late.service"), LATE).expect("written");
        let mut machine = Machine::power_on(world, &disk);
        machine.until("the script runs", "grep started /run/script");
        assert_eq!(machine.sh("systemctl is-system-running --wait").out, "running\n", "{suite:?}");
        machine.until("the late unit was started", "grep late /run/script");
        assert_eq!(machine.ok("systemctl list-jobs --no-legend"), "", "{suite:?}: a job waits");
        let state = machine.ok("systemctl show --property=ActiveState,SubState scw-agent-setup.service");
        assert_eq!(state, "ActiveState=active\nSubState=running", "{suite:?}: the script still runs");
        check_critical_chains(&machine);
        published(world, &machine);
        assert!(
            !machine.sh("scw-agent status --wait --timeout 1ms").is_ok(),
            "{suite:?}: the script still runs"
        );
        machine.ok("touch /run/go; scw-agent status --wait");
        assert_eq!(failed_units(&machine), "", "{suite:?}");

        // Without scripts the unit is not started, and `status --wait` ends.
        world.standin().delete_user_data("startup-script");
        machine.reboot();
        machine.ok("scw-agent status --wait");
        let started =
            "systemctl show --property=ExecMainStartTimestampMonotonic --value scw-agent-setup.service";
        assert_eq!(machine.ok(started), "0", "{suite:?}: the unit was started");

        // Without the daemon the unit is not started either; an administrator can start it.
        world.standin().set_user_data("startup-script", "#!/bin/sh\ntouch /run/script\n");
        machine.ok("systemctl disable scw-agent.service");
        machine.reboot();
        assert_eq!(machine.ok(started), "0", "{suite:?}: the unit was started");
        machine.ok("systemctl start scw-agent-setup.service");
        machine.until("the script ran", "[ -e /run/script ]");
    });
}

fn check_critical_chains(machine: &Machine) {
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
fn s2_machine_not_degraded_after_scripts_are_fixed() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        check_fixed(suite);
    }
}

fn check_fixed(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        for key in ["setup-script.a", "setup-script.b"] {
            world.standin().set_user_data(key, "#!/bin/sh\n[ -e /root/fixed ]\n");
        }
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        let becomes =
            |state: &str| machine.until(state, &format!("[ $(systemctl is-system-running) = {state} ]"));
        machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
        machine.until("the unit failed", "systemctl is-failed scw-agent-setup.service");
        becomes("degraded");
        machine.ok("touch /root/fixed; scw-agent setup run setup-script.a --again");
        machine.ok("systemctl is-failed scw-agent-setup.service");
        machine.ok("scw-agent setup run setup-script.b --again");
        assert_eq!(failed_units(&machine), "", "{suite:?}");
        becomes("running");
        machine.ok("scw-agent status --wait");
    });
}
