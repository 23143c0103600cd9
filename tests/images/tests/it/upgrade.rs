//! Installation, upgrade, downgrade, removal and purge of the .deb on a running machine.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{FINGERPRINTS, SCRIPT, failed_units, log_in, published, script_runs};

#[test]
fn s4_upgrade_and_downgrade_on_debian_12() {
    check_upgrade(Suite::Bookworm);
}

#[test]
fn s4_upgrade_and_downgrade_on_debian_13() {
    check_upgrade(Suite::Trixie);
}

/// What no installation may change: sshd's process, the host keys, the runs of the two other roles, and the effects of setup scripts.
fn undisturbed(machine: &Machine) -> String {
    machine.ok("systemctl show --property=MainPID,ExecMainStartTimestampMonotonic ssh.service
        for unit in scw-agent-hostkeys scw-agent-setup; do systemctl show --property=InvocationID $unit.service; done
        cat /var/log/setup-script.log; cat /etc/ssh/ssh_host_*; ls -i /etc/ssh/ssh_host_*")
}

/// The daemon's process id, if it runs.
fn daemon(machine: &Machine) -> String {
    machine.ok("systemctl is-active --quiet scw-agent.service; systemctl show --property=MainPID --value scw-agent.service")
}

fn check_upgrade(suite: Suite) {
    let kit = Kit::new(suite);
    let (older, newer) = (kit.deb_as("0.0.1-1"), kit.deb_as("9.0.0-1"));
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(&older);
        let before = files(&disk);
        let machine = Machine::boot(world, &disk);
        let keys = published(world, &machine);
        script_runs(&machine, 1);
        machine.ok("printf '[metadata]\\nlook-again = \"14m\"\\n' >/etc/scw-agent.toml; systemctl disable scw-agent-setup.path");

        let packages = [kit.deb(), &newer, kit.deb(), &older].map(|deb| disk.bring(deb));
        for package in packages {
            let (state, pid) = (undisturbed(&machine), daemon(&machine));
            machine.ok(&format!("dpkg --force-downgrade --force-confold --install {package}"));
            assert_eq!(undisturbed(&machine), state, "{package}");
            assert_ne!(daemon(&machine), pid, "{package}: the daemon was restarted");
            assert_eq!(machine.ok("scw-userdata ssh-host-fingerprints | grep -c SHA256"), "3");
            assert!(disk.read("/etc/scw-agent.toml").contains("14m"), "{package}: the configuration file is kept");
            let enabled = machine.sh("systemctl is-enabled scw-agent-setup.path").out;
            assert_eq!(enabled, "disabled\n", "{package}: the disabled unit stays disabled");
            assert_eq!(failed_units(&machine), "");
        }
        assert_eq!(published(world, &machine), keys);

        let state = machine.ok("systemctl show --property=MainPID ssh.service; cat /etc/ssh/ssh_host_*");
        machine.ok("dpkg --remove scw-agent");
        assert_eq!(machine.ok("systemctl show --property=MainPID ssh.service; cat /etc/ssh/ssh_host_*"), state);
        assert_eq!(machine.ok("pgrep -c scw-agent || true"), "0");
        assert!(disk.has("/var/lib/scw-agent/instance.json") && disk.has("/etc/scw-agent.toml"), "a removal keeps state and configuration");
        log_in(&machine, &keys);

        machine.ok("dpkg --purge scw-agent");
        assert_eq!(machine.ok("systemctl show --property=MainPID ssh.service; cat /etc/ssh/ssh_host_*"), state);
        assert_eq!(machine.ok("systemctl list-unit-files --no-legend 'scw-agent*' | wc -l"), "0");
        assert_eq!(machine.ok("dpkg-divert --list '*scw*'"), "");
        machine.power_off();
        let remaining: Vec<_> = files(&disk).into_iter().filter(|file| file.contains("scw-agent") || file.contains("scw-userdata")).collect();
        println!("remaining after a purge: {remaining:?}");
        assert_eq!(remaining, [""; 0], "no file of the package remains");
        assert!(before.iter().any(|file| file == "/usr/bin/scw-userdata"), "the list of files shows the package: {before:?}");
        assert!(disk.read("/etc/passwd").contains("scw-agent:"), "the user remains, so that no other user gets its number");
    });
}

/// All files on the disk, except for temporary files, caches and logs.
fn files(disk: &Disk) -> Vec<String> {
    let found = disk.chroot("find / -xdev -path /proc -prune -o -path /run -prune -o -path /tmp -prune -o -path /root -prune -o -path '/var/log/*' -prune -o -path /var/cache -prune -o -print").ok("find");
    found.lines().map(str::to_owned).collect()
}

#[test]
fn s4_install_on_running_machine_starts_only_daemon() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.chroot("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key").ok("ssh-keygen");
        let deb = disk.bring(kit.deb());
        let mut machine = Machine::boot(world, &disk);
        let sshd = machine.ok("systemctl show --property=MainPID ssh.service");
        machine.ok(&format!("dpkg --install {deb}"));
        let keys = published(world, &machine);
        assert_eq!(keys.len(), 1, "only the key that existed: {keys:?}");
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert!(!disk.has("/var/log/setup-script.log"), "no script ran");
        assert_eq!(machine.ok("systemctl show --property=MainPID ssh.service"), sshd);

        world.standin().delete_user_data(FINGERPRINTS);
        machine.reboot();
        script_runs(&machine, 1);
        assert_eq!(published(world, &machine).len(), 3, "the next boot makes the missing keys");
    });
}

/// After a removal or a purge, dpkg runs the scripts of a new installation, and the daemon does not run.
#[test]
fn s4_reinstalling_starts_the_daemon_and_runs_nothing() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let deb = disk.bring(kit.deb());
        let mut machine = Machine::boot(world, &disk);
        let keys = published(world, &machine);
        script_runs(&machine, 1);
        let state = || {
            machine.ok("systemctl show --property=MainPID ssh.service; cat /var/log/setup-script.log; cat /etc/ssh/ssh_host_*; ls -i /etc/ssh/ssh_host_*")
        };
        let before = state();
        for removal in ["--remove", "--purge"] {
            machine.ok(&format!("dpkg {removal} scw-agent"));
            assert_eq!(machine.ok("pgrep -c scw-agent || true"), "0", "{removal}");
            // The published value is deleted, and must be published again.
            world.standin().delete_user_data(FINGERPRINTS);
            machine.ok(&format!("dpkg --install {deb}"));
            daemon(&machine);
            assert_eq!(published(world, &machine), keys, "{removal}");
            let status = machine.until("the status has no problem", "scw-agent status --json");
            let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
            assert!(!status["fingerprints"]["checked"].is_null(), "{removal}: {status}");
            assert_eq!(machine.ok("systemctl is-active scw-agent-hostkeys-settle.path"), "active", "{removal}");
            assert_eq!(machine.sh("systemctl is-active scw-agent-setup.path").out, "inactive\n", "{removal}");
            assert_eq!((state(), &*failed_units(&machine)), (before.clone(), ""), "{removal}");
        }

        // An upgrade does not start a daemon that the administrator stopped; an installation does not start one that is disabled.
        machine.ok(&format!("systemctl stop scw-agent.service; dpkg --install {deb}"));
        assert_eq!(machine.sh("systemctl is-active scw-agent.service").out, "inactive\n");
        machine.ok(&format!("systemctl disable scw-agent.service; dpkg --remove scw-agent; dpkg --install {deb}"));
        assert_eq!(machine.sh("systemctl is-active scw-agent.service").out, "inactive\n");
        machine.ok("systemctl enable scw-agent.service");
        assert_eq!(machine.ok("ls -A /run | grep to-be-started || true"), "");
        assert_eq!(state(), before);

        // The purge deleted the records, so the script runs again at the next boot.
        machine.reboot();
        script_runs(&machine, 2);
        assert_eq!(published(world, &machine), keys);
    });
}
