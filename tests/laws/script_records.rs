//! D1 and D3: records of scripts that are damaged, removed or open to other users.

use std::fs;

use scw_stage::World;

use crate::machine::*;

#[test]
fn d1_unreadable_record_does_not_start_a_script_again() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        agent(world, &["setup", "run"]);
        fs::write("/var/lib/scw-agent/setup/setup-script.json", "{\"version\":1,").expect("truncated");
        for _ in 0..2 {
            world.reboot();
            let ran = agent(world, &["setup", "run"]);
            assert_eq!((ran.code, runs()), (1, 1), "{}", ran.err);
        }
        let names = run(world.command("ls").arg("/var/lib/scw-agent/setup")).out;
        assert!(names.contains("setup-script.json.unreadable-"), "{names}");
        assert!(agent(world, &["setup", "show", "setup-script"]).out.contains("set aside"));
    });
}

#[test]
fn s1_d1_listing_an_unreadable_record_starts_no_script() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        agent(world, &["setup", "run"]);
        fs::write("/var/lib/scw-agent/setup/setup-script.json", "{").expect("truncated");
        for words in [&["setup", "list"][..], &["setup", "show", "setup-script"]] {
            assert_eq!(agent(world, words).code, 1);
        }
        world.reboot();
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 1);
        // The same after a crash directly after the record was set aside.
        fs::remove_file("/var/lib/scw-agent/setup/setup-script.json").expect("removed");
        world.reboot();
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 1);
    });
}

#[test]
fn d1_script_that_removes_the_records_stops_no_other() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\nrm -rf /var/lib/scw-agent/setup\n");
        world.standin().set_user_data("setup-script.2", COUNTING);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (0, 1), "{}", ran.err);
    });
}

#[test]
fn d3_record_and_summary_modes_do_not_depend_on_umask() {
    use std::os::unix::fs::PermissionsExt;
    for umask in ["0", "077"] {
        World::builder().run(|world| {
            world.standin().set_user_data("setup-script", COUNTING);
            run(world.command("sh").args(["-c", &format!("umask {umask}; exec {AGENT} setup run")]));
            let mode = |path: &str| fs::metadata(path).expect(path).permissions().mode() & 0o777;
            for (path, expected) in [
                ("/var/lib/scw-agent/setup", 0o700),
                ("/var/lib/scw-agent/setup/setup-script.json", 0o600),
                ("/run/scw-agent-setup", 0o755),
                ("/run/scw-agent-setup/summary.json", 0o644),
            ] {
                assert_eq!(mode(path), expected, "umask {umask}: {path}");
            }
        });
    }
}

#[test]
fn state_folder_writable_by_others_is_refused() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        run(world.command("chmod").args(["0777", "/var/lib/scw-agent"]));
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (1, 0), "{}", ran.err);
        assert!(ran.err.contains("/var/lib/scw-agent must belong to root"), "{}", ran.err);
    });
}
