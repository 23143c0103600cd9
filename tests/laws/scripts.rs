//! S1 to S5, so far: once for an Instance and a content, recorded, and one bad script stops no other.

use std::fs;

use scw_stage::{Daemon, World};
use scw_standin::{Fault, Order};

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
fn s5_binary_data_behind_a_script_does_not_keep_it_from_running() {
    World::builder().run(|world| {
        // What `makeself` makes: a script, and behind its last line a compressed archive.
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
            std::path::Path::new("/run/scw-agent-requests/setup/setup-requested").exists(),
            "the daemon asks for the runner"
        );
        agent(world, &["setup", "run"]);
        assert!(
            !std::path::Path::new("/run/scw-agent-requests/setup/setup-requested").exists(),
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
        world.standin().set_user_data("setup-script", "#!/bin/sh\n(trap '' TERM; sleep 1000) &\nsleep 1000\n");
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

#[test]
fn s1_d1_looking_at_a_record_that_cannot_be_read_does_not_make_its_script_run_again() {
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
        // Nor does a crash right after it was set aside.
        fs::remove_file("/var/lib/scw-agent/setup/setup-script.json").expect("removed");
        world.reboot();
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 1);
    });
}

#[test]
fn a_script_that_prints_without_a_pause_is_ended_in_time() {
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
fn s4_what_a_script_leaves_running_lives_on_and_does_not_hold_the_runner() {
    World::builder().run(|world| {
        let script =
            "#!/bin/sh\n(trap '' PIPE; while :; do echo x; sleep 0.05; done) &\necho $! > /var/lib/left\n";
        world.standin().set_user_data("setup-script", script);
        world.standin().set_user_data("setup-script.2", COUNTING);
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(0));
        assert_eq!(runs(), 1);
        let left = fs::read_to_string("/var/lib/left").expect("its process id");
        assert!(fs::exists(format!("/proc/{}", left.trim())).expect("looked"), "it was ended");
    });
}

#[test]
fn a_script_holds_its_output_by_two_open_files_and_not_the_runners_end_of_it() {
    World::builder().run(|world| {
        world
            .standin()
            .set_user_data("setup-script", "#!/bin/sh\nfor fd in /proc/$$/fd/*; do readlink $fd; done\n");
        agent(world, &["setup", "run"]);
        let shown = agent(world, &["setup", "show", "setup-script"]).out;
        let most = shown.lines().filter(|line| line.starts_with("pipe:")).fold(
            std::collections::BTreeMap::<&str, usize>::new(),
            |mut counts, pipe| {
                *counts.entry(pipe).or_default() += 1;
                counts
            },
        );
        // Others may come from whoever started the runner; its own pipe is there as 1 and 2, and not a third time.
        assert!(most.values().all(|count| *count <= 2) && most.values().any(|count| *count == 2), "{shown}");
    });
}

#[test]
fn s1_a_runner_that_is_stopped_ends_its_script_which_starts_again_at_the_next_boot() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\necho $SCW_SETUP_ATTEMPT >> /var/lib/ran\n[ $SCW_SETUP_ATTEMPT != 1 ] || exec sleep 4711\n";
        world.standin().set_user_data("setup-script", script);
        let mut command = world.command(AGENT);
        let runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        until(world, "running", || (runs() == 1).then_some(()));
        let (status, output) = runner.terminate();
        assert_eq!(status.code(), Some(1), "{output}");
        let left = run(world.command("sh").args(["-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 4711'"]));
        assert_eq!(left.out.trim(), "0", "the script was left running");
        world.reboot();
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!(fs::read_to_string("/var/lib/ran").expect("read"), "1\n2\n");
    });
}

#[test]
fn s1_script_whose_last_line_stops_the_runner_has_its_own_end() {
    World::builder().run(|world| {
        // As `reboot` does, which returns before the machine goes down.
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
        assert!(fs::exists("/var/lib/second").expect("looked"), "the others run");
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
        // A person can start it again.
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
fn a_second_start_in_a_boot_does_not_make_a_failure_look_well() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\nexit 3\n");
        assert_eq!(agent(world, &["setup", "run"]).code, 1);
        assert_eq!(agent(world, &["setup", "run"]).code, 1);
    });
}

#[test]
fn the_runner_takes_nobodys_word_but_the_services() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        // Whoever has become the daemon's user can listen where the daemon does.
        let _listener = std::os::unix::net::UnixListener::bind("/run/scw-agent/api.sock").expect("bound");
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(0), "{}", runner.output());
        assert_eq!(runs(), 1);
    });
}

#[test]
fn a_request_for_the_runner_is_taken_away_whatever_it_is() {
    World::builder().run(|world| {
        for make in [
            "mkdir -p /run/scw-agent-requests/setup/setup-requested/x",
            "ln -s /etc/passwd /run/scw-agent-requests/setup/setup-requested",
        ] {
            run(world.command("sh").args(["-c", make]));
            agent(world, &["setup", "run"]);
            assert!(fs::symlink_metadata("/run/scw-agent-requests/setup/setup-requested").is_err(), "{make}");
        }
        assert!(fs::exists("/etc/passwd").expect("looked"));
    });
}

#[test]
fn scripts_are_asked_for_even_where_publishing_is_refused() {
    World::builder().run(|world| {
        make_host_key(world);
        world.standin().set_user_data("setup-script", COUNTING);
        world.standin().set_orders(vec![Order::new(Fault::status(400)).method("PATCH")]);
        let daemon = start_daemon(world);
        until(world, "asked for", || {
            fs::exists("/run/scw-agent-requests/setup/setup-requested").ok().filter(|there| *there)
        });
        daemon.terminate();
    });
}

#[test]
fn d1_a_script_that_removes_the_records_stops_no_other_and_is_told_as_it_was() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\nrm -rf /var/lib/scw-agent/setup\n");
        world.standin().set_user_data("setup-script.2", COUNTING);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (0, 1), "{}", ran.err);
    });
}

#[test]
fn a_script_whose_interpreter_comes_later_runs_then() {
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
fn d3_records_are_roots_alone_and_the_summary_is_for_all_whatever_the_umask() {
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
fn a_state_folder_that_others_may_write_is_not_believed() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        run(world.command("chmod").args(["0777", "/var/lib/scw-agent"]));
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, runs()), (1, 0), "{}", ran.err);
        assert!(ran.err.contains("/var/lib/scw-agent must be root's"), "{}", ran.err);
    });
}

#[test]
fn s1_script_runs_and_is_done_however_long_its_key() {
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
            // A record that cannot be read is set aside, and is no first boot (D1).
            for record in fs::read_dir("/var/lib/scw-agent/setup").expect("listed") {
                fs::write(record.expect("an entry").path(), "{").expect("written");
            }
            assert_eq!((agent(world, &["setup", "run"]).code, runs()), (1, 1));
            world.reboot();
            assert_eq!((agent(world, &["setup", "run"]).code, runs()), (1, 1));
        });
    }
}
