//! Commands for scripts: run one by hand, check what would run, wait until all scripts have run.

use std::fs;

use scw_stage::{Daemon, Family, Reach, World};

use crate::machine::*;

/// A script that adds a line to the file that [`runs`] counts, and fails while /var/lib/fail exists.
const COUNTING_UNLESS_FAIL: &str = "#!/bin/sh\necho ran >> /var/lib/ran\n[ ! -e /var/lib/fail ] || exit 3\n";

#[test]
fn s1_script_run_by_hand_updates_the_status() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING_UNLESS_FAIL);
        world.standin().set_user_data("setup-script.other", "#!/bin/sh\necho ran >> /var/lib/other\n");
        fs::write("/var/lib/fail", "").expect("written");
        let by_hand = |words: &[&str]| agent(world, &[&["setup", "run"], words].concat());
        // Before the scripts of the boot: the run is recorded, and the boot's other scripts still run.
        assert_eq!((by_hand(&["setup-script"]).code, runs()), (1, 1));
        assert_eq!((by_hand(&["setup-script"]).code, runs()), (1, 1), "the failed run is not repeated");
        assert_eq!((by_hand(&[]).code, runs()), (1, 1));
        assert!(fs::exists("/var/lib/other").expect("checked"), "the scripts of the boot have run");

        let daemon = start_daemon(world);
        assert_eq!(agent(world, &["status"]).code, 1);
        fs::remove_file("/var/lib/fail").expect("removed");
        let again = by_hand(&["setup-script", "--again"]);
        assert_eq!((again.code, runs()), (0, 2), "{}", again.err);
        let status: serde_json::Value =
            serde_json::from_str(&agent(world, &["status", "--json"]).out).expect("JSON");
        assert_eq!(status["setup"]["scripts"].as_array().map(Vec::len), Some(2), "{status}");
        assert_eq!(status["setup"]["scripts"][0]["outcome"]["exit"], 0, "{status}");
        assert_eq!(status["setup"]["scripts"][0]["attempt"], 2, "{status}");
        assert_eq!(by_hand(&[]).code, 0, "the latest run succeeded");
        daemon.terminate();

        assert_eq!(by_hand(&["--again"]).code, 0);
        assert_eq!((runs(), fs::read_to_string("/var/lib/other").expect("read").lines().count()), (3, 2));
        world.reboot();
        assert_eq!((by_hand(&[]).code, runs()), (0, 3), "invariant S1 is valid for the next boot");

        assert_eq!(by_hand(&["setup-script.none"]).code, 3);
        world.standin().set_user_data("unrelated", COUNTING_UNLESS_FAIL);
        assert_eq!((by_hand(&["unrelated", "--again"]).code, runs()), (3, 3), "the key is not a script's");
        world.set_reach(Family::Ipv4, Reach::Refused);
        world.set_reach(Family::Ipv6, Reach::Refused);
        assert_eq!((by_hand(&["setup-script", "--again"]).code, runs()), (5, 3));
    });
}

#[test]
fn s2_script_cannot_wait_for_itself() {
    World::builder().run(|world| {
        let script = format!(
            "#!/bin/sh\nenv -i {AGENT} status --wait >/var/lib/wait 2>&1; echo $? >>/var/lib/wait\n\
             {AGENT} setup run setup-script.other --again >/var/lib/run 2>&1; echo $? >>/var/lib/run\n\
             (setsid sh -c 'until [ -e /var/lib/go ]; do sleep 0.1; done; {AGENT} status --timeout 1ms; \
             echo $? >/var/lib/later' >/dev/null 2>&1 &)\n"
        );
        world.standin().set_user_data("setup-script", script);
        world.standin().set_user_data("setup-script.other", COUNTING_UNLESS_FAIL);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (0, 1), "{}", ran.err);
        for (file, expected) in [("/var/lib/wait", "wait for itself"), ("/var/lib/run", "has not ended")] {
            let text = fs::read_to_string(file).expect("written");
            assert!(text.contains(expected) && text.ends_with("\n2\n"), "{text}");
        }
        // A leftover process may wait: here for a daemon that does not run.
        fs::write("/var/lib/go", "").expect("written");
        let later = until(world, "ended with an exit code", || {
            fs::read_to_string("/var/lib/later").ok().filter(|text| text.ends_with('\n'))
        });
        assert_eq!(later, "5\n");
    });
}

#[test]
fn s2_status_waits_for_a_script_run_by_hand() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        wait_until_published(world);
        assert_eq!(agent(world, &["status", "--wait"]).code, 0, "there are no scripts");
        world.standin().set_user_data(
            "setup-script",
            "#!/bin/sh\nuntil [ -e /var/lib/go ]; do sleep 0.1; done\nexit 3\n",
        );
        let by_hand = Daemon::spawn(world.command(AGENT).args(["setup", "run"])).expect("started");
        until(world, "running", || {
            let status = agent(world, &["status"]);
            (status.out.contains("setup-script: running") && !status.out.contains("none in user data"))
                .then_some(())
        });
        let waited = agent(world, &["status", "--timeout", "1ms"]);
        assert!(waited.code == 5 && waited.err.contains("setup-script runs since"), "{}", waited.err);
        fs::write("/var/lib/go", "").expect("written");
        assert_eq!(agent(world, &["status", "--wait"]).code, 1);
        drop(by_hand);
        daemon.terminate();
    });
}

#[test]
fn s1_d1_again_runs_a_script_whose_record_is_lost() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING_UNLESS_FAIL);
        agent(world, &["setup", "run"]);
        fs::write("/var/lib/scw-agent/setup/setup-script.json", "{").expect("truncated");
        assert_eq!((agent(world, &["setup", "run", "setup-script"]).code, runs()), (1, 1));
        let again = agent(world, &["setup", "run", "setup-script", "--again"]);
        assert_eq!((again.code, runs()), (0, 2), "{}", again.err);
    });
}

#[test]
fn validate_reports_what_each_file_would_do() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        fs::create_dir("/var/lib/files").expect("made");
        let good = "#!/bin/sh\n# scw-setup: timeout=5m\ntouch /var/lib/files/effect\n";
        let wrong = "#!/bin/sh\n#\n# scw-setup: timeuot=5m\n";
        let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/x-shellscript; name=a.sh\n\n#!/bin/sh\n\n--x\n\n#cloud-config\n--x--\n";
        let long = "#!/bin/sh\n".to_owned() + &"#".repeat(128_000);
        let large = "#!/bin/sh\n".to_owned() + &"#".repeat(2 << 20);
        for (file, text, code, expected) in [
            ("web.sh", good, 0, "✓ web.sh        as setup-script: runs once for an Instance, and again when its content changes"),
            ("startup-script.x", good, 0, "as startup-script.x: runs once in every boot"),
            ("shutdown-script", good, 0, "as shutdown-script: runs when the machine goes down"),
            ("wrong.sh", wrong, 1, "✗ wrong.sh:3"),
            ("wrong.sh", wrong, 1, "not run: word 1: unknown setting; did you mean `timeout`?"),
            ("plain.txt", "hello", 1, "plain.txt:1"),
            ("empty", "", 1, "the script is empty"),
            ("config.yaml", "#cloud-config\n", 0, "as cloud-init: #cloud-config: not run, it needs cloud-init"),
            ("message", message, 0, "as cloud-init.a.sh: runs once"),
            ("message", message, 0, "as cloud-init.part-002: #cloud-config: not run"),
            ("large.sh", &large, 1, "larger than"),
            ("long.sh", &long, 0, "warning: the value has 128010 characters; Terraform accepts at most 127998"),
            ("setup_script", good, 0, "warning: this file's name is not the key of a script; did you mean `setup-script`?"),
            ("mixed.sh", "#!/bin/sh\r\n", 1, "CRLF"),
            ("mixed.sh", "#!/bin/sh\n\necho\r\nexit\r\n", 0, "warning: line 3 of the script and 1 more end with CRLF"),
            ("late.sh", "#!/bin/sh\n\n# scw-setup: timeout=1m\n", 0, "warning: line 3 of the script: a setting here has no effect"),
            ("mark.sh", "#!/bin/sh\n# scw-setup timeout=1m\n", 1, "✗ mark.sh:2"),
        ] {
            fs::write(format!("/var/lib/files/{file}"), text).expect("written");
            let validate = |json: &[&str]| {
                let mut command = world.agent_command(AGENT);
                run(command.args(["setup", "validate"]).args(json).arg(file).current_dir("/var/lib/files"))
            };
            let ended = validate(&[]);
            assert_eq!(ended.code, code, "{file}: {}{}", ended.out, ended.err);
            assert!((ended.out.clone() + &ended.err).contains(expected), "{expected:?} is not in {}{}", ended.out, ended.err);
            let json: serde_json::Value = serde_json::from_str(&validate(&["--json"]).out).expect("JSON");
            assert_eq!(json["version"], 1);
        }
        let mut both = world.agent_command(AGENT);
        let both = run(both.args(["setup", "validate", "web.sh", "none", "wrong.sh"]).current_dir("/var/lib/files"));
        assert_eq!(both.code, 3, "{}{}", both.out, both.err);
        assert!(both.out.contains("web.sh") && both.out.contains("wrong.sh:3") && both.err.contains("file 2 of 3"));
        assert!(!fs::exists("/var/lib/files/effect").expect("checked"), "the script was run");
        assert_eq!(request_lines(world), Vec::<String>::new());
    });
}

#[test]
fn s2_status_wait_ends_with_the_result_of_the_boot() {
    // Each of these states lasts until the test ends it, because the daemon may take a while to reach it.
    let wait_reports = |world: &World, expected: &str| {
        until(world, expected, || {
            let soon = agent(world, &["status", "--wait", "--timeout", "300ms"]);
            assert_eq!(soon.code, 5, "{}{}", soon.out, soon.err);
            (soon.err.contains("not done after 300ms: ") && soon.err.contains(expected)).then_some(())
        });
    };
    for (script, code) in [("#!/bin/sh\nsleep 0.5\n", 0), ("#!/bin/sh\nexit 3\n", 1)] {
        World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
            make_host_key(world);
            world.standin().set_user_data("setup-script", script);
            wait_reports(world, "the daemon does not run");
            let mut command = world.command(AGENT);
            let mut waiting =
                Daemon::spawn(command.args(["status", "--wait", "--timeout", "1h"])).expect("started");
            let daemon = start_daemon(world);
            wait_reports(world, "fingerprints");
            world.set_reach(Family::Ipv4, Reach::Served);
            wait_until_published(world);
            until(world, "requested", || fs::exists(SETUP_REQUESTED).expect("checked").then_some(()));
            wait_reports(world, "scripts have not all run");
            assert!(waiting.wait(std::time::Duration::ZERO).is_none(), "{}", waiting.output());
            agent(world, &["setup", "run"]);
            assert_eq!(
                waiting.wait(LONG).and_then(|status| status.code()),
                Some(code),
                "{}",
                waiting.output()
            );
            let expected =
                |lines: &[String]| lines.iter().any(|line| line.contains("setup-script: exit code"));
            assert!(waiting.wait_for(LONG, expected), "{}", waiting.output());
            daemon.terminate();
        });
    }
}
