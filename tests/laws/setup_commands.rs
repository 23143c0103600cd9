//! What people do with scripts by hand: run one, know beforehand what would run, wait until all has run.

use std::fs;

use scw_stage::{Daemon, Family, Reach, World};

use crate::machine::*;

const COUNTING: &str = "#!/bin/sh\necho ran >> /var/lib/ran\n[ ! -e /var/lib/fail ] || exit 3\n";

fn runs() -> usize {
    fs::read_to_string("/var/lib/ran").unwrap_or_default().lines().count()
}

#[test]
fn s1_a_person_runs_one_script_if_it_is_due_or_again_and_the_status_tells_the_latest() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        world.standin().set_user_data("setup-script.other", "#!/bin/sh\necho ran >> /var/lib/other\n");
        fs::write("/var/lib/fail", "").expect("written");
        let by_hand = |words: &[&str]| agent(world, &[&["setup", "run"], words].concat());
        // Before the boot's work: it counts, and is not the whole of it.
        assert_eq!((by_hand(&["setup-script"]).code, runs()), (1, 1));
        assert_eq!((by_hand(&["setup-script"]).code, runs()), (1, 1), "done, and not well");
        assert_eq!((by_hand(&[]).code, runs()), (1, 1));
        assert!(fs::exists("/var/lib/other").expect("looked"), "the boot's work was done");

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
        assert_eq!(by_hand(&[]).code, 0, "all is well now");
        daemon.terminate();

        assert_eq!(by_hand(&["--again"]).code, 0);
        assert_eq!((runs(), fs::read_to_string("/var/lib/other").expect("read").lines().count()), (3, 2));
        world.reboot();
        assert_eq!((by_hand(&[]).code, runs()), (0, 3), "S1 holds as before");

        assert_eq!(by_hand(&["setup-script.none"]).code, 3);
        world.standin().set_user_data("unrelated", COUNTING);
        assert_eq!((by_hand(&["unrelated", "--again"]).code, runs()), (3, 3), "no script by its key");
        world.set_reach(Family::Ipv4, Reach::Refused);
        world.set_reach(Family::Ipv6, Reach::Refused);
        assert_eq!((by_hand(&["setup-script", "--again"]).code, runs()), (5, 3));
    });
}

#[test]
fn s1_d1_a_script_whose_record_is_lost_runs_when_a_person_insists() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        agent(world, &["setup", "run"]);
        fs::write("/var/lib/scw-agent/setup/setup-script.json", "{").expect("truncated");
        assert_eq!((agent(world, &["setup", "run", "setup-script"]).code, runs()), (1, 1));
        let again = agent(world, &["setup", "run", "setup-script", "--again"]);
        assert_eq!((again.code, runs()), (0, 2), "{}", again.err);
    });
}

#[test]
fn validate_says_what_would_become_of_files_without_root_network_or_any_effect() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        fs::create_dir("/var/lib/files").expect("made");
        let good = "#!/bin/sh\n# scw-setup: timeout=5m\ntouch /var/lib/files/effect\n";
        let wrong = "#!/bin/sh\n#\n# scw-setup: timeuot=5m\n";
        let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/x-shellscript; name=a.sh\n\n#!/bin/sh\n\n--x\n\n#cloud-config\n--x--\n";
        let large = "#!/bin/sh\n".to_owned() + &"#".repeat(2 << 20);
        for (file, text, code, said) in [
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
        ] {
            fs::write(format!("/var/lib/files/{file}"), text).expect("written");
            let validate = |json: &[&str]| {
                let mut command = world.agent_command(AGENT);
                run(command.args(["setup", "validate"]).args(json).arg(file).current_dir("/var/lib/files"))
            };
            let ended = validate(&[]);
            assert_eq!(ended.code, code, "{file}: {}{}", ended.out, ended.err);
            assert!((ended.out.clone() + &ended.err).contains(said), "{said:?} is not in {}{}", ended.out, ended.err);
            let json: serde_json::Value = serde_json::from_str(&validate(&["--json"]).out).expect("JSON");
            assert_eq!(json["version"], 1);
        }
        let mut both = world.agent_command(AGENT);
        let both = run(both.args(["setup", "validate", "web.sh", "none", "wrong.sh"]).current_dir("/var/lib/files"));
        assert_eq!(both.code, 3, "{}{}", both.out, both.err);
        assert!(both.out.contains("web.sh") && both.out.contains("wrong.sh:3") && both.err.contains("file 2 of 3"));
        assert!(!fs::exists("/var/lib/files/effect").expect("looked"), "it was run");
        assert_eq!(asked(world), Vec::<String>::new());
    });
}

#[test]
fn s2_status_waits_until_all_of_a_boots_work_is_done_and_its_exit_code_tells_how_it_went() {
    // Each of these states lasts until the test ends it: the daemon may take its time to get there.
    let soon_says = |world: &World, said: &str| {
        until(world, said, || {
            let soon = agent(world, &["status", "--wait", "--timeout", "300ms"]);
            assert_eq!(soon.code, 5, "{}{}", soon.out, soon.err);
            (soon.err.contains("not done after 300ms: ") && soon.err.contains(said)).then_some(())
        });
    };
    for (script, code) in [("#!/bin/sh\nsleep 0.5\n", 0), ("#!/bin/sh\nexit 3\n", 1)] {
        World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
            make_host_key(world);
            world.standin().set_user_data("setup-script", script);
            soon_says(world, "the daemon does not run");
            let mut command = world.command(AGENT);
            let mut waiting =
                Daemon::spawn(command.args(["status", "--wait", "--timeout", "1h"])).expect("started");
            let daemon = start_daemon(world);
            soon_says(world, "fingerprints");
            world.set_reach(Family::Ipv4, Reach::Served);
            published(world);
            until(world, "asked for", || {
                fs::exists("/run/scw-agent-requests/setup/setup-requested").expect("looked").then_some(())
            });
            soon_says(world, "scripts have not all run");
            assert!(waiting.wait(std::time::Duration::ZERO).is_none(), "{}", waiting.output());
            agent(world, &["setup", "run"]);
            assert_eq!(
                waiting.wait(LONG).and_then(|status| status.code()),
                Some(code),
                "{}",
                waiting.output()
            );
            let said = |lines: &[String]| lines.iter().any(|line| line.contains("setup-script: exit code"));
            assert!(waiting.wait_for(LONG, said), "{}", waiting.output());
            daemon.terminate();
        });
    }
}
