//! A user database that does not answer, such as a directory service while the network is down. The stand-in for it is a named pipe
//! without a writer: a program that opens the pipe waits forever.

use nix::sys::signal::Signal;
use scw_stage::{Daemon, World};

use crate::machine::*;

/// Sets a script for another user and one for root.
fn set_two_scripts(world: &World) {
    let prepare =
        "echo 'deploy:x:4801:4801::/home/deploy:/bin/sh' >>/etc/passwd; echo 'deploy:x:4801:' >>/etc/group";
    assert_eq!(run(world.command("sh").args(["-ec", prepare])).code, 0);
    world.standin().set_user_data("setup-script.1", "#!/bin/sh\n# scw-setup: user=deploy\necho deployed\n");
    world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho \"of root\"\n");
}

/// Replaces a file of the user database by a named pipe.
fn make_unresponsive(world: &World, file: &str) {
    let replace = format!("rm {file}; mkfifo {file}");
    assert_eq!(run(world.command("sh").args(["-ec", &replace])).code, 0);
}

/// Without an answer from this file, the script of the user fails with this message, and the script of root runs.
fn assert_runner_goes_on(file: &str, why: &str) {
    World::builder().run(|world| {
        set_two_scripts(world);
        make_unresponsive(world, file);
        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 1 && ran.err.contains(why), "{}: {}", ran.code, ran.err);
        assert!(ran.err.contains("setup-script.2: of root\n"), "{}", ran.err);
    });
}

#[test]
fn d3_hanging_user_database_does_not_block_the_runner() {
    assert_runner_goes_on(
        "/etc/passwd",
        "setup-script.1: not run: the user database does not answer within 30 s",
    );
}

#[test]
fn d3_hanging_group_database_does_not_block_the_runner() {
    let why = "setup-script.1: not run: the script's interpreter /bin/sh cannot be started: no start within 30 s; the user database may";
    assert_runner_goes_on("/etc/group", why);
}

#[test]
fn s1_runner_that_asks_for_a_user_can_be_stopped() {
    World::builder().run(|world| {
        set_two_scripts(world);
        make_unresponsive(world, "/etc/passwd");
        let runner = Daemon::spawn(world.command(AGENT).args(["setup", "run"])).expect("started");
        let queries_user = || {
            let children = format!("/proc/{0}/task/{0}/children", runner.pid());
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let is_getent = |pid: &str| {
                std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "getent\n")
            };
            children.split_whitespace().any(is_getent).then_some(())
        };
        until(world, "querying the user", queries_user);
        runner.signal(Signal::SIGTERM);
        let (_, output) = runner.terminate();
        // The runner waited neither for an answer nor for its timeout.
        assert!(!output.contains("not run"), "{output}");
    });
}
