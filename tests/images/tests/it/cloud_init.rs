//! The agent together with cloud-init: only cloud-init runs its script, and the agent publishes the keys that cloud-init made.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{SCRIPT, log_in, published, script_runs};

const CLOUD_SCRIPT: &str = "#!/bin/sh\necho ran >>/var/log/cloud-script.log\n";

#[test]
fn h3_h4_s1_cloud_init_runs_its_script_its_keys_published() {
    let kit = Kit::new(Suite::TrixieCloudInit);
    World::builder().run(|world| {
        world.standin().set_user_data("cloud-init", CLOUD_SCRIPT);
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        seed(&disk, CLOUD_SCRIPT);
        let mut machine = Machine::boot(world, &disk);
        println!("{}", machine.until("cloud-init is done", "cloud-init status --wait --long"));
        assert!(
            machine.ok("cat /var/log/cloud-init.log").contains("Generating public/private")
                || machine.ok("cat /var/log/cloud-init-output.log").contains("Generating public/private"),
            "cloud-init made keys"
        );
        let keys = published(world, &machine);
        check_script_ran_once(&machine);
        script_runs(&machine, 1);
        assert_eq!(machine.ok("journalctl --boot --no-pager | grep -i 'ordering cycle' || true"), "");
        println!(
            "{}",
            machine.ok(
                "systemd-analyze critical-chain ssh.service; scw-agent setup list; scw-agent status || true"
            )
        );

        machine.reboot();
        machine.until("cloud-init is done", "cloud-init status --wait");
        assert_eq!(published(world, &machine), keys);
        check_script_ran_once(&machine);
        script_runs(&machine, 1);
        log_in(&machine, &keys);
    });
}

/// Gives the value to cloud-init as files on the disk, since its data source for Scaleway needs a DHCP server.
fn seed(disk: &Disk, user_data: &str) {
    std::fs::create_dir_all(disk.path("/var/lib/cloud/seed/nocloud")).expect("made");
    let meta = "instance-id: daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86\nlocal-hostname: scw-example\n";
    for (name, text) in [("meta-data", meta), ("user-data", user_data)] {
        std::fs::write(disk.path("/var/lib/cloud/seed/nocloud").join(name), text).expect("written");
    }
}

/// Runs `status --wait` in another session and without the script's variables, which would wait for this script itself. Then waits
/// for a file, and fails.
const SLOW_SCRIPT: &str = "#!/bin/sh\necho started >/run/script\n\
    su - root -c 'env -i /usr/bin/scw-agent status --wait' >/run/waited 2>&1; echo $? >>/run/waited\n\
    until [ -e /run/go ]; do sleep 0.1; done\nexit 3\n";

#[test]
fn s2_status_waits_for_cloud_init_and_counts_its_failure() {
    let kit = Kit::new(Suite::TrixieCloudInit);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        seed(&disk, SLOW_SCRIPT);
        let mut machine = Machine::power_on(world, &disk);
        machine.until("cloud-init's script runs", "[ -e /run/script ]");
        machine.until("the wait for itself is refused", "grep -x 2 /run/waited");
        let refused = machine.ok("cat /run/waited");
        assert!(refused.contains("cloud-init does not end before"), "{refused}");
        published(world, &machine);
        let json = |machine: &Machine| -> serde_json::Value {
            serde_json::from_str(&machine.sh("scw-agent status --json").out).expect("JSON")
        };
        let state = json(&machine)["cloud_init"].clone();
        assert_eq!(state, serde_json::json!({ "state": "running", "stage": "modules-final" }));
        // A busy daemon may take longer than a second for its answer.
        machine.until(
            "a wait that ends too early names what it waits for",
            "scw-agent status --wait --timeout 1s 2>&1 | grep -F 'cloud-init has not finished; it is at modules-final'",
        );
        machine.until("`status` shows the stage, and no problem", "scw-agent status | grep 'cloud-init .*modules-final'");

        machine.ok("touch /run/go");
        let waited = machine.sh("scw-agent status --wait || exit $?");
        assert!(waited.out.contains("✗ cloud-init    failed at modules-final: scripts"), "{waited:?}");
        assert!(!waited.is_ok() && waited.out.contains("cloud-init status --long"), "{waited:?}");
        assert_eq!(json(&machine)["cloud_init"]["state"], "done");
        assert!(!machine.sh("scw-agent doctor").is_ok());

        // If one of its units fails, `status` reports it, and the others continue.
        let units = "cloud-init-local cloud-init-main cloud-init-network cloud-config cloud-final";
        machine.ok("mkdir -p /etc/systemd/system/cloud-config.service.d; cd /etc/systemd/system/cloud-config.service.d; \
                    printf '[Service]\\nExecStartPost=/bin/false\\n' >x.conf");
        machine.reboot();
        let waited = machine.sh("scw-agent status --wait");
        assert!(!waited.is_ok() && waited.out.contains("cloud-config.service failed: exit-code"), "{waited:?}");
        assert!(!machine.ok("systemctl show --property=ActiveState cloud-final.service").contains("activating"));

        // If its units are masked, nothing waits for cloud-init.
        machine.ok(&format!("rm -r /etc/systemd/system/cloud-config.service.d; for unit in {units}; do systemctl mask $unit.service; done"));
        machine.reboot();
        let status = machine.ok("scw-agent status --wait");
        assert!(status.contains("cloud-init    not started yet"), "{status}");
    });
}

#[track_caller]
fn check_script_ran_once(machine: &Machine) {
    machine.until("cloud-init's script", "[ -e /var/log/cloud-script.log ]");
    assert_eq!(machine.ok("cat /var/log/cloud-script.log"), "ran");
}
