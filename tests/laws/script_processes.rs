//! S4 and S5: a timeout and a stop end all processes of a script, also those that try to escape, and no leftover process of an earlier script.

use nix::sys::signal::Signal;
use scw_stage::{Daemon, World};

use crate::machine::*;

/// A script that starts processes without its session, parent or environment, so that they are hard to find. Then it waits.
fn escaping_script(settings: &str, seconds: u32) -> String {
    format!(
        "#!/bin/sh\n{settings}\nenv -i setsid sleep {seconds} >/dev/null 2>&1 &\n\
        (env -i setsid sh -c 'sleep {seconds} & sleep {seconds}' >/dev/null 2>&1 &)\n\
        env -i setsid sh -c 'trap \"\" TERM; sleep {seconds}' >/dev/null 2>&1 &\n\
        : >/var/lib/began\nsleep {seconds}\n"
    )
}

/// The number of processes that sleep for this time.
fn count_sleepers(world: &World, seconds: u32) -> usize {
    let pattern = format!("sleep {seconds}");
    run(world.command("pgrep").args(["-c", "-x", "-f", &pattern])).out.trim().parse().expect("a number")
}

fn end_sleepers(world: &World, seconds: u32) {
    assert_eq!(run(world.command("pkill").args(["-KILL", "-f", &format!("^sleep {seconds}")])).code, 0);
}

#[test]
fn s5_timeout_ends_all_that_a_script_started() {
    World::builder().run(|world| {
        let earlier = "#!/bin/sh\nenv -i setsid sleep 5813 >/dev/null 2>&1 &\n(env -i setsid sh -c 'sleep 5813 & sleep 5813' >/dev/null 2>&1 &)\nsleep 0.3\n";
        world.standin().set_user_data("setup-script.1", earlier);
        world.standin().set_user_data("setup-script.2", escaping_script("# scw-setup: timeout=2s", 5814));
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 1 && ran.err.contains("timed out"), "{}", ran.err);
        assert_eq!(count_sleepers(world, 5814), 0, "{}", ran.err);
        assert_ne!(count_sleepers(world, 5813), 0, "the leftover process of the earlier script lives on");
        end_sleepers(world, 5813);
    });
}

#[test]
fn s5_stop_ends_all_that_a_script_started() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", escaping_script("", 5815));
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        until(world, "began", || std::fs::exists("/var/lib/began").ok()?.then_some(()));
        assert_ne!(count_sleepers(world, 5815), 0);
        runner.signal(Signal::SIGINT);
        assert!(runner.wait(LONG).is_some(), "{}", runner.output());
        assert_eq!(count_sleepers(world, 5815), 0, "{}", runner.output());
    });
}

#[test]
fn s5_thousands_of_short_processes_leave_none_behind() {
    World::builder().run(|world| {
        // Each process loses its parent at once and becomes the runner's child.
        let script = "#!/bin/sh\nn=0\nwhile [ $n -lt 3000 ]; do (: &) ; n=$((n + 1)); done\nsleep 0.5\ncat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '\nexit 0\n";
        world.standin().set_user_data("setup-script", script);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let zombies = ran.err.lines().find_map(|line| line.rsplit_once("setup-script: ")?.1.parse::<u32>().ok());
        assert!(zombies.expect("a number") < 100, "{}", ran.err);
    });
}

/// A program whose first thread ends while another thread and a child process run on.
const THREADS: &str = "import os, subprocess, threading, time\nsubprocess.Popen(['sleep', '5816'])\n\
    threading.Thread(target=time.sleep, args=(5816,)).start()\nimport ctypes\nctypes.CDLL(None).pthread_exit(None)\n";

#[test]
fn s5_timeout_ends_a_process_without_its_first_thread() {
    World::builder().run(|world| {
        std::fs::write("/root/threads.py", THREADS).expect("written");
        let script = "#!/bin/sh\n# scw-setup: timeout=2s\n(setsid python3 /root/threads.py >/dev/null 2>&1 &)\nsleep 5817\n";
        world.standin().set_user_data("setup-script", script);
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.err.contains("timed out"), "{}", ran.err);
        assert_eq!(count_sleepers(world, 5816), 0, "{}", ran.err);
        assert_ne!(run(world.command("pgrep").args(["-f", "^python3 /root/threads"])).code, 0);
    });
}

#[test]
fn s5_signal_without_a_name_does_not_stop_the_reaping() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\n(sh -c 'kill -40 $$' &)\nsleep 0.3\nn=0\nwhile [ $n -lt 500 ]; do (: &) ; n=$((n + 1)); done\nsleep 0.5\ncat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '\nexit 0\n";
        world.standin().set_user_data("setup-script", script);
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let zombies = ran.err.lines().find_map(|line| line.rsplit_once("setup-script: ")?.1.parse::<u32>().ok());
        assert!(zombies.expect("a number") < 100, "{}", ran.err);
    });
}

#[test]
fn s1_stop_while_a_script_is_ended_starts_no_other() {
    World::builder().run(|world| {
        let first = "#!/bin/sh\n# scw-setup: timeout=1s\ntrap '' TERM\n: >/var/lib/began\nwhile :; do sleep 0.2; done\n";
        world.standin().set_user_data("setup-script.1", first);
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\n: >/var/lib/second\n");
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        until(world, "began", || std::fs::exists("/var/lib/began").ok()?.then_some(()));
        std::thread::sleep(std::time::Duration::from_secs(2));
        runner.signal(Signal::SIGTERM);
        assert!(runner.wait(LONG).is_some(), "{}", runner.output());
        assert!(!std::fs::exists("/var/lib/second").expect("checked"), "{}", runner.output());
    });
}
