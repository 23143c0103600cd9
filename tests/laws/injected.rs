//! Each system call of a program fails once, with each error that it can return. The program must end without a panic and damage
//! nothing, and the next run must reach the one correct state.

use std::fs;
use std::process::Command;

use scw_stage::{Daemon, World};

use crate::crash::{MAX_CALLS, TYPES, check_renewal, complete_keys};
use crate::machine::*;

const ORIGINAL: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
const CLONE: &str = "11111111-2222-4333-8444-555555555555";

/// System calls on files, and the errors with which they fail.
const FILES: [(&str, &[&str]); 14] = [
    ("openat", &["ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE"]),
    ("read", &["EIO"]),
    ("write", &["ENOSPC", "EIO", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("rename", &["EIO", "ENOSPC", "EROFS", "EACCES"]),
    ("mkdir", &["ENOSPC", "EROFS", "EACCES"]),
    ("mkdirat", &["ENOSPC", "EROFS", "EEXIST"]),
    ("fchown", &["EPERM", "EIO"]),
    ("unlink", &["EIO", "EROFS", "EACCES"]),
    ("unlinkat", &["EIO", "EACCES"]),
    ("fchmod", &["EIO", "EPERM"]),
    ("chmod", &["EROFS", "EPERM"]),
    ("flock", &["EIO", "EINTR"]),
    ("pipe2", &["EMFILE"]),
];
/// System calls on sockets, and the errors with which they fail.
const NETWORK: [(&str, &[&str]); 8] = [
    ("socket", &["EMFILE", "ENOBUFS", "EACCES"]),
    ("bind", &["EADDRINUSE", "EACCES"]),
    ("connect", &["ENETUNREACH", "ECONNREFUSED", "EINTR"]),
    ("sendto", &["EPIPE", "ENOBUFS"]),
    ("writev", &["EPIPE"]),
    ("recvfrom", &["ECONNRESET"]),
    ("getsockopt", &["EIO"]),
    ("setsockopt", &["ENOMEM"]),
];

/// Failures that are not the program's: before it begins, and in calls that fail only under strace: a write to the runtime's event
/// counter, a read of a child's pipe or of the socket for signals. A panic is reported by its source location, without its message.
const NOT_OURS: [&str; 5] = [
    "error while loading shared libraries",
    "/src/runtime/io/driver.rs",
    "/src/runtime/signal/mod.rs",
    "library/std/src/process.rs",
    "library/std/src/sys/process/",
];
/// How the program reports a panic.
const PANIC: &str = "internal error at";

/// strace, which makes the n-th call of this kind fail. The file `/root/strace` shows whether it did. The caller adds the program.
fn strace_with_error(world: &World, call: &str, error: &str, nth: usize) -> Command {
    let mut command = world.command("strace");
    command.args(["-qq", "-o", "/root/strace", "-e"]).arg(format!("trace=?{call}"));
    command.arg("-e").arg(format!("inject=?{call}:error={error}:when={nth}"));
    command
}

fn was_injected() -> bool {
    fs::read_to_string("/root/strace").is_ok_and(|log| log.contains("(INJECTED)"))
}

/// Runs the command, which must end by itself and without a panic.
pub(crate) fn run_without_panic(what: &str, command: &mut Command) -> Ended {
    let output = command.output().expect("strace runs (package strace)");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ended = Ended {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    let is_allowed = (0..=6).contains(&ended.code) && !ended.err.contains(PANIC);
    let not_ours = NOT_OURS.iter().any(|text| ended.err.contains(text));
    assert!(is_allowed || not_ours, "{what}: {} {}", ended.code, ended.err);
    // Only the location of a panic is logged, because its message may quote anything (S3).
    assert!(!ended.err.contains("failed to wake"), "{what}: {}", ended.err);
    ended
}

fn save(world: &World, name: &str) {
    sh(
        world,
        &format!(
            "mkdir -p /root/{name} && cp -a /etc/ssh /var/lib/scw-agent /run/scw-agent-hostkeys /root/{name}/ 2>/dev/null || true"
        ),
    );
}

fn restore(world: &World, name: &str) {
    sh(world, &format!(
        "rm -rf /etc/ssh /var/lib/scw-agent /run/scw-agent-hostkeys; cp -a /root/{name}/ssh /etc/; cp -a /root/{name}/scw-agent /var/lib/
         [ ! -e /root/{name}/scw-agent-hostkeys ] || cp -a /root/{name}/scw-agent-hostkeys /run/"
    ));
}

/// Tries every call of the list with each of its errors, at each time that it is made. Returns the number of tries.
fn fail_each_call(calls: &[(&str, &[&str])], mut try_one: impl FnMut(&str, &str, usize) -> bool) -> usize {
    let mut points = 0;
    for (call, errors) in calls {
        for error in *errors {
            points += (1..MAX_CALLS).take_while(|nth| try_one(call, error, *nth)).count();
        }
    }
    points
}

/// Scenario, saved state that it starts from, pass whose calls fail, and the Instance in the metadata.
const SCENARIOS: [(&str, &str, &str, &str); 4] = [
    ("first boot", "empty", "ensure", ORIGINAL),
    ("a later boot", "recorded", "ensure", ORIGINAL),
    ("a later boot, with the metadata", "recorded", "settle", ORIGINAL),
    ("a clone", "recorded", "settle", CLONE),
];

#[test]
fn h1_h2_d2_host_keys_recover_from_each_failed_call() {
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n").expect("written");
        save(world, "empty");
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        request_instance(world, ORIGINAL);
        assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
        world.reboot();
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        save(world, "recorded");
        let first = complete_keys(world);
        let mut all = 0;
        for (scenario, from, pass, instance) in SCENARIOS {
            let points = fail_each_call(&FILES, |call, error, nth| {
                restore(world, from);
                let request = || {
                    if pass == "settle" {
                        request_instance(world, instance)
                    }
                };
                request();
                let what = format!("{scenario}: {call} {nth} fails with {error}");
                let faulty = run_without_panic(
                    &what,
                    strace_with_error(world, call, error, nth).arg(AGENT).args(["host-keys", pass]),
                );
                let survivors = complete_keys(world);
                if scenario.starts_with("a later boot") {
                    assert!(survivors == first, "{what}: a good key was changed");
                }
                request();
                let again = agent(world, &["host-keys", pass]);
                assert_eq!(again.code, 0, "{what}: {}", again.err);
                let end = complete_keys(world);
                assert_eq!(end.len(), TYPES.len(), "{what}");
                check_renewal(scenario, &first, &survivors, &end, &format!("{what}: {}", faulty.err));
                was_injected()
            });
            println!("{scenario}: {points} points");
            all += points;
        }
        println!("host-keys: {all} points, 0 violations");
        assert!(all > 300, "{all}");
    });
}

#[test]
fn s1_d2_runner_recovers_from_each_failed_call() {
    let calls = FILES.iter().chain(&NETWORK);
    let calls: Vec<_> =
        calls.flat_map(|(call, errors)| errors.chunks(1).map(|error| (*call, error))).collect();
    let points: usize = std::thread::scope(|scope| {
        // Half of the time is spent waiting.
        let calls = &calls;
        let part = move |number| calls.iter().skip(number).step_by(WORLDS).copied().collect::<Vec<_>>();
        let parts: Vec<_> =
            (0..WORLDS).map(|number| scope.spawn(move || fail_runner_calls(&part(number)))).collect();
        parts.into_iter().map(|part| part.join().expect("no panic")).sum()
    });
    println!("setup run: {points} points, 0 violations");
    assert!(points > 200, "{points}");
}

/// How many worlds share the runner's calls.
const WORLDS: usize = 4;

fn fail_runner_calls(calls: &[(&str, &[&str])]) -> usize {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\necho ran >> /root/ran\n");
        // A failed call can hide from the runner that the network is ready.
        fs::write("/etc/scw-agent.toml", "[setup]\nnetwork-wait = \"500ms\"\n").expect("written");
        let ran = || fs::read_to_string("/root/ran").unwrap_or_default().lines().count();
        let record = || fs::read_to_string("/var/lib/scw-agent/setup/setup-script.json").unwrap_or_default();
        fail_each_call(calls, |call, error, nth| {
            sh(world, "rm -rf /var/lib/scw-agent/setup /run/scw-agent-setup /root/ran /root/strace");
            let what = format!("{call} {nth} fails with {error}");
            let ended = run_without_panic(
                &what,
                strace_with_error(world, call, error, nth).arg(AGENT).args(["setup", "run"]),
            );
            let (before, recorded) = (ran(), record().contains("\"exit\": 0"));
            assert!(
                before <= 1 && (before == 0 || !record().is_empty()),
                "{what}: the script ran without a record: {}",
                ended.err
            );
            let injected = was_injected();
            // For the runner, this is the next boot.
            sh(world, "rm -rf /run/scw-agent-setup");
            let again = agent(world, &["setup", "run"]);
            assert_eq!(again.code, 0, "{what}: {}", again.err);
            let expected = if recorded { 1 } else { before + 1 };
            assert_eq!(ran(), expected, "{what}: {}\nthen {}", ended.err, again.err);
            injected
        })
    })
}

#[test]
fn h4_d2_daemon_publishes_after_each_failed_call() {
    let calls: Vec<_> = NETWORK
        .iter()
        .chain(&[("openat", &["EMFILE", "EIO"][..]), ("rename", &["ENOSPC"]), ("fsync", &["EIO"])])
        .copied()
        .collect();
    let points: usize = std::thread::scope(|scope| {
        // Most of the time is spent waiting between two tries.
        let parts: Vec<_> = calls.iter().map(|part| scope.spawn(move || fail_daemon_calls(*part))).collect();
        parts.into_iter().map(|part| part.join().expect("no panic")).sum()
    });
    println!("daemon: {points} points, 0 violations");
    assert!(points > 25, "{points}");
}

fn fail_daemon_calls(calls: (&'static str, &'static [&'static str])) -> usize {
    World::builder().run(|world| {
        make_host_key(world);
        confirm_instance(world);
        fail_each_call(&[calls], |call, error, nth| {
            world.standin().delete_user_data(FINGERPRINTS);
            let what = format!("{call} {nth} fails with {error}");
            let mut command = strace_with_error(world, call, error, nth);
            let mut daemon = Daemon::spawn(command.arg(AGENT).arg("daemon")).expect("started");
            let mut gone = None;
            until(world, &what, || {
                gone = daemon.wait(std::time::Duration::ZERO);
                (gone.is_some() || world.standin().user_data(FINGERPRINTS).is_some()).then_some(())
            });
            if let Some(status) = gone {
                // The daemon cannot work, so systemd starts it again.
                assert!(
                    status.code().is_some_and(|code| (1..=6).contains(&code)),
                    "{what}: {status:?} {}",
                    daemon.output()
                );
                assert!(!daemon.output().contains(PANIC), "{what}: {}", daemon.output());
                let clean = start_daemon(world);
                wait_until_published(world);
                clean.terminate();
            }
            drop(daemon);
            let injected = was_injected();
            let _ = fs::remove_file(INSTANCE_SEEN);
            // A few more calls than the first round makes.
            injected && nth < 25
        })
    })
}
