//! The machine's console, which its owner can read from outside: the agent's lines on it after a boot.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed_units, published, scanned_keys};

const BEGIN: &str = "scw-agent: ";

#[test]
fn s2_image_console_shows_scripts_and_fingerprints() {
    for suite in [Suite::Bullseye, Suite::Trixie] {
        console_shows(suite);
    }
}

fn console_shows(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho hunter2\nexit 3\n");
        world.standin().set_user_data("startup-script.x", "#!/bin/sh\n");
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let mut machine = Machine::boot_with_console(world, &disk);
        published(world, &machine);
        machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
        let first = wait_for_keys(&machine, &scanned_keys(&machine));
        let script: Vec<_> = first.iter().filter(|line| line.contains("script")).collect();
        let expected = [
            "setup-script: started (attempt 1)",
            "setup-script: exit code 3 after",
            "startup-script.x: started (attempt 1)",
            "startup-script.x: exit code 0 after",
        ];
        assert_eq!(script.len(), expected.len(), "{suite:?}: {first:#?}");
        for (line, begin) in script.iter().zip(expected) {
            assert!(line.starts_with(begin), "{suite:?}: {first:#?}");
        }
        assert!(!machine.console().join("\n").contains("hunter2"), "{suite:?}: output of a script");
        assert_eq!(failed_units(&machine), "scw-agent-setup.service loaded failed failed Scripts from the user data of this Scaleway Instance", "{suite:?}");

        // Each boot prints each key once.
        machine.reboot();
        published(world, &machine);
        wait_for_keys(&machine, &scanned_keys(&machine));
        machine.ok("scw-agent host-keys settle");
        wait_for_keys(&machine, &scanned_keys(&machine));
    });
}

/// Waits until the console has each of these keys once, and returns the agent's lines.
#[track_caller]
fn wait_for_keys(machine: &Machine, keys: &[String]) -> Vec<String> {
    let deadline = std::time::Instant::now() + crate::common::LONG;
    loop {
        let lines = machine.console().into_iter();
        let lines: Vec<_> =
            lines.filter_map(|line| Some(line.trim_end().split_once(BEGIN)?.1.to_owned())).collect();
        let mut shown: Vec<_> =
            lines.iter().filter_map(|line| line.strip_prefix("host key ")).map(str::to_owned).collect();
        shown.sort();
        let mut expected = keys.to_vec();
        expected.sort();
        if !keys.is_empty() && shown == expected {
            return lines;
        }
        assert!(std::time::Instant::now() < deadline, "{:#?}\n{expected:#?}", machine.console());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
