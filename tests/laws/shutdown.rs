//! Shutdown scripts: they run only at a shutdown, within their timeout, and are recorded. A stand-in for `systemctl` gives systemd's answer.

use std::fs;

use scw_stage::{Reach, World, write_program};

use crate::machine::*;

/// Answers of `systemctl`, as shell commands.
const NOT_SHUTTING_DOWN: &str = "echo ActiveState=inactive; echo Job=0";
const SHUTTING_DOWN: &str = "echo ActiveState=inactive; echo Job=471";

/// Runs what the unit runs when it is stopped, while `systemctl` executes these shell commands.
fn stop_unit(world: &World, systemctl: &str) -> Ended {
    fs::create_dir_all("/run/bin").expect("made");
    let arguments = "show --property=ActiveState --property=Job shutdown.target";
    let text = format!("#!/bin/sh\n[ \"$*\" = '{arguments}' ] || exit 9\n{systemctl}\n");
    write_program("/run/bin/systemctl", text);
    let mut command = world.command(AGENT);
    run(command.args(["setup", "run-shutdown"]).env("PATH", "/run/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
}

#[test]
fn s4_shutdown_scripts_run_only_at_shutdown() {
    World::builder().run(|world| {
        world.standin().set_user_data("shutdown-script.b", script_writing("second"));
        world.standin().set_user_data("shutdown-script", script_writing("first"));
        world.standin().set_user_data("setup-script", script_writing("setup"));
        // An upgrade or `systemctl stop`, a systemd that does not answer, an answer without the properties.
        for (systemctl, code) in [(NOT_SHUTTING_DOWN, 0), ("echo no bus >&2; exit 1", 1), ("true", 0)] {
            let ended = stop_unit(world, systemctl);
            assert_eq!(
                (ended.code, &*written_words(), request_lines(world).len()),
                (code, "", 0),
                "{}",
                ended.err
            );
        }
        assert_eq!(
            (agent(world, &["setup", "run"]).code, &*written_words()),
            (0, "setup"),
            "a boot runs no shutdown script"
        );
        // A run by hand.
        assert_eq!(agent(world, &["setup", "run", "shutdown-script"]).code, 2);
        assert_eq!(agent(world, &["setup", "run", "shutdown-script", "--again"]).code, 0);
        for boot in ["setup first first second", "setup first first second first second"] {
            let ended = stop_unit(world, SHUTTING_DOWN);
            assert_eq!((ended.code, &*written_words()), (0, boot), "{}", ended.err);
            world.reboot();
            agent(world, &["setup", "run"]);
        }
        let shown = agent(world, &["setup", "show", "shutdown-script"]).out;
        assert_eq!(shown.matches("exit code 0").count(), 3, "{shown}");
    });
}

#[test]
fn s2_s5_failed_shutdown_script_stops_no_other() {
    World::builder().run(|world| {
        // Enough for the first three scripts on a busy machine. The fourth uses up the remaining time.
        fs::write("/etc/scw-agent.toml", "[setup]\nshutdown-timeout = \"10s\"\n").expect("written");
        for (key, script) in [
            ("shutdown-script.1", "#!/bin/sh\nexit 3\n".to_owned()),
            ("shutdown-script.2", "#!/bin/sh\n# scw-setup: when=boot\n".to_owned()),
            ("shutdown-script.3", script_writing("third")),
            ("shutdown-script.4", "#!/bin/sh\n# scw-setup: timeout=1h\nexec sleep 1000\n".to_owned()),
            ("shutdown-script.5", script_writing("too late")),
        ] {
            world.standin().set_user_data(key, script);
        }
        let ended = stop_unit(world, SHUTTING_DOWN);
        assert_eq!((ended.code, &*written_words()), (1, "third"), "{}", ended.err);
        for line in [
            "shutdown-script.1: exit code 3",
            "shutdown-script.2: not run: `when=` has no meaning",
            "shutdown-script.3: exit code 0",
            "shutdown-script.4: timed out",
            "shutdown-script.5: not run: the time limit for all shutdown scripts was reached",
        ] {
            assert!(ended.err.contains(line), "{line:?} is not in {}", ended.err);
        }
    });
}

#[test]
fn shutdown_goes_on_without_the_metadata_service() {
    for reach in [Reach::Absent, Reach::Refused, Reach::Silent] {
        World::builder().ipv4(reach).ipv6(Reach::Absent).run(|world| {
            fs::write("/etc/scw-agent.toml", "[setup]\nshutdown-timeout = \"300ms\"\n").expect("written");
            let ended = stop_unit(world, SHUTTING_DOWN);
            assert_eq!(ended.code, 5, "{}", ended.err);
            assert!(ended.err.contains("no script was run"), "{}", ended.err);
            assert!(reach != Reach::Silent || ended.err.contains("300ms"), "{}", ended.err);
        });
    }
}
