//! Disks of the first version, upgraded and downgraded again: only an interrupted script runs again, and a value that the first
//! version ignored does not run.

use std::path::PathBuf;
use std::process::Command;

use scw_images::{Disk, Kit, Machine, Ran, Suite};
use scw_stage::World;
use serde_json::Value;

use crate::common::published;

const LINK: &str = "/etc/systemd/system/multi-user.target.wants/scw-agent-setup.service";
/// The base64 of a script.
const BASE64: &str = "IyEvYmluL3NoCmVjaG8gIiRTQ1dfU0NSSVBUIiA+Pi92YXIvbG9nL3J1bnMK\n";
const MULTIPART: &str = "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\nContent-Type: text/cloud-config\n\n\
    #cloud-config\npackages: [jq]\n\n--B\nContent-Type: text/x-shellscript; charset=\"us-ascii\"\n\
    Content-Disposition: attachment; filename=\"first.sh\"\n\n#!/bin/sh\necho \"$SCW_SCRIPT\" >>/var/log/runs\n\n--B\n\
    Content-Type: text/x-shellscript\n\n#!/bin/sh\necho \"$SCW_SCRIPT\" >>/var/log/runs\n\n--B--\n";

fn fixture(name: &str) -> PathBuf {
    Kit::checkout().join("tests/images/fixtures/first-version").join(name)
}

/// The user data of the fixtures, byte for byte.
fn set_user_data(world: &World, cloud_init: &str) {
    let record = "echo \"$SCW_SCRIPT\" >>/var/log/runs\n";
    for (key, body) in [
        ("setup-script", format!("#!/bin/sh\necho done\n{record}")),
        ("setup-script.fails", format!("#!/bin/sh\n{record}echo no; exit 3\n")),
        ("setup-script.killed", format!("#!/bin/sh\n{record}kill -9 $$\n")),
        ("setup-script.slow", format!("#!/bin/sh\n# scw-setup: timeout=1s\n{record}sleep 60\n")),
        ("setup-script.once", format!("#!/bin/sh\n# scw-setup: when=once\n{record}")),
        (
            "setup-script.retried",
            format!(
                "#!/bin/sh\n# scw-setup: retries=1 retry-delay=1s\n{record}[ \"$SCW_SETUP_ATTEMPT\" = 2 ]\n"
            ),
        ),
        ("setup-script.wrong", format!("#!/bin/sh\n# scw-setup: timeuot=1s\n{record}")),
        ("setup-script.user", "#!/bin/sh\n# scw-setup: user=daemon\nid -un\n".to_owned()),
        ("setup-script.é ü", format!("#!/bin/sh\n{record}")),
        (&format!("setup-script.{}", "x".repeat(200)), format!("#!/bin/sh\n{record}")),
        ("setup-script.cut", format!("#!/bin/sh\n{record}sync\nsleep 600\n")),
        ("startup-script", "#!/bin/sh\necho started\n".to_owned()),
        ("shutdown-script", "#!/bin/sh\necho stopped\n".to_owned()),
        ("cloud-init", cloud_init.to_owned()),
    ] {
        world.standin().set_user_data(key, body);
    }
}

/// The disk of the fixture, with the first version's package.
fn old_disk(world: &World, kit: &Kit, name: &str, cloud_init: &str) -> Disk {
    set_user_data(world, cloud_init);
    let disk = Disk::new(world, kit);
    disk.install(&fixture("scw-agent_0.1.0-1_amd64.deb"));
    let mut command = Command::new("tar");
    let archive = fixture(&format!("{name}.tar.xz"));
    Ran::run(command.arg("-C").arg(disk.root()).args(["--same-owner", "-xJf"]).arg(archive)).ok("tar");
    // The interrupted script sleeps for ten minutes.
    std::fs::create_dir_all(disk.path("/etc/scw-agent.toml.d")).expect("made");
    std::fs::write(disk.path("/etc/scw-agent.toml.d/50-test.toml"), "[setup]\ntimeout = \"5s\"\n")
        .expect("written");
    disk
}

/// The first version ignored the base64 value. The new one reports it as `not-run`, with the reason.
fn assert_base64_fails(summary: &Value) {
    let script = &summary["scripts"][0];
    assert_eq!(script["key"], "cloud-init", "{summary}");
    let why = script["outcome"]["not-run"].as_str().unwrap_or_default();
    assert!(why.contains("base64") && summary["passed_over"].is_null(), "{summary}");
}

/// The keys of all runs, sorted.
fn runs(disk: &Disk) -> Vec<String> {
    let mut runs: Vec<_> = disk.read("/var/log/runs").lines().map(str::to_owned).collect();
    runs.sort();
    runs
}

/// Waits until the scripts of this boot have ended. Returns the summary, and how often the startup script has run on this disk.
fn wait_for_scripts(machine: &Machine) -> (Value, usize) {
    machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
    let summary = serde_json::from_str(&machine.ok("cat /run/scw-agent-setup/summary.json")).expect("JSON");
    (summary, machine.ok("scw-agent setup show startup-script").matches("exit code 0").count())
}

/// Installs a package on the running machine; no script may run.
fn install(disk: &Disk, machine: &Machine, package: &str) {
    let before = runs(disk);
    machine.ok(&format!("dpkg --force-downgrade --install {package}"));
    machine.until("the daemon runs", "systemctl is-active --quiet scw-agent.service");
    machine.ok("scw-agent setup list");
    assert_eq!(runs(disk), before, "{package}");
}

#[test]
fn s4_disk_of_first_version_is_upgraded_and_goes_back() {
    let kit = Kit::new(Suite::Bookworm);
    World::builder().run(|world| {
        let disk = old_disk(world, &kit, "base64", BASE64);
        let (new, old) = (disk.bring(kit.deb()), "/root/first-version.deb");
        std::fs::copy(fixture("scw-agent_0.1.0-1_amd64.deb"), disk.path(old)).expect("copied");
        let mut expected = runs(&disk);
        assert!(disk.has(LINK));
        disk.chroot(&format!("dpkg --install {new}")).ok("dpkg --install");
        assert!(!disk.has(LINK));

        // The interrupted script starts again, once. The startup script is due at every boot.
        let mut machine = Machine::boot(world, &disk);
        let (summary, started) = wait_for_scripts(&machine);
        expected.push("setup-script.cut".to_owned());
        expected.sort();
        assert_eq!(runs(&disk), expected);
        assert_base64_fails(&summary);
        published(world, &machine);
        for boot in 1..3 {
            machine.reboot();
            let (summary, now) = wait_for_scripts(&machine);
            assert_eq!((runs(&disk), now), (expected.clone(), started + boot), "boot {boot}");
            assert_base64_fails(&summary);
        }

        install(&disk, &machine, old);
        assert!(disk.has(LINK), "the link of the first version");
        machine.reboot();
        assert_eq!((wait_for_scripts(&machine).1, runs(&disk)), (started + 3, expected.clone()));
        install(&disk, &machine, &new);
        assert!(!disk.has(LINK) && !disk.has("/var/lib/scw-agent/setup-values.json"));
        machine.reboot();
        assert_eq!((wait_for_scripts(&machine).1, runs(&disk)), (started + 4, expected.clone()));

        // A value with another content runs.
        world.standin().set_user_data("cloud-init", "#!/bin/sh\necho \"$SCW_SCRIPT\" >>/var/log/runs\n");
        machine.reboot();
        wait_for_scripts(&machine);
        expected.insert(0, "cloud-init".to_owned());
        assert_eq!(runs(&disk), expected);
    });
}

#[test]
fn s4_first_version_is_upgraded_on_a_running_machine() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let disk = old_disk(world, &kit, "multipart", MULTIPART);
        let new = disk.bring(kit.deb());
        let mut machine = Machine::power_on(world, &disk);
        let (before, started) = wait_for_scripts(&machine);
        let expected = runs(&disk);
        install(&disk, &machine, &new);
        assert!(!disk.has(LINK));
        // The new daemon reads the old summary.
        let status: Value = serde_json::from_str(&machine.sh("scw-agent status --json").out).expect("JSON");
        assert_eq!(status["setup"]["scripts"], before["scripts"]);
        for boot in 1..3 {
            machine.reboot();
            let (summary, now) = wait_for_scripts(&machine);
            assert_eq!((runs(&disk), now), (expected.clone(), started + boot), "boot {boot}");
            assert_eq!(summary["passed_over"][0]["key"], "cloud-init.part-001", "{summary}");
        }
    });
}
