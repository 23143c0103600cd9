//! S2 to S5: what one script does and leaves: its outcome, output, environment and timeout, and its leftover processes.

use std::fs;

use scw_stage::{Daemon, World};

use crate::machine::*;

#[test]
fn s2_s5_failed_script_stops_no_other() {
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
                "interpreter (line 1) is not on this machine",
            ),
            ("setup-script.60-plain", b"echo hello\n", "does not start with `#!`"),
            ("setup-script.70-nul", b"#!/bin/sh\0\n", "NUL"),
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
fn s5_script_with_binary_data_behind_it_runs() {
    World::builder().run(|world| {
        // Like a file that `makeself` makes: a script with a compressed archive after its last line.
        let script = "#!/bin/sh -e\n# scw-setup: timeout=10m\ntail -n +5 \"$0\" | tar -xz -C /var/lib\nexit 0\n";
        let pack = "mkdir packed; head -c 300000 /dev/urandom >packed/random; head -c 1000 /dev/zero >packed/nothing; tar -cz packed";
        let archive = world.command("sh").args(["-ec", pack]).current_dir("/root").output().expect("packed").stdout;
        assert!(archive.contains(&0) && archive.len() > 300_000);
        let body = [script.as_bytes(), &archive].concat();
        fs::write("/root/setup-script", &body).expect("written");
        let checked = agent(world, &["setup", "validate", "/root/setup-script"]);
        assert_eq!(checked.code, 0, "{}", checked.out);
        world.standin().set_user_data("setup-script", body);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let same = run(world.command("diff").args(["-r", "/root/packed", "/var/lib/packed"]));
        assert_eq!(same.code, 0, "{}", same.err);
    });
}

#[test]
fn s2_script_has_documented_environment_and_output() {
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
fn s3_script_text_is_in_no_log_and_no_remaining_file() {
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
fn timeout_ends_a_script_and_its_children() {
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[setup]\ntimeout = \"300ms\"\n").expect("written");
        world.standin().set_user_data("setup-script", "#!/bin/sh\n(trap '' TERM; sleep 1000) &\nsleep 1000\n");
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("timed out"), "{}", ran.err);
        // Only processes of this world are checked.
        let running = run(world.command("sh").args(["-c", "for p in /proc/[0-9]*; do [ $(readlink $p/ns/net) = $(readlink /proc/self/ns/net) ] && tr '\\0' ' ' < $p/cmdline; done"]));
        assert!(!running.out.contains("sleep 1000"), "{}", running.out);
    });
}

#[test]
fn timeout_ends_a_script_that_prints_all_the_time() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\n# scw-setup: timeout=500ms\nexec yes\n");
        world.standin().set_user_data("setup-script.2", COUNTING);
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert!(runner.wait(LONG).is_some(), "the runner never ended");
        assert_eq!(runs(), 1);
    });
}

#[test]
fn s4_leftover_process_lives_on_and_the_runner_ends() {
    World::builder().run(|world| {
        let script =
            "#!/bin/sh\n(trap '' PIPE; while :; do echo x; sleep 0.05; done) &\necho $! > /var/lib/pid\n";
        world.standin().set_user_data("setup-script", script);
        world.standin().set_user_data("setup-script.2", COUNTING);
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(0));
        assert_eq!(runs(), 1);
        let pid = fs::read_to_string("/var/lib/pid").expect("its process id");
        assert!(
            fs::exists(format!("/proc/{}", pid.trim())).expect("checked"),
            "the leftover process was ended"
        );
    });
}

#[test]
fn script_has_only_two_open_files_of_its_output_pipe() {
    World::builder().run(|world| {
        world
            .standin()
            .set_user_data("setup-script", "#!/bin/sh\nfor fd in /proc/$$/fd/*; do readlink $fd; done\n");
        agent(world, &["setup", "run"]);
        let shown = agent(world, &["setup", "show", "setup-script"]).out;
        let pipes = shown.lines().filter(|line| line.starts_with("pipe:")).fold(
            std::collections::BTreeMap::<&str, usize>::new(),
            |mut counts, pipe| {
                *counts.entry(pipe).or_default() += 1;
                counts
            },
        );
        // The script may inherit other pipes. Its output pipe is open as descriptors 1 and 2, and not a third time.
        assert!(
            pipes.values().all(|count| *count <= 2) && pipes.values().any(|count| *count == 2),
            "{shown}"
        );
    });
}
