//! S5 for mistakes that cause no failure: a key similar to a script's key, settings without effect, Windows line ends.

use std::fs;

use scw_stage::World;

use crate::machine::*;

const HINT: &str = "setup_script: not the key of a script; did you mean `setup-script`?";

fn status(world: &World) -> serde_json::Value {
    serde_json::from_str(&agent(world, &["status", "--json"]).out).expect("JSON")
}

#[test]
fn s5_key_similar_to_a_script_key_is_reported() {
    World::builder().run(|world| {
        make_host_key(world);
        let settings = "[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"100ms\"\n[setup]\noutcome-key = \"setup-script-outcome\"\n";
        fs::write("/etc/scw-agent.toml", settings).expect("written");
        world.standin().set_user_data("setup_script", "#!/bin/sh\necho hunter2 >/var/lib/ran\n");
        world.standin().set_user_data("setup-script-outcome", "{}");
        world.standin().set_user_data("colour", "blue");
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let shown = until(world, "reported", || {
            let json = status(world);
            (json["suspect_keys"] != serde_json::json!([])).then_some(json)
        });
        let expected = serde_json::json!(["setup_script"]);
        assert_eq!((&shown["suspect_keys"], &shown["problems"]), (&expected, &serde_json::json!([])));
        let text = agent(world, &["status"]);
        assert!(text.code == 0 && text.out.contains(HINT), "{}{}", text.out, text.err);
        let listed = agent(world, &["setup", "list"]);
        assert!(listed.err.contains(HINT), "{}{}", listed.out, listed.err);
        assert!(!request_lines(world).iter().any(|line| line.contains("/setup_script")), "the value of the similar key was read");

        // With the correct key the hint disappears. The script runs at the next boot.
        world.standin().delete_user_data("setup_script");
        world.standin().set_user_data("setup-script", "#!/bin/sh\n");
        until(world, "without the hint", || (status(world)["suspect_keys"] == serde_json::json!([])).then_some(()));
        assert_eq!(status(world)["has_scripts"], false);
        let (_, log) = daemon.terminate();
        assert_eq!(log.matches(HINT).count(), 1, "{log}");
        assert!(!log.contains("outcome"), "{log}");
    });
}

#[test]
fn s5_runner_reports_a_similar_key_once_in_a_boot() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup_script", "#!/bin/sh\n");
        world.standin().set_user_data("setup-script", "#!/bin/sh\n");
        for boot in 1..=2 {
            let runs = [agent(world, &["setup", "run"]), agent(world, &["setup", "run"])];
            let reported = runs.map(|ran| (ran.code, ran.err.matches(HINT).count()));
            assert_eq!(reported, [(0, 1), (0, 0)], "boot {boot}");
            world.reboot();
        }
    });
}

#[test]
fn s5_keys_with_unusable_names_are_reported_once() {
    const MESSAGE: &str = "user data keys ignored because of unusable names: 2";
    World::builder().run(|world| {
        make_host_key(world);
        let settings = "[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"100ms\"\n";
        fs::write("/etc/scw-agent.toml", settings).expect("written");
        world.standin().set_user_data("setup-script\n", "#!/bin/sh\n");
        world.standin().set_user_data("hunter2\u{1b}", "#!/bin/sh\n");
        // While this key exists, the daemon lists the keys again.
        world.standin().set_user_data("setup_script", "#!/bin/sh\n");
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let lists =
            || request_lines(world).iter().filter(|line| line.ends_with("/user_data?format=json")).count();
        until(world, "listed again", || (lists() > 3).then_some(()));
        let (_, log) = daemon.terminate();
        assert_eq!((log.matches(MESSAGE).count(), log.contains("hunter2")), (1, false), "{log}");
        let runs = [agent(world, &["setup", "run"]), agent(world, &["setup", "run"])];
        let reported =
            runs.map(|ran| (ran.code, ran.err.matches(MESSAGE).count(), ran.err.contains("hunter2")));
        assert_eq!(reported, [(0, 1, false), (0, 0, false)]);
    });
}

#[test]
fn s5_setting_without_effect_is_reported() {
    World::builder().run(|world| {
        let wrong = "#!/bin/sh\n# scw-setup timeout=1s env=A=hunter2\ntouch /var/lib/wrong\n";
        let below = "#!/bin/sh\nset -e\n# scw-setup: timeout=1s\ntouch /var/lib/below\r\n";
        let prose = "#!/bin/sh\n# SCW setup: hunter2\ntouch /var/lib/prose\n";
        let usage = "#!/bin/sh\n# scw-setup user=deploy hunter2\ntouch /var/lib/usage\n";
        for (key, body) in (1..).zip([wrong, below, prose, usage]) {
            world.standin().set_user_data(&format!("setup-script.{key}"), body);
        }
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 1, "{}", ran.err);
        for message in [
            "setup-script.1: not run: line 2 of the script: a line of settings must begin with `# scw-setup:`",
            "setup-script.2: line 3 of the script: a setting here has no effect",
            "setup-script.2: line 4 of the script ends with CRLF",
            "setup-script.3: line 2 of the script: not a line of settings",
            "setup-script.4: line 2 of the script: not a line of settings",
        ] {
            assert!(ran.err.contains(message), "{message:?} is not in {}", ran.err);
        }
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
        let exists = |name| fs::exists(format!("/var/lib/{name}")).expect("checked");
        let ran = ["wrong", "below\r", "prose", "usage"].map(exists);
        assert_eq!(ran, [false, true, true, true]);
    });
}
