//! The requests and the instructions of a boot, with release builds of the programs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_budgets::{
    BOOT_CONNECTIONS, BOOT_INSTRUCTIONS, FIRST_BOOT_REQUESTS, LATER_BOOT_REQUESTS, USERDATA_INSTRUCTIONS,
};
use scw_stage::{Daemon, Programs, World};

/// Far longer than any step takes, even with valgrind.
const LONG: Duration = Duration::from_secs(600);
const LIST: &str = "/user_data?format=json";
const FINGERPRINTS: &str = "/user_data/ssh-host-fingerprints";
/// The daemon's request to compare the Instance with the identity record.
const INSTANCE_SEEN: &str = "/run/scw-agent-requests/host-keys/instance-seen";

fn run(command: &mut Command) {
    let output = command.output().expect("started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs the roles of a boot, one after the other. `start` makes the command of each from its arguments. The daemon runs until it has read
/// everything and published; the settle pass runs when the daemon requests it.
fn boot(world: &World, start: impl Fn(&str) -> Command) {
    world.standin().clear_requests();
    run(&mut start("host-keys ensure"));
    let daemon = Daemon::spawn(&mut start("daemon")).expect("started");
    let has = |target: &str| {
        let listed = world.standin().wait_for(LONG, |requests| {
            requests.iter().any(|request| request.target == target && request.status.is_some())
        });
        assert!(listed, "{}", daemon.output());
    };
    has(LIST);
    let deadline = Instant::now() + LONG;
    while !Path::new(INSTANCE_SEEN).exists() {
        assert!(Instant::now() < deadline, "{}", daemon.output());
        sleep(Duration::from_millis(10));
    }
    run(&mut start("host-keys settle"));
    has(FINGERPRINTS);
    while world.standin().user_data("ssh-host-fingerprints").is_none() {
        assert!(Instant::now() < deadline, "{}", daemon.output());
        sleep(Duration::from_millis(10));
    }
    daemon.terminate();
    run(&mut start("setup run"));
    // The next boot must not find files of this one in /run.
    for folder in ["/run/scw-agent-setup", "/run/scw-agent-hostkeys"] {
        let _ = fs::remove_dir_all(folder);
    }
}

fn agent(world: &World, programs: &Programs, words: &str) -> Command {
    let mut command = world.command(&programs.agent);
    command.args(words.split(' '));
    command
}

fn requests_and_connections(world: &World) -> (u64, u64) {
    let requests = world.standin().requests();
    for request in &requests {
        println!("  connection {}: {} {}", request.connection, request.method, request.target);
    }
    let connections: BTreeSet<_> = requests.iter().map(|request| request.connection).collect();
    (requests.len() as u64, connections.len() as u64)
}

#[test]
fn t4_boot_makes_few_requests_and_connections() {
    let programs = Programs::build().expect("built");
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ed25519\"]\n").expect("written");
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho hello\n");
        for budget in [FIRST_BOOT_REQUESTS, LATER_BOOT_REQUESTS] {
            boot(world, |words| agent(world, &programs, words));
            let (requests, connections) = requests_and_connections(world);
            budget.check(requests);
            BOOT_CONNECTIONS.check(connections);
        }
    });
}

/// A command that runs `program` in callgrind, which counts instructions.
fn counted(world: &World, program: &std::path::Path) -> Command {
    let mut command = world.command("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--callgrind-out-file=/run/stage/counted.%p"]).arg(program);
    command
}

/// The sum of instructions since the last call.
fn instructions() -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir("/run/stage").expect("listed").flatten() {
        if entry.file_name().to_string_lossy().starts_with("counted.") {
            let text = fs::read_to_string(entry.path()).expect("read");
            let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
            let total: u64 = total.trim().parse().expect("a number");
            println!("  {total} instructions");
            sum += total;
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    sum
}

#[test]
fn instructions_of_a_read_and_a_later_boot_stay_few() {
    let programs = Programs::build().expect("built");
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ed25519\"]\n").expect("written");
        world.standin().set_user_data("key", "value");
        boot(world, |words| agent(world, &programs, words));

        run(counted(world, &programs.userdata).arg("key"));
        USERDATA_INSTRUCTIONS.check(instructions());

        boot(world, |words| {
            let mut command = counted(world, &programs.agent);
            command.args(words.split(' '));
            command
        });
        BOOT_INSTRUCTIONS.check(instructions());
    });
}
