//! H2: a program that is killed at any step and started again leaves the machine in the one correct state. A step is a system call
//! that changes the file system or sends something.
//!
//! strace kills the real program with SIGKILL at the n-th call of each such system call, for every n that occurs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use scw_stage::{Daemon, World, write_program};

use crate::machine::*;

/// System calls by which the host-keys units change files, names and modes, send signals, and run the programs that make the keys.
const HOST_KEY_CALLS: &[&str] = &[
    "openat", "mkdir", "write", "fsync", "rename", "unlink", "unlinkat", "rmdir", "chmod", "fchmod", "chown",
    "kill", "vfork", "clone3", "wait4", "waitid",
];
/// System calls by which the daemon communicates and writes files.
const DAEMON_CALLS: &[&str] =
    &["socket", "bind", "connect", "sendto", "writev", "write", "recvfrom", "openat", "rename", "fsync"];
pub(crate) const TYPES: [&str; 2] = ["ecdsa", "ed25519"];
const ORIGINAL: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
const CLONE: &str = "11111111-2222-4333-8444-555555555555";
/// More calls of one kind than any run makes: the end of each loop over the n-th call.
pub(crate) const MAX_CALLS: usize = 400;

/// Runs a command of [`strace`]. Returns `false` when the program ended before its n-th call.
pub(crate) fn killed_at(command: &mut Command) -> bool {
    let output = command.output().expect("strace runs (package strace)");
    let signal = output.status.signal();
    assert!(matches!(signal, None | Some(9)), "ended by signal {signal:?}");
    if signal.is_none() {
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    signal.is_some()
}

/// strace, which kills the program at its n-th call of this kind. The caller adds the program.
pub(crate) fn strace(world: &World, call: &str, nth: usize) -> Command {
    let mut command = world.command("strace");
    // `?` ignores calls that this processor architecture does not have.
    command.args(["-qq", "-o", "/dev/null", "-e"]).arg(format!("trace=?{call}"));
    command.arg("-e").arg(format!("inject=?{call}:signal=KILL:when={nth}"));
    command
}

/// Host keys: from the key type to the bytes of the private key.
pub(crate) type Keys = BTreeMap<&'static str, Vec<u8>>;

/// The complete host keys of the world.
pub(crate) fn complete_keys(world: &World) -> Keys {
    let complete = |name: &&'static str| {
        let path = format!("/etc/ssh/ssh_host_{name}_key");
        let shown = run(world.command("ssh-keygen").args(["-y", "-P", "", "-f", &path]));
        (shown.code == 0).then(|| fs::read(path).expect("read"))
    };
    TYPES.iter().filter_map(|name| Some((*name, complete(name)?))).collect()
}

/// Checks the end state: both keys complete, the public keys belong to them, no temporary folders. Returns the private keys.
fn check_end(world: &World, what: &str) -> Keys {
    let keys = complete_keys(world);
    assert_eq!(keys.len(), TYPES.len(), "{what}");
    for name in TYPES {
        let path = format!("/etc/ssh/ssh_host_{name}_key");
        let derived = run(world.command("ssh-keygen").args(["-y", "-f", &path])).out;
        let public = fs::read_to_string(format!("{path}.pub")).expect("read");
        let key = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned();
        assert_eq!(key(&public), key(&derived), "{what}: {name}");
    }
    for folder in ["/etc/ssh", "/var/lib/scw-agent"] {
        for entry in fs::read_dir(folder).expect("listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(
                !name.starts_with(".scw-agent-new") || name.ends_with(".new"),
                "{what}: {folder}/{name} remains"
            );
        }
    }
    keys
}

/// Checks the keys at the end of a scenario, given those of the original Instance and those that survived the failure. A clone uses
/// no key of the original Instance. In other scenarios nothing proved a clone, so complete keys stay.
pub(crate) fn check_renewal(scenario: &str, original: &Keys, survivors: &Keys, end: &Keys, what: &str) {
    if scenario == "a clone" {
        let all_new = TYPES.iter().all(|name| end[name] != original[name]);
        assert!(all_new, "{what}: a key of the original Instance is still in use");
    } else {
        let all_kept = survivors.iter().all(|(name, key)| end[name] == *key);
        assert!(all_kept, "{what}: a key was replaced without proof");
    }
}

fn recorded_instance() -> String {
    let record = fs::read("/var/lib/scw-agent/instance.json").expect("a record");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    record["instance"].as_str().expect("an id").to_owned()
}

fn restore(world: &World, from: &str) {
    let script = "rm -rf /etc/ssh /var/lib/scw-agent /run/scw-agent-hostkeys && cp -a $0/ssh /etc/ssh \
        && cp -a $0/scw-agent /var/lib/scw-agent && { [ ! -e $0/run ] || cp -a $0/run /run/scw-agent-hostkeys; }";
    assert_eq!(run(world.command("sh").args(["-c", script, from])).code, 0);
}

fn save(world: &World, to: &str) {
    let script = "mkdir -p $0 && cp -a /etc/ssh /var/lib/scw-agent $0/ \
        && { [ ! -e /run/scw-agent-hostkeys ] || cp -a /run/scw-agent-hostkeys $0/run; }";
    assert_eq!(run(world.command("sh").args(["-c", script, to])).code, 0);
}

/// Scenario, saved state that it starts from, pass that is killed, and the Instance in the metadata.
const SCENARIOS: [(&str, &str, &str, Option<&str>); 5] = [
    ("first boot, before sshd", "/root/empty", "ensure", None),
    ("first boot, with the metadata", "/root/made", "settle", Some(ORIGINAL)),
    ("a later boot, before sshd", "/root/recorded", "ensure", None),
    ("a later boot, with the metadata", "/root/recorded", "settle", Some(ORIGINAL)),
    ("a clone", "/root/recorded", "settle", Some(CLONE)),
];

#[test]
fn h2_host_keys_recover_from_a_kill_at_any_step() {
    World::builder().run(|world| {
        fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n").expect("written");
        save(world, "/root/empty");
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        save(world, "/root/made");
        request_instance(world, ORIGINAL);
        assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
        world.reboot();
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        save(world, "/root/recorded");
        let first = complete_keys(world);

        let mut points = 0;
        for (scenario, from, pass, seen) in SCENARIOS {
            for call in HOST_KEY_CALLS {
                for nth in 1..MAX_CALLS {
                    restore(world, from);
                    if let Some(seen) = seen {
                        request_instance(world, seen);
                    }
                    if !killed_at(strace(world, call, nth).arg(AGENT).args(["host-keys", pass])) {
                        break;
                    }
                    points += 1;
                    let what = format!("{scenario}, killed at {call} {nth}");
                    let survivors = complete_keys(world);
                    // The daemon repeats the request at the next boot.
                    if let Some(seen) = seen {
                        request_instance(world, seen);
                    }
                    let again = agent(world, &["host-keys", pass]);
                    assert_eq!(again.code, 0, "{what}: {}", again.err);
                    if pass == "settle" {
                        assert_eq!(recorded_instance(), seen.expect("an id"), "{what}");
                        // The next boot removes leftovers.
                        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0, "{what}");
                    }
                    let end = check_end(world, &what);
                    check_renewal(scenario, &first, &survivors, &end, &what);
                }
            }
        }
        println!("killed at {points} points: 0 violations");
        assert!(points > 60, "only {points} points: strace does not kill the program");
    });
}

#[test]
fn h4_daemon_publishes_after_a_kill_at_any_step() {
    World::builder().run(|world| {
        make_host_key(world);
        confirm_instance(world);
        let mut points = 0;
        for call in DAEMON_CALLS {
            for nth in 1..MAX_CALLS {
                world.standin().delete_user_data(FINGERPRINTS);
                let mut command = strace(world, call, nth);
                let mut daemon = Daemon::spawn(command.arg(AGENT).arg("daemon")).expect("started");
                // Either killed, or alive with the fingerprints published.
                let done = until(world, "killed or published", || {
                    if daemon.wait(std::time::Duration::ZERO).is_some() {
                        return Some(false);
                    }
                    let settled = Path::new(INSTANCE_SEEN).exists();
                    (settled && world.standin().user_data(FINGERPRINTS).is_some()).then_some(true)
                });
                drop(daemon);
                let _ = fs::remove_file(INSTANCE_SEEN);
                if done {
                    break;
                }
                points += 1;
                let daemon = start_daemon(world);
                let value = wait_until_published(world);
                let shown = agent(world, &["host-keys", "show"]).out;
                assert!(
                    value.split(' ').nth(1).is_some_and(|key| shown.contains(key)),
                    "killed at {call} {nth}"
                );
                daemon.terminate();
                let _ = fs::remove_file(INSTANCE_SEEN);
            }
        }
        println!("killed at {points} points: 0 violations");
        assert!(points > 30, "only {points} points: strace does not kill the program");
    });
}

#[test]
fn h2_new_keys_are_synced_before_they_are_renamed() {
    World::builder().run(|world| {
        one_key_type();
        let mut command = world.command("strace");
        command.args([
            "-qq",
            "-y",
            "-o",
            "/run/trace",
            "-e",
            "trace=fsync,rename",
            AGENT,
            "host-keys",
            "ensure",
        ]);
        assert_eq!(run(&mut command).code, 0);
        let trace = fs::read_to_string("/run/trace").expect("a trace");
        let at = |what: &str, file: &str| {
            let found = trace.lines().position(|line| line.starts_with(what) && line.contains(file));
            found.expect("each key is synced and renamed")
        };
        for file in ["ssh_host_ed25519_key>", "ssh_host_ed25519_key.pub>"] {
            assert!(at("fsync", file) < at("rename", "ssh_host_ed25519_key"), "{trace}");
        }
        // The folder with the new names is synced last.
        let is_key = |line: &str| line.starts_with("rename") && line.contains("ssh_host_");
        let renames: Vec<_> = trace.lines().enumerate().filter(|(_, line)| is_key(line)).collect();
        let folder = trace
            .lines()
            .enumerate()
            .filter(|(_, line)| line.starts_with("fsync") && line.contains("/etc/ssh>"))
            .last();
        assert!(folder.expect("the folder is synced").0 > renames.last().expect("renamed").0, "{trace}");
    });
}

#[test]
fn h2_each_key_is_there_as_soon_as_it_is_made() {
    World::builder().run(|world| {
        // A machine on which an RSA key takes very long.
        copy_program(world, "/usr/bin/ssh-keygen", "/root/ssh-keygen");
        let slow = "#!/bin/sh\ncase \"$*\" in *'-t rsa'*) sleep 1d & echo $! >/root/sleep; wait; exit 1 ;; esac\nexec /root/ssh-keygen \"$@\"\n";
        write_program("/root/slow", slow);
        sh(world, "mount --bind /root/slow /usr/bin/ssh-keygen");
        let exists = |kind: &str| fs::exists(format!("/etc/ssh/ssh_host_{kind}_key.pub")).expect("checked");
        let mut command = world.command(AGENT);
        let mut ensure = Daemon::spawn(command.args(["host-keys", "ensure"])).expect("started");
        until(world, "two keys", || TYPES.iter().all(|kind| exists(kind)).then_some(()));
        assert!(!exists("rsa"));
        let before = complete_keys(world);
        // The pass is ended. The next one makes what is missing.
        ensure.signal(Signal::SIGKILL);
        assert!(ensure.wait(LONG).is_some());
        until(world, "sleep", || fs::exists("/root/sleep").ok()?.then_some(()));
        sh(world, "umount -l /usr/bin/ssh-keygen; kill $(cat /root/sleep)");
        let next = agent(world, &["host-keys", "ensure"]);
        assert!(next.err.contains("kept ecdsa, ed25519\n") && next.err.contains("made rsa\n"), "{}", next.err);
        assert_eq!(complete_keys(world), before);
    });
}

/// How often the script has started and succeeded: it writes one line for each.
fn starts_and_successes() -> (usize, usize) {
    let lines = |file| fs::read_to_string(file).unwrap_or_default().lines().count();
    (lines("/root/started"), lines("/root/succeeded"))
}

/// System calls by which the setup runner changes files, starts programs and talks to others.
const RUNNER_CALLS: [&str; 15] = [
    "openat",
    "mkdir",
    "mkdirat",
    "write",
    "fsync",
    "rename",
    "unlink",
    "unlinkat",
    "fchown",
    "fchmod",
    "clone3",
    "socket",
    "socketpair",
    "connect",
    "recvfrom",
];

#[test]
fn s1_runner_repeats_no_success_after_a_kill_at_any_step() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\necho \"$SCW_SETUP_ATTEMPT\" >> /root/started\necho >> /root/succeeded\n";
        world.standin().set_user_data("setup-script", script);
        let mut points = 0;
        for call in RUNNER_CALLS {
            for nth in 1..MAX_CALLS {
                world.reboot();
                let clean = "rm -rf /var/lib/scw-agent/setup /root/started /root/succeeded";
                run(world.command("sh").args(["-c", clean]));
                // Only calls of the runner are counted, not those of the script.
                if !killed_at(strace(world, call, nth).arg(AGENT).args(["setup", "run"])) {
                    break;
                }
                points += 1;
                let what = format!("killed at {call} {nth}");
                // A script whose runner was killed runs to its end.
                until_processes_have_ended(world);
                let recorded =
                    fs::read_to_string("/var/lib/scw-agent/setup/setup-script.json").unwrap_or_default();
                let recorded_success = recorded.contains("\"exit\": 0");
                let before = starts_and_successes();
                world.reboot();
                let again = agent(world, &["setup", "run"]);
                assert_eq!(again.code, 0, "{what}: {}", again.err);
                let after = starts_and_successes();
                if recorded_success {
                    assert_eq!(after, before, "{what}: a recorded success ran again");
                } else {
                    assert_eq!(after.1, before.1 + 1, "{what}: an interrupted script did not start again");
                    let attempts = fs::read_to_string("/root/started").expect("read");
                    let last: u32 = attempts.lines().last().expect("one").parse().expect("a number");
                    // The runner writes the record before it starts the script.
                    let expected = if recorded.is_empty() { 1 } else { 2 };
                    assert_eq!(last, expected, "{what}: wrong attempt number: {attempts}");
                    assert!(!recorded.is_empty() || before.0 == 0, "{what}: the script ran without a record");
                }
                world.reboot();
                agent(world, &["setup", "run"]);
                assert_eq!(starts_and_successes(), after, "{what}: a success was repeated");
            }
        }
        println!("killed at {points} points: 0 violations");
        assert!(points > 40, "only {points} points: strace does not kill the program");
    });
}
