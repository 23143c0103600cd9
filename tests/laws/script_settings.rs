//! S1 to S5 for the header settings of a script: user, environment, timeout, retries, when, deletion.

use std::fs;

use nix::sys::signal::Signal;
use scw_stage::{Daemon, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

/// The lines of a file that scripts write.
fn lines_of(file: &str) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Adds a user with a supplementary group.
fn add_user(world: &World) {
    let script = "echo 'deploy:x:4801:4801::/home/deploy:/bin/bash' >> /etc/passwd; \
        echo 'deploy:x:4801:' >> /etc/group; echo 'docker:x:4802:deploy' >> /etc/group; chmod 1777 /var/lib";
    assert_eq!(run(world.command("sh").args(["-ec", script])).code, 0);
}

#[test]
fn s2_script_runs_as_its_user_with_groups_and_environment() {
    World::builder().run(|world| {
        add_user(world);
        let script = "#!/bin/sh\n# scw-setup: user=deploy env=COLOUR=blue\nid -u; id -G; echo $HOME $USER $LOGNAME $SHELL $COLOUR; umask; stat -c '%a %u' \"$0\" \"$(dirname \"$0\")\"\n";
        world.standin().set_user_data("setup-script", script);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let shown = agent(world, &["setup", "show", "setup-script"]).out;
        for line in ["4801", "4801 4802", "/home/deploy deploy deploy /bin/bash blue", "500 4801", "711 0"] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in {shown}");
        }
        let remaining = run(world.command("find").args(["/run/scw-agent-setup/scripts", "-mindepth", "1"])).out;
        assert_eq!(remaining, "");
    });
}

#[test]
fn s2_script_of_a_user_can_open_its_output_by_name() {
    World::builder().run(|world| {
        add_user(world);
        let script = "#!/bin/sh -e\n# scw-setup: user=deploy\necho first >/dev/stdout\necho second >/dev/stderr\necho third | tee /dev/stderr >/dev/null\n";
        world.standin().set_user_data("setup-script", script);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let shown = agent(world, &["setup", "show", "setup-script"]).out;
        assert!(shown.ends_with("first\nsecond\nthird\n"), "{shown}");
    });
}

#[test]
fn s5_unusable_setting_is_reported_and_others_run() {
    World::builder().run(|world| {
        let counting = "#!/bin/sh\necho ran >> /var/lib/ran\n";
        let cases = [
            ("setup-script.1", "user=nobody-of-that-name", "the user of `user=` does not exist"),
            (
                "setup-script.2",
                "timeuot=1m",
                "line 2 of the script, word 1: unknown setting; did you mean `timeout`?",
            ),
            (
                "setup-script.3",
                "retries=lots",
                "line 2 of the script, word 1: the value of `retries` must be a number",
            ),
        ];
        for (key, settings, _) in cases {
            let script = counting.replace("\n", &format!("\n# scw-setup: {settings}\n"));
            world.standin().set_user_data(key, script);
        }
        world.standin().set_user_data("setup-script.9", counting);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, lines_of("/var/lib/ran").len()), (1, 1), "{}", ran.err);
        for (key, _, why) in cases {
            assert!(
                ran.err.lines().any(|line| line.contains(key) && line.contains(why)),
                "{key}: {}",
                ran.err
            );
        }
        // A script that could not run is tried again at the next boot, because the user may exist then.
        world.reboot();
        run(world.command("sh").args([
            "-c",
            "echo 'nobody-of-that-name:x:4803:4803::/:/bin/sh' >> /etc/passwd; chmod 666 /var/lib/ran",
        ]));
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 1 && lines_of("/var/lib/ran").len() == 2, "{}", ran.err);
    });
}

#[test]
fn s1_s2_failed_script_is_retried_and_attempts_recorded() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\n# scw-setup: retries=3 retry-delay=50ms\necho $SCW_SETUP_ATTEMPT >> /var/lib/ran\n[ $SCW_SETUP_ATTEMPT = 3 ]\n";
        world.standin().set_user_data("setup-script", script);
        let always_failing = "#!/bin/sh\n# scw-setup: retries=2 retry-delay=10ms\necho $SCW_SETUP_ATTEMPT >> /var/lib/always-failing\nexit 9\n";
        world.standin().set_user_data("setup-script.2", always_failing);
        for _ in 0..2 {
            let ran = agent(world, &["setup", "run"]);
            assert_eq!(ran.code, 1, "{}", ran.err);
            assert_eq!((lines_of("/var/lib/ran"), lines_of("/var/lib/always-failing").len()), (["1", "2", "3"].map(str::to_owned).to_vec(), 3));
            world.reboot();
        }
        let runs: serde_json::Value =
            serde_json::from_str(&agent(world, &["setup", "show", "setup-script", "--json"]).out).expect("JSON");
        let outcomes: Vec<_> = runs.as_array().expect("a list").iter().map(|run| &run["outcome"]["exit"]).collect();
        assert_eq!(outcomes, [&serde_json::json!(1), &serde_json::json!(1), &serde_json::json!(0)]);
    });
}

#[test]
fn s1_when_sets_once_or_each_change_or_each_boot() {
    World::builder().run(|world| {
        let keys = ["once", "change", "boot"];
        for round in 1..=3 {
            for when in keys {
                // The content changes before the third boot.
                let change = if round == 3 { "# changed\n" } else { "" };
                let script =
                    format!("#!/bin/sh\n# scw-setup: when={when}\n{change}echo ran >> /var/lib/{when}\n");
                world.standin().set_user_data(&format!("setup-script.{when}"), script);
            }
            assert_eq!(agent(world, &["setup", "run"]).code, 0);
            world.reboot();
        }
        let counts = keys.map(|when| lines_of(&format!("/var/lib/{when}")).len());
        assert_eq!(counts, [1, 2, 3]);
    });
}

#[test]
fn s3_script_is_deleted_only_after_its_success() {
    World::builder().run(|world| {
        let script =
            "#!/bin/sh\n# scw-setup: delete-after-success\necho ran >> /var/lib/ran\n[ -e /var/lib/good ]\n";
        world.standin().set_user_data("setup-script", script);
        assert_eq!(agent(world, &["setup", "run"]).code, 1);
        assert!(world.standin().user_data("setup-script").is_some(), "the script failed, so it is kept");

        world.reboot();
        fs::write("/var/lib/good", "").expect("written");
        world.standin().set_user_data("setup-script", format!("{script}# again\n"));
        // The service refuses the first deletion. The next boot tries it again and does not run the script again.
        world.standin().set_orders(vec![Order::new(Fault::status(403)).method("DELETE").nth("1")]);
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 0 && ran.err.contains("could not be"), "{}", ran.err);
        assert!(world.standin().user_data("setup-script").is_some());
        world.reboot();
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!((world.standin().user_data("setup-script"), lines_of("/var/lib/ran").len()), (None, 2));
        let runs: serde_json::Value =
            serde_json::from_str(&agent(world, &["setup", "show", "setup-script", "--json"]).out)
                .expect("JSON");
        assert_eq!(runs[1]["deleted"], true);
    });
}

#[test]
fn s3_value_set_while_its_script_ran_is_not_deleted() {
    World::builder().run(|world| {
        fs::write("/root/new", "#!/bin/sh\n# scw-setup: delete-after-success\necho new >>/var/lib/ran\n")
            .expect("written");
        // The script sets a new value, as the owner could do at the same time.
        let old = format!(
            "#!/bin/sh\n# scw-setup: delete-after-success\n{} setup-script --file /root/new\n",
            userdata_program()
        );
        world.standin().set_user_data("setup-script", old);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let kept =
            world.standin().user_data("setup-script").map(|value| String::from_utf8(value).expect("UTF-8"));
        assert_eq!(kept, fs::read_to_string("/root/new").ok(), "{}", ran.err);
        assert!(ran.err.contains("setup-script: not deleted from user data"), "{}", ran.err);
        // The new script runs at the next boot and is then deleted.
        world.reboot();
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!((world.standin().user_data("setup-script"), lines_of("/var/lib/ran").len()), (None, 1));
    });
}

#[test]
fn s2_outcome_is_published_only_when_configured() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho hunter2-secret\n");
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\nexit 3\n");
        agent(world, &["setup", "run"]);
        assert!(
            request_lines(world).iter().all(|line| line.starts_with("GET ")),
            "{:?}",
            request_lines(world)
        );

        world.reboot();
        fs::write("/etc/scw-agent.toml", "[setup]\noutcome-key = \"setup-outcome\"\n").expect("written");
        agent(world, &["setup", "run"]);
        let value =
            String::from_utf8(world.standin().user_data("setup-outcome").expect("published")).expect("UTF-8");
        let outcome: serde_json::Value = serde_json::from_str(&value).expect("JSON");
        assert_eq!((&outcome["version"], &outcome["success"]), (&1.into(), &false.into()));
        assert_eq!(outcome["scripts"][0]["outcome"]["exit"], 0);
        assert_eq!(outcome["scripts"][1]["outcome"]["exit"], 3);
        assert!(!value.contains("hunter2"), "{value}");
    });
}

#[test]
fn s1_script_of_a_killed_runner_is_not_started_twice() {
    World::builder().run(|world| {
        world.standin().set_user_data(
            "setup-script",
            "#!/bin/sh\necho $$ > /var/lib/pid\necho ran >> /var/lib/ran\nexec sleep 4712\n",
        );
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        until(world, "running", || (lines_of("/var/lib/ran").len() == 1).then_some(()));
        until_process_is(world, &fs::read_to_string("/var/lib/pid").expect("its process id"), "sleep");
        runner.signal(Signal::SIGKILL);
        runner.wait(LONG);
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 1 && ran.err.contains("still running: sleep ("), "{}", ran.err);
        assert_eq!(lines_of("/var/lib/ran").len(), 1);
    });
}
