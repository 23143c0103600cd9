//! S1 to S5, so far: once for an Instance and a content, recorded, and one bad script stops no other.

use std::fs;

use scw_stage::World;

use crate::machine::*;

/// How often a script that adds a line to this file has run.
fn runs() -> usize {
    fs::read_to_string("/var/lib/ran").unwrap_or_default().lines().count()
}

const COUNTING: &str = "#!/bin/sh\necho ran >> /var/lib/ran\n";

#[test]
fn s1_a_setup_script_runs_once_and_again_only_when_its_content_changes() {
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
fn s1_it_runs_again_for_another_instance() {
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
fn s1_a_run_that_was_cut_off_starts_again_and_knows_it() {
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
fn s2_s5_each_script_has_its_outcome_and_a_bad_one_stops_no_other() {
    World::builder().run(|world| {
        let scripts: [(&str, &[u8], &str); 10] = [
            ("setup-script", b"#!/bin/sh\necho good\n", "exit code 0"),
            ("setup-script.10-exit", b"#!/bin/sh\nexit 3\n", "exit code 3"),
            ("setup-script.20-killed", b"#!/bin/sh\nkill -9 $$\n", "killed by SIGKILL"),
            ("setup-script.30-empty", b"", "is empty"),
            ("setup-script.40-crlf", b"#!/bin/sh\r\necho\r\n", "CRLF"),
            (
                "setup-script.50-none",
                b"#!/no/such/interpreter\n",
                "/no/such/interpreter is not on this machine",
            ),
            ("setup-script.60-plain", b"echo hello\n", "does not start with `#!`"),
            ("setup-script.70-nul", b"#!/bin/sh\n\0", "NUL"),
            ("setup-script.80-bytes", b"#!/bin/sh\necho '\xff\xfe'\n", "exit code 0"),
            ("setup-script.90-last", COUNTING.as_bytes(), "exit code 0"),
        ];
        for (key, body, _) in scripts {
            world.standin().set_user_data(key, body);
        }
        let daemon = start_daemon(world);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (1, 1), "{}", ran.err);
        let listed = agent(world, &["setup", "list"]).out;
        let status = agent(world, &["status"]);
        assert_eq!(status.code, 1);
        for (key, _, outcome) in scripts {
            let has = |text: &str| text.lines().any(|line| line.contains(key) && line.contains(outcome));
            assert!(
                has(&ran.err) && has(&listed) && has(&status.out),
                "{key}: {}\n{listed}\n{}",
                ran.err,
                status.out
            );
        }
        daemon.terminate();
    });
}

#[test]
fn s2_a_scripts_output_and_surroundings_are_as_promised() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\nenv | sort\npwd\nread line || echo no input\necho to stderr >&2\nls -l /proc/self/fd | wc -l >/dev/null\n";
        world.standin().set_user_data("setup-script", script);
        let mut command = world.command(AGENT);
        let ran = run(command.args(["setup", "run"]).env("SECRET_OF_THE_CALLER", "x"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let shown = agent(world, &["setup", "show", "setup-script"]).out;
        for line in [
            "HOME=/root",
            "LANG=C.UTF-8",
            "SCW_INSTANCE_ID=daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86",
            "SCW_SCRIPT=setup-script",
            "SCW_SETUP_ATTEMPT=1",
            "SCW_ZONE=nl-ams-1",
            "/",
            "no input",
            "to stderr",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in {shown}");
        }
        assert!(!shown.contains("SECRET_OF_THE_CALLER"), "{shown}");
        assert!(ran.err.contains("setup-script: to stderr"), "{}", ran.err);
    });
}

#[test]
fn s3_a_scripts_body_is_in_no_log_and_no_file_is_left_of_it() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\n# password=hunter2-very-secret\ntrue\n");
        world.standin().set_user_data("unrelated", "hunter2-very-secret");
        let daemon = start_daemon(world);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        userdata(world, &["unrelated"]);
        let status = agent(world, &["status", "--json"]).out;
        let (_, logged) = daemon.terminate();
        for text in [&ran.err, &ran.out, &status, &logged] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        let found = run(world.command("grep").args([
            "-rl",
            "hunter2",
            "/run",
            "/var/lib/scw-agent",
            "/var/log",
            "/etc",
        ]));
        assert_eq!(found.out, "");
    });
}

#[test]
fn s4_restarting_the_daemon_runs_no_script() {
    World::builder().run(|world| {
        make_host_key(world);
        world.standin().set_user_data("setup-script", COUNTING);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        assert!(
            std::path::Path::new("/run/scw-agent/setup-requested").exists(),
            "the daemon asks for the runner"
        );
        agent(world, &["setup", "run"]);
        assert!(
            !std::path::Path::new("/run/scw-agent/setup-requested").exists(),
            "the runner takes the request away"
        );
        daemon.terminate();
        world.standin().set_user_data("setup-script", format!("{COUNTING}# changed\n"));
        world.standin().clear_requests();
        let daemon = start_daemon(world);
        wait_until_settled(world);
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 1, "a change waits for the next boot");
        daemon.terminate();
    });
}

#[test]
fn d1_a_record_that_cannot_be_read_is_set_aside_and_is_no_first_boot() {
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
fn a_script_that_outlives_its_time_is_ended_with_all_that_it_started() {
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[setup]\ntimeout = \"300ms\"\n").expect("written");
        world.standin().set_user_data("setup-script", "#!/bin/sh\nsleep 1000 &\nsleep 1000\n");
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("longer than it may"), "{}", ran.err);
        // Only the world's own processes are looked at.
        let left = run(world.command("sh").args(["-c", "for p in /proc/[0-9]*; do [ $(readlink $p/ns/net) = $(readlink /proc/self/ns/net) ] && tr '\\0' ' ' < $p/cmdline; done"]));
        assert!(!left.out.contains("sleep 1000"), "{}", left.out);
    });
}

#[test]
fn without_a_reachable_service_nothing_is_run_and_nothing_is_taken_for_done() {
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
