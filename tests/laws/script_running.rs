//! S2: while a script runs, `status`, `setup list` and `setup show` report it, with its start time and its output so far.

use std::fs;

use nix::sys::signal::Signal;
use scw_stage::{Daemon, World};

use crate::machine::*;

const SCRIPT: &str = "#!/bin/sh\necho first-line\n: >/var/lib/began\nuntil [ -e /var/lib/go-on ]; do sleep 0.05; done\necho last-line\nexit 4\n";

/// Starts a runner and waits until its script has begun.
fn start_script(world: &World) -> Daemon {
    world.standin().set_user_data("setup-script", SCRIPT);
    let mut command = world.command(AGENT);
    let runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
    until(world, "began", || fs::exists("/var/lib/began").ok()?.then_some(()));
    runner
}

#[test]
fn s2_running_script_is_shown_with_its_output_so_far() {
    World::builder().run(|world| {
        let daemon = start_daemon(world);
        let mut runner = start_script(world);
        until(world, "shown", || {
            let shown = agent(world, &["setup", "show", "setup-script"]);
            (shown.code == 0
                && shown.out.contains("  running (attempt 1)\n--- its output so far ---\nfirst-line\n"))
            .then_some(())
        });
        assert!(agent(world, &["setup", "list"]).out.contains("running (attempt 1)"));
        let status = agent(world, &["status"]).out;
        assert!(status.contains("setup-script: running since 20"), "{status}");
        let json: serde_json::Value =
            serde_json::from_str(&agent(world, &["status", "--json"]).out).expect("JSON");
        assert_eq!(
            (&json["running"]["key"], &json["setup"]),
            (&"setup-script".into(), &serde_json::Value::Null)
        );
        // Other users cannot read its output, and `--follow` ends when its reader is closed.
        let others = run(world.command("setpriv").args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "ls",
            "/run/scw-agent-setup/private",
        ]));
        assert_ne!(others.code, 0, "{}", others.out);
        let follow_head = format!("{AGENT} setup show setup-script --follow | head -n 1");
        assert_eq!(run(world.command("sh").args(["-c", &follow_head])).code, 0);

        let mut command = world.command(AGENT);
        let mut follower =
            Daemon::spawn(command.args(["setup", "show", "setup-script", "--follow"])).expect("started");
        assert!(
            follower.wait_for(LONG, |lines| lines.iter().any(|line| line == "first-line")),
            "{}",
            follower.output()
        );
        fs::write("/var/lib/go-on", "").expect("written");
        assert_eq!(follower.wait(LONG).and_then(|status| status.code()), Some(0));
        let followed = follower.output();
        assert!(
            followed.contains("last-line\n--- 20") && followed.contains("exit code 4 after"),
            "{followed}"
        );
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(1));
        assert!(!fs::exists(RUNNING).expect("checked"));
        assert!(!agent(world, &["status"]).out.contains("running"));
        daemon.terminate();
    });
}

#[test]
fn s2_script_whose_runner_was_killed_is_not_shown_as_running() {
    World::builder().run(|world| {
        let daemon = start_daemon(world);
        let mut runner = start_script(world);
        runner.signal(Signal::SIGKILL);
        assert!(runner.wait(LONG).is_some());
        let remaining = fs::read_to_string(RUNNING).expect("the file of the killed runner remains");
        // Its process ID soon belongs to another process, where many processes start.
        let (before, after) = remaining.split_once("\"runner\":").expect("a process ID");
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        fs::write(RUNNING, format!("{before}\"runner\":1{rest}")).expect("written");
        assert!(agent(world, &["setup", "list"]).out.contains("cut off (attempt 1)"));
        // The daemon may have looked at the list before the script was in it.
        until(world, "the script in the list", || {
            let status = agent(world, &["status"]).out;
            assert!(!status.contains("running since"), "{status}");
            status.contains("have not run yet").then_some(())
        });
        fs::write("/var/lib/go-on", "").expect("written");
        daemon.terminate();
    });
}

const RUNNING: &str = "/run/scw-agent-setup/running.json";

#[test]
fn s2_follower_sees_the_last_line_and_not_the_next_script() {
    World::builder().run(|world| {
        // Just before its end, the script writes more than one file of output can contain.
        let first = "#!/bin/sh\necho first-line\n: >/var/lib/began\nuntil [ -e /var/lib/go-on ]; do sleep 0.05; done\n\
            head -c 270000 /dev/zero | tr '\\0' x\necho\necho last-line\n";
        for round in 0..4 {
            world.standin().set_user_data("setup-script.1", format!("{first}# {round}\n"));
            world.standin().set_user_data("setup-script.2", format!("#!/bin/sh\necho of-the-second\n# {round}\n"));
            let mut command = world.command(AGENT);
            let mut runner = Daemon::spawn(command.args(["setup", "run", "--again"])).expect("started");
            until(world, "began", || fs::exists("/var/lib/began").ok()?.then_some(()));
            let follow = format!("{AGENT} setup show setup-script.1 --follow >/root/followed");
            let mut follower = Daemon::spawn(world.command("sh").args(["-c", &follow])).expect("started");
            let followed = || String::from_utf8_lossy(&fs::read("/root/followed").unwrap_or_default()).into_owned();
            until(world, "followed", || followed().contains("first-line").then_some(()));
            fs::write("/var/lib/go-on", "").expect("written");
            assert_eq!(follower.wait(LONG).and_then(|status| status.code()), Some(0));
            assert!(runner.wait(LONG).is_some());
            let followed = followed();
            let end = followed.get(followed.len().saturating_sub(300)..).unwrap_or_default();
            assert!(followed.contains("\nlast-line\n--- 20") && end.contains("exit code 0"), "{end}");
            assert!(!followed.contains("of-the-second") && !followed.contains("was replaced"), "{end}");
            for file in ["/var/lib/began", "/var/lib/go-on"] {
                fs::remove_file(file).expect("removed");
            }
        }
    });
}
