//! S1: a setup script runs once for an Instance and a content, also after an interruption; a startup script once in every boot.

use std::fs;

use scw_stage::{Daemon, World};

use crate::machine::*;

#[test]
fn s1_setup_script_runs_once_for_each_content() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        for (what, expected) in [("first boot", 1), ("second boot", 1)] {
            let ran = agent(world, &["setup", "run"]);
            assert_eq!((ran.code, runs()), (0, expected), "{what}: {}", ran.err);
            let again = agent(world, &["setup", "run"]);
            assert_eq!((again.code, runs()), (0, expected), "{what}, again: {}", again.err);
            world.reboot();
        }
        world.standin().set_user_data("setup-script", format!("{COUNTING}# changed\n"));
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 2);
    });
}

#[test]
fn s1_setup_script_runs_again_for_another_instance() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        agent(world, &["setup", "run"]);
        world.reboot();
        let mut conf = world.standin().conf();
        conf["id"] = "11111111-2222-4333-8444-555555555555".into();
        world.standin().set_conf(conf);
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 2);
    });
}

#[test]
fn s1_interrupted_script_starts_again_as_attempt_2() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\necho \"$SCW_SETUP_ATTEMPT\" >> /var/lib/attempts\n[ \"$SCW_SETUP_ATTEMPT\" != 1 ] || kill -9 $PPID\n";
        world.standin().set_user_data("setup-script", script);
        let cut = world.command(AGENT).args(["setup", "run"]).output().expect("started");
        assert_eq!(cut.status.code(), None, "killed by its own script");
        world.reboot();
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        world.reboot();
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!(fs::read_to_string("/var/lib/attempts").expect("written"), "1\n2\n");
    });
}

#[test]
fn a_startup_script_runs_once_in_every_boot() {
    World::builder().run(|world| {
        world.standin().set_user_data("startup-script", COUNTING);
        for boot in 1..=3 {
            agent(world, &["setup", "run"]);
            agent(world, &["setup", "run"]);
            assert_eq!(runs(), boot);
            world.reboot();
        }
    });
}

#[test]
fn nothing_runs_while_the_service_is_unreachable() {
    use scw_stage::{Family, Reach};
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (0, 0), "{}", ran.err);
        assert!(ran.err.contains("nothing to run yet"), "{}", ran.err);
        world.set_reach(Family::Ipv4, Reach::Served);
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 1);
    });
}

#[test]
fn s1_script_of_a_stopped_runner_starts_at_the_next_boot() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\necho $SCW_SETUP_ATTEMPT >> /var/lib/ran\n[ $SCW_SETUP_ATTEMPT != 1 ] || exec sleep 4711\n";
        world.standin().set_user_data("setup-script", script);
        let mut command = world.command(AGENT);
        let runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        until(world, "running", || (runs() == 1).then_some(()));
        let (status, output) = runner.terminate();
        assert_eq!(status.code(), Some(1), "{output}");
        let running = run(world.command("sh").args(["-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 4711'"]));
        assert_eq!(running.out.trim(), "0", "the script still runs");
        world.reboot();
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!(fs::read_to_string("/var/lib/ran").expect("read"), "1\n2\n");
    });
}

#[test]
fn s1_script_that_stops_the_runner_keeps_its_outcome() {
    World::builder().run(|world| {
        // Like `reboot`, which returns before the machine goes down.
        let last_line = "#!/bin/sh\necho ran >> /var/lib/ran\nkill -TERM $PPID; sleep 0.5; exit";
        world.standin().set_user_data("setup-script.1", format!("{last_line} 0\n"));
        world.standin().set_user_data("setup-script.2", format!("{last_line} 7\n"));
        world.standin().set_user_data("setup-script.3", COUNTING);
        for (boot, expected, code) in [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 3, 1)] {
            let ran = agent(world, &["setup", "run"]);
            assert_eq!((ran.code, runs()), (code, expected), "boot {boot}: {}", ran.err);
            world.reboot();
        }
        let listed = agent(world, &["setup", "list"]).out;
        let outcomes: Vec<_> =
            listed.lines().map(|line| (line.contains("exit code 0"), line.contains("exit code 7"))).collect();
        assert_eq!(outcomes, [(true, false), (false, true), (true, false)], "{listed}");
    });
}

#[test]
fn s1_script_cut_off_in_three_boots_is_a_problem() {
    World::builder().run(|world| {
        world
            .standin()
            .set_user_data("setup-script.1", format!("{COUNTING}[ -e /root/cured ] || kill -9 $PPID\n"));
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\n: > /var/lib/second\n");
        for boot in 1..=3 {
            let cut = world.command(AGENT).args(["setup", "run"]).output().expect("started");
            assert_eq!((cut.status.code(), runs()), (None, boot), "killed by its script");
            world.reboot();
        }
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (1, 3), "{}", ran.err);
        assert!(fs::exists("/var/lib/second").expect("checked"), "the other scripts run");
        let daemon = start_daemon(world);
        let status: serde_json::Value =
            serde_json::from_str(&agent(world, &["status", "--json"]).out).expect("JSON");
        let is_named = |problem: &serde_json::Value| {
            problem["what"].as_str().is_some_and(|what| {
                what.starts_with("setup-script.1: ") && what.contains("three boots in a row")
            })
        };
        assert!(status["problems"].as_array().expect("a list").iter().any(is_named), "{status}");
        daemon.terminate();
        // `--again` starts it again.
        fs::write("/root/cured", "").expect("written");
        assert_eq!(agent(world, &["setup", "run", "setup-script.1", "--again"]).code, 0);
        world.reboot();
        assert_eq!((agent(world, &["setup", "run"]).code, runs()), (0, 4));
    });
}

#[test]
fn two_runners_at_once_run_a_script_once() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", format!("{COUNTING}sleep 0.3\n"));
        let start = || Daemon::spawn(world.command(AGENT).args(["setup", "run"])).expect("started");
        let mut both = [start(), start()];
        for runner in &mut both {
            assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(0), "{}", runner.output());
        }
        assert_eq!(runs(), 1);
    });
}

#[test]
fn second_start_in_a_boot_still_reports_the_failure() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\nexit 3\n");
        assert_eq!(agent(world, &["setup", "run"]).code, 1);
        assert_eq!(agent(world, &["setup", "run"]).code, 1);
    });
}

#[test]
fn script_runs_once_its_interpreter_is_installed() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/var/lib/late-shell\necho ran >> /var/lib/ran\n");
        assert_eq!(agent(world, &["setup", "run"]).code, 1);
        copy_program(world, "/bin/sh", "/var/lib/late-shell");
        world.reboot();
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!(runs(), 1);
    });
}

#[test]
fn s1_script_with_a_long_key_runs_once() {
    for name in ["x".repeat(242), "é".repeat(80)] {
        World::builder().run(|world| {
            let key = format!("setup-script.{name}");
            world.standin().set_user_data(&key, COUNTING);
            for _ in 0..2 {
                let ran = agent(world, &["setup", "run"]);
                assert_eq!((ran.code, runs()), (0, 1), "{}", ran.err);
                assert!(agent(world, &["setup", "list"]).out.starts_with(&format!("{key}  ")));
                assert!(agent(world, &["setup", "show", &key]).out.contains("exit code 0"));
                world.reboot();
            }
            // An unreadable record is set aside and is not treated as a first boot (D1).
            for record in fs::read_dir("/var/lib/scw-agent/setup").expect("listed") {
                fs::write(record.expect("an entry").path(), "{").expect("written");
            }
            assert_eq!((agent(world, &["setup", "run"]).code, runs()), (1, 1));
            world.reboot();
            assert_eq!((agent(world, &["setup", "run"]).code, runs()), (1, 1));
        });
    }
}
